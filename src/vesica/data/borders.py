"""Which values of masks are lines between two things, such as the border of a trimap."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from vesica.data.pixels import Values
from vesica.data.rules import Item, Rule
from vesica.data.sample import Mask
from vesica.data.stored import read_stored
from vesica.data.survey import Look

MAX_LOOKED_AT = 8
"""Masks in which it is seen what lies around a value."""

BORDER_PX, MIN_BETWEEN = 4, 0.8
"""A border is nowhere wider than twice so many pixels, so much of it with others on both sides."""


def find_borders(
    root: Path, files: Mapping[str, Path], looks: Sequence[Look]
) -> Callable[[Item], bool]:
    """A function that tells the border between two things from what is a thing itself.

    Args:
        root: The data set's folder.
        files: Of the looks, by their names.
        looks: All masks.
    """

    def is_border(item: Item) -> bool:
        rule = Rule("=", (item,))
        total = between = 0
        for look in [look for look in looks if _holds(look, rule)][:MAX_LOOKED_AT]:
            stored = read_stored(root, files[look.name])
            where = rule.select(look.name, stored)
            total += int(where.sum())
            between += int(_between(where, stored.values).sum())
        return between > MIN_BETWEEN * total

    return is_border


def _between(where: Mask, values: Values) -> Mask:
    """Pixels of a thin line with two different values near."""
    size = 2 * BORDER_PX + 1
    numbers = np.unique(values, return_inverse=True)[1].reshape(values.shape).astype(np.int32)
    largest = int(numbers.max()) + 1
    high = ndimage.maximum_filter(np.where(where, -1, numbers), size)
    low = ndimage.minimum_filter(np.where(where, largest, numbers), size)
    inner = ndimage.minimum_filter(where.astype(np.uint8), size)
    is_thick = ndimage.maximum_filter(inner, size) > 0
    return np.asarray(where & ~is_thick & (high > low))


def _holds(look: Look, rule: Rule) -> bool:
    values = look.colours if rule.has_colours else look.values
    if values is None or (look.kind == "colour" and not rule.has_colours):
        return False
    return bool(rule.holds(values).any())
