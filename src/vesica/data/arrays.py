"""All samples of a data set at one size, decoded once and then mapped from disk."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesica import spelling
from vesica.cache import BLOCK, fill, remove_folder
from vesica.data.sample import Dataset, Mask, Sample
from vesica.errors import DataError, join_lines

LAYOUT_VERSION = 3
"""Raise it when the same files give other arrays; older ones are then left alone."""

NUM_THREADS = 2
BYTES_PER_PIXEL = 4
"""Three colours and the mask."""


Truth = tuple[NDArray[np.bool_], NDArray[np.bool_] | None]
"""Masks of one sample, (classes, height, width), and its pixels that count, if not all."""


@dataclass(frozen=True)
class Arrays:
    """A data set in memory-mapped, read-only arrays, in the order of `Dataset.samples`.

    Attributes:
        names: The samples' names.
        groups: The samples' groups.
        images: RGB, 0 to 255, shape (samples, size, size, 3).
        masks: Foreground of every class, shape (samples, classes, size, size); none on void pixels.
        valid: Pixels that count, shape (samples, size, size); None: all.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    valid: NDArray[np.bool_] | None = None

    def truth(self, row: int) -> Truth:
        """The masks of a sample."""
        return self.masks[row], None if self.valid is None else self.valid[row]

    def shares(self, row: int) -> NDArray[np.float64]:
        """Foreground of each class of a sample, as a share of the pixels that count."""
        counted = 1.0 if self.valid is None else float(self.valid[row].mean())
        found: NDArray[np.float64] = self.masks[row].mean(axis=(-2, -1)) / (counted or 1.0)
        return found


def load_arrays(
    dataset: Dataset,
    size_px: int,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    waiting: Callable[[], None] = lambda: None,
    max_bytes: int | None = None,
) -> Arrays:
    """Read every sample at size_px x size_px, from the cache where it was read before.

    The aspect ratio is not kept. Images are resized bilinearly, masks to the nearest pixel.

    Args:
        dataset: What to read.
        size_px: Side of the square arrays, in pixels.
        cache: Folder for the arrays, shared by data sets and by processes.
        progress: Called with the samples that are done and their total.
        waiting: Called again and again while another process decodes them.
        max_bytes: Of arrays that are not in the cache yet; None: no limit.

    Raises:
        DataError: If samples cannot be read, in one list, or masks are all empty or all full.
        ValueError: If the size is not positive.
    """
    if size_px < 1:
        raise ValueError(f"size_px is {size_px}, expected at least 1.")
    folder = Path(cache) / "arrays" / _key(dataset, size_px)
    num = len(dataset.samples)
    shape = (size_px, size_px)
    num_bytes = num * size_px**2 * BYTES_PER_PIXEL
    if max_bytes is not None and num_bytes > max_bytes and not folder.exists():
        raise DataError(
            f"{num} images of {size_px}x{size_px} pixels would take {num_bytes / 1e9:.1f} GB of "
            f"{cache}, and are not there yet; pass --cache, or train to decode them"
        )
    problems: list[str] = []
    row = row_type(dataset, shape)
    with ThreadPoolExecutor(NUM_THREADS) as pool:

        def decode(span: slice) -> dict[str, NDArray[np.generic]] | None:
            found = list(pool.map(lambda s: _decode(dataset, s, shape), dataset.samples[span]))
            problems.extend(str(result) for result in found if isinstance(result, DataError))
            whole = [result for result in found if not isinstance(result, DataError)]
            if problems:
                return None
            fields = zip(*whole, strict=True)
            return dict(zip(row.names or (), map(np.stack, fields), strict=True))

        rows = fill(
            folder,
            num,
            np.arange(num),
            decode,
            row=lambda: row,
            about={
                "what": "decoded images",
                "format": spelling.shown(dataset.format),
                "target": dataset.target,
                "size": f"{num} images, {size_px}x{size_px}",
            },
            progress=lambda done, total: progress(num - max(0, total - done) * BLOCK, num),
            waiting=waiting,
        )
    arrays = Arrays(
        tuple(sample.name for sample in dataset.samples),
        tuple(sample.group for sample in dataset.samples),
        rows["image"],
        rows["mask"],
        rows["valid"] if dataset.has_void else None,
    )
    problems += [] if problems else _find_flat(dataset, arrays, size_px)
    if problems:
        remove_folder(folder)
        raise DataError(join_lines(problems))
    return arrays


def say_flat(dataset: Dataset, is_full: bool) -> str:
    """That no mask has an object, or none a background, and what to do."""
    num = len(dataset.samples)
    masks = f"All {num} masks are" if num > 1 else "The only mask is"
    what = "foreground throughout: there is no background" if is_full else "empty: no object is"
    rule = dataset.settled.get("foreground")
    look = f"Look at --foreground {rule}, export" if rule else "Export"
    return f"{masks} {what} in any. {look} them again, or pass another folder."


def _find_flat(dataset: Dataset, arrays: Arrays, size_px: int) -> list[str]:
    """What is wrong with masks that are all empty or all full."""
    if all(arrays.shares(row).min() == 1 for row in range(len(arrays.names))):
        return [say_flat(dataset, is_full=True)]
    if any(mask.any() for mask in arrays.masks):
        return []
    if any(dataset.load(sample).mask.any() for sample in dataset.samples):
        return [
            f"No mask has any {dataset.target} at {size_px} x {size_px} pixels: the objects are "
            "too small for it. Pass a larger size."
        ]
    return [say_flat(dataset, is_full=False)]


def row_type(dataset: Dataset, shape: tuple[int, int]) -> np.dtype[Any]:
    """What is kept of a sample."""
    fields = [("image", np.uint8, (*shape, 3)), ("mask", np.bool_, (dataset.num_classes, *shape))]
    return np.dtype([*fields, ("valid", np.bool_, shape)] if dataset.has_void else fields)


def shrink(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask at another width and height, to the nearest pixel."""
    small = Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return np.asarray(small, np.bool_)


def _key(dataset: Dataset, size_px: int) -> str:
    """Digest of all that decides the pixels; the target names the rule for foreground as well."""
    parts = (LAYOUT_VERSION, dataset.fingerprint, dataset.format, dataset.target, size_px)
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def _decode(
    dataset: Dataset, sample: Sample, size: tuple[int, int]
) -> tuple[NDArray[Any], ...] | DataError:
    try:
        image, mask, valid = dataset.load(sample)
    except DataError as problem:
        return problem
    small_image = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    small_mask = np.stack([shrink(of_class, size) for of_class in mask])
    small_valid = () if valid is None else (shrink(valid, size),)
    return np.asarray(small_image), small_mask, *small_valid
