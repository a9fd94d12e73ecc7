"""Functions of the user's own: found in a file, known by the digest of its content.

A file is run only if somebody named it (`name_file`) or vouched for it (`add_files`); each process
runs it once. A function that was handed in and cannot be found again from its file (a notebook's, a
lambda) has a digest that no other function ever has.
"""

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vesica.errors import DataError, say_refused

Function = Callable[..., Any]
MAX_FILE_BYTES = 2**20
MODULE = "vesica_user_"

_files: dict[str, Path] = {}
"""Where files that somebody named can be read, by digest."""

_functions: dict[tuple[str, str], Function] = {}
"""What was handed in as a function and not by name, by its name and digest."""


def name_file(path: Path) -> str:
    """The digest of a file that may be run from now on.

    Raises:
        DataError: If it cannot be read.
    """
    digest = digest_of(path)
    _files.setdefault(digest, path.resolve())
    return digest


def files_of(digests: Iterable[str]) -> dict[str, Path]:
    """Where the files with these digests can be read, by digest."""
    return {digest: _files[digest] for digest in digests if digest in _files}


def add_files(files: Mapping[str, Path]) -> None:
    """Say where files can be read that may be run, by digest."""
    _files.update(files)


def find(name: str, digest: str) -> Function:
    """The function that `file.py:function` or `<function>` stands for.

    Raises:
        DataError: If nobody named the file, it cannot be run, or it has no such function.
    """
    if (name, digest) in _functions:
        return _functions[name, digest]
    file, _, function = name.partition(":")
    return _load(file, digest, function)


def name_function(function: Function) -> str:
    """A name for a function: `path/file.py:function`, or `<function>` in this process alone."""
    name = getattr(function, "__qualname__", type(function).__name__)
    file = _source_of(function)
    if file is not None and name.isidentifier():
        _functions[f"{file.name}:{name}", name_file(file)] = function
        return f"{file}:{name}"
    for (known, _), other in _functions.items():
        if other is function and known.startswith("<"):
            return known
    name = f"<{re.sub(r'[^A-Za-z0-9_]', '', name.rpartition('.')[2]) or 'function'}>"
    while any(known == name for known, _ in _functions):
        name = f"{name[:-1]}_>"
    _functions[name, uuid.uuid4().hex[:12]] = function
    return name


def digest_of_live(name: str) -> str | None:
    """The digest of `<function>`; None if this process does not know it."""
    return next((digest for known, digest in _functions if known == name), None)


def digest_of(file: Path) -> str:
    """Twelve hexadecimal digits that name a file's content.

    Raises:
        DataError: If it cannot be read, or is too large to be one of functions.
    """
    try:
        if not file.is_file():
            raise DataError(f"{file}: no such file; check the path of your own function")
        if (num_bytes := file.stat().st_size) > MAX_FILE_BYTES:
            raise DataError(f"{file}: {num_bytes:,} bytes; a file of functions is smaller")
        return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}") from None


def say_place(path: Path, error: BaseException) -> str:
    """A user's file, with the line that raised."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path.resolve())]
    return f"{path}:{lines[-1]}" if lines else str(path)


def say_error(error: BaseException) -> str:
    """What a user's code raised, in one line."""
    name, text = type(error).__name__, str(error)
    pydantic = sys.modules.get("pydantic")  # where it is not loaded, it has refused nothing
    if pydantic is not None and isinstance(error, pydantic.ValidationError):
        name, text = error.title, say_refused(error.errors(), lambda key, value: f"{key}={value!r}")
    return f"{name}: {' '.join(text.split())[:300]}"


def _load(file: str, digest: str, function: str) -> Function:
    """A function of a user's file; the file is run once in each process."""
    name = f"{MODULE}{Path(file).stem}_{digest}"
    module = sys.modules.get(name) or _run(name, file, digest)
    found = vars(module).get(function)
    if not callable(found):
        known = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == name
        ]
        raise DataError(f"{file}: no function {function!r}; it has: {', '.join(known) or 'none'}")
    return typing.cast(Function, found)


def _run(name: str, file: str, digest: str) -> types.ModuleType:
    path = _files.get(digest)
    if path is None:
        raise DataError(
            f"{file} (digest {digest}): this command does not name the file, and none is run "
            "unasked; name it, or pass --trust (in Python trust=True) to run the run's own copy"
        )
    if digest_of(path) != digest:
        raise DataError(f"{path}: has changed since the command began; run the command again")
    _check_alone(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickles look for it
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise DataError(f"{say_place(path, error)}: {say_error(error)}; mend the file") from None
    return module


def _check_alone(path: Path) -> None:
    """Refuse a file that imports files beside it: a change of those would not be noticed.

    Raises:
        DataError: With their names.
    """
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError):  # running it says so, with the line
        return
    imported = {
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    names = {name.partition(".")[0] for name in imported} - {path.stem}
    beside = [
        name
        for name in sorted(names)
        for folder in {path.parent, Path.cwd()}
        if name and ((folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file())
    ]
    if beside:
        raise DataError(
            f"{path}: imports {', '.join(dict.fromkeys(beside))}, which lies beside it, and its "
            "changes would not be noticed; put all into one file, or install it as a package"
        )


def _source_of(function: Function) -> Path | None:
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        return None
    path = Path(file) if file else None
    return path.resolve() if path and path.suffix == ".py" and path.is_file() else None
