"""How a paired difference moves along a scale, such as decades of density."""

import numpy as np
from numpy.typing import NDArray

from vesica.statistics.interval import Array


def slope_table(difference: Array, position: Array) -> Array:
    """Least-squares slopes within units, as a table that `compare` takes: its mean is the slope.

    Each unit is compared with itself alone, so that what a unit adds to all of its points is gone.
    Where every unit has every point, the table holds the slope of each seed and unit. Where units
    lack points, those that span more of the scale tell more: the slope is `sum Sxy / sum Sxx` over
    units, and the table holds it plus `(Sxy - slope * Sxx) / mean(Sxx)`, by which a unit moves it
    to first order. Its interval is about these points: what others on the scale would do, it does
    not know.

    Args:
        difference: Challenger minus baseline, shape (points, seeds, units); NaN in all seeds where
            a unit lacks a point.
        position: Of the points on the scale, shape (points,).

    Returns:
        Shape (seeds, units that have two points or more), by `has_slope`.

    Raises:
        ValueError: If no unit has two points at different places.

    Source:
        The within estimator of panel data; of a ratio, linearised (Cochran 1977, Sampling
        Techniques, chapter 6).
    """
    kept = has_slope(difference, position)
    if not kept.any():
        raise ValueError("no unit has points at two places of the scale")
    difference = difference[..., kept]
    centred = _centre(difference, position)
    spread = (centred**2).sum(axis=0)
    product = np.einsum("pu,psu->su", centred, np.nan_to_num(difference))
    slope = product.mean() / spread.mean()
    table: Array = slope + (product - slope * spread) / spread.mean()
    return table


def has_slope(difference: Array, position: Array) -> NDArray[np.bool_]:
    """Which units have points at two places of the scale, shape (units,)."""
    spread = (_centre(difference, position) ** 2).sum(axis=0)
    found: NDArray[np.bool_] = spread > 0
    return found


def _centre(difference: Array, position: Array) -> Array:
    """Positions less their mean over the points that a unit has, shape (points, units); 0 where it
    lacks one."""
    there = np.isfinite(difference).all(axis=1)
    num = np.maximum(there.sum(axis=0), 1)
    mean = (there * position[:, None]).sum(axis=0) / num
    centred = np.where(there, position[:, None] - mean, 0.0)
    return np.where(there.sum(axis=0) > 1, centred, 0.0)
