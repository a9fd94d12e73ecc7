"""What a comparison does unless it is said otherwise: it follows the images, each with a reason."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesica.data.library import FOLDS, MAP_STRIDES, MIN_TEST, Library
from vesica.data.measure import Measured
from vesica.data.source import Source
from vesica.files import PLAN, is_there
from vesica.plan import Cell, replace
from vesica.recipes import cell_of
from vesica.results import RunPlan, read_plan
from vesica.words import say_about, say_time

LIGHT = "unet"
"""The network that two cores can train at a larger size."""

SIZE_STEP, SMALLEST, LARGEST = 32, 32, 256
"""In pixels: what a size is a multiple of, and its limits where it follows the images."""

MIN_STEPS_AN_EPOCH, MIN_BATCH = 10, 2

QUICK: dict[str, int] = {"size": 96, "steps": 150}
QUICK_SEEDS = 3

CHEAPER: tuple[dict[str, int], ...] = (
    {"steps": 200},
    {"steps": 200, "size": 96},
    {"steps": 150, "size": 64},
    {"steps": 75, "size": 64},
)
"""What a budget is kept by, from what costs the result least."""

SPARE = 0.9
"""Of a budget; the rest is for what is not estimated."""

FOLLOWING = ("division", "size", "folds", "train", "batch", "steps")
"""Fields that may be chosen, as they are said."""

Choices = dict[str, str | int | None]


def default_losses(source: Source, library: Library) -> list[str]:
    """What is compared where nobody says: cross-entropy with IoU loss.

    Raises:
        DataError: If the images cannot be opened.
    """
    return ["ce" if library.dataset(source).is_exclusive else "bce", "iou"]


@dataclass
class Defaults:
    """A cell with all that was chosen for the user.

    Attributes:
        base: The cell.
        choices: Fields that the user did not give, as the run's folder keeps them.
        reasons: A line for each.
        is_quick: Whether it is a first look.
        whole: How many times as long the whole comparison takes; None where that is not known.
        is_begun: Whether the run chose before, so that nothing is left to choose.
    """

    base: Cell
    given: frozenset[str] = frozenset()
    choices: Choices = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    is_quick: bool = False
    whole: float | None = None
    is_begun: bool = False

    def take(self, reason: str, **values: str | int | None) -> None:
        """Choose what the user has not given; the reason is kept where anything was."""
        new = {name: value for name, value in values.items() if name not in self.given}
        if not new:
            return
        self.base = replace(self.base, **new)
        self.choices |= new
        if reason:
            self.reasons.append(reason)

    def lines(self, hours: float) -> list[str]:
        """What is said before training, a sentence each, where the first verdict takes so long."""
        if self.whole is None or not hours:
            return self.reasons
        whole = say_about(hours * self.whole)
        return [*self.reasons, f"The whole comparison, without quick, takes {whole}."]

    def fit(self, hours: float, budget_h: float) -> bool:
        """Make it cheaper, until so many hours are within a budget.

        Returns:
            Whether anything was changed.
        """
        if self.is_begun or not self.base.recipe.steps:
            return False
        before = self.base
        for rung in CHEAPER:
            values = {name: min(rung[name], _now(before, name)) for name in rung}
            values = {name: value for name, value in values.items() if name not in self.given}
            cheaper = replace(before, **values)
            if hours * _work(cheaper) / _work(before) <= SPARE * budget_h or rung is CHEAPER[-1]:
                break
        if cheaper == before:
            return False
        said = ", ".join(f"--{name} {value}" for name, value in values.items())
        self.take(
            f"{said}: as it was, the first verdict takes {say_about(hours)}, more than "
            f"--budget {say_time(3600 * budget_h)}.",
            **values,
        )
        return True


def check_names(
    path: str, fields: Mapping[str, Any], recipe: str, losses: Sequence[str] | None
) -> None:
    """Refuse a misspelt name before any image is read. Needs torch.

    Args:
        path, fields, recipe: As of `choose`.
        losses: That the user names.

    Raises:
        ValueError: As `cell_of`, or if a name or an option does not exist.
        DataError: If a user's file cannot be had.
    """
    from vesica.materials import spell

    base = cell_of(path, fields, recipe)
    for loss in losses or [base.loss]:
        spell(replace(base, loss=loss))


def choose(
    path: str,
    fields: Mapping[str, Any],
    recipe: str,
    library: Library,
    run: Path | None,
    *,
    quick: bool = False,
) -> Defaults:
    """Everything that the user leaves open, from the images, or as the run was begun.

    Args:
        path: The images.
        fields: What the user gives, as `cell_of` takes it; None is left open.
        recipe: A name of `RECIPES`.
        library: Opens the images.
        run: The run's folder; it need not exist. None: nothing is taken from how it was begun.
        quick: Whether it is to be a first look.

    Raises:
        ValueError: As `cell_of`.
        DataError: If the images cannot be opened or divided.
    """
    if quick and recipe != "modern":
        raise ValueError(f"a first look is the modern recipe's: leave out quick, or {recipe}")
    given = {name for name, value in fields.items() if value is not None}
    if "epochs" in given or "max_epochs" in given:
        given.add("steps")
    chosen = Defaults(cell_of(path, fields, recipe), frozenset(given), is_quick=quick)
    begun = read_plan(run) if run is not None and is_there(run / PLAN) else None
    if begun is not None and bool((begun.choices or {}).get("quick")) == quick:
        _go_on(chosen, begun)
        return chosen
    chosen.take("", division="exact")
    if recipe == "modern":
        _follow_images(chosen, library)
    if quick:
        _hurry(chosen, library)
    if recipe == "modern" and library.folds_for(chosen.base.data):
        chosen.take(
            f"{FOLDS} folds: one division leaves fewer than {MIN_TEST} test images, so every image "
            f"is tested once, in {FOLDS} folds (--folds 0 for one division).",
            folds=FOLDS,
        )
    _follow_number(chosen, library)
    return chosen


def _go_on(chosen: Defaults, begun: RunPlan) -> None:
    """Choose what the run did; one of an earlier version chose the folds alone."""
    first = begun.cells[0].data
    choices = begun.choices
    if choices is None:
        choices = {"division": first.division, "folds": first.folds}
    before = chosen.base
    chosen.take("", **{name: choices[name] for name in FOLLOWING if name in choices})
    said = [
        f"--{name} {choices[name]}"
        for name in FOLLOWING
        if choices.get(name) is not None and name not in chosen.given
    ]
    if chosen.base != before:
        chosen.reasons.append(f"As the run was begun: {', '.join(said)}.")
    chosen.choices, chosen.is_begun = choices, True


def _follow_images(chosen: Defaults, library: Library) -> None:
    measured = library.measured(chosen.base.data)
    if measured is None:
        return
    name = chosen.base.network_name
    stride = MAP_STRIDES[LIGHT] if name == LIGHT else 0
    size_px, reason = size_for(measured, stride, chosen.base.size)
    chosen.take(reason, size=size_px)


def size_for(measured: Measured, stride_px: int, usual_px: int) -> tuple[int, str]:
    """To which size images are resized, and why.

    Args:
        measured: How large they are.
        stride_px: Pixels between two values of a network that can be trained at a larger size, 0 of
            another.
        usual_px: The size that is usual.
    """
    own_px = _round_up(measured.side_px)
    start_px = min(usual_px, own_px)
    across = measured.across_px(start_px)
    if across < stride_px:
        needed = _round_up(start_px * stride_px / across)
        size_px = max(start_px, min(needed, LARGEST, 2 * own_px))
        if size_px > start_px:
            return size_px, (
                f"--size {size_px}: half of the foreground is less than {across:.1f} pixels across "
                f"at {start_px}, and {LIGHT} draws at every {_ordinal(stride_px)}; it takes "
                f"{(size_px / start_px) ** 2:.1f} times as long as --size {start_px}."
            )
    if start_px < usual_px:
        return start_px, (
            f"--size {start_px}: the images are {measured.side_px:.0f} pixels across, and "
            f"{usual_px} would only enlarge them."
        )
    if math.isinf(across):
        return start_px, f"--size {start_px}: the usual one."
    return start_px, (
        f"--size {start_px}: the usual one; half of the foreground is at least {across:.0f} pixels "
        "across there."
    )


def _hurry(chosen: Defaults, library: Library) -> None:
    """A first look: smaller, fewer steps, of no more images than these see."""
    before = chosen.base
    values = {"size": min(QUICK["size"], before.size), "steps": QUICK["steps"]}
    said = ", ".join(
        f"--{name} {value}" for name, value in values.items() if name not in chosen.given
    )
    chosen.reasons.clear()  # of the size that it would have
    chosen.take(f"A first look: {said}, {QUICK_SEEDS} seeds.", **values)
    num_seen = chosen.base.recipe.steps * before.recipe.batch
    if 0 < 2 * num_seen < len(library.dataset(before.data).samples):
        chosen.take(f"--train {num_seen}: so many images are seen in these steps.", train=num_seen)
    chosen.choices["quick"] = True
    chosen.whole = _work(before) / _work(chosen.base)


def _follow_number(chosen: Defaults, library: Library) -> None:
    """At least so many steps an epoch, where epochs are counted."""
    base = chosen.base
    source = base.data.model_copy(update={"fold": 0} if base.data.folds else {})
    num_images = len(library.split(source).train)
    num_train, shown = num_images, f"{num_images} training images"
    if base.long_side:
        num_train = len(library.shown_rows(source, base.size, base.long_side).train)
        shown = f"{num_train} pieces of {shown}"
    per_epoch = math.ceil(num_train / base.recipe.batch)
    if base.recipe.steps:
        passes = math.ceil(base.recipe.steps / per_epoch)
        if "steps" not in chosen.given:
            what = "one pass" if passes == 1 else f"{passes} passes"
            chosen.reasons.append(
                f"{passes * per_epoch} steps of {base.recipe.batch} images: {what} over {shown}."
            )
        return
    if per_epoch >= MIN_STEPS_AN_EPOCH or library.dataset(source).full_size is not None:
        return
    batch = max(MIN_BATCH, num_train // MIN_STEPS_AN_EPOCH)
    if batch < base.recipe.batch:
        chosen.take(
            f"--batch {batch}: {math.ceil(num_train / batch)} steps an epoch of {shown}, which "
            f"--batch {base.recipe.batch} takes in {per_epoch}.",
            batch=batch,
        )


def _now(cell: Cell, name: str) -> int:
    return cell.size if name == "size" else cell.recipe.steps


def _work(cell: Cell) -> float:
    """What a training costs, in proportion."""
    return max(1, cell.recipe.steps) * cell.size**2


def _round_up(pixels: float) -> int:
    return max(SMALLEST, SIZE_STEP * math.ceil(pixels / SIZE_STEP))


def _ordinal(number: int) -> str:
    return {1: "pixel", 2: "second"}.get(number, f"{number}th")
