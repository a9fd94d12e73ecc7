"""Losses that rank the pixels by their errors: Lovasz hinge.

The Lovasz extension of the Jaccard loss weighs a pixel's hinge error by what the loss of the set of
all pixels with larger errors grows when it is added. Berman et al. subtract neighbouring losses,
J[k] - J[k-1], which cancels where there are many pixels. With I true positives left and a union of
U, the difference is exactly

- 1 / U for a pixel of the foreground,
- I / (U (U + 1)) for one of the background.
"""

import math
from typing import Any, get_args

import torch
from torch import Tensor

from vesica.losses.buckets import bucket_row
from vesica.losses.pooling import add_over_processes
from vesica.losses.rows import (
    Empty,
    Pool,
    Rows,
    as_rows,
    check_parameters,
    groups,
    wide,
    without_ignored,
)
from vesica.losses.sorting import sort_rows
from vesica.losses.sums import fold_mapped
from vesica.losses.wrong import Pixels, Ranking
from vesica.shapes import Logits, PerImage, Target, Valid

FEWEST_BITS, MOST_BITS = 10, 22


def lovasz_hinge_loss(
    logits: Logits,
    target: Target,
    *,
    bits: int = 0,
    empty: Empty = "background",
    valid: Valid | None = None,
    channels: bool = False,
    pool: Pool = "image",
) -> PerImage:
    """Lovasz hinge loss, one value per image: the Lovasz extension of `1 - IoU` at hinge errors.

    A pixel's error is max(0, 1 - x (2 t - 1)).

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, nothing between; same shape.
        bits: Rank pixels by so many leading bits of their error, in time proportional to their
            number and without sorting: the value is too small by at most 1 / 2 ** (bits - 8) of
            itself (16: 1 / 256, 19: 1 / 2048), and the gradient is approximate. 0 is exact. Errors
            below 2 ** -24, which only float64 logits can have, count as 0.
        empty: What an image without foreground is worth: "background" is the mean error,
            "formula" the largest one, "skip" 0 with weight 0.
        valid, channels, pool: As for every loss; see `vesica.losses`. "world" needs `bits`.

    Returns:
        Loss in [0, inf), shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not 0 or 1, `bits` is not one of those,
            or pixels of several processes would have to be sorted.

    Source:
        Berman et al. 2018, algorithm 1.
    """
    if bits and not (FEWEST_BITS <= bits <= MOST_BITS and bits == int(bits)):
        raise ValueError(
            f"bits is {bits:g}; it is 0, for exact, or a whole number from {FEWEST_BITS} to "
            f"{MOST_BITS}"
        )
    check_parameters(empty=empty)
    if pool == "world" and not bits:
        raise ValueError(
            "pixels of several processes cannot be sorted together; pass bits=16 with pool='world'"
        )
    rows = _pool(as_rows(logits, target, valid, channels), pool)
    if not rows.logits.numel() and pool != "world":  # other processes may wait for this one
        return rows.logits.to(wide(logits.dtype)).sum(dim=1).view(rows.shape)
    compute = _plain_hinge if torch.compiler.is_compiling() else _Hinge.apply
    rank = Ranking(int(bits), empty, pool == "world")
    loss, _ = compute(rank, rows.logits, rows.target, rows.valid)
    return loss.view(rows.shape)


class _Hinge(torch.autograd.Function):
    """(rows, pixels) to the loss, (rows,), and its derivative by the logits, (rows, pixels)."""

    @staticmethod
    def forward(
        rank: Ranking, logits: Tensor, target: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        dtype = wide(logits.dtype)
        loss = logits.new_zeros(len(logits), dtype=dtype)
        slope = torch.zeros_like(logits, dtype=dtype)
        # Buckets are counted per image, and a key of 64 bits has no room for the row.
        is_single = rank.bits or dtype == torch.float64
        compute = bucket_row if rank.bits else sort_rows
        pixels = Pixels(logits, target, valid)
        for part in groups(logits, 1 if is_single else len(logits)):
            compute(rank, pixels.rows(part), loss[part], slope[part])
        return loss, slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.rank, ctx.dtype = inputs[0], inputs[1].dtype
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # or the slope would get one, of zeros
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Any) -> tuple[None, Tensor | None, None, None]:
        (slope,) = ctx.saved_tensors
        if grad is None:
            return None, None, None, None
        if ctx.rank.is_world:
            grad = add_over_processes(grad)
        return None, (slope * grad.unsqueeze(1)).to(ctx.dtype), None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        rank: Ranking,
        logits: Tensor,
        target: Tensor,
        valid: Tensor | None,
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """Make more rows of the mapped axis."""
        tensors = [
            None if tensor is None else fold_mapped(tensor, dim, info.batch_size)
            for tensor, dim in zip((logits, target, valid), in_dims[1:], strict=True)
        ]
        loss, slope = _Hinge.apply(rank, *tensors)
        unfold = (info.batch_size, -1)
        return (loss.unflatten(0, unfold), slope.unflatten(0, unfold)), (0, 0)


def _plain_hinge(
    rank: Ranking, logits: Tensor, target: Tensor, valid: Tensor | None
) -> tuple[Tensor, None]:
    """The same by plain operations on all rows at once, for `torch.compile`; always exact."""
    if rank.is_world:
        raise ValueError("lovasz_hinge over pool='world' cannot be compiled; call it uncompiled")
    logits, target = without_ignored(logits, target, valid)
    truth = target.to(wide(logits.dtype))
    errors = torch.relu(1 + logits.to(truth.dtype) * (1 - 2 * truth))
    num_positives = truth.sum(dim=1, keepdim=True)
    ordered, order = errors.sort(dim=1, descending=True)
    label = truth.gather(1, order)
    positives = label.cumsum(dim=1)
    negatives = (1 - label).cumsum(dim=1)
    union = num_positives + negatives
    inside = (num_positives - positives) / (union - 1).clamp_min(1)
    growth = torch.where(label == 1, 1, inside) / union.clamp_min(1)
    loss = (ordered * growth.detach()).sum(dim=1)
    if rank.empty == "formula":
        alone = ordered[:, 0]
    elif rank.empty == "skip":
        alone = torch.zeros_like(loss)
    else:
        num_pixels = errors.shape[1] if valid is None else valid.sum(dim=1).clamp_min(1)
        alone = errors.sum(dim=1) / num_pixels
    return torch.where(num_positives[:, 0] > 0, loss, alone), None


def _pool(rows: Rows, pool: Pool) -> Rows:
    """One row of all images (for each channel)."""
    if pool == "image":
        return rows
    if pool not in get_args(Pool):
        raise ValueError(f"pool is {pool!r}; it is 'image', 'batch' or 'world'")
    shape = (1, *rows.shape[1:])
    num_pixels = rows.logits.shape[1]

    def flatten(tensor: Tensor) -> Tensor:
        by_image = tensor.view(*rows.shape, num_pixels).movedim(0, -2)
        return by_image.reshape(math.prod(shape), rows.shape[0] * num_pixels)

    valid = None if rows.valid is None else flatten(rows.valid)
    return Rows(flatten(rows.logits), flatten(rows.target), valid, shape)
