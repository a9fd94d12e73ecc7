"""What lies in a folder: its files through links as well, and a sentence that says so."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesica.data.pixels import is_hidden
from vesica.errors import escaped

SUFFIXES: dict[str, tuple[bool, bool]] = {
    ".bmp": (True, True),
    ".gif": (True, True),
    ".jpeg": (True, True),
    ".jpg": (True, True),
    ".mat": (False, True),
    ".npy": (False, True),
    ".pgm": (True, True),
    ".png": (True, True),
    ".ppm": (True, True),
    ".tif": (True, True),
    ".tiff": (True, True),
    ".webp": (True, True),
}
"""Kinds of files that are read: as an image, as a mask."""

IMAGE_SUFFIXES = frozenset(suffix for suffix, (is_image, _) in SUFFIXES.items() if is_image)

MAX_FOLDERS_SHOWN = 6


@dataclass(frozen=True)
class File:
    """A file below the data set's folder.

    Attributes:
        path: Below that folder, with `/`.
    """

    path: str

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders that it lies in, the outermost first."""
        return tuple(self.path.split("/")[:-1])

    @cached_property
    def folder(self) -> str:
        """The folder that it lies in, "" for the data set's own."""
        return self.path.rpartition("/")[0]

    @cached_property
    def stem(self) -> str:
        """Its name without its suffix."""
        name = self.path.rpartition("/")[2]
        return name[: len(name) - len(self.suffix)]

    @cached_property
    def suffix(self) -> str:
        """As written, of `a.nii.gz` both."""
        name = self.path.rpartition("/")[2]
        if name.lower().endswith(".nii.gz"):
            return name[-len(".nii.gz") :]
        return os.path.splitext(name)[1]  # noqa: PTH122 - ten times faster than a Path

    @property
    def is_image(self) -> bool:
        """Whether files of its kind are read as images."""
        return SUFFIXES.get(self.suffix.lower(), (False, False))[0]

    @property
    def is_mask(self) -> bool:
        """Whether files of its kind are read as masks."""
        return SUFFIXES.get(self.suffix.lower(), (False, False))[1]

    def __str__(self) -> str:
        return escaped(self.path)


def list_files(root: Path) -> list[File]:
    """Every file of a user's below a folder, by its path; a folder that links back is left out."""
    return sorted((File(path) for path in _walk(root, "", ())), key=lambda file: file.path)


def _walk(folder: Path | str, inner: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    status = os.stat(folder)  # noqa: PTH116
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(Path(entry.name)):
                continue
            if _is_folder(entry):
                yield from _walk(entry.path, f"{inner}{entry.name}/", (*above, here))
            else:
                yield inner + entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def suffixes(as_image: bool) -> str:
    """The kinds of files that are read as images, or as masks, for a message."""
    return " ".join(suffix for suffix, reads in SUFFIXES.items() if reads[not as_image])


def describe(files: Iterable[File]) -> str:
    """How many files of each kind lie where: "image/ has 155 .jpg, groundTruth/ 118 .dat"."""
    files = list(files)
    places = Counter(file.folder for file in files)
    if len(places) > MAX_FOLDERS_SHOWN:  # a folder for each patient
        places = Counter("/".join(file.folders[:1]) for file in files)
    kinds: dict[str, Counter[str]] = {place: Counter() for place in sorted(places)}
    for file in files:
        place = file.folder if file.folder in kinds else "/".join(file.folders[:1])
        kinds[place][file.suffix.lower() or "without a suffix"] += 1
    shown = [
        f"{_place(place)}{'' if index else ' has'} {_count(counts)}"
        for index, (place, counts) in enumerate(list(kinds.items())[:MAX_FOLDERS_SHOWN])
    ]
    more = len(kinds) - len(shown)
    return ", ".join([*shown, *([f"and {more} more folders"] if more else [])])


def _place(folder: str) -> str:
    return f"{escaped(folder)}/" if folder else "the folder itself"


def _count(kinds: Counter[str]) -> str:
    return " and ".join(f"{count:,} {suffix}" for suffix, count in kinds.most_common(3))
