"""What a comparison's tests say, and how many seeds or test images a verdict takes, in words."""

from typing import Any

from vesica.statistics import SMALLEST_P_VALUE
from vesica.words import say_p


def say_tests(comparison: dict[str, Any]) -> str:
    """The p-values of a pair; "" where the data allow none."""
    p, p_margin = comparison.get("p_value"), comparison.get("p_value_equivalence")
    if p is None or p_margin is None:
        return ""
    holm, num = comparison["p_value_holm"], comparison["num_pairs"]
    adjusted = f" ({_say(holm)} after Holm, for {num} pairs)" if num > 1 else ""
    return (
        f"Against no difference, {_say(p)}{adjusted}; against one beyond the margin of "
        f"{100 * comparison['margin']:g} points, {_say(p_margin)}."
    )


def _say(p: float) -> str:
    return f"p {'=' if p > SMALLEST_P_VALUE else '<'} {say_p(p)}"


def say_needs(comparison: dict[str, Any]) -> str:
    """What finds a difference of the margin; "" where no noise is known."""
    needs = comparison.get("needs")
    if not needs:
        return ""
    units = "test images" if comparison["num_units"] == comparison["num_images"] else "test groups"
    num_seeds, num_units = comparison["num_seeds"], comparison["num_units"]
    enough, not_enough = [], []
    for need, what, given in (
        (needs["seeds"], "seeds", f"on these {num_units} {units}"),
        (needs["images"], units, f"with {num_seeds} seeds"),
    ):
        if need["num"] is None:
            not_enough.append(f"no number of {what} is enough {given}")
        else:
            enough.append(f"{need['num']:,} {what} {given}")
    way = "; ".join(filter(None, [" or ".join(enough) or "more of both", " and ".join(not_enough)]))
    return (
        f"To find a true difference of {100 * comparison['margin']:g} points in "
        f"{100 * needs['power']:.0f} of 100 such experiments takes {way} "
        f"(as far as {num_seeds} seeds show the noise)."
    )


def say_all_needs(group: dict[str, Any]) -> str:
    """A line per pair that is undecided; "" if none is."""
    lines = [
        f"{c['challenger']} minus {c['baseline']}: {text}"
        for c in group["comparisons"]
        if c["verdict"] == "undecided" and (text := say_needs(c))
    ]
    return "\n".join(lines)
