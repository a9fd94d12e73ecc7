"""Numbers in sentences and tables."""

from collections.abc import Sequence

MISSING = "\N{EN DASH}"
"""In place of a number that there is not."""
MINUS = "\N{MINUS SIGN}"
FIRST_LOOK = "This was a first look: leave out --quick for the verdict to go by."
"""Of a run that was made smaller than what its images ask for."""


def count_of(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def say_hours(hours: float) -> str:
    """Hours in words."""
    if 0 < hours < 1 / 60:
        return "less than a minute"
    return f"{hours * 60:.0f} min" if hours < 1.5 else f"{hours:.1f} h"


def say_about(hours: float) -> str:
    """The same of what is estimated: `about 3 min`, `less than a minute`."""
    said = say_hours(hours)
    return said if said.startswith("less") else f"about {said}"


def say_time(time_s: float) -> str:
    """Seconds as one would say them."""
    if time_s < 100:
        return f"{time_s:.0f} s"
    return f"{time_s / 60:.0f} min" if time_s < 6000 else f"{time_s / 3600:.1f} h"


def say_bytes(num: float) -> str:
    """Bytes in the unit that keeps two digits."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if num >= 0.1 * size:
            return f"{num / size:.{1 if num < 10 * size else 0}f} {unit}"
    return f"{num / 1e3:.0f} kB"


def say_p(p: float | None) -> str:
    """A p-value; a dash where there is none."""
    if p is None:
        return MISSING
    return f"{p:.1e}" if p < 0.001 else f"{p:.3f}"


def split_names(text: str | None) -> list[str]:
    """Names that a user has separated by commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def say_first(values: Sequence[object], most: int = 3) -> str:
    """The first few of many, and how many more there are."""
    more = len(values) - most
    return ", ".join(map(str, values[:most])) + (f" and {more:,} more" if more > 0 else "")


def say_list(values: Sequence[object]) -> str:
    """Words with commas and an "and"."""
    words = [str(value) for value in values]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
