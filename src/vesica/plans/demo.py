"""The question on generated images, twice: where the losses differ, and where they do not."""

from vesica.plan import Cell, cell_of, seeds_and_folds

SIZE = 64
QUESTIONS = ("generated:num=1200:size=64:density=0.4", "generated:num=1200:size=64:density=0.02")
"""Large heads, which every loss finds, and heads of some nine pixels."""


def demo(seeds: int = 3) -> list[Cell]:
    """BCE against IoU with the modern recipe, a minute or two on two cores."""
    fields = {"size": SIZE, "train": 200, "val": 60, "steps": 250}
    bases = [cell_of(path, fields, "modern") for path in QUESTIONS]
    return [cell for base in bases for cell in seeds_and_folds(base, seeds, ["bce", "iou"])]
