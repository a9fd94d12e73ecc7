"""Is one loss better than another, by how much, and is that more than luck?

The data are paired differences, `difference[seed, unit]`: the score of the challenger minus that of
the baseline, both fractions in 0..1. A unit is a test image, or a group of images averaged. Both
losses start from the same weights and see the same batches when they share a seed.

Seeds and units are both samples: the question is about the next training run on the next images,
so both add to the uncertainty of the mean. A t-test over the images alone forgets the seeds; where
they matter, it finds a winner far more often than its 5 % (`benchmarks/simulate_verdict.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from vesica.statistics.folds import Fold, mean_squares_over_folds
from vesica.statistics.interval import (
    Array,
    MeanSquares,
    half_width,
    mean_squares,
    standard_error,
)
from vesica.statistics.looks import MIN_SEEDS, ONCE, Shares, shares_at

Verdict = Literal["better", "worse", "equivalent", "undecided"]

MARGIN = 0.005
LEVEL = 0.95
MIN_UNITS = 15
SMALLEST_P_VALUE = 1e-12

SEED_NOISE_NOT_MEASURED = "seed noise not measured"
TOO_FEW_UNITS = f"too few test images: fewer than {MIN_UNITS}"
TOO_FEW_SEEDS = f"too few seeds: fewer than {MIN_SEEDS}"
REAL_BUT_NEGLIGIBLE = "a real difference, but within the margin"
INTERVAL_TOO_WIDE = "the interval includes zero and reaches past the margin"


@dataclass(frozen=True)
class Comparison:
    """What the differences say; all in the unit of the scores (0.01 is one point of IoU).

    `better` means that the challenger, whose scores come first in the difference, is better.
    `low` and `high` are None without an interval; `p_value` is two-sided, against no difference,
    and None where it would promise too much. The `_sd` fields say how much the difference varies
    from seed to seed, from unit to unit, and beyond both.
    """

    verdict: Verdict
    reason: str
    mean: float
    low: float | None
    high: float | None
    standard_error: float | None
    p_value: float | None
    excludes_zero: bool
    num_seeds: int
    num_units: int
    margin: float
    level: float
    seed_sd: float | None
    unit_sd: float | None
    residual_sd: float | None


def p_value(mean: float, squares: MeanSquares, shares: Shares = ONCE) -> float:
    """The smallest alpha, down to 1e-12, whose interval around `mean` excludes zero; one table."""
    return 1.0 if mean == 0 else _smallest_alpha(abs(mean), squares, shares)


def equivalence_p_value(
    difference: Array,
    fold: Fold | None = None,
    *,
    margin: float = MARGIN,
    earlier: Sequence[int] | None = None,
) -> float:
    """Is the difference within the margin? Two one-sided tests (TOST); the larger p-value.

    Each test asks whether the mean lies beyond one end of [-margin, margin]. The value is at most
    (1 - level) / 2 exactly where `compare` says `equivalent` at that level: the interval that
    decides `better` decides this too, which is stricter than the usual 90 % interval for 5 %.

    Assumes what `half_width` assumes.

    Args:
        difference: Challenger minus baseline, shape (seeds, units), two or more of each.
        fold: As in `compare`.
        margin: The largest difference that does not matter, a fraction.
        earlier: As in `compare`.

    Raises:
        ValueError: If the differences are no finite table with two or more seeds and units, or an
            earlier look saw more seeds.

    Source:
        Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15, 657-680.
    """
    difference = np.asarray(difference, dtype=np.float64)
    if difference.ndim != 2 or min(difference.shape) < 2 or not np.isfinite(difference).all():
        raise ValueError("expected finite differences of two or more seeds and units")
    # From the mean to the nearer end: positive within the margin.
    room = margin - abs(float(difference.mean()))
    shares = ONCE if earlier is None else shares_at(len(difference), earlier)
    alpha = _smallest_alpha(abs(room), _squares(difference, fold), shares)
    return alpha / 2 if room >= 0 else 1 - alpha / 2


def compare(
    difference: Array,
    fold: Fold | None = None,
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    earlier: Sequence[int] | None = None,
) -> Comparison:
    """Judge paired differences between a challenger and a baseline.

    By the interval: inside [-margin, margin] is `equivalent`, else excluding zero is `better` or
    `worse`, else `undecided`. One seed gives no interval, since nothing shows the seed noise. Two
    seeds or fewer than 15 units give an interval, but neither p-value nor verdict: with skewed
    effects, an interval at 95 % from two seeds may hold the true mean in 90 % of cases only.

    Args:
        difference: Challenger minus baseline, shape (seeds, units), fractions.
        fold: Which networks tested each unit, shape (units,), where every unit is tested by those
            of one fold and trains those of the others; see `mean_squares_over_folds`. None: the
            networks of a seed are the same for all units, and the training set is as it is.
        margin: The largest difference that does not matter, a fraction.
        level: Probability with which the interval holds the true mean. For m comparisons at once,
            1 - 0.05 / m (Bonferroni).
        earlier: Where seeds are added until the verdict is clear: the numbers of seeds already
            looked at, () at the first look. The intervals of all looks, together, then hold the
            true mean with that probability (`looks.shares_at`), and the p-value is that of this
            look. None where the number of seeds was fixed beforehand.

    Raises:
        ValueError: If the differences are no finite table, margin or level are out of range, or an
            earlier look saw more seeds.
    """
    difference = _checked(difference, margin, level)
    num_seeds, num_units = difference.shape
    mean = float(difference.mean())
    low = high = error = p = seed_sd = unit_sd = residual_sd = None
    shares = ONCE if earlier is None else shares_at(num_seeds, earlier)
    obstacle = _obstacle(num_seeds, num_units)
    if num_seeds > 1 and num_units > 1:
        squares = _squares(difference, fold)
        half = float(half_width(squares, 1 - level, shares))
        low, high = mean - half, mean + half
        error = float(standard_error(squares))
        p = None if obstacle else p_value(mean, squares, shares)
        seed_sd = _effect_sd(squares.seed, squares.residual, num_units)
        unit_sd = _effect_sd(squares.unit, squares.residual, num_seeds)
        residual_sd = float(np.sqrt(squares.residual))
    if obstacle or low is None or high is None:
        verdict: Verdict = "undecided"
        reason = obstacle
    else:
        verdict, reason = _judge(low, high, margin)
    return Comparison(
        verdict=verdict,
        reason=reason,
        mean=mean,
        low=low,
        high=high,
        standard_error=error,
        p_value=p,
        excludes_zero=low is not None and high is not None and _excludes_zero(low, high),
        num_seeds=num_seeds,
        num_units=num_units,
        margin=float(margin),
        level=float(level),
        seed_sd=seed_sd,
        unit_sd=unit_sd,
        residual_sd=residual_sd,
    )


def _squares(difference: Array, fold: Fold | None) -> MeanSquares:
    if fold is None:
        return mean_squares(difference)
    fold = np.asarray(fold)
    if fold.shape != difference.shape[1:] or not np.issubdtype(fold.dtype, np.integer):
        raise ValueError(
            f"folds are {fold.dtype} of shape {fold.shape}, expected a whole number for each of"
            f" {difference.shape[1]} units"
        )
    return mean_squares_over_folds(difference, fold)


def _smallest_alpha(distance: float, squares: MeanSquares, shares: Shares = ONCE) -> float:
    """The alpha, down to 1e-12, at which half of the interval is as wide as a distance."""

    def excess(log_alpha: float) -> float:
        return float(half_width(squares, np.exp(log_alpha), shares)) - distance

    smallest = float(np.log(SMALLEST_P_VALUE))
    if excess(smallest) <= 0:
        return SMALLEST_P_VALUE
    if excess(0.0) >= 0:  # a share of 1 is less than 1
        return 1.0
    return float(np.exp(brentq(excess, smallest, 0.0, xtol=1e-12)))


def _checked(difference: Array, margin: float, level: float) -> Array:
    difference = np.asarray(difference, dtype=np.float64)
    if difference.ndim != 2 or difference.size == 0:
        raise ValueError(
            f"differences have shape {difference.shape}, expected (seeds, units), both 1 or more"
        )
    if not np.isfinite(difference).all():
        num_bad = int((~np.isfinite(difference)).sum())
        raise ValueError(f"{num_bad} of {difference.size} differences are not finite numbers")
    if not 0 <= margin < np.inf:
        raise ValueError(f"margin is {margin}, expected a fraction of 0 or more, such as {MARGIN}")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a number between 0 and 1, such as {LEVEL}")
    return difference


def _obstacle(num_seeds: int, num_units: int) -> str:
    """Why these data cannot give a verdict, whatever they say; empty if they can."""
    if num_seeds == 1:
        return SEED_NOISE_NOT_MEASURED
    if num_units < MIN_UNITS:
        return TOO_FEW_UNITS
    return TOO_FEW_SEEDS if num_seeds < MIN_SEEDS else ""


def _judge(low: float, high: float, margin: float) -> tuple[Verdict, str]:
    if -margin <= low and high <= margin:
        return "equivalent", REAL_BUT_NEGLIGIBLE if _excludes_zero(low, high) else ""
    if _excludes_zero(low, high):
        return ("better" if low > 0 else "worse"), ""
    return "undecided", INTERVAL_TOO_WIDE


def _excludes_zero(low: float, high: float) -> bool:
    return low > 0 or high < 0


def _effect_sd(square: Array, residual: Array, num_averaged: int) -> float:
    return float(np.sqrt(max(float(square - residual), 0.0) / num_averaged))
