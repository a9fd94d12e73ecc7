"""One reading for all masks of a set: what is foreground, and what is left out.

What is certain is read and said; the rest is asked.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vesica.data.asking import IsBorder, ask, names
from vesica.data.rules import ALPHA, PLAIN, PLAIN_TOPS, Item, Rule, is_plain
from vesica.data.survey import Look
from vesica.data.tally import OUTER, Tally
from vesica.errors import DataError

VOC_VOID, VOC_INDEX = 0xE0E0C0, 255
"""The colour and index of what Pascal VOC leaves out: a border, and what nobody could name."""

NEAR_BLACK = 16
"""In each channel, where colours are shades."""

MIN_LARGE = 100
"""Numbers from here on are grey levels and not classes."""


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
    notes: list[str] = []
    if ignore is None and _has_void_of_voc(looks):
        ignore = Rule("=", (Item(VOC_VOID, True),))
        notes.append(f"Pixels of {ignore.spelled} are left out, as Pascal VOC marks them.")
    if ignore is not None:
        ignore = _settle_ignored(looks, ignore, notes)
        looks = [_without(look, ignore) for look in looks]
    if foreground is None or foreground.test != ALPHA:
        _refuse_alpha(looks)
    if broken := [look.name for look in looks if look.has_nan]:
        raise DataError(f"{names(broken)}: pixels that are no number (NaN). Save them as 0.")
    looks = [_without_silent_palette(look) for look in looks]
    if foreground is None:
        rule, found = _choose(looks, is_border)
    else:
        rule, found = _check(looks, foreground, is_border)
    return Choice(rule, ignore, (*notes, *found))


def _choose(looks: Sequence[Look], is_border: IsBorder) -> tuple[Rule, list[str]]:
    if all(is_plain(look.values, look.white) and _is_black_first(look) for look in looks):
        return Rule(PLAIN), _say_kinds(looks)
    if all(look.kind == "grey" for look in looks):
        return _choose_number(looks, is_border)
    if deep := [look.name for look in looks if look.colours is None]:
        raise DataError(
            f"{names(deep)}: numbers, where other masks hold colours. Save all masks as one kind."
        )
    tally = Tally.of(looks, is_colour=True)
    heaps = _heaps(tally)
    dark = [heap for heap in heaps if _is_black(heap, tally.is_rough)]
    if len(heaps) != 2 or len(dark) != 1:
        if all(look.kind == "palette" for look in looks) and not _mixed_indices(looks):
            tally = Tally.of(looks, is_colour=False)
            heaps = tally.values
        raise DataError(ask(tally, heaps, is_border))
    rule = _rule_of(tally, [heap for heap in heaps if heap not in dark], heaps)
    black = tally.item(dark[0])
    return rule, [f"Masks are read by colour: {rule.items[0]} is foreground, {black} is not."]


def _choose_number(looks: Sequence[Look], is_border: IsBorder) -> tuple[Rule, list[str]]:
    tally = Tally.of(looks, is_colour=False)
    values = tally.values
    if len(values) == 2 and values[0] == 0 < values[1] and not tally.is_lossy:
        rule = Rule("=", (tally.item(values[1]),))
        return rule, [f"All masks hold 0 and {rule.items[0]}, which is foreground."]
    white = _white(looks)
    ends = tally.ends(white)
    if ends is None:
        raise DataError(ask(tally, _heaps(tally), is_border))
    rule = Rule(">", (_middle(ends, white),))
    _refuse_other_scale(looks, rule)
    between = tally.share(v for v in values if OUTER * white < v < (1 - OUTER) * white)
    rest = f" ({100 * between:.2g} % of pixels lie between)" if between else ""
    return rule, [
        f"Masks are shades in two heaps, at {ends[0]:g} and {ends[1]:g}{rest}: what is above"
        f" {rule.items[0]} is foreground."
    ]


def _check(looks: Sequence[Look], rule: Rule, is_border: IsBorder) -> tuple[Rule, list[str]]:
    """The user's rule as it fits the masks."""
    if rule.test in (PLAIN, ALPHA):
        return rule, _check_plain(looks, rule)
    if rule.has_colours and (deep := [look.name for look in looks if look.colours is None]):
        raise DataError(
            f"--foreground {rule.spelled}: {names(deep)} hold numbers and no colours. Pass numbers."
        )
    if not rule.has_colours:
        _refuse_colours(looks, rule, is_border)
    tally = Tally.of(looks, is_colour=rule.has_colours)
    rule, notes = _snap(looks, tally, rule)
    if not rule.holds(np.array(tally.values)).any():
        asked = ask(tally, _heaps(tally), is_border)
        raise DataError(f"--foreground {rule.spelled} is in no mask. {asked}")
    if rule.test == "=" and not rule.others:
        notes += [
            f"No mask holds {item}, which is among --foreground {rule.spelled}."
            for item in rule.items
            if not tally.masks[item.value]
        ]
    _refuse_other_scale(looks, rule)
    return rule, notes


def _check_plain(looks: Sequence[Look], rule: Rule) -> list[str]:
    by_alpha = [look for look in looks if rule.test == ALPHA and look.has_alpha]
    if rule.test == ALPHA and not by_alpha:
        raise DataError("--foreground alpha: no mask has an alpha channel. Leave it out.")
    others = [look for look in looks if look not in by_alpha]
    odd = [look.name for look in others if not is_plain(look.values, look.white)]
    if odd:
        raise DataError(
            f"--foreground {rule.spelled}: {names(odd)} hold other values than 0 with 1 or with"
            " 255. Leave it out to see which."
        )
    if by_alpha and others:
        return [f"{len(by_alpha)} masks are read by their alpha channel, {len(others)} by value."]
    return []


def _snap(looks: Sequence[Look], tally: Tally, rule: Rule) -> tuple[Rule, list[str]]:
    """The user's rule by what the masks hold, where they hold shades of what the user names."""
    if rule.test not in ("=", "!=") or rule.others:
        return rule, []
    white, value = _white(looks), rule.items[0].value
    ends = None if tally.is_colour or len(tally.values) < 3 else tally.ends(white)
    is_end = len(rule.items) == 1 and min(value, white - value) <= OUTER * white
    if ends is not None and is_end:
        test = ">" if (value > white / 2) == (rule.test == "=") else "<="
        snapped = replace(rule, test=test, items=(_middle(ends, white),))
        return snapped, [f"Masks are shades: {rule.items[0]} is read as {snapped.unnamed}."]
    heaps = _heaps(tally)
    found = [tally.nearest(item.value, heaps) for item in rule.items]
    is_exact = found == [item.value for item in rule.items] and not tally.is_rough
    if is_exact or None in found or not (tally.is_rough or tally.is_colour):
        return rule, []
    meant = [heap for heap in heaps if (heap in found) == (rule.test == "=")]
    snapped = replace(_rule_of(tally, meant, heaps), name=rule.name)
    text = ", ".join(str(tally.item(heap)) for heap in heaps)
    how = "each pixel counts as the nearest of" if tally.is_rough else "it is the nearest of"
    return snapped, [f"--foreground {rule.spelled} is read as {snapped.items[0]}: {how} {text}."]


def _settle_ignored(looks: Sequence[Look], rule: Rule, notes: list[str]) -> Rule:
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
        raise DataError(f"--ignore {rule.spelled}: {names(unfit)} hold none such. Pass {other}.")
    tally = Tally.of(looks, is_colour=is_colour)
    if tally.is_rough:
        rule, _ = _snap(looks, tally, rule)
    if not rule.holds(np.array(tally.values)).any():
        notes.append(f"No mask holds --ignore {rule.spelled}.")
    return rule


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
            f" alpha channel alone: {names(hidden)}. Pass --foreground alpha to read that channel"
            " where a mask has one, or save them without it."
        )


def _refuse_colours(looks: Sequence[Look], rule: Rule, is_border: IsBorder) -> None:
    """Refuse numbers where masks have none, or where a number is another colour in each."""
    if coloured := [look.name for look in looks if look.kind == "colour"]:
        tally = Tally.of([look for look in looks if look.colours is not None], is_colour=True)
        asked = ask(tally, _heaps(tally), is_border)
        raise DataError(
            f"--foreground {rule.spelled}: {names(coloured)} hold colours and no numbers. {asked}"
        )
    for index, colours in _mixed_indices(looks).items():
        if rule.holds(np.array([index])).any():
            text = " and ".join(f"#{c:06x} in {n} masks" for c, n in colours.most_common(2))
            raise DataError(
                f"--foreground {rule.spelled}: index {index} of the palettes is {text}. Pass a"
                " colour, such as"
                f" --foreground '#{colours.most_common(1)[0][0]:06x}'."
            )


def _mixed_indices(looks: Sequence[Look]) -> dict[int, Counter[int]]:
    """Indices that palettes show in more than one colour, with the masks of each."""
    shown: dict[int, Counter[int]] = {}
    for look in looks:
        if look.kind == "palette" and look.colours is not None:
            for index, colour in zip(look.values.tolist(), look.colours.tolist(), strict=True):
                shown.setdefault(index, Counter())[colour] += 1
    return {index: colours for index, colours in shown.items() if len(colours) > 1}


def _refuse_other_scale(looks: Sequence[Look], rule: Rule) -> None:
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
    both = ",".join(f"{top:g}" for top in sorted({*other, low}))
    plain = all(is_plain(look.values, look.white) for look in looks)
    what = "Leave --foreground out, which reads both" if plain else f"Pass --foreground {both}"
    raise DataError(
        f"{len(wrong)} of {len(looks)} masks hold {kinds} and nothing that is"
        f" {str(rule.unnamed).removeprefix('=')}, and would be empty: {names(wrong)}. {what}."
    )


def _say_kinds(looks: Sequence[Look]) -> list[str]:
    """That some masks count to 1 and some to 255."""
    kinds = Counter(float(look.values.max()) for look in looks if look.values.any())
    if len(kinds) < 2:
        return []
    text = ", ".join(f"{count} with 0 and {top:g}" for top, count in sorted(kinds.items()))
    return [f"Masks of {len(kinds)} kinds in one set: {text}; all are read."]


def _rule_of(tally: Tally, meant: Sequence[float], heaps: Sequence[float]) -> Rule:
    others = [heap for heap in heaps if heap not in meant] if tally.is_rough else []
    return Rule("=", tuple(map(tally.item, meant)), tuple(map(tally.item, others)))


def _heaps(tally: Tally) -> list[float]:
    return tally.heaps() if tally.is_rough else tally.values


def _is_black_first(look: Look) -> bool:
    """Whether what is 0 is black, and nothing else is."""
    if look.kind != "palette" or look.colours is None:
        return look.kind == "grey"
    return bool(((look.values == 0) == (look.colours == 0)).all())


def _is_black(colour: float, is_rough: bool) -> bool:
    item = int(colour)
    return max(item >> 16, item >> 8 & 255, item & 255) <= (NEAR_BLACK if is_rough else 0)


def _white(looks: Sequence[Look]) -> float:
    """The end of the range that values are in."""
    known = max(look.white for look in looks)
    largest = max(float(look.values.max(initial=0)) for look in looks)
    if known:
        return known
    return next((float(top) for top in PLAIN_TOPS if largest <= top), largest)


def _middle(ends: tuple[float, float], white: float) -> Item:
    """A threshold between two peaks: whole, where values are."""
    middle = sum(ends) / 2
    return Item(float(np.floor(middle)) if white > 1 else round(middle, 6))
