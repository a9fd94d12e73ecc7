"""The interval of a seed-by-unit table of differences: three mean squares and half the width."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from vesica.statistics.looks import ONCE, Shares

Array = NDArray[np.float64]

SKEWNESS_ALLOWANCE = 6.0
USUAL_ALPHA = 0.05


@dataclass(frozen=True)
class MeanSquares:
    """The three mean squares of a seed-by-unit table, one value per table.

    Attributes:
        seed: Of the means of training runs.
        unit: Of the means of units.
        residual: Of what is left.
        num_seeds: Training runs that each unit was tested by.
        num_units: Test images, or groups of them.
        num_folds: Independent sets of such runs, each for its part of the units.
    """

    seed: Array
    unit: Array
    residual: Array
    num_seeds: int
    num_units: int
    num_folds: float = 1.0

    @property
    def df_seed(self) -> float:
        """Degrees of freedom of `seed`."""
        return self.num_folds * (self.num_seeds - 1)

    @property
    def overlap(self) -> float:
        """How often a unit counts: once, and if it trains other folds' networks, for that too.

        Source:
            Nadeau and Bengio 2003, Machine Learning 52, 239-281: 1 / K + n_test / n_train in place
            of 1 / K; for K folds K / (K - 1) + 1 times as much.
        """
        return 1.0 if self.num_folds == 1 else 1 + self.num_folds / (self.num_folds - 1)


def mean_squares(difference: Array) -> MeanSquares:
    """Two-way analysis of variance without replication.

    Model: difference = mean + seed effect + unit effect + residual, all independent of each other.

    Args:
        difference: Shape (..., seeds, units), two or more of each; each leading index is one table.

    Source:
        Searle, Casella and McCulloch 1992, Variance Components, chapter 4.
    """
    num_seeds, num_units = difference.shape[-2:]
    grand = difference.mean(axis=(-2, -1), keepdims=True)
    seed = difference.mean(axis=-1, keepdims=True) - grand
    unit = difference.mean(axis=-2, keepdims=True) - grand
    residual = difference - grand - seed - unit
    residual_sum = np.einsum("...ij,...ij->...", residual, residual)
    return MeanSquares(
        seed=num_units * (seed**2).sum(axis=(-2, -1)) / (num_seeds - 1),
        unit=num_seeds * (unit**2).sum(axis=(-2, -1)) / (num_units - 1),
        residual=residual_sum / ((num_seeds - 1) * (num_units - 1)),
        num_seeds=num_seeds,
        num_units=num_units,
    )


def standard_error(squares: MeanSquares) -> Array:
    """Standard error of the grand mean: `sqrt((MS_seed + MS_unit - MS_residual) / (S N))`.

    MS_unit counts `overlap` times. The expected value of the numerator is never below that of
    MS_seed or of MS_unit, so neither is the estimate.
    """
    unit = squares.overlap * squares.unit
    numerator = np.maximum(squares.seed + unit - squares.residual, np.maximum(squares.seed, unit))
    return np.sqrt(numerator / (squares.num_seeds * squares.num_units))


def half_width(squares: MeanSquares, alpha: float, shares: Shares = ONCE) -> Array:
    """Half the width of the interval that holds the true mean with probability 1 - `alpha`.

    With t_S, t_N the two-sided t quantiles of S - 1 and N - 1 degrees of freedom, at `alpha` times
    the share of each: `sqrt((max(t_S^2 a_S MS_seed - t_R^2 MS_residual, 0) + t_N^2 a_N MS_unit) /
    (S N))`. Over K folds, MS_seed has K (S - 1) degrees of freedom and MS_unit counts `overlap`
    times.

    Each mean square is multiplied by the squared t quantile of its own degrees of freedom: without
    the residual, this keeps the level for normal effects at any ratio of seed noise to unit noise
    (Banerjee). One t quantile at Satterthwaite's degrees of freedom does not: with three seeds, a
    seed mean square small by luck lowers the standard error and raises the degrees of freedom.

    a_S and a_N make room for skewed effects, from which a t interval suffers most when the sample
    is small and alpha is small (Johnson), and for the residual subtracted; see `skewness_factor`.
    t_R is t_S where the seeds' alpha is 0.05 or more; below, it is the t at `sqrt(0.05 alpha)`.
    With t_S there, three seeds whose mean square is small by luck lose all of their term, and the
    interval misses with up to twice an alpha of 0.008 and four times one of 0.001.

    Assumes independent seeds, independent units and alpha of 0.05 or less. Effects more skewed than
    the exponential distribution, such as one diverged run among many good ones, miss more often.

    Source:
        Banerjee 1960, Sankhya 22, 357-358; Johnson 1978, JASA 73, 536-544 (what skewness does);
        Satterthwaite 1946, Biometrics Bulletin 2, 110-114 (the alternative). To subtract the
        residual, which both other mean squares contain, is our own, and like a_S and a_N rests on
        simulation: `benchmarks/simulate_verdict.py`, and `simulate_folds.py` beside it.
    """
    alpha_seed, alpha_unit = alpha * shares.seed, alpha * shares.unit
    t_seed = student_t.isf(alpha_seed / 2, squares.df_seed)
    t_unit = student_t.isf(alpha_unit / 2, squares.num_units - 1)
    seed = skewness_factor(squares.df_seed + 1, alpha_seed) * squares.seed
    unit = skewness_factor(squares.num_units, alpha_unit) * squares.unit
    residual = squares.residual
    if alpha_seed < USUAL_ALPHA:
        t_residual = student_t.isf((USUAL_ALPHA * alpha_seed) ** 0.5 / 2, squares.df_seed)
        residual = (t_residual / t_seed) ** 2 * residual
    numerator = t_seed**2 * np.maximum(seed - residual, 0) + t_unit**2 * squares.overlap * unit
    return np.asarray(np.sqrt(numerator / (squares.num_seeds * squares.num_units)))


def skewness_factor(num: float, alpha: float) -> float:
    """Room for skewness in a mean square: `1 + 6 (1 + ln(0.05 / alpha)) / (num + 1/3)`, 1 or more.

    Fitted by simulation to exponential effects (skewness 2): for 3 to 300 of them and alpha of 0.05
    down to 0.005, a t interval so enlarged misses the mean with a probability below 1.35 alpha.
    """
    allowance = SKEWNESS_ALLOWANCE * (1 + np.log(0.05 / alpha))
    return float(1 + max(allowance, 0) / (num + 1 / 3))
