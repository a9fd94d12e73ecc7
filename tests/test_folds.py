"""The verdict over folds: by hand, by its properties, and of networks that are really trained."""

from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from scipy.stats import t as student_t
from simulate_folds import ODD, ROUGH, Regime, Tables, draw_tables, true_difference

from vesica.statistics import compare, equivalence_p_value
from vesica.statistics.folds import Fold, mean_squares_over_folds
from vesica.statistics.interval import Array, half_width, mean_squares, standard_error

FOLD = np.arange(30) % 5
HAND = np.array([[1.0, 3.0, 2.0, 6.0], [3.0, 5.0, 0.0, 4.0]])
QUICK = Regime("quick", num_units=30, steps=15, outliers=0.2)


def noisy(seed: int = 0, run_sd: float = 0.01) -> Array:
    rng = np.random.default_rng(seed)
    runs = run_sd * rng.standard_normal((3, 5))
    units = 0.03 * rng.standard_normal(30) + 0.01
    table: Array = units + runs[:, FOLD] + 0.01 * rng.standard_normal((3, 30))
    return table


def width(table: Array, fold: Fold | None = None) -> float:
    found = compare(table, FOLD if fold is None else fold)
    assert found.low is not None
    assert found.high is not None
    assert found.mean == pytest.approx((found.low + found.high) / 2)
    return found.high - found.low


def test_a_table_worked_by_hand() -> None:
    # Folds are columns 1 2 and 3 4. Seeds' means are 2 and 4 in the first, 4 and 2 in the second:
    # variance 2 each, so runs have 2^2 / 4 x 2 + 2^2 / 4 x 2 = 4, though seeds' means are equal.
    # Column means 2 4 1 5: 2 (1 + 1 + 4 + 4) / 3 = 20/3. Total 28, less 20, leaves 8 with 3 df.
    squares = mean_squares_over_folds(HAND, np.array([0, 0, 1, 1]))
    assert mean_squares(HAND).seed == 0
    assert squares.seed == pytest.approx(4)
    assert squares.unit == pytest.approx(float(Fraction(20, 3)))
    assert squares.residual == pytest.approx(float(Fraction(8, 3)))
    assert (squares.num_folds, squares.df_seed, squares.overlap) == (2, 2, 3)
    # (4 + 3 x 20/3 - 8/3) / 8 = 8/3.
    assert standard_error(squares) ** 2 == pytest.approx(float(Fraction(8, 3)))
    # At alpha = 1/2, t^2 is 2/3 with 2 df and no room is made for skewness:
    # (2/3 (4 - 8/3) + 20 t^2) / 8.
    t2 = student_t.isf(0.25, 3) ** 2
    assert half_width(squares, 0.5) ** 2 == pytest.approx(float(Fraction(1, 9)) + 2.5 * t2)


def test_folds_of_other_sizes_worked_by_hand() -> None:
    # Folds are column 1 and columns 2 3 4: seeds' means 1 3 and 11/3 3, variances 2 and 2/9.
    # 1 / 4 x 2 + 9 / 4 x 2/9 = 1; the folds count as 16 / (1 + 9).
    squares = mean_squares_over_folds(HAND, np.array([7, 2, 2, 2]))
    assert squares.seed == pytest.approx(1)
    assert squares.num_folds == pytest.approx(1.6)
    assert squares.overlap == pytest.approx(1 + 1.6 / 0.6)


def test_equal_folds_are_averaged() -> None:
    table = noisy()
    one_by_one = [mean_squares(table[:, number == FOLD]).seed for number in range(5)]
    squares = mean_squares_over_folds(table, FOLD)
    assert squares.seed == pytest.approx(np.mean(one_by_one))
    assert (squares.df_seed, squares.overlap) == (10, 1 + 5 / 4)


def test_one_fold_is_no_fold() -> None:
    table = noisy()
    found, pooled = compare(table, np.zeros(30, int)), compare(table)
    assert asdict(found) == pytest.approx(asdict(pooled))


@settings(deadline=None, max_examples=20)
@given(random_state=st.integers(0, 10**6))
def test_names_and_order_of_folds_units_and_seeds_do_not_matter(random_state: int) -> None:
    rng = np.random.default_rng(random_state)
    table, names = noisy(random_state), rng.permutation(50)[:5]
    order = rng.permutation(30)
    other = rng.permutation(table, axis=0)[:, order]
    found, again = compare(table, FOLD), compare(other, names[FOLD][order])
    for name in ("mean", "low", "high", "standard_error", "p_value", "seed_sd"):
        assert getattr(again, name) == pytest.approx(getattr(found, name)), name


def test_a_stack_of_tables_equals_its_tables_one_by_one() -> None:
    stack = np.stack([noisy(seed) for seed in range(4)])
    widths = half_width(mean_squares_over_folds(stack, FOLD), 0.05)
    assert 2 * widths == pytest.approx([width(table) for table in stack])


def test_more_noise_of_runs_widens_the_interval() -> None:
    widths = [width(noisy(run_sd=sd)) for sd in (0.0, 0.02, 0.04, 0.08)]
    assert widths == sorted(widths)
    assert widths[-1] > 2 * widths[0]


def test_runs_of_a_seed_are_not_its_own() -> None:
    """Noise that cancels over a seed's folds is invisible when folds are ignored."""
    runs = np.outer([1, 0, -1], [2, -1, 0, 1, -2])[:, FOLD]
    table = noisy(run_sd=0) + 0.1 * runs
    assert mean_squares(table).seed < mean_squares_over_folds(table, FOLD).seed / 50


def test_fewer_folds_leave_more_room() -> None:
    table = noisy(run_sd=0)
    widths = [width(table, np.arange(30) % folds) for folds in (2, 3, 5, 10)]
    assert widths == sorted(widths, reverse=True)


def test_p_values_belong_to_the_interval() -> None:
    table = noisy()
    found = compare(table, FOLD)
    assert found.p_value is not None
    at_zero = compare(table, FOLD, level=1 - found.p_value)
    assert min(abs(at_zero.low or 0), abs(at_zero.high or 0)) == pytest.approx(0, abs=1e-9)
    margin = max(abs(found.low or 0), abs(found.high or 0))
    assert equivalence_p_value(table, FOLD, margin=margin) == pytest.approx(0.025)
    assert compare(table, FOLD, margin=margin).verdict == "equivalent"


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        (np.zeros(29, int), r"folds are int64 of shape \(29,\), expected a whole number for each"),
        (np.zeros((3, 30), int), r"of shape \(3, 30\)"),
        (np.zeros(30), "folds are float64"),
    ],
)
def test_bad_folds_are_explained(fold: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(noisy(), fold)
    with pytest.raises(ValueError, match=message):
        equivalence_p_value(noisy(), fold)


# Networks that are really trained


@pytest.mark.parametrize("regime", [QUICK, ROUGH], ids=["images", "runs"])
def test_the_interval_holds_the_truth(regime: Regime) -> None:
    rng = np.random.default_rng(1)
    tables = np.concatenate([draw_tables(rng, regime, 20) for _ in range(5)])
    truth, _ = true_difference(rng, regime, 600)
    fold = np.repeat(np.arange(regime.folds), regime.units_of_fold)
    half = half_width(mean_squares_over_folds(tables, fold), 0.05)
    misses = int((np.abs(tables.mean(axis=(1, 2)) - truth) > half).sum())
    assert misses <= binom.isf(0.001, len(tables), 0.065)
    # It is no test if the interval were as wide as can be.
    assert (np.abs(tables.mean(axis=(1, 2)) - truth) > half / 3).mean() > 0.1


def test_replicates_are_independent_and_runs_have_their_own_seeds() -> None:
    own, shared = (
        draw_tables(np.random.default_rng(0), regime, 100).reshape(100, 3, 5, 12).mean(axis=-1)
        for regime in (ROUGH, replace(ROUGH, shares_seeds=True))
    )

    def correlation(means: Array) -> float:
        runs = means - means.mean(axis=1, keepdims=True)
        return float(np.corrcoef(runs[..., 0].ravel(), runs[..., 1].ravel())[0, 1])

    assert abs(correlation(own)) < 0.2
    assert correlation(shared) > 0.2
    means = own.mean(axis=(1, 2))
    assert np.corrcoef(means[1:], means[:-1])[0, 1] == pytest.approx(0, abs=0.3)


def test_training_sets_add_what_no_mean_square_shows() -> None:
    regime = replace(ODD, num_units=30)
    tables = Tables.of(draw_tables(np.random.default_rng(0), regime, 80), regime.folds)
    shown = (tables.run + tables.unit - tables.residual).mean() / tables.size
    assert tables.difference.mean(axis=(1, 2)).var() > 1.3 * shown
    # Nor do the means of folds.
    assert tables.fold.mean() < 1.2 * (tables.run + tables.unit - tables.residual).mean()
