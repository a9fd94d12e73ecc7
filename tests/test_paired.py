"""Tests of short lists of differences, against SciPy, brute force and simulation."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, nct, permutation_test, rankdata, ttest_1samp, wilcoxon

from vesica.statistics import paired_t, sign_flip, sign_test, signed_rank
from vesica.statistics.paired import effect_interval

WITH_TIES = [3, -1, 1, 0, 3, -3, 7, 2, 2]


def draw(num: int = 9, seed: int = 0, mean: float = 0.4) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(mean, 1, num)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_t_test_equals_scipys(seed: int, level: float) -> None:
    values = draw(seed=seed)
    found, expected = paired_t(values, level=level), ttest_1samp(values, 0)
    assert found.t == pytest.approx(expected.statistic)
    assert found.p_two_sided == pytest.approx(expected.pvalue)
    assert found.p_greater == pytest.approx(ttest_1samp(values, 0, alternative="greater").pvalue)
    interval: Any = expected.confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.effect_size == pytest.approx(values.mean() / values.std(ddof=1))


def test_equal_differences_have_no_t() -> None:
    found = paired_t([0.1, 0.1, 0.1])
    assert (found.t, found.p_two_sided, found.effect_size) == (None, None, None)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(("t", "num"), [(0.5, 5), (-2.0, 8), (4.4, 16), (1.5, 30), (0.0, 3)])
def test_effect_interval_inverts_the_noncentral_t(t: float, num: int) -> None:
    low, high = effect_interval(t, num)
    assert nct.cdf(t, num - 1, low * num**0.5) == pytest.approx(0.975, abs=2e-4)
    assert nct.cdf(t, num - 1, high * num**0.5) == pytest.approx(0.025, abs=2e-4)


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.2])
def test_effect_interval_holds_the_effect(effect: float) -> None:
    values = np.random.default_rng(0).normal(effect, 1, (600, 10))
    t = values.mean(axis=1) / values.std(axis=1, ddof=1) * 10**0.5
    ends = np.array([effect_interval(float(one), 10) for one in t])
    held = (ends[:, 0] <= effect) & (effect <= ends[:, 1])
    assert held.mean() == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num", [4, 9, 14])
def test_signed_rank_without_ties_equals_scipys(seed: int, num: int) -> None:
    values = np.random.default_rng(seed).permutation(np.arange(1, num + 1))
    values = values * np.random.default_rng(seed + 100).choice([-1, 1, 1], num)
    found = signed_rank(values)
    two, one = (wilcoxon(values, method="exact", alternative=a) for a in ("two-sided", "greater"))
    assert found.p_two_sided == pytest.approx(two.pvalue)
    assert found.p_greater == pytest.approx(one.pvalue)
    assert found.rank_sum == pytest.approx(one.statistic)


@pytest.mark.parametrize("values", [WITH_TIES, [1, 1, 1, 1, 1], [5, -5], [0, 0, 2], [-4, -4, 4]])
def test_signed_rank_with_ties_equals_brute_force(values: list[int]) -> None:
    kept = np.array([value for value in values if value])
    ranks = rankdata(np.abs(kept))
    sums = [float(np.dot(ranks, signs)) for signs in product([-1, 1], repeat=len(kept))]
    observed = float(np.dot(ranks, np.sign(kept)))
    found = signed_rank(values)
    assert found.p_two_sided == np.mean(np.abs(sums) >= abs(observed))
    assert found.p_greater == np.mean(np.array(sums) >= observed)
    assert found.rank_sum == ranks[kept > 0].sum()
    assert (found.num, found.num_zero) == (len(kept), len(values) - len(kept))
    assert found.smallest == 2 / 2 ** len(kept)


def test_signed_rank_by_hand() -> None:
    # 1 2 3 all positive: one pattern of 8 is as large, two are as far from the middle.
    assert signed_rank([1, 2, 3]).p_greater == 1 / 8
    assert signed_rank([1, 2, 3]).p_two_sided == 2 / 8
    assert signed_rank([-1, 2, 3]).p_greater == 2 / 8  # 5 or 6


@pytest.mark.parametrize("seed", range(4))
def test_sign_flip_equals_scipys_permutation_test(seed: int) -> None:
    values = np.random.default_rng(seed).integers(-20, 40, 9)
    options: Any = {"permutation_type": "samples", "n_resamples": np.inf, "vectorized": False}
    expected = permutation_test((values, np.zeros(9)), lambda a, b: np.mean(a - b), **options)
    assert sign_flip(values) == pytest.approx(expected.pvalue)


def test_sign_flip_by_hand() -> None:
    assert sign_flip([1, 2, 4]) == 2 / 8
    assert sign_flip([-1, 2, 4]) == 4 / 8  # sums of 5 and 7, of either sign
    assert sign_flip([1, -1]) == 1


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 1, 1, 0], 0.25), ([0], 1.0), ([3, -1], 1.0), ([-2] * 5, 2 / 32)]
)
def test_sign_test_by_hand(values: list[float], expected: float) -> None:
    assert sign_test(values) == pytest.approx(expected)


def test_sign_test_is_binomial() -> None:
    assert sign_test([1] * 15 + [-1]) == pytest.approx(2 * binom.cdf(1, 16, 0.5))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-30, 30), min_size=2, max_size=10).filter(lambda v: any(v)))
def test_signs_and_order_do_not_matter(values: list[int]) -> None:
    flipped = [-value for value in reversed(values)]
    assert signed_rank(values).p_two_sided == signed_rank(flipped).p_two_sided
    assert sign_flip(values) == sign_flip(flipped)
    assert sign_test(values) == pytest.approx(sign_test(flipped))
    assert 0 < signed_rank(values).p_two_sided <= 1


@pytest.mark.parametrize("shape", ["normal", "uniform", "laplace"])
def test_exact_tests_keep_their_level(shape: str) -> None:
    rng = np.random.default_rng(0)
    draws = getattr(rng, shape)(-30, 30, (1500, 8)) if shape == "uniform" else None
    values = draws if draws is not None else getattr(rng, shape)(0, 20, (1500, 8))
    whole = np.rint(values).astype(np.int64)
    for test in (lambda v: signed_rank(v).p_two_sided, sign_flip):
        assert np.mean([test(row) <= 0.05 for row in whole]) < 0.065


@pytest.mark.parametrize("test", [signed_rank, sign_flip])
def test_fractions_are_refused(test: Any) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        test([0.1, 0.2])


def test_bad_lists_are_explained() -> None:
    with pytest.raises(ValueError, match="0 differences"):
        signed_rank([0, 0])
    with pytest.raises(ValueError, match="23 differences"):
        signed_rank(list(range(1, 24)))
    with pytest.raises(ValueError, match=r"shape \(1,\), expected 2"):
        paired_t([1.0])
    with pytest.raises(ValueError, match="finite"):
        paired_t([1.0, float("nan")])
