"""One reading for masks of several classes: which values are which class, in all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vesica.data.asking import MAX_CLASSES, IsBorder
from vesica.data.given import check, mixed_indices
from vesica.data.rules import ALPHA, PLAIN, Item, Rule
from vesica.data.survey import Look
from vesica.data.tally import Tally
from vesica.data.values import VOC_INDEX, prepare
from vesica.errors import DataError

BETWEEN = ";"
REST = "rest"
"""The class of what a user's list names no class for."""


@dataclass(frozen=True)
class ClassChoice:
    """The rule of each class, what is left out, and what a user should know of it."""

    rules: tuple[Rule, ...]
    ignore: Rule | None
    notes: tuple[str, ...]


def choose_classes(
    looks: Sequence[Look], given: Sequence[Rule], ignore: Rule | None, is_border: IsBorder
) -> ClassChoice:
    """Every value or colour a class, or those that the user lists and the rest.

    Args:
        looks: What each mask holds.
        given: The user's classes; none: all that masks hold.
        ignore: What the user says is to be left out.
        is_border: Asked of few values.

    Raises:
        DataError: If there are fewer than two or too many, or a pixel would be of several.
    """
    looks, ignore, notes = prepare(looks, None, ignore)
    if given:
        _check_names(given)
        rules = []
        for rule in given:
            found, more = check(looks, rule, is_border, is_class=True)
            rules.append(found)
            notes += more
        rules += _rest(looks, rules)
    else:
        rules = _all(looks)
        notes = [*notes, *_doubts(looks, rules)]
    if len(rules) == 1:
        raise DataError(
            f"--classes: all masks hold {name_of(rules[0])} alone, which is one class. Check the "
            "masks."
        )
    if len(rules) > MAX_CLASSES:
        raise DataError(
            f"--classes: the masks hold {len(rules)} values; at most {MAX_CLASSES} are classes. "
            "List those that are meant, such as --foreground 'road=3;car=8' (the rest is one "
            "more), or leave out --classes."
        )
    held = ", ".join(map(name_of, rules))
    return ClassChoice(tuple(rules), ignore, (*notes, f"{len(rules)} classes: {held}."))


def parse_classes(text: str) -> list[Rule]:
    """Read a user's list of classes, such as `road=3;car=8`.

    Raises:
        DataError: If a part of it is no rule, or no class.
    """
    rules = [Rule.parse(part) for part in text.split(BETWEEN)]
    if odd := [rule.spelled for rule in rules if rule.test in (PLAIN, ALPHA)]:
        raise DataError(
            f"--foreground {odd[0]}: no class. With --classes, pass values or colours by "
            f"'{BETWEEN}', such as 'road=3;car=8'."
        )
    return rules


def spell_classes(rules: Sequence[Rule]) -> str:
    """What `parse_classes` reads as these."""
    return BETWEEN.join(rule.spelled for rule in rules)


def name_of(rule: Rule) -> str:
    """What a class is called."""
    if rule.name or rule.test in ("=", "!="):
        return rule.name or "not " * (rule.test == "!=") + ", ".join(map(str, rule.items))
    return str(rule)


def _check_names(given: Sequence[Rule]) -> None:
    names = [rule.name for rule in given if rule.name] + [REST]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(
            f"--foreground: two classes are called {twice[0]!r} ({REST!r} is what is of none of "
            "them). Give each a name of its own; several values of one are 'road=3,5'."
        )


def _doubts(looks: Sequence[Look], rules: Sequence[Rule]) -> list[str]:
    """What looks like a class and may be none."""
    notes = []
    if any(look.is_lossy for look in looks):
        notes.append(
            "The masks are lossy (JPEG): some of these may be edges between others. List what is "
            "meant, such as --foreground 'road=#ff0000;car=#0000ff'."
        )
    numbers = sorted(item.value for rule in rules for item in rule.items if not item.is_colour)
    if len(numbers) > 1 and numbers[-1] == VOC_INDEX and numbers[-2] < VOC_INDEX // 2:
        notes.append(
            f"{VOC_INDEX} is taken for a class; if it is a void, pass --ignore {VOC_INDEX}."
        )
    return notes


def _all(looks: Sequence[Look]) -> list[Rule]:
    is_numbered = all(look.kind != "colour" for look in looks) and not mixed_indices(looks)
    if not is_numbered and (deep := [look.name for look in looks if look.colours is None]):
        raise DataError(
            f"{deep[0]}: numbers, where other masks hold colours. Save all masks as one kind."
        )
    tally = Tally.of(looks, is_colour=not is_numbered)
    centres = sorted(tally.centres)
    return [tally.rule([centre], centres) for centre in centres]


def _rest(looks: Sequence[Look], rules: Sequence[Rule]) -> list[Rule]:
    """One more class, where some values are of none of them.

    Raises:
        DataError: If a value is of two.
    """
    has_colours = any(rule.has_colours for rule in rules)
    values = Tally.of(looks, is_colour=has_colours).values
    held = np.array([rule.holds(np.array(values)) for rule in rules])
    if (twice := np.flatnonzero(held.sum(axis=0) > 1)).size:
        value = Item(values[twice[0]], has_colours)
        both = " and ".join(
            name_of(rules[row]) for row in np.flatnonzero(held[:, twice[0]]).tolist()
        )
        raise DataError(f"--classes: {value} is of {both}. Name it once.")
    if held.any(axis=0).all():
        return []
    items = tuple(item for rule in rules for item in rule.items)
    if any(rule.test != "=" for rule in rules):
        missing = Item(values[int(np.argmin(held.any(axis=0)))], has_colours)
        raise DataError(
            f"--classes: {missing} is of none of them. Name a class for it: only a list of values "
            f"leaves a {REST!r}."
        )
    others = {item for rule in rules for item in rule.others} - set(items)
    if others:
        return [Rule("=", tuple(sorted(others)), items, REST)]
    return [Rule("!=", items, name=REST)]
