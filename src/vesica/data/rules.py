"""Which values of a mask are foreground, as users spell it: `255`, `4,5`, `'>127'`, `'#ff0000'`."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica.data.pixels import Values
from vesica.data.sample import Mask
from vesica.data.stored import Stored, unpack
from vesica.errors import DataError

PLAIN, ALPHA = "plain", "alpha"

PLAIN_TOPS = (1, 255, 65535)
"""What masks that need no explanation hold beside 0, for the foreground."""

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
OPPOSITE = {"=": "!=", "!=": "=", ">": "<=", "<=": ">", "<": ">=", ">=": "<"}
NUMBER = r"-?\d{1,9}(?:\.\d{1,9})?"
THRESHOLD = re.compile(rf"(>=|<=|>|<)\s*({NUMBER})", re.ASCII)
ITEM = re.compile(rf"({NUMBER})|#([0-9a-fA-F]{{6}})", re.ASCII)
NAMED = re.compile(r"\s*(?:([^\W\d][\w -]{0,40}?)\s*=)?\s*(.*?)\s*")
MAX_ITEMS = 64


@dataclass(frozen=True, order=True)
class Item:
    """A number that masks hold, or a colour."""

    value: float
    is_colour: bool = False

    def __str__(self) -> str:
        if self.is_colour:
            return f"#{int(self.value):06x}"
        return str(int(self.value)) if self.value == int(self.value) else f"{self.value:g}"


@dataclass(frozen=True)
class Rule:
    """Which pixels of a mask are meant.

    Numbers are those that a file stores (of a palette: its indices), colours those that are shown.

    Attributes:
        test: "plain": more than 0, where a mask holds 0 with 1, 255 or white; "alpha": the alpha
            channel, where a file has one, else plain; "=": any of `items`; "!=": none of them;
            else a comparison with the one item.
        items: What pixels are compared with.
        others: What pixels may be instead; then the nearest counts, and none need be equal.
        name: Of the target, where the user gave one.
    """

    test: str
    items: tuple[Item, ...] = ()
    others: tuple[Item, ...] = ()
    name: str = ""

    @classmethod
    def parse(cls, text: str, option: str = "--foreground") -> "Rule":
        """Read a rule as a user spells it.

        Raises:
            DataError: If it is none.
        """
        if ";" in text:
            raise DataError(f"{option} {text[:40]}: a list of classes. Pass --classes, too.")
        matched = NAMED.fullmatch(text[:1000])
        name, rest = (matched[1] or "", matched[2]) if matched else ("", "")
        if rest in (PLAIN, ALPHA):
            return cls(rest, name=name)
        if threshold := THRESHOLD.fullmatch(rest):
            return cls(threshold[1], (Item(float(threshold[2])),), name=name)
        test = "!=" if rest.startswith("!") else "="
        lists = [_read_items(part) for part in rest.removeprefix("!").split("~")]
        items = [item for part in lists for item in part]
        is_whole = 1 <= len(lists) <= 2 and all(lists) and len(items) <= MAX_ITEMS
        if not is_whole or len({item.is_colour for item in items}) > 1:
            named = " A name is of letters, digits, spaces, - and _." if "=" in rest else ""
            raise DataError(
                f"{option} {text[:40]}: expected a value such as 255, values such as 4,5, a colour"
                f" such as '#ff0000', or a threshold such as '>127'.{named}"
            )
        return cls(test, lists[0], lists[1] if len(lists) > 1 else (), name)

    @property
    def has_colours(self) -> bool:
        """Whether it is about colours."""
        return any(item.is_colour for item in self.items)

    @property
    def spelled(self) -> str:
        """What `parse` reads as this rule."""
        text = PLAIN if self.test == PLAIN else str(self.unnamed)
        text = text.removeprefix("=").replace("!=", "!")
        return f"{self.name}={text}" if self.name else text

    @property
    def unnamed(self) -> "Rule":
        """The same without the target's name."""
        return replace(self, name="")

    @property
    def swapped(self) -> "Rule":
        """What is foreground where this is background; not of "alpha"."""
        if self.test == PLAIN:
            return Rule("=", (Item(0),))
        return replace(self, test=OPPOSITE[self.test], name="")

    def __str__(self) -> str:
        """What stands behind the target's name."""
        if self.test == PLAIN:
            return self.name
        if self.test == ALPHA:
            return f"{self.name}={ALPHA}"
        others = f"~{_join(self.others)}" if self.others else ""
        return f"{self.name}{self.test}{_join(self.items)}{others}"

    def target(self, default: str) -> str:
        """What the foreground is called, with what decides it."""
        return str(self) if self.name else f"{default}{self}"

    def select(self, where: str, stored: Stored, ignored: Mask | None = None) -> Mask:
        """The pixels of a mask that are meant.

        Args:
            where: What a message calls the mask.
            stored: The mask.
            ignored: Pixels that may hold anything.

        Raises:
            DataError: If the mask is not of a kind that the rule is about.
        """
        if self.test == ALPHA and stored.alpha is not None and np.ptp(stored.alpha):
            return np.asarray(stored.alpha > 127)
        if self.test in (PLAIN, ALPHA):
            return _select_plain(where, stored, ignored)
        if not self.has_colours:
            if stored.kind == "colour":
                raise DataError(
                    f"{where}: a coloured mask, and no number. Pass colours, such as '#ff0000'."
                )
            return _by_table(self.holds, stored.values)
        if stored.colours_of(stored.values[:1, :1]) is None:
            raise DataError(f"{where}: no colours, but {stored.values.dtype}. Pass numbers.")

        def holds(values: Values) -> NDArray[np.bool_]:
            colours = stored.colours_of(values)
            assert colours is not None
            return self.holds(colours)

        return _by_table(holds, stored.values)

    def holds(self, values: Values) -> NDArray[np.bool_]:
        """Whether numbers, or colours, are meant."""
        if self.test in OPERATORS:
            return np.asarray(OPERATORS[self.test](values, self.items[0].value), np.bool_)
        if self.others:
            found = _nearest(values, self.items + self.others) < len(self.items)
        else:
            kind = values.dtype if values.dtype.kind == "f" else np.float64
            found = np.isin(values, np.array([item.value for item in self.items], kind))
        return ~found if self.test == "!=" else found


def _by_table(holds: Callable[[Values], NDArray[np.bool_]], values: Values) -> Mask:
    """Each of 256 values is judged once: pixels are many."""
    if values.dtype == np.uint8:
        return holds(np.arange(256, dtype=np.uint8))[values]
    return holds(values)


def _nearest(values: Values, items: Sequence[Item]) -> NDArray[np.intp]:
    """Which item is nearest to each value; the first of several."""
    points: NDArray[Any]
    centres = np.array([item.value for item in items])
    if items[0].is_colour:
        points, anchors = unpack(values), unpack(centres)
    else:
        points, anchors = values[..., np.newaxis].astype(np.float64), centres[:, np.newaxis]
    distances = np.stack([((points - anchor) ** 2).sum(axis=-1) for anchor in anchors])
    return np.asarray(distances.argmin(axis=0))


def _select_plain(where: str, stored: Stored, ignored: Mask | None) -> Mask:
    found = np.unique(stored.values if ignored is None else stored.values[~ignored])
    if stored.kind == "colour" or not is_plain(found, stored.white):
        shown = ", ".join(f"{value:g}" for value in found[:8])
        raise DataError(f"{where}: values {{{shown}}}, expected 0 with 1 or with 255.")
    return np.asarray(stored.values > 0)


def is_plain(values: Values, white: int) -> bool:
    """Whether a mask's values need no explanation."""
    if len(values) > 2:
        return False
    found = set(values.tolist())
    return any(found <= {0, top} for top in (*PLAIN_TOPS, *([white] if white else [])))


def _read_items(text: str) -> tuple[Item, ...]:
    """Numbers and colours by comma; nothing where one of them is neither."""
    found = [ITEM.fullmatch(part.strip()) for part in text.split(",")]
    if not all(found):
        return ()
    return tuple(
        Item(float(m[1])) if m[1] is not None else Item(float(int(m[2], 16)), True)
        for m in found
        if m
    )


def _join(items: Sequence[Item]) -> str:
    return ",".join(map(str, items))
