"""Decoding of image and mask files; every failure is a `DataError` that names the file."""

import operator
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from vesica.data.sample import Mask, Pixels
from vesica.errors import DataError, escaped

Values = NDArray[Any]
"""A mask file as stored, shape (height, width), of the file's own type."""

PLAIN_VALUES = ({0, 1}, {0, 255}, {0, 65535})
"""Values of masks that need no explanation; the larger one is foreground."""

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
FOREGROUND = re.compile(r"\s*(>=|<=|>|<|)\s*(\d{1,9})\s*", re.ASCII)
MAX_VALUES_SHOWN = 8

SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def is_hidden(path: Path) -> bool:
    """Whether an operating system put this file or folder there and not the user."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM_NAMES


def show(root: Path, file: Path) -> str:
    """A file as messages call it: below the folder that the user named."""
    inner = file.relative_to(root) if file.is_relative_to(root) else file
    return escaped(inner.as_posix())


def read_image(root: Path, file: Path) -> Pixels:
    """An image as RGB: grey and palette are spread, alpha is dropped, 16 bits divided by 257.

    Args:
        root: The data set's folder; messages name the file below it.
        file: The image. Its EXIF orientation is applied.

    Raises:
        DataError: If the file is no single image, is damaged, or holds floating point numbers.
    """
    with _blaming(root, file):
        image = _load(root, file)
        if image.mode == "F":
            raise DataError(
                f"{show(root, file)}: floating point values have no known range."
                " Save the image with 8 or 16 bits."
            )
        if image.mode == "I" or image.mode.startswith("I;16"):
            return _from_16_bits(root, file, np.asarray(image))
        if image.has_transparency_data:
            # A palette's transparency cannot be dropped directly: Pillow warns and blends.
            image = image.convert("RGBA")
        return np.asarray(image.convert("RGB"))


def read_values(root: Path, file: Path) -> Values:
    """The stored numbers of a mask: palette indices, grey levels, or equal RGB channels.

    A file of one bit gives 0 and 255, which is what every viewer shows of it.

    Raises:
        DataError: If the file is no single image, is damaged, or is coloured.
    """
    with _blaming(root, file):
        image = _load(root, file)
        if image.mode == "1":
            image = image.convert("L")
        if image.mode in ("LA", "PA"):
            return np.asarray(image.getchannel(0))
        values = np.asarray(image)
        if values.ndim == 2:
            return values
        if image.mode not in ("RGB", "RGBA", "RGBX") or (values[..., :1] != values[..., 1:3]).any():
            raise DataError(
                f"{show(root, file)}: a coloured mask (mode {image.mode}), expected one number per"
                " pixel. Save it as grey or palette PNG."
            )
        return values[..., 0]


@dataclass(frozen=True)
class Foreground:
    """A user's rule for which values of a mask are foreground.

    Attributes:
        comparison: A key of `OPERATORS`.
        value: What the values are compared with.
    """

    comparison: str
    value: int

    @classmethod
    def parse(cls, text: str) -> "Foreground":
        """Read "255" (that value only), ">127", ">=128", "<128" or "<=127".

        Raises:
            DataError: If it is none of these.
        """
        match = FOREGROUND.fullmatch(text)
        if match is None:
            raise DataError(
                f"--foreground {text[:40]}: expected a value such as 255, or a threshold such as"
                " '>127'."
            )
        return cls(match[1] or "=", int(match[2]))

    def select(self, values: Values) -> Mask:
        """The foreground of a mask."""
        return np.asarray(OPERATORS[self.comparison](values, self.value), np.bool_)

    def __str__(self) -> str:
        return f"{self.comparison}{self.value}"


def select_plain(name: str, values: Values) -> Mask:
    """The foreground of a mask that holds 0 with 1, with 255 or with 65535.

    Args:
        name: What a message calls the mask.
        values: The mask as stored.

    Raises:
        DataError: If it holds other values.
    """
    found = _distinct(values)
    if any(found <= plain for plain in PLAIN_VALUES):
        return np.asarray(values > 0)
    shown = [f"{value:g}" for value in sorted(found)]
    is_few = len(shown) <= MAX_VALUES_SHOWN
    text = ", ".join(shown if is_few else [*shown[:3], "...", shown[-1]])
    expected = "two" if len(found) > 2 else "0 with 1 or with 255"
    remedy = (
        f"Pass --foreground {shown[-1]} to keep that value only."
        if is_few
        else "Pass --foreground '>127' to cut at one half."
    )
    raise DataError(f"{name}: values {{{text}}}, expected {expected}. {remedy}")


def _distinct(values: Values) -> set[float]:
    if values.dtype == np.uint8:  # Counting is many times faster than the sort of np.unique.
        return set(np.flatnonzero(np.bincount(values.ravel(), minlength=256)).tolist())
    return set(np.unique(values).tolist())


def check_sizes(
    root: Path, image_file: Path, image: Pixels, mask_file: Path, mask: Mask | Values
) -> None:
    """Refuse an image and a mask of different sizes.

    Raises:
        DataError: With both names and both sizes.
    """
    if image.shape[:2] != mask.shape[:2]:
        raise DataError(
            f"{show(root, mask_file)}: {mask.shape[1]} x {mask.shape[0]} pixels, but"
            f" {show(root, image_file)} has {image.shape[1]} x {image.shape[0]}."
            " Save both at one size."
        )


def _load(root: Path, file: Path) -> Image.Image:
    with Image.open(file) as image:
        # A camera's MPO is a JPEG with previews behind it; any other second page is data.
        pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if pages > 1:
            raise DataError(
                f"{show(root, file)}: {pages} pages, expected one. Save each page as its own file."
            )
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise Image.DecompressionBombError
        image.load()
        return ImageOps.exif_transpose(image)


def _from_16_bits(root: Path, file: Path, values: Values) -> Pixels:
    if values.min() < 0 or values.max() > 65535:
        raise DataError(
            f"{show(root, file)}: values {values.min()} to {values.max()}, expected 0 to 65535."
            " Save the image with 8 or 16 bits."
        )
    grey = ((values.astype(np.int32) + 128) // 257).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


@contextmanager
def _blaming(root: Path, file: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into a `DataError` that names the file."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as problem:  # Pillow's decoders let anything through, not only OSError.
        raise DataError(
            f"{show(root, file)}: cannot be read as an image ({_reason(file, problem)})."
            " Replace it, or remove it with its partner."
        ) from problem


def _reason(file: Path, problem: Exception) -> str:
    if isinstance(problem, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(problem, UnidentifiedImageError):
        return "no known image format" if file.stat().st_size else "the file is empty"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return str(problem) or type(problem).__name__
