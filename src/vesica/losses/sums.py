"""Sums over the pixels of an image, exact, in one pass through memory and without copies.

PyTorch's own operations would keep several images' worth of intermediate values for the backward
pass. Here an image goes through the caches block by block, nothing but the sums is kept, and the
backward pass goes through it once more. Under `torch.compile`, and wherever a gradient is
differentiated again, the same formula runs as plain operations.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vesica.losses.pooling import pool_rows
from vesica.losses.rows import (
    Pool,
    TargetCheck,
    as_rows,
    bits_of,
    blocks,
    read_block,
    wide,
    without_ignored,
)
from vesica.shapes import Logits, Target, Valid


class PixelFormula(NamedTuple):
    """Numbers that a loss adds over pixels.

    Attributes:
        num_sums: How many.
        terms: From logits and target of shape (rows, pixels) to the sums over pixels, each of
            shape (rows,), by differentiable operations.
        slope: Derivative by the logits, written to its last argument: logits, target, gradients
            by the sums of shape (num_sums, rows, 1), and where to write, (rows, pixels) in the
            logits' type; it may be the logits, and then the target may be written over too.
            `terms` says the same to autograd.
        is_hard: Whether it is defined for targets of 0 and 1 only.
    """

    num_sums: int
    terms: Callable[[Tensor, Tensor], tuple[Tensor, ...]]
    slope: Callable[[Tensor, Tensor, Tensor, Tensor], object]
    is_hard: bool = False


def sum_pixels(
    formula: PixelFormula,
    logits: Logits,
    target: Target,
    valid: Valid | None,
    channels: bool,
    pool: Pool,
) -> tuple[Tensor | int, *tuple[Tensor, ...]]:
    """Number of pixels that count, then the formula's sums: each (batch,) or (batch, channels).

    Pooled, the first axis has length 1. Where all have the same number of pixels, it is an int.

    Raises:
        ValueError: If the shapes do not agree, or (not under compile) a target value is not in
            [0, 1] or not allowed by the formula.
    """
    rows = as_rows(logits, target, valid, channels)
    if torch.compiler.is_compiling():
        sums = _plain_sums(formula, rows.logits, rows.target, rows.valid)
    else:
        sums = _PixelSums.apply(formula, rows.logits, rows.target, rows.valid)
    num_pixels = rows.logits.shape[1]
    if rows.valid is None and pool != "world":
        num_pixels *= 1 if pool == "image" else rows.shape[0]
        return num_pixels, *pool_rows(sums.view(len(sums), *rows.shape), pool).unbind()
    counted = torch.full_like(sums[:1], num_pixels, requires_grad=False)
    if rows.valid is not None:
        counted = rows.valid.sum(dim=1, dtype=sums.dtype).unsqueeze(0)
    sums = torch.cat([counted, sums])
    count, *pooled = pool_rows(sums.view(len(sums), *rows.shape), pool).unbind()
    return count, *pooled


def mean_over_pixels(total: Tensor, num_pixels: Tensor | int) -> Tensor:
    """A sum over pixels divided by their number; 0 where there are none."""
    if isinstance(num_pixels, int):
        return total / max(1, num_pixels)
    return total / num_pixels.clamp_min(1)


def zero_without_pixels(loss: Tensor, num_pixels: Tensor | int) -> Tensor:
    """The loss, and 0 where no pixel counts."""
    if isinstance(num_pixels, int):
        return loss if num_pixels else 0 * loss
    return torch.where(num_pixels > 0, loss, 0)


def probability(logits: Tensor) -> Tensor:
    """The sigmoid with the derivative s(x) s(-x), which does not round to 0 as p (1 - p) does."""
    if not torch.is_grad_enabled():
        return torch.sigmoid(logits)
    probs: Tensor = _Sigmoid.apply(logits)
    return probs


def times_sigmoid_slope(factor: Tensor, logits: Tensor, out: Tensor) -> None:
    """Write factor times s(x) s(-x) to `out`, which may be the logits."""
    # s(-|x|) is at most 1/2, so that one minus it loses nothing. Setting the sign bit makes -|x|
    # in one pass.
    bits = bits_of(out)
    torch.bitwise_or(bits_of(logits), torch.iinfo(bits.dtype).min, out=bits)
    out.sigmoid_()
    torch.ops.aten.sigmoid_backward.grad_input(factor, out, grad_input=out)


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


class _PixelSums(torch.autograd.Function):
    """(rows, pixels) to (num_sums, rows), block by block."""

    @staticmethod
    def forward(
        formula: PixelFormula, logits: Tensor, target: Tensor, valid: Tensor | None
    ) -> Tensor:
        dtype = wide(logits.dtype)
        sums = logits.new_zeros((formula.num_sums, len(logits)), dtype=dtype)
        check = TargetCheck(target, valid, is_hard=formula.is_hard)
        for rows, pixels in blocks(logits):
            block, truth = read_block(logits, target, valid, rows, pixels, dtype)
            check.see(truth)
            sums[:, rows].add_(torch.stack(formula.terms(block, truth)))
        check.finish()
        return sums

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.formula, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> tuple[None, Tensor, None, None]:
        logits, target, valid = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate this gradient again
            plain = partial(_plain_sums, ctx.formula, target=target, valid=valid)
            pull_back = torch.func.vjp(plain, logits)[1]  # which torch.func nests
            return None, pull_back(grads)[0], None, None
        grad = torch.empty_like(logits)
        by_sums = grads.unsqueeze(-1)
        for rows, pixels in blocks(logits):
            block, truth = read_block(logits, target, valid, rows, pixels, grads.dtype)
            place = grad[rows, pixels]
            # A widened block is a copy, which may be written over.
            slope = place if place.dtype == block.dtype else block
            if slope is block and truth.dtype == target.dtype:
                truth = truth.clone()
            ctx.formula.slope(block, truth, by_sums[:, rows], slope)
            if slope is block:
                place.copy_(slope)
            del block, truth, slope  # before the next ones are made
        return None, grad, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        formula: PixelFormula,
        logits: Tensor,
        target: Tensor,
        valid: Tensor | None,
    ) -> tuple[Tensor, int]:
        """Make more rows of the mapped axis."""
        tensors = [
            None if tensor is None else fold_mapped(tensor, dim, info.batch_size)
            for tensor, dim in zip((logits, target, valid), in_dims[1:], strict=True)
        ]
        sums = _PixelSums.apply(formula, *tensors)
        return sums.unflatten(1, (info.batch_size, -1)), 1


def fold_mapped(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Rows of every member of a mapped axis below each other."""
    if dim is None:
        return tensor.expand(size, *tensor.shape).flatten(0, 1)
    return tensor.movedim(dim, 0).flatten(0, 1)


def _plain_sums(
    formula: PixelFormula, logits: Tensor, target: Tensor, valid: Tensor | None
) -> Tensor:
    logits, target = without_ignored(logits, target, valid)
    dtype = wide(logits.dtype)
    return torch.stack(formula.terms(logits.to(dtype), target.to(dtype)))
