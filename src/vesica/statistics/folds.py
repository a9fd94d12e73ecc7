"""Every unit tested once: networks of K folds, whose training sets overlap."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vesica.statistics.interval import Array, MeanSquares, mean_squares

Fold = NDArray[np.integer]
"""Of each unit, any whole number."""


def mean_squares_over_folds(difference: Array, fold: Fold) -> MeanSquares:
    """Mean squares of a table whose units were tested by the networks of their fold.

    Model: difference = mean + unit effect + effect of the training run (one for each seed and fold)
    + residual, all independent, and an effect of the fold's training set, which its seeds share.

    The spread of a fold's seeds shows the training runs, so MS_seed is a mean over folds: N_f^2 / N
    times the variance of the seeds' means in fold f, added. What the training sets add cannot be
    seen in such a table: folds share most of their training images, so that their means hardly
    differ by it (Bengio and Grandvalet 2004: no unbiased estimate exists). `overlap` makes room for
    it. So the interval is about new training sets of this size, too; it may miss more often than it
    says where these make more than half of the variance of the mean, as in the hardest simulations.

    Assumes that networks of one seed in different folds have random numbers of their own. K counts
    as N^2 / sum N_f^2, which is K where folds have equally many units. One fold is `mean_squares`.

    Args:
        difference: Shape (..., seeds, units), two or more of each.
        fold: Shape (units,).

    Source:
        Nadeau and Bengio 2003, Machine Learning 52, 239-281; Bengio and Grandvalet 2004, JMLR 5,
        1089-1105. That units and runs have mean squares of their own, where theirs is one over
        folds, is our own, and rests on `benchmarks/simulate_folds.py`.
    """
    numbers, sizes = np.unique(fold, return_counts=True)
    runs = np.stack([difference[..., fold == number].mean(axis=-1) for number in numbers], axis=-1)
    spread = runs.var(axis=-2, ddof=1)
    num_units = len(fold)
    return replace(
        mean_squares(difference),
        seed=(sizes**2 * spread).sum(axis=-1) / num_units,
        num_folds=float(num_units**2 / (sizes**2).sum()),
    )
