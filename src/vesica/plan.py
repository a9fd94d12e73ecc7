"""What to run, as plain data: a cell is one training run, a plan is a list of cells.

Cells are written by people (weights by name, precision "auto") and then resolved: `resolve` in
`materials.py` fills in what the run will really use, and only a resolved cell has a key.

A field's help and check stand beside it; the command line makes its options of them.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from vesica import spelling
from vesica.data.source import Frozen, Source

SCHEMA = 2
"""Of a cell's identity."""

LATER: dict[str, Any] = {
    "data.division": None,
    "data.folds": 0,
    "data.fold": None,
    "data.images": None,
    "data.masks": None,
    "data.skip_unpaired": False,
    "data.ignore": None,
    "data.fit_masks": False,
    "data.as_stored": False,
    "data.depth": None,
    "data.classes": False,
    "recipe.average": "none",
    "recipe.beside": "none",
    "recipe.steps": 0,
    "score_at": "network",
    "absent": "score",
    "long_side": 0,
}
"""Fields that this schema did not begin with, as `recipe.name`, each with the value that changes
nothing: a cell that has it keeps the key that it had without the field. That value is frozen here
and has nothing to do with the field's default, which may change."""


@dataclass(frozen=True)
class Shorthand:
    """An option that may be named without its owner, in `across` and on the command line.

    Attributes:
        owner: The field whose name it is spelled in.
        kind: Of its values.
        help: For the command line.
    """

    owner: str
    kind: type
    help: str


SHORTHANDS = {
    "width": Shorthand("model", int, "Channels of the wide layers, as --model NAME:width=512."),
    "init": Shorthand("model", str, "How fresh layers start: fcn or keras."),
    "dropout": Shorthand("model", float, "Behind each wide layer."),
    "freeze": Shorthand(
        "model",
        str,
        "paper: all but the last block and the head; none; auto: none without pretrained weights. "
        "Of smp:NAME: encoder or none.",
    ),
    "lr": Shorthand("optimizer", float, "Learning rate, as --optimizer NAME:lr=1e-3."),
}

OPTION_NAMES = {"max_epochs": "epochs"}
"""What some fields are called on the command line and by `vesica.compare`."""


class Recipe(Frozen):
    """How a cell trains; the defaults are table 2 of the paper."""

    optimizer: str = Field(
        "rmsprop", description="A name such as rmsprop or adamw:lr=1e-3, or FILE.py:FUNCTION."
    )
    schedule: str = Field(
        "constant",
        description="Of the learning rate: a name such as cosine:warmup=1, or FILE.py:FUNCTION.",
    )
    augment: str = Field(
        "none",
        description="Of training images: a name such as flip or standard, or FILE.py:FUNCTION.",
    )
    average: str = Field(
        "none",
        description="Of the weights over the steps: none, ema:decay=0.97 or swa, or "
        "FILE.py:FUNCTION; it is the average that is scored.",
    )
    beside: str = Field(
        "none",
        description="Another average, as --average, that changes nothing: as it is where training "
        "ends it is scored beside the weights that are chosen, with a verdict of its own.",
    )
    max_epochs: int = Field(1000, ge=1, description="At most so many epochs.")
    steps: int = Field(
        0, ge=0, description="Train so many steps, in place of --epochs, however many the images."
    )
    batch: int = Field(100, ge=1, description="Images per step.")
    patience: int = Field(
        20, ge=0, description="Stop after so many epochs without a better one; 0: never."
    )
    reduction: Literal["mean", "sum"] = Field(
        "mean", description="How a batch's losses become one; the paper adds."
    )
    monitor: Literal["val_loss", "val_iou"] = Field(
        "val_loss", description="What decides which epoch is the best."
    )
    keep: Literal["best", "last"] = Field("best", description="Which epoch's weights are scored.")
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32", description="auto: bf16 where the hardware has it."
    )


class Cell(Frozen):
    """One training run.

    Names are as people write them until the cell is resolved: then they are canonical, hold digests
    in place of paths to users' files, and what the result depends on is filled in.
    """

    data: Source
    model: str = Field(
        "bfcn32s",
        description="A name such as bfcn32s (VGG-16), bfcn8s (finer), fcresnet (ResNet-50), "
        "segnet, bfcn32s:width=512 or smp:unet:encoder=resnet34, or FILE.py:FUNCTION; "
        "`vesica models` lists them.",
    )
    size: int = Field(224, ge=16, le=4096, description="Images are resized to size x size pixels.")
    score_at: Literal["network", "original"] = Field(
        "network", description="Size at which masks are scored: the network's, or each image's own."
    )
    absent: Literal["score", "skip"] | None = Field(
        None,
        description="What a class (or an object) that an image has none of is worth there: score: "
        "IoU 1 if none is drawn, else 0; skip: it does not count. [default: score; with --classes "
        "skip]",
    )
    long_side: int = Field(
        0,
        ge=0,
        le=16384,
        description="For large images: resize them to so many pixels on the longer side, train on "
        "crops of --size, and score whole images of overlapping tiles; 0: no crops.",
    )
    weights: str = Field(
        "default",
        description="Pretrained encoder: torchvision (ImageNet's), hed (VGG-16), smp (of networks "
        "smp:NAME), none; NAME:PATH reads a file. default: torchvision or smp, if there is such.",
    )
    weights_digest: str = ""
    loss: str = "iou"
    seed: int = Field(0, ge=0, lt=2**31)
    recipe: Recipe = Recipe()
    folder: str = Field("", pattern=r"^([0-9a-f]{12})?$")
    """Where it is kept in its run, if not by its key: an earlier version's key."""

    @model_validator(mode="before")
    @classmethod
    def _name_owners(cls, values: Any) -> Any:
        for name in SHORTHANDS.keys() & (values.keys() if isinstance(values, dict) else ()):
            owner = SHORTHANDS[name].owner
            raise ValueError(f"{name} is an option of the {owner}: write {owner}='NAME:{name}=...'")
        return values

    @model_validator(mode="after")
    def _note_files(self) -> "Cell":
        spelling.note_files(self.model, self.loss, self.recipe.optimizer, self.recipe.augment)
        return self

    @model_validator(mode="after")
    def _check_pieces(self) -> "Cell":
        if 0 < self.long_side < self.size:
            raise ValueError(
                f"long_side {self.long_side} is below the size of a crop, {self.size}: pass a "
                "larger --long-side or a smaller --size"
            )
        recipe = self.recipe
        is_swa = any(name.partition(":")[0] == "swa" for name in (recipe.average, recipe.beside))
        if is_swa and 0 < recipe.patience < recipe.max_epochs:
            raise ValueError(
                "swa averages the last quarter of all steps, and with patience training mostly "
                "ends before: pass --patience 0 for all of them, or ema in place of swa"
            )
        return self

    @property
    def empty(self) -> Literal["score", "skip"]:
        """What is absent is worth: `absent`, or what follows from the classes."""
        return self.absent or ("skip" if self.data.classes else "score")

    @property
    def loss_name(self) -> str:
        """The loss as people read it."""
        return spelling.shown(self.loss)

    @property
    def network_name(self) -> str:
        """What the network is called, without its options."""
        return spelling.without_options(self.model)

    @property
    def weights_name(self) -> str:
        """What the weights are called, without a path."""
        return spelling.split_path(self.weights)[0]

    def identity(self) -> dict[str, Any]:
        """Everything that the result depends on, and no path; see `SCHEMA` and `LATER`."""
        fields = self.model_dump(mode="json")
        del fields["data"]["path"], fields["data"]["class_names"], fields["folder"]
        fields |= {"weights": self.weights_name, "absent": self.empty}
        for part, names in (("", fields), ("data.", fields["data"]), ("recipe.", fields["recipe"])):
            for name in list(names):
                if part + name in LATER and names[name] == LATER[part + name]:
                    del names[name]
        return {"schema": SCHEMA} | fields

    def setting(self) -> dict[str, Any]:
        """What cells must share to be compared: all but loss, seed and fold."""
        fields = self.identity()
        del fields["schema"], fields["loss"], fields["seed"]
        fields["data"].pop("fold", None)
        return fields

    @property
    def stream(self) -> int:
        """What the random numbers of its training start from: the seed; in folds, which must not
        repeat each other, a number of the seed and the fold."""
        if self.data.fold is None:
            return self.seed
        digest = hashlib.sha256(f"{self.seed}:{self.data.fold}".encode()).digest()
        return int.from_bytes(digest[:4]) // 2

    def files(self) -> dict[str, str]:
        """The users' files that a resolved cell names: digest and name."""
        return spelling.digests_in(
            self.model,
            self.loss,
            self.data.format,
            self.recipe.optimizer,
            self.recipe.schedule,
            self.recipe.augment,
            self.recipe.average,
            self.recipe.beside,
        )

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


def seeds_and_folds(base: Cell, num_seeds: int, losses: Sequence[str]) -> list[Cell]:
    """Every loss with every seed, in every fold where there are folds.

    Seeds vary slowest, so that every pair of losses is complete as early as possible.
    """
    return across(base, seed=range(num_seeds), fold=base.data.every_fold, loss=losses)


def replace(cell: Cell, **values: Any) -> Cell:
    """The cell with some fields changed (and checked), named as in `across`."""
    changed = cell.model_dump()
    for name in sorted(values, key=SHORTHANDS.__contains__):  # after their owners
        owner = SHORTHANDS[name].owner if name in SHORTHANDS else name
        value = values[name]
        for place, model in (
            (changed, Cell),
            (changed["data"], Source),
            (changed["recipe"], Recipe),
        ):
            if owner in model.model_fields and owner not in ("data", "recipe"):
                is_short = owner != name
                place[owner] = spelling.set_option(place[owner], name, value) if is_short else value
                break
        else:
            raise ValueError(f"a cell has no field {name!r}; it has: {', '.join(field_names())}")
    return Cell.model_validate(changed)


def field_names() -> list[str]:
    """Every name that `across` takes."""
    names = [*Cell.model_fields, *Source.model_fields, *Recipe.model_fields, *SHORTHANDS]
    return [name for name in names if name not in ("data", "recipe", "folder")]


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
