"""Losses that rank the pixels by their errors: Lovasz hinge and softmax, entropy of the worst.

The Lovasz extension of the Jaccard loss weighs a pixel's error by what the loss of the set of
all pixels with larger errors grows when it is added. Berman et al. subtract neighbouring losses,
J[k] - J[k-1], which cancels where there are many pixels. With I true positives left and a union of
U, the difference is exactly

- 1 / U for a pixel of the foreground,
- I / (U (U + 1)) for one of the background.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Unpack

import torch
from torch import Tensor

from vesica.accel import faster
from vesica.losses.pixel import pixel_entropy
from vesica.losses.pooling import add_over_processes, gather_pixels, has_others, share_loss
from vesica.losses.rows import Empty, Over, Rows, as_rows, check_parameters, is_abstract
from vesica.losses.sums import probability
from vesica.shapes import Logits, PerImage, Target, wide, without_ignored

FEWEST_BITS, MOST_BITS = 10, 22

SLACK = 1e-6
"""Pixels: 0.07 of 100 are 7, though their product is a little more."""


def lovasz_hinge_loss(
    logits: Logits,
    target: Target,
    *,
    bits: int = 0,
    empty: Empty = "background",
    **over: Unpack[Over],
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
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`. "world" needs
            `bits`.

    Returns:
        Loss in [0, inf), shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not 0 or 1, `bits` is not one of those,
            or pixels of several processes would have to be sorted.

    Source:
        Berman et al. 2018, algorithm 1.
    """
    _check_ranking(bits, empty, over)
    return _extend(as_rows(logits, target, is_hard=True, **over), bits, empty)


def lovasz_softmax_loss(
    logits: Logits,
    target: Target,
    *,
    bits: int = 0,
    empty: Empty = "background",
    **over: Unpack[Over],
) -> PerImage:
    """Lovasz-softmax loss, one value per image: the Lovasz extension of `1 - IoU` at |t - p|.

    With p = sigmoid(logits). Of several classes (`LossModule("lovasz_softmax", softmax=True)`), p
    is the softmax, and the value the mean over the classes present.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, nothing between; same shape.
        bits: As for `lovasz_hinge_loss`.
        empty: What an image without foreground is worth: "background" is the mean error, that is
            of p, "formula" the largest, "skip" 0 with weight 0.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`. "world" needs
            `bits`.

    Returns:
        Loss in [0, 1], shape (batch,), float32 or wider.

    Raises:
        ValueError: As `lovasz_hinge_loss`.

    Source:
        Berman et al. 2018, eq. 11 and 12.
    """
    _check_ranking(bits, empty, over)
    rows = as_rows(logits, target, is_hard=True, **over)
    known, truth = without_ignored(rows.logits, rows.target, rows.valid)
    dtype = wide(known.dtype)
    # The hinge error at p - (1 - t) is 1 - p on foreground and p on background.
    scores = probability(known.to(dtype)) - (1 - truth.to(dtype))
    return _extend(rows._replace(logits=scores, target=truth), bits, empty)


def topk_loss(
    logits: Logits, target: Target, *, share: float = 0.1, **over: Unpack[Over]
) -> PerImage:
    """Cross-entropy of the worst pixels, one value per image: the mean over a share of its pixels.

    Of n pixels that count, ceil(share * n) with the largest cross-entropy.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, between them where labels are soft; same shape.
        share: How much of an image's pixels, in (0, 1]; 1 is `bce`.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, inf), shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not in [0, 1], or the share is not
            allowed.

    Source:
        Wu et al. 2016 (online bootstrapping), as in Ma et al. 2021, where k is 10 %.
    """
    check_parameters(share=share, most=1)
    if share == 0:
        raise ValueError("share=0: expected a number above 0, at most 1: the worst pixels' share")
    rows = _pool(as_rows(logits, target, **over))
    tensors = rows.logits, rows.target, rows.valid
    if rows.pool != "world" or not has_others():
        return _mean_of_worst(share, *tensors).view(rows.shape)
    _refuse_to_compile("topk")
    return share_loss(_mean_of_worst(share, *gather_pixels(*tensors))).view(rows.shape)


class Ranking(NamedTuple):
    """How pixels are ranked.

    Attributes:
        bits: 0, or how many leading bits of an error count.
        empty: What an image without foreground is worth.
        add: Adds a tensor over all processes; None: this process has all pixels.
    """

    bits: int
    empty: Empty
    add: Callable[[Tensor], Tensor] | None


def _check_ranking(bits: int, empty: Empty, over: Over) -> None:
    if bits and not (FEWEST_BITS <= bits <= MOST_BITS and bits == int(bits)):
        raise ValueError(
            f"bits is {bits:g}; it is 0, for exact, or a whole number from {FEWEST_BITS} to "
            f"{MOST_BITS}"
        )
    check_parameters(empty=empty)
    if over.get("pool") == "world" and not bits:
        raise ValueError(
            "pixels of several processes cannot be sorted together; pass bits=16 with pool='world'"
        )


def _extend(rows: Rows, bits: int, empty: Empty) -> PerImage:
    """The Lovasz extension at hinge errors, one value per image, channel or pool."""
    rows = _pool(rows)
    if not rows.logits.numel() and rows.pool != "world":  # other processes may wait for this one
        return rows.logits.to(wide(rows.logits.dtype)).sum(dim=1).view(rows.shape)
    add = add_over_processes if rows.pool == "world" and has_others() else None
    tensors, compute = (rows.logits, rows.target, rows.valid), _plain_hinge
    if not is_abstract(*tensors):
        compute = faster("lovasz_buckets" if bits else "lovasz_sorting", _plain_hinge)
    loss = compute(Ranking(int(bits), empty, add), *tensors)
    return loss.view(rows.shape)


def _plain_hinge(rank: Ranking, logits: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """The same by plain operations on all rows at once; always exact."""
    if rank.add is not None:
        _refuse_to_compile("lovasz_hinge")
        everybody = gather_pixels(logits, target, valid)
        return share_loss(_plain_hinge(rank._replace(add=None), *everybody))
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
    growth = growth.detach()
    # An infinite error may add nothing.
    loss = torch.where((growth == 0) & ordered.isinf(), 0, ordered * growth).sum(dim=1)
    if rank.empty == "formula":
        alone = ordered[:, 0]
    elif rank.empty == "skip":
        alone = torch.zeros_like(loss)
    else:
        num_pixels = errors.shape[1] if valid is None else valid.sum(dim=1).clamp_min(1)
        alone = errors.sum(dim=1) / num_pixels
    return torch.where(num_positives[:, 0] > 0, loss, alone)


def _mean_of_worst(share: float, logits: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """Mean cross-entropy of the worst pixels of each row; 0 where no pixel counts."""
    logits, target = without_ignored(logits, target, valid)  # they cost 0 and come last
    dtype, num_pixels = wide(logits.dtype), logits.shape[1]
    logits, target = logits.to(dtype), target.to(dtype)
    most = min(num_pixels, max(1, math.ceil(share * num_pixels - SLACK)))
    # Ranked without a gradient, which the worst alone need.
    worst = pixel_entropy(logits.detach(), target).topk(most, dim=1, sorted=True).indices
    costs = pixel_entropy(logits.gather(1, worst), target.gather(1, worst))
    if valid is None:
        return costs.sum(dim=1) / max(1, most)
    counted = (share * valid.sum(dim=1, keepdim=True).double() - SLACK).ceil().clamp_min(1)
    place = torch.arange(most, device=costs.device)
    return torch.where(place < counted, costs, 0).sum(dim=1) / counted[:, 0].to(dtype)


def _refuse_to_compile(name: str) -> None:
    if torch.compiler.is_compiling():
        raise ValueError(f"{name} over pool='world' cannot be compiled; call it as it is")


def _pool(rows: Rows) -> Rows:
    """One row of all images (for each channel)."""
    if rows.pool == "image":
        return rows
    shape = (1, *rows.shape[1:])
    num_pixels = rows.logits.shape[1]

    def flatten(tensor: Tensor) -> Tensor:
        by_image = tensor.view(*rows.shape, num_pixels).movedim(0, -2)
        return by_image.reshape(math.prod(shape), rows.shape[0] * num_pixels)

    valid = None if rows.valid is None else flatten(rows.valid)
    return rows._replace(
        logits=flatten(rows.logits), target=flatten(rows.target), valid=valid, shape=shape
    )
