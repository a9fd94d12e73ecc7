"""The slope of a paired difference, with seeds and units as random factors."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vesica.statistics import compare, has_slope, slope_table

POSITION = -np.log10([0.30, 0.10, 0.03, 0.01, 0.003])
Array = NDArray[np.float64]


def draw(
    rng: np.random.Generator, slope: float = 0.0, num_seeds: int = 3, num_units: int = 40
) -> Array:
    """Differences with a slope of their own for each unit and each seed, and noise of each run."""
    shape = len(POSITION), num_seeds, num_units
    of_unit, of_seed, of_run = (
        sd * rng.standard_normal(size)
        for sd, size in ((0.02, num_units), (0.01, (num_seeds, 1)), (0.01, (*shape[:2], 1)))
    )
    level = 0.1 * rng.standard_normal(num_units)
    noise = 0.03 * rng.standard_normal(shape)
    tilt = slope + of_unit + of_seed
    return level + tilt * POSITION[:, None, None] + of_run + noise


def lose(rng: np.random.Generator, difference: Array, share: float = 0.4) -> Array:
    """The same where units lack points, in all seeds."""
    lost = rng.random((len(difference), 1, difference.shape[2])) < share
    return np.where(lost, np.nan, difference)


def test_a_complete_table_holds_the_slope_of_every_seed_and_unit() -> None:
    difference = draw(np.random.default_rng(0))
    found = slope_table(difference, POSITION)
    for seed in range(3):
        for unit in range(0, 40, 7):
            slope, _ = np.polyfit(POSITION, difference[:, seed, unit], 1)
            assert found[seed, unit] == pytest.approx(slope, abs=1e-12)


def test_an_incomplete_table_has_the_slope_of_a_regression_with_an_effect_of_each_unit() -> None:
    rng = np.random.default_rng(1)
    difference = lose(rng, draw(rng, slope=0.02))
    kept = has_slope(difference, POSITION)
    assert 0 < (~kept).sum() < 10
    points, seeds, units = np.nonzero(np.isfinite(difference))
    dummies = (units[:, None] * 3 + seeds[:, None] == np.arange(120)).astype(float)
    design = np.column_stack([POSITION[points], dummies])
    values = difference[points, seeds, units]
    slope = np.linalg.lstsq(design, values, rcond=None)[0][0]
    found = slope_table(difference, POSITION)
    assert found.shape == (3, kept.sum())
    assert found.mean() == pytest.approx(slope, abs=1e-12)


def test_levels_of_units_and_seeds_and_the_origin_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    difference = lose(rng, draw(rng))
    moved = difference + rng.standard_normal((1, 3, 40))
    np.testing.assert_allclose(
        slope_table(moved, POSITION + 5), slope_table(difference, POSITION), atol=1e-12
    )


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_the_interval_holds_its_level(share: float) -> None:
    """Of 400 tables without a slope at most 5 %, and so much as chance adds, are called one."""
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(400):
        table = slope_table(lose(rng, draw(rng), share), POSITION)
        mean, low, high = (lambda c: (c.mean, c.low, c.high))(compare(table))
        assert low is not None
        assert high is not None
        assert low < mean < high
        missed += not low <= 0 <= high
    assert missed <= 0.05 * 400 + 2.6 * np.sqrt(400 * 0.05 * 0.95)
    assert missed > 0  # an interval that always holds it is too wide


def test_a_planted_slope_is_found_with_its_sign() -> None:
    rng = np.random.default_rng(4)
    for slope, verdict in ((0.1, "better"), (-0.1, "worse")):
        found = [compare(slope_table(draw(rng, slope), POSITION)) for _ in range(20)]
        assert sum(f.verdict == verdict for f in found) >= 18
        assert abs(np.mean([f.mean for f in found]) - slope) < 0.01


def test_runs_are_the_noise_that_more_images_do_not_remove() -> None:
    rng = np.random.default_rng(5)
    few, many = (compare(slope_table(draw(rng, num_units=n), POSITION)) for n in (400, 4000))
    assert few.standard_error is not None
    assert many.standard_error is not None
    assert many.standard_error > few.standard_error / 3


def test_without_two_places_there_is_no_slope() -> None:
    with pytest.raises(ValueError, match="two places"):
        slope_table(np.zeros((2, 3, 15)), np.array([1.0, 1.0]))
