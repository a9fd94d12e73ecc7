"""What to run, as plain data: a cell is one training run, a plan is a list of cells.

Cells are written by people (weights by name, precision "auto") and then resolved: `resolve` in
`materials.py` fills in what the run will really use, and only a resolved cell has a key.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from vesica.data.source import Frozen, Source


class Recipe(Frozen):
    """How a cell trains; the defaults are table 2 of the paper.

    Attributes:
        init: How fresh layers start: "fcn" (Shelhamer et al.) or "keras" (Glorot uniform).
        freeze: "paper" freezes all but the last block and the head, "none" nothing; "auto" is
            "paper" with pretrained weights and "none" without.
        dropout: Behind each wide layer.
        max_epochs: At most so many.
        batch: Images per step.
        patience: Stop after so many epochs without a better `monitor`.
        lr: Learning rate of RMSprop.
        flip: Half of the training images are mirrored, others in each epoch.
        reduction: How a batch's losses become one: the paper adds, "mean" is the default.
        monitor: What decides which epoch is the best.
        keep: Which epoch's weights are scored.
        precision: "fp32", "bf16" or "auto".
    """

    init: Literal["fcn", "keras"] = "fcn"
    freeze: Literal["auto", "paper", "none"] = "auto"
    dropout: float = Field(0.0, ge=0, lt=1)
    max_epochs: int = Field(1000, ge=1)
    batch: int = Field(100, ge=1)
    patience: int = Field(20, ge=1)
    lr: float = Field(1e-4, gt=0, le=1e38, allow_inf_nan=False)
    flip: bool = False
    reduction: Literal["mean", "sum"] = "mean"
    monitor: Literal["val_loss", "val_iou"] = "val_loss"
    keep: Literal["best", "last"] = "best"
    precision: Literal["fp32", "bf16", "auto"] = "fp32"


class Cell(Frozen):
    """One training run.

    Attributes:
        data: The images.
        model: A key of `MODELS`.
        size: Images are resized to size x size pixels.
        width: Channels of the network's wide layers.
        weights: "none", NAME or NAME:PATH.
        weights_digest: Digest of the pretrained tensors; filled in by `resolve`.
        loss: A loss in its spelling, e.g. "0.3bce+0.7iou".
        seed: Of the initial weights, the batch order and dropout; never of the split.
        recipe: How it trains.
    """

    data: Source
    model: str = "bfcn32s"
    size: int = Field(224, ge=32, le=4096)
    width: int = Field(4096, ge=1, le=65536)
    weights: str = "torchvision"
    weights_digest: str = ""
    loss: str = "iou"
    seed: int = Field(0, ge=0, lt=2**31)
    recipe: Recipe = Recipe()

    def identity(self) -> dict[str, Any]:
        """Everything that the result depends on, and no path."""
        fields = self.model_dump(mode="json")
        del fields["data"]["path"]
        fields["weights"] = self.weights.partition(":")[0]
        return fields

    def setting(self) -> dict[str, Any]:
        """What cells must share to be compared: all but the loss and the seed."""
        fields = self.identity()
        del fields["loss"], fields["seed"]
        return fields

    @property
    def key(self) -> str:
        """Names the cell's folder: a digest of its identity."""
        if not self.data.fingerprint:
            raise ValueError("only a resolved cell has a key; call resolve() first")
        return digest_of(self.identity())


@dataclass(frozen=True)
class Axis:
    """Fields in which a run may grow, apart from its losses and seeds.

    Attributes:
        fields: Named as in `across`.
        following: Fields that may differ only where `fields` do.
    """

    fields: tuple[str, ...]
    following: tuple[str, ...] = ()


def across(cells: Cell | Iterable[Cell], **fields: Sequence[Any]) -> list[Cell]:
    """Every cell with every combination of the given values, the last field varying fastest.

    A field is named by itself, whether it belongs to the cell, its data or its recipe:
    `across(cell, loss=["bce", "iou"], seed=range(3), lr=[1e-4, 1e-3])`.

    Raises:
        ValueError: If there is no such field (the message lists those that exist).
    """
    for name, values in fields.items():
        if isinstance(values, str):
            raise ValueError(f"{name}={values!r}: give a list of values, such as [{values!r}]")
    starts = [cells] if isinstance(cells, Cell) else list(cells)
    return [
        replace(cell, **dict(zip(fields, values, strict=True)))
        for cell in starts
        for values in itertools.product(*fields.values())
    ]


def replace(cell: Cell, **values: Any) -> Cell:
    """The cell with some fields changed (and checked), named as in `across`."""
    changed = cell.model_dump()
    for name, value in values.items():
        for place, model in (
            (changed, Cell),
            (changed["data"], Source),
            (changed["recipe"], Recipe),
        ):
            if name in model.model_fields and name not in ("data", "recipe"):
                place[name] = value
                break
        else:
            raise ValueError(f"a cell has no field {name!r}; it has: {', '.join(field_names())}")
    return Cell.model_validate(changed)


def field_names() -> list[str]:
    """Every name that `across` takes."""
    names = [*Cell.model_fields, *Source.model_fields, *Recipe.model_fields]
    return [name for name in names if name not in ("data", "recipe")]


def place_of(name: str) -> str:
    """What stands before the name of a field: "data.", "recipe." or nothing."""
    if name in Source.model_fields:
        return "data."
    return "recipe." if name in Recipe.model_fields else ""


def flatten(fields: dict[str, Any]) -> dict[str, Any]:
    """A cell's fields without their places, as each name has one place alone."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def digest_of(value: Any) -> str:
    """Twelve hexadecimal digits that name a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
