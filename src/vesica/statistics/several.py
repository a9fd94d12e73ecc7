"""Several splits, data sets or losses at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from vesica.statistics.paired import SignedRank, paired_t, signed_rank
from vesica.statistics.verdict import LEVEL

MIN_DATA_SETS = 6
"""With five, the smallest two-sided value of an exact signed-rank test is 2/32, above 0.05."""

TOO_FEW_DATA_SETS = f"too few data sets to generalise: fewer than {MIN_DATA_SETS}"
RESOLUTION = 1e-9
"""Differences that agree to a billionth are a tie."""


@dataclass(frozen=True)
class RepeatedSplits:
    """The corrected t-test over repeated splits of one data set.

    Attributes:
        num: Splits.
        mean: Of the differences.
        standard_error: Of the mean, corrected.
        p_two_sided: Against a mean of 0.
        low: Lower end of the interval of the mean.
        high: Upper end of the interval of the mean.
    """

    num: int
    mean: float
    standard_error: float
    p_two_sided: float
    low: float
    high: float


@dataclass(frozen=True)
class AcrossDataSets:
    """What several data sets say about the next one.

    Attributes:
        reason: Why nothing may be concluded; "" if something may.
        num: Data sets.
        mean: Of the differences, each data set counting once.
        test: Exact signed ranks; None where `reason` says that there are too few.
    """

    reason: str
    num: int
    mean: float
    test: SignedRank | None


def corrected_repeated_splits(
    differences: ArrayLike, *, num_train: int, num_test: int, level: float = LEVEL
) -> RepeatedSplits:
    """Corrected resampled t-test: `mean / sqrt((1 / J + num_test / num_train) s^2)`.

    Random splits of one data set share most of their training images, so J differences say less
    than J independent ones. The correction assumes a correlation between any two splits of
    num_test / (num_train + num_test), which is a heuristic, and normal differences.

    Args:
        differences: One per split.
        num_train: Training images of each split.
        num_test: Test images of each split.
        level: Of the interval.

    Raises:
        ValueError: If there are fewer than two splits, or a count is below 1.

    Source:
        Nadeau and Bengio 2003, Machine Learning 52, 239-281, section 3, approach 2.
    """
    if num_train < 1 or num_test < 1:
        raise ValueError(f"num_train is {num_train} and num_test {num_test}, expected 1 or more")
    plain = paired_t(differences, level=level)
    error = plain.sd * (1 / plain.num + num_test / num_train) ** 0.5
    half = float(student_t.isf((1 - level) / 2, plain.num - 1)) * error
    if error > 0:
        p = float(2 * student_t.sf(abs(plain.mean) / error, plain.num - 1))
    else:
        p = 1.0 if plain.mean == 0 else 0.0
    return RepeatedSplits(plain.num, plain.mean, error, p, plain.mean - half, plain.mean + half)


def across_data_sets(differences: ArrayLike) -> AcrossDataSets:
    """Whether one loss is better on data sets in general: exact signed ranks, one per data set.

    Assumes data sets that are independent of each other, drawn from those that the claim is about.
    Below 6 no result could be significant at 5 %, so none is given.

    Args:
        differences: The mean difference of each data set.

    Source:
        Demsar 2006, JMLR 7, 1-30.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("expected one finite difference per data set, one data set or more")
    mean, whole = float(values.mean()), np.rint(values / RESOLUTION).astype(np.int64)
    if np.count_nonzero(whole) < MIN_DATA_SETS:
        return AcrossDataSets(TOO_FEW_DATA_SETS, len(values), mean, None)
    return AcrossDataSets("", len(values), mean, signed_rank(whole))


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
