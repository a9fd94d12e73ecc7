"""How many pixels of a hard mask are right: accuracy, IoU, Dice, precision, recall."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vesica.metrics.inputs import check_masks, check_probs

PerImage = NDArray[np.float64]

Empty = Literal["score", "skip"]
"""What an image without true foreground is worth.

"score": the best value if nothing was predicted either, else the worst. "skip": no number (NaN),
so that a mean can leave it out.
"""


@dataclass(frozen=True)
class Counts:
    """Pixels of each kind in each image: int64 arrays of shape (num_images,)."""

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]

    @property
    def num_empty(self) -> int:
        """Images whose truth has no foreground."""
        return int(np.sum(self.tp + self.fn == 0))

    @classmethod
    def join(cls, parts: Sequence["Counts"]) -> "Counts":
        """Counts of several batches as those of one."""
        names = ("tp", "fp", "fn", "tn")
        return cls(*(np.concatenate([getattr(part, n) for part in parts]) for n in names))

    def pooled(self, num_classes: int = 1) -> "Counts":
        """All images as one; of several classes, whose rows take turns, each by itself."""
        kinds = (self.tp, self.fp, self.fn, self.tn)
        return Counts(*(kind.reshape(-1, num_classes).sum(axis=0) for kind in kinds))


def count_pixels(pred: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Counts:
    """Compare hard masks of shape (num_images, *pixels).

    Raises:
        ValueError: If a mask holds anything but 0 and 1, or the shapes differ.
    """
    pred, truth = (mask.reshape(len(mask), -1) for mask in check_masks(pred, truth))
    tp = np.sum(pred & truth, axis=1)
    fp = np.sum(pred, axis=1) - tp
    fn = np.sum(truth, axis=1) - tp
    return Counts(tp, fp, fn, pred.shape[1] - tp - fp - fn)


def accuracy(counts: Counts) -> PerImage:
    """Share of the pixels that are right, per image."""
    total = counts.tp + counts.fp + counts.fn + counts.tn
    return (counts.tp + counts.tn) / total


def iou(counts: Counts, empty: Empty = "score") -> PerImage:
    """Intersection over union (Jaccard index) of the foreground, per image."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn, counts, empty)


def dice(counts: Counts, empty: Empty = "score") -> PerImage:
    """Dice coefficient (F1) of the foreground, per image."""
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn, counts, empty)


def precision(counts: Counts, empty: Empty = "score") -> PerImage:
    """Share of the predicted foreground that is right, per image; 0 where nothing is predicted."""
    return _ratio(counts.tp, counts.tp + counts.fp, counts, empty)


def recall(counts: Counts, empty: Empty = "score") -> PerImage:
    """Share of the true foreground that is found, per image."""
    return _ratio(counts.tp, counts.tp + counts.fn, counts, empty)


def iou_soft(probs: NDArray[np.float32], truth: NDArray[np.bool_]) -> PerImage:
    """IoU of the probabilities themselves, per image, without a threshold.

    An image without foreground scores 0 as soon as one probability is above 0, as a sigmoid's
    always are, and 1 if none is.

    Args:
        probs: Probability of foreground, shape (num_images, *pixels).
        truth: Masks of the same shape.

    Raises:
        ValueError: If a probability is not in [0, 1], a mask holds anything but 0 and 1, or the
            shapes are others.

    Source:
        van Beers et al. 2019, eq. 3.
    """
    probs, truth = check_probs(probs, truth)
    probs, truth = probs.reshape(len(probs), -1), truth.reshape(len(truth), -1)
    inside = np.where(truth, probs, 0).sum(axis=1, dtype=np.float64)
    outside = np.where(truth, 0, probs).sum(axis=1, dtype=np.float64)
    union = outside + truth.sum(axis=1)
    # Nothing to find and nothing found: 1.
    soft: PerImage = np.divide(inside, union, out=np.ones(len(union)), where=union > 0)
    return soft


def check_policy(empty: Empty) -> None:
    """Raise if there is no such policy."""
    if empty not in get_args(Empty):
        raise ValueError(f"empty is {empty!r}; it is one of: {', '.join(get_args(Empty))}")


def _ratio(part: NDArray[Any], whole: NDArray[Any], counts: Counts, empty: Empty) -> PerImage:
    check_policy(empty)
    ratio = np.zeros(whole.shape)
    np.divide(part, whole, out=ratio, where=whole > 0)
    is_empty = counts.tp + counts.fn == 0
    if empty == "skip":
        return np.where(is_empty, np.nan, ratio)
    return np.where(is_empty & (counts.fp == 0), 1.0, ratio)
