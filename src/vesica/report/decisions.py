"""The section "Is it only the threshold?": one table for each pair of losses, as text."""

from dataclasses import dataclass
from typing import Any

DECISIONS = {
    "half": "threshold 1/2",
    "tuned": "threshold tuned on validation",
    "expected_iou": "largest expected IoU",
    "expected_iou_tempered": "the same, after temperature scaling",
}
SOFT = "soft IoU, without masks"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class DecisionTable:
    """Two losses under every decision.

    Attributes:
        baseline: A loss, given the better decision alone in the last column but one.
        challenger: The other one, given it alone in the last.
        level: Of the intervals, in words.
        scope: What the means are over.
        rows: A decision, then the IoU of both, their difference, and that if one alone gets it.
        softness: How much of the difference of soft IoU is not in the masks.
        calibration: Of both losses, before and after temperature scaling; "" if not known.
        note: Why decisions are missing, or "".
    """

    baseline: str
    challenger: str
    level: str
    scope: str
    rows: list[tuple[str, list[str]]]
    softness: str
    calibration: str
    note: str


def decision_tables(group: dict[str, Any]) -> list[DecisionTable]:
    """Of the pairs of which all runs are there."""
    return [_table(pair) for pair in group["comparisons"] if "decisions" in pair]


def say_left(group: dict[str, Any]) -> str:
    """What is left if the first loss alone gets a tuned threshold, in a line; "" if not known."""
    first = group["losses"][0]["loss"]
    found = [
        f"{pair['challenger']} minus {first} {_say(row['difference_left'], 'points')}"
        for pair in group["comparisons"]
        for row in pair.get("decisions", ())
        if pair["baseline"] == first and row["decision"] == "tuned"
    ]
    opening = f"Is it only the threshold? With {first}'s alone tuned on validation:"
    return f"{opening} {', '.join(found)}" if found else ""


def _table(pair: dict[str, Any]) -> DecisionTable:
    soft = pair["soft"]
    rows = [
        (
            DECISIONS[row["decision"]],
            [*_both(row), _say(row["difference_left"]), _say(row["difference_gained"])],
        )
        for row in pair["decisions"]
    ]
    num_seeds, num_images = pair["num_seeds"], pair["num_images"]
    scope = f"{num_seeds} seed{'' if num_seeds == 1 else 's'} and {num_images} test images"
    if pair["num_units"] < num_images:
        scope += f"; the differences count each of their {pair['num_units']} groups once"
    return DecisionTable(
        baseline=pair["baseline"],
        challenger=pair["challenger"],
        level=f"{100 * pair['level']:.3g} %",
        scope=scope,
        rows=[*rows, (SOFT, [*_both(soft), "", ""])],
        softness=(
            f"In soft IoU, {pair['challenger']} minus {pair['baseline']} is "
            f"{_say(soft['difference'], 'points')}: "
            f"{_say(pair['decisions'][0]['difference'])} of the masks at 1/2, and "
            f"{_say(soft['not_in_masks'])} that are not in the masks."
        ),
        calibration="; ".join(
            f"{row['loss']} {row['calibration_error']:.3f} and "
            f"{row['calibration_error_tempered']:.3f} (temperature {row['temperature']:.2f})"
            for row in pair["calibration"]
        ),
        note=pair["decisions_note"],
    )


def _both(row: dict[str, Any]) -> list[str]:
    return [f"{row['baseline_iou']:.3f}", f"{row['challenger_iou']:.3f}", _say(row["difference"])]


def _say(difference: dict[str, float | None], unit: str = "") -> str:
    """In points; one seed has no interval."""
    mean, low, high = (
        None if value is None else f"{100 * value:+.1f}".replace("-", MINUS)
        for value in (difference["mean"], difference["low"], difference["high"])
    )
    text = f"{mean} {unit}".strip()
    return text if low is None else f"{text} ({low} to {high})"
