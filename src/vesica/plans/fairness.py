"""Is it only the recipe? Each loss with the learning rate and the stopping that suit it best.

One learning rate for both losses, and an epoch that each loss chooses by its own value, favour one
of them. Here every loss is trained with several rates and every way of choosing the epoch, its rate
is chosen on validation IoU, and only then the losses are compared on the test images.
"""

from collections.abc import Sequence
from typing import Any

from vesica.optim import OPTIMIZERS, read_optimizer
from vesica.plan import Axis, Cell, across, replace
from vesica.spelling import options_of

LEARNING_RATES = (3e-5, 1e-4, 3e-4, 1e-3)
RULES = ("val_loss", "val_iou", "last")
"""Which epoch is scored: the best by the loss's own value, the best by IoU, the last of all."""

GROWS_BY = (Axis(("optimizer",)), Axis(("monitor", "keep"), ("patience",)))


def fairness(
    base: Cell,
    *,
    losses: Sequence[str] = ("bce", "iou"),
    seeds: int = 3,
    lrs: Sequence[float] = LEARNING_RATES,
    rules: Sequence[str] = RULES,
) -> list[Cell]:
    """Every loss with every learning rate and rule, from the recipe of `base` otherwise; with
    folds, in every fold.

    Raises:
        ValueError: If there is no such rule.
    """
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown:
        raise ValueError(f"no rule {unknown[0]!r}; there are: {', '.join(RULES)}")
    folds = base.data.every_fold
    return [
        replace(cell, **_fields(rule, base))
        for cell in across(base, seed=range(seeds), fold=folds, lr=list(lrs), loss=list(losses))
        for rule in rules
    ]


def learning_rate(cell: Cell) -> float:
    """Of the optimiser, as it begins."""
    spelled = read_optimizer(cell.recipe.optimizer)
    usual = options_of(spelled.function(OPTIMIZERS))["lr"].default  # which no spelling names
    return float(dict(spelled.options).get("lr", usual))


def rule_of(cell: Cell) -> str:
    """Which of `RULES` a cell follows."""
    return "last" if cell.recipe.keep == "last" else cell.recipe.monitor


def _fields(rule: str, base: Cell) -> dict[str, Any]:
    if rule == "last":
        # The loss stays what is watched, but never ends the training: all run equally long.
        never = 0 if base.recipe.steps else base.recipe.max_epochs
        return {"keep": "last", "monitor": "val_loss", "patience": never}
    return {"keep": "best", "monitor": rule}
