"""A setting: cells that differ in loss and seed only, and their scores as arrays.

A threshold of 1/2 is one decision of many that the same probabilities allow: the scores are kept
under each of them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesica import metrics
from vesica.errors import DataError
from vesica.files import is_there
from vesica.metrics.calibration import NUM_BINS
from vesica.metrics.decision import BIN_PROBS
from vesica.plan import Cell, flatten
from vesica.results import (
    Calibration,
    EndedCell,
    TestScores,
    read_cell,
    read_histograms,
    read_scores,
)
from vesica.spelling import shown

Histograms = NDArray[np.integer]
PerImage = NDArray[np.float64]

IN_OTHER_WORDS = ("format", "fingerprint", "weights_digest")
"""Fields that the names of the images and of the weights stand for."""

HALF, SOFT = "half", "soft"

DECISIONS: dict[str, Callable[[Histograms, Histograms], metrics.Counts]] = {
    HALF: lambda val, test: metrics.counts_at(test, metrics.THRESHOLD),
    "tuned": lambda val, test: metrics.counts_at(test, metrics.tune_threshold(val)),
    "expected_iou": lambda val, test: metrics.expected_iou_counts(test)[0],
    "expected_iou_tempered": lambda val, test: metrics.expected_iou_counts(
        test, temperature=metrics.fit_temperature_to_histograms(val)
    )[0],
}
"""From the histograms of validation and test images to the counts of the test images' masks."""


@dataclass(frozen=True)
class Scores:
    """Those of a setting's cells; what is not there is NaN.

    Attributes:
        names: Of the test images, once for every class.
        unit: The group (person, patient, slide) of each image, or the image itself; from 0.
        iou: Per image and decision, "soft" too; shape (losses, seeds, rows).
        calibration: By loss and seed.
        without: Why other cells have no histograms, and so neither calibration nor decisions.
    """

    names: tuple[str, ...]
    unit: NDArray[np.intp]
    iou: dict[str, NDArray[np.float64]]
    calibration: dict[tuple[str, int], Calibration]
    without: dict[tuple[str, int], str]

    @cached_property
    def by_unit(self) -> dict[str, NDArray[np.float64]]:
        """Means of the images of each unit, which a comparison counts once."""
        sizes = np.bincount(self.unit)

        return {
            name: np.array([[np.bincount(self.unit, row) / sizes for row in rows] for rows in iou])
            for name, iou in self.iou.items()
        }


@dataclass(frozen=True)
class Setting:
    """What may be compared.

    Attributes:
        label: The fields in which it differs from the run's other settings; "" if alone.
        cells: In the plan's order.
        ended: Those that have a result, by their place in it: (loss, seed).
    """

    label: str
    cells: tuple[Cell, ...]
    ended: dict[tuple[str, int], EndedCell] = field(default_factory=dict)

    @cached_property
    def losses(self) -> list[str]:
        """In the plan's order; the first is the baseline that the others challenge."""
        return list(dict.fromkeys(cell.loss for cell in self.cells))

    @cached_property
    def seeds(self) -> list[int]:
        """From the smallest."""
        return sorted({cell.seed for cell in self.cells})

    @property
    def waiting(self) -> list[Cell]:
        """Cells without a result."""
        return [cell for cell in self.cells if (cell.loss, cell.seed) not in self.ended]

    @property
    def num_images(self) -> int:
        """Test images; each has a row of scores for every class."""
        return max((found.result.num_test for found in self.ended.values()), default=0)

    def of(self, loss: str) -> list[EndedCell]:
        """What has ended of a loss, in the plan's order."""
        return [found for found in self.ended.values() if found.cell.loss == loss]

    def seeds_of(self, loss: str) -> list[int]:
        """Seeds with which a loss has scores."""
        return sorted(found.cell.seed for found in self.of(loss) if found.result.has_scores)

    @cached_property
    def scores(self) -> Scores | None:
        """Read once; None while no cell has any.

        Raises:
            DataError: If a file of scores is damaged.
        """
        return _read_all(self)

    def iou(self, loss: str, seeds: Sequence[int], decision: str = HALF) -> NDArray[np.float64]:
        """Per-image IoU, shape (seeds, images)."""
        return self._rows("iou", loss, seeds, decision)

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


def read_settings(run: Path, cells: Sequence[Cell]) -> list[Setting]:
    """Put together what may be compared, with the results that are there."""
    grouped: dict[str, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault(json.dumps(cell.setting(), sort_keys=True), []).append(cell)
    flat = [flatten(members[0].setting()) for members in grouped.values()]
    varying = [
        name
        for name in (flat[0] if flat else ())
        if name not in IN_OTHER_WORDS and len({str(row[name]) for row in flat}) > 1
    ]
    return [
        Setting(
            ", ".join(f"{name} {shown(str(row[name]))}" for name in varying),
            tuple(members),
            {
                (cell.loss, cell.seed): found
                for cell in members
                if (found := read_cell(run, cell)) is not None
            },
        )
        for row, members in zip(flat, grouped.values(), strict=True)
    ]


def difference_of(
    new: tuple[Setting, str], old: tuple[Setting, str], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Per-image IoU of one loss minus another's, shape (seeds, units).

    Cells of the same seed are subtracted; the settings may be two that share their test images.
    """
    return new[0].by_unit(new[1], seeds) - old[0].by_unit(old[1], seeds)


def _read_all(setting: Setting) -> Scores | None:
    scored = [found for found in setting.ended.values() if found.result.has_scores]
    if not scored:
        return None
    first = read_scores(scored[0])
    shape = len(setting.losses), len(setting.seeds), len(first.names)
    iou = {name: np.full(shape, np.nan) for name in (*DECISIONS, SOFT)}
    calibration, without = {}, {}
    for found in scored:
        own = first if found is scored[0] else read_scores(found)
        if (own.names, own.groups) != (first.names, first.groups):
            raise DataError(
                f"{found.folder / 'scores.csv'}: other images than in "
                f"{scored[0].folder.name}; delete {found.folder} and run the same command again"
            )
        loss, seed = found.cell.loss, found.cell.seed
        place = setting.losses.index(loss), setting.seeds.index(seed)
        iou[HALF][place], iou[SOFT][place] = metrics.iou(own.counts), own.iou_soft
        histograms = _read_histograms(found, own)
        if isinstance(histograms, str):
            without[loss, seed] = histograms
            continue
        for name, decide in DECISIONS.items():
            iou[name][place] = metrics.iou(decide(*histograms))
        calibration[loss, seed] = _calibrate(loss, *histograms)
    _, unit = np.unique(first.groups, return_inverse=True)
    return Scores(first.names, unit, iou, calibration, without)


def _read_histograms(found: EndedCell, scores: TestScores) -> tuple[Histograms, Histograms] | str:
    """Of validation and test images; or why there are none that belong to the scores."""
    path = found.folder / "histograms.npz"
    if not is_there(path):
        return "earlier versions wrote none"
    try:
        val, test = read_histograms(path, len(scores.names))
    except (OSError, DataError) as error:
        return str(error)
    counts = metrics.counts_at(test, metrics.THRESHOLD)
    is_same = np.array_equal(counts.tp, scores.counts.tp)
    is_same &= np.array_equal(counts.fp, scores.counts.fp)
    return (val, test) if is_same else "they are of other images"


def _calibrate(loss: str, val: Histograms, test: Histograms) -> Calibration:
    temperature = metrics.fit_temperature_to_histograms(val)
    return Calibration(
        loss=loss,
        temperature=temperature,
        calibration_error=calibration_error_of(test),
        calibration_error_tempered=calibration_error_of(test, temperature=temperature),
    )


def calibration_error_of(histograms: Histograms, *, temperature: float = 1.0) -> float:
    """Pooled calibration error in 15 bins, of logits divided by a temperature.

    A histogram's bin counts as its middle: raw, this is within 1/512 of the mean probability of
    each, and as the 15 bins do not begin where the 256 do, a few pixels may change theirs.

    Args:
        histograms: As `metrics.histogram` makes them.
        temperature: Fitted on other images.
    """
    negative, positive = np.asarray(np.sum(histograms, axis=0, dtype=np.int64))
    probs = metrics.temper(BIN_PROBS, temperature)
    count, prob_sum, positives = np.zeros((3, 1, NUM_BINS))
    place = np.minimum((probs * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    np.add.at(count[0], place, negative + positive)
    np.add.at(prob_sum[0], place, (negative + positive) * probs)
    np.add.at(positives[0], place, positive)
    reliability = metrics.Reliability(count.astype(np.int64), prob_sum, positives.astype(np.int64))
    return float(metrics.calibration_error(reliability)[0])
