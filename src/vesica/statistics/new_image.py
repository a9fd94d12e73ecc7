"""What to expect of a new image: the mean score, and the range that holds most of them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from scipy.stats import t as student_t

MEAN_LEVEL = 0.95
RANGE_LEVEL = 0.9
"""Of the interval of the mean, and of the share of new images within the range."""

UNUSUAL_SHARE = 0.1
MIN_FOR_LIMIT = 9
"""Of new images those beyond a limit, and groups that a limit takes: of 8 values and a new one none
is beyond the others with a tenth. The share that a limit leaves out is a tenth on average, with a
standard deviation of 9 points of nine groups, 6 of 20, 3 of 100 (a beta distribution's)."""


@dataclass(frozen=True)
class NewImage:
    """Of the scores of tested images.

    Attributes:
        mean: Over groups.
        low, high: The interval that holds the true mean; None with one group.
        least, most: The range that holds a new image's score with `RANGE_LEVEL`; None where there
            are too few groups for any.
        num_images, num_units: Images, and groups of them.
    """

    mean: float
    low: float | None
    high: float | None
    least: float | None
    most: float | None
    num_images: int
    num_units: int


def expect_of_new(scores: NDArray[np.float64], groups: NDArray[np.intp]) -> NewImage:
    """What scores of tested images say about an image of a group that was not tested.

    The range is between two order statistics: of n scores and a new one, each is the k-th smallest
    with the same probability, so that it lies outside with at most 2 k / (n + 1), whatever the
    distribution. Images of a group share its weight, and n is the number of groups: with several
    images in a group that holds for many groups, and is not proven for few.

    Args:
        scores: One per image, in [0, 1].
        groups: Which person, patient or slide each image shows; from 0.

    Source:
        Vovk et al. 2005, Algorithmic learning in a random world, chapter 2; for groups Dunn et al.
        2023, Distribution-free prediction sets for two-layer hierarchical models ("pooling CDFs").
    """
    sizes = np.bincount(groups)
    means = np.bincount(groups, scores) / sizes
    num = len(means)
    half = math.nan
    if num > 1:
        quantile = student_t.isf((1 - MEAN_LEVEL) / 2, num - 1)
        half = float(quantile * means.std(ddof=1) / math.sqrt(num))
    mean = float(means.mean())
    outside = math.floor((num + 1) * (1 - RANGE_LEVEL) / 2 + 1e-9)
    weights = 1 / (num * sizes[groups])
    share = outside / num
    return NewImage(
        mean=mean,
        low=max(0.0, mean - half) if num > 1 else None,
        high=min(1.0, mean + half) if num > 1 else None,
        least=_quantile(scores, weights, share) if outside else None,
        most=-_quantile(-scores, weights, share) if outside else None,
        num_images=len(scores),
        num_units=num,
    )


def limit_of_new(values: NDArray[np.float64], groups: NDArray[np.intp]) -> float | None:
    """What a new image's value exceeds with at most `UNUSUAL_SHARE`; None: too few groups.

    The k-th smallest of n values, with k = ceil((n + 1) (1 - share)): as in `expect_of_new`, it
    holds for any distribution. A quantile of few values would be exceeded far more often.

    Args:
        values: One per image.
        groups: As in `expect_of_new`.
    """
    sizes = np.bincount(groups)
    num = len(sizes)
    if num < MIN_FOR_LIMIT:
        return None
    return _quantile(values, 1 / (num * sizes[groups]), _place(num) / num)


def most_beyond(num: int) -> float:
    """The share of new images that a limit from so many groups leaves out at most, with
    `MEAN_LEVEL`: what lies above the k-th smallest of n has a beta distribution."""
    return float(beta.ppf(MEAN_LEVEL, num + 1 - _place(num), _place(num)))


def _place(num: int) -> int:
    """Of the order statistic that is the limit, from 1."""
    return math.ceil((num + 1) * (1 - UNUSUAL_SHARE) - 1e-9)


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """The smallest value up to which the weights make the share."""
    order = np.argsort(values, kind="stable")
    place = np.searchsorted(np.cumsum(weights[order]), share - 1e-9)
    return float(values[order][place])
