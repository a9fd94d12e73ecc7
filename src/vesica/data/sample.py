"""What every data set is: a list of named samples, and a function that reads one."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""An RGB image as stored, shape (height, width, 3), values 0 to 255."""

Mask = NDArray[np.bool_]
"""Foreground of one image, shape (height, width)."""


@dataclass(frozen=True)
class Sample:
    """One image with its labels, still on disk.

    Attributes:
        name: Unique within its data set; what every table calls the image.
        group: The person, patient or slide that it shows; the name itself where that is not known.
        files: Image first, then label files. Empty where the sample is generated.
        part: "train", "val" or "test" where the data set itself decides; else None.
    """

    name: str
    group: str
    files: tuple[Path, ...] = ()
    part: str | None = None


@dataclass(frozen=True)
class Dataset:
    """An opened data set: its file lists are checked, its pixels are not read yet.

    Attributes:
        format: The key in `DATASETS` that opened it.
        target: What counts as foreground, e.g. "face" or "face+hair".
        samples: Sorted by name.
        read: Pixels and mask of one sample, of equal height and width. Raises `DataError`.
        fingerprint: Digest of the names and the contents, never of the path.
        paper_size: The number of images that the paper has of this set; such a set is split in
            the order of its names. None: a set that the paper does not know, split by hash.
        notes: What a user should know, a sentence each, such as which images were left out.
    """

    format: str
    target: str
    samples: tuple[Sample, ...]
    read: Callable[[Sample], tuple[Pixels, Mask]] = field(repr=False)
    fingerprint: str
    paper_size: int | None = None
    notes: tuple[str, ...] = ()


def fingerprint_files(samples: Iterable[Sample]) -> str:
    """Digest of names and file contents; the same for a copy of the data elsewhere."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.name}\0{sample.part}\0".encode())
        for file in sample.files:
            content = file.read_bytes()
            digest.update(f"{file.suffix.lower()} {len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()
