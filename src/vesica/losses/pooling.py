"""What is added up: sums over images before a formula, and values of images after it."""

import math
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from vesica.losses.rows import Empty, Pool, as_plain, check_parameters, expand_valid
from vesica.shapes import PerImage, Target, Valid

Reduction = Literal["mean", "sum", "none", "classes"]


def pool_rows(sums: Tensor, pool: Pool) -> Tensor:
    """Sums of shape (num_sums, batch, ...) as they are, or added to (num_sums, 1, ...)."""
    if pool == "image":
        return sums
    pooled = sums.sum(dim=1, keepdim=True)
    return add_over_processes(pooled) if pool == "world" else pooled


def add_over_processes(sums: Tensor) -> Tensor:
    """The sum over all processes, on each of them; the same tensor where there is only one.

    Every process has the same loss, made of everybody's pixels. The gradient by its own sums is
    added over the processes too: that is number-of-processes times its own part, and the mean
    that `DistributedDataParallel` takes makes the whole gradient of it.
    """
    if not has_others():
        return sums
    added: Tensor = _AddOverProcesses.apply(sums)
    return added


def gather_pixels(
    logits: Tensor, target: Tensor, valid: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Every process's pixels beside each other, (rows, pixels of all), and which of them count.

    A gradient goes to this process's logits alone.
    """
    valid = torch.ones_like(target, dtype=torch.bool) if valid is None else valid
    num, rank = logits.shape[1], dist.get_rank()
    sizes = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=logits.device)
    sizes[rank] = num
    dist.all_reduce(sizes)
    most = int(sizes.max())

    def gather(own: Tensor) -> Tensor:
        padded = functional.pad(own, (0, most - num))
        parts = [torch.empty_like(padded, requires_grad=False) for _ in sizes]
        dist.all_gather(parts, padded.detach().contiguous())
        parts[rank] = padded
        return torch.cat(parts, dim=1)

    return gather(logits), gather(target.to(logits.dtype)), gather(valid.to(torch.uint8)).bool()


def share_loss(loss: Tensor) -> Tensor:
    """A loss that every process has made of everybody's pixels, with the gradient of such."""
    num = dist.get_world_size()
    return add_over_processes(loss - (1 - 1 / num) * loss.detach())


def weights_of(
    target: Target,
    *,
    empty: Empty | None = None,
    valid: Valid | None = None,
    channels: bool = False,
    pool: Pool = "image",
) -> PerImage:
    """What a loss's values count in a mean: 1; 0 where no pixel counts, or by `empty="skip"`.

    Args:
        target: As the loss gets it, shape (batch, *pixels).
        empty: The loss's policy for images without foreground; None where it has none.
        valid, channels, pool: As the loss gets them.

    Returns:
        The shape of the loss's values, float32.
    """
    check_parameters(pool=pool)
    target = as_plain(target)
    counted = torch.ones((), dtype=torch.bool, device=target.device).expand_as(target)
    if valid is not None:
        counted = expand_valid(as_plain(valid), target, channels).bool()
    if empty == "skip":
        counted = counted & (target > 0)
    num_axes = 2 if channels else 1
    shape, pixels = target.shape[:num_axes], target.shape[num_axes:]
    counts = counted.reshape(1, *shape, math.prod(pixels)).sum(dim=-1)
    return (pool_rows(counts, pool)[0] > 0).float()


def reduce_values(values: Tensor, weights: Tensor | None, reduction: Reduction) -> Tensor:
    """One number of the values of several terms; "none" and "classes" add the terms alone.

    Args:
        values: Shape (terms, batch, ...).
        weights: Same shape: what each counts in the mean of its term, 0 or more. None: 1.
        reduction: Over everything but the terms.

    Raises:
        ValueError: If there is no such reduction.
    """
    if reduction in ("none", "classes"):
        return values.sum(dim=0)
    if reduction == "sum":
        return values.sum()
    if reduction != "mean":
        raise ValueError(f"reduction is {reduction!r}; it is 'mean', 'sum' or 'none'")
    values = values.flatten(1)
    if weights is None:
        return values.sum() / max(1, values.shape[1])
    weights = weights.flatten(1)
    return ((values * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)).sum()


def has_others() -> bool:
    """Whether there are other processes to add up with."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _AddOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sums: Tensor) -> Tensor:
        added = sums.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(added)
        return added

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        added: Tensor = _AddOverProcesses.apply(grad)
        return added
