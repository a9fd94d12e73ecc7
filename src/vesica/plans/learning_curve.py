"""Would more images help? Every loss on an eighth, a quarter, half, and all of the training images.

The smaller sets are parts of the larger ones, and all are tested on the same images.
"""

from collections.abc import Sequence

from vesica.data.library import Library
from vesica.errors import DataError
from vesica.plan import Axis, Cell, across

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
MIN_TRAIN = 4
"""Training images of the smallest set."""

GROWS_BY = (Axis(("train",)),)


def learning_curve(
    base: Cell, num_train: int, *, losses: Sequence[str] = ("bce", "iou"), seeds: int = 3
) -> list[Cell]:
    """The cells of every share; with folds, those of every fold.

    Raises:
        DataError: If there are too few images for two sets.
    """
    sizes = [round(share * num_train) for share in SHARES]
    sizes = [size for size in sizes if size >= MIN_TRAIN]
    if len(sizes) < 2:
        raise DataError(
            f"{base.data.path}: {num_train} training images are too few for a learning curve; it "
            f"takes {2 * MIN_TRAIN}"
        )
    folds = base.data.every_fold
    return across(base, seed=range(seeds), train=sizes, fold=folds, loss=losses)


def count_train(base: Cell, library: Library) -> int:
    """Training images of one division, the fewest of any fold.

    Raises:
        DataError: If the images cannot be had.
    """
    cells = across(base, fold=base.data.every_fold)
    return min(len(library.split(cell.data).train) for cell in cells)
