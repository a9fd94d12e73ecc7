"""Sums over the pixels of an image, of which a loss makes its value."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vesica.accel import faster
from vesica.losses.pooling import pool_rows
from vesica.losses.rows import Rows, is_abstract
from vesica.shapes import wide, without_ignored


class PixelFormula(NamedTuple):
    """Numbers that a loss adds over pixels.

    Attributes:
        name: By which `vesica.accel.pixels` knows its derivative, if it does.
        num_sums: How many.
        plain: From logits and target of shape (rows, pixels), and the options, to the sums over
            pixels, each of shape (rows,), by differentiable operations.
        options: Numbers that it takes.
    """

    name: str
    num_sums: int
    plain: Callable[..., tuple[Tensor, ...]]
    options: dict[str, float] = {}  # noqa: RUF012 - nobody writes to it

    def terms(self, logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        """`plain` with the options."""
        return self.plain(logits, target, **self.options)


def sum_pixels(formula: PixelFormula, rows: Rows) -> tuple[Tensor | int, *tuple[Tensor, ...]]:
    """Number of pixels that count, then the formula's sums: each (batch,) or (batch, channels).

    Pooled, the first axis has length 1. Where all have the same number of pixels, it is an int.
    """
    tensors = rows.logits, rows.target, rows.valid
    add = plain_sums if is_abstract(*tensors) else faster("pixel_sums", plain_sums)
    sums = add(formula, *tensors, rows.is_hard)
    num_pixels = rows.logits.shape[1]
    if rows.valid is None and rows.pool != "world":
        num_pixels *= 1 if rows.pool == "image" else rows.shape[0]
        return num_pixels, *pool_rows(sums.view(len(sums), *rows.shape), rows.pool).unbind()
    counted = torch.full_like(sums[:1], num_pixels, requires_grad=False)
    if rows.valid is not None:
        counted = rows.valid.sum(dim=1, dtype=sums.dtype).unsqueeze(0)
    sums = torch.cat([counted, sums])
    count, *pooled = pool_rows(sums.view(len(sums), *rows.shape), rows.pool).unbind()
    return count, *pooled


def plain_sums(
    formula: PixelFormula,
    logits: Tensor,
    target: Tensor,
    valid: Tensor | None,
    is_hard: bool,
) -> Tensor:
    """A formula's sums over each row of (rows, pixels), shape (num_sums, rows)."""
    logits, target = without_ignored(logits, target, valid)
    dtype = wide(logits.dtype)
    return torch.stack(formula.terms(logits.to(dtype), target.to(dtype)))


def mean_over_pixels(total: Tensor, num_pixels: Tensor | int) -> Tensor:
    """A sum over pixels divided by their number; 0 where there are none."""
    if isinstance(num_pixels, int):
        return total / max(1, num_pixels)
    return total / num_pixels.clamp_min(1)


def probability(logits: Tensor) -> Tensor:
    """The sigmoid with the derivative s(x) s(-x), which does not round to 0 as p (1 - p) does."""
    if not torch.is_grad_enabled():
        return torch.sigmoid(logits)
    probs: Tensor = _Sigmoid.apply(logits)
    return probs


class _Sigmoid(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (logits,) = ctx.saved_tensors
        small = probability(-logits.abs())
        return grad * small * (1 - small)
