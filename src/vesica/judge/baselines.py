"""Two scores without a network: what any trained network has to beat."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesica import metrics
from vesica.data.arrays import Arrays
from vesica.data.measure import ridge_widths
from vesica.data.split import Split
from vesica.metrics.objects import EIGHT
from vesica.results import metric_beside

CHUNK = 512
"""Masks in memory at once."""

NUM_LOOKED_AT = 50
"""Training images whose masks say which metric stands beside IoU."""


def score_baselines(
    arrays: Arrays, split: Split, *, empty: metrics.Empty = "score", is_exclusive: bool = False
) -> dict[str, dict[str, float]]:
    """Score the best constant mask and the mean mask on the test images.

    The best constant mask is whichever of all-background and all-foreground has the higher
    per-image IoU on the training images. The mean mask is foreground wherever at least half of
    the training masks are. Where each pixel is of one class, they are the most frequent class
    everywhere, and that of each pixel.

    Args:
        arrays: All images.
        split: Their division.
        empty: What a class is worth that an image has none of.
        is_exclusive: Each pixel is of one class.
    """
    num_classes = arrays.masks.shape[1]
    if is_exclusive:
        total, _ = _count(arrays, split)
        constant, mean = _winners(total.sum(axis=(1, 2), keepdims=True)), _winners(total)
        constant = np.broadcast_to(constant, mean.shape)
    else:
        constant = np.full(arrays.masks.shape[1:], _is_foreground_better(arrays, split, empty))
        mean = mean_mask(arrays, split)
    candidates = {"best constant mask": constant, "mean mask": mean}
    return {
        name: metrics.Scores.join(
            [_score(mask, arrays, part) for part in _chunks(split.test)]
        ).summary(empty, num_classes, is_exclusive=is_exclusive)
        for name, mask in candidates.items()
    }


def choose_beside(arrays: Arrays, split: Split) -> tuple[str, str]:
    """The metric that the training masks ask for beside IoU, and why."""
    masks = [mask for row in split.train[:NUM_LOOKED_AT] for mask in arrays.masks[row]]
    filled = [mask for mask in masks if mask.any()]
    areas = [np.bincount(ndimage.label(mask, EIGHT)[0].ravel())[1:] for mask in filled]
    return metric_beside(
        [float(ridge_widths(mask).mean()) for mask in filled],
        [math.sqrt(area) for image in areas for area in image],
    )


def mean_mask(arrays: Arrays, split: Split) -> NDArray[np.bool_]:
    """Foreground wherever at least half of the training masks are, of those that say."""
    total, known = _count(arrays, split)
    return 2 * total >= np.maximum(known, 1)


def _count(arrays: Arrays, split: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training masks that have a pixel, (classes, size, size), of those that say."""
    total = np.zeros(arrays.masks.shape[1:], dtype=np.int64)
    known = np.zeros_like(total)
    for part in _chunks(split.train):
        total += arrays.masks[part].sum(axis=0)
        known += len(part) if arrays.valid is None else arrays.valid[part].sum(axis=0)
    return total, known


def _winners(total: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The largest of the first axis alone; the first of several."""
    classes = np.arange(len(total)).reshape(-1, 1, 1)
    return np.asarray(classes == total.argmax(axis=0))


def _is_foreground_better(arrays: Arrays, split: Split, empty: metrics.Empty) -> bool:
    if empty == "skip":  # no image is left that all-background is right about
        return True
    densities = np.array([arrays.shares(row).mean() for row in split.train])
    # All-foreground scores an image's density, all-background 1 on an empty image, else 0.
    return bool(densities.mean() >= np.mean(densities == 0))


def _chunks(rows: Sequence[int]) -> Iterator[list[int]]:
    return (list(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK))


def _score(mask: NDArray[np.bool_], arrays: Arrays, part: list[int]) -> metrics.Scores:
    truth, valid = arrays.masks[part], None
    size = truth.shape[-2:]
    preds = np.broadcast_to(mask, truth.shape).astype(np.float32)
    if arrays.valid is not None:
        valid = np.broadcast_to(arrays.valid[part][:, np.newaxis], truth.shape).reshape(-1, *size)
    return metrics.Scores.of(preds.reshape(-1, *size), truth.reshape(-1, *size), valid)
