"""Does it depend on how sparse the object is? In two arms, of which only the first can say so.

Controlled: the same object pixels on a growing canvas, so that background alone is added.
Observational: classes of one set, which differ in density and in all else: confounded.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vesica.data import DERIVED
from vesica.data.canvas import side_at
from vesica.data.classes import BETWEEN, parse_classes
from vesica.data.library import Library
from vesica.errors import DataError
from vesica.plan import Axis, Cell, across, replace
from vesica.recipes import cell_of
from vesica.spelling import split_path

DENSITIES = (0.30, 0.10, 0.03, 0.01, 0.003)
AREA = 200
"""Of an object, in pixels."""

NUM, TRAIN, VAL = 1000, 300, 50
"""Images at most; a large canvas takes 1 MB for each."""

CLASS_SIZE = 256
"""At which `unet` can draw an earring."""

LOSSES = ("bce", "iou")
ALIKE: dict[str, Any] = {"score_at": "network", "division": "exact"}
"""Of both arms."""


@dataclass(frozen=True)
class Arm:
    """One of the two ways to ask.

    Attributes:
        kind: Its name, as a plan and in a run's folder.
        grows_by: In what its folder may grow, apart from losses and seeds.
    """

    kind: str
    grows_by: tuple[Axis, ...]


CONTROLLED = Arm("sparsity", (Axis(("size",), ("fingerprint",)),))
OBSERVED = Arm("sparsity-classes", (Axis(("foreground", "target"), ("fingerprint",)),))


def sparsity(
    data: Sequence[str], fields: Mapping[str, Any], library: Library, *, seeds: int = 3
) -> list[Cell]:
    """The controlled arm with the modern recipe: objects of a set, or generated faces.

    Args:
        data: At most one path.
        fields: What the user gives, as `cell_of` takes it; None is left open.
        library: Opens the images.
        seeds: Runs per loss and density.

    Raises:
        DataError: If there are more, or the objects cannot be had.
    """
    if len(data) > 1:
        raise DataError(f"sparsity takes one set; leave out {' '.join(data[1:])}")
    given = {name: value for name, value in fields.items() if value is not None}
    base = cell_of((*data, "")[0], ALIKE | given, "modern")
    first = on_canvases(base, DENSITIES[:1])[0]
    folds = base.data.folds or (0 if "folds" in given else library.folds_for(first.data))
    # Too many folds are refused here, before there is a cell for each.
    split = library.split(replace(first, folds=folds, fold=0 if folds else None).data)
    if folds:
        return controlled(replace(base, folds=folds), seeds=seeds)
    train, val = min(TRAIN, len(split.train)), min(VAL, len(split.val))
    parts = {"train": base.data.train or train, "val": base.data.val or val}
    return controlled(replace(base, **parts), seeds=seeds)


def sparsity_classes(
    data: Sequence[str], fields: Mapping[str, Any], library: Library, *, seeds: int = 3
) -> list[Cell]:
    """The observational arm with the modern recipe: each class on the images that have it, on as
    many of them to train and to validate as the rarest class has.

    Args:
        data: One path.
        fields: As of `sparsity`; `foreground` has a rule for each class: "face=1,2;earring=15".
        library: Opens the images.
        seeds: Runs per loss and class.

    Raises:
        DataError: If there are others, folds, or a class is in too few images.
    """
    classes = [part.strip() for part in (fields.get("foreground") or "").split(BETWEEN)]
    if len(data) != 1 or len(classes) < 2:
        raise DataError(
            "sparsity-classes takes one set of index masks, and a rule for each class: "
            "vesica run sparsity-classes DATA --foreground 'skin=1;earring=15'"
        )
    rules = parse_classes(BETWEEN.join(classes))
    named = [rule.name for rule in rules if rule.name]
    for kind, found in (("name", named), ("rule", [rule.unnamed.spelled for rule in rules])):
        if twice := [one for one, num in Counter(found).items() if num > 1]:
            raise DataError(
                f"--foreground: two classes have the same {kind}, {twice[0]}; change one"
            )
    given = {n: value for n, value in fields.items() if value is not None and n != "foreground"}
    base = cell_of(data[0], ALIKE | {"size": CLASS_SIZE} | given, "modern")
    base = replace(base, **_fewest(on_classes(base, classes), library))
    return observed(base, classes, seeds=seeds)


def _fewest(bases: Sequence[Cell], library: Library) -> dict[str, int]:
    """Images to train and to validate, as many as every class has."""
    splits = [library.split(base.data) for base in bases]
    return {
        "train": bases[0].data.train or min(len(split.train) for split in splits),
        "val": bases[0].data.val or min(len(split.val) for split in splits),
    }


def controlled(
    base: Cell,
    densities: Sequence[float] = DENSITIES,
    *,
    area: int = AREA,
    num: int = NUM,
    seeds: int = 3,
    losses: Sequence[str] = LOSSES,
) -> list[Cell]:
    """Every loss and seed at every density; what is cut out is `base.data`, "" for faces."""
    return _cells(on_canvases(base, densities, area=area, num=num), seeds, losses)


def observed(
    base: Cell, classes: Sequence[str], *, seeds: int = 3, losses: Sequence[str] = LOSSES
) -> list[Cell]:
    """Every loss and seed for every class, on the images of `base.data` that have it."""
    return _cells(on_classes(base, classes), seeds, losses)


def on_classes(base: Cell, classes: Sequence[str]) -> list[Cell]:
    """A cell for each class."""
    if base.data.folds:
        raise DataError(
            "--folds: classes are in different images, which folds would divide differently for "
            "each; leave it out"
        )
    path = _derive("present", base.data.path)
    return across(base, path=[path], foreground=list(classes))


def on_canvases(
    base: Cell, densities: Sequence[float], *, area: int = AREA, num: int = NUM
) -> list[Cell]:
    """A cell for each density, at the size of its canvas."""
    found = []
    for density in densities:
        side = side_at(density, area)
        path = _derive(f"canvas:side={side}:area={area}:num={num}", base.data.path)
        found.append(replace(base, path=path, size=side))
    return found


def _derive(name: str, path: str) -> str:
    if ":" in path or split_path(path)[0] in DERIVED:
        raise DataError(f"{path}: options of a set within another cannot be spelled; pass a folder")
    return f"{name}:of={path}" if path else name


def _cells(bases: Sequence[Cell], seeds: int, losses: Sequence[str]) -> list[Cell]:
    """Seeds vary slowest, so that every slope is complete as early as possible."""
    folds = bases[0].data.every_fold
    return [
        cell
        for seed in range(seeds)
        for base in bases
        for cell in across(base, seed=[seed], fold=folds, loss=losses)
    ]
