"""What every data set is: a list of named samples, and a function that reads one."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vesica.errors import DataError, join_lines
from vesica.own import say_error

Pixels = NDArray[np.uint8]
"""An RGB image as stored, shape (height, width, 3), values 0 to 255."""

Mask = NDArray[np.bool_]
"""Foreground of one image, shape (height, width)."""

Valid = NDArray[np.bool_]
"""Pixels of one image that count, shape (height, width); the others are void."""

SPLIT_PARTS = (None, "train", "val", "test")


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


class Loaded(NamedTuple):
    """One sample in memory.

    Attributes:
        image: RGB, shape (height, width, 3).
        mask: Foreground of every class, shape (classes, height, width); none where it is void.
        valid: Pixels that count, shape (height, width); None: all.
    """

    image: Pixels
    mask: Mask
    valid: Valid | None


@dataclass(frozen=True)
class Dataset:
    """An opened data set: its file lists are checked, its pixels are not read yet.

    Attributes:
        format: The key in `DATASETS` that opened it, or the spelling of a user's function.
        target: What counts as foreground, e.g. "face" or "face+hair".
        samples: Sorted by name.
        read: Pixels and mask of one sample, of equal height and width, and where there is a void
            the pixels that count. Raises `DataError`.
        fingerprint: Digest of the names and the contents, never of the path.
        full_size: The number of images of the whole set, where that is known: it is split in the
            order of its names. None: split by hash.
        notes: What a user should know, a sentence each, such as which images were left out.
        classes: Names of the classes, where a mask has several; else the target is the only one.
        has_void: Some pixels count for nothing: `read` says which count.
        is_exclusive: Each pixel that counts is of one class, and of no other.
        settled: Fields of the source that were chosen when it was opened, by name.
    """

    format: str
    target: str
    samples: tuple[Sample, ...]
    read: Callable[[Sample], tuple[Any, ...]] = field(repr=False)
    fingerprint: str
    full_size: int | None = None
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    has_void: bool = False
    is_exclusive: bool = False
    settled: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """How many maps a mask has."""
        return max(1, len(self.classes))

    def things(self, mask: Mask) -> Mask:
        """Maps of what lies before the background, shape (maps, height, width): every class; of
        exclusive ones all but the first.

        Args:
            mask: Of every class.
        """
        return mask[1:] if self.is_exclusive else mask

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        read: Callable[[str], tuple[Any, ...]],
        *,
        groups: Sequence[str] | None = None,
        parts: Sequence[str | None] | None = None,
        files: Sequence[str | Path | Sequence[str | Path]] | None = None,
        target: str = "foreground",
        classes: Sequence[str] = (),
        has_void: bool = False,
        is_exclusive: bool = False,
    ) -> "Dataset":
        """A data set of the user's own, from names and a function that reads one.

        Args:
            names: A unique name for each image.
            read: From a name to an image, uint8 of shape (height, width, 3), and its mask, of shape
                (height, width): bool, or 0 and 1.
            groups: For each image the patient, slide or person that is never divided.
            parts: For each image "train", "val", "test", or None where the split decides.
            files: For each image the file or files that it is read from. With them the data is
                known by their contents, without them by its pixels: all are read once at the start.
            target: What the foreground is.
            classes: Names of several classes; a mask is then of shape (classes, height, width).
            has_void: `read` gives the pixels that count as well, bool of shape (height, width).
            is_exclusive: Each pixel that counts is of one of the classes: softmax, not sigmoid.

        Raises:
            DataError: If names are none or repeated, lists have other lengths, or files are
                missing.
        """
        names = tuple(names)
        check_names(names)
        for what, given in (("groups", groups), ("parts", parts), ("files", files)):
            if given is not None and len(given) != len(names):
                raise DataError(
                    f"{len(given)} {what} for {len(names)} names; give one for each name"
                )
        if unknown := sorted({str(part) for part in parts or () if part not in SPLIT_PARTS}):
            raise DataError(f"parts {unknown[0]!r}: expected train, val, test or None")
        none: Sequence[None] = (None,) * len(names)
        rows = zip(names, groups or names, files or none, parts or none, strict=True)
        unordered = (Sample(name, str(group), _paths(f), part) for name, group, f, part in rows)
        samples = tuple(sorted(unordered, key=lambda sample: sample.name))
        all_files = (file for sample in samples for file in sample.files)
        if missing := [f"{file}: no such file" for file in all_files if not file.is_file()]:
            raise DataError(join_lines(missing))
        lock = threading.Lock()  # images are decoded by several threads

        def read_sample(sample: Sample) -> tuple[Any, ...]:
            with lock:
                return read(sample.name)

        dataset = cls(
            "",
            target,
            samples,
            read_sample,
            "",
            classes=tuple(classes),
            has_void=has_void,
            is_exclusive=is_exclusive,
        )
        fingerprint = fingerprint_pixels(dataset) if files is None else fingerprint_files(samples)
        return replace(dataset, fingerprint=fingerprint)

    def load(self, sample: Sample) -> Loaded:
        """Read a sample and check what `read` gives.

        Raises:
            DataError: Whatever is wrong with it, with the sample's name.
        """
        try:
            found = self.read(sample)
        except (DataError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise DataError(
                f"{sample.name}: {say_error(error)}; mend the function that reads it"
            ) from error
        expected = ("image", "mask", "valid") if self.has_void else ("image", "mask")
        if not isinstance(found, Sequence) or len(found) != len(expected):
            raise DataError(
                f"{sample.name}: read gives {type(found).__name__}, expected "
                f"({', '.join(expected)})"
            )
        image, mask, *void = map(np.asarray, found)
        mask = mask[np.newaxis] if mask.ndim == 2 else mask
        image, mask = _check_pixels(sample.name, image, mask, self.num_classes)
        valid = None
        if void:
            _, (valid,) = _check_pixels(sample.name, image, void[0][np.newaxis], 1)
            if not valid.any():
                raise DataError(f"{sample.name}: every pixel is void; remove the image")
            mask = mask & valid
        if self.is_exclusive:
            _check_exclusive(sample.name, mask, valid)
        return Loaded(image, mask, valid)


_digests: dict[bytes, str] = {}
"""Fingerprints of files that this process has read, by what the system says of these files."""


def fingerprint_files(samples: Iterable[Sample]) -> str:
    """Digest of names and file contents; the same for a copy of the data elsewhere.

    Files that have not changed since they were read are not read again by this process.
    """
    samples = tuple(samples)
    listed = [(s.name, s.part, [stamp(file) for file in s.files]) for s in samples]
    key = hashlib.sha256(repr(listed).encode()).digest()
    if key not in _digests:
        _digests[key] = _hash_files(samples)
    return _digests[key]


def fingerprint_pixels(dataset: Dataset) -> str:
    """Digest of names and pixels, where there are no files; reads every sample.

    Raises:
        DataError: If samples cannot be read; one error lists all.
    """
    digest = hashlib.sha256()
    problems = []
    for sample in dataset.samples:
        try:
            image, mask, valid = dataset.load(sample)
        except DataError as error:
            problems.append(str(error))
            continue
        shape = mask.shape[1:] if len(mask) == 1 else mask.shape
        digest.update(f"{sample.name}\0{sample.part}\0{shape}\0".encode())
        digest.update(image.tobytes())
        digest.update(mask.tobytes())
        digest.update(b"" if valid is None else valid.tobytes())
    if problems:
        raise DataError(join_lines(problems))
    return digest.hexdigest()


def _hash_files(samples: Iterable[Sample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.name}\0{sample.part}\0".encode())
        for file in sample.files:
            content = file.read_bytes()
            digest.update(f"{file.suffix.lower()} {len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def stamp(file: Path) -> tuple[str | int, ...]:
    """What tells a file from another, and from itself after a change, without reading it."""
    s = file.stat()
    return file.suffix.lower(), s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns


def check_names(names: Sequence[str]) -> None:
    """Refuse names that are none, repeated or not to be printed.

    Raises:
        DataError: With the first such name.
    """
    if not names:
        raise DataError("a data set without names; give a name for each image")
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise DataError(f"the name {name!r}; expected a word that can be printed")
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(f"the name {name!r} is given {count} times; give each image its own")


def _paths(given: str | Path | Sequence[str | Path] | None) -> tuple[Path, ...]:
    if given is None:
        return ()
    return tuple(map(Path, (given,) if isinstance(given, (str, Path)) else given))


def _check_pixels(
    name: str, image: NDArray[Any], mask: NDArray[Any], num_classes: int
) -> tuple[Pixels, Mask]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(
            f"{name}: the image is {image.dtype} of shape {image.shape}, expected uint8 of shape "
            "(height, width, 3)"
        )
    if mask.shape[-2:] != image.shape[:2]:
        raise DataError(
            f"{name}: the mask has shape {mask.shape[-2:]}, but the image has {image.shape[:2]}; "
            "give both at one size"
        )
    if mask.ndim != 3 or len(mask) != num_classes:
        raise DataError(
            f"{name}: the mask has shape {mask.shape}; expected ({num_classes}, height, width), a "
            "map for each class"
        )
    if mask.dtype != np.bool_ and not (mask.dtype.kind in "iu" and np.isin(mask, (0, 1)).all()):
        found = f", {mask.min():g} to {mask.max():g}" if mask.dtype.kind in "iuf" else ""
        raise DataError(
            f"{name}: the mask is {mask.dtype}{found}; expected bool, or whole numbers 0 and 1"
        )
    return image, mask.astype(np.bool_, copy=False)


def _check_exclusive(name: str, mask: Mask, valid: Valid | None) -> None:
    num = mask.sum(axis=0, dtype=np.uint16)
    is_wrong = num != (1 if valid is None else valid)
    if is_wrong.any():
        row, column = np.argwhere(is_wrong)[0]
        raise DataError(
            f"{name}: the pixel at row {row}, column {column} is of {num[row, column]} classes; "
            "expected one"
        )
