"""The mistakes that a user can mend; the command line prints them as one sentence."""

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys: control characters but tabs and ends of lines, and turns of direction."""


class DataError(ValueError):
    """Something in a user's files is wrong; the message says what, where and what to do."""


class Stopped(KeyboardInterrupt):
    """The user asked to stop; what was computed so far is on the disk."""


def join_lines(problems: list[str], limit: int = 20) -> str:
    """Put many problems into one message; the first `limit` are spelled out."""
    shown = problems[:limit]
    if len(problems) > limit:
        shown.append(f"... and {len(problems) - limit} more")
    return "\n".join(shown)


def say_refused(problems: Iterable[Any], call: Callable[[str, Any], str]) -> str:
    """What pydantic refuses, in one sentence.

    Args:
        problems: Its `errors()`.
        call: A field and its value, as the user wrote them. What is about several fields, or about
            none that a user wrote, stands without.
    """
    texts = []
    for problem in problems:
        if problem["type"] == "missing":
            texts.append(f"{problem['loc'][-1]} is missing")
            continue
        is_unknown = problem["type"] == "extra_forbidden"
        reason = "no such field" if is_unknown else problem["msg"].removeprefix("Value error, ")
        is_one_field = problem["loc"] and not isinstance(problem["input"], dict)
        named = f"{call(str(problem['loc'][-1]), problem['input'])}: " if is_one_field else ""
        texts.append(named + reason)
    return "; ".join(texts)


def printable(text: str) -> str:
    """A text without what a terminal would obey; names in files may hold anything."""
    return UNPRINTABLE.sub("", text)


def escaped(name: str) -> str:
    """A file's name with what cannot be printed, such as bytes that are no UTF-8, in escapes."""
    if name.isprintable():
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
