"""What the terminal and the page show of a setting: tables as text."""

import itertools
from collections.abc import Sequence

from vesica.judge import Place, Setting
from vesica.plan import Cell, flatten
from vesica.report.sections import Grid
from vesica.report.sentences import say_interval
from vesica.results import (
    METRICS,
    Comparison,
    Decision,
    EndedCell,
    GroupFindings,
    LossRow,
    Means,
    Unjudged,
)
from vesica.spelling import shown
from vesica.words import MINUS, MISSING, count_of, say_list, say_time

DECISIONS = {
    "half": "threshold 1/2",
    "tuned": "threshold tuned on validation",
    "expected_iou": "largest expected IoU",
    "expected_iou_tempered": "the same, after temperature scaling",
    "soft": "soft IoU, without masks",
}


# Scores


def score_grid(group: GroupFindings, cell: Cell) -> Grid:
    """Per loss: scores, epochs and runs; below, the masks without a network."""
    names = _beside_iou(group)
    own = list(dict.fromkeys(name for row in group.losses for name in row.own))
    return Grid(
        ["trained with", *(METRICS[name].heading for name in names), *own, "epochs", "runs"],
        [
            [
                shown(row.loss),
                *(_with_sd(row, name) for name in names),
                *(_say_number(row.own.get(name)) for name in own),
                _epochs(row),
                _runs(row),
            ]
            for row in group.losses
        ],
        title=f"{', '.join(filter(None, [group.data, group.label]))}: test images at "
        f"{_size(cell)}, weights {cell.weights_name}",
        below=[[*row, *[""] * len(own), "", ""] for row in _baseline_rows(group, names)],
    )


def more_grid(group: GroupFindings) -> Grid:
    """The further metrics."""
    has_classes = bool(group.setting.get("data", {}).get("classes"))
    names = _shown_in("more")
    if has_classes:  # none has a threshold
        names = [name for name in names if group.losses[0][name] is not None]
    low = [METRICS[name].heading for name in names if METRICS[name].better == "low"]
    num_empty = group.losses[0].num_empty
    at = (
        ", of the masks in which each pixel is of one class"
        if has_classes
        else ", at threshold 1/2 but for the first column: there the threshold is the one with the "
        "highest IoU on validation images"
    )
    title = (
        f"Means over test images{at}. HD95 is a distance in pixels, the "
        f"calibration error is pooled, in 15 bins; {say_list(low)} are better when low."
    )
    if num_empty and group.setting.get("absent") != "skip":
        title += (
            f" An image without foreground ({num_empty} of them) counts as right if nothing is "
            "found in it and else as wrong, at the image's diagonal for HD95."
        )
    return Grid(
        ["trained with", *(METRICS[name].heading for name in names)],
        [
            *([shown(row.loss), *(_with_sd(row, name) for name in names)] for row in group.losses),
            *_baseline_rows(group, names),
        ],
        title=title,
    )


def class_grid(group: GroupFindings, *, is_narrow: bool = False) -> Grid:
    """Every class by itself, the most frequent first; where there is little room, differences
    alone of more than two losses."""
    losses = [row.loss for row in group.losses]
    if is_narrow and len(losses) > 2:
        losses = []
    first = [
        place for place, c in enumerate(group.comparisons) if c.baseline == group.losses[0].loss
    ]
    names = [f"{shown(c.challenger)} minus {shown(c.baseline)}" for c in group.comparisons]
    return Grid(
        ["class", "pixels", "images", *map(shown, losses), *(names[place] for place in first)],
        [
            [
                row.name,
                f"{100 * row.share:.2g} %",
                str(row.num_images),
                *(_say_number(row.iou.get(loss)) for loss in losses),
                *(_say_verdict(row.comparisons[place]) for place in first),
            ]
            for row in group.classes
        ],
        title="Each class by itself, the most frequent first: its share of the test images' "
        "pixels, the images that count for it, IoU there, and the difference with its interval in "
        "points; all intervals of all classes hold together.",
    )


def _say_verdict(found: Comparison | Unjudged) -> str:
    if isinstance(found, Unjudged):
        return found.reason
    text = f"{100 * found.mean:+.1f}"
    if found.low is not None and found.high is not None:
        low, high = max(100 * found.low, -100), min(100 * found.high, 100)
        text += f" ({low:+.1f} to {high:+.1f})"
    return f"{text}, {found.verdict}".replace("-", MINUS)


def _size(cell: Cell) -> str:
    is_own = cell.score_at == "original" or cell.long_side
    return "their own size" if is_own else f"{cell.size}x{cell.size}"


def _beside_iou(group: GroupFindings) -> list[str]:
    """The scores; in place of accuracy the one that the masks ask for, where results have it."""
    names = _shown_in("scores")
    if group.beside in METRICS and all(row[group.beside] is not None for row in group.losses):
        names = [name for name in names if name != "accuracy"]
        names.insert(1, group.beside)
    return names


def _shown_in(table: str) -> list[str]:
    return [name for name, metric in METRICS.items() if metric.shown == table]


def _baseline_rows(group: GroupFindings, names: Sequence[str]) -> list[list[str]]:
    return [
        [name, *(_say_number(scores[metric]) for metric in names)]
        for name, scores in group.baselines.items()
    ]


def _with_sd(row: LossRow, name: str) -> str:
    sd = row.sd[name]
    return _say_number(row[name]) + ("" if sd is None else f" ± {sd:.3f}")


def _say_number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _epochs(row: LossRow) -> str:
    if row.epochs is None:
        return MISSING
    # A run ended by the limit had not converged: its number of epochs is only a lower bound.
    return f"{'≥ ' if row.num_censored else ''}{row.epochs:.0f}"


def _runs(row: LossRow) -> str:
    extra = {"collapsed": row.num_collapsed, "failed": row.num_failed}
    told = [f"{count} {word}" for word, count in extra.items() if count]
    return ", ".join([str(row.num_seeds), *told])


# Runs and settings


def run_grid(setting: Setting) -> Grid:
    """What became of each cell."""
    return Grid(
        ["loss", "seed", "status", "test IoU", "epochs", "time", "folder"],
        [_run_row(cell, setting.ended.get(Place.of(cell))) for cell in setting.cells],
        num_words=None,
        title=setting.label,
    )


def _run_row(cell: Cell, found: EndedCell | None) -> list[str]:
    loss, folder = shown(cell.loss), f"cells/{cell.folder or cell.key}"
    seed = str(cell.seed) if cell.data.fold is None else f"{cell.seed}, fold {cell.data.fold + 1}"
    if found is None:
        return [loss, seed, "unfinished", MISSING, MISSING, MISSING, folder]
    result = found.result
    status = f"{result.status}: {result.reason}" if result.reason else result.status
    if not result.has_scores:
        return [loss, seed, status, MISSING, MISSING, MISSING, folder]
    limit = ", the limit" if result.ended_by == "epochs" else ""
    epochs = f"{result.epochs}{limit}; kept {result.kept_epoch}"
    iou, time = _say_number(result.iou_per_image), say_time(result.train_time_s)
    return [loss, seed, status, iou, epochs, time, folder]


def setting_grid(settings: Sequence[Setting], names: Sequence[str]) -> Grid:
    """Every field that loss and seed do not vary, recipe included."""
    flat = [flatten(setting.cells[0].setting()) for setting in settings]
    rows = [[name, *(_say_value(fields[name]) for fields in flat)] for name in flat[0]]
    if len(flat) == 1:  # in two columns
        half = -(-len(rows) // 2)
        pairs = itertools.zip_longest(rows[:half], rows[half:], fillvalue=["", ""])
        return Grid(["field", "value"] * 2, [[*a, *b] for a, b in pairs], num_words=None)
    return Grid(["field", *names], rows, num_words=None)


def _say_value(value: object) -> str:
    return MISSING if value in (None, "") else shown(str(value))


# Is it only the threshold?


def decision_grid(pair: Comparison) -> Grid:
    """Two losses under every decision."""
    old, new = shown(pair.baseline), shown(pair.challenger)
    scope = f"{count_of(pair.num_seeds, 'seed')} and {pair.num_images} test images"
    if pair.num_units < pair.num_images:
        scope += f"; the differences count each of their {pair.num_units} groups once"
    return Grid(
        [
            *("decision", old, new, "difference"),
            *(f"if only {loss} gets it" for loss in (old, new)),
        ],
        [_decision_row(row) for row in (*pair.decisions, pair.soft)],
        title=f"IoU per image, mean over {scope}. Differences are in points, a hundredth of IoU "
        f"each, with {100 * pair.level:.3g} % intervals as for the verdict, each by itself; in the "
        "last columns the other loss stays at 1/2.",
    )


def _decision_row(row: Means) -> list[str]:
    alone = [row.difference_left, row.difference_gained] if isinstance(row, Decision) else []
    means = [f"{row.baseline_iou:.3f}", f"{row.challenger_iou:.3f}"]
    differences = [say_interval(found) for found in (row.difference, *alone)]
    return [DECISIONS[row.decision], *means, *differences, *[""] * (2 - len(alone))]
