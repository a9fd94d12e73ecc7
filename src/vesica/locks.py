"""Folders that one process at a time works in; the system frees a lock whose process has ended."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = "lock"
ASK_AGAIN_S = 0.2


@contextmanager
def locked(folder: Path, waiting: Callable[[], None] | None) -> Iterator[bool]:
    """Hold a folder's lock.

    Args:
        folder: Made if it is not there.
        waiting: Called again and again while another process holds it; None: do not wait.

    Yields:
        Whether it was to be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    while not (is_held := _try(lock)) and waiting is not None:
        waiting()
        time.sleep(ASK_AGAIN_S)
    try:
        if is_held:
            with suppress(OSError):  # Windows lets nobody write to it
                (folder / LOCK).write_text(f"{os.getpid()}\n", encoding="ascii")
        yield is_held
    finally:
        lock.release()


def holder_of(folder: Path) -> str:
    """The process that holds a folder's lock, in words."""
    try:
        return f"process {int((folder / LOCK).read_text(encoding='ascii'))}"
    except (OSError, ValueError):
        return "another process"


def _try(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
