"""What is in a data set, how it was understood, and what stands in the way of a verdict.

`gather` reads every image once (`data/facts.py`); `examine` makes findings of the facts; nothing is
trained, and nothing is written.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vesica.data.facts import Facts, find_similar, gather_facts, guess_groups
from vesica.data.library import MIN_TEST, Library
from vesica.data.sample import Dataset
from vesica.data.source import Source
from vesica.data.split import Split
from vesica.errors import DataError
from vesica.plan import RECIPES
from vesica.results.scores import METRICS, Model, metric_beside
from vesica.statistics import LEVEL, limit_at
from vesica.words import count_of

UNIT_SDS = (0.02, 0.08)
"""From image to image, of the difference of two losses: large objects and thin ones, as in our own
runs (docs/results)."""

SIZE_PX: int = RECIPES["modern"]["size"]

MAX_NAMES = 20
"""Of a remark, in its list; the number is always told."""

Level = Literal["stop", "warning", "note"]


class Remark(Model):
    """Something to know.

    Attributes:
        level: "stop" where nothing can be trained, "warning" where a verdict would mislead.
        text: What, and what to do.
        names: Of the images, at most MAX_NAMES.
    """

    level: Level
    text: str
    names: tuple[str, ...] = ()


class Spread(Model):
    """Of a number over images: the least, the quartiles and the largest."""

    least: float
    quarter: float
    median: float
    three_quarters: float
    most: float


class Part(Model):
    """A part of the split."""

    images: int
    groups: int
    empty: int
    full: int


class ClassShare(Model):
    """One of several classes: its share of all pixels that count, and the images that have it."""

    name: str
    share: float
    images: int


class Check(Model):
    """What a data set is.

    Attributes:
        name: Of the folder.
        format: As which it was read.
        target: What is foreground.
        widths, heights: In pixels.
        modes: Number of images by the mode of their file.
        density: Share of foreground of an image.
        objects: Of an image, as pieces that touch.
        object_px: Pixels across of an object, at the image's size.
        thickness_px: Mean width of the foreground; None without foreground.
        parts: Of one division, by name; with folds, of the first one.
        folds: In how many the images would be tested; 0 for one division.
        measure: What to look at beside IoU, and why.
        classes: Where each pixel is of one of several; what is said of foreground, objects and
            thickness is then of all but the first.
    """

    name: str
    format: str
    target: str
    num_images: int
    num_groups: int
    widths: Spread
    heights: Spread
    modes: dict[str, int]
    density: Spread
    objects: Spread
    object_px: Spread | None
    thickness_px: Spread | None
    parts: dict[str, Part]
    folds: int
    measure: str
    classes: tuple[ClassShare, ...] = ()
    remarks: tuple[Remark, ...]

    @property
    def is_fit(self) -> bool:
        """Whether something can be trained."""
        return all(remark.level != "stop" for remark in self.remarks)


@dataclass(frozen=True)
class Gathered:
    """A data set and what was read of it."""

    dataset: Dataset
    facts: list[Facts]
    problems: list[str]


def gather(
    source: Source, library: Library, progress: Callable[[int, int], None] = lambda done, num: None
) -> Gathered:
    """Read every image and mask once.

    Raises:
        DataError: If the data set cannot be opened, or not one image can be read.
    """
    dataset = library.dataset(source)
    facts, problems = gather_facts(dataset, progress)
    if not facts:
        raise DataError("\n".join(problems[:MAX_NAMES]))
    return Gathered(dataset, facts, problems)


def examine(gathered: Gathered, source: Source, library: Library, size_px: int = SIZE_PX) -> Check:
    """Judge what was read: what is there, how it would be divided, and what is in the way.

    Args:
        gathered: Of `gather`.
        source: The images, with the options that divide them.
        library: Divides them.
        size_px: Side of the squares to which a network would resize them.
    """
    dataset, facts = gathered.dataset, gathered.facts
    folds = source.folds or library.folds_for(source)
    divided = source.model_copy(update={"folds": folds, "fold": 0} if folds else {})
    split, why_not = _split(divided, library)
    objects = np.concatenate([fact.object_px for fact in facts])
    thick = [fact.thickness_px for fact in facts if fact.thickness_px is not None]
    remarks = [
        *_of_problems(gathered),
        *([Remark(level="stop", text=why_not)] if why_not else []),
        *_of_masks(gathered),
        *_of_copies(gathered, split, bool(folds)),
        *_of_groups(dataset),
        *(_of_numbers(dataset, split, folds, library.say_few(divided)) if split else []),
        *(Remark(level="note", text=note) for note in dataset.notes),
        *(Remark(level="note", text=note) for note in (split.notes if split else ())),
    ]
    return Check(
        name=source.name,
        format=dataset.format,
        target=dataset.target,
        num_images=len(dataset.samples),
        num_groups=len({sample.group for sample in dataset.samples}),
        widths=_spread([fact.width for fact in facts]),
        heights=_spread([fact.height for fact in facts]),
        modes=dict(Counter(fact.mode or "unknown" for fact in facts).most_common()),
        density=_spread([fact.density for fact in facts]),
        objects=_spread([len(fact.object_px) for fact in facts]),
        object_px=_spread(objects) if len(objects) else None,
        thickness_px=_spread(thick) if thick else None,
        parts=_parts(gathered, split) if split else {},
        folds=folds,
        measure=_measure(facts, size_px),
        classes=_classes(gathered) if dataset.is_exclusive else (),
        remarks=tuple(sorted(remarks, key=lambda r: ("stop", "warning", "note").index(r.level))),
    )


def _classes(gathered: Gathered) -> tuple[ClassShare, ...]:
    shares = np.array([fact.shares for fact in gathered.facts])
    weights = [fact.width * fact.height for fact in gathered.facts]
    means, has = np.average(shares, axis=0, weights=weights), (shares > 0).sum(axis=0)
    return tuple(
        ClassShare(name=name, share=float(mean), images=int(num))
        for name, mean, num in zip(gathered.dataset.classes, means, has, strict=True)
    )


def _split(source: Source, library: Library) -> tuple[Split | None, str]:
    try:
        return library.split(source), ""
    except DataError as error:
        return None, str(error)


def _parts(gathered: Gathered, split: Split) -> dict[str, Part]:
    density = {fact.row: fact.density for fact in gathered.facts}
    samples = gathered.dataset.samples
    return {
        name: Part(
            images=len(rows),
            groups=len({samples[row].group for row in rows}),
            empty=sum(density.get(row) == 0 for row in rows),
            full=sum(density.get(row) == 1 for row in rows),
        )
        for name, rows in (("train", split.train), ("val", split.val), ("test", split.test))
    }


def _of_problems(gathered: Gathered) -> Iterator[Remark]:
    if gathered.problems:
        num = len(gathered.problems)
        yield Remark(
            level="stop",
            text=f"{count_of(num, 'image')} cannot be used: mend or remove them.",
            names=tuple(gathered.problems[:MAX_NAMES]),
        )


def _of_masks(gathered: Gathered) -> Iterator[Remark]:
    if gathered.dataset.is_exclusive:  # each pixel is of something
        return
    facts, num = gathered.facts, len(gathered.facts)
    empty = [fact for fact in facts if fact.density == 0]
    full = [fact for fact in facts if fact.density == 1]
    if len(empty) == num:
        yield Remark(
            level="stop",
            text="Every mask is empty: pass --foreground with the value of the object.",
        )
        return
    mean = np.mean([fact.density for fact in facts])
    if empty:
        yield _named(
            "note",
            f"{count_of(len(empty), 'mask')} of {num} without foreground: an image without an "
            "object scores 1 if nothing is drawn on it, else 0.",
            gathered,
            empty,
        )
    if full:
        yield _named(
            "warning",
            f"{count_of(len(full), 'mask')} of {num} all foreground: look whether that is meant.",
            gathered,
            full,
        )
    if mean > 0.5:
        yield Remark(
            level="warning",
            text=f"{mean:.0%} of the pixels are foreground: if object and background are swapped, "
            "pass --foreground 0.",
        )


def _of_copies(gathered: Gathered, split: Split | None, is_in_folds: bool) -> Iterator[Remark]:
    """Images that look the same: in two parts, what is trained on is tested."""
    facts, samples = gathered.facts, gathered.dataset.samples
    pairs = find_similar(facts)
    if not pairs:
        return
    part_of: dict[int, str] = {}
    if split and not is_in_folds:
        for name, rows in (("train", split.train), ("val", split.val), ("test", split.test)):
            part_of |= dict.fromkeys(rows, name)
    across = [
        (first, second)
        for first, second in pairs
        if samples[facts[first].row].group != samples[facts[second].row].group
        and (is_in_folds or part_of.get(facts[first].row) != part_of.get(facts[second].row))
    ]
    shown = across or pairs
    names = [
        " = ".join(samples[facts[place].row].name for place in pair) for pair in shown[:MAX_NAMES]
    ]
    where = "may come into" if is_in_folds else "lie in"
    yield Remark(
        level="warning" if across else "note",
        text=f"{count_of(len(pairs), 'pair')} of images look the same"
        + (
            f"; {len(across)} of them {where} two parts of the split, so that what was trained on "
            "is tested: remove the copies, or keep them together with --group."
            if across
            else ", each pair in one part of the split."
        ),
        names=tuple(names),
    )


def _of_groups(dataset: Dataset) -> Iterator[Remark]:
    samples = dataset.samples
    if len({sample.group for sample in samples}) < len(samples) or dataset.format != "folder":
        return
    names = [sample.name for sample in samples if sample.part in (None, "train")]
    if guessed := guess_groups([name.rpartition("/")[2] for name in names]):
        expression, num = guessed
        yield Remark(
            level="warning",
            text=f"The names suggest {num} groups of images, such as patients or sequences: if "
            f"images of one belong together, pass --group '{expression}', else what is tested was "
            "as good as trained on.",
        )


def _of_numbers(dataset: Dataset, split: Split, folds: int, few: str) -> Iterator[Remark]:
    """What so many test images can show; `few` says that they are too few, where they are."""
    tested = range(len(dataset.samples)) if folds else split.test
    num = len({dataset.samples[row].group for row in tested})
    what = "test images" if num == len(tested) else f"groups of {len(tested)} test images"
    if few:
        yield Remark(level="warning", text=few)
        return
    low, high = (100 * limit_at(num, sd, 1 - LEVEL) for sd in UNIT_SDS)
    yield Remark(
        level="note",
        text=f"With {num} {what} a difference of two losses is known to about ±{low:.1f} points of "
        f"IoU on large objects, ±{high:.1f} on thin or small ones, however many seeds are run.",
    )
    if not folds and num < MIN_TEST:
        yield Remark(
            level="warning",
            text=f"{num} {what} are few: only large differences can be shown.",
        )


def _measure(facts: Sequence[Facts], size_px: int) -> str:
    """The score that the objects ask for beside IoU."""
    scale = size_px / np.median([max(fact.width, fact.height) for fact in facts])
    thick = [fact.thickness_px for fact in facts if fact.thickness_px is not None]
    objects = [fact.object_px for fact in facts if len(fact.object_px)]
    name, reason = metric_beside(
        float(np.median(thick)) * scale if thick else None,
        float(np.median(np.concatenate(objects))) * scale if objects else None,
    )
    return f"{METRICS[name].heading}: {reason}"


def _named(level: Level, text: str, gathered: Gathered, facts: Sequence[Facts]) -> Remark:
    names = [gathered.dataset.samples[fact.row].name for fact in facts[:MAX_NAMES]]
    return Remark(level=level, text=text, names=tuple(names))


def _spread(values: Sequence[float] | NDArray[np.float64]) -> Spread:
    quantiles = np.quantile(np.asarray(values, dtype=np.float64), (0, 0.25, 0.5, 0.75, 1))
    return Spread(**dict(zip(Spread.model_fields, map(float, quantiles), strict=True)))
