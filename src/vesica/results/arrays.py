"""Masks and histograms of a cell, in NumPy's files; sizes are checked before memory is taken."""

import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vesica.errors import DataError
from vesica.files import damaged, is_there, read_bytes, replacing
from vesica.metrics.threshold import NUM_BINS

MAX_ARRAY_BYTES = 2**28
"""Of an array in a file, and of the file."""

MAX_LIST_BYTES = 4096
"""Of the names in a file of arrays."""


@dataclass(frozen=True)
class Masks:
    """Hard masks, packed: eight pixels a byte.

    Attributes:
        shape: (num_images, height, width).
        bits: Of all pixels, in order.
    """

    shape: tuple[int, int, int]
    bits: NDArray[np.uint8]

    def __getitem__(self, row: int) -> NDArray[np.bool_]:
        """One mask, shape (height, width)."""
        num = self.shape[1] * self.shape[2]
        first, start = divmod(row * num, 8)
        bits = np.unpackbits(self.bits[first : first + -(-(start + num) // 8)])
        return bits[start : start + num].astype(bool).reshape(self.shape[1:])


def write_masks(target: Path, preds: NDArray[np.bool_]) -> None:
    """Write hard masks bit-packed, with the shape that they had."""
    with replacing(target) as path, path.open("wb") as file:
        np.savez_compressed(file, bits=np.packbits(preds), shape=np.array(preds.shape))


def read_masks(path: Path, shape: tuple[int, int, int]) -> Masks:
    """Read masks.

    Args:
        path: Where they are.
        shape: What they must have: (num_images, height, width).

    Raises:
        DataError: If they are others, or damaged.
    """
    num_bytes = -(-math.prod(shape) // 8)
    with _arrays(path) as read:
        found = tuple(map(int, read("shape", (3,), np.int64)))
        if found != shape:
            raise ValueError(f"masks of shape {found}, expected {shape}")
        return Masks(shape, read("bits", (num_bytes,), np.uint8))


def write_histograms(target: Path, *, val: NDArray[np.integer], test: NDArray[np.integer]) -> None:
    """Write the probability histograms of both parts of the split."""
    with replacing(target) as path, path.open("wb") as file:
        val, test = (counts.astype(np.int32, copy=False) for counts in (val, test))
        np.savez_compressed(file, val=val, test=test)


def read_histograms(path: Path, num_rows: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Read probability histograms of validation and test images, shape (rows, 2, NUM_BINS).

    Raises:
        DataError: If they are damaged, or those of another number of test images.
    """
    with _arrays(path) as read:
        test = read("test", (num_rows, 2, NUM_BINS), np.int32)
        return read("val", (None, 2, NUM_BINS), np.int32), test


class _Read(Protocol):
    def __call__(
        self, name: str, shape: tuple[int | None, ...], dtype: DTypeLike
    ) -> NDArray[Any]: ...


@contextmanager
def _arrays(path: Path) -> Iterator[_Read]:
    """Read arrays of an npz file by name; sizes are checked before memory is taken."""
    if not is_there(path):
        raise DataError(f"{path}: is missing; an earlier version wrote none, or it was not kept")
    data = read_bytes(path, MAX_ARRAY_BYTES)
    try:
        # The list of its members lies at its end, as NumPy writes it.
        if data[-22:-18] != b"PK\5\6" or int.from_bytes(data[-10:-6], "little") > MAX_LIST_BYTES:
            raise ValueError("no file of a few arrays")
        with ZipFile(io.BytesIO(data)) as parts:
            yield partial(_read_array, parts)
    except (ValueError, KeyError, EOFError, RuntimeError, BadZipFile, zlib.error) as error:
        raise damaged(path, error) from None


def _read_array(
    parts: ZipFile, name: str, shape: tuple[int | None, ...], dtype: DTypeLike
) -> NDArray[Any]:
    info = parts.getinfo(f"{name}.npy")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in another way")
    with parts.open(info) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} has another format")
        found, is_fortran, kind = np.lib.format.read_array_header_1_0(file)
        is_expected = len(found) == len(shape) and all(
            wanted in (None, num) for num, wanted in zip(found, shape, strict=True)
        )
        if not is_expected or kind != dtype or is_fortran:
            raise ValueError(f"{name} is {found} of {kind}, expected {shape} of {np.dtype(dtype)}")
        num_bytes = math.prod(found) * kind.itemsize
        if num_bytes > MAX_ARRAY_BYTES or info.file_size != file.tell() + num_bytes:
            raise ValueError(f"{name} takes {info.file_size} bytes, {num_bytes} were announced")
        return np.frombuffer(file.read(num_bytes), kind).reshape(found)
