"""The digest that an exported file holds of itself, by which one changed bit in it is noticed.

It is SHA-256 of the whole file with zeros in the digest's own place, so that it needs no reader of
the file's format, and holds for graph, tensors and metadata alike.
"""

import hashlib
import mmap
from pathlib import Path

from vesica.errors import DataError

KEY = "sha256"
"""Of a file's metadata."""

MARK = "vesica-sha256:"
NUM_DIGITS = 64
UNSEALED = MARK + NUM_DIGITS * "0"
"""What is written under that key before the file is sealed."""


def seal(path: Path) -> None:
    """Put the digest into a file that was written with `UNSEALED`."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        start = content.find(UNSEALED.encode()) + len(MARK)
        assert start >= len(MARK)
        content[start : start + NUM_DIGITS] = _digest(content, start)


def check_seal(path: Path) -> None:
    """Read a file through; one without a digest is an earlier version's, or of other origin.

    Raises:
        DataError: If it is not what was written.
    """
    if not path.stat().st_size:  # nothing to map
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(MARK.encode()) + len(MARK)
        if start < len(MARK) or content[start : start + NUM_DIGITS] == _digest(content, start):
            return
    raise DataError(say_changed(path))


def is_whole(value: str | None) -> bool:
    """Whether metadata has a digest that `check_seal` could find, or none at all."""
    return value is None or (value.startswith(MARK) and len(value) == len(UNSEALED))


def say_changed(where: object) -> str:
    """What is wrong with a file whose digest is another."""
    return (
        f"{where}: not a whole file, as its content is not what `vesica export` wrote; copy or "
        "export it again"
    )


def _digest(content: mmap.mmap, start: int) -> bytes:
    digest = hashlib.sha256()
    with (
        memoryview(content) as view,
        view[:start] as before,
        view[start + NUM_DIGITS :] as after,
    ):
        digest.update(before)
        digest.update(NUM_DIGITS * b"0")
        digest.update(after)
    return digest.hexdigest().encode()
