"""What runs share on disk: computed once, checked by sums, shared by processes. Needs no torch.

`arrays/KEY` holds decoded images and masks, `features/KEY` the frozen layers' output. A folder has

- `rows.npy`: a row per sample, with named fields;
- `blocks.npy`: the CRC-32 of each block of rows, or -1 where it is not there yet; then `rows.npy`'s
  header's;
- `about.json`: what it is, for people;
- `lock`: held by the one process that computes.

Blocks start at fixed rows, so that a row's value never depends on which rows were asked for, or on
where an earlier computation was stopped. Nothing needs to reach the disk in any order: a block that
is not whole does not have its sum, and is computed again.
"""

import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

from vesica.errors import DataError
from vesica.files import SUMS, expand, read_json, remove_drafts, replacing, write_json, writing
from vesica.locks import locked

KINDS = {"arrays": "decoded images", "features": "frozen layers", "trunk": "frozen layers"}
"""What the folders hold; `trunk` is of earlier versions."""

BLOCK = 16
"""Rows that are computed together."""

MISSING = -1
"""In place of a block's checksum."""

SHORT_KEY = 12

Compute = Callable[[slice], Mapping[str, NDArray[Any]] | None]
"""From neighbouring rows to their fields, the first axis a row each; None: not to be had."""

_checked: dict[tuple[Path, int, int], set[int]] = {}
"""Blocks that this process has read through, by the file, its size and its time."""


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


def default_cache() -> Path:
    """Where it is unless a user says otherwise; VESICA_CACHE does."""
    chosen = os.environ.get("VESICA_CACHE") or platformdirs.user_cache_dir("vesica", False)
    return expand(chosen)


def fill(
    folder: Path,
    num_rows: int,
    rows: NDArray[np.int64],
    compute: Compute,
    *,
    row: Callable[[], np.dtype[Any]],
    about: dict[str, Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
    waiting: Callable[[], None] = lambda: None,
) -> NDArray[Any]:
    """Compute the blocks that `rows` lie in and that are missing or damaged; map the file.

    Args:
        folder: Where the files are or will be.
        num_rows: Of the whole data set; what is not asked for takes no room on the disk.
        rows: Those that will be read.
        compute: Its fields are those of a row.
        row: Called for the type of a row, with its fields, where there is no file yet.
        about: Written to `about.json`.
        progress: Called with the number of blocks done and to do.
        waiting: Called again and again while another process computes.

    Returns:
        All rows, mapped from disk, read-only.

    Raises:
        DataError: If the disk is full, or cannot be written to.
    """
    wanted = np.unique(np.asarray(rows) // BLOCK).tolist()
    file = _Rows.open(folder, num_rows)
    if file is None or file.missing(wanted):
        with locked(folder, waiting):
            remove_drafts(folder)
            file = _Rows.open(folder, num_rows) or _Rows.create(folder, num_rows, row(), about)
            file.fill(file.missing(wanted), compute, progress)
    return file.rows


@dataclass(frozen=True)
class _Rows:
    """`rows.npy` and `blocks.npy` of a folder."""

    folder: Path
    rows: np.memmap[Any, np.dtype[Any]]
    sums: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path, num_rows: int) -> "_Rows | None":
        """Map what is there; None where it is not whole."""
        try:
            rows = np.load(folder / "rows.npy", mmap_mode="r")
            sums = np.load(folder / "blocks.npy")
        except Exception:  # what has become of a file's header may raise anything
            return None
        is_whole = len(rows) == num_rows and len(sums) == _num_blocks(num_rows) + 1
        return cls(folder, rows, sums) if is_whole and sums[-1] == _sum_of_header(rows) else None

    @classmethod
    def create(
        cls, folder: Path, num_rows: int, row: np.dtype[Any], about: dict[str, Any]
    ) -> "_Rows":
        """Make both files, without any block."""
        for name in ("blocks.npy", SUMS):  # of the rows before
            (folder / name).unlink(missing_ok=True)
        with replacing(folder / "rows.npy", has_sum=False) as path:
            rows = np.lib.format.open_memmap(path, mode="w+", dtype=row, shape=(num_rows,))
        write_json(folder / "about.json", about)
        sums = np.full(_num_blocks(num_rows) + 1, MISSING, dtype=np.int64)
        sums[-1] = _sum_of_header(rows)
        with replacing(folder / "blocks.npy", has_sum=False) as path:
            np.save(path, sums)
        return cls(folder, np.load(folder / "rows.npy", mmap_mode="r"), sums)

    def missing(self, blocks: Iterable[int]) -> list[int]:
        """Those that are not there, or damaged."""
        path = self.folder / "rows.npy"
        status = path.stat()
        checked = _checked.setdefault((path, status.st_size, status.st_mtime_ns), set())
        missing = []
        # Not through the map, which would count as this process's memory.
        with path.open("rb") as file:
            for block in blocks:
                if block not in checked:
                    file.seek(self._offset(block))
                    data = file.read(self._offset(block + 1) - self._offset(block))
                    if self.sums[block] == zlib.crc32(data):
                        checked.add(block)
                    else:
                        missing.append(block)
        return missing

    def fill(
        self, blocks: Sequence[int], compute: Compute, progress: Callable[[int, int], None]
    ) -> None:
        """Compute blocks and write each with its sum."""
        num_bytes = len(blocks) * BLOCK * self.rows.itemsize
        sums_offset = np.load(self.folder / "blocks.npy", mmap_mode="r").offset
        for number, block in enumerate(blocks, start=1):
            fields = compute(slice(block * BLOCK, (block + 1) * BLOCK))
            if fields is not None:
                data = _pack(fields, self.rows.dtype)
                self.sums[block] = zlib.crc32(data)
                with writing(self.folder / "rows.npy", num_bytes):
                    _write_at(self.folder / "rows.npy", self._offset(block), data)
                    offset = sums_offset + block * self.sums.itemsize
                    sums = self.sums[block : block + 1].tobytes()
                    _write_at(self.folder / "blocks.npy", offset, sums)
            progress(number, len(blocks))

    def _offset(self, block: int) -> int:
        return int(self.rows.offset) + min(block * BLOCK, len(self.rows)) * self.rows.itemsize


def _num_blocks(num_rows: int) -> int:
    return -(-num_rows // BLOCK)


def _sum_of_header(rows: np.memmap[Any, np.dtype[Any]]) -> int:
    return zlib.crc32(repr((rows.dtype.descr, rows.shape, rows.offset)).encode())


def _pack(fields: Mapping[str, NDArray[Any]], row: np.dtype[Any]) -> bytes:
    data = np.empty(len(next(iter(fields.values()))), dtype=row)
    for name, values in fields.items():
        data[name] = values
    return data.tobytes()


def _write_at(path: Path, offset: int, data: bytes) -> None:
    # Not through a map: where the disk is full, that would end the process.
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def count_rows(folder: Path) -> tuple[int, int]:
    """How many rows are there, up to a block, and of how many.

    Raises:
        DataError: If the folder is damaged.
    """
    try:
        num_rows = len(np.load(folder / "rows.npy", mmap_mode="r"))
        sums = np.load(folder / "blocks.npy")[:-1]
    except Exception as error:
        raise DataError(f"{folder}: damaged ({error}); vesica cache --clear removes it") from None
    return min(num_rows, BLOCK * int((sums != MISSING).sum())), num_rows


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
    removed = {entry.folder: remove_folder(entry.folder) for entry in entries}
    num_bytes = sum(entry.num_bytes for entry in entries if removed[entry.folder])
    return num_bytes, [entry for entry in entries if not removed[entry.folder]]


def remove_folder(folder: Path) -> bool:
    """Delete an entry, unless a process is computing it; returns whether it is gone."""
    with locked(folder, None) as is_held:
        if is_held:
            shutil.rmtree(folder)
        return is_held


def _describe(folder: Path) -> Entry:
    files = [file for file in folder.rglob("*") if file.is_file()]
    # Rows that nobody asked for take no room in a file with holes.
    num_bytes = sum(512 * file.stat().st_blocks for file in files)
    written = datetime.fromtimestamp(max((f.stat().st_mtime for f in files), default=0))
    what, of = KINDS[folder.parent.name], ""
    try:
        about = read_json(folder / "about.json")
        what, of = about.pop("what"), ", ".join(str(value) for value in about.values())
    except (OSError, ValueError, KeyError, AttributeError):
        pass
    return Entry(folder, what, of, _done(folder), num_bytes, written)


def _done(folder: Path) -> str:
    if folder.parent.name == "trunk" or (folder / "images.npy").exists():
        return "of an earlier version"
    try:
        return "{} of {}".format(*count_rows(folder))
    except DataError:
        return "damaged"
