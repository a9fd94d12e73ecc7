"""Files that are either whole or not there, and that say when they are not what was written.

A file is written beside its target, synced and renamed. `sums.json` in each folder has the CRC-32
of every file that was written so, and every reader here checks it. A file's new sum is listed
beside the old one before the rename, so that a process may be killed anywhere. Folders and files
without a sum (of earlier runs, or published ones) are read as they are.
"""

import errno
import json
import os
import re
import shlex
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vesica.errors import DataError

if sys.platform != "win32":
    import fcntl

SUMS = "sums.json"
Sums = dict[str, list[int]]
"""The sums that a file may have, by its name: one, or two while it is being replaced."""

CHUNK_BYTES = 2**24
RESULT, WEIGHTS = "result.json", "model.safetensors"
"""Where the result lies, the files beside it are whole: it is written last. The trained tensors
are needed to predict, and for no verdict."""

PLAN, CELLS = "plan.json", "cells"
"""What a run is, and the folder of its cells; the run's own command writes both again."""

MAX_BYTES = 2**26
"""Of a file that is read as a whole, where its reader expects no more."""

ATTEMPTS = 3
"""A file may be replaced between the reading of it and of its sum."""

DRAFT = re.compile(r"\..+\.[a-z0-9_]{8}(\.[^.]+)?")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def expand(path: str | Path) -> Path:
    """The path with the home of `~` or `~user`; as it is where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def check_target(name: str, target: Path, what: str, *suffixes: str) -> None:
    """Refuse to write a file where the name that a user gave is that of something else.

    Args:
        name: What the user calls it, e.g. "--out".
        target: The file.
        what: It will be.
        suffixes: Of such files.

    Raises:
        DataError: If it is a folder, or has another suffix: it may be a file of the user's.
    """
    if target.is_dir() or target.suffix not in suffixes:
        found = "is a folder" if target.is_dir() else f"expected {what}"
        ends = " or ".join(suffixes)
        raise DataError(f"{name} {target}: {found}; pass a name that ends in {ends}")


@contextmanager
def replacing(
    target: Path, num_bytes: int = 0, *, before: Path | None = None, has_sum: bool = True
) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it takes the target's place if all went well.

    Args:
        target: The file.
        num_bytes: How large it will be, where that is known; named where the disk is full.
        before: Where the file goes that `target` was until now; in the same folder.
        has_sum: Whether its sum is listed; not where it is changed in place later.

    Raises:
        DataError: If the file cannot be written; the one before is whole.
    """
    with writing(target, num_bytes):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent
        )
        path = Path(name)
        try:
            with _held(handle):
                yield path
                sync(path)
                path.chmod(0o644)
                if has_sum:
                    _put(path, target, before)
                else:
                    path.replace(target)
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def writing(target: Path, num_bytes: int = 0) -> Iterator[None]:
    """Say in one sentence why a file could not be written, whatever wrote it.

    Raises:
        DataError: Instead of an OSError, or of safetensors' own.
    """
    try:
        yield
    except _write_errors() as error:
        raise DataError(_why_not(target, error, num_bytes)) from error


def _write_errors() -> tuple[type[Exception], ...]:
    """Safetensors raises its own; where it is not loaded, nothing was written by it."""
    loaded = sys.modules.get("safetensors")
    return (OSError, loaded.SafetensorError) if loaded else (OSError,)


def _why_not(target: Path, error: Exception, num_bytes: int) -> str:
    # safetensors gives the system's error within its text.
    found = re.search(r"\(os error (\d+)\)", str(error))
    number = getattr(error, "errno", None) or (int(found[1]) if found else 0)
    reason = os.strerror(number).lower() if number else str(error)
    disk = target.absolute().parent
    while not disk.exists():
        disk = disk.parent
    if not disk.is_dir():
        return f"{target}: {disk} is a file and no folder; pass another path"
    if target.is_dir():
        return f"{target}: is a folder; pass a file"
    free = shutil.disk_usage(disk).free
    while not disk.is_mount():
        disk = disk.parent
    needed = f" of {num_bytes / 1e6:.1f} MB" if num_bytes else ""
    advice = "make room there" if number in FULL else "check the folder"
    return (
        f"{target}: a file{needed} cannot be written ({reason}; the disk {disk} has "
        f"{free / 1e6:.1f} MB free); {advice} and run the same command again: nothing is lost"
    )


def _put(path: Path, target: Path, before: Path | None) -> None:
    """Rename a written file into its place, with its sum."""
    new = sum_of(path)
    with _alone(target.parent):
        sums = _read_sums(target.parent)
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


def remove_drafts(folder: Path) -> None:
    """Delete what killed processes were writing; what a process is writing now stays."""
    for path in folder.glob(".*"):
        if DRAFT.fullmatch(path.name) and path.is_file():
            with suppress(OSError):  # it is being written
                _remove_if_free(path)


def _remove_if_free(path: Path) -> None:
    if sys.platform == "win32":  # it refuses what is open
        path.unlink()
        return
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


@contextmanager
def _held(handle: int) -> Iterator[None]:
    """Show other processes that a draft is being written, until it is renamed or we end."""
    try:
        if sys.platform != "win32":
            with suppress(OSError):  # some network disks have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
    finally:
        os.close(handle)
    if sys.platform == "win32":  # it cannot rename what is open
        yield


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


def sync(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(target: Path, text: str, *, has_sum: bool = True) -> None:
    """Write a text file, whole or not at all; without a sum where the folder is a user's own."""
    data = text.encode("utf-8")
    with replacing(target, len(data), has_sum=has_sum) as path:
        path.write_bytes(data)


def write_json(target: Path, value: Any) -> None:
    """Write JSON that other programs can read: no NaN, two spaces."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a file that `replacing` or one of its users wrote.

    Raises:
        DataError: If it is not what was written, or nothing that can be read as a whole.
    """
    for _ in range(ATTEMPTS):
        data = _read(path, max_bytes)
        if _is_listed(path, zlib.crc32(data)):
            return data
    raise damaged(path)


def read_text(path: Path) -> str:
    """Read a text file; as `read_bytes`."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(path, error) from None


def read_json(path: Path) -> Any:
    """Read a JSON file; as `read_bytes`, and refused as damaged if it is no JSON."""
    try:
        return json.loads(read_text(path))
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def check(path: Path) -> None:
    """Read a file through, which another library will read.

    Raises:
        DataError: If it is not what was written.
    """
    if not any(_is_listed(path, sum_of(path)) for _ in range(ATTEMPTS)):
        raise damaged(path)


def check_all(folder: Path) -> None:
    """Check every file of a folder that has a sum; those that are not there have nothing wrong."""
    for name in _read_sums(folder):
        if (folder / name).exists():
            check(folder / name)


def was_written(path: Path) -> bool:
    """Whether a file has a sum, be it still there or not."""
    return path.name in _read_sums(path.parent)


def damaged(path: Path, error: object = "its content is not what was written") -> DataError:
    """What is wrong with a file, and how it comes back."""
    found = "is missing" if isinstance(error, FileNotFoundError) else f"damaged ({error})"
    return DataError(f"{path}: {found}; {_remedy(path)}")


def train_again(cell: Path) -> str:
    """What to do about a cell's folder: what was computed together is computed again together."""
    return f"delete {cell} and train it again: vesica run {quoted(cell.parent.parent)}"


def _remedy(path: Path) -> str:
    """Names what wrote the file: the command that reads it may be another, such as predict."""
    if path.name == PLAN:
        return "delete it and run the command that made the run again: cells that are done stay so"
    cell = next((folder for folder in list(path.parents)[:2] if _is_cell(folder)), None)
    if cell is not None and path.name != RESULT and (cell / RESULT).exists():
        return train_again(cell)
    if cell is not None:
        return f"delete it and train it again: vesica run {quoted(cell.parent.parent)}"
    if (path.parent / PLAN).exists():
        return f"delete it and judge the run again: vesica report {quoted(path.parent)}"
    return "delete it and run the same command again"


def _is_cell(folder: Path) -> bool:
    return folder.parent.name == CELLS and (folder.parent.parent / PLAN).exists()


def quoted(path: Path) -> str:
    """A path as it stands in a command that can be copied."""
    return shlex.quote(str(path))


def is_there(path: Path) -> bool:
    """Whether something has this name, be it a link to nowhere."""
    return os.path.lexists(path)


def _read(path: Path, max_bytes: int) -> bytes:
    size = _check_regular(path, max_bytes)
    with path.open("rb") as file:
        return file.read(size)


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


def sum_of(path: Path) -> int:
    """CRC-32 of a file."""
    total = 0
    _check_regular(path)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            total = zlib.crc32(chunk, total)
    return total


def _is_listed(path: Path, found: int) -> bool:
    listed = _read_sums(path.parent).get(path.name)
    return listed is None or found in listed


def _read_sums(folder: Path) -> Sums:
    """The sums of a folder's files, which have a sum themselves."""
    try:
        data = _read(folder / SUMS, MAX_BYTES)
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
    with replacing(folder / SUMS, len(text), has_sum=False) as path:
        path.write_text(text, encoding="ascii")


def _sealed(sums: Sums) -> dict[str, Any]:
    return {"sums": sums, "sum": zlib.crc32(json.dumps(sums, sort_keys=True).encode())}
