"""How well the boundary of a hard mask fits: boundary IoU and the Hausdorff distance."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesica.metrics.counts import Counts, Empty, PerImage, check_policy, count_pixels
from vesica.metrics.inputs import Masks, check_masks


def count_boundary(pred: Masks, truth: Masks, *, width_px: int | None = None) -> Counts:
    """Compare the bands along the inner boundaries of hard masks; `iou` of it is boundary IoU.

    Args:
        pred: Predictions, shape (num_images, height, width).
        truth: Masks of the same shape.
        width_px: Of the band; None: 2 % of the image's diagonal, at least 1, as in the source.

    Raises:
        ValueError: If a mask holds anything but 0 and 1, or the shapes are others.

    Source:
        Cheng et al. 2021, eq. 2; the image's border counts as boundary, as in their code.
    """
    pred, truth = check_masks(pred, truth, num_axes=3)
    if width_px is None:
        width_px = max(1, round(0.02 * math.hypot(*truth.shape[1:])))
    bands = ([band(mask, width_px) for mask in masks] for masks in (pred, truth))
    return count_pixels(*(np.array(one, dtype=bool).reshape(truth.shape) for one in bands))


def hd95(pred: Masks, truth: Masks, *, empty: Empty = "score") -> PerImage:
    """95 % Hausdorff distance in pixels, per image; 0 is best.

    The larger of two 95th percentiles: distances of predicted boundary pixels to the true
    boundary, and the other way round. Where exactly one mask is empty it is the image's diagonal;
    where both are, 0. With `empty="skip"`, an image without true foreground has no number.

    Args:
        pred: Predictions, shape (num_images, height, width).
        truth: Masks of the same shape.
        empty: What an image without foreground is worth.

    Raises:
        ValueError: If a mask holds anything but 0 and 1, the shapes are others, or there is no such
            policy.

    Source:
        Huttenlocher et al. 1993, with percentiles in place of the largest distance.
    """
    check_policy(empty)
    pred, truth = check_masks(pred, truth, num_axes=3)
    distances = [_hd95(*pair) for pair in zip(pred, truth, strict=True)]
    found = np.array(distances, dtype=np.float64)
    if empty == "skip":
        found[~truth.reshape(len(truth), -1).any(axis=1)] = np.nan
    return found


def _hd95(pred: Masks, truth: Masks) -> float:
    if not (pred.any() and truth.any()):
        return math.hypot(*truth.shape) if pred.any() or truth.any() else 0.0
    return max(float(np.percentile(found, 95)) for found in outline_distances(pred, truth))


def outline_distances(pred: Masks, truth: Masks) -> list[NDArray[np.float64]]:
    """How far each pixel of an outline is from the other outline, in pixels: of the predicted one
    and of the true one.

    Args:
        pred: Prediction, shape (height, width), not empty.
        truth: Mask of the same shape, not empty.
    """
    # Beyond the box around both masks there is no boundary, and nothing is measured.
    rows, columns = np.nonzero(pred | truth)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    edges = band(pred[box], 1, cross=True), band(truth[box], 1, cross=True)
    return [ndimage.distance_transform_edt(~other)[edge] for edge, other in (edges, edges[::-1])]


def band(mask: Masks, width_px: int, *, cross: bool = False) -> Masks:
    """Pixels of a mask at most so far from its outside, and the image's border is outside.

    Args:
        mask: Shape (height, width).
        width_px: Of the band.
        cross: Distances along rows and columns; else diagonal steps count as one.
    """
    padded = np.pad(mask, 1)
    if cross:
        depth = ndimage.distance_transform_cdt(padded, "taxicab")[1:-1, 1:-1]
    else:
        depth = ndimage.distance_transform_cdt(padded, "chessboard")[1:-1, 1:-1]
    found: Masks = mask & (depth <= width_px)
    return found
