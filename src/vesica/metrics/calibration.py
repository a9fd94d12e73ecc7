"""Whether a probability of 0.8 is right in 80 of 100 pixels: expected calibration error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesica.metrics.counts import PerImage
from vesica.metrics.inputs import check_probs

NUM_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Pixels of each image by their probability of foreground; shape (num_images, NUM_BINS).

    Attributes:
        count: Number of pixels.
        prob_sum: Sum of their probabilities.
        positives: How many of them are foreground.
    """

    count: NDArray[np.int64]
    prob_sum: NDArray[np.float64]
    positives: NDArray[np.int64]

    @classmethod
    def join(cls, parts: Sequence["Reliability"]) -> "Reliability":
        """Those of several batches as those of one."""
        names = ("count", "prob_sum", "positives")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def pooled(self) -> "Reliability":
        """All images as one."""
        sums = (n.sum(axis=0, keepdims=True) for n in (self.count, self.prob_sum, self.positives))
        return Reliability(*sums)


def bin_probabilities(probs: NDArray[np.float32], truth: NDArray[np.bool_]) -> Reliability:
    """Put pixels into bins of equal width, each with its lower end and the last with both.

    Args:
        probs: Probability of foreground, shape (num_images, *pixels).
        truth: Masks of the same shape.

    Raises:
        ValueError: If a probability is not in [0, 1], a mask holds anything but 0 and 1, or the
            shapes are others.
    """
    probs, truth = check_probs(probs, truth)
    ends = np.linspace(0, 1, NUM_BINS + 1, dtype=np.float32)[1:-1]
    shape = len(probs), NUM_BINS
    rows = np.arange(len(probs)).reshape(-1, *[1] * (probs.ndim - 1)) * NUM_BINS
    places = (np.searchsorted(ends, probs, side="right") + rows).ravel()
    num = shape[0] * shape[1]
    count = np.bincount(places, minlength=num).astype(np.int64)
    prob_sum = np.bincount(places, weights=probs.ravel(), minlength=num).astype(np.float64)
    positives = np.bincount(places[truth.ravel()], minlength=num).astype(np.int64)
    return Reliability(count.reshape(shape), prob_sum.reshape(shape), positives.reshape(shape))


def calibration_error(reliability: Reliability) -> PerImage:
    """Mean over pixels of |mean probability - share of foreground| of their bin, per image.

    Source:
        Naeini et al. 2015, for the probability of foreground; `pooled` first for a data set's.
    """
    total = reliability.count.sum(axis=1)
    gaps = np.abs(reliability.prob_sum - reliability.positives).sum(axis=1)
    error: PerImage = np.divide(gaps, total, out=np.zeros(len(total)), where=total > 0)
    return error
