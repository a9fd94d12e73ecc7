"""Was the published IoU that of masks? What accuracy and density allow.

Of all test pixels, let a fraction q be foreground and e = 1 - accuracy be wrong. The pooled IoU of
masks is (q - FN) / (q + FP) with FN + FP = e, so it lies between (q - e) / q, where all that is
wrong is missed, and q / (q + e), where all is false alarm. The other way round, masks with accuracy
1 - e and IoU J have a density q between e J / (1 - J) and e / (1 - J).

The tables round to thousandths; every bound here is the widest that rounding allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vesica.paper.published import FOREGROUND, LOSSES, ROWS, Loss, Row

HALF_UNIT = 0.0005
"""Of the tables' last digit."""
IMAGE_PIXELS = 250 * 250

Position = Literal["below", "only by rounding", "inside", "above"]


@dataclass(frozen=True)
class Density:
    """How much of LFW's test images is foreground, in the stored labels (250 x 250 pixels).

    Attributes:
        pixels: Foreground pixels of each test image, in the order of names.
        lowest: Foreground pixels of those 292 images in a row that have the fewest.
        highest: Of those that have the most.
    """

    pixels: NDArray[np.int64]
    lowest: int
    highest: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of each test image."""
        return self.pixels / IMAGE_PIXELS

    @property
    def share(self) -> float:
        """Of all test images together."""
        return float(self.shares.mean())

    @property
    def reach(self) -> tuple[float, float]:
        """Lowest and highest share of 292 images in a row: other splits by name."""
        whole = len(self.pixels) * IMAGE_PIXELS
        return self.lowest / whole, self.highest / whole


with resources.files("vesica.paper").joinpath("foreground.csv").open(encoding="utf-8") as _lines:
    _FACE, _FACE_AND_HAIR = np.loadtxt(_lines, np.int64, delimiter=",", skiprows=1, unpack=True)

LFW = {
    False: Density(_FACE, 3_805_375, 4_082_565),
    True: Density(_FACE_AND_HAIR, 5_427_950, 6_233_666),
}
"""By whether hair counts as face: the last 292 of the 2927 names in their order.

Made by `python benchmarks/count_foreground.py LFW_FOLDER`; a test compares them where the data is
there. Resized to 224 x 224 pixels, the densities are the same to four digits. HELEN's part
masks were not at hand, and no density of it is used.
"""


@dataclass(frozen=True)
class Score:
    """One published pair of accuracy and IoU: a row's, of one loss."""

    row: Row
    loss: Loss

    @property
    def error(self) -> float:
        """1 - accuracy."""
        return 1 - int(getattr(self.row.accuracy, self.loss)) / 1000

    @property
    def iou(self) -> float:
        """As published, a fraction."""
        return int(getattr(self.row.iou, self.loss)) / 1000

    @property
    def density_low(self) -> float:
        """The smallest density with which masks can have both."""
        low = self.iou - HALF_UNIT
        return (self.error - HALF_UNIT) * low / (1 - low)

    @property
    def density_high(self) -> float:
        """The largest."""
        return (self.error + HALF_UNIT) / (1 - (self.iou + HALF_UNIT))

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


def scores(
    data: str | None = None, hair: bool = True, losses: Sequence[Loss] = LOSSES
) -> list[Score]:
    """All thirty-two, or those of a data set and target, which share their test images."""
    rows = [row for row in ROWS if data is None or (row.data, row.hair) == (data, hair)]
    return [Score(row, loss) for row in rows for loss in losses]


def common_density(chosen: Sequence[Score]) -> tuple[float, float]:
    """The lowest and highest density that fits all scores; the first is above if none does."""
    return max(score.density_low for score in chosen), min(score.density_high for score in chosen)


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


def softness() -> dict[str, Any]:
    """Densities, all scores, common densities and what accuracy says of the difference."""
    gains = [_gain(row) for row in ROWS]
    return {
        "densities": [
            {
                "target": FOREGROUND[hair],
                "num_test": len(density.pixels),
                "share": density.share,
                "split_low": density.reach[0],
                "split_high": density.reach[1],
            }
            for hair, density in LFW.items()
        ],
        "cells": [_judge(score) for score in scores()],
        "common": [_common(data, hair) for data in ("LFW", "HELEN") for hair in (True, False)],
        "differences": gains,
        "mean": {
            name: float(np.mean([gain[name] for gain in gains]))
            for name in ("published", "from_accuracy", "remainder")
        },
    }


def _judge(score: Score) -> dict[str, Any]:
    """A score; where the density was counted, with the range of masks at it."""
    row = score.row
    judged: dict[str, Any] = {
        "table": row.table,
        "network": row.network,
        "data": row.data,
        "name": row.name,
        "loss": score.loss,
        "accuracy": round(1 - score.error, 3),
        "iou": score.iou,
        "density_low": score.density_low,
        "density_high": score.density_high,
    }
    if row.data != "LFW":
        # All that is known of HELEN: what its networks trained with IoU loss allow together.
        low, high = common_density(scores("HELEN", row.hair, ["iou"]))
        return judged | {
            "fits_iou_trained": score.density_low <= high and low <= score.density_high
        }
    density = LFW[row.hair]
    low, high = score.range_at(density.share)
    error = score.error + HALF_UNIT
    return judged | {
        "mask_low": low,
        "mask_high": high,
        "position": score.position_at(density.share),
        "missed_share": score.missed_share_at(density.share),
        "fails_any_split": score.density_high < density.reach[0]
        or score.density_low > density.reach[1],
        "mean_low_even": even_mean_iou(density, error),
        "mean_low": lowest_mean_iou(density, error),
    }


def _common(data: str, hair: bool) -> dict[str, Any]:
    """Whether one density fits all networks trained with one loss, and with both."""
    chosen: dict[str, Sequence[Loss]] = {"iou": ["iou"], "bce": ["bce"], "both": LOSSES}
    ends = {name: common_density(scores(data, hair, losses)) for name, losses in chosen.items()}
    return {
        "data": data,
        "target": FOREGROUND[hair],
        "counted": LFW[hair].share if data == "LFW" else None,
        **{
            name: {"low": low, "high": high, "exists": low <= high}
            for name, (low, high) in ends.items()
        },
    }


def _gain(row: Row) -> dict[str, Any]:
    """The published difference of IoU beside that of masks with the published accuracies.

    `from_accuracy` lets masks miss as many pixels as they add; `low` and `high` leave that open.
    All in points. The density of HELEN is the middle of what its networks trained with IoU loss
    allow.
    """
    density = LFW[row.hair].share
    if row.data != "LFW":
        density = sum(common_density(scores("HELEN", row.hair, ["iou"]))) / 2
    iou, bce = Score(row, "iou"), Score(row, "bce")
    (iou_low, iou_high), (bce_low, bce_high) = iou.range_at(density), bce.range_at(density)
    published = row.iou.difference / 10
    from_accuracy = 100 * (iou.balanced_at(density) - bce.balanced_at(density))
    return {
        "setup": row.setup,
        "density": density,
        "published": published,
        "from_accuracy": from_accuracy,
        "remainder": published - from_accuracy,
        "low": 100 * (iou_low - bce_high),
        "high": 100 * (iou_high - bce_low),
        "iou_balanced": iou.balanced_at(density),
        "bce_balanced": bce.balanced_at(density),
    }
