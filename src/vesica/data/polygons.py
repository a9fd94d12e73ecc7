"""Outlines as masks: polygons, circles and run lengths, filled to the pixel as pycocotools fills.

Coordinates are in pixels from the upper left corner of the image, so that the middle of the first
pixel is (0.5, 0.5). A pixel belongs to a polygon whose outline runs around its middle: an odd
number of edges lies above it. Corners are rounded to fifths of a pixel first, as COCO's own tools
do, so that masks, and scores on them, are those of everybody else.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vesica.data.sample import Mask
from vesica.errors import DataError

Points = NDArray[np.float64]
"""Corners in order, (x, y) each, shape (corners, 2)."""

FIFTHS = 5
"""Steps of a coordinate in a pixel; the middle of pixel c lies between steps 5c+2 and 5c+3."""

MAX_DIGITS = 12
"""Of a run length in a compressed string: 60 bits."""


class Outline(Protocol):
    """What lies within one object."""

    def fill(self, height: int, width: int) -> Mask:
        """Its pixels in an image of this size; what lies outside the image is cut off."""
        ...


@dataclass(frozen=True)
class Polygons:
    """Rings of corners that are one object together; holes need run lengths."""

    rings: tuple[Points, ...]

    def fill(self, height: int, width: int) -> Mask:
        """Every pixel that any of the rings holds."""
        mask = np.zeros((height, width), np.bool_)
        for ring in self.rings:
            fill_ring(mask, ring)
        return mask


@dataclass(frozen=True)
class Circle:
    """A disc: every pixel whose middle is no further from its centre than the radius."""

    x: float
    y: float
    radius: float

    def fill(self, height: int, width: int) -> Mask:
        """Its pixels in an image of this size."""
        dx, dy = np.arange(width) + 0.5 - self.x, np.arange(height) + 0.5 - self.y
        return np.asarray(dx**2 + dy[:, np.newaxis] ** 2 <= self.radius**2)


@dataclass(frozen=True)
class Runs:
    """COCO's run lengths: background and foreground by turns, column after column."""

    counts: NDArray[np.int64]
    height: int
    width: int
    where: str

    def fill(self, height: int, width: int) -> Mask:
        """Its pixels in the image that it was made for.

        Raises:
            DataError: If the image has another size.
        """
        if (height, width) != (self.height, self.width):
            raise DataError(
                f"{self.where}: run lengths of {self.width} x {self.height} pixels, but the image"
                f" has {width} x {height}. Write them for this image."
            )
        values = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(values, self.counts).reshape(width, height).T


def fill_ring(mask: Mask, ring: Points) -> None:
    """Add the pixels within one polygon to a mask."""
    height, width = mask.shape
    columns, rows = _crossings(ring)
    is_inside = (columns >= 0) & (columns < width)
    columns, rows = columns[is_inside], np.clip(rows[is_inside], 0, height)
    if not columns.size:
        return
    first, last = int(columns.min()), int(columns.max()) + 1
    # Each column changes sides where an edge crosses its middle; a row more, for edges below all.
    places = (columns - first) * (height + 1) + rows
    changes = np.bincount(places, minlength=(last - first) * (height + 1))
    sides = np.cumsum(changes.reshape(last - first, height + 1), axis=1) % 2 == 1
    mask[:, first:last] |= sides[:, :height].T


def _crossings(ring: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the outline crosses the middle of a column: the column, and the first row below."""
    start = np.trunc(FIFTHS * ring + 0.5).astype(np.int64)
    end = np.roll(start, -1, axis=0)
    steps = np.abs(end - start).max(axis=1)
    start, end, steps = start[steps > 0], end[steps > 0], steps[steps > 0]
    is_steep = np.abs(end - start)[:, 0] < np.abs(end - start)[:, 1]
    # Along the longer axis in whole steps, always upwards: an edge has one course both ways.
    swapped = np.where(is_steep[:, np.newaxis], start[:, ::-1], start)
    other = np.where(is_steep[:, np.newaxis], end[:, ::-1], end)
    is_back = (swapped[:, 0] > other[:, 0])[:, np.newaxis]
    low, high = np.where(is_back, other, swapped), np.where(is_back, swapped, other)
    slope = (high - low)[:, 1] / steps

    edge = np.repeat(np.arange(len(steps)), steps + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    along = low[edge, 0] + step
    across = np.trunc(low[edge, 1] + slope[edge] * step + 0.5).astype(np.int64)
    x, y = np.where(is_steep[edge], across, along), np.where(is_steep[edge], along, across)
    left = np.minimum(x[1:], x[:-1])
    is_middle = (edge[1:] == edge[:-1]) & (x[1:] != x[:-1]) & (left % FIFTHS == FIFTHS // 2)
    above = np.minimum(y[1:], y[:-1])[is_middle]
    return left[is_middle] // FIFTHS, (above + FIFTHS // 2) // FIFTHS


def read_ring(values: Any) -> Points:
    """Corners from a list x, y, x, y, ... as read from a file.

    Raises:
        ValueError: If these are no corners of a polygon.
    """
    numbers = _as_array(values)
    if numbers.ndim != 1 or numbers.dtype.kind not in "if" or not np.isfinite(numbers).all():
        raise ValueError("the polygon is no list of numbers x, y, x, y, ...")
    if len(numbers) % 2:
        raise ValueError(f"{len(numbers)} numbers are no pairs of x and y")
    if len(numbers) < 6:
        raise ValueError(f"{len(numbers) // 2} points, expected at least 3")
    return numbers.astype(np.float64).reshape(-1, 2)


def _as_array(values: Any) -> NDArray[Any]:
    try:
        return np.array(values)
    except (ValueError, OverflowError):  # lists of several lengths
        return np.array(None)


def check_near(ring: Points, width: int, height: int) -> Points:
    """The same corners, if they lie in or about an image of this size.

    Raises:
        ValueError: If one lies further outside than the image is long: its size must be wrong.
    """
    size = np.array([width, height])
    is_far = ((ring < -size) | (ring > 2 * size)).any(axis=1)
    if is_far.any():
        x, y = ring[is_far.argmax()]
        raise ValueError(f"the point ({x:g}, {y:g}) lies far outside {width} x {height} pixels")
    return ring


def read_runs(segmentation: dict[str, Any], where: str) -> Runs:
    """Run lengths from COCO's `{"size": [height, width], "counts": ...}`.

    Args:
        segmentation: As read from a file; counts are a list, or a compressed string.
        where: What a message calls them.

    Raises:
        ValueError: If they do not fill that size exactly.
    """
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(map(_is_whole, size)):
        raise ValueError("the run lengths have no size [height, width]")
    if isinstance(counts, str):
        counts = _decompress(counts)
    if not isinstance(counts, list) or not all(map(_is_whole, counts)):
        raise ValueError("the counts are neither whole numbers from 0 nor a compressed string")
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"the runs hold {sum(counts)} pixels, but {size[1]} x {size[0]} are asked")
    return Runs(np.array(counts, np.int64), size[0], size[1], where)


def _decompress(text: str) -> list[int]:
    """Run lengths of a string: digits of 5 bits, the lowest first; from the third on, differences
    to the run before the last."""
    counts: list[int] = []
    value = num_digits = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or num_digits == MAX_DIGITS:
            raise ValueError("the counts are no compressed run lengths")
        value |= (digit & 31) << (5 * num_digits)
        num_digits += 1
        if not digit & 32:
            value -= (digit & 16) << (5 * num_digits - 4)  # the highest bit is the sign
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = num_digits = 0
    if num_digits:
        raise ValueError("the compressed counts end in the middle of a number")
    return counts


def is_number(value: Any) -> bool:
    """Whether a value of a file is a finite number; JSON may hold NaN, and true is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -1e15 < value < 1e15


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40
