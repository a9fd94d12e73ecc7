"""Equivalence and power, against the interval of the verdict and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from vesica.statistics import (
    LEVEL,
    MARGIN,
    Noise,
    compare,
    equivalence_p_value,
    images_needed,
    power_at,
    seeds_needed,
)
from vesica.statistics import interval as interval_module
from vesica.statistics.interval import Array, half_width, mean_squares

NOISE = Noise(seed_sd=0.003, unit_sd=0.03, residual_sd=0.02)


def simulate(
    noise: Noise, num_seeds: int, num_units: int, mean: float, num: int, random_state: int = 0
) -> Array:
    rng = np.random.default_rng(random_state)
    seed = noise.seed_sd * rng.standard_normal((num, num_seeds, 1))
    unit = noise.unit_sd * rng.standard_normal((num, 1, num_units))
    residual = noise.residual_sd * rng.standard_normal((num, num_seeds, num_units))
    table: Array = mean + seed + unit + residual
    return table


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.012, 0.012), st.floats(0.001, 0.02), st.integers(0, 1000))
def test_equivalence_agrees_with_the_interval(mean: float, spread: float, state: int) -> None:
    table = simulate(Noise(spread / 5, spread, spread), 4, 40, mean, 1, state)[0]
    p, judged = equivalence_p_value(table), compare(table)
    assert judged.low is not None
    assert judged.high is not None
    inside = judged.low >= -MARGIN and judged.high <= MARGIN
    assert (p <= (1 - LEVEL) / 2) == inside == (judged.verdict == "equivalent")
    assert (p < 0.5) == (abs(judged.mean) < MARGIN)


def test_equivalence_is_two_t_tests_where_seeds_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval_module, "SKEWNESS_ALLOWANCE", 0.0)
    rng = np.random.default_rng(0)
    table = 0.002 + 0.002 * rng.standard_normal((8, 1)) + 1e-8 * rng.standard_normal((8, 30))
    means = table.mean(axis=1)
    above = ttest_1samp(means, -MARGIN, alternative="greater").pvalue
    below = ttest_1samp(means, MARGIN, alternative="less").pvalue
    assert equivalence_p_value(table) == pytest.approx(max(above, below), rel=1e-3)
    far = equivalence_p_value(table, margin=0.0001)
    expected = ttest_1samp(means, 0.0001, alternative="less").pvalue
    assert far == pytest.approx(expected, rel=1e-3)


def test_equivalence_rarely_errs_at_the_margin() -> None:
    tables = simulate(NOISE, 5, 100, MARGIN, 1500)
    assert np.mean([equivalence_p_value(table) <= (1 - LEVEL) / 2 for table in tables]) < 0.03


def test_equivalence_without_noise() -> None:
    assert equivalence_p_value(np.zeros((3, 20))) < 1e-9
    assert equivalence_p_value(np.full((4, 16), 0.25), margin=0.25) < 1e-9, "the end is within"
    assert equivalence_p_value(np.full((3, 20), 0.01)) > 0.5


@pytest.mark.parametrize("bad", [np.zeros((1, 9)), np.zeros(9), np.full((3, 3), np.nan)])
def test_equivalence_needs_a_table(bad: Array) -> None:
    with pytest.raises(ValueError, match="two or more seeds"):
        equivalence_p_value(bad)


@pytest.mark.parametrize(
    ("noise", "num_seeds", "num_units"),
    [
        (NOISE, 3, 300),
        (NOISE, 10, 300),
        (Noise(0.001, 0.02, 0.01), 5, 200),
        (Noise(0.0, 0.02, 0.03), 4, 150),
        (Noise(0.004, 0.0, 0.02), 12, 60),
    ],
)
def test_power_is_the_share_of_runs_that_find_the_margin(
    noise: Noise, num_seeds: int, num_units: int
) -> None:
    tables = simulate(noise, num_seeds, num_units, MARGIN, 1500)
    half = half_width(mean_squares(tables), 1 - LEVEL)
    share = np.mean(np.abs(tables.mean(axis=(1, 2))) > half)
    assert power_at(noise, num_seeds, num_units) == pytest.approx(share, abs=0.04)


def test_power_at_no_difference_is_at_most_alpha() -> None:
    assert power_at(NOISE, 5, 200, margin=0.0) < 0.055


def test_seeds_needed_are_the_fewest() -> None:
    found = seeds_needed(NOISE, 2000)
    assert found.num is not None
    assert found.num > 3
    assert power_at(NOISE, found.num, 2000) == found.power >= 0.8
    assert power_at(NOISE, found.num - 1, 2000) < 0.8


def test_images_needed_are_the_fewest() -> None:
    found = images_needed(NOISE, 12)
    assert found.num is not None
    assert found.num > 15
    assert power_at(NOISE, 12, found.num) == found.power >= 0.8
    assert power_at(NOISE, 12, found.num - 1) < 0.8


def test_no_number_of_seeds_replaces_images() -> None:
    # 40 images of 3 points: a standard error of 0.5 points however many seeds; 2.8 are needed.
    found = seeds_needed(NOISE, 40)
    assert found.num is None
    assert found.power < 0.8
    assert "no number of seeds is enough: 40 test images" in found.reason
    assert power_at(NOISE, 10_000, 40) == pytest.approx(found.power, abs=0.02)


def test_no_number_of_images_replaces_seeds() -> None:
    found = images_needed(Noise(0.01, 0.01, 0.01), 3)
    assert found.num is None
    assert "no number of test images is enough: 3 seeds" in found.reason


def test_little_noise_needs_the_least_that_has_a_verdict() -> None:
    still = Noise(1e-6, 1e-6, 1e-6)
    assert seeds_needed(still, 100).num == 3
    assert images_needed(still, 3).num == 15
    assert seeds_needed(Noise(0, 0, 0), 100).num == 3


def test_wider_margins_and_lower_power_need_less() -> None:
    usual = seeds_needed(NOISE, 2000).num
    assert usual is not None
    for options in ({"margin": 0.01}, {"power": 0.5}):
        found = seeds_needed(NOISE, 2000, **options).num
        assert found is not None
        assert found < usual
    stricter = seeds_needed(NOISE, 2000, level=0.99).num
    assert stricter is None or stricter > usual


def test_noise_comes_from_a_comparison() -> None:
    found = Noise.of(compare(simulate(NOISE, 40, 2000, 0.0, 1)[0]))
    assert found.unit_sd == pytest.approx(NOISE.unit_sd, rel=0.1)
    assert found.seed_sd == pytest.approx(NOISE.seed_sd, rel=0.4)
    with pytest.raises(ValueError, match="one seed"):
        Noise.of(compare(np.zeros((1, 20))))
