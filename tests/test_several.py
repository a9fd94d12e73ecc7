"""Repeated splits, several data sets, several losses: against formulas, brute force, simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student_t
from scipy.stats import ttest_1samp

from vesica.statistics import (
    TOO_FEW_DATA_SETS,
    across_data_sets,
    corrected_repeated_splits,
    holm,
    signed_rank,
)


def simulate_splits(
    rng: np.random.Generator, num: int, splits: int, share: float
) -> NDArray[np.float64]:
    """Differences of true mean 0 with the correlation that the correction assumes."""
    common = rng.standard_normal((num, 1)) * share**0.5
    own = rng.standard_normal((num, splits)) * (1 - share) ** 0.5
    return np.asarray(common + own)


def test_corrected_test_by_hand() -> None:
    # Differences 1 2 3: mean 2, variance 1, J = 3; with as many test as training images the error
    # is sqrt(1/3 + 1), so t = 2 / sqrt(4/3) = sqrt(3), of 2 degrees of freedom.
    found = corrected_repeated_splits([1.0, 2.0, 3.0], num_train=50, num_test=50)
    assert found.standard_error == pytest.approx((4 / 3) ** 0.5)
    assert found.p_two_sided == pytest.approx(2 * student_t.sf(3**0.5, 2))
    half = student_t.ppf(0.975, 2) * (4 / 3) ** 0.5
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))


def test_without_test_images_it_would_be_the_plain_test() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 12)
    found = corrected_repeated_splits(values, num_train=10**12, num_test=1)
    assert found.p_two_sided == pytest.approx(ttest_1samp(values, 0).pvalue)


def test_correction_keeps_the_level_where_the_plain_test_does_not() -> None:
    values = simulate_splits(np.random.default_rng(0), 1500, 10, 0.1)
    corrected = [
        corrected_repeated_splits(row, num_train=900, num_test=100).p_two_sided for row in values
    ]
    plain = [ttest_1samp(row, 0).pvalue for row in values]
    assert np.mean(np.array(corrected) < 0.05) < 0.065
    assert np.mean(np.array(plain) < 0.05) > 0.1


def test_splits_without_spread() -> None:
    assert corrected_repeated_splits([0.0, 0.0], num_train=9, num_test=1).p_two_sided == 1
    assert corrected_repeated_splits([0.5, 0.5], num_train=9, num_test=1).p_two_sided == 0


@pytest.mark.parametrize("num", range(1, 6))
def test_too_few_data_sets(num: int) -> None:
    found = across_data_sets(np.arange(1, num + 1) / 100)
    assert (found.reason, found.test, found.num) == (TOO_FEW_DATA_SETS, None, num)
    assert found.mean == pytest.approx((num + 1) / 200)
    # No five data sets could be significant.
    if num > 1:
        assert signed_rank(np.arange(1, num + 1)).p_two_sided > 0.05


def test_six_data_sets_are_enough_if_all_agree() -> None:
    found = across_data_sets([0.01, 0.02, 0.01, 0.03, 0.005, 0.04])
    assert found.reason == ""
    assert found.test is not None
    assert found.test.p_two_sided == 2 / 64


def test_data_sets_that_do_not_differ_do_not_count() -> None:
    assert across_data_sets([0.01] * 5 + [0.0]).reason == TOO_FEW_DATA_SETS


def test_ties_between_data_sets_are_ties() -> None:
    # 0.906 - 0.876 and 0.857 - 0.827 differ in the last bits only.
    values = [0.906 - 0.876, 0.857 - 0.827, -0.03, 0.01, 0.02, 0.05, 0.06]
    assert len({abs(v) for v in values[:3]}) > 1
    found = across_data_sets(values)
    assert found.test == signed_rank([30, 30, -30, 10, 20, 50, 60])


def test_holm_by_hand() -> None:
    # Sorted 0.01 0.02 0.04 times 3 2 1: 0.03 0.04 0.04.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.001, 0.2))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float], alpha: float) -> None:
    rejected = set()
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for step, index in enumerate(order):
        if p_values[index] * (len(p_values) - step) > alpha:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(holm(p_values)) if p <= alpha} == rejected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    # Adjusted: the largest Bonferroni value of all intersections that contain the hypothesis.
    num = len(p_values)
    subsets = [s for s in product([False, True], repeat=num) if any(s)]

    def bonferroni(subset: tuple[bool, ...]) -> float:
        chosen = [p for p, is_in in zip(p_values, subset, strict=True) if is_in]
        return min(1.0, len(chosen) * min(chosen))

    expected = [max(bonferroni(s) for s in subsets if s[index]) for index in range(num)]
    assert holm(p_values) == pytest.approx(expected)


def test_holm_errs_at_all_in_no_more_than_alpha() -> None:
    rng = np.random.default_rng(0)
    common = rng.standard_normal((2000, 10, 1))
    values = 0.7 * common + 0.7 * rng.standard_normal((2000, 10, 3))
    p = np.asarray(ttest_1samp(values, 0, axis=1).pvalue)
    assert np.mean([min(holm(row)) < 0.05 for row in p]) < 0.06
    assert np.mean(p.min(axis=1) < 0.05) > 0.08


@pytest.mark.parametrize("bad", [[1.1], [-0.1], [float("nan")]])
def test_bad_p_values_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm(bad)


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="num_test 0"):
        corrected_repeated_splits([1.0, 2.0], num_train=9, num_test=0)
    with pytest.raises(ValueError, match="one data set or more"):
        across_data_sets([])
