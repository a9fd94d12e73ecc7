"""What the user says of masks, held against what all of them hold."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vesica.data.asking import IsBorder, ask, say_alone, say_held
from vesica.data.rules import ALPHA, PLAIN, PLAIN_TOPS, Item, Rule, is_plain
from vesica.data.survey import Look
from vesica.data.tally import OUTER, Tally
from vesica.errors import DataError
from vesica.words import say_first

MIN_LARGE = 100
"""Numbers from here on are grey levels and not classes."""


def check(
    looks: Sequence[Look], rule: Rule, is_border: IsBorder, *, is_class: bool = False
) -> tuple[Rule, list[str]]:
    """The user's rule as it fits the masks; it may be that of one class of several."""
    if rule.test in (PLAIN, ALPHA):
        return rule, _check_plain(looks, rule)
    if rule.has_colours and (deep := [look.name for look in looks if look.colours is None]):
        raise DataError(
            f"--foreground {rule.spelled}: {say_first(deep)} hold numbers and no colours. Pass"
            " numbers."
        )
    if not rule.has_colours:
        _refuse_colours(looks, rule, is_border)
    tally = Tally.of(looks, is_colour=rule.has_colours)
    rule, notes = _snap(looks, tally, rule)
    if not rule.holds(np.array(tally.values)).any():
        held = say_held(tally, tally.centres)
        others = f"{held} Name one of those, or leave out --foreground: each is a class then."
        alone = say_alone(tally, tally.centres)
        asked = others if is_class and not alone else ask(tally, tally.centres, is_border)
        raise DataError(f"--foreground {rule.spelled} is in no mask. {asked}")
    if rule.test == "=" and not rule.others:
        notes += [
            f"No mask holds {item}, which is among --foreground {rule.spelled}."
            for item in rule.items
            if not tally.masks[item.value]
        ]
    refuse_other_scale(looks, rule)
    return rule, notes


def _check_plain(looks: Sequence[Look], rule: Rule) -> list[str]:
    by_alpha = [look for look in looks if rule.test == ALPHA and look.has_alpha]
    if rule.test == ALPHA and not by_alpha:
        raise DataError("--foreground alpha: no mask has an alpha channel. Leave it out.")
    others = [look for look in looks if look not in by_alpha]
    odd = [look.name for look in others if not is_plain(look.values, look.white)]
    if odd:
        raise DataError(
            f"--foreground {rule.spelled}: {say_first(odd)} hold other values than 0 with 1 or with"
            " 255. Leave it out to see which."
        )
    if by_alpha and others:
        return [f"{len(by_alpha)} masks are read by their alpha channel, {len(others)} by value."]
    return []


def _snap(looks: Sequence[Look], tally: Tally, rule: Rule) -> tuple[Rule, list[str]]:
    """The user's rule by what the masks hold, where they hold shades of what the user names."""
    if rule.test not in ("=", "!=") or rule.others:
        return rule, []
    white, value = white_of(looks), rule.items[0].value
    ends = None if tally.is_colour or len(tally.values) < 3 else tally.ends(white)
    is_end = len(rule.items) == 1 and min(value, white - value) <= OUTER * white
    if ends is not None and is_end:
        test = ">" if (value > white / 2) == (rule.test == "=") else "<="
        snapped = replace(rule, test=test, items=(middle_of(ends, white),))
        return snapped, [f"Masks are shades: {rule.items[0]} is read as {snapped.unnamed}."]
    centres = tally.centres
    found = [tally.nearest(item.value, centres) for item in rule.items]
    is_exact = found == [item.value for item in rule.items] and not tally.is_rough
    if is_exact or None in found or not (tally.is_rough or tally.is_colour):
        return rule, []
    meant = [centre for centre in centres if (centre in found) == (rule.test == "=")]
    snapped = replace(tally.rule(meant, centres), name=rule.name)
    text = ", ".join(str(tally.item(centre)) for centre in centres)
    how = "each pixel counts as the nearest of" if tally.is_rough else "it is the nearest of"
    return snapped, [f"--foreground {rule.spelled} is read as {snapped.items[0]}: {how} {text}."]


def settle_ignored(looks: Sequence[Look], rule: Rule, notes: list[str]) -> Rule:
    """What the user leaves out, as it fits the masks."""
    if rule.test in (PLAIN, ALPHA):
        raise DataError(f"--ignore {rule.spelled}: expected a value or a colour. Pass one.")
    is_colour = rule.has_colours
    unfit = [
        look.name
        for look in looks
        if (look.colours is None if is_colour else look.kind == "colour")
    ]
    if unfit:
        other = "numbers, such as 255" if is_colour else "colours, such as '#e0e0c0'"
        raise DataError(
            f"--ignore {rule.spelled}: {say_first(unfit)} hold none such. Pass {other}."
        )
    tally = Tally.of(looks, is_colour=is_colour)
    if tally.is_rough:
        rule, _ = _snap(looks, tally, rule)
    if not rule.holds(np.array(tally.values)).any():
        notes.append(f"No mask holds --ignore {rule.spelled}.")
    return rule


def _refuse_colours(looks: Sequence[Look], rule: Rule, is_border: IsBorder) -> None:
    """Refuse numbers where masks have none, or where a number is another colour in each."""
    if coloured := [look.name for look in looks if look.kind == "colour"]:
        tally = Tally.of([look for look in looks if look.colours is not None], is_colour=True)
        asked = ask(tally, tally.centres, is_border)
        raise DataError(
            f"--foreground {rule.spelled}: {say_first(coloured)} hold colours and no numbers."
            f" {asked}"
        )
    for index, colours in mixed_indices(looks).items():
        if rule.holds(np.array([index])).any():
            text = " and ".join(f"#{c:06x} in {n} masks" for c, n in colours.most_common(2))
            raise DataError(
                f"--foreground {rule.spelled}: index {index} of the palettes is {text}. Pass a"
                " colour, such as"
                f" --foreground '#{colours.most_common(1)[0][0]:06x}'."
            )


def refuse_other_scale(looks: Sequence[Look], rule: Rule) -> None:
    """Refuse a rule that empties masks because these count from 0 to 1 and others to 255."""
    if rule.has_colours:
        return
    met, missed, held = [], [], Counter[float]()
    for look in looks:
        chosen = look.values[rule.holds(look.values)]
        met += chosen.tolist()
        top = look.values.max(initial=0)
        if not len(chosen) and top in PLAIN_TOPS and is_plain(look.values, look.white):
            missed.append(look)
            held[float(top)] += 1
    beside = {v for look in looks if rule.holds(look.values).any() for v in look.values.tolist()}
    low = min(met, default=0)
    other = [top for top in held if top not in beside and (low >= MIN_LARGE) != (top >= MIN_LARGE)]
    if not met or not other or low not in (1, *range(MIN_LARGE, 65536)):
        return
    wrong = [look.name for look in missed if float(look.values.max()) in other]
    kinds = " or ".join(f"{top:g}" for top in sorted(other))
    void = "" if low >= MIN_LARGE else f", or --ignore {max(other):g} if that is to be left out"
    both = ",".join(f"{top:g}" for top in sorted({*other, low}))
    plain = all(is_plain(look.values, look.white) for look in looks)
    what = "Leave --foreground out, which reads both" if plain else f"Pass --foreground {both}"
    raise DataError(
        f"{len(wrong)} of {len(looks)} masks hold {kinds} and nothing that is"
        f" {str(rule.unnamed).removeprefix('=')}, and would be empty: {say_first(wrong)}."
        f" {what}{void}."
    )


def white_of(looks: Sequence[Look]) -> float:
    """The end of the range that values are in."""
    known = max(look.white for look in looks)
    largest = max(float(look.values.max(initial=0)) for look in looks)
    if known:
        return known
    return next((float(top) for top in PLAIN_TOPS if largest <= top), largest)


def middle_of(ends: tuple[float, float], white: float) -> Item:
    """A threshold between two peaks: whole, where values are."""
    middle = sum(ends) / 2
    return Item(float(np.floor(middle)) if white > 1 else round(middle, 6))


def mixed_indices(looks: Sequence[Look]) -> dict[int, Counter[int]]:
    """Indices that palettes show in more than one colour, with the masks of each."""
    shown: dict[int, Counter[int]] = {}
    for look in looks:
        if look.kind == "palette" and look.colours is not None:
            for index, colour in zip(look.values.tolist(), look.colours.tolist(), strict=True):
                shown.setdefault(index, Counter())[colour] += 1
    return {index: colours for index, colours in shown.items() if len(colours) > 1}
