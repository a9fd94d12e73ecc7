"""An image as a caller has it, as the RGB pixels that a model takes."""

from typing import Any

import numpy as np
from PIL import Image

from vesica.data.sample import Pixels

SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B")


def to_pixels(image: Any) -> Pixels:
    """RGB, uint8, of shape (height, width, 3); grey is spread and alpha dropped.

    Args:
        image: Of NumPy, uint8 of shape (height, width), (height, width, 3) or (height, width, 4);
            or of PIL.

    Raises:
        ValueError: If it is something else.
    """
    pixels = _from_pil(image) if isinstance(image, Image.Image) else np.asarray(image)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=2)
    is_fitting = pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.size > 0
    if not is_fitting or pixels.dtype != np.uint8:
        raise ValueError(
            f"an image of shape {pixels.shape}, {pixels.dtype}; expected uint8, 0 to 255, of shape "
            "(height, width), (height, width, 3), or a PIL image"
        )
    return np.ascontiguousarray(pixels[..., :3])


def _from_pil(image: Image.Image) -> Pixels:
    if image.mode in SIXTEEN_BITS:
        grey = (np.asarray(image).astype(np.int32) + 128) // 257
        return np.clip(grey, 0, 255).astype(np.uint8)
    if image.has_transparency_data:  # a palette's cannot be dropped directly
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))
