"""Files that are either whole or not there, and that say when they are not what was written.

A file is written beside its target, synced and renamed, and every reader here checks its sum.
"""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from vesica.errors import DataError
from vesica.files.drafts import drafted
from vesica.files.remedies import damaged
from vesica.files.sums import MAX_BYTES, is_listed, put, read, read_sums, sum_of

ATTEMPTS = 3
"""A file may be replaced between the reading of it and of its sum."""


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
    how = partial(put, before=before) if has_sum else Path.replace
    with drafted(target, num_bytes, how) as path:
        yield path


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
        data = read(path, max_bytes)
        if is_listed(path, zlib.crc32(data)):
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
    if not any(is_listed(path, sum_of(path)) for _ in range(ATTEMPTS)):
        raise damaged(path)


def check_all(folder: Path) -> None:
    """Check every file of a folder that has a sum; those that are not there have nothing wrong."""
    for name in read_sums(folder):
        if (folder / name).exists():
            check(folder / name)
