"""Small sets: what a comparison does with them unless it is said otherwise."""

from vesica.data.library import FOLDS, MIN_TEST, Library
from vesica.plan import Cell, replace


def fold_if_small(base: Cell, library: Library) -> tuple[Cell, str]:
    """The cell in folds where one division of its images leaves too few for testing.

    Returns:
        The cell, and why it is in folds; "" where it is not.
    """
    if not library.folds_for(base.data):
        return base, ""
    reason = (
        f"One division leaves fewer than {MIN_TEST} test images: every image is tested once, in"
    )
    return replace(base, folds=FOLDS), f"{reason} {FOLDS} folds (--folds 0 for one division)."
