"""Was the published IoU that of masks? What accuracy and density allow.

Of all test pixels, let a fraction q be foreground and e = 1 - accuracy be wrong. The pooled IoU of
masks is (q - FN) / (q + FP) with FN + FP = e, so it lies between (q - e) / q, where all that is
wrong is missed, and q / (q + e), where all is false alarm. The other way round, masks with accuracy
1 - e and IoU J have a density q between e J / (1 - J) and e / (1 - J).

The tables round to thousandths; every bound here is the widest that rounding allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vesica.published.densities import Density
from vesica.published.tables import LOSSES, Data, Loss, Row, rows

HALF_UNIT = 0.0005
"""Of the tables' last digit."""

Position = Literal["below", "only by rounding", "inside", "above"]


@dataclass(frozen=True)
class Cell:
    """One published pair of accuracy and IoU.

    Attributes:
        row: Its set-up.
        loss: What the network was trained with.
        error: 1 - accuracy.
        iou: As published, a fraction.
        density_low: The smallest density with which masks can have both.
        density_high: The largest.
    """

    row: Row
    loss: Loss
    error: float
    iou: float
    density_low: float
    density_high: float

    @property
    def name(self) -> str:
        """The set-up and the loss."""
        return f"{self.row.setup}, {self.loss}"

    def range_at(self, density: float) -> tuple[float, float]:
        """Lowest and highest pooled IoU of masks with this accuracy."""
        lowest = (density - self.error - HALF_UNIT) / density
        return max(0.0, lowest), density / (density + self.error - HALF_UNIT)

    def balanced_at(self, density: float) -> float:
        """Pooled IoU of masks with this accuracy that miss as many pixels as they add."""
        return (density - self.error / 2) / (density + self.error / 2)

    def missed_share_at(self, density: float) -> float:
        """Share of the wrong pixels that masks miss if both values are exact; above 1: none can."""
        return (density - self.error * self.iou / (1 - self.iou)) / self.error

    def position_at(self, density: float) -> Position:
        """Where the published IoU lies in the range of masks."""
        if density > self.density_high:
            return "below"
        if density < self.density_low:
            return "above"
        return "inside" if 0 <= self.missed_share_at(density) <= 1 else "only by rounding"


@dataclass(frozen=True)
class Common:
    """Whether one density fits several cells.

    Attributes:
        low: The smallest density that every cell allows.
        high: The largest; below `low` if none fits all.
    """

    low: float
    high: float

    @property
    def exists(self) -> bool:
        """Whether any density fits."""
        return self.low <= self.high

    @property
    def middle(self) -> float:
        """Halfway."""
        return (self.low + self.high) / 2


def cells() -> list[Cell]:
    """All thirty-two, set-up by set-up."""
    return [cell_of(row, loss) for row in rows() for loss in LOSSES]


def pick(data: Data, hair: bool, losses: Sequence[Loss] = LOSSES) -> list[Cell]:
    """The cells of one data set and target: both networks and both sizes share test images."""
    return [
        cell
        for cell in cells()
        if (cell.row.data, cell.row.hair) == (data, hair) and cell.loss in losses
    ]


def common_density(chosen: Sequence[Cell]) -> Common:
    """The densities with which masks can have the values of all the cells."""
    return Common(
        max(cell.density_low for cell in chosen), min(cell.density_high for cell in chosen)
    )


def lowest_mean_iou(density: Density, error: float) -> float:
    """The lowest mean of per-image IoU of masks with a mean error of `error`.

    Pixels missed in the smallest object cost most: the images with the least foreground are missed
    whole, one after the other, and all others are perfect.
    """
    shares = np.sort(density.shares)
    left = error * len(shares)
    missed = np.clip(left - np.concatenate([[0.0], np.cumsum(shares)[:-1]]), 0, shares)
    return float(np.mean(1 - missed / shares))


def even_mean_iou(density: Density, error: float) -> float:
    """The lowest mean of per-image IoU of masks with the same error in every image."""
    return float(np.mean(np.maximum(density.shares - error, 0) / density.shares))


def cell_of(row: Row, loss: Loss) -> Cell:
    """A row's accuracy and IoU of one loss, with the densities that rounding allows."""
    error = 1 - getattr(row.accuracy, loss) / 1000
    iou = getattr(row.iou, loss) / 1000
    low, high = iou - HALF_UNIT, iou + HALF_UNIT
    return Cell(
        row=row,
        loss=loss,
        error=error,
        iou=iou,
        density_low=(error - HALF_UNIT) * low / (1 - low),
        density_high=(error + HALF_UNIT) / (1 - high),
    )
