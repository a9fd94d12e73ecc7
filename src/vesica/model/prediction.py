"""What every model gives, and how a large image is predicted in pieces. Needs no torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesica.data.sample import Pixels
from vesica.model.images import is_black, to_pixels
from vesica.model.traits import Traits

Maps = NDArray[np.float32]
"""Probabilities, shape (classes, height, width)."""


@dataclass(frozen=True)
class Prediction:
    """A model's answer, at the image's own size.

    Attributes:
        mask: Foreground, shape (height, width); (classes, height, width) of several classes.
        probs: Its calibrated probabilities, of the same shape.
        confidence: The IoU that the model itself expects of the mask.
        disagreement: Mean of 1 - IoU over pairs of its networks, at 1/2; None where it has one.
        is_unusual: Whether its networks disagree more than on nine images in ten, or, where that is
            not known, it is less sure than of nine; None: neither is known. What is black always
            is: networks may agree on it that there is nothing.
        is_black: Whether the image is as good as black, as the networks see it.
    """

    mask: NDArray[np.bool_]
    probs: NDArray[np.float32]
    confidence: float
    disagreement: float | None
    is_unusual: bool | None
    is_black: bool = False

    def to_pil(self) -> Image.Image:
        """The mask of one class as a picture, 0 and 255."""
        return Image.fromarray(self.mask.astype(np.uint8) * 255)


@dataclass(frozen=True)
class Answer:
    """The same before it is decided: probabilities of every class, and how sure they are."""

    probs: Maps
    confidence: float
    disagreement: float | None = None


class Model(ABC):
    """A trained model, whatever runs it."""

    traits: Traits
    digest: str
    """Two models that give other masks have another."""

    @abstractmethod
    def answer(self, image: Pixels) -> Answer:
        """Probabilities at the image's size, and how sure they are."""

    def predict(self, image: Any, *, tile_px: int | None = None) -> Prediction:
        """Separate the object from its background.

        Args:
            image: NumPy, uint8, (height, width, 3) or (height, width); or PIL.
            tile_px: Where the image shows more than those of training, at the same scale: the side
                of pieces that look like them, each predicted by itself.

        Raises:
            ValueError: If it is no such image.
        """
        pixels = to_pixels(image, self.traits.depth)
        found = self.answer(pixels) if tile_px is None else self._in_tiles(pixels, tile_px)
        probs, mask = found.probs, found.probs >= np.float32(self.traits.threshold)
        if self.traits.is_exclusive:
            mask = np.arange(len(probs))[:, None, None] == probs.argmax(axis=0)
        if len(probs) == 1:
            mask, probs = mask[0], probs[0]
        black = is_black(pixels, *self._seen_size(pixels, tile_px))
        is_unusual = True if black else self._is_unusual(found)
        return Prediction(mask, probs, found.confidence, found.disagreement, is_unusual, black)

    def _seen_size(self, pixels: Pixels, tile_px: int | None) -> tuple[int, int]:
        """Height and width that networks see an image at, all pieces together."""
        side = self.traits.long_side_px or self.traits.size_px
        if tile_px is None:
            return side, side
        height, width = pixels.shape[:2]
        return (-(-height * side // min(tile_px, height)), -(-width * side // min(tile_px, width)))

    def _in_tiles(self, pixels: Pixels, tile_px: int) -> Answer:
        """Of all tiles the mean of how sure it is."""
        confidences: list[float] = []
        disagreements: list[float] = []

        def predict_tile(tile: Pixels) -> Maps:
            found = self.answer(tile)
            confidences.append(found.confidence)
            disagreements.extend([] if found.disagreement is None else [found.disagreement])
            return found.probs

        probs = tiled(predict_tile, pixels, tile_px, tile_px // 4)
        disagreement = float(np.mean(disagreements)) if disagreements else None
        return Answer(probs, float(np.mean(confidences)), disagreement)

    def _is_unusual(self, found: Answer) -> bool | None:
        above, below = self.traits.unusual_above, self.traits.unusual_below
        if found.disagreement is not None and above is not None:
            return found.disagreement > above
        return None if below is None else found.confidence < below


def tiled(predict: Callable[[Pixels], Maps], image: Pixels, tile_px: int, overlap_px: int) -> Maps:
    """Predict overlapping pieces of an image and blend them.

    Near an edge that is not the image's, a piece has not seen what lies beyond. Its outer quarter
    of the overlap does not count at all, and over the half behind that its weight grows linearly,
    as its neighbour's falls. So for a network that sees no further than a quarter of the overlap
    the result is that of one pass, and for others no seam shows.

    Args:
        predict: From a piece to its maps, (classes, height, width).
        image: Shape (height, width, channels).
        tile_px: Side of the pieces; a smaller image is one piece.
        overlap_px: Pixels that neighbours share, at least; at most half a piece.

    Raises:
        ValueError: If the overlap does not fit the pieces.
    """
    if not (tile_px >= 2 and 0 <= overlap_px <= tile_px // 2):
        raise ValueError(
            f"tiles of {tile_px} pixels that overlap by {overlap_px}; expected an overlap of at "
            "most half a tile"
        )
    height, width = image.shape[:2]
    total: Maps | None = None
    weights = np.zeros((height, width), np.float32)
    for rows in _spans(height, tile_px, overlap_px):
        for columns in _spans(width, tile_px, overlap_px):
            maps = predict(np.ascontiguousarray(image[rows, columns]))
            weight = np.outer(
                _weight(rows, height, overlap_px), _weight(columns, width, overlap_px)
            )
            if total is None:
                total = np.zeros((len(maps), height, width), np.float32)
            total[:, rows, columns] += maps * weight
            weights[rows, columns] += weight
    assert total is not None
    return total / weights


def _spans(length: int, tile_px: int, overlap_px: int) -> Iterator[slice]:
    """Pieces that cover a side, evenly spread."""
    if length <= tile_px:
        yield slice(0, length)
        return
    num = -(-(length - overlap_px) // (tile_px - overlap_px))
    for start in np.linspace(0, length - tile_px, num).round().astype(int):
        yield slice(int(start), int(start) + tile_px)


def _weight(span: slice, length: int, overlap_px: int) -> NDArray[np.float32]:
    """Of each pixel of a piece along one side."""
    places = np.arange(span.start, span.stop) + 0.5
    from_edge = np.full(len(places), np.inf)
    if span.start > 0:
        from_edge = places - span.start
    if span.stop < length:
        from_edge = np.minimum(from_edge, span.stop - places)
    if not overlap_px:
        return np.ones(len(places), np.float32)
    return np.clip((from_edge - overlap_px / 4) / (overlap_px / 2), 0, 1).astype(np.float32)
