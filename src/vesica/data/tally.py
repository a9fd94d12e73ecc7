"""What the masks of a set hold together: its values or colours, and the heaps that they form."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica.data.rules import Item, Rule
from vesica.data.stored import unpack
from vesica.data.survey import MAX_KEPT, Look

MAX_EXACT = 32
"""Colours; where there are more, they are shades."""

HEAP_COLOURS, HEAP_NUMBERS = 96, 28
"""How far a shade lies at most from the heap that it belongs to, of 255 in each channel."""

MIN_HEAP, MIN_PEAK = 0.01, 0.1
"""A heap has so much of the largest beside the first, and so much of it in one value: what is less,
or flatter, are shades between two others."""

MIN_HELD = 0.5
"""Of all pixels, that are in heaps: a photograph may have a small one by chance."""

OUTER = 0.125
"""Share of the range, at each end, that a heap is in."""

MAX_BETWEEN = 0.15
MIN_SHADES = 24
"""Different values between two heaps; fewer are classes."""

WINDOW, MAX_PEAK, MIN_CLASS = 9, 0.25, 0.01
"""So many of 256 neighbouring values have at most so much of what lies between two heaps, unless it
is a class; what has less of the higher heap is none."""

MAX_SHOWN = 8


@dataclass(frozen=True)
class Tally:
    """Values of all masks, or the colours that are shown of them.

    Attributes:
        pixels: Of each value.
        masks: That hold it.
        num_masks: All of them.
        is_colour: Whether they are colours.
        is_lossy: Whether any mask is of a format that changes values.
        labels: What is said behind a value: the colour of an index.
    """

    pixels: Counter[float]
    masks: Counter[float]
    num_masks: int
    is_colour: bool
    is_lossy: bool
    labels: Mapping[float, str] = field(default_factory=dict)

    @classmethod
    def of(cls, looks: Sequence[Look], *, is_colour: bool) -> "Tally":
        """Add up what the masks hold."""
        pixels: Counter[float] = Counter()
        masks: Counter[float] = Counter()
        for look in looks:
            values = look.colours if is_colour else look.values
            assert values is not None
            for value, count in zip(values.tolist(), look.counts.tolist(), strict=True):
                pixels[value] += count
                masks[value] += 1
        labels = {
            value: f" #{colour:06x}"
            for look in looks
            if look.kind == "palette" and not is_colour and look.colours is not None
            for value, colour in zip(look.values.tolist(), look.colours.tolist(), strict=True)
        }
        is_lossy = any(look.is_lossy for look in looks)
        return cls(pixels, masks, len(looks), is_colour, is_lossy, labels)

    @property
    def values(self) -> list[float]:
        """All of them, sorted."""
        return sorted(self.pixels)

    @property
    def is_rough(self) -> bool:
        """Whether they are shades and not themselves."""
        return self.is_lossy or (self.is_colour and len(self.pixels) > MAX_EXACT)

    def item(self, value: float) -> Item:
        """One of the values, as rules have it."""
        return Item(float(value), self.is_colour)

    def share(self, values: Iterable[float]) -> float:
        """Of all pixels."""
        return sum(self.pixels[value] for value in values) / max(1, self.pixels.total())

    def say(self, values: Iterable[float]) -> str:
        """Values in order, with their shares of pixels and the masks that have them; the most
        frequent where they are many."""
        frequent = sorted(values, key=lambda value: -self.pixels[value])
        shown = sorted(frequent[:MAX_SHOWN])
        more = len(frequent) - len(shown)
        parts = [
            f"{self.item(value)}{self.labels.get(value, '')}"
            f" ({_percent(self.share([value]))}, {self.masks[value]})"
            for value in shown
        ]
        return ", ".join(parts) + (f" and {more} more" if more else "")

    @property
    def centres(self) -> list[float]:
        """What masks hold, without the shades of it."""
        return self._heaps() if self.is_rough else self.values

    def rule(self, meant: Sequence[float], centres: Sequence[float]) -> Rule:
        """That some of the centres are meant; of shades, those that are nearest to them."""
        others = [centre for centre in centres if centre not in meant] if self.is_rough else []
        return Rule("=", tuple(map(self.item, meant)), tuple(map(self.item, others)))

    def _heaps(self) -> list[float]:
        """The values that others are shades of, most frequent first."""
        centres: list[float] = []
        weights: list[int] = []
        for value, count in self.pixels.most_common():
            distances = _distances(value, centres, self.is_colour)
            if len(centres) and distances.min() <= self.reach:
                weights[int(distances.argmin())] += count
            elif len(centres) < MAX_KEPT:
                centres.append(value)
                weights.append(count)
        order = np.argsort(weights, kind="stable")[::-1]
        least = MIN_HEAP * weights[order[1]] if len(order) > 1 else 0
        found = [
            i
            for i in order
            if weights[i] >= least and self.pixels[centres[i]] >= MIN_PEAK * weights[i]
        ]
        held = sum(weights[i] for i in found)
        return [centres[i] for i in found] if held >= MIN_HELD * sum(weights) else []

    def nearest(self, value: float, heaps: Sequence[float]) -> float | None:
        """The heap that a value belongs to; None where none is near."""
        distances = _distances(value, heaps, self.is_colour)
        is_near = len(heaps) > 0 and distances.min() <= self.reach
        return heaps[int(distances.argmin())] if is_near else None

    @property
    def reach(self) -> float:
        """How far a shade lies at most from its heap."""
        return HEAP_COLOURS if self.is_colour else HEAP_NUMBERS * self.range / 255

    @property
    def range(self) -> float:
        """From the smallest to the largest."""
        return max(self.pixels) - min(self.pixels) or 1

    def ends(self, white: float) -> tuple[float, float] | None:
        """The peaks of two heaps at the ends of a range; None where these are not clear.

        Args:
            white: The range's end.
        """
        low = [v for v in self.values if 0 <= v <= OUTER * white]
        high = [v for v in self.values if (1 - OUTER) * white <= v <= white]
        between = [v for v in self.values if OUTER * white < v < (1 - OUTER) * white]
        if not low or not high or len(low) + len(high) + len(between) < len(self.pixels):
            return None
        inside, top = self.share(between), self.share(high)
        if between:
            thirds = {int(3 * (v / white - OUTER) / (1 - 2 * OUTER)) for v in between}
            is_ramp = self.is_lossy or (len(between) >= MIN_SHADES and len(thirds) == 3)
            has_class = inside > MIN_CLASS * top and self._peak(between, white) > MAX_PEAK * inside
            if not is_ramp or has_class or inside > MAX_BETWEEN or inside > 2 * top:
                return None
        elif not self.is_lossy and not _is_frayed(low, high, white):
            return None
        return self.most_frequent(low), self.most_frequent(high)

    def _peak(self, values: Sequence[float], white: float) -> float:
        """The largest share of pixels that neighbouring values have."""
        shares = np.zeros(256 + WINDOW)
        for value in values:
            shares[int(255 * value / white)] += self.share([value])
        return float(np.convolve(shares, np.ones(WINDOW)).max())

    def most_frequent(self, values: Iterable[float]) -> float:
        """Of some values, the one with the most pixels."""
        return max(values, key=lambda value: self.pixels[value])


def _is_frayed(low: Sequence[float], high: Sequence[float], white: float) -> bool:
    """Whether neighbouring values at both ends are one and the same, as 254 and 255 are.

    Small numbers below a lonely largest one may be classes below a void.
    """
    steps = 0.02 * white
    is_close = all(np.diff(heap).max(initial=0) <= steps for heap in (low, high))
    return is_close and (len(high) > 1 or white <= 1)


def _distances(value: float, centres: Sequence[float], is_colour: bool) -> NDArray[Any]:
    if not is_colour:
        return np.abs(np.array(centres) - value)
    gaps = unpack(np.array(centres, np.int64)) - unpack(np.array([value], np.int64))
    return np.asarray(np.sqrt((gaps.astype(np.float64) ** 2).sum(axis=-1)))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
