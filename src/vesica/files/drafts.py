"""Files are written beside their target, synced and renamed; what a killed process left goes.

A draft is locked while it is being written, so that others can tell it from what was left.
"""

import errno
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vesica.errors import DataError

if sys.platform != "win32":
    import fcntl

DRAFT = re.compile(r"\..+\.[a-z0-9_]{8}(\.[^.]+)?")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Put = Callable[[Path, Path], object]
"""Called with a written draft and its target: gives it that name."""


@contextmanager
def drafted(target: Path, num_bytes: int = 0, put: Put = Path.replace) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it takes the target's place if all went well.

    Args:
        target: The file.
        num_bytes: How large it will be, where that is known; named where the disk is full.
        put: How it takes its place.

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
                put(path, target)
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


def sync(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
