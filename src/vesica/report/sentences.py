"""What the terminal and the page say above and below their tables."""

from vesica.results import Comparison, GroupFindings, Interval
from vesica.spelling import shown
from vesica.statistics import SMALLEST_P_VALUE
from vesica.words import MINUS, say_p


def say_tuned(group: GroupFindings) -> str:
    """IoU where the threshold is not 1/2; "" if not known."""
    found = [
        f"{shown(row.loss)} {row.iou_per_image_tuned:.3f} (at {row.threshold_tuned:.2f})"
        for row in group.losses
        if row.iou_per_image_tuned is not None and row.threshold_tuned is not None
    ]
    return f"IoU per image, threshold tuned on validation: {', '.join(found)}" if found else ""


def say_softness(pair: Comparison) -> str:
    """How much of the difference of soft IoU is not in the masks."""
    return (
        f"In soft IoU, {shown(pair.challenger)} minus {shown(pair.baseline)} is "
        f"{say_interval(pair.soft.difference, ' points')}: "
        f"{say_interval(pair.decisions[0].difference)} of the masks at 1/2, and "
        f"{say_interval(pair.soft.not_in_masks)} that are not in the masks."
    )


def say_calibration(pair: Comparison) -> str:
    """Of both losses, before and after temperature scaling; or why decisions are missing."""
    if pair.decisions_note:
        return pair.decisions_note
    found = "; ".join(
        f"{shown(row.loss)} {row.calibration_error:.3f} and {row.calibration_error_tempered:.3f} "
        f"(temperature {row.temperature:.2f})"
        for row in pair.calibration
    )
    return (
        "Calibration error of the test images (pooled, better when low), raw and after temperature "
        f"scaling: {found}."
    )


def say_left(group: GroupFindings) -> str:
    """What is left if the first loss alone gets a tuned threshold, in a line, or why that is not
    known; "" where there is no threshold."""
    first = group.losses[0].loss
    found = [
        f"{shown(pair.challenger)} minus {shown(first)} "
        f"{say_interval(row.difference_left, ' points')}"
        for pair in group.comparisons
        if isinstance(pair, Comparison) and pair.baseline == first
        for row in pair.decisions
        if row.decision == "tuned"
    ]
    opening = f"Is it only the threshold? With {shown(first)}'s alone tuned on validation:"
    notes = (pair.decisions_note for pair in group.comparisons if isinstance(pair, Comparison))
    return f"{opening} {', '.join(found)}" if found else next(notes, "")


def say_interval(found: Interval, unit: str = "") -> str:
    """In points; one seed has no interval."""
    mean, low, high = (
        "" if value is None else f"{100 * value:+.1f}".replace("-", MINUS)
        for value in (found.mean, found.low, found.high)
    )
    return f"{mean}{unit} ({low} to {high})" if low else f"{mean}{unit}"


# Tests and what a verdict takes


def say_tests(pair: Comparison) -> str:
    """The p-values of a pair; "" where the data allow none."""
    if pair.p_value is None or pair.p_value_equivalence is None or pair.p_value_holm is None:
        return ""
    adjusted = f" ({_say_p(pair.p_value_holm)} after Holm, for {pair.num_pairs} pairs)"
    return (
        f"Against no difference, {_say_p(pair.p_value)}{adjusted if pair.num_pairs > 1 else ''}; "
        f"against one beyond the margin of {100 * pair.margin:g} points, "
        f"{_say_p(pair.p_value_equivalence)}."
    )


def _say_p(p: float) -> str:
    return f"p {'=' if p > SMALLEST_P_VALUE else '<'} {say_p(p)}"


def say_needs(pair: Comparison) -> str:
    """What finds a difference of the margin; "" where no noise is known."""
    if pair.needs is None:
        return ""
    units = "test images" if pair.num_units == pair.num_images else "test groups"
    enough, not_enough = [], []
    for need, what, given in (
        (pair.needs.seeds, "seeds", f"on these {pair.num_units} {units}"),
        (pair.needs.images, units, f"with {pair.num_seeds} seeds"),
    ):
        if need.num is None:
            not_enough.append(f"no number of {what} is enough {given}")
        else:
            enough.append(f"{need.num:,} {what} {given}")
    way = "; ".join(filter(None, [" or ".join(enough) or "more of both", " and ".join(not_enough)]))
    return (
        f"To find a true difference of {100 * pair.margin:g} points in "
        f"{100 * pair.needs.power:.0f} of 100 such experiments takes {way} "
        f"(as far as {pair.num_seeds} seeds show the noise)."
    )


def say_all_needs(group: GroupFindings) -> str:
    """A line per pair that is undecided; "" if none is."""
    lines = [
        f"{shown(pair.challenger)} minus {shown(pair.baseline)}: {text}"
        for pair in group.comparisons
        if isinstance(pair, Comparison)
        and pair.verdict == "undecided"
        and (text := say_needs(pair))
    ]
    return "\n".join(lines)
