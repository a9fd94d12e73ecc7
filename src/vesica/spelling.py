"""Names with options: `name:key=value` of a visible table, or `file.py:function:key=value`.

A name of a table may have two words, as `smp:unet`.

Losses, networks, data sets, augmentations, optimisers and schedules are all spelled so. A name of
a table is a key of a dict; any other is a function in a user's own file. What is kept of it is
`file.py@digest:function`: the name without folders and the digest of the content, so that a changed
file is another name.
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
from vesica.files import expand

Value = bool | int | float | str
Table = Mapping[str, Callable[..., Any]]

MAX_LENGTH = 1000
NUMBER = re.compile(r"[-+]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][-+]?\d{1,3})?", re.ASCII)
WHOLE = re.compile(r"[-+]?\d{1,18}", re.ASCII)
TABLED = re.compile(r"(?P<name>[a-z][a-z_0-9]*)(?P<options>(:.*)?)", re.ASCII)
TWO_WORDS = re.compile(r"(?P<name>[a-z][a-z_0-9]*:[^:=]*)(?P<options>(:.*)?)", re.ASCII)
OWN = re.compile(
    r"(?P<file>[^:]+\.py|<\w+>)(@(?P<digest>[0-9a-f]{12}))?(?P<function>:[A-Za-z_]\w*(?![\w=]))?"
    r"(?P<options>(:.*)?)",
    re.ASCII,
)
NAMED = re.compile(r"(?P<file>[^:,+/\\]+\.py|<\w+>)@(?P<digest>[0-9a-f]{12})\b")

_noted: dict[str, set[str]] = {}
"""Digests of the users' files that this process has met, by the files' names."""
FOLDER = re.compile(r"[^:,+]*[/\\](?=[^/\\:,+]+\.py:)")
YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, order=True)
class Spelled:
    """A name that exists, with those options that differ from their defaults.

    Attributes:
        name: A key of the table, `file.py:function` without folders, or `<function>`.
        options: Sorted.
        digest: Of the user's file or function; "" for a name of the table.
    """

    name: str
    options: tuple[tuple[str, Value], ...] = ()
    digest: str = ""

    def __str__(self) -> str:
        """The one canonical spelling, which reads back to the same."""
        file, colon, function = self.name.partition(":")
        name = f"{file}@{self.digest}{colon}{function}" if self.digest else self.name
        return name + "".join(f":{key}={spell(value)}" for key, value in self.options)

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
        except (DataError, KeyboardInterrupt):
            raise
        except (Exception, SystemExit) as error:
            raise DataError(f"{self.name}: {own.say_error(error)}; mend the function") from error


def read(text: str, table: Table, what: str, *, common: Iterable[str] = ()) -> Spelled:
    """Read a spelling and check that name and options exist.

    Args:
        text: `name:key=value...` or `file.py:function:key=value...`, or as `str` gave it.
        table: The names that exist.
        what: What messages call it, e.g. "loss".
        common: Parameters of the functions that are no options.

    Raises:
        ValueError: With what exists.
        DataError: If the user's file cannot be read, or has no such function.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"{what} {text[:40]!r}...: {len(text):,} characters; a name is shorter")
    if is_own(text) and (match := OWN.fullmatch(text)):
        spelled = _read_own(match, what)
    elif (match := _match_table(text, table)) and match["name"] in table:
        spelled = Spelled(match["name"])
    elif match:
        way = "there are:" if table else "write"
        raise ValueError(f"unknown {what} {match['name']!r}; {way} {_known(table)}")
    else:
        raise ValueError(f"cannot read the {what} {text!r}; write {_known(table)}")
    function = spelled.function(table)
    given = _read_options(what, spelled.name, match["options"], function, common)
    return with_options(spelled, function, given, common)


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


def is_own(text: str) -> bool:
    """Whether a text is the spelling of a function of the user's own, and no path."""
    match = OWN.fullmatch(text) if len(text) <= MAX_LENGTH else None
    return match is not None and (match["function"] is not None or match["file"][0] == "<")


def is_canonical(text: str) -> bool:
    """Whether a text is the spelling of a user's own that `str` gave: reading it names no file."""
    return is_own(text) and (is_live(text) or bool(digests_in(text)))


def is_live(text: str) -> bool:
    """Whether a name stands for a function that only this process knows."""
    return "<" in text


def shown(text: str) -> str:
    """A spelling as people read it: without folders and digests.

    Where several files of one name were noted, with the beginning of each's digest.
    """
    return NAMED.sub(_tell_apart, FOLDER.sub("", text))


def note_files(*texts: str) -> None:
    """Take note of the users' files in some spellings, to tell those of one name apart."""
    for text in texts:
        for match in NAMED.finditer(text):
            _noted.setdefault(match["file"], set()).add(match["digest"])


def _tell_apart(match: re.Match[str]) -> str:
    is_one = len(_noted.get(match["file"], ())) <= 1
    return match["file"] + ("" if is_one else f"@{match['digest'][:4]}")


def digests_in(*texts: str) -> dict[str, str]:
    """Digests of the users' files in some canonical spellings, with the files' names."""
    found = (re.findall(r"([^:,+]+\.py)@([0-9a-f]{12}):", text) for text in texts)
    return {digest: name for pairs in found for name, digest in pairs}


def get_option(text: str, key: str) -> str | None:
    """The value that a spelling gives an option; None if it has its default."""
    found = re.search(rf":{re.escape(key)}=([^:]*)", text)
    return found[1] if found else None


def without_options(text: str) -> str:
    """The name alone, as people read it."""
    return re.sub(r":\w+=.*", "", shown(text))


def set_option(text: str, key: str, value: Value) -> str:
    """A spelling with one option set, in place of the value that it had."""
    return re.sub(rf":{re.escape(key)}=[^:]*", "", text) + f":{key}={spell(value)}"


def split_path(text: str) -> tuple[str, Path | None]:
    """`NAME` or `NAME:PATH` taken apart."""
    name, _, path = text.partition(":")
    return name, expand(path) if path else None


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


def _match_table(text: str, table: Table) -> re.Match[str] | None:
    match = TABLED.fullmatch(text)
    if match and any(key.startswith(f"{match['name']}:") for key in table):
        return TWO_WORDS.fullmatch(text) or match
    return match


def _known(table: Table) -> str:
    return ", ".join([*table, "or FILE.py:FUNCTION"]) if table else "FILE.py:FUNCTION"


def _read_options(
    what: str, name: str, text: str, function: Callable[..., Any], common: Iterable[str]
) -> dict[str, Value]:
    known = options_of(function, common)
    options: dict[str, Value] = {}
    for pair in text.split(":")[1:]:
        key, has_value, value = pair.partition("=")
        if key not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(f"{what} {name!r} has no parameter {key!r}; it has: {listed}")
        if not has_value:
            raise ValueError(f"{what} {name!r}: {key!r} has no value; write {key}=VALUE")
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


def _read_own(match: re.Match[str], what: str) -> Spelled:
    file, digest, function = match["file"], match["digest"], match["function"] or ""
    if file[0] != "<":
        path = expand(file)
        return Spelled(f"{path.name}{function}", (), digest or own.name_file(path))
    found = own.digest_of_live(file)
    if found is None or digest not in (None, found):
        raise DataError(
            f"{what} {file}: a function of a Python session that is over; put it into a file and "
            "name it FILE.py:FUNCTION"
        )
    return Spelled(file, (), found)
