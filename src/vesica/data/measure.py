"""How large the images of a set are and what lies in them: of a few, at their own size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesica.data.sample import Dataset
from vesica.errors import DataError

NUM_MEASURED = 40
"""Spread evenly over the names."""


@dataclass(frozen=True)
class Measured:
    """Medians over the images that were looked at.

    Attributes:
        side_px: Side of the square that an image would be.
        across: Of the foreground, as a share of the side: half of its pixels lie where it is wider.
            None where there is none.
    """

    side_px: float
    across: float | None

    def across_px(self, size_px: int) -> float:
        """Pixels across, where images are resized to squares of this side; without end if none."""
        return np.inf if self.across is None else self.across * size_px


def measure(dataset: Dataset) -> Measured | None:
    """Look at some images that the set itself does not keep for the test.

    Returns:
        None where none can be read: whoever needs them all says so.
    """
    samples = [sample for sample in dataset.samples if sample.part != "test"]
    sides, widths = [], []
    for sample in samples[:: -(-len(samples) // NUM_MEASURED) or 1]:
        try:
            image, masks, _ = dataset.load(sample)
        except DataError:
            continue
        side = float(np.sqrt(image.shape[0] * image.shape[1]))
        sides.append(side)
        maps = dataset.things(masks)
        if not dataset.is_exclusive:
            maps = np.any(maps, axis=0, keepdims=True)
        widths += [ridge_widths(of_class) / side for of_class in maps]
    if not sides:
        return None
    return Measured(float(np.median(sides)), _middle(np.concatenate(widths)))


def ridge_widths(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of the foreground in pixels, along its middle: how far it is to either side, twice."""
    padded = np.pad(mask, 1)
    distance = ndimage.distance_transform_edt(padded)
    is_ridge = padded & (distance >= ndimage.maximum_filter(distance, 3))
    # A distance of d is the middle of 2 d - 1 pixels, or of 2 d.
    widths: NDArray[np.float64] = 2 * distance[is_ridge] - 0.5
    return widths


def _middle(widths: NDArray[np.float64]) -> float | None:
    """Half of the foreground is wider: along its middle, a width stands for as many pixels."""
    if not widths.size:
        return None
    widths = np.sort(widths)
    total = np.cumsum(widths)
    return float(widths[np.searchsorted(total, total[-1] / 2)])
