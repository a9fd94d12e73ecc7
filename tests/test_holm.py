"""Several losses at once: Holm's adjustment, against its definition, closed tests, simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from vesica.statistics import holm


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
