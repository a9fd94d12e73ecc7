"""The question on generated images, twice: where the losses differ, and where they do not."""

from vesica.plan import Cell, seeds_and_folds
from vesica.recipes import cell_of

SIZE = 48
LARGE_HEADS = "generated:num=1000:size=48:density=0.45"
SMALL_HEADS = "generated:num=1500:size=48:density=0.02"
"""Of some seven pixels."""


def demo(seeds: int = 3) -> list[Cell]:
    """BCE against IoU with the modern recipe, a minute or two on two cores."""
    # Drawn at the network's size: at their own they would only be drawn again to be scored.
    fields = {"size": SIZE, "score_at": "network", "train": 200, "val": 40, "steps": 300}
    bases = [cell_of(path, fields, "modern") for path in (LARGE_HEADS, SMALL_HEADS)]
    return [cell for base in bases for cell in seeds_and_folds(base, seeds, ["bce", "iou"])]
