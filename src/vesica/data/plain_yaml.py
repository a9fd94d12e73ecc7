"""The little of YAML that a list of names and paths needs; what is beyond it is refused.

Read are lines `key: value` at the margin, with values that are words, numbers, quoted text,
`[a, b]`, `{0: a}`, also over several lines, or lines `- a` or `0: a` below. Keys that nobody asks
for may hold anything.
"""

import re
from collections.abc import Iterator

Value = str | list[str] | dict[str, str]
"""Text as written: nothing is taken for a number or a date."""

KEY = re.compile(r"""(?P<key>[^\s:#'"\[\]{},&*!|>%@`-][^:#]*?)\s*:(?:\s+(?P<rest>.*))?""")
QUOTED = re.compile(r""""(?P<double>[^"\\]*)"|'(?P<single>(?:[^']|'')*)'""")
BEYOND = tuple("&*!|>%@`[]{},?")
"""What begins something else than plain text."""


def read_plain_yaml(text: str, keys: frozenset[str]) -> dict[str, Value]:
    """The values of some keys at the margin.

    Args:
        text: Of the whole file.
        keys: Which ones; others are passed over.

    Raises:
        ValueError: If one of these is written in a way that is not read here, with its line.
    """
    found: dict[str, Value] = {}
    for key, number, rest, below in _blocks(text):
        if key not in keys:
            continue
        if key in found:
            raise ValueError(f"line {number}: {key} is there twice")
        if rest[:1] in ("[", "{"):
            rest, below = " ".join([rest, *map(str.strip, below)]), []
        try:
            found[key] = _inline(rest) if rest else _block(below)
        except ValueError as error:
            raise ValueError(f"line {number}: {key}: {error}") from None
        if rest and below:
            raise ValueError(f"line {number}: {key} goes on below its line")
    return found


def _blocks(text: str) -> Iterator[tuple[str, int, str, list[str]]]:
    """Each key at the margin with its line's number, the rest of the line, and the lines below."""
    key, start, rest, below = "", 0, "", list[str]()
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        bare = _without_comment(line).rstrip()
        is_margin = bare[:1] not in ("", " ", "\t", "-")
        match = KEY.fullmatch(bare) if is_margin and bare != "..." else None
        if match:
            if key:
                yield key, start, rest, below
            key, start, rest, below = match["key"], number, match["rest"] or "", []
        elif bare and bare != "---":
            below.append(bare)
    if key:
        yield key, start, rest, below


def _without_comment(line: str) -> str:
    """The line up to a "#" that follows a space and stands in no quotes."""
    pieces = re.match(r"""(?:"[^"]*"|(?<![\w])'[^']*'|(?!(?:^|(?<=\s))\#).)*""", line)
    return pieces[0] if pieces else line


def _block(lines: list[str]) -> Value:
    """A list or a mapping in lines of their own."""
    stripped = [line.strip() for line in lines]
    indents = {len(line) - len(line.lstrip()) for line in lines}
    if len(indents) > 1 or any("\t" in line[: len(line) - len(line.lstrip())] for line in lines):
        raise ValueError("its lines are indented in several ways")
    if all(line.startswith("- ") for line in stripped):
        return [_scalar(line[2:].strip()) for line in stripped]
    return _mapping(stripped)


def _inline(text: str) -> Value:
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(item) for item in _items(text[1:-1])]
    if text.startswith("{") and text.endswith("}"):
        return _mapping(_items(text[1:-1]))
    return _scalar(text)


def _items(text: str) -> list[str]:
    """What stands between commas; quotes may hold some."""
    items = re.findall(r"""\s*("[^"\\]*"|'(?:[^']|'')*'|(?:[^,'"]|(?<=\w)')+)\s*(?:,|$)""", text)
    if re.sub(r"\s", "", ",".join(items)) != re.sub(r"\s", "", text).removesuffix(","):
        raise ValueError("is written in a way that is not read here")
    return [item.strip() for item in items]


def _mapping(items: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items:
        match = re.fullmatch(r"""(?P<key>"[^"\\]*"|'[^']*'|[^\s:]+)\s*:\s+(?P<value>.+)""", item)
        if match is None:
            raise ValueError(f"{item[:40]!r} is no name with a value")
        key = _scalar(match["key"])
        if key in found:
            raise ValueError(f"{key} is there twice")
        found[key] = _scalar(match["value"])
    return found


def _scalar(text: str) -> str:
    quoted = QUOTED.fullmatch(text)
    if quoted:
        single = quoted["single"]
        return quoted["double"] if single is None else single.replace("''", "'")
    if not text or text.startswith((*BEYOND, '"', "'")) or ": " in text or text.endswith(":"):
        raise ValueError(f"{text[:40]!r} is written in a way that is not read here")
    return text
