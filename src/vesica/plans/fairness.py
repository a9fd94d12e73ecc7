"""Is it only the recipe? Each loss with the learning rate and the stopping that suit it best.

One learning rate for both losses, and an epoch that each loss chooses by its own value, favour one
of them. Here every loss is trained with several rates and every way of choosing the epoch, its rate
is chosen on validation IoU, and only then the losses are compared on the test images.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vesica import statistics
from vesica.compare import data_name
from vesica.optim import OPTIMIZERS, read_optimizer
from vesica.pairs import difference_of
from vesica.plan import Axis, Cell, across, replace
from vesica.results import EndedCell, read_cell
from vesica.spelling import options_of

LEARNING_RATES = (3e-5, 1e-4, 3e-4, 1e-3)
RULES = ("val_loss", "val_iou", "last")
"""Which epoch is scored: the best by the loss's own value, the best by IoU, the last of all."""

DEFAULT_LR = options_of(OPTIMIZERS["rmsprop"])["lr"].default

GROWS_BY = (Axis(("optimizer",)), Axis(("monitor", "keep"), ("patience",)))


def fairness(
    base: Cell,
    *,
    losses: Sequence[str] = ("bce", "iou"),
    seeds: int = 3,
    lrs: Sequence[float] = LEARNING_RATES,
    rules: Sequence[str] = RULES,
) -> list[Cell]:
    """Every loss with every learning rate and rule, from the recipe of `base` otherwise.

    Raises:
        ValueError: If there is no such rule.
    """
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown:
        raise ValueError(f"no rule {unknown[0]!r}; there are: {', '.join(RULES)}")
    return [
        replace(cell, **_fields(rule, base))
        for cell in across(base, seed=range(seeds), lr=list(lrs), loss=list(losses))
        for rule in rules
    ]


def learning_rate(cell: Cell) -> float:
    """Of the optimiser, as it begins."""
    options = dict(read_optimizer(cell.recipe.optimizer).options)
    return float(options.get("lr", DEFAULT_LR))


def rule_of(cell: Cell) -> str:
    """Which of `RULES` a cell follows."""
    return "last" if cell.recipe.keep == "last" else cell.recipe.monitor


@dataclass(frozen=True)
class Choice:
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


def analyse_fairness(run: Path, cells: Sequence[Cell], margin: float) -> dict[str, Any]:
    """How the difference between the losses moves with rate and rule, and with each loss's own.

    Differences are those of per-image IoU on the test images, the later loss minus the earlier one.
    """
    found = {cell.key: result for cell in cells if (result := read_cell(run, cell)) is not None}
    losses = list(dict.fromkeys(cell.loss for cell in cells))
    rules = [rule for rule in RULES if any(rule_of(cell) == rule for cell in cells)]
    lrs = sorted({learning_rate(cell) for cell in cells})

    def pick(loss: str, rule: str, lr: float) -> list[EndedCell]:
        """Results of all seeds; none unless every one has scores."""
        chosen = [
            cell
            for cell in cells
            if (cell.loss, rule_of(cell), learning_rate(cell)) == (loss, rule, lr)
        ]
        ended = [found[cell.key] for cell in chosen if cell.key in found]
        is_whole = len(ended) == len(chosen) and all(result.result.has_scores for result in ended)
        return ended if is_whole else []

    by_rule = []
    for rule in rules:
        choices = {loss: _choose(loss, {lr: pick(loss, rule, lr) for lr in lrs}) for loss in losses}
        for old, new in itertools.combinations(losses, 2):
            own = [
                pick(loss, rule, lr) if (lr := choices[loss].lr) is not None else []
                for loss in (old, new)
            ]
            by_rule.append(
                {
                    "rule": rule,
                    "baseline": old,
                    "challenger": new,
                    "choices": [asdict(choices[loss]) for loss in (old, new)],
                    "own": _compare(own[0], own[1], margin),
                    "same": {
                        f"{lr:g}": _compare(pick(old, rule, lr), pick(new, rule, lr), margin)
                        for lr in lrs
                    },
                }
            )
    return {
        "data": data_name(cells[0]),
        "num_cells": len(cells),
        "num_results": len(found),
        "num_seeds": len({cell.seed for cell in cells}),
        "learning_rates": lrs,
        "max_epochs": cells[0].recipe.max_epochs,
        "rules": by_rule,
    }


def _fields(rule: str, base: Cell) -> dict[str, Any]:
    if rule == "last":
        # The loss stays what is watched, but never ends the training: all run equally long.
        return {"keep": "last", "monitor": "val_loss", "patience": base.recipe.max_epochs}
    return {"keep": "best", "monitor": rule}


def _choose(loss: str, by_lr: dict[float, list[EndedCell]]) -> Choice:
    tried = {
        lr: float(np.mean([found.result.val_iou_per_image for found in results]))
        if results
        else None
        for lr, results in by_lr.items()
    }
    ended = {lr: value for lr, value in tried.items() if value is not None}
    best = max(ended, key=ended.__getitem__, default=None)
    is_level = len(ended) > 1 and len(set(ended.values())) == 1
    return Choice(
        loss,
        best,
        None if best is None else ended[best],
        best in (min(tried), max(tried)) and not is_level,
        is_level,
        {f"{lr:g}": value for lr, value in tried.items()},
    )


def _compare(
    baseline: list[EndedCell], challenger: list[EndedCell], margin: float
) -> dict[str, Any] | None:
    """None until both have all their results."""
    if not baseline or not challenger:
        return None
    return asdict(statistics.compare(difference_of(challenger, baseline), margin=margin))
