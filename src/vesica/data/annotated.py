"""What formats of outlines share: images with objects of named categories, and the choice of one.

A format's own file reads its files into `Labelled` images; `make_dataset` makes masks of them.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vesica.data.groups import with_groups
from vesica.data.pixels import read_image, show
from vesica.data.polygons import Outline
from vesica.data.sample import Dataset, Mask, Pixels, Sample, fingerprint_files
from vesica.errors import DataError, join_lines
from vesica.words import count_of, say_first

ALL = "all"
"""The target that is every category together, where no category has this name."""

MAX_CATEGORIES_SHOWN = 20


@dataclass(frozen=True)
class Region:
    """One object of an image.

    Attributes:
        category: What it is.
        read: Its outline. Raises `DataError`; it is asked for only where the category is wanted,
            as an object of another one may well be a box without an outline.
        is_crowd: Whether it is many objects with what lies between them.
    """

    category: str
    read: Callable[[], Outline]
    is_crowd: bool = False


@dataclass(frozen=True)
class Labelled:
    """One image with its objects.

    Attributes:
        image: The file.
        where: What messages call its labels.
        regions: Its objects.
        part: "train", "val" or "test" where the files say so.
        size: Width and height in pixels that its labels were made for, where that is known.
        files: Files with labels of this image alone.
    """

    image: Path
    where: str
    regions: tuple[Region, ...]
    part: str | None = None
    size: tuple[int, int] | None = None
    files: tuple[Path, ...] = ()


def make_dataset(
    root: Path,
    format: str,
    target: str | None,
    labelled: Sequence[Labelled],
    categories: Iterable[str],
    *,
    problems: Sequence[str] = (),
    notes: Iterable[str] = (),
    group: str | None = None,
    shared: Sample | None = None,
) -> Dataset:
    """A data set of the objects of one category, or of several together.

    Args:
        root: The folder that a user named.
        format: The key in `DATASETS`.
        target: A category, several joined by "+", or "all"; None: the only one with objects.
        labelled: Every image.
        categories: Every category, also those without objects.
        problems: What was wrong so far: all of it is said in one message.
        notes: What a user should know.
        group: Regular expression that finds a sample's group in its name.
        shared: Files with labels of many images, and what else decides the masks, as its name.

    Raises:
        DataError: If anything is wrong, or the target does not say what is foreground.
    """
    categories = list(dict.fromkeys(categories))
    problems = [*problems, *_find_twins(root, labelled)]
    problems += [
        f"the category {name!r} cannot be printed. Rename it."
        for name in categories
        if not name.isprintable()
    ]
    try:
        target, chosen = choose_target(root, target, labelled, categories)
    except DataError as error:
        raise DataError(join_lines(_merged(problems))) if problems else error from None
    parts = {image.part for image in labelled}
    names = _names(labelled, with_parts=len(parts) > 1)
    samples, objects = [], {}
    for name, image in zip(names, labelled, strict=True):
        part = image.part if len(parts) > 1 else None
        samples.append(Sample(name, name, (image.image, *image.files), part))
        objects[name] = image, _outlines(image, chosen, problems)
    if problems:
        raise DataError(join_lines(_merged(problems)))

    def read(sample: Sample) -> tuple[Pixels, Mask]:
        return _read(root, *objects[sample.name])

    samples = with_groups(sorted(samples, key=lambda sample: sample.name), group)
    hashed = [*samples, *([shared] if shared else [])]
    return Dataset(
        format=format,
        target=target,
        samples=tuple(samples),
        read=read,
        fingerprint=fingerprint_files(hashed),
        notes=(*notes, *_describe(labelled, target, chosen)),
    )


def _merged(problems: Sequence[str]) -> list[str]:
    """One line for each mistake, with the first places that have it: files are made by programs,
    which make one mistake everywhere."""
    places: dict[str, list[str]] = {}
    for problem in problems:
        place, _, reason = problem.rpartition(": ")
        places.setdefault(reason, []).append(place)
    return [
        f"{say_first(list(dict.fromkeys(found)))}: {reason}" if found != [""] else reason
        for reason, found in places.items()
    ]


def _describe(labelled: Sequence[Labelled], target: str, chosen: frozenset[str]) -> Iterator[str]:
    """What a user should know of the masks."""
    wanted = [[r for r in image.regions if r.category in chosen] for image in labelled]
    num_empty = wanted.count([])
    if num_empty:
        yield f"{num_empty:,} of {len(wanted):,} images have no {target}: their masks are empty."
    num_crowds = sum(region.is_crowd for regions in wanted for region in regions)
    if num_crowds:
        crowds = count_of(num_crowds, "crowd")
        yield f"{crowds}: foreground with what lies between the objects."


def choose_target(
    root: Path, target: str | None, labelled: Sequence[Labelled], categories: list[str]
) -> tuple[str, frozenset[str]]:
    """The target as it is called, and the categories that it means.

    Raises:
        DataError: If it names none, or no image has such objects; the message lists what there is.
    """
    counts = Counter(region.category for image in labelled for region in image.regions)
    found = [name for name in categories if counts[name]]
    if not found:
        raise DataError(f"{root}: no labelled objects. Add labels, or pass another folder.")
    if target is None and len(found) > 1:
        listed = _list_categories(labelled, counts, categories)
        raise DataError(
            f"{root}: {len(categories)} categories. Choose the foreground with --target, one, or"
            f" several as --target {'+'.join(found[:2])}, or --target {ALL}: {listed}."
        )
    names = _split_target(target or found[0], categories)
    names = found if names == [ALL] != found and ALL not in categories else names
    if not set(names) <= set(found):
        wanted = next(name for name in names if name not in found)
        what = "has no objects" if wanted in categories else "is no category"
        listed = _list_categories(labelled, counts, categories)
        raise DataError(f"{root}: the target {wanted!r} {what}. Pass one of these: {listed}.")
    is_all = target == ALL and len(found) > 1 and ALL not in categories
    return ALL if is_all else "+".join(names), frozenset(names)


def _split_target(target: str, categories: list[str]) -> list[str]:
    """The categories that it joins, in the order of the files; a name may hold "+" itself."""
    if target in categories:
        return [target]
    names = target.split("+")
    return sorted(set(names), key=lambda n: categories.index(n) if n in categories else -1)


def _list_categories(
    labelled: Sequence[Labelled], counts: Counter[str], categories: list[str]
) -> str:
    num_images = Counter(
        category for image in labelled for category in {region.category for region in image.regions}
    )
    listed = [
        f"{name} ({count_of(counts[name], 'object')} in {count_of(num_images[name], 'image')})"
        for name in sorted(categories, key=lambda name: -counts[name])
    ]
    return say_first(listed, MAX_CATEGORIES_SHOWN)


def _outlines(image: Labelled, chosen: frozenset[str], problems: list[str]) -> list[Outline]:
    outlines = []
    for region in image.regions:
        if region.category in chosen:
            try:
                outlines.append(region.read())
            except DataError as error:
                problems.append(str(error))
    return outlines


def _read(root: Path, labelled: Labelled, outlines: Sequence[Outline]) -> tuple[Pixels, Mask]:
    image = read_image(root, labelled.image)
    height, width = image.shape[:2]
    if labelled.size not in (None, (width, height)):
        raise DataError(_say_size(root, labelled, width, height))
    mask = np.zeros((height, width), np.bool_)
    for outline in outlines:
        mask |= outline.fill(height, width)
    return image, mask


def _say_size(root: Path, labelled: Labelled, width: int, height: int) -> str:
    of_labels = labelled.size or (width, height)
    is_turned = of_labels == (height, width)
    remedy = "Save it turned as it was labelled" if is_turned else "Put the labelled image there"
    return (
        f"{show(root, labelled.image)}: {width} x {height} pixels, but {labelled.where} is for"
        f" {of_labels[0]} x {of_labels[1]}. {remedy}."
    )


def _find_twins(root: Path, labelled: Sequence[Labelled]) -> list[str]:
    """Images that are labelled twice, or whose names differ in the suffix alone."""
    problems = []
    seen: dict[Path, Labelled] = {}
    for image in labelled:
        stem = image.image.with_suffix("")
        twin = seen.setdefault(stem, image)
        if twin is not image and twin.image == image.image:
            name = show(root, image.image)
            problems.append(f"{name}: is labelled by {twin.where} and {image.where}. Keep one.")
        elif twin is not image:
            name, other = show(root, image.image), show(root, twin.image)
            problems.append(f"{name}: has the stem of {other}. Remove or rename one.")
    return problems


def _names(labelled: Sequence[Labelled], *, with_parts: bool) -> list[str]:
    """Of samples: the path below the folder that holds all images of the part, without suffix."""
    folders: dict[str | None, str] = {}
    for image in labelled:
        part, folder = image.part if with_parts else None, str(image.image.parent)
        folders[part] = os.path.commonpath([folders.get(part, folder), folder])
    names = []
    for image in labelled:
        part = image.part if with_parts else None
        name = image.image.with_suffix("").relative_to(folders[part]).as_posix()
        names.append(f"{part}/{name}" if part else name)
    return names
