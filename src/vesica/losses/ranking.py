"""Losses that rank the pixels by their errors: Lovasz hinge.

The Lovasz extension of the Jaccard loss weighs a pixel's hinge error by what the loss of the set of
all pixels with larger errors grows when it is added. Berman et al. subtract neighbouring losses,
J[k] - J[k-1], which cancels where there are many pixels. With I true positives left and a union of
U, the difference is exactly

- 1 / U for a pixel of the foreground,
- I / (U (U + 1)) for one of the background.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from vesica.losses.pooling import add_over_processes, largest_of_processes
from vesica.losses.rows import (
    Empty,
    Pool,
    Rows,
    TargetCheck,
    as_rows,
    blocks,
    read_block,
    wide,
    without_ignored,
)
from vesica.losses.sums import fold_mapped
from vesica.shapes import Logits, PerImage, Target, Valid

MAX_SORTED = 2**22
"""Pixels that are sorted at once; more are taken in slices of falling error."""

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
            itself (16: 1 / 256, 19: 1 / 2048). 0 is exact.
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
    if (bits and not FEWEST_BITS <= bits <= MOST_BITS) or bits != int(bits):
        raise ValueError(
            f"bits is {bits:g}; it is 0, for exact, or a whole number from {FEWEST_BITS} to "
            f"{MOST_BITS}"
        )
    if empty not in get_args(Empty):
        raise ValueError(f"empty is {empty!r}; it is one of: {', '.join(get_args(Empty))}")
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


class Ranking(NamedTuple):
    """How pixels are ranked: the parameters of `lovasz_hinge_loss`."""

    bits: int
    empty: Empty
    is_world: bool


class _Hinge(torch.autograd.Function):
    """(rows, pixels) to the loss, (rows,), and its derivative by the logits, (rows, pixels)."""

    @staticmethod
    def forward(
        rank: Ranking, logits: Tensor, target: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        dtype = wide(logits.dtype)
        loss = logits.new_zeros(len(logits), dtype=dtype)
        slope = torch.zeros_like(logits, dtype=dtype)
        compute = _bucket_row if rank.bits else _sort_row
        for row in range(len(logits)):
            part = slice(row, row + 1)
            pixels = _Row(logits[part], target[part], None if valid is None else valid[part])
            compute(rank, pixels, loss[part], slope[row])
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


class _Row(NamedTuple):
    """The pixels of one image, or of a pool of images; each of shape (1, pixels)."""

    logits: Tensor
    target: Tensor
    valid: Tensor | None

    def margins(self, dtype: torch.dtype) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Block by block: where it starts, x (1 - 2 t), and t; each of shape (pixels,).

        The error is 1 plus the margin, rounded; the margin itself keeps the order exactly.
        """
        for row, pixels in blocks(self.logits):
            block, truth = read_block(*self, row, pixels, dtype)
            yield pixels.start, (block * (1 - 2 * truth)).view(-1), truth.view(-1)

    @property
    def num_pixels(self) -> Tensor:
        """How many count."""
        if self.valid is None:
            return torch.tensor(self.logits.shape[1], device=self.logits.device)
        return self.valid.sum()


def _sort_row(rank: Ranking, row: _Row, loss: Tensor, slope: Tensor) -> None:
    """Write loss and slope of one row, exactly. Only pixels with an error are sorted."""
    check = TargetCheck(row.target, is_hard=True)
    num_positives = loss.new_zeros((), dtype=torch.int64)
    keys, codes = [], []
    for start, margin, truth in row.margins(loss.dtype):
        check.see(truth)
        num_positives += truth.sum().long()
        wrong = torch.nonzero((margin <= -1).logical_not_()).view(-1)  # NaN stays in
        keys.append(_descending(margin.index_select(0, wrong)))
        code = (wrong + start) * 2 + truth.index_select(0, wrong).long()
        codes.append(code.int() if len(slope) < 2**30 else code)
    check.finish()
    if num_positives == 0:
        _judge_empty(rank, row, loss, slope)
        return
    key, code = torch.cat(keys), torch.cat(codes)
    del keys, codes
    num_before, positives_before = 0, 0
    for part in _slices(key):
        ordered, order = torch.sort(key if part is None else key.index_select(0, part))
        ordered_code = (code if part is None else code.index_select(0, part)).index_select(0, order)
        del order
        label = ordered_code & 1
        seen = label.cumsum(0, dtype=torch.int64 if len(slope) >= 2**31 else torch.int32)
        seen += positives_before
        rank_of = torch.arange(1, len(label) + 1, dtype=seen.dtype, device=seen.device)
        positives_before, num_before = int(seen[-1]), num_before + len(label)
        negatives = rank_of.add_(num_before - len(label)).sub_(seen)
        growth = _growth(num_positives, seen, negatives, label, loss.dtype)
        loss += (_undo_descending(ordered) + 1).mul_(growth).sum()
        place = ordered_code >> 1
        slope.index_copy_(0, place.long(), growth.mul_(1 - 2 * label))


def _growth(
    num_positives: Tensor, positives: Tensor, negatives: Tensor, label: Tensor, dtype: torch.dtype
) -> Tensor:
    """What each pixel adds to `1 - IoU`, in the order of falling errors.

    Args:
        num_positives: Of the image.
        positives: How many have come, each pixel itself included.
        negatives: Likewise.
        label: 1 on foreground, 0 on background.
        dtype: Of the result.
    """
    union = (num_positives + negatives).to(dtype)  # for a background pixel, with itself
    inside = (num_positives - positives).to(dtype).div_((union - 1).clamp_min_(1))
    return torch.where(label == 1, 1, inside).div_(union)


def _judge_empty(rank: Ranking, row: _Row, loss: Tensor, slope: Tensor) -> None:
    """Of an image without foreground, every error is a false positive."""
    if rank.empty == "skip":
        return
    errors = torch.cat([margin for _, margin, _ in row.margins(loss.dtype)]).add_(1).clamp_min_(0)
    if rank.empty == "background":
        loss += errors.sum() / row.num_pixels.clamp_min(1)
        slope.copy_((errors > 0).to(errors.dtype) / row.num_pixels.clamp_min(1))
    elif len(errors):
        largest = errors.argmax()
        loss += errors[largest]
        slope[largest] = errors[largest] > 0


def _slices(key: Tensor) -> Iterator[Tensor | None]:
    """Places of keys by rising key, about `MAX_SORTED` at once; None for all of them."""
    if len(key) <= MAX_SORTED:
        if len(key):
            yield None
        return
    shift = 8 * key.element_size() - 16
    counts = torch.bincount((key >> shift).add_(2**15), minlength=2**16).cumsum(0)
    steps = torch.arange(MAX_SORTED, len(key) + MAX_SORTED, MAX_SORTED, device=key.device)
    ends: list[int] = torch.searchsorted(counts, steps.clamp_max(len(key))).tolist()
    low = 0
    for end in dict.fromkeys(ends):
        first, last = (low - 2**15) << shift, ((end + 1 - 2**15) << shift) - 1
        part = torch.nonzero((key >= first) & (key <= last)).view(-1)
        low = end + 1
        if len(part):
            yield part


def _descending(margin: Tensor) -> Tensor:
    """Integers that rise as the numbers fall; PyTorch sorts integers several times faster."""
    bits = margin.view(torch.int64 if margin.dtype == torch.float64 else torch.int32)
    return _fold(bits).bitwise_not_()


def _undo_descending(key: Tensor) -> Tensor:
    return _fold(~key).view(torch.float64 if key.dtype == torch.int64 else torch.float32)


def _fold(bits: Tensor) -> Tensor:
    """Make the bits of floats rise with them, as negative ones do not; undoes itself."""
    limits = torch.iinfo(bits.dtype)
    return bits ^ ((bits >> (limits.bits - 1)) & limits.max)


def _bucket_row(rank: Ranking, row: _Row, loss: Tensor, slope: Tensor) -> None:
    """Write loss and slope of one row: errors of one bucket are taken for its lower end."""
    check = TargetCheck(row.target, is_hard=True)
    found: list[Tensor] = []
    total = loss.new_zeros(())
    for _, margin, truth in row.margins(loss.dtype):
        check.see(truth)
        error = margin.add_(1).clamp_min_(0)
        total += error.sum()
        found.append(torch.bincount(_bucket(error, truth, rank.bits), minlength=2))
    check.finish()
    num_pixels = row.num_pixels
    num_buckets = max(((len(part) + 1) // 2 for part in found), default=1)
    if rank.is_world:
        num_buckets = largest_of_processes(num_buckets, loss.device)
    counts = loss.new_zeros(2 * num_buckets, dtype=torch.int64)
    for part in found:
        counts[: len(part)] += part
    if rank.is_world:
        counts, total, num_pixels = map(add_over_processes, (counts, total, num_pixels))
    growth = _bucket_growth(counts.view(-1, 2), rank, loss.dtype)
    is_mean = rank.empty == "background" and not counts[1::2].any()
    if is_mean:
        growth[1:] = 1 / num_pixels.clamp_min(1).to(loss.dtype)
        loss += total / num_pixels.clamp_min(1)
    else:
        loss += (
            _lower_ends(num_buckets, rank.bits, loss) * (growth * counts.view(-1, 2)).sum(1)
        ).sum()
    growth[0] = 0  # no error, no gradient
    growth[:, 1] *= -1
    for start, margin, truth in row.margins(loss.dtype):
        bucket = _bucket(margin.add_(1).clamp_min_(0), truth, rank.bits)
        torch.index_select(growth.view(-1), 0, bucket, out=slope[start : start + len(bucket)])


def _bucket(error: Tensor, truth: Tensor, bits: int) -> Tensor:
    """Twice the leading bits of an error, counted from the smallest, plus the label."""
    # A NaN may have a sign, and would be lost below 0.
    leading = error.float().abs().view(torch.int32) >> (31 - bits)
    return leading.sub_(_smallest(bits)).clamp_min_(0).mul_(2).add_((truth > 0.5).int())


def _lower_ends(num_buckets: int, bits: int, like: Tensor) -> Tensor:
    """The smallest error of each bucket."""
    leading = torch.arange(num_buckets, dtype=torch.int32, device=like.device) + _smallest(bits)
    ends = (leading << (31 - bits)).view(torch.float32).to(like.dtype)
    ends[0] = 0
    return ends


def _smallest(bits: int) -> int:
    """The leading bits of 0: float32 has no `1 + margin` between 0 and 2 ** -24."""
    return ((127 - 24) << (bits - 8)) - 1


def _bucket_growth(counts: Tensor, rank: Ranking, dtype: torch.dtype) -> Tensor:
    """What a pixel of each bucket adds to `1 - IoU`: the mean of foreground first and last.

    Args:
        counts: Pixels by bucket and label, shape (buckets, 2).
        rank: What an image without foreground is worth.
        dtype: Of the result.

    Returns:
        Of the same shape.
    """
    before = counts.sum(0) - counts.cumsum(0)  # with larger errors
    num_positives = counts[:, 1].sum()
    negatives, positives = counts.to(dtype).unbind(1)
    inside = (num_positives - before[:, 1]).to(dtype)
    union = (num_positives + before[:, 0]).to(dtype)
    with_all = union + negatives
    of_positive = (1 / union.clamp_min(1) + 1 / with_all.clamp_min(1)) / 2
    of_negative = (inside - positives / 2) / (union * with_all).clamp_min(1)
    if num_positives == 0:  # the largest error alone, shared by those of its bucket
        is_first = (before[:, 0] == 0) & (counts[:, 0] > 0)
        of_negative = is_first / negatives.clamp_min(1) * (rank.empty != "skip")
    return torch.stack([of_negative, of_positive], dim=1)


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
