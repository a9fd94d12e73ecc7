"""Is it only the recipe? How the difference between losses moves with it, in tables.

Each loss's learning rate is chosen on validation IoU, and only then the losses are compared on the
test images.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vesica import statistics
from vesica.judge import Judgement, Setting, data_name, difference_of, fold_of_units
from vesica.plan import Cell
from vesica.plans.fairness import GROWS_BY, RULES, learning_rate, rule_of
from vesica.report.sections import Grid, Section
from vesica.report.summary import Analysis, Summary
from vesica.results import Model
from vesica.spelling import shown
from vesica.words import MISSING

TITLE = "Is it only the recipe?"
CSV_HEADER = (
    *("rule", "baseline", "challenger", "lr_baseline", "lr_challenger", "is_own_choice"),
    *("mean", "low", "high", "verdict"),
)
RULE_NAMES = {
    "val_loss": "best by its own validation loss",
    "val_iou": "best by validation IoU",
    "last": "the last of all epochs",
}

Found = statistics.Comparison | None
"""None until both losses have all their results."""


class Choice(Model):
    """The learning rate of a loss under a rule.

    Attributes:
        loss: In its spelling.
        lr: The rate with the highest validation IoU, the mean over seeds; None: no run has ended.
        val_iou: That mean, per image.
        is_at_edge: The smallest or largest rate tried: a better one may lie beyond.
        is_level: All rates are as good: the first one stands for them.
        tried: Validation IoU of each rate; None where a run failed or has not ended.
    """

    loss: str
    lr: float | None
    val_iou: float | None
    is_at_edge: bool
    is_level: bool
    tried: dict[str, float | None]


class RuleFindings(Model):
    """Two losses under a rule: each with its own rate, and both with the same.

    Attributes:
        rule: Which epoch is scored, one of `RULES`.
        choices: Of the baseline and of the challenger.
        own: With the rate that each chose.
        same: By the rate that both have.
    """

    rule: str
    baseline: str
    challenger: str
    choices: tuple[Choice, Choice]
    own: Found
    same: dict[str, Found]


class Fairness(Model):
    """All that a run of the plan says."""

    data: str
    num_cells: int
    num_results: int
    num_seeds: int
    learning_rates: tuple[float, ...]
    max_epochs: int
    rules: tuple[RuleFindings, ...]


def analyse_fairness(settings: Sequence[Setting], margin: float) -> Fairness:
    """How the difference between the losses moves with rate and rule, and with each loss's own.

    Differences are those of per-image IoU on the test images, the later loss minus the earlier one.
    """
    cells = [cell for setting in settings for cell in setting.cells]
    losses = list(dict.fromkeys(cell.loss for cell in cells))
    by_place = {(rule_of(s.cells[0]), learning_rate(s.cells[0])): s for s in settings}
    lrs = sorted({lr for _, lr in by_place})
    rules = []
    for rule in (rule for rule in RULES if any(rule == own for own, _ in by_place)):
        by_lr = {lr: by_place[rule, lr] for lr in lrs if (rule, lr) in by_place}
        choices = {loss: _choose(loss, by_lr, lrs) for loss in losses}
        for pair in itertools.combinations(losses, 2):
            own = [by_lr.get(lr) if (lr := choices[loss].lr) else None for loss in pair]
            rules.append(
                RuleFindings(
                    rule=rule,
                    baseline=pair[0],
                    challenger=pair[1],
                    choices=(choices[pair[0]], choices[pair[1]]),
                    own=_compare(own[0], own[1], pair, margin),
                    same={
                        f"{lr:g}": _compare(by_lr.get(lr), by_lr.get(lr), pair, margin)
                        for lr in lrs
                    },
                )
            )
    return Fairness(
        data=data_name(cells[0]),
        num_cells=len(cells),
        num_results=sum(len(setting.ended) for setting in settings),
        num_seeds=len({cell.seed for cell in cells}),
        learning_rates=tuple(lrs),
        max_epochs=cells[0].recipe.max_epochs,
        rules=tuple(rules),
    )


def _is_whole(setting: Setting | None, loss: str) -> bool:
    """Whether every run of a loss has scores."""
    if setting is None:
        return False
    num = len({cell.seed for cell in setting.cells if cell.loss == loss})
    return len(setting.seeds_of(loss)) == num > 0


def _choose(loss: str, by_lr: dict[float, Setting], lrs: Sequence[float]) -> Choice:
    tried = {lr: _mean_val_iou(by_lr.get(lr), loss) for lr in lrs}
    ended = {lr: value for lr, value in tried.items() if value is not None}
    best = max(ended, key=ended.__getitem__, default=None)
    is_level = len(ended) > 1 and len(set(ended.values())) == 1
    return Choice(
        loss=loss,
        lr=best,
        val_iou=None if best is None else ended[best],
        is_at_edge=best in (min(tried), max(tried)) and not is_level,
        is_level=is_level,
        tried={f"{lr:g}": value for lr, value in tried.items()},
    )


def _mean_val_iou(setting: Setting | None, loss: str) -> float | None:
    if setting is None or not _is_whole(setting, loss):
        return None
    values = [found.result.val_iou_per_image for found in setting.of(loss)]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _compare(
    old: Setting | None, new: Setting | None, losses: tuple[str, str], margin: float
) -> Found:
    if old is None or new is None or not (_is_whole(old, losses[0]) and _is_whole(new, losses[1])):
        return None
    difference = difference_of((new, losses[1]), (old, losses[0]), new.seeds_of(losses[1]))
    return statistics.compare(difference, fold_of_units(new), margin=margin)


def summarise_fairness(run: Path, cells: Sequence[Cell], judged: Judgement | None) -> Summary:
    """Every rule and rate as far as they have results."""
    assert judged is not None  # it is not written while cells run
    found = analyse_fairness(judged.of_weights, judged.findings.margin)
    return Summary(
        "fairness",
        TITLE,
        found.model_dump(mode="json"),
        fairness_sections(found),
        CSV_HEADER,
        [row for rule in found.rules for row in _csv_rows(rule)],
    )


ANALYSIS = Analysis("fairness", GROWS_BY, summarise_fairness)


def fairness_sections(fairness: Fairness) -> list[Section]:
    """The answer first, then what each loss chose."""
    lrs = [f"{lr:g}" for lr in fairness.learning_rates]
    ended, planned = fairness.num_results, fairness.num_cells
    edges = _say_edges(fairness)
    return [
        Section(
            "",
            [
                f"{fairness.data}; {ended} of {planned} cells have a result; seeds: "
                f"{fairness.num_seeds}; at most {fairness.max_epochs} epochs. Differences "
                "are points of per-image IoU on test images. With its own rate, each loss has "
                "the one with the highest validation IoU; the choice is not part of the interval.",
                Grid(
                    ["scored epoch", "losses", "own learning rates", "interval", "verdict"]
                    + [f"both {lr}" for lr in lrs],
                    [_difference_row(found, lrs) for found in fairness.rules],
                    num_words=2,
                ),
                *edges,
            ],
        ),
        Section(
            "Validation IoU of each learning rate",
            [
                Grid(
                    ["scored epoch", "loss", *lrs, "chosen"],
                    [row for found in fairness.rules for row in _choice_rows(found, lrs)],
                    num_words=2,
                )
            ],
        ),
    ]


def _difference_row(found: RuleFindings, lrs: Sequence[str]) -> list[str]:
    own, interval = found.own, MISSING
    if own is not None and own.low is not None and own.high is not None:
        interval = f"{100 * own.low:+.1f} to {100 * own.high:+.1f}"
    return [
        RULE_NAMES[found.rule],
        f"{shown(found.challenger)} minus {shown(found.baseline)}",
        _say_mean(own),
        interval,
        MISSING if own is None else own.verdict,
        *(_say_mean(found.same[lr]) for lr in lrs),
    ]


def _say_mean(comparison: Found) -> str:
    return MISSING if comparison is None else f"{100 * comparison.mean:+.1f}"


def _choice_rows(found: RuleFindings, lrs: Sequence[str]) -> list[list[str]]:
    return [
        [
            RULE_NAMES[found.rule],
            shown(choice.loss),
            *(MISSING if choice.tried[lr] is None else f"{choice.tried[lr]:.3f}" for lr in lrs),
            MISSING if choice.lr is None else f"{choice.lr:g}{_mark(choice)}",
        ]
        for choice in found.choices
    ]


def _mark(choice: Choice) -> str:
    return " (all level)" if choice.is_level else " (edge)" if choice.is_at_edge else ""


def _say_edges(fairness: Fairness) -> list[str]:
    """Losses that might do better with a learning rate that was not tried."""
    edges = [
        f"{shown(choice.loss)}, {RULE_NAMES[found.rule]}: {choice.lr:g}"
        for found in fairness.rules
        for choice in found.choices
        if choice.lr is not None and choice.is_at_edge
    ]
    listed = "; ".join(dict.fromkeys(edges))
    text = f"**At the edge of the grid**, so that a better rate may lie beyond it: {listed}."
    level = any(choice.is_level for found in fairness.rules for choice in found.choices)
    no_choice = (
        "**All level:** every rate gave the same validation IoU, as when nothing was learnt; the "
        "first one stands for all, and none was chosen."
    )
    return [text] * bool(edges) + [no_choice] * level


def _csv_rows(found: RuleFindings) -> list[list[object]]:
    old, new = (choice.lr for choice in found.choices)
    compared: list[tuple[object, object, str, Found]] = [(old, new, "yes", found.own)]
    compared += [(lr, lr, "no", same) for lr, same in found.same.items()]
    return [
        [
            *(found.rule, found.baseline, found.challenger, lr_old, lr_new, is_own),
            *(judged.mean, judged.low, judged.high, judged.verdict),
        ]
        for lr_old, lr_new, is_own, judged in compared
        if judged is not None
    ]
