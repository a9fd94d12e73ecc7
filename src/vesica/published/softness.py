"""Every published pair tested for being of masks, and what is left of the gain if it is not."""

from typing import Any

import numpy as np

from vesica.published.densities import LFW
from vesica.published.hardness import (
    HALF_UNIT,
    Cell,
    cells,
    common_density,
    even_mean_iou,
    lowest_mean_iou,
    pick,
)
from vesica.published.tables import Data, Row, points, rows

DATA: tuple[Data, ...] = ("LFW", "HELEN")


def softness() -> dict[str, Any]:
    """Densities, all cells, common densities and what accuracy says of the difference."""
    return {
        "densities": [_density(hair) for hair in (False, True)],
        "cells": [_judge(cell) for cell in cells()],
        "common": [_common(data, hair) for data in DATA for hair in (True, False)],
        "differences": (gains := [_gain(row) for row in rows()]),
        "mean": {
            name: float(np.mean([gain[name] for gain in gains]))
            for name in ("published", "from_accuracy", "remainder")
        },
    }


def density_of(row: Row) -> float:
    """LFW: counted. HELEN: the middle of what all four cells trained with IoU loss allow."""
    if row.data == "LFW":
        return LFW[row.hair].share
    return common_density(pick("HELEN", row.hair, ("iou",))).middle


def _density(hair: bool) -> dict[str, Any]:
    density = LFW[hair]
    low, high = density.reach
    return {
        "target": "face+hair" if hair else "face",
        "num_test": len(density.pixels),
        "share": density.share,
        "split_low": low,
        "split_high": high,
    }


def _judge(cell: Cell) -> dict[str, Any]:
    """A cell; where the density was counted, with the range of masks at it."""
    judged: dict[str, Any] = {
        "table": cell.row.table,
        "network": cell.row.network,
        "data": cell.row.data,
        "name": cell.row.name,
        "loss": cell.loss,
        "accuracy": round(1 - cell.error, 3),
        "iou": cell.iou,
        "density_low": cell.density_low,
        "density_high": cell.density_high,
    }
    if cell.row.data != "LFW":
        # All that is known of HELEN: what its cells trained with IoU loss allow together.
        trained = common_density(pick("HELEN", cell.row.hair, ("iou",)))
        fits = cell.density_low <= trained.high and trained.low <= cell.density_high
        return judged | {"fits_iou_trained": fits}
    density = LFW[cell.row.hair]
    low, high = cell.range_at(density.share)
    error = cell.error + HALF_UNIT
    return judged | {
        "mask_low": low,
        "mask_high": high,
        "position": cell.position_at(density.share),
        "missed_share": cell.missed_share_at(density.share),
        "fails_any_split": cell.density_high < density.reach[0]
        or cell.density_low > density.reach[1],
        "mean_low_even": even_mean_iou(density, error),
        "mean_low": lowest_mean_iou(density, error),
    }


def _common(data: Data, hair: bool) -> dict[str, Any]:
    iou, bce = (common_density(pick(data, hair, (loss,))) for loss in ("iou", "bce"))
    both = common_density(pick(data, hair))
    return {
        "data": data,
        "target": "face+hair" if hair else "face",
        "counted": LFW[hair].share if data == "LFW" else None,
        "iou": {"low": iou.low, "high": iou.high, "exists": iou.exists},
        "bce": {"low": bce.low, "high": bce.high, "exists": bce.exists},
        "both": {"low": both.low, "high": both.high, "exists": both.exists},
    }


def _gain(row: Row) -> dict[str, Any]:
    """The published difference of IoU beside that of masks with the published accuracies.

    `from_accuracy` lets masks miss as many pixels as they add; `low` and `high` leave that open.
    All in points.
    """
    density = density_of(row)
    iou, bce = (cell for cell in cells() if cell.row == row)
    (iou_low, iou_high), (bce_low, bce_high) = iou.range_at(density), bce.range_at(density)
    published = points(row.iou.difference)
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
