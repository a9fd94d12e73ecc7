"""The little of SVG that the report draws with: escaped elements, axes, one look per loss."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from vesica.words import MINUS

NUM_STYLES = 8
"""Looks (colour, dashes, marker) in `page.css`; the ninth loss shares that of the first."""

RADIUS = 4.0
WIDTH = 420
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34

NO_DECADE_BELOW = 50
"""A positive range wider than this factor gets a logarithmic axis."""


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """An element; what is no Markup is escaped. `class_` is class, other `_` are hyphens."""
    written = [
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _write(value))
        for key, value in attributes.items()
        if value is not None
    ]
    inside = Markup().join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup().join(written), inside)


def drawing(
    alt: str,
    width: float,
    height: float,
    *children: str,
    class_: str = "plot",
    role: str = "img",
) -> Markup:
    """A whole figure with its text for those who cannot see it; a group where it has links."""
    return tag(
        "svg", *children, class_=class_, role=role, aria_label=alt, viewBox=f"0 0 {width} {height}"
    )


def text(
    content: str, x: float, y: float, anchor: str = "start", class_: str | None = None
) -> Markup:
    """A line of text with its baseline at y."""
    return tag("text", content, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polyline(points: Iterable[tuple[float, float]], class_: str, title: str = "") -> Markup:
    """Points joined up; the title shows under the pointer."""
    coordinates = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("polyline", *_title(title), points=coordinates, class_=class_)


def marker(index: int, x: float, y: float, class_: str, title: str = "") -> Markup:
    """The shape that belongs to a loss: circle, square, diamond, triangle, and so on."""
    return tag("path", *_title(title), d=_shape(index % 4, x, y), class_=class_)


def cross(x: float, y: float, class_: str = "cross", title: str = "") -> Markup:
    """An x, for what went wrong."""
    return tag("path", *_title(title), d=f"M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6", class_=class_)


def look(index: int) -> str:
    """The class in `page.css` that gives a loss its colour and dashes."""
    return f"k{index % NUM_STYLES}"


@dataclass(frozen=True)
class Scale:
    """From values to pixels along one axis; on a whole one, ticks are whole numbers."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    is_whole: bool = False

    def __call__(self, value: float) -> float:
        """The value's place in pixels."""
        low, high = self._inner(self.low), self._inner(self.high)
        share = (self._inner(value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within the scale."""
        if self.is_log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = round_step((self.high - self.low) / 5)
        step = max(step, 1) if self.is_whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(index * step, 10) for index in range(first, last + 1)]

    def _inner(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


def scale_for(
    values: Sequence[float], start: float, end: float, *, may_be_log: bool = False
) -> Scale:
    """A scale that holds all values, with a little room at both ends."""
    low, high = min(values), max(values)
    if may_be_log and low > 0 and high / low > NO_DECADE_BELOW:
        return Scale(low / 1.2, high * 1.2, start, end, is_log=True)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.01
    return Scale(low - room, high + room, start, end)


def round_step(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(nice * power for nice in (1, 2, 5, 10) if nice * power >= step * (1 - 1e-9))


def number(value: float) -> str:
    """A tick's label, with a real minus sign."""
    return f"{value:g}".replace("-", MINUS)


def signed(value: float) -> str:
    """A difference's label; zero has no sign."""
    return f"{value:+g}".replace("-", MINUS) if value else "0"


def shorten(name: str, num: int) -> str:
    """A name of at most so many characters; its middle gives way."""
    if len(name) <= num:
        return name
    half = (num - 1) // 2
    return f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def x_axis(scale: Scale, y: float, label: str, show: Callable[[float], str] = number) -> Markup:
    """Baseline, ticks and a label below."""
    parts = [line(scale.start, y, scale.end, y, "axis")]
    for value in scale.ticks():
        parts += [line(scale(value), y, scale(value), y + 4, "axis")]
        parts += [text(show(value), scale(value), y + 16, "middle", "tick")]
    middle = (scale.start + scale.end) / 2
    return Markup().join([*parts, text(label, middle, y + 31, "middle", "label")])


def y_axis(scale: Scale, x1: float, x2: float, show: Callable[[float], str] = number) -> Markup:
    """Faint lines across and their values on the left."""
    parts = []
    for value in scale.ticks():
        parts += [line(x1, scale(value), x2, scale(value), "grid")]
        parts += [text(show(value), x1 - 6, scale(value) + 4, "end", "tick")]
    return Markup().join(parts)


def _write(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _title(title: str) -> list[Markup]:
    return [tag("title", title)] if title else []


def _shape(kind: int, x: float, y: float) -> str:
    r = RADIUS
    if kind == 0:
        return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
    if kind == 1:
        return f"M{x - r + 0.5:.1f} {y - r + 0.5:.1f}h{2 * r - 1}v{2 * r - 1}h{1 - 2 * r}z"
    if kind == 2:
        return f"M{x:.1f} {y - r - 1:.1f}l{r + 1} {r + 1}l{-r - 1} {r + 1}l{-r - 1} {-r - 1}z"
    return f"M{x:.1f} {y - r - 0.5:.1f}l{r + 0.5} {2 * r}h{-2 * r - 1}z"
