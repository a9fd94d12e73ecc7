"""Sums over the pixels of an image in one pass through memory and without copies.

PyTorch's own operations would keep several images' worth of intermediate values for the backward
pass. Here an image goes through the caches block by block, nothing but the sums is kept, and the
backward pass goes through it once more. Wherever a gradient is differentiated again, the formula
runs as plain operations.
"""

from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from vesica.shapes import wide, without_ignored

BLOCK_SIZE = 2**17
"""Pixels that are worked on at once on a CPU: 512 KiB in float32, of which three stay in a core's
own cache.
It must depend on nothing but the device: what is divided into blocks once is divided again."""

BLOCK_SIZE_GPU = 2**25
"""There, starting a kernel costs more than a pass through memory."""


class Formula(Protocol):
    """Numbers that a loss adds over pixels."""

    @property
    def name(self) -> str:
        """Key of `SLOPES`, if its derivative is there."""

    @property
    def num_sums(self) -> int:
        """How many numbers."""

    @property
    def options(self) -> dict[str, float]:
        """What the slope takes."""

    def terms(self, logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        """From (rows, pixels) to the sums over pixels, each (rows,); differentiable."""


def sum_by_blocks(
    formula: Formula, logits: Tensor, target: Tensor, valid: Tensor | None, is_hard: bool
) -> Tensor:
    """A formula's sums over each row of (rows, pixels), shape (num_sums, rows).

    It may be known of a target that it has nothing between 0 and 1.
    """
    sums: Tensor = _PixelSums.apply((formula, is_hard), logits, target, valid)
    return sums


class _PixelSums(torch.autograd.Function):
    """(rows, pixels) to (num_sums, rows), block by block."""

    @staticmethod
    def forward(
        task: tuple[Formula, bool], logits: Tensor, target: Tensor, valid: Tensor | None
    ) -> Tensor:
        formula, is_hard = task
        dtype = wide(logits.dtype)
        sums = logits.new_zeros((formula.num_sums, len(logits)), dtype=dtype)
        fast = (SUMS_OF_HARD if is_hard else SUMS).get(formula.name)
        scratch = logits.new_empty(0, dtype=dtype)
        for rows, pixels in blocks(logits):
            block, truth = read_block(logits, target, valid, rows, pixels, dtype)
            terms = None
            if fast is not None:
                scratch = block.new_empty(block.shape) if scratch.shape != block.shape else scratch
                terms = fast(block, truth, scratch, **formula.options)
            sums[:, rows].add_(torch.stack(terms or formula.terms(block, truth)))
        return sums

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        (ctx.formula, _), *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> tuple[None, Tensor, None, None]:
        logits, target, valid = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate this gradient again
            return None, _pull_back(ctx.formula, logits, target, valid, grads), None, None
        grad = torch.empty_like(logits)
        write = SLOPES.get(ctx.formula.name)
        by_sums = grads.unsqueeze(-1)
        for rows, pixels in blocks(logits):
            block, truth = read_block(logits, target, valid, rows, pixels, grads.dtype)
            place = grad[rows, pixels]
            if write is None:
                place.copy_(_pull_back(ctx.formula, block, truth, None, grads[:, rows]))
                continue
            # A widened block is a copy, which may be written over.
            slope = place if place.dtype == block.dtype else block
            if slope is block and truth.dtype == target.dtype:
                truth = truth.clone()
            write(block, truth, by_sums[:, rows], slope, **ctx.formula.options)
            if slope is block:
                place.copy_(slope)
            del block, truth, slope  # before the next ones are made
        return None, grad, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        task: tuple[Formula, bool],
        *tensors: Tensor | None,
    ) -> tuple[Tensor, int]:
        """Make more rows of the mapped axis."""
        sums = _PixelSums.apply(task, *fold_mapped(tensors, in_dims[1:], info.batch_size))
        return sums.unflatten(1, (info.batch_size, -1)), 1


def fold_mapped(
    tensors: tuple[Tensor | None, ...], dims: tuple[int | None, ...], size: int
) -> Iterator[Tensor | None]:
    """Rows of every member of a mapped axis below each other."""
    for tensor, dim in zip(tensors, dims, strict=True):
        if tensor is None:
            yield None
        elif dim is None:
            yield tensor.expand(size, *tensor.shape).flatten(0, 1)
        else:
            yield tensor.movedim(dim, 0).flatten(0, 1)


def _pull_back(
    formula: Formula, logits: Tensor, target: Tensor, valid: Tensor | None, grads: Tensor
) -> Tensor:
    """The derivative by plain operations."""

    def sums(logits: Tensor) -> Tensor:
        seen, truth = without_ignored(logits, target, valid)
        return torch.stack(formula.terms(seen.to(grads.dtype), truth.to(grads.dtype)))

    grad: Tensor = torch.func.vjp(sums, logits)[1](grads)[0]  # which torch.func nests
    return grad


def groups(logits: Tensor, most: int) -> Iterator[slice]:
    """As many whole rows of (rows, pixels) as make a block, at least one and at most so many."""
    num_rows, num_pixels = logits.shape
    step = max(1, min(most, _block_size(logits) // max(1, num_pixels)))
    for row in range(0, num_rows, step):
        yield slice(row, row + step)


def blocks(logits: Tensor) -> Iterator[tuple[slice, slice]]:
    """Parts of (rows, pixels) of about the block size: some rows, or a part of one."""
    size = _block_size(logits)
    for rows in groups(logits, len(logits)):
        for pixel in range(0, logits.shape[1], size):
            yield rows, slice(pixel, pixel + size)


def _block_size(logits: Tensor) -> int:
    return BLOCK_SIZE if logits.device.type == "cpu" else BLOCK_SIZE_GPU


def read_block(
    logits: Tensor,
    target: Tensor,
    valid: Tensor | None,
    rows: slice,
    pixels: slice,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Logits and target of a block in the type to work in, ignored pixels made background."""
    part = None if valid is None else valid[rows, pixels]
    if target.dtype == torch.bool:  # which PyTorch converts at a seventh of the speed
        target = target.view(torch.uint8)
    block, truth = without_ignored(logits[rows, pixels], target[rows, pixels], part)
    return block.to(dtype), truth.to(dtype)


def times_sigmoid_slope(factor: Tensor, logits: Tensor, out: Tensor) -> None:
    """Write factor times s(x) s(-x) to `out`, which may be the logits."""
    # s(-|x|) is at most 1/2, so that one minus it loses nothing. Setting the sign bit makes -|x|
    # in one pass.
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[out.itemsize]
    bits = out.view(kind)
    torch.bitwise_or(logits.view(kind), torch.iinfo(kind).min, out=bits)
    out.sigmoid_()
    torch.ops.aten.sigmoid_backward.grad_input(factor, out, grad_input=out)


def _hard_counts(logits: Tensor, target: Tensor, scratch: Tensor) -> tuple[Tensor, ...] | None:
    """Of a pixel with a hard target, the error is the sigmoid of its logit to the other side."""
    error = torch.addcmul(logits, logits, target, value=-2, out=scratch).sigmoid_()
    total, positives = error.sum(1), target.sum(1)
    if not isfinite(total.sum()):  # an infinite logit, of which x - 2 x t is no number
        return None
    missed = error.mul_(target).sum(1)
    return positives - missed, (total - missed).clamp_min_(0), missed


def _finite_entropy(logits: Tensor, target: Tensor, scratch: Tensor) -> tuple[Tensor, ...] | None:
    kind = functional.binary_cross_entropy_with_logits
    return _if_finite(kind(logits, target, reduction="none").sum(1))


def _finite_focal(
    logits: Tensor, target: Tensor, scratch: Tensor, alpha: float, gamma: float
) -> tuple[Tensor, ...] | None:
    wrong = torch.addcmul(logits, logits, target, value=-2, out=scratch)
    entropy = functional.logsigmoid(-wrong).neg_()
    entropy.mul_(functional.logsigmoid(wrong).mul_(gamma).exp_()).mul_(_weight(target, alpha))
    return _if_finite(entropy.sum(1))


def _if_finite(total: Tensor) -> tuple[Tensor, ...] | None:
    return (total,) if isfinite(total.sum()) else None


def _products_slope(logits: Tensor, target: Tensor, by_sums: Tensor, out: Tensor) -> None:
    by_tp, by_fp, by_fn = by_sums
    rise = by_tp - by_fn - by_fp
    factor = target.mul_(rise) if out is logits else target * rise
    times_sigmoid_slope(factor.add_(by_fp), logits, out)


def _minima_slope(logits: Tensor, target: Tensor, by_sums: Tensor, out: Tensor) -> None:
    by_tp, by_fp, by_fn = by_sums
    # Above or below the target; p can be on one side only of a hard one.
    side = torch.sign(torch.sigmoid(logits).sub_(target))
    side = torch.where(target == 0, 1, torch.where(target == 1, -1, side))
    times_sigmoid_slope(
        side.clamp_min(0) * by_fp + side.clamp_max(0) * (by_fn - by_tp), logits, out
    )


def _squares_slope(logits: Tensor, target: Tensor, by_sums: Tensor, out: Tensor) -> None:
    by_tp, by_fp, by_fn, by_either = by_sums
    rest = 1 - target
    error = torch.sigmoid(logits).mul_(rest) - torch.sigmoid(-logits).mul_(target)
    factor = error.mul_(2 * (by_fp * rest + by_fn * target))
    times_sigmoid_slope(factor.add_(target * by_tp).add_(rest * by_either), logits, out)


def _entropy_slope(logits: Tensor, target: Tensor, by_sums: Tensor, out: Tensor) -> None:
    torch.sigmoid(logits, out=out).sub_(target).mul_(by_sums[0])


def _focal_slope(
    logits: Tensor, target: Tensor, by_sums: Tensor, out: Tensor, alpha: float, gamma: float
) -> None:
    side = 1 - 2 * target
    limit = torch.finfo(logits.dtype).max
    wrong = (side * logits).clamp_(-limit, limit)
    probs, entropy = torch.sigmoid(wrong), -functional.logsigmoid(-wrong)
    slope = entropy.mul_(torch.sigmoid(-wrong)).mul_(gamma).add_(probs)
    slope.mul_(probs.pow_(gamma)).mul_(side).mul_(_weight(target, alpha))
    torch.mul(slope, by_sums[0], out=out)


def _weight(target: Tensor, alpha: float) -> Tensor:
    return 1 - alpha + (2 * alpha - 1) * target


SUMS: dict[str, Callable[..., tuple[Tensor, ...] | None]] = {"entropy": _finite_entropy}
"""Faster ways to the sums of a block that nobody will differentiate: from logits, target, memory to
work in (new pages cost more than the work), and the formula's options; None where only `terms` will
do."""

SUMS_OF_HARD: dict[str, Callable[..., tuple[Tensor, ...] | None]] = {
    **SUMS,
    "products": _hard_counts,
    "minima": _hard_counts,
    "focal": _finite_focal,
}
"""The same where the target has nothing between 0 and 1."""

SLOPES: dict[str, Callable[..., None]] = {
    "products": _products_slope,
    "minima": _minima_slope,
    "squares": _squares_slope,
    "entropy": _entropy_slope,
    "focal": _focal_slope,
}
"""Derivatives by the logits: from logits, target, gradients by the sums of shape (num_sums, rows,
1) and the formula's options, written to the last positional argument, (rows, pixels); it may be the
logits, and then the target may be written over too. Other formulas are differentiated by autograd,
block by block."""
