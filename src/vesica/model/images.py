"""An image as a caller has it, as the RGB pixels that a model takes."""

from typing import Any

import numpy as np
from PIL import Image

from vesica.data.pixels import FULL_DEPTH
from vesica.data.sample import Pixels

BLACK = 17
"""Of 256: an image without such a value is as good as black; one of 12 bits in a file of 16 is."""

SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B")


def to_pixels(image: Any, depth: int = FULL_DEPTH) -> Pixels:
    """RGB, uint8, of shape (height, width, 3); grey is spread and alpha dropped.

    Args:
        image: Of NumPy, uint8 of shape (height, width), (height, width, 3) or (height, width, 4);
            or of PIL.
        depth: Bits that images of 16 bits use.

    Raises:
        ValueError: If it is something else.
    """
    pixels = _from_pil(image, depth) if isinstance(image, Image.Image) else np.asarray(image)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=2)
    is_fitting = pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.size > 0
    if not is_fitting or pixels.dtype != np.uint8:
        raise ValueError(
            f"an image of shape {pixels.shape}, {pixels.dtype}; expected uint8, 0 to 255, of shape "
            "(height, width), (height, width, 3), or a PIL image"
        )
    return np.ascontiguousarray(pixels[..., :3])


def is_black(pixels: Pixels, height: int, width: int) -> bool:
    """Whether an image is as good as black at the size that a network sees it at: a hot pixel of a
    camera, or some text, is not there any more."""
    if pixels.max() < BLACK:
        return True
    height, width = min(height, pixels.shape[0]), min(width, pixels.shape[1])
    # Of nearly all images the mean says it, and enlarged, a bright pixel stays.
    if pixels.mean() >= BLACK or (height, width) == pixels.shape[:2]:
        return False
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return bool(np.asarray(small).max() < BLACK)


def _from_pil(image: Image.Image, depth: int) -> Pixels:
    if image.mode == "F":
        raise ValueError(
            "a PIL image of floating point values, which have no known range; pass one of 8 or 16 "
            "bits"
        )
    if image.mode in SIXTEEN_BITS:
        most = 2**depth - 1
        values = np.clip(np.asarray(image).astype(np.int64), 0, most)
        return np.asarray((values * 255 + most // 2) // most, np.uint8)
    if image.has_transparency_data:  # a palette's cannot be dropped directly
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))
