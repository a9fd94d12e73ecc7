"""A short list of paired differences: t-test, exact rank and sign tests, effect size, Holm.

All assume differences that are independent of each other. Where pairs share images, average the
pairs that do before asking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import binomtest, chi2, rankdata
from scipy.stats import t as student_t

from vesica.statistics.verdict import LEVEL

MAX_ENUMERATED = 22
"""Differences whose signs are enumerated: 2^22 sums are 32 MB."""
NUM_NODES = 2000
"""Of the integral over a chi-square variable."""


@dataclass(frozen=True)
class PairedTest:
    """Student's t-test of the mean difference, in the unit of the differences.

    Attributes:
        num: Differences.
        mean: Of the differences.
        sd: Standard deviation of the differences, with num - 1.
        t: Mean over its standard error; None where that is 0.
        p_two_sided: Against a mean of 0; None without t.
        p_greater: Against a mean of 0 or less; None without t.
        low: Lower end of the interval of the mean.
        high: Upper end of the interval of the mean.
        effect_size: Mean over `sd` (d_z); None where `sd` is 0.
        effect_low: Lower end of the interval of the effect size.
        effect_high: Upper end of the interval of the effect size.
        level: Of both intervals.
    """

    num: int
    mean: float
    sd: float
    t: float | None
    p_two_sided: float | None
    p_greater: float | None
    low: float
    high: float
    effect_size: float | None
    effect_low: float | None
    effect_high: float | None
    level: float


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's test, exact.

    Attributes:
        num: Differences other than 0.
        num_zero: Differences of 0, which are left out.
        rank_sum: Ranks of the positive differences, added; ties share their mean rank.
        p_two_sided: Share of all sign patterns whose rank sum lies as far from the middle.
        p_greater: Share of all sign patterns whose rank sum is as large.
        smallest: The smallest two-sided value that so many differences can give.
    """

    num: int
    num_zero: int
    rank_sum: float
    p_two_sided: float
    p_greater: float
    smallest: float


def paired_t(differences: ArrayLike, *, level: float = LEVEL) -> PairedTest:
    """Student's paired t-test, its interval, and the effect size with an interval.

    Assumes independent, normal differences.

    Raises:
        ValueError: If there are fewer than two differences.
    """
    values = _checked(differences, 2)
    num, mean, sd = len(values), float(values.mean()), float(values.std(ddof=1))
    half = float(student_t.isf((1 - level) / 2, num - 1)) * sd / num**0.5
    t = p = greater = d = d_low = d_high = None
    # The spread of equal numbers is 0 up to rounding.
    if sd > 1e-12 * float(np.abs(values).max()):
        t = mean / (sd / num**0.5)
        p = float(2 * student_t.sf(abs(t), num - 1))
        greater = float(student_t.sf(t, num - 1))
        d = mean / sd
        d_low, d_high = effect_interval(t, num, level=level)
    return PairedTest(
        num, mean, sd, t, p, greater, mean - half, mean + half, d, d_low, d_high, level
    )


def effect_interval(t: float, num: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of d_z = mean / sd: the effect sizes under which t is not unusual.

    Source:
        Steiger 2004, Psychological Methods 9, 164-182: the noncentral t distribution's parameter
        d sqrt(n), inverted. Assumes independent, normal differences.
    """
    # SciPy's noncentral t gives NaN here and there: P(T < t) is integrated over the chi-square.
    midpoints = (np.arange(NUM_NODES) + 0.5) / NUM_NODES
    scale = t * np.sqrt(chi2.ppf(midpoints, num - 1) / (num - 1))
    reach = 10 * (1 + abs(t))

    def end(probability: float) -> float:
        def excess(shift: float) -> float:
            return float(ndtr(scale - shift).mean()) - probability

        return float(brentq(excess, t - reach, t + reach))

    tail = (1 - level) / 2
    return end(1 - tail) / num**0.5, end(tail) / num**0.5


def signed_rank(differences: Sequence[int] | NDArray[np.integer]) -> SignedRank:
    """Wilcoxon's signed-rank test over all 2^n patterns of signs.

    Ties break the usual table, so no table is used. The differences are whole numbers (thousandths,
    say): in floating point, 0.906 - 0.876 and 0.857 - 0.827 are no tie.

    Assumes independent differences, symmetric about their median. Source: Wilcoxon 1945.

    Raises:
        ValueError: If they are no whole numbers, none differs from 0, or there are too many.
    """
    values = np.asarray(differences)
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError("the signed-rank test takes whole numbers, so that ties are ties")
    kept = values[values != 0]
    # Twice the mean rank is a whole number.
    ranks = np.rint(2 * rankdata(np.abs(kept))).astype(np.int64)
    sums = _signed_sums(ranks)
    observed = int(np.sum(np.sign(kept) * ranks))
    return SignedRank(
        num=len(kept),
        num_zero=len(values) - len(kept),
        rank_sum=(observed + int(ranks.sum())) / 4,
        p_two_sided=float(np.mean(np.abs(sums) >= abs(observed))),
        p_greater=float(np.mean(sums >= observed)),
        smallest=2.0 ** (1 - len(kept)),
    )


def sign_flip(differences: Sequence[int] | NDArray[np.integer]) -> float:
    """Two-sided exact test of the mean: the share of sign patterns with a mean as far from 0.

    Assumes independent differences, symmetric about 0 where there is no effect. Source: Fisher
    1935, The Design of Experiments, section 21.

    Raises:
        ValueError: As `signed_rank`.
    """
    values = np.asarray(differences)
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError("the sign-flip test takes whole numbers, so that equal means are equal")
    sums = _signed_sums(np.abs(values).astype(np.int64))
    return float(np.mean(np.abs(sums) >= abs(int(values.sum()))))


def sign_test(differences: ArrayLike) -> float:
    """Two-sided binomial test of the number of positive differences; those of 0 are left out."""
    signs = np.sign(_checked(differences, 1))
    num = int(np.count_nonzero(signs))
    return float(binomtest(int(np.sum(signs > 0)), num, 0.5).pvalue) if num else 1.0


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """Adjusted p-values of several tests: reject those below alpha, and at most alpha errs at all.

    Holds whatever the tests' dependence. Source: Holm 1979, Scandinavian Journal of Statistics 6,
    65-70.

    Raises:
        ValueError: If a value lies outside 0 to 1.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("expected a list of p-values, each from 0 to 1")
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(value) for value in adjusted]


def _signed_sums(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of the weights under every pattern of signs."""
    if not 1 <= len(weights) <= MAX_ENUMERATED:
        raise ValueError(
            f"{len(weights)} differences: all signs are enumerated for 1 to {MAX_ENUMERATED}"
        )
    sums = np.zeros(1, dtype=np.int64)
    for weight in weights:
        sums = np.concatenate([sums - weight, sums + weight])
    return sums


def _checked(differences: ArrayLike, least: int) -> NDArray[np.float64]:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(
            f"differences have shape {values.shape}, expected {least} or more in a row"
        )
    if not np.isfinite(values).all():
        raise ValueError("differences are not all finite numbers")
    return values
