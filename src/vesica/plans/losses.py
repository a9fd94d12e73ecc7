"""The losses against each other: bce, and what is said to be better, on any number of data sets."""

import itertools
from collections.abc import Iterable, Sequence

from vesica.plan import Cell, seeds_and_folds
from vesica.statistics import MIN_SEEDS, reach

COMPARED = (
    "bce",
    "iou",
    "jaccard_distance",
    "lovasz_hinge",
    "jaccard_metric",
    "dice",
    "tversky:alpha=0.3:beta=0.7",
    "focal",
    "topk",
    "dice+topk",
    "bce+iou",
)
"""The baseline first. Tversky weighs what is missed more, as its authors do: with its defaults it
is `dice`."""

WIDE = 10.0
"""Standard errors; a pair alone reaches 7 with three seeds."""


def losses(
    bases: Iterable[Cell], *, losses: Sequence[str] = COMPARED, seeds: int = 3
) -> list[Cell]:
    """Every loss on every data set, the first loss being the baseline of the others.

    Args:
        bases: A cell of each data set.
        losses: In their spellings.
        seeds: Runs of each.
    """
    return [cell for base in bases for cell in seeds_and_folds(base, seeds, losses)]


def say_seeds(num_losses: int, seeds: int) -> list[str]:
    """What many losses make of the intervals, where a few seeds more would help."""
    num_pairs = num_losses - 1
    if seeds < MIN_SEEDS or reach(seeds, num_pairs) <= WIDE:
        return []
    more = next(num for num in itertools.count(seeds) if reach(num, num_pairs) <= WIDE)
    now, then = reach(seeds, num_pairs), reach(more, num_pairs)
    return [
        f"{num_pairs} comparisons share the level of a verdict: with {seeds} seeds an interval "
        f"reaches {now:.0f} standard errors to either side, and {then:.0f} with {more} (--seeds "
        f"{more})."
    ]
