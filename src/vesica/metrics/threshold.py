"""The probability from which on a pixel is foreground: 1/2, or tuned on validation images."""

import numpy as np
from numpy.typing import NDArray

from vesica.metrics.counts import Counts, Empty, check_policy, iou
from vesica.metrics.inputs import check_probs

NUM_BINS = 256
"""Of the histograms; 1/2 is an edge."""


def histogram(
    probs: NDArray[np.float32], truth: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.int32]:
    """Pixels by truth (negative, positive) and probability.

    Args:
        probs: Probability of foreground, shape (num_images, *pixels).
        truth: Masks of the same shape.
        valid: Pixels that count, of the same shape; None: all.

    Returns:
        Shape (num_images, 2, NUM_BINS); bin b holds probabilities in [b / 256, (b + 1) / 256).

    Raises:
        ValueError: If a probability is not in [0, 1], a mask holds anything but 0 and 1, or the
            shapes are others.
    """
    probs, truth = check_probs(probs, truth)
    # Multiplying by 256 is exact in float32, so bin 128 begins exactly at 1/2.
    bins = np.minimum((probs * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    rows = np.arange(len(probs)).reshape(-1, *[1] * (probs.ndim - 1))
    places = bins + NUM_BINS * (truth + 2 * rows)
    places = places.ravel() if valid is None else places[valid]
    counts = np.bincount(places, minlength=len(probs) * 2 * NUM_BINS)
    # A data set's histograms are kept in memory; no image has 2^31 pixels.
    return counts.astype(np.int32).reshape(len(probs), 2, NUM_BINS)


def counts_at(histograms: NDArray[np.integer], threshold: float) -> Counts:
    """Counts per image of the masks at a threshold that is a multiple of 1 / NUM_BINS."""
    first = round(threshold * NUM_BINS)
    if first != threshold * NUM_BINS or not 0 <= first <= NUM_BINS:
        raise ValueError(f"threshold {threshold} is no multiple of 1/{NUM_BINS} in [0, 1]")
    found = histograms[:, :, first:].sum(axis=2, dtype=np.int64)
    left = histograms[:, :, :first].sum(axis=2, dtype=np.int64)
    return Counts(tp=found[:, 1], fp=found[:, 0], fn=left[:, 1], tn=left[:, 0])


def tune_threshold(histograms: NDArray[np.integer], empty: Empty = "score") -> float:
    """The threshold with the highest mean per-image IoU; of several, the one nearest to 1/2.

    Args:
        histograms: Of validation images (never of test images), as `histogram` makes them.
        empty: As `iou` takes it; where no image counts, the threshold is 1/2.

    Returns:
        A multiple of 1 / NUM_BINS, above 0 and below 1.

    Raises:
        ValueError: If there is no image.
    """
    if not len(histograms):
        raise ValueError("no histograms to tune a threshold on; pass those of validation images")
    check_policy(empty)
    if empty == "skip":
        histograms = histograms[histograms[:, 1].any(axis=1)]
    if not len(histograms):
        return 0.5
    thresholds = [first / NUM_BINS for first in range(1, NUM_BINS)]
    means = [float(iou(counts_at(histograms, threshold)).mean()) for threshold in thresholds]
    return max(
        zip(means, thresholds, strict=True), key=lambda pair: (pair[0], -abs(pair[1] - 0.5))
    )[1]
