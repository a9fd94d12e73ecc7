"""The scores of a setting's cells as arrays.

A threshold of 1/2 is one decision of many that the same probabilities allow: the scores are kept
under each of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vesica import metrics
from vesica.errors import DataError
from vesica.files import train_again
from vesica.judge.histograms import (
    DECISIONS,
    HALF,
    SOFT,
    calibrate,
    has_trained,
    histograms_of,
    reliability_of,
)
from vesica.plan import Cell
from vesica.results import Calibration, EndedCell, TestScores, read_scores


class Place(NamedTuple):
    """Of a cell within its setting; `fold` is 0 where the images are divided once."""

    loss: str
    seed: int
    fold: int = 0

    @classmethod
    def of(cls, cell: Cell) -> "Place":
        """Where a cell belongs."""
        return cls(cell.loss, cell.seed, cell.data.fold or 0)


@dataclass(frozen=True)
class Scores:
    """Those of a setting's cells; what is not there is NaN.

    Attributes:
        names: Of the test images, once for every class; fold by fold.
        unit: The group (person, patient, slide) of each image, or the image itself; from 0.
        groups: What the units are called.
        fold: That tested each image.
        iou: Per image and decision, "soft" too; shape (losses, seeds, rows).
        counted: Rows that count; the others are of classes that their image has none of.
        num_classes: Rows of each image.
        shares: Of all pixels that count, by class.
        calibration: By cell.
        reliability: By cell: all test pixels together.
        without: Why other cells have no histograms, and so neither calibration nor decisions.
        untrained: Cells that have learned nothing.
    """

    names: tuple[str, ...]
    unit: NDArray[np.intp]
    groups: tuple[str, ...]
    fold: NDArray[np.intp]
    iou: dict[str, NDArray[np.float64]]
    calibration: dict[Place, Calibration]
    reliability: dict[Place, metrics.Reliability]
    without: dict[Place, str]
    untrained: frozenset[Place]
    counted: NDArray[np.bool_]
    num_classes: int
    shares: NDArray[np.float64]

    @cached_property
    def by_unit(self) -> dict[str, NDArray[np.float64]]:
        """Means over the images of each unit, which a comparison counts once; an image is worth the
        mean over its classes that count."""
        unit = self.unit[self.counted]
        by_image = self.counted.reshape(-1, self.num_classes)
        share = 1 / np.maximum(by_image.sum(axis=1), 1)
        weight = np.repeat(share, self.num_classes)[self.counted]
        num_images = np.bincount(unit, weight)
        some = num_images > 0  # a unit may have nothing that counts

        def mean(row: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(unit, weight * row[self.counted])[some] / num_images[some]

        return {
            name: np.array([[mean(row) for row in rows] for rows in iou])
            for name, iou in self.iou.items()
        }

    @property
    def units(self) -> list[str]:
        """What the columns of `by_unit` are called."""
        return [self.groups[unit] for unit in np.unique(self.unit[self.counted])]

    @property
    def fold_of_units(self) -> NDArray[np.intp]:
        """Which fold tested each unit of `by_unit`; no unit is in two."""
        _, first = np.unique(self.unit[self.counted], return_index=True)
        fold: NDArray[np.intp] = self.fold[self.counted][first]
        return fold

    @property
    def num_images(self) -> int:
        """Test images that have a row that counts."""
        return int(self.counted.reshape(-1, self.num_classes).any(axis=1).sum())

    def of_class(self, number: int) -> "Scores":
        """The same with the rows of one class alone."""
        is_its = np.arange(len(self.names)) % self.num_classes == number
        return replace(self, counted=self.counted & is_its)


def put_together(
    ended: Mapping[Place, EndedCell], losses: Sequence[str], seeds: Sequence[int]
) -> Scores | None:
    """Read the scores of the cells that have ended; None while none has any.

    Args:
        ended: Cells of one setting.
        losses: All of the setting; the first axis of its scores.
        seeds: All of them; the second.

    Raises:
        DataError: If a file of scores is damaged, or of other images than the others.
    """
    scored = {place: found for place, found in ended.items() if found.result.has_scores}
    if not scored:
        return None
    read = {place: read_scores(found) for place, found in scored.items()}
    first = {place.fold: place for place in reversed(scored)}
    _check_images(read, first, scored)
    of_fold = {fold: read[first[fold]] for fold in sorted(first)}
    names = tuple(name for scores in of_fold.values() for name in scores.names)
    groups = tuple(group for scores in of_fold.values() for group in scores.groups)
    fold_of = np.repeat(list(of_fold), [len(scores.names) for scores in of_fold.values()])
    shape = len(losses), len(seeds), len(names)
    iou = {name: np.full(shape, np.nan) for name in (*DECISIONS, SOFT)}
    decided = {place: _decide(scored[place], own) for place, own in read.items()}
    for place, found in decided.items():
        images = np.flatnonzero(fold_of == place.fold)
        for name, values in found.iou.items():
            iou[name][losses.index(place.loss), seeds.index(place.seed), images] = values
    units, unit = np.unique(groups, return_inverse=True)
    any_cell = next(iter(scored.values()))
    num_classes = any_cell.result.num_classes
    counts = metrics.Counts.join([scores.counts for scores in of_fold.values()])
    is_there, whole = counts.tp + counts.fn > 0, counts.pooled(num_classes)
    return Scores(
        names=names,
        unit=unit,
        groups=tuple(units.tolist()),
        fold=fold_of,
        iou=iou,
        calibration={place: one.calibration for place, one in decided.items() if one.calibration},
        reliability={place: one.reliability for place, one in decided.items() if one.reliability},
        without={place: one.without for place, one in decided.items() if one.without},
        untrained=frozenset(place for place, one in decided.items() if not one.has_trained),
        counted=is_there if any_cell.cell.empty == "skip" else np.ones_like(is_there),
        num_classes=num_classes,
        shares=(whole.tp + whole.fn) / (whole.tp + whole.fp + whole.fn + whole.tn),
    )


def _check_images(
    read: Mapping[Place, TestScores], first: Mapping[int, Place], scored: Mapping[Place, EndedCell]
) -> None:
    for place, scores in read.items():
        other = first[place.fold]
        if (scores.names, scores.groups) != (read[other].names, read[other].groups):
            folder = scored[place].folder
            raise DataError(
                f"{folder / 'scores.csv'}: other images than in {scored[other].folder.name}; "
                f"{train_again(folder)}"
            )


@dataclass(frozen=True)
class _Decided:
    """A cell under every decision that its files allow."""

    iou: dict[str, NDArray[np.float64]]
    has_trained: bool
    without: str = ""
    calibration: Calibration | None = None
    reliability: metrics.Reliability | None = None


def _decide(found: EndedCell, own: TestScores) -> _Decided:
    iou = {HALF: metrics.iou(own.counts), SOFT: own.iou_soft}
    histograms = histograms_of(found, own)
    if isinstance(histograms, str):
        return _Decided(iou, found.result.status != "collapsed", histograms)
    val, test = histograms
    counts = {name: decide(val, test, found.cell.empty) for name, decide in DECISIONS.items()}
    return _Decided(
        iou | {name: metrics.iou(of_masks) for name, of_masks in counts.items()},
        has_trained(val, found.cell),
        calibration=calibrate(found.cell.loss, val, test),
        reliability=reliability_of(test),
    )
