"""Resizing as products with two matrices: what Pillow does, in a form that any runtime has."""

from typing import Any

import torch
from torch import Tensor


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, with Pillow's wider filter where maps become smaller; first along the rows.

    Args:
        maps: Shape (batch, channels, height, width), floating point.
        size: The height and width to be.
    """
    rows, columns = _along(maps, size)
    return rows @ (maps @ columns.T)


def shrink(image: Tensor, size_px: int) -> Tensor:
    """An image of numbers from 0 to 255 as Pillow resizes it: rounded after each direction.

    Along the rows first; Pillow takes the columns first for some shapes, which moves a tenth of
    the values by 1.
    """
    rows, columns = _along(image, (size_px, size_px))
    return _rounded(rows @ _rounded(image @ columns.T))


def _along(maps: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    height, width = maps.shape[-2:]
    return _weights(height, size[0], maps), _weights(width, size[1], maps)


def _rounded(values: Tensor) -> Tensor:
    return (values + 0.5).floor().clamp(0, 255)


def _weights(before: int, after: int, like: Tensor) -> Tensor:
    """Shape (after, before): by how much each old pixel counts for each new one."""
    old = torch.arange(before, dtype=like.dtype, device=like.device) + 0.5
    new = torch.arange(after, dtype=like.dtype, device=like.device) + 0.5
    scale = before / after
    centre = new * scale
    support = _at_least_one(scale)
    weights: Tensor = (1 - (old[None] - centre[:, None]).abs() / support).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)


def _at_least_one(scale: float) -> Any:
    """Where a graph is traced the scale is no number yet."""
    return torch.sym_max(scale, 1.0)
