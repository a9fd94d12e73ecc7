import json
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from vesica.statistics import INTERVAL_TOO_WIDE, Comparison, compare
from vesica.statistics import interval as interval_module
from vesica.statistics.interval import (
    Array,
    half_width,
    mean_squares,
    skewness_factor,
    standard_error,
)
from vesica.statistics.verdict import (
    REAL_BUT_NEGLIGIBLE,
    SEED_NOISE_NOT_MEASURED,
    SMALLEST_P_VALUE,
    TOO_FEW_SEEDS,
    TOO_FEW_UNITS,
    p_value,
)

Case = tuple[int, int, float, float, str, str]
# Seeds, units; the variance of the mean from seeds, where units give 1; the standard deviation of a
# residual in that of a unit effect; the shapes of seed and unit effects.
HARDEST: list[Case] = [
    (3, 15, 10.0, 0.3, "exponential", "exponential"),
    (3, 60, 10.0, 0.3, "exponential", "normal"),
    (3, 60, 5000.0, 30.0, "exponential", "normal"),
    (3, 300, 1.0, 3.0, "normal", "normal"),
    (5, 15, 0.0, 0.3, "normal", "exponential"),
    (5, 60, 10.0, 0.3, "exponential", "exponential"),
    (10, 15, 0.3, 0.3, "exponential", "exponential"),
    (10, 60, 10.0, 0.3, "exponential", "exponential"),
    (10, 60, 1.0, 3.0, "normal", "normal"),
]


def noisy(
    num_seeds: int = 5,
    num_units: int = 40,
    mean: float = 0.0,
    seed_sd: float = 0.01,
    unit_sd: float = 0.03,
    random_state: int = 0,
) -> Array:
    rng = np.random.default_rng(random_state)
    seed = seed_sd * rng.standard_normal((num_seeds, 1))
    unit = unit_sd * rng.standard_normal((1, num_units))
    residual = 0.01 * rng.standard_normal((num_seeds, num_units))
    return mean + seed + unit + residual


def bounds(found: Comparison) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def width(found: Comparison) -> float:
    low, high = bounds(found)
    return high - low


def simulate(case: Case, num_replicates: int, random_state: int = 0) -> Array:
    num_seeds, num_units, seed_variance, residual_sd, seed_shape, unit_shape = case
    rng = np.random.default_rng(random_state)
    draws: dict[str, Callable[[tuple[int, ...]], Array]] = {
        "normal": lambda shape: rng.standard_normal(shape),
        "exponential": lambda shape: rng.standard_exponential(shape) - 1,
    }
    seed = (seed_variance * num_seeds) ** 0.5 * draws[seed_shape]((num_replicates, num_seeds, 1))
    unit = num_units**0.5 * draws[unit_shape]((num_replicates, 1, num_units))
    residual = rng.standard_normal((num_replicates, num_seeds, num_units))
    difference: Array = seed + unit + residual_sd * num_units**0.5 * residual
    return difference


def test_mean_squares_of_a_table_worked_by_hand() -> None:
    # Rows (seeds) 1 2 6 and 3 4 5: grand mean 7/2, row means 3 and 4, column means 2, 3 and 11/2.
    # Seeds: 3 (1/4 + 1/4) = 3/2, 1 df. Units: 2 (9/4 + 1/4 + 4) = 13, 2 df.
    # Total: 25/4 + 9/4 + 25/4 + 1/4 + 1/4 + 9/4 = 35/2, which leaves 3 for the residual, 2 df.
    squares = mean_squares(np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 5.0]]))
    assert squares.seed == pytest.approx(float(Fraction(3, 2)))
    assert squares.unit == pytest.approx(float(Fraction(13, 2)))
    assert squares.residual == pytest.approx(float(Fraction(3, 2)))
    assert standard_error(squares) == pytest.approx(
        (6.5 / 6) ** 0.5
    )  # 3/2 + 13/2 - 3/2, over 2 x 3


def test_mean_squares_equal_least_squares_fits() -> None:
    table = noisy(4, 7)
    seed = np.kron(np.eye(4), np.ones((7, 1)))
    unit = np.kron(np.ones((4, 1)), np.eye(7))

    def unexplained(*effects: NDArray[np.floating[Any]]) -> float:
        design = np.hstack([np.ones((28, 1)), *effects])
        fit = np.linalg.lstsq(design, table.ravel(), rcond=None)[0]
        return float(np.sum((table.ravel() - design @ fit) ** 2))

    squares = mean_squares(table)
    both = unexplained(seed, unit)
    assert squares.seed == pytest.approx((unexplained(unit) - both) / 3)
    assert squares.unit == pytest.approx((unexplained(seed) - both) / 6)
    assert squares.residual == pytest.approx(both / 18)


def test_a_stack_of_tables_equals_its_tables_one_by_one() -> None:
    stack = np.stack([noisy(random_state=i) for i in range(6)]).reshape(2, 3, 5, 40)
    widths = half_width(mean_squares(stack), 0.05)
    assert widths.shape == (2, 3)
    for index in np.ndindex(2, 3):
        assert widths[index] == pytest.approx(float(half_width(mean_squares(stack[index]), 0.05)))


@pytest.mark.parametrize("axis", [0, 1], ids=["over images", "over seeds"])
def test_equals_a_t_test_when_one_effect_is_all(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval_module, "SKEWNESS_ALLOWANCE", 0.0)
    shape = (1, 20) if axis == 0 else (5, 1)
    rng = np.random.default_rng(1)
    table = 0.01 + 0.03 * rng.standard_normal(shape) + 1e-7 * rng.standard_normal((5, 20))
    means = table.mean(axis=axis)
    by_hand: Any = ttest_1samp(means, 0)
    found = compare(table)
    assert bounds(found) == pytest.approx(tuple(by_hand.confidence_interval(0.95)), rel=1e-3)
    assert found.p_value == pytest.approx(by_hand.pvalue, rel=1e-3)
    assert found.standard_error == pytest.approx(means.std(ddof=1) / means.size**0.5, rel=1e-3)


def test_equals_a_t_test_when_there_are_many_seeds_and_images() -> None:
    rng = np.random.default_rng(1)
    table = 0.001 + 0.03 * rng.standard_normal((1, 3000)) + 1e-6 * rng.standard_normal((50, 3000))
    by_hand: Any = ttest_1samp(table.mean(axis=0), 0)
    low, high = by_hand.confidence_interval(0.95)
    found = compare(table)
    assert bounds(found) == pytest.approx((low, high), abs=0.005 * (high - low))
    assert found.p_value == pytest.approx(by_hand.pvalue, rel=0.05)


def test_half_width_of_a_table_worked_by_hand() -> None:
    # The table of the mean squares above. With 1 and 2 degrees of freedom, the t quantile is
    # cot(pi alpha / 2), and (1 - alpha) sqrt(2 / (alpha (2 - alpha))): 1 and sqrt(2/3) at 1/2.
    # There, no room is made for skewness: (1 (3/2 - 3/2) + 2/3 x 13/2) / 6 = 13/18.
    squares = mean_squares(np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 5.0]]))
    assert half_width(squares, 0.5) == pytest.approx((13 / 18) ** 0.5)


def test_room_for_skewness_worked_by_hand() -> None:
    assert skewness_factor(3, 0.05) == pytest.approx(1 + 6 / (10 / 3))
    assert skewness_factor(1, 0.05 / np.e) == pytest.approx(1 + 12 / (4 / 3))
    assert skewness_factor(3, 0.5) == 1


@pytest.mark.parametrize("case", HARDEST, ids=str)
def test_rarely_finds_a_difference_where_there_is_none(case: Case) -> None:
    difference = np.concatenate([simulate(case, 500, random_state) for random_state in range(6)])
    misses = np.abs(difference.mean(axis=(1, 2))) > half_width(mean_squares(difference), 0.05)
    assert misses.mean() < 0.065


def test_simulated_effects_have_the_sizes_asked_for() -> None:
    difference = simulate((3, 60, 3.0, 2.0, "exponential", "exponential"), 4000)
    squares = mean_squares(difference)
    assert difference.mean() == pytest.approx(0, abs=0.2)
    assert squares.residual.mean() == pytest.approx(4 * 60, rel=0.03)
    assert (squares.seed - squares.residual).mean() / 60 == pytest.approx(9, rel=0.1)
    assert (squares.unit - squares.residual).mean() / 3 == pytest.approx(60, rel=0.05)
    assert difference.mean(axis=(1, 2)).var() == pytest.approx(1 + 3 + 4 / 3, rel=0.1)
    means = difference.mean(axis=2)
    assert np.corrcoef(means[1:].ravel(), means[:-1].ravel())[0, 1] == pytest.approx(0, abs=0.05)


def test_a_t_test_over_images_finds_differences_where_there_are_none() -> None:
    difference = simulate((3, 60, 1.0, 0.3, "normal", "normal"), 3000)
    t_test: Any = ttest_1samp(difference.mean(axis=1), 0, axis=1)
    assert (t_test.pvalue < 0.05).mean() > 0.1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(3, 8),
    st.integers(15, 40),
    st.floats(-0.05, 0.05),
    st.floats(0, 0.05),
    st.integers(0, 1000),
)
def test_symmetries(
    num_seeds: int, num_units: int, mean: float, seed_sd: float, random_state: int
) -> None:
    table = noisy(num_seeds, num_units, mean, seed_sd, random_state=random_state)
    found, flipped = compare(table), compare(-table)
    low, high = bounds(found)
    opposite = {"better": "worse", "worse": "better"}
    assert flipped.verdict == opposite.get(found.verdict, found.verdict)
    assert bounds(flipped) == pytest.approx((-high, -low))
    assert flipped.p_value == pytest.approx(found.p_value)

    assert bounds(compare(table + 0.25)) == pytest.approx((low + 0.25, high + 0.25))

    rng = np.random.default_rng(random_state)
    shuffled = compare(rng.permutation(rng.permutation(table, axis=0), axis=1))
    assert shuffled.verdict == found.verdict
    assert bounds(shuffled) == pytest.approx((low, high))

    percent = compare(100 * table, margin=0.5)
    assert percent.verdict == found.verdict
    assert bounds(percent) == pytest.approx((100 * low, 100 * high))


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.05, 0.05), st.floats(0.5, 0.999), st.integers(0, 1000))
def test_p_value_and_interval_agree(mean: float, level: float, random_state: int) -> None:
    found = compare(noisy(3, 20, mean, random_state=random_state), level=level)
    low, high = bounds(found)
    assert found.p_value is not None
    assert 0 < found.p_value <= 1
    assert low < found.mean < high
    assert found.excludes_zero == (low > 0 or high < 0)
    assert found.excludes_zero == (found.p_value < 1 - level)


def test_p_value_is_the_level_whose_interval_ends_at_zero() -> None:
    found = compare(noisy(mean=0.01))
    assert found.p_value is not None
    low, _ = bounds(compare(noisy(mean=0.01), level=1 - found.p_value))
    assert low == pytest.approx(0, abs=1e-9)


def test_p_value_at_its_ends() -> None:
    squares = mean_squares(noisy())
    assert p_value(0.0, squares) == 1.0
    assert p_value(1e9, squares) == SMALLEST_P_VALUE


def test_standard_error_is_never_below_that_of_seeds_or_units_alone() -> None:
    stack = np.random.default_rng(0).standard_normal((200, 3, 15))  # residuals only
    squares = mean_squares(stack)
    larger = np.maximum(squares.seed, squares.unit)
    assert (standard_error(squares) >= np.sqrt(larger / 45)).all()
    assert (squares.seed + squares.unit - squares.residual < larger).any()


def test_seed_noise_unit_noise_and_residual_each_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    seed, unit = rng.standard_normal((5, 1)), rng.standard_normal((1, 40))
    residual = rng.standard_normal((5, 40))

    def width_with(*sds: float) -> float:
        squares = mean_squares(sds[0] * seed + sds[1] * unit + sds[2] * residual)
        return float(half_width(squares, 0.05))

    assert width_with(2, 1, 1) > width_with(1, 1, 1)
    assert width_with(1, 2, 1) > width_with(1, 1, 1)
    assert width_with(1, 1, 3) > width_with(1, 1, 1)


def test_reports_the_size_of_each_effect() -> None:
    found = compare(noisy(200, 400, seed_sd=0.02, unit_sd=0.05))
    assert found.seed_sd == pytest.approx(0.02, rel=0.15)
    assert found.unit_sd == pytest.approx(0.05, rel=0.1)
    assert found.residual_sd == pytest.approx(0.01, rel=0.02)


def test_better_worse_and_undecided() -> None:
    assert compare(noisy(mean=0.1)).verdict == "better"
    assert compare(noisy(mean=-0.1)).verdict == "worse"
    undecided = compare(noisy())
    assert (undecided.verdict, undecided.reason) == ("undecided", INTERVAL_TOO_WIDE)
    assert not undecided.excludes_zero
    assert undecided.p_value is not None


def test_equivalent_up_to_the_margin_and_no_further() -> None:
    table = noisy(mean=0.1)
    _, edge = bounds(compare(table))
    just_below = float(np.nextafter(edge, 0))
    assert compare(table, margin=edge).verdict == "equivalent"
    assert compare(table, margin=edge).reason == REAL_BUT_NEGLIGIBLE
    assert compare(table, margin=just_below).verdict == "better"
    assert compare(-table, margin=edge).verdict == "equivalent"
    assert compare(-table, margin=just_below).verdict == "worse"


def test_equivalent_says_nothing_more_when_zero_is_inside() -> None:
    found = compare(noisy(), margin=0.1)
    assert (found.verdict, found.reason, found.excludes_zero) == ("equivalent", "", False)


def test_one_seed_gives_no_interval() -> None:
    found = compare(noisy(num_seeds=1, mean=0.1))
    assert (found.verdict, found.reason) == ("undecided", SEED_NOISE_NOT_MEASURED)
    assert found.low is found.high is found.p_value is found.standard_error is found.seed_sd is None
    assert not found.excludes_zero
    assert found.mean == pytest.approx(0.1, abs=0.05)


def test_two_seeds_give_an_interval_and_no_verdict() -> None:
    found = compare(noisy(num_seeds=2, mean=0.9, seed_sd=0))
    assert (found.verdict, found.reason, found.p_value) == ("undecided", TOO_FEW_SEEDS, None)
    low, high = bounds(found)
    assert low < found.mean < high


@pytest.mark.parametrize("num_seeds", [2, 3, 10])
def test_too_few_images_give_no_verdict(num_seeds: int) -> None:
    found = compare(noisy(num_seeds, num_units=14, mean=0.9))
    assert (found.verdict, found.reason, found.p_value) == ("undecided", TOO_FEW_UNITS, None)
    low, high = bounds(found)
    assert low < found.mean < high
    assert compare(noisy(3, num_units=15, mean=0.9)).verdict == "better"


def test_one_image_gives_no_interval() -> None:
    found = compare(noisy(3, 1))
    assert (found.reason, found.low, found.high) == (TOO_FEW_UNITS, None, None)


def test_identical_runs_are_equivalent() -> None:
    found = compare(np.zeros((3, 15)))
    assert (found.verdict, found.reason, found.low, found.high) == ("equivalent", "", 0.0, 0.0)
    assert (found.p_value, found.excludes_zero) == (1.0, False)


def test_a_constant_difference_is_certain() -> None:
    found = compare(np.full((3, 16), 0.25))
    assert (found.verdict, found.low, found.high) == ("better", 0.25, 0.25)
    assert found.p_value == SMALLEST_P_VALUE


def test_a_higher_level_is_wider_and_leaves_the_p_value() -> None:
    table = noisy(mean=0.1)
    usual, stricter = compare(table), compare(table, level=1 - 0.05 / 10)
    assert width(stricter) > width(usual)
    assert stricter.p_value == usual.p_value
    assert stricter.level == 0.995


@pytest.mark.parametrize("num_seeds", [1, 2, 3])
def test_survives_json(num_seeds: int) -> None:
    fields = asdict(compare(noisy(num_seeds, mean=0.1)))
    assert json.loads(json.dumps(fields)) == fields
    assert {type(value) for value in fields.values()} <= {str, float, int, bool, type(None)}


@pytest.mark.parametrize(
    ("difference", "options", "message"),
    [
        (np.zeros(5), {}, r"shape \(5,\), expected \(seeds, units\)"),
        (np.zeros((3, 0)), {}, r"shape \(3, 0\)"),
        (np.array([[0.0, np.nan, np.inf]]), {}, "2 of 3 differences are not finite"),
        (np.zeros((3, 15)), {"margin": -0.1}, "margin is -0.1"),
        (np.zeros((3, 15)), {"margin": np.nan}, "margin is nan"),
        (np.zeros((3, 15)), {"level": 95}, "level is 95"),
    ],
)
def test_bad_input_is_explained(difference: Array, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(difference, **options)
