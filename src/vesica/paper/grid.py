"""The paper's grid: 16 set-ups, two networks on two data sets, each trained with both losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vesica.paper.published import Loss
from vesica.plan import Axis, Cell, Recipe, Source, across, replace

ScaleName = Literal["full", "lite"]
RecipeName = Literal["paper", "default"]


@dataclass(frozen=True)
class Scale:
    """How large the networks are.

    Attributes:
        size: Pixels along a side.
        width: Channels of the wide layers.
        max_epochs: At most so many.
    """

    size: int
    width: int
    max_epochs: int


SCALES: dict[str, Scale] = {"full": Scale(224, 4096, 1000), "lite": Scale(128, 512, 15)}
"""`full` is the paper's; `lite` takes minutes for each cell on two cores."""

VGG_ONLY = ("hed",)
"""Pretrained weights that FCResNet cannot have."""

PARTS = {
    "bfcn32s": ("model", "bfcn32s"),
    "fcresnet": ("model", "fcresnet"),
    "lfw": ("format", "lfw"),
    "helen": ("format", "helen"),
    "hair": ("target", "face+hair"),
    "nohair": ("target", "face"),
    "big": ("split", "big"),
    "small": ("split", "small"),
    "bce": ("loss", "bce"),
    "iou": ("loss", "iou"),
}
"""What `only` may name, each with its field and value; in the tables' order."""

GROWS_BY = (
    Axis(("model",), ("weights", "weights_digest")),
    Axis(("format",), ("fingerprint",)),
    Axis(("target",)),
    Axis(("split",)),
)
"""Parts of the grid may be added to a run; a network has the same weights wherever it is."""


def grid(
    lfw: str | None = None,
    helen: str | None = None,
    *,
    seeds: int = 1,
    scale: ScaleName = "full",
    only: Sequence[str] = (),
    weights: str = "torchvision",
    recipe: RecipeName = "default",
    max_epochs: int | None = None,
    precision: Literal["fp32", "bf16", "auto"] = "fp32",
    beside: str = "none",
) -> list[Cell]:
    """The 32 cells of tables 3 to 6, for each seed, or a part of them.

    Args:
        lfw: Folder of LFW Part Labels; None leaves it out.
        helen: Folder in HELEN's layout; None leaves it out.
        seeds: Runs of each cell.
        scale: A key of `SCALES`.
        only: Keys of `PARTS`: of a factor that is named, only the values that are.
        weights: As in `Cell`; FCResNet has none where they are of `VGG_ONLY`.
        recipe: "paper": eq. 1's sum over pixels, the sum over a batch, and Keras' initial weights.
        max_epochs: Instead of the scale's.
        precision, beside: As in `Recipe`.

    Raises:
        ValueError: If there is no such part, or its data set is not given.
    """
    paths = {"lfw": lfw, "helen": helen}
    parts = _choose(only, paths)
    chosen = SCALES[scale]
    base = Cell(
        data=Source(path=""),
        size=chosen.size,
        recipe=Recipe(
            max_epochs=max_epochs or chosen.max_epochs,
            precision=precision,
            beside=beside,
            reduction="sum" if recipe == "paper" else "mean",
        ),
    )
    # BCE is a mean over pixels here and a sum in eq. 1.
    spelled = {"bce": f"{chosen.size**2}bce" if recipe == "paper" else "bce", "iou": "iou"}
    # Seeds vary slowest and losses fastest: every table is complete as early as possible.
    return [
        replace(
            cell,
            path=paths[cell.data.format],
            weights=weights_of(cell.model, weights),
            loss=spelled[cell.loss],
            width=chosen.width,
            **({"init": "keras"} if recipe == "paper" else {}),
        )
        for cell in across(base, seed=range(seeds), **parts)
    ]


def weights_of(network: str, weights: str) -> str:
    """What a network starts from, if the grid is asked for with these weights."""
    has_none = network == "fcresnet" and weights.partition(":")[0] in VGG_ONLY
    return "none" if has_none else weights


def named(loss: str) -> Loss:
    """A loss of the grid without its weight."""
    return "bce" if loss.endswith("bce") else "iou"


def _choose(only: Sequence[str], paths: dict[str, str | None]) -> dict[str, list[str]]:
    """The chosen values of each field, in the tables' order."""
    names = [name.strip().replace(" ", "").lower() for name in only]
    for name in names:
        if name not in PARTS:
            raise ValueError(f"--only {name}: no part of the paper; there are: {', '.join(PARTS)}")
        if paths.get(name, "") is None:
            raise ValueError(f"--only {name}: where is it? Pass --{name} DIR")
    if not any(paths.values()):
        raise ValueError("no data set: pass --lfw DIR, --helen DIR or both")
    chosen: dict[str, list[str]] = {}
    for name, (field, value) in PARTS.items():
        named = [other for other in names if PARTS[other][0] == field]
        if paths.get(name, "") is not None and (not named or name in named):
            chosen.setdefault(field, []).append(value)
    return chosen
