"""The folder of what runs share: which entries it has, and who is working on one. Needs no torch.

`arrays/KEY` holds decoded images and masks, `trunk/KEY` the frozen layers' output.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from vesica.errors import DataError

if sys.platform != "win32":
    import fcntl

KINDS = {"arrays": "decoded images", "trunk": "frozen layers"}
BLOCK = 16
"""Rows of features computed together."""

MISSING = -1
"""In place of a block's checksum."""

ASK_AGAIN_S = 0.2
SHORT_KEY = 12


@dataclass(frozen=True)
class Entry:
    """One folder of the cache.

    Attributes:
        folder: Where it is.
        what: What it holds.
        of: Of which images, by which network.
        done: How much of it is there.
        num_bytes: On the disk.
        written: When a file of it last was.
    """

    folder: Path
    what: str
    of: str
    done: str
    num_bytes: int
    written: datetime

    @property
    def key(self) -> str:
        """What it is called on the command line."""
        return self.folder.name[:SHORT_KEY]


def find_entries(cache: Path, keys: Sequence[str] = ()) -> list[Entry]:
    """Everything in a cache, or the entries whose names begin with one of `keys`.

    Raises:
        DataError: If a key names none.
    """
    folders = [
        folder
        for kind in KINDS
        for folder in sorted((cache / kind).glob("*"))
        if folder.is_dir() and (not keys or folder.name.startswith(tuple(keys)))
    ]
    for key in keys:
        if not key or not any(folder.name.startswith(key) for folder in folders):
            raise DataError(f"{cache}: no entry {key!r}; vesica cache lists them")
    return [_describe(folder) for folder in folders]


def remove_entries(entries: Sequence[Entry]) -> tuple[int, list[Entry]]:
    """Delete entries; returns the bytes that were freed and the entries in use, left alone."""
    num_bytes, in_use = 0, []
    for entry in entries:
        with locked(entry.folder, None) as is_held:
            if is_held:
                shutil.rmtree(entry.folder)
                num_bytes += entry.num_bytes
            else:
                in_use.append(entry)
    return num_bytes, in_use


def count_rows(folder: Path) -> tuple[int, int]:
    """How many rows of features are there, up to a block, and of how many."""
    sums = np.load(folder / "sums.npy")
    num_rows = len(np.load(folder / "rows.npy", mmap_mode="r"))
    return min(num_rows, BLOCK * int((sums != MISSING).sum())), num_rows


@contextmanager
def locked(folder: Path, waiting: Callable[[], None] | None) -> Iterator[bool]:
    """Hold a folder's lock; the system gives it back when a process ends, however it ends.

    Args:
        folder: Made if it is not there.
        waiting: Called while another process holds it; None: do not wait.

    Yields:
        Whether it was to be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        while not (is_held := _try_lock(file.fileno())) and waiting is not None:
            waiting()
            time.sleep(ASK_AGAIN_S)
        yield is_held


def _try_lock(handle: int) -> bool:
    if sys.platform == "win32":  # two processes may compute the same, and write the same bytes
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _describe(folder: Path) -> Entry:
    files = [file for file in folder.rglob("*") if file.is_file()]
    # Rows that nobody asked for take no room in a file with holes.
    num_bytes = sum(512 * file.stat().st_blocks for file in files)
    written = datetime.fromtimestamp(max((f.stat().st_mtime for f in files), default=0))
    what, of = KINDS[folder.parent.name], ""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        what, of = about.pop("what"), ", ".join(str(value) for value in about.values())
    except (OSError, ValueError, KeyError):
        of = _shape(folder / "images.npy")
    return Entry(folder, what, of, _done(folder), num_bytes, written)


def _done(folder: Path) -> str:
    if folder.parent.name == "arrays":
        return "not finished" if folder.name.endswith(".draft") else "all"
    try:
        return "{} of {}".format(*count_rows(folder))
    except (OSError, ValueError, EOFError):
        return "damaged"


def _shape(path: Path) -> str:
    try:
        num, height, width, _ = np.load(path, mmap_mode="r").shape
    except (OSError, ValueError, EOFError):
        return ""
    return f"{num} images, {width}x{height}"
