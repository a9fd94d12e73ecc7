"""What is in a data set, how it was understood, and what stands in the way of a verdict.

`gather` reads every image once (`data/facts.py`); `examine` makes findings of the facts; nothing is
trained, and nothing is written.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vesica.data.facts import Facts, Gathered, gather_facts
from vesica.data.library import Library
from vesica.data.source import Source
from vesica.data.split import Split
from vesica.errors import DataError, join_lines
from vesica.recipes import RECIPES
from vesica.remarks import Remark, remarks_on
from vesica.results.scores import METRICS, OF_LARGE, SMALL_PX, Model, metric_beside

SIZE_PX: int = RECIPES["modern"]["size"]


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
        measure: What to look at beside IoU, and why; "" where nothing says it.
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
        raise DataError(join_lines(problems))
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
    few = library.say_few(divided) if split else ""
    objects = np.concatenate([fact.object_px for fact in facts])
    thick = [fact.thickness_px for fact in facts if fact.thickness_px is not None]
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
        remarks=remarks_on(gathered, split, why_not, folds, few),
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


def _measure(facts: Sequence[Facts], size_px: int) -> str:
    """The score that the objects ask for beside IoU; "" where they have no inside to speak of."""
    scale = size_px / np.median([max(fact.width, fact.height) for fact in facts])
    name, reason = metric_beside(
        [scale * fact.thickness_px for fact in facts if fact.thickness_px is not None],
        [scale * float(px) for fact in facts for px in fact.object_px],
    )
    objects = [float(px) for fact in facts for px in fact.object_px]
    if not objects or (name == OF_LARGE and np.median(objects) < SMALL_PX):
        return ""
    return f"{METRICS[name].heading}: {reason}"


def _spread(values: Sequence[float] | NDArray[np.float64]) -> Spread:
    quantiles = np.quantile(np.asarray(values, dtype=np.float64), (0, 0.25, 0.5, 0.75, 1))
    return Spread(**dict(zip(Spread.model_fields, map(float, quantiles), strict=True)))
