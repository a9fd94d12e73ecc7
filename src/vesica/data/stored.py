"""A mask as its file has it: numbers, indices of a palette or colours, not yet read as anything."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesica.data.matrices import MATRIX_SUFFIXES, read_matrix
from vesica.data.pixels import Values, blaming, load, show
from vesica.errors import DataError

Colours = NDArray[np.uint32]
"""Colours as 0xRRGGBB."""

GREY_STEP = 0x010101
"""From a grey level to its colour."""

SCALED_BITS = (2, 4)
"""Depths whose numbers Pillow stretches to 0-255."""

SPREAD_OF_GREY = 12
"""Of a grey pixel's channels, where JPEG took it for a colour."""


@dataclass(frozen=True)
class Stored:
    """One mask, undecided.

    Attributes:
        kind: "grey": numbers; "palette": indices; "colour": colours.
        values: Shape (height, width).
        white: The number that viewers show as white; 0 for floating point numbers and colours.
        palette: The colour of each index.
        alpha: 0 to 255, where the file has such a channel.
        is_lossy: Whether its compression changes values.
    """

    kind: Literal["grey", "palette", "colour"]
    values: Values
    white: int = 0
    palette: Colours | None = None
    alpha: NDArray[np.uint8] | None = None
    is_lossy: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.values.shape
        return height, width

    def colours_of(self, values: Values) -> Colours | None:
        """What viewers show of stored values; None where they must choose a range first."""
        if self.kind == "colour":
            return values.astype(np.uint32)
        if self.palette is not None:
            return self.palette[values]
        if not 0 < self.white <= 255:
            return None
        return values.astype(np.uint32) * (255 // self.white) * np.uint32(GREY_STEP)


def read_stored(root: Path, file: Path) -> Stored:
    """Read a mask, turned as its EXIF orientation says.

    A file of one bit gives 0 and 255, which is what every viewer shows of it.

    Raises:
        DataError: If the file is no single image or matrix, or is damaged.
    """
    with blaming(root, file):
        if file.suffix.lower() in MATRIX_SUFFIXES:
            return _from_matrix(root, file)
        return _from_image(root, file)


def grey_values(root: Path, file: Path) -> Values:
    """The numbers of a mask that has no colours.

    Raises:
        DataError: If it is coloured, or cannot be read.
    """
    stored = read_stored(root, file)
    if stored.kind == "colour":
        raise DataError(
            f"{show(root, file)}: a coloured mask, expected one number per pixel."
            " Save it as grey or palette PNG."
        )
    return stored.values


def pack(rgb: NDArray[Any]) -> Colours:
    """Colours of a last axis of red, green and blue."""
    red, green, blue = np.moveaxis(rgb[..., :3].astype(np.uint32), -1, 0)
    packed: Colours = red << 16 | green << 8 | blue
    return packed


def unpack(colours: NDArray[Any]) -> NDArray[np.int32]:
    """Red, green and blue in a last axis."""
    packed = colours.astype(np.int32)
    return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)


def _from_image(root: Path, file: Path) -> Stored:
    image, about = load(root, file)
    is_lossy = about.format in ("JPEG", "MPO", "JPEG2000")
    alpha = None
    if image.has_transparency_data and image.mode in ("LA", "La", "PA", "P", "RGBA", "RGBa"):
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    if image.mode in ("P", "PA"):
        indices = np.asarray(image if image.mode == "P" else image.getchannel(0))
        return Stored("palette", indices, palette=_palette(image), alpha=alpha)
    if image.mode in ("LA", "La"):
        return Stored("grey", np.asarray(image.getchannel(0)), 255, alpha=alpha)
    if image.mode == "1":
        return Stored("grey", np.asarray(image.convert("L")), 255)
    values = about.mend(np.asarray(image))
    if values.ndim == 2:
        white = 2**about.bits - 1 if values.dtype.kind == "u" else 0
        if about.bits in SCALED_BITS and values.dtype == np.uint8:
            values = values // (255 // white)
        return Stored("grey", values, white, is_lossy=is_lossy)
    if image.mode not in ("RGB", "RGBA", "RGBX"):
        values = np.asarray(image.convert("RGB"))
    if about.bits > 8 and not values.any():
        raise DataError(
            f"{show(root, file)}: 16 bits for each colour, of which the upper 8 are empty."
            " Save it as grey PNG."
        )
    return _from_colours(values[..., :3], alpha, is_lossy)


def _from_colours(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, is_lossy: bool
) -> Stored:
    red, green, blue = np.moveaxis(rgb, 2, 0)
    high, low = (f(f(red, green), blue) for f in (np.maximum, np.minimum))
    if int((high - low).max(initial=0)) <= (SPREAD_OF_GREY if is_lossy else 0):
        return Stored("grey", green, 255, alpha=alpha, is_lossy=is_lossy)
    return Stored("colour", pack(rgb), alpha=alpha, is_lossy=is_lossy)


def _palette(image: Image.Image) -> Colours:
    """All 256, as an index may have no colour of its own."""
    given = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    colours = np.zeros(256, np.uint32)
    colours[: len(given)] = pack(given)
    return colours


def _from_matrix(root: Path, file: Path) -> Stored:
    values = read_matrix(root, file)
    if values.ndim == 3:
        return _from_colours(values, None, is_lossy=False)
    if values.dtype == np.bool_:
        return Stored("grey", values.astype(np.uint8), 1)
    white = {"uint8": 255, "uint16": 65535}.get(values.dtype.name, 0)
    return Stored("grey", values, white)
