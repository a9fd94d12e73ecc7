"""A setting: cells that differ in loss and seed only, and their scores as arrays.

A threshold of 1/2 is one decision of many that the same probabilities allow: the scores are kept
under each of them.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
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
from vesica.plan import Cell, flatten
from vesica.results import Calibration, EndedCell, read_cell, read_scores
from vesica.spelling import shown

IN_OTHER_WORDS = ("format", "fingerprint", "weights_digest")
"""Fields that the names of the images and of the weights stand for."""


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
        """Means of the rows of each unit, which a comparison counts once."""
        unit = self.unit[self.counted]
        sizes = np.bincount(unit)
        some = sizes > 0  # a unit may have nothing that counts

        def mean(row: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(unit, row[self.counted])[some] / sizes[some]

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


@dataclass(frozen=True)
class Setting:
    """What may be compared.

    Attributes:
        label: The fields in which it differs from the run's other settings; "" if alone.
        cells: In the plan's order.
        ended: Those that have a result.
        is_beside: Whether these are the averages that are scored beside the weights.
    """

    label: str
    cells: tuple[Cell, ...]
    ended: dict[Place, EndedCell] = field(default_factory=dict)
    is_beside: bool = False

    @cached_property
    def losses(self) -> list[str]:
        """In the plan's order; the first is the baseline that the others challenge."""
        return list(dict.fromkeys(cell.loss for cell in self.cells))

    @cached_property
    def seeds(self) -> list[int]:
        """From the smallest."""
        return sorted({cell.seed for cell in self.cells})

    @cached_property
    def folds(self) -> list[int]:
        """Divisions of the images that test each of them once; [0] where there is only one."""
        return sorted({cell.data.fold or 0 for cell in self.cells})

    @property
    def waiting(self) -> list[Cell]:
        """Cells without a result."""
        return [cell for cell in self.cells if Place.of(cell) not in self.ended]

    @property
    def num_images(self) -> int:
        """Test images that count; each has a row of scores for every class."""
        if self.scores is not None and not self.waiting:
            return self.scores.num_images
        by_fold = {place.fold: found.result.num_test for place, found in self.ended.items()}
        return sum(by_fold.values())

    def of(self, loss: str) -> list[EndedCell]:
        """What has ended of a loss, in the plan's order."""
        return [found for found in self.ended.values() if found.cell.loss == loss]

    def seeds_of(self, loss: str) -> list[int]:
        """Seeds with which a loss has scores, of every fold."""
        num = Counter(found.cell.seed for found in self.of(loss) if found.result.has_scores)
        return sorted(seed for seed, count in num.items() if count == len(self.folds))

    def trained_seeds_of(self, loss: str) -> list[int]:
        """Those of them with which it has learned something, in every fold."""
        untrained = self.scores.untrained if self.scores else frozenset()
        lost = {place.seed for place in untrained if place.loss == loss}
        return [seed for seed in self.seeds_of(loss) if seed not in lost]

    def failed_seeds_of(self, loss: str) -> list[int]:
        """Seeds of which a fold has ended without scores, or has learned nothing."""
        trained = self.trained_seeds_of(loss)
        return sorted({found.cell.seed for found in self.of(loss)}.difference(trained))

    def runs_of(self, loss: str, seed: int) -> list[EndedCell]:
        """What has ended of a loss and seed, fold by fold."""
        places = (Place(loss, seed, fold) for fold in self.folds)
        return [self.ended[place] for place in places if place in self.ended]

    @cached_property
    def scores(self) -> Scores | None:
        """Read once; None while no cell has any.

        Raises:
            DataError: If a file of scores is damaged.
        """
        return _read_all(self)

    @cached_property
    def labels(self) -> list[str]:
        """What each row of the scores is called: its image, and its class if there are several."""
        assert self.scores is not None
        names, classes = self.scores.names, self.cells[0].data.class_names
        if len(classes) < 2:
            return list(names)
        return [f"{name}, {classes[row % len(classes)]}" for row, name in enumerate(names)]

    def of_class(self, number: int) -> "Setting":
        """The same about one class alone."""
        one = replace(self)
        one.__dict__["scores"] = None if self.scores is None else self.scores.of_class(number)
        return one

    def iou(self, loss: str, seeds: Sequence[int], decision: str = HALF) -> NDArray[np.float64]:
        """Per-image IoU, shape (seeds, rows); NaN where a row does not count."""
        assert self.scores is not None
        rows = self._rows("iou", loss, seeds, decision)
        return np.where(self.scores.counted, rows, np.nan)

    def mean_iou(self, loss: str, seeds: Sequence[int], decision: str = HALF) -> float:
        """Mean over seeds and images, of which each is worth the mean over its classes."""
        assert self.scores is not None
        num_classes = self.scores.num_classes
        rows = self.iou(loss, seeds, decision)
        by_image = np.array([metrics.of_images(row, num_classes) for row in rows])
        return float(np.compress(np.isfinite(by_image).all(axis=0), by_image, axis=1).mean())

    def by_unit(self, loss: str, seeds: Sequence[int], decision: str = HALF) -> NDArray[np.float64]:
        """The same as means of units, shape (seeds, units)."""
        return self._rows("by_unit", loss, seeds, decision)

    def _rows(
        self, kind: str, loss: str, seeds: Sequence[int], decision: str
    ) -> NDArray[np.float64]:
        assert self.scores is not None
        table = self.scores.iou if kind == "iou" else self.scores.by_unit
        rows: NDArray[np.float64] = table[decision][self.losses.index(loss)]
        return np.take(rows, [self.seeds.index(seed) for seed in seeds], axis=0)


def read_settings(run: Path, cells: Sequence[Cell], *, is_beside: bool = False) -> list[Setting]:
    """Put together what may be compared, with the results that are there.

    Args:
        run: The run's folder.
        cells: Of its plan.
        is_beside: Take the averages that are scored beside the weights, of the cells that have one.
    """
    if is_beside:
        cells = [cell for cell in cells if cell.recipe.beside != "none"]
    grouped: dict[str, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault(json.dumps(cell.setting(), sort_keys=True), []).append(cell)
    flat = [flatten(members[0].setting()) for members in grouped.values()]
    varying = [
        name
        for name in (flat[0] if flat else ())
        if name not in IN_OTHER_WORDS and len({str(row[name]) for row in flat}) > 1
    ]
    labels = [", ".join(f"{name} {shown(str(row[name]))}" for name in varying) for row in flat]
    if len(set(labels)) < len(labels):  # only the images differ
        spelled = [shown(members[0].data.spelled) for members in grouped.values()]
        labels = [", ".join(filter(None, both)) for both in zip(spelled, labels, strict=True)]
    if is_beside:
        names = [f"{shown(members[0].recipe.beside)} beside" for members in grouped.values()]
        labels = [", ".join(filter(None, both)) for both in zip(labels, names, strict=True)]
    return [
        Setting(
            label,
            tuple(members),
            {
                Place.of(cell): found
                for cell in members
                if (found := read_cell(run, cell, is_beside=is_beside)) is not None
            },
            is_beside,
        )
        for label, members in zip(labels, grouped.values(), strict=True)
    ]


def difference_of(
    new: tuple[Setting, str], old: tuple[Setting, str], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Per-image IoU of one loss minus another's, shape (seeds, units).

    Cells of the same seed are subtracted; the settings may be two that share their test images.
    """
    return new[0].by_unit(new[1], seeds) - old[0].by_unit(old[1], seeds)


def fold_of_units(setting: Setting) -> NDArray[np.intp] | None:
    """Which fold tested each unit; None where the images are divided once."""
    if setting.scores is None or len(setting.folds) == 1:
        return None
    return setting.scores.fold_of_units


def _read_all(setting: Setting) -> Scores | None:
    scored = {place: f for place, f in setting.ended.items() if f.result.has_scores}
    if not scored:
        return None
    read = {place: read_scores(found) for place, found in scored.items()}
    first = {place.fold: place for place in reversed(scored)}
    for place, scores in read.items():
        other = first[place.fold]
        if (scores.names, scores.groups) != (read[other].names, read[other].groups):
            folder = scored[place].folder
            raise DataError(
                f"{folder / 'scores.csv'}: other images than in {scored[other].folder.name}; "
                f"{train_again(folder)}"
            )
    of_fold = {fold: read[first[fold]] for fold in sorted(first)}
    names = tuple(name for scores in of_fold.values() for name in scores.names)
    groups = tuple(group for scores in of_fold.values() for group in scores.groups)
    fold_of = np.repeat(list(of_fold), [len(scores.names) for scores in of_fold.values()])
    shape = len(setting.losses), len(setting.seeds), len(names)
    iou = {name: np.full(shape, np.nan) for name in (*DECISIONS, SOFT)}
    calibration, reliability, without, untrained = {}, {}, {}, set()
    for place, own in read.items():
        rows = setting.losses.index(place.loss), setting.seeds.index(place.seed)
        images = np.flatnonzero(fold_of == place.fold)
        iou[HALF][*rows, images], iou[SOFT][*rows, images] = metrics.iou(own.counts), own.iou_soft
        histograms = histograms_of(scored[place], own)
        if isinstance(histograms, str):
            without[place] = histograms
            if scored[place].result.status == "collapsed":
                untrained.add(place)
            continue
        for name, decide in DECISIONS.items():
            counts = decide(*histograms, scored[place].cell.empty)
            iou[name][*rows, images] = metrics.iou(counts)
        calibration[place] = calibrate(place.loss, *histograms)
        reliability[place] = reliability_of(histograms[1])
        if not has_trained(histograms[0], scored[place].cell):
            untrained.add(place)
    units, unit = np.unique(groups, return_inverse=True)
    found = next(iter(scored.values()))
    num_classes = found.result.num_classes
    counts = metrics.Counts.join([scores.counts for scores in of_fold.values()])
    is_there, whole = counts.tp + counts.fn > 0, counts.pooled(num_classes)
    is_skipped = found.cell.empty == "skip"
    return Scores(
        names,
        unit,
        tuple(units.tolist()),
        fold_of,
        iou,
        calibration,
        reliability,
        without,
        frozenset(untrained),
        is_there if is_skipped else np.ones_like(is_there),
        num_classes,
        (whole.tp + whole.fn) / (whole.tp + whole.fp + whole.fn + whole.tn),
    )
