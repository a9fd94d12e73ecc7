"""Two one-sided tests of equivalence, from the interval that also makes the verdict."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from vesica.statistics.verdict import (
    LEVEL,
    MARGIN,
    SMALLEST_P_VALUE,
    Array,
    half_width,
    mean_squares,
)


@dataclass(frozen=True)
class Equivalence:
    """Whether a difference is within the margin.

    Attributes:
        p_value: The larger of the two one-sided values; small means within the margin.
        is_equivalent: The interval of `compare` at this level lies within the margin.
        margin: As given, a fraction.
        level: As given.
    """

    p_value: float
    is_equivalent: bool
    margin: float
    level: float


def equivalence(difference: Array, *, margin: float = MARGIN, level: float = LEVEL) -> Equivalence:
    """Is the difference within the margin? Two one-sided tests (TOST).

    Each test asks whether the mean lies beyond one end of [-margin, margin], at (1 - level) / 2.
    That is stricter than the usual 1 - level (a 90 % interval for 5 %), and is what `equivalent`
    means in `compare`: the same interval that decides `better` also decides this, so a difference
    is called better and equivalent on the same evidence. The p-value is at most (1 - level) / 2
    exactly where the interval at `level` lies within the margin.

    Assumes what `half_width` assumes.

    Args:
        difference: Challenger minus baseline, shape (seeds, units), two or more of each.
        margin: The largest difference that does not matter, a fraction.
        level: Of the interval.

    Raises:
        ValueError: If the differences are no finite table with two or more seeds and units.

    Source:
        Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15, 657-680.
    """
    difference = np.asarray(difference, dtype=np.float64)
    if difference.ndim != 2 or min(difference.shape) < 2 or not np.isfinite(difference).all():
        raise ValueError("expected finite differences of two or more seeds and units")
    squares, mean = mean_squares(difference), float(difference.mean())
    # From the mean to the nearer end: positive within the margin.
    room = margin - abs(mean)

    def excess(log_alpha: float) -> float:
        return float(half_width(squares, np.exp(log_alpha))) - abs(room)

    smallest = float(np.log(SMALLEST_P_VALUE))
    if excess(smallest) <= 0:
        alpha = SMALLEST_P_VALUE
    else:
        alpha = float(np.exp(brentq(excess, smallest, 0.0, xtol=1e-12)))
    half = float(half_width(squares, 1 - level))
    return Equivalence(
        p_value=alpha / 2 if room >= 0 else 1 - alpha / 2,
        is_equivalent=-margin <= mean - half and mean + half <= margin,
        margin=float(margin),
        level=float(level),
    )
