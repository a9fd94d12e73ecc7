"""One reading for all masks of a set: what is foreground, and what is left out.

What is certain is read and said; the rest is asked.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vesica.data.asking import IsBorder, ask
from vesica.data.given import (
    check,
    middle_of,
    mixed_indices,
    refuse_other_scale,
    settle_ignored,
    white_of,
)
from vesica.data.pixels import Values
from vesica.data.rules import ALPHA, PLAIN, Item, Rule, is_plain
from vesica.data.survey import Look
from vesica.data.tally import OUTER, Tally
from vesica.errors import DataError
from vesica.words import say_first

VOC_VOID, VOC_INDEX = 0xE0E0C0, 255
"""The colour and index of what Pascal VOC leaves out: a border, and what nobody could name."""

MAX_ODD = 0.5
"""Share of a mask's pixels that may lie between two heaps that the others have."""

NEAR_BLACK = 16
"""In each channel, where colours are shades."""


@dataclass(frozen=True)
class Choice:
    """What is foreground and what is left out, in all masks, and what a user should know of it."""

    foreground: Rule
    ignore: Rule | None = None
    notes: tuple[str, ...] = ()


def choose(
    looks: Sequence[Look], foreground: Rule | None, ignore: Rule | None, is_border: IsBorder
) -> Choice:
    """The reading that fits all masks.

    Args:
        looks: What each mask holds.
        foreground: What the user says is foreground.
        ignore: What the user says is to be left out.
        is_border: Asked of few values.

    Raises:
        DataError: If nothing is certain, or what the user says does not fit all masks.
    """
    looks, ignore, notes = prepare(looks, foreground, ignore)
    if foreground is None:
        rule, found = _choose(looks, is_border)
    else:
        rule, found = check(looks, foreground, is_border)
    return Choice(rule, ignore, (*notes, *found))


def prepare(
    looks: Sequence[Look], foreground: Rule | None, ignore: Rule | None
) -> tuple[list[Look], Rule | None, list[str]]:
    """What masks hold without what is left out, what that is, and notes on it.

    Raises:
        DataError: If what is left is in an alpha channel alone, or is no number.
    """
    notes: list[str] = []
    if ignore is None and _has_void_of_voc(looks):
        ignore = Rule("=", (Item(VOC_VOID, True),))
        notes.append(f"Pixels of {ignore.spelled} are left out, as Pascal VOC marks them.")
    if ignore is not None:
        is_asked = not notes
        ignore = settle_ignored(looks, ignore, notes)
        whole, looks = looks, [_without(look, ignore) for look in looks]
        if is_asked:
            _refuse_rest(whole, looks, ignore)
    if foreground is None or foreground.test != ALPHA:
        _refuse_alpha(looks)
    if broken := [look.name for look in looks if look.has_nan]:
        raise DataError(f"{say_first(broken)}: pixels that are no number (NaN). Save them as 0.")
    return [_without_silent_palette(look) for look in looks], ignore, notes


def _choose(looks: Sequence[Look], is_border: IsBorder) -> tuple[Rule, list[str]]:
    if all(is_plain(look.values, look.white) and _is_black_first(look) for look in looks):
        return Rule(PLAIN), _say_kinds(looks)
    if all(look.kind == "grey" for look in looks):
        return _choose_number(looks, is_border)
    if deep := [look.name for look in looks if look.colours is None]:
        raise DataError(
            f"{say_first(deep)}: numbers, where other masks hold colours. Save all masks as one"
            " kind."
        )
    tally = Tally.of(looks, is_colour=True)
    centres = tally.centres
    dark = [colour for colour in centres if _is_black(colour, tally.is_rough)]
    if len(centres) != 2 or len(dark) != 1:
        if all(look.kind == "palette" for look in looks) and not mixed_indices(looks):
            tally = Tally.of(looks, is_colour=False)
        raise DataError(ask(tally, tally.centres, is_border))
    rule = tally.rule([colour for colour in centres if colour not in dark], centres)
    black = tally.item(dark[0])
    return rule, [f"Masks are read by colour: {rule.items[0]} is foreground, {black} is not."]


def _choose_number(looks: Sequence[Look], is_border: IsBorder) -> tuple[Rule, list[str]]:
    tally = Tally.of(looks, is_colour=False)
    values = tally.values
    if len(values) == 2 and values[0] == 0 < values[1] and not tally.is_lossy:
        rule = Rule("=", (tally.item(values[1]),))
        return rule, [f"All masks hold 0 and {rule.items[0]}, which is foreground."]
    white = white_of(looks)
    ends = tally.ends(white)
    if ends is None:
        raise DataError(ask(tally, tally.centres, is_border))
    rule = Rule(">", (middle_of(ends, white),))
    refuse_other_scale(looks, rule)
    _refuse_odd(looks, white, rule)
    num_plain = sum(is_plain(look.values, look.white) for look in looks)
    which = f"{len(looks) - num_plain} of {len(looks)} masks" if num_plain else "Masks"
    between = tally.share(np.array(values)[_is_between(np.array(values), white)].tolist())
    rest = f" ({100 * between:.2g} % of pixels lie between)" if between else ""
    return rule, [
        f"{which} are shades in two heaps, at {ends[0]:g} and {ends[1]:g}{rest}: what is above"
        f" {rule.items[0]} is foreground."
    ]


def _refuse_odd(looks: Sequence[Look], white: float, rule: Rule) -> None:
    """Refuse masks that are no shades of two things, where the set as a whole is."""
    odd = [
        look.name
        for look in looks
        if look.counts[_is_between(look.values, white)].sum() > MAX_ODD * look.counts.sum()
    ]
    if odd:
        raise DataError(
            f"{len(odd)} of {len(looks)} masks hold mostly values that are neither background nor"
            f" object: {say_first(odd)}. Mend them, or pass --foreground '{rule.spelled}' to cut"
            " them like the others."
        )


def _is_between(values: Values, white: float) -> NDArray[np.bool_]:
    """Which values lie between two heaps at the ends of a range."""
    return np.asarray((values > OUTER * white) & (values < (1 - OUTER) * white))


def _without(look: Look, ignored: Rule) -> Look:
    """A look at what is left of a mask."""
    values = look.colours if ignored.has_colours else look.values
    assert values is not None
    kept = ~ignored.holds(values)
    return replace(
        look,
        values=look.values[kept],
        counts=look.counts[kept],
        colours=None if look.colours is None else look.colours[kept],
    )


def _refuse_rest(whole: Sequence[Look], looks: Sequence[Look], ignored: Rule) -> None:
    """Refuse what the user leaves out where it is the object, or all that lies beside it."""
    left = {value for look in looks for value in look.values.tolist()}
    if len(left) < 2 and left < {value for look in whole for value in look.values.tolist()}:
        rest = f"{left.pop():g} alone" if left else "nothing"
        raise DataError(
            f"--ignore {ignored.spelled} leaves {rest} in all {len(looks)} masks, which tells no "
            "object from its background. Leave out --ignore, or pass another value."
        )


def _without_silent_palette(look: Look) -> Look:
    """A palette that shows different indices alike says nothing: what is left are numbers."""
    if look.kind != "palette" or look.colours is None:
        return look
    is_silent = len(np.unique(look.colours)) < len(look.values)
    return replace(look, kind="grey", colours=None) if is_silent else look


def _has_void_of_voc(looks: Sequence[Look]) -> bool:
    """Whether palettes mark a void as VOC does, in every mask that has it."""
    found = [
        look.colours[look.values == VOC_INDEX].tolist()
        for look in looks
        if look.kind == "palette" and look.colours is not None
    ]
    return any(found) and all(colours in ([], [VOC_VOID]) for colours in found)


def _refuse_alpha(looks: Sequence[Look]) -> None:
    hidden = [look.name for look in looks if look.has_alpha and len(look.values) == 1]
    if hidden:
        raise DataError(
            f"{len(hidden)} of {len(looks)} masks have one value throughout and an object in their"
            f" alpha channel alone: {say_first(hidden)}. Pass --foreground alpha to read that"
            " channel where a mask has one, or save them without it."
        )


def _say_kinds(looks: Sequence[Look]) -> list[str]:
    """That some masks count to 1 and some to 255."""
    kinds = Counter(float(look.values.max()) for look in looks if look.values.any())
    if len(kinds) < 2:
        return []
    text = ", ".join(f"{count} with 0 and {top:g}" for top, count in sorted(kinds.items()))
    return [f"Masks of {len(kinds)} kinds in one set: {text}; all are read."]


def _is_black_first(look: Look) -> bool:
    """Whether what is 0 is black, and nothing else is."""
    if look.kind != "palette" or look.colours is None:
        return look.kind == "grey"
    return bool(((look.values == 0) == (look.colours == 0)).all())


def _is_black(colour: float, is_rough: bool) -> bool:
    item = int(colour)
    return max(item >> 16, item >> 8 & 255, item & 255) <= (NEAR_BLACK if is_rough else 0)
