"""What to ask of a user whose masks leave it open: what they hold, and what to pass for which.

Whatever is proposed is right if it is what the user means; nothing is proposed as the object that
looks like a border.
"""

from collections.abc import Callable, Sequence

from vesica.data.rules import Item
from vesica.data.tally import Tally
from vesica.words import count_of

CHOICES_SHOWN = 3
MAX_CLASSES = 40
"""Different numbers; where there are more, each object may have its own."""

MAX_THINGS = 5
"""Different values; where there are more, none is taken for a border."""

IsBorder = Callable[[Item], bool]
"""Whether the pixels of a value are but a line between two others."""


def ask(tally: Tally, heaps: Sequence[float], is_border: IsBorder) -> str:
    """What masks hold, and what to pass.

    Args:
        tally: All that they hold.
        heaps: What of it is not a shade of something else.
        is_border: Asked of few values.
    """
    if not len(heaps):
        return (
            "The masks hold so many colours that none stands out, as photographs do: look whether "
            "they are masks, and not the images themselves."
        )
    if alone := say_alone(tally, heaps):
        return alone
    held = say_held(tally, heaps)
    if not tally.is_colour and not 1 < len(heaps) <= MAX_CLASSES:
        return f"{held} {_ask_for_threshold(tally)}"
    voids = [heap for heap in heaps if _is_void(tally, heap, heaps, is_border)]
    if not tally.is_colour and len(voids) == 1 and set(heaps) - set(voids) == {0, 1}:
        return f"{held} {_ask_for_void(tally.item(voids[0]))}"
    if set(heaps) <= {0, *voids}:
        voids = []
    objects = [heap for heap in sorted(heaps) if heap not in (0, *voids)]
    ignore = "".join(f" --ignore {quote(tally.item(void))}" for void in voids[:1])
    is_all = len(objects) + len(voids) == len(heaps)
    together = [] if is_all and len(objects) == 2 else objects[:2]
    choices = _choices(tally, objects, together, ignore)
    sentences = [held, f"Which is the object? {choices}"]
    if voids:
        void = tally.item(voids[0])
        sentences.append(f"{void} looks like a border or a void, which --ignore leaves out.")
    if tally.labels:
        sentences.append("Numbers are the indices of the palette.")
    return " ".join(sentences)


def say_alone(tally: Tally, heaps: Sequence[float]) -> str:
    """That masks hold one thing and its shades at most; "" where they hold more."""
    if len(heaps) != 1 or any(tally.nearest(value, heaps) is None for value in tally.values):
        return ""
    masks = f"All {tally.num_masks} masks hold" if tally.num_masks > 1 else "The only mask holds"
    return (
        f"{masks} {tally.item(heaps[0])} alone, which tells no object from its background. Export "
        "them again, or pass another folder."
    )


def say_held(tally: Tally, heaps: Sequence[float]) -> str:
    """What masks hold."""
    kind = "colour" if tally.is_colour else "value"
    return (
        f"The masks hold {count_of(len(heaps), kind)} (share of pixels, and in how many of"
        f" {count_of(tally.num_masks, 'mask')}): {tally.say(heaps)}."
    )


def quote(item: Item) -> str:
    """An item as it is typed: a shell takes # for a comment."""
    return f"'{item}'" if item.is_colour else str(item)


def _choices(tally: Tally, objects: Sequence[float], together: Sequence[float], ignore: str) -> str:
    items = [tally.item(heap) for heap in objects]
    singles = [f"--foreground {quote(item)}{ignore}" for item in items[:CHOICES_SHOWN]]
    if len(items) > CHOICES_SHOWN:
        singles.append("another")
    text = f"Pass {' or '.join([', '.join(singles[:-1]), singles[-1]] if singles[1:] else singles)}"
    if len(together) < 2:
        return f"{text}."
    both = ",".join(str(tally.item(heap)) for heap in together)
    both = f"'{both}'" if tally.is_colour else both
    return f"{text}; for several together --foreground {both}{ignore}."


def _ask_for_void(void: Item) -> str:
    return (
        f"{void} beside 0 and 1 looks like pixels to be left out: pass --ignore {void}; or"
        f" --foreground {void} if it is the object, or --foreground 1 if it is background."
    )


def _ask_for_threshold(tally: Tally) -> str:
    values = tally.values
    is_share = values[-1] <= 1
    middle = "0.5" if is_share else str(int((values[0] + values[-1]) / 2))
    whole = all(value == int(value) for value in values)
    each = " If each object has a number of its own, pass --foreground '>0'." if whole else ""
    return (
        "They form no two clear heaps. If they are shades from background to object, pass a"
        f" threshold, such as --foreground '>{middle}'.{each}"
    )


def _is_void(tally: Tally, heap: float, heaps: Sequence[float], is_border: IsBorder) -> bool:
    """Whether a value looks like none that anybody wants to find."""
    if heap == 0 or len(heaps) < 3:
        return False
    others = [other for other in heaps if other != heap]
    is_far = not tally.is_colour and heap in (255, 65535) and max(others) <= MAX_CLASSES
    return is_far or (len(heaps) <= MAX_THINGS and is_border(tally.item(heap)))
