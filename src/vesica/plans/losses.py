"""The losses against each other: bce, and what is said to be better, on any number of data sets."""

from collections.abc import Iterable, Sequence

from vesica.plan import Cell, seeds_and_folds

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
