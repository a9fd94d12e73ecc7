"""Decoding of image and mask files; every failure is a `DataError` that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from vesica.data.sample import Mask, Pixels
from vesica.errors import DataError, escaped

Values = NDArray[Any]
"""A mask file as stored, shape (height, width), of the file's own type."""

FULL_DEPTH = 16
"""Bits that images of 16 bits use, unless it is known better."""

BITS_TAG, COMPRESSION_TAG, PHOTOMETRIC_TAG, PLANAR_TAG, KIND_TAG = 258, 259, 262, 284, 339
PNG_BITS_AT = 24
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def is_hidden(path: Path) -> bool:
    """Whether an operating system put this file or folder there and not the user."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM_NAMES


def leads_nowhere(path: Path) -> bool:
    """Whether it is a link to what is not there."""
    return path.is_symlink() and not path.exists()


def show(root: Path, file: Path) -> str:
    """A file as messages call it: below the folder that the user named."""
    inner = file.relative_to(root) if file.is_relative_to(root) else file
    return escaped(inner.as_posix())


@dataclass(frozen=True)
class About:
    """What Pillow's pixels do not say of a file.

    Attributes:
        format: Pillow's name of the file's format.
        bits: Of a sample, as the file stores it.
        is_unsigned: Whether its samples are whole numbers from 0.
        is_inverted: Whether the file's 0 is white and Pillow does not mind.
    """

    format: str
    bits: int
    is_unsigned: bool = True
    is_inverted: bool = False

    def mend(self, values: Values) -> Values:
        """Pillow's numbers as the file means them."""
        if values.dtype == np.int32 and self.bits == 32 and self.is_unsigned:
            values = values.view(np.uint32)
        if values.dtype == np.uint8 and not self.is_unsigned:
            values = values.view(np.int8)
        return np.asarray(65535 - values, values.dtype) if self.is_inverted else values


def read_image(
    root: Path, file: Path, *, depth: int = FULL_DEPTH, as_stored: bool = False
) -> Pixels:
    """An image as RGB: grey and palette are spread, alpha is dropped.

    Args:
        root: The data set's folder; messages name the file below it.
        file: The image.
        depth: Bits that files of 16 bits use; their largest value is 2**depth - 1.
        as_stored: Whether its EXIF orientation is left alone.

    Raises:
        DataError: If the file is no single image, is damaged, or holds floating point numbers.
    """
    with blaming(root, file):
        image, about = load(root, file, as_stored=as_stored)
        if image.mode == "F":
            raise DataError(
                f"{show(root, file)}: floating point values have no known range."
                " Save the image with 8 or 16 bits."
            )
        if image.mode == "I" or image.mode.startswith("I;16"):
            return _from_16_bits(root, file, about.mend(np.asarray(image)), depth)
        if about.bits > 8 and depth < FULL_DEPTH:
            raise DataError(
                f"{show(root, file)}: 16 bits for each colour, of which {depth} are used, and the"
                " upper 8 alone can be read. Save the image with 8 bits, or pass --depth 16 if it"
                " is meant to be dark."
            )
        if image.has_transparency_data:
            # A palette's transparency cannot be dropped directly: Pillow warns and blends.
            image = image.convert("RGBA")
        return np.asarray(image.convert("RGB"))


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


def load(root: Path, file: Path, *, as_stored: bool = False) -> tuple[Image.Image, About]:
    """The one image of a file, decoded, and what its pixels do not say.

    Raises:
        DataError: If it has more than one page.
        Exception: Whatever Pillow raises; see `blaming`.
    """
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
        about = about_file(file, image)
        image.load()
        return image.copy() if as_stored else ImageOps.exif_transpose(image), about


def about_file(file: Path, image: Image.Image) -> About:
    """What its header says of a file that is opened.

    Raises:
        ValueError: If Pillow would misread it without a word.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _about_tiff(image)
    if image.format == "PNG":
        with file.open("rb") as opened:
            header = opened.read(PNG_BITS_AT + 1)
        return About("PNG", header[PNG_BITS_AT])
    return About(image.format or "", 8)


def _about_tiff(image: TiffImagePlugin.TiffImageFile) -> About:
    tags = image.tag_v2
    bits, kind = tags.get(BITS_TAG, (1,))[0], tags.get(KIND_TAG, (1,))[0]
    is_inverted, is_plain = tags.get(PHOTOMETRIC_TAG) == 0, tags.get(COMPRESSION_TAG, 1) == 1
    if is_inverted and image.mode == "F":
        raise ValueError("floating point numbers of which 0 is white have no range")
    if kind != 1 and bits > 8 and tags.prefix == b"MM" and not is_plain:
        raise ValueError("Pillow swaps the bytes of big-endian numbers with compression")
    if tags.get(PLANAR_TAG) == 2 and bits > 8 and is_plain and len(image.getbands()) > 1:
        raise ValueError("Pillow misreads 16 bits in a plane for each colour")
    return About("TIFF", bits, kind == 1, is_inverted and image.mode.startswith("I;16"))


def _from_16_bits(root: Path, file: Path, values: Values, depth: int) -> Pixels:
    largest = 2**depth - 1
    if values.min() < 0 or values.max() > largest:
        remedy = "Save the image with 8 or 16 bits" if depth == FULL_DEPTH else "Leave out --depth"
        raise DataError(
            f"{show(root, file)}: values {values.min()} to {values.max()}, expected 0 to {largest}."
            f" {remedy}."
        )
    if depth == FULL_DEPTH:
        grey = ((values.astype(np.int32) + 128) // 257).astype(np.uint8)
    else:
        grey = ((values.astype(np.int64) * 510 + largest) // (2 * largest)).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


@contextmanager
def blaming(root: Path, file: Path) -> Iterator[None]:
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
        if not file.stat().st_size:
            return "the file is empty"
        with file.open("rb") as opened:
            is_tiff = opened.read(4) in TIFF_MARKS
        return "a TIFF of numbers that Pillow does not read" if is_tiff else "no known image format"
    if leads_nowhere(file):
        return "a link to nothing"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return str(problem) or type(problem).__name__
