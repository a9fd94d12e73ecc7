"""Names with options: `name:key=value` of a visible table, or `file.py:function:key=value`.

Losses, networks, data sets, augmentations, optimisers and schedules are all spelled so. A name of
a table is a key of a dict; any other is a function in a user's own file, which is known by its
name and by the digest of its content: a changed file is another file.
"""

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vesica import own
from vesica.errors import DataError
from vesica.own import Code

Value = bool | int | float | str
Table = Mapping[str, Callable[..., Any]]

MAX_LENGTH = 1000
NUMBER = re.compile(r"[-+]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][-+]?\d{1,3})?", re.ASCII)
WHOLE = re.compile(r"[-+]?\d{1,18}", re.ASCII)
TABLED = re.compile(r"(?P<name>[a-z][a-z_0-9]*)(?P<options>(:.*)?)", re.ASCII)
OWN = re.compile(r"(?P<name>[^:]+\.py:[A-Za-z_]\w*)(?P<options>(:.*)?)", re.ASCII)
LIVE = re.compile(r"(?P<name><\w+>)(?P<options>(:.*)?)", re.ASCII)
FOLDER = re.compile(r"[^:,+]*[/\\](?=[^/\\:,+]+\.py:)")
YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, order=True)
class Spelled:
    """A name that exists, with those options that differ from their defaults.

    Attributes:
        name: A key of the table, or `file.py:function` without folders.
        options: Sorted.
        digest: Of the user's file; "" for a name of the table.
    """

    name: str
    options: tuple[tuple[str, Value], ...] = ()
    digest: str = ""

    def __str__(self) -> str:
        return self.name + "".join(f":{key}={spell(value)}" for key, value in self.options)

    @property
    def code(self) -> dict[str, str]:
        """The user's file and its digest, where there is one."""
        return {self.name.partition(":")[0]: self.digest} if self.digest else {}

    def function(self, table: Table) -> Callable[..., Any]:
        """What the name stands for.

        Raises:
            DataError: If the user's file has not been named by this command.
        """
        if not self.digest:
            return table[self.name]
        return own.find(self.name, self.digest)

    def call(self, table: Table, *args: Any, **more: Any) -> Any:
        """Call it with its options; what a user's function raises is a `DataError`."""
        function = self.function(table)
        if not self.digest:
            return function(*args, **more, **dict(self.options))
        try:
            return function(*args, **more, **dict(self.options))
        except (DataError, KeyboardInterrupt, MemoryError):
            raise
        except Exception as error:
            raise DataError(f"{self.name}: {own.say_error(error)}; mend the function") from error


def read(
    text: str, table: Table, what: str, *, code: Code | None = None, common: Iterable[str] = ()
) -> Spelled:
    """Read a spelling and check that name and options exist.

    Args:
        text: `name:key=value...` or `file.py:function:key=value...`.
        table: The names that exist.
        what: What messages call it, e.g. "loss".
        code: Digests of the files that the names without folders stand for; None: the files are
            those at the paths given.
        common: Parameters of the functions that are no options.

    Raises:
        ValueError: With what exists.
        DataError: If the user's file cannot be read, or has no such function.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"{what} {text[:40]!r}...: {len(text):,} characters; a name is shorter")
    if match := LIVE.fullmatch(text):
        name, digest = match["name"], _digest_of_live(match["name"], what, code)
    elif match := OWN.fullmatch(text):
        name, digest = _name_own(match["name"], code)
    elif match := TABLED.fullmatch(text):
        name, digest = match["name"], ""
    else:
        raise ValueError(f"cannot read the {what} {text!r}; write {_known(table)}")
    if not digest and name not in table:
        raise ValueError(f"unknown {what} {name!r}; there are: {_known(table)}")
    function = Spelled(name, (), digest).function(table)
    given = _read_options(what, name, match["options"], function, common)
    return with_options(Spelled(name, (), digest), function, given, common)


def with_options(
    spelled: Spelled,
    function: Callable[..., Any],
    given: Mapping[str, Value],
    common: Iterable[str] = (),
) -> Spelled:
    """The name with these options, but for those that have their default value."""
    defaults = options_of(function, common)
    changed = {k: v for k, v in given.items() if k not in defaults or v != defaults[k].default}
    missing = [name for name, p in defaults.items() if p.default is p.empty and name not in changed]
    if missing:
        raise ValueError(f"{spelled.name} needs {', '.join(f'{name}=...' for name in missing)}")
    return Spelled(spelled.name, tuple(sorted(changed.items())), spelled.digest)


def options_of(
    function: Callable[..., Any], common: Iterable[str] = ()
) -> dict[str, inspect.Parameter]:
    """The parameters that a spelling may set: keyword-only ones, and those with a default."""
    try:
        parameters = inspect.signature(function, eval_str=True).parameters.values()
    except (NameError, TypeError):  # an annotation that cannot be evaluated
        parameters = inspect.signature(function).parameters.values()
    return {
        p.name: p
        for p in parameters
        if p.name not in common
        and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        and (p.kind is p.KEYWORD_ONLY or p.default is not p.empty)
    }


def name_of(function: Callable[..., Any], table: Table) -> str:
    """The spelling of a function: its key in the table, or else a name of the user's own."""
    keys = (key for key, known in table.items() if known is function)
    return next(keys, None) or own.name_function(function)


def is_live(text: str) -> bool:
    """Whether a name stands for a function that only this process knows."""
    return "<" in text


def without_folders(text: str) -> str:
    """A spelling with the names of files in place of their paths."""
    return FOLDER.sub("", text)


def split_path(text: str) -> tuple[str, Path | None]:
    """`NAME` or `NAME:PATH` taken apart."""
    name, _, path = text.partition(":")
    return name, Path(path).expanduser() if path else None


def spell(value: Value) -> str:
    """A word as it is; of a number the shortest spelling that reads back, without a plus sign."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return repr(float(value)).removesuffix(".0").replace("e+", "e")


def read_number(text: str) -> float | None:
    """A finite number in ASCII digits, not too many; None if it is none."""
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def _known(table: Table) -> str:
    return ", ".join([*table, "or FILE.py:FUNCTION"])


def _read_options(
    what: str, name: str, text: str, function: Callable[..., Any], common: Iterable[str]
) -> dict[str, Value]:
    known = options_of(function, common)
    options: dict[str, Value] = {}
    for pair in text.split(":")[1:]:
        key, has_value, value = pair.partition("=")
        if key not in known or not has_value:
            listed = ", ".join(known) or "none"
            raise ValueError(f"{what} {name!r} has no parameter {key!r}; it has: {listed}")
        if key in options:
            raise ValueError(f"{what} {name!r} is given {key!r} twice; give it once")
        options[key] = _read_value(f"{name}:{key}", value, known[key])
    return options


def _read_value(where: str, text: str, parameter: inspect.Parameter) -> Value:
    """A value of the type that the parameter is annotated with, or that its default has."""
    kinds = _kinds_of(parameter)
    choices = [choice for kind in kinds for choice in typing.get_args(kind)]
    if choices and all(typing.get_origin(kind) is Literal for kind in kinds):
        if text not in choices:
            raise ValueError(f"{where}={text}: expected one of: {', '.join(map(str, choices))}")
        return text
    if bool in kinds and text.lower() in YES_OR_NO:
        return YES_OR_NO[text.lower()]
    if int in kinds and float not in kinds and WHOLE.fullmatch(text):
        return int(text)
    if float in kinds and (number := read_number(text)) is not None:
        return number
    if str in kinds:
        return text
    expected = {bool: "true or false", int: "a whole number", float: "a number"}
    wanted = " or ".join(expected[kind] for kind in kinds if kind in expected) or "another kind"
    raise ValueError(f"{where}={text[:40]}: expected {wanted}")


def _kinds_of(parameter: inspect.Parameter) -> tuple[Any, ...]:
    annotation = parameter.annotation
    if annotation is parameter.empty or isinstance(annotation, str):
        has_default = parameter.default not in (parameter.empty, None)
        return (type(parameter.default),) if has_default else (str,)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(kind for kind in typing.get_args(annotation) if kind is not type(None))
    return (annotation,)


def _name_own(text: str, code: Code | None) -> tuple[str, str]:
    path, _, function = text.rpartition(":")
    file = Path(path).expanduser()
    if code is not None and path in code:
        return text, code[path]
    return f"{file.name}:{function}", own.name_file(file)


def _digest_of_live(name: str, what: str, code: Code | None) -> str:
    found = own.digest_of_live(name)
    if found is None or (code is not None and code.get(name, found) != found):
        raise DataError(
            f"{what} {name}: a function of a Python session that is over; put it into a file and "
            "name it FILE.py:FUNCTION"
        )
    return found
