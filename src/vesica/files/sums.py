"""`sums.json` in each folder: the CRC-32 of every file that was written there.

A file's new sum is listed beside the old one before the rename, so that a process may be killed
anywhere. Folders and files without a sum (of earlier runs, or published ones) are read as they are.
"""

import json
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vesica.files.drafts import drafted
from vesica.files.remedies import damaged

if sys.platform != "win32":
    import fcntl

SUMS = "sums.json"
Sums = dict[str, list[int]]
"""The sums that a file may have, by its name: one, or two while it is being replaced."""

CHUNK_BYTES = 2**24
MAX_BYTES = 2**26
"""Of a file that is read as a whole, where its reader expects no more."""


def put(path: Path, target: Path, before: Path | None = None) -> None:
    """Rename a written file into its place, with its sum.

    Args:
        path: The draft.
        target: Its name.
        before: Where the file goes that had the name until now; in the same folder.
    """
    new = sum_of(path)
    with _alone(target.parent):
        sums = read_sums(target.parent)
        old = _known(sums, target)
        if before is not None:
            sums[before.name] = [*_known(sums, before), *old]
        sums[target.name] = [*old, new]
        _write_sums(target.parent, sums)
        if before is not None and target.exists():
            target.replace(before)
            sums[before.name] = old
        path.replace(target)
        sums[target.name] = [new]
        _write_sums(target.parent, sums)


def _known(sums: Sums, path: Path) -> list[int]:
    if path.exists() and path.name not in sums:  # an earlier run's
        return [sum_of(path)]
    return sums.get(path.name, [])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from changing a folder's sums; takes no file of its own."""
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def was_written(path: Path) -> bool:
    """Whether a file has a sum, be it still there or not."""
    return path.name in read_sums(path.parent)


def is_listed(path: Path, found: int) -> bool:
    """Whether a file may have this sum; any, where none is listed."""
    listed = read_sums(path.parent).get(path.name)
    return listed is None or found in listed


def read(path: Path, max_bytes: int) -> bytes:
    """A file's content, whatever its sum; what is no file or too large is refused."""
    size = _check_regular(path, max_bytes)
    with path.open("rb") as file:
        return file.read(size)


def sum_of(path: Path) -> int:
    """CRC-32 of a file."""
    total = 0
    _check_regular(path)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            total = zlib.crc32(chunk, total)
    return total


def _check_regular(path: Path, max_bytes: int | None = None) -> int:
    """The size of a file; what is none (a pipe waits for ever), a link or too large is refused."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise damaged(path, "a link, which is not followed")
    if not stat.S_ISREG(status.st_mode):
        raise damaged(path, "a folder, pipe or device, and no file")
    if max_bytes is not None and status.st_size > max_bytes:
        raise damaged(path, f"{status.st_size:,} bytes, expected at most {max_bytes:,}")
    return status.st_size


def read_sums(folder: Path) -> Sums:
    """The sums of a folder's files, which have a sum themselves."""
    try:
        data = read(folder / SUMS, MAX_BYTES)
    except FileNotFoundError:
        return {}
    try:
        document = json.loads(data)
        sums: Sums = document["sums"]
        if document != _sealed(sums):
            raise ValueError("its content is not what was written")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder / SUMS, error) from None
    return sums


def _write_sums(folder: Path, sums: Sums) -> None:
    text = json.dumps(_sealed(sums), indent=2) + "\n"
    with drafted(folder / SUMS, len(text)) as path:
        path.write_text(text, encoding="ascii")


def _sealed(sums: Sums) -> dict[str, Any]:
    return {"sums": sums, "sum": zlib.crc32(json.dumps(sums, sort_keys=True).encode())}
