"""Files of labels and the images that they name, wherever these lie below a folder."""

import mmap
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from vesica.data.listing import IMAGE_SUFFIXES
from vesica.data.names import PARTS
from vesica.data.pixels import is_hidden, show
from vesica.data.texts import parse_json
from vesica.errors import DataError


def find_files(root: Path, suffixes: Iterable[str]) -> list[Path]:
    """Files with these suffixes anywhere below a folder, sorted; hidden ones are left out.

    Links are followed, as data sets are often linked into place; a circle of them ends.
    """
    suffixes = set(suffixes)
    found = []
    seen = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = [name for name in subfolders if not is_hidden(Path(name))]
        found += [
            file
            for file in map(Path(folder).joinpath, names)
            if file.suffix.lower() in suffixes and not is_hidden(file) and not file.is_fifo()
        ]
    return sorted(found)


def holds_words(file: Path, words: Iterable[str]) -> bool:
    """Whether a file of any size has all these words in double quotes, as JSON has its keys."""
    if not file.is_file() or not file.stat().st_size:
        return False
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return all(text.find(f'"{word}"'.encode()) >= 0 for word in words)


def read_json(root: Path, file: Path) -> dict[str, Any]:
    """An object of a JSON file.

    Raises:
        DataError: If it is broken, or no object.
    """
    try:
        value = parse_json(file.read_bytes())
    except ValueError as error:
        raise DataError(f"{show(root, file)}: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{show(root, file)}: no JSON object of annotations. Export it again.")
    return value


def part_of(text: str) -> str | None:
    """The part of the split that words of a name say: `instances_val2017` is val."""
    parts = {PARTS.get(word) for word in re.split("[^a-z]+", text.lower())} - {None}
    return parts.pop() if len(parts) == 1 else None


class ImageFiles:
    """The images below a folder, found by the paths that files of labels give."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = find_files(root, IMAGE_SUFFIXES)
        self._by_name: dict[str, list[Path]] = {}
        for file in self.files:
            self._by_name.setdefault(_plain(file.name), []).append(file)

    def find(self, text: str, folder: Path, part: str | None) -> Path:
        """The image that a file in `folder` calls by this path.

        The path may be another machine's: what counts is as much of its end as is found here.

        Raises:
            ValueError: If there is none, or there are several.
        """
        asked = [_plain(name) for name in PurePosixPath(text.replace("\\", "/")).parts]
        found = self._by_name.get(asked[-1], []) if asked else []
        for keep in (
            lambda file: _common_end(file, asked),
            lambda file: file.is_relative_to(folder) and folder != self.root,
            lambda file: part is not None and part_of(show(self.root, file.parent)) == part,
        ):
            best = max(map(keep, found), default=0)
            found = [file for file in found if keep(file) == best]
        if len(found) > 1:
            names = " and ".join(show(self.root, file) for file in found[:2])
            raise ValueError(f"the image {text[:200]} may be {names}. Name it with its folder")
        if not found:
            raise ValueError(f"no image {text[:200]}. Add it, or remove its labels")
        return found[0]

    def without(self, used: Iterable[Path], what: str) -> list[str]:
        """A sentence about the images that have no labels at all, if there are any."""
        num_left = len(set(self.files) - set(used))
        return [f"{num_left:,} of {len(self.files):,} images {what}."] if num_left else []


def _plain(name: str) -> str:
    """A name as it is compared: systems compose accents differently."""
    return unicodedata.normalize("NFC", name)


def _common_end(file: Path, asked: list[str]) -> int:
    """How many names two paths have in common, from their ends."""
    own = [_plain(name) for name in file.parts]
    pairs = zip(reversed(own), reversed(asked), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(own), len(asked)))
