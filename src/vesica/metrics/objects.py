"""What IoU hardly sees: outlines within a tolerance, centre lines of thin things, small objects."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesica.metrics.boundary import outline_distances
from vesica.metrics.counts import Empty, PerImage, check_policy
from vesica.metrics.inputs import Masks, check_masks

TOLERANCE_PX = 2.0
"""Of surface Dice, unless it is said otherwise."""

FOUND = 0.5
"""Share of an object's pixels with which it counts as found."""

EIGHT = np.ones((3, 3), dtype=bool)
"""Pixels that touch by a corner are one object."""

AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The eight neighbours of a pixel, clockwise from the one above."""


def surface_dice(
    pred: Masks, truth: Masks, *, tolerance_px: float = TOLERANCE_PX, empty: Empty = "score"
) -> PerImage:
    """Share of both outlines that lies within a tolerance of the other one, per image.

    Args:
        pred: Predictions, shape (num_images, height, width).
        truth: Masks of the same shape.
        tolerance_px: Distance in pixels that does not matter.
        empty: What an image without foreground is worth.

    Raises:
        ValueError: If a mask holds anything but 0 and 1, the shapes are others, the tolerance is
            below 0, or there is no such policy.

    Source:
        Nikolov et al. 2018, with pixels as elements of the outline.
    """
    if not tolerance_px >= 0:
        raise ValueError(f"tolerance_px is {tolerance_px}; expected 0 or more")

    def one(pred: Masks, truth: Masks) -> float:
        distances = np.concatenate(outline_distances(pred, truth))
        return float((distances <= tolerance_px).mean())

    return _per_image(pred, truth, one, empty)


def cl_dice(pred: Masks, truth: Masks, *, empty: Empty = "score") -> PerImage:
    """Centre-line Dice, per image: whether thin things are found along their whole length.

    The harmonic mean of two shares: of the predicted centre line inside the true mask, and of the
    true one inside the predicted mask.

    Args:
        pred: Predictions, shape (num_images, height, width).
        truth: Masks of the same shape.
        empty: What an image without foreground is worth.

    Raises:
        ValueError: If a mask holds anything but 0 and 1, the shapes are others, or there is no such
            policy.

    Source:
        Shit et al. 2021, eq. 1 and 2.
    """

    def one(pred: Masks, truth: Masks) -> float:
        lines = skeleton(np.stack([pred, truth]))
        shares = [
            float(other[line].mean()) for line, other in zip(lines, (truth, pred), strict=True)
        ]
        return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0

    return _per_image(pred, truth, one, empty)


def object_recall(pred: Masks, truth: Masks, *, empty: Empty = "score") -> PerImage:
    """Share of the true objects of which at least half of the pixels are found, per image.

    An object is what touches, by a side or a corner. A large one counts as much as a small one.

    Args:
        pred: Predictions, shape (num_images, height, width).
        truth: Masks of the same shape.
        empty: What an image without objects is worth.

    Raises:
        ValueError: If a mask holds anything but 0 and 1, the shapes are others, or there is no such
            policy.
    """

    def one(pred: Masks, truth: Masks) -> float:
        labels, num = ndimage.label(truth, EIGHT)
        areas = np.bincount(labels.ravel(), minlength=num + 1)[1:]
        found = np.bincount(labels[pred], minlength=num + 1)[1:]
        return float((found >= FOUND * areas).mean())

    return _per_image(pred, truth, one, empty)


def skeleton(mask: Masks) -> Masks:
    """The centre lines of masks of shape (..., height, width), a pixel wide, by thinning.

    Source:
        Zhang and Suen 1984; of an object that this erases whole, as of every even square, the
        deepest pixel is kept.
    """
    height, width = mask.shape[-2:]
    padded = np.pad(mask.reshape(-1, height, width), ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    flat = padded.ravel()  # a view: what is removed from it is removed from the masks
    steps = np.array([row * (width + 2) + column for row, column in AROUND])
    inside = np.flatnonzero(flat)
    edge = inside[(flat[inside[:, np.newaxis] + steps] == 0).any(axis=1)]
    place = np.empty(len(flat), dtype=np.intp)
    # A pixel that was kept in a turn can be removed in the same turn of the next iteration if one
    # beside it went since, in that turn or in the other one.
    before, now, turn = edge, edge, 0
    while len(before) or len(now):
        near = np.concatenate([before, now])
        place[near] = order = np.arange(len(near))
        near = near[(place[near] == order) & (flat[near] > 0)]  # each of them once
        around = np.packbits(flat[near[:, np.newaxis] + steps], axis=1)[:, 0]
        removed = near[REMOVABLE[turn, around]]
        flat[removed] = 0
        before, now, turn = now, (removed[:, np.newaxis] + steps).ravel(), 1 - turn
    lines = padded[:, 1:-1, 1:-1].astype(bool)
    for line, whole in zip(lines, mask.reshape(-1, height, width), strict=True):
        _keep_deepest(line, whole)
    return lines.reshape(mask.shape)


def _keep_deepest(line: Masks, mask: Masks) -> None:
    """A pixel of each object that has no centre line."""
    labels, num = ndimage.label(mask, EIGHT)
    erased = np.setdiff1d(np.arange(1, num + 1), labels[line])
    depth = ndimage.distance_transform_cdt(mask) if len(erased) else labels
    for place in ndimage.maximum_position(depth, labels, erased):
        line[place] = True


def _removable() -> NDArray[np.bool_]:
    """Whether a pixel is removed, by sub-iteration and by its eight neighbours as bits."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).astype(bool)
    above, right, below, left = bits[:, ::2].T
    number = bits.sum(axis=1)
    # Times that a walk around the pixel steps from background onto foreground.
    entries = (~bits & np.roll(bits, -1, axis=1)).sum(axis=1)
    is_edge = (number >= 2) & (number <= 6) & (entries == 1)
    return np.array(
        [
            is_edge & ~(above & right & below) & ~(right & below & left),
            is_edge & ~(above & right & left) & ~(above & below & left),
        ]
    )


REMOVABLE = _removable()


def _per_image(
    pred: Masks, truth: Masks, one: Callable[[Masks, Masks], float], empty: Empty
) -> PerImage:
    """A score of each image where both masks have foreground; 0 where one alone has."""
    check_policy(empty)
    pred, truth = check_masks(pred, truth, num_axes=3)
    values = [_in_box(*pair, one) for pair in zip(pred, truth, strict=True)]
    found = np.array(values, dtype=np.float64)
    if empty == "skip":
        found[~truth.any(axis=(1, 2))] = np.nan
    return found


def _in_box(pred: Masks, truth: Masks, one: Callable[[Masks, Masks], float]) -> float:
    if not (pred.any() and truth.any()):
        return float(not (pred.any() or truth.any()))
    rows, columns = np.nonzero(pred | truth)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    return one(pred[box], truth[box])
