"""Paths as users give and copy them."""

import os
import shlex
from pathlib import Path

from vesica.errors import DataError


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


def quoted(path: Path) -> str:
    """A path as it stands in a command that can be copied."""
    return shlex.quote(str(path))


def is_there(path: Path) -> bool:
    """Whether something has this name, be it a link to nowhere."""
    return os.path.lexists(path)
