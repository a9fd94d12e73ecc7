"""All samples of a data set at one size, decoded once and then mapped from disk."""

import functools
import hashlib
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesica.data.sample import Dataset, Mask, Pixels, Sample
from vesica.errors import DataError, join_lines
from vesica.files import write_json

LAYOUT_VERSION = 1
"""Raise it when the same files give other arrays; older ones are then left alone."""

NUM_THREADS = 2
BATCH = 64
"""Samples that are decoded ahead of the writing; bounds the memory."""

FILES = ("images.npy", "masks.npy")
SUMS = "sums.json"
CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class Arrays:
    """A data set in memory-mapped, read-only arrays, in the order of `Dataset.samples`.

    Attributes:
        names: The samples' names.
        groups: The samples' groups.
        images: RGB, 0 to 255, shape (samples, size, size, 3).
        masks: Foreground, shape (samples, size, size).
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]


def load_arrays(
    dataset: Dataset,
    size_px: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Arrays:
    """Read every sample at size_px x size_px, from the cache where it was read before.

    The aspect ratio is not kept. Images are resized bilinearly, masks to the nearest pixel.

    Args:
        dataset: What to read.
        size_px: Side of the square arrays, in pixels.
        cache: Folder for the arrays, shared by data sets and by processes.
        progress: Called with the samples that are done and their total.

    Raises:
        DataError: If samples cannot be read, in one list, or no mask has any foreground.
        ValueError: If the size is not positive.
    """
    if size_px < 1:
        raise ValueError(f"size_px is {size_px}, expected at least 1.")
    folder = Path(cache) / "arrays" / _key(dataset, size_px)
    num_samples = len(dataset.samples)
    arrays = _open(folder, num_samples, size_px)
    if arrays is None:
        _write(dataset, size_px, folder, progress)
        arrays = _open(folder, num_samples, size_px)
        if arrays is None:
            raise DataError(
                f"{folder}: cannot be read back. Check the disk, or pass another cache."
            )
    names = tuple(sample.name for sample in dataset.samples)
    groups = tuple(sample.group for sample in dataset.samples)
    return Arrays(names, groups, *arrays)


def _key(dataset: Dataset, size_px: int) -> str:
    """Digest of all that decides the pixels; the target names the rule for foreground as well."""
    parts = (LAYOUT_VERSION, dataset.fingerprint, dataset.format, dataset.target, size_px)
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def _open(
    folder: Path, num_samples: int, size_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
    """The arrays in a folder; None where they are missing or damaged."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r")
        masks = np.load(folder / "masks.npy", mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    shape = (num_samples, size_px, size_px)
    is_whole = (images.shape, images.dtype) == ((*shape, 3), np.uint8)
    is_whole &= (masks.shape, masks.dtype) == (shape, np.bool_)
    return (images, masks) if is_whole and _is_unchanged(folder) else None


def _is_unchanged(folder: Path) -> bool:
    """Whether both files have the sums that they were written with."""
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        return bool(sums == {name: _sum_of(folder / name) for name in FILES})
    except (OSError, ValueError):
        return False


def _sum_of(file: Path) -> int:
    status = file.stat()
    return _read_sum(file, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _read_sum(file: Path, num_bytes: int, mtime_ns: int) -> int:
    """CRC-32 of a file; the size and the time say whether it is the one that was read before."""
    total = 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            total = zlib.crc32(chunk, total)
    return total


def _write(
    dataset: Dataset, size_px: int, folder: Path, progress: Callable[[int, int], None] | None
) -> None:
    """Write both arrays beside their folder and rename it into place when they are whole."""
    draft = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.draft")
    draft.mkdir(parents=True)
    try:
        _fill(draft, dataset, size_px, progress)
        _publish(draft, folder, len(dataset.samples), size_px)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(
    draft: Path, dataset: Dataset, size_px: int, progress: Callable[[int, int], None] | None
) -> None:
    total = len(dataset.samples)
    problems = []
    has_foreground = False
    # Plain writes and not a writable map: a full disk is then an OSError and no crash.
    with (
        _array_file(draft / "images.npy", (total, size_px, size_px, 3), np.uint8) as images,
        _array_file(draft / "masks.npy", (total, size_px, size_px), np.bool_) as masks,
    ):
        for done, result in enumerate(_decode(dataset, size_px), start=1):
            if isinstance(result, DataError):
                problems.append(str(result))
            elif not problems:
                images.write(result[0].tobytes())
                masks.write(result[1].tobytes())
                has_foreground |= bool(result[1].any())
            if progress:
                progress(done, total)
        for file in (images, masks):
            file.flush()
            os.fsync(file.fileno())
    about = {"what": "decoded images", "format": dataset.format, "target": dataset.target}
    about["size"] = f"{total} images, {size_px}x{size_px}"
    write_json(draft / "about.json", about)
    write_json(draft / SUMS, {name: _sum_of(draft / name) for name in FILES})
    if problems:
        raise DataError(join_lines(problems))
    if not has_foreground:
        raise DataError(
            f"No mask has any {dataset.target} at {size_px} x {size_px} pixels."
            " Check --foreground, or pass a larger size."
        )


def _array_file(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> BufferedWriter:
    file = path.open("wb")
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)
    return file


def _decode(dataset: Dataset, size_px: int) -> Iterator[tuple[Pixels, Mask] | DataError]:
    def decode(sample: Sample) -> tuple[Pixels, Mask] | DataError:
        try:
            image, mask = dataset.load(sample)
        except DataError as problem:
            return problem
        size = (size_px, size_px)
        small_image = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
        small_mask = Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
        return np.asarray(small_image), np.asarray(small_mask, np.bool_)

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for start in range(0, len(dataset.samples), BATCH):
            yield from pool.map(decode, dataset.samples[start : start + BATCH])


def _publish(draft: Path, folder: Path, num_samples: int, size_px: int) -> None:
    if folder.exists() and _open(folder, num_samples, size_px) is None:
        shutil.rmtree(folder)
    try:
        draft.rename(folder)
    except OSError:
        # Another process was first: a folder that holds files is never replaced by a rename.
        if _open(folder, num_samples, size_px) is None:
            raise
