"""A setting: cells that differ in loss and seed only."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesica import metrics
from vesica.judge.histograms import HALF
from vesica.judge.scores import Place, Scores, put_together
from vesica.plan import Cell, flatten
from vesica.results import EndedCell, read_cell
from vesica.spelling import shown

IN_OTHER_WORDS = ("format", "fingerprint", "weights_digest")
"""Fields that the names of the images and of the weights stand for."""


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
        return put_together(self.ended, self.losses, self.seeds)

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
