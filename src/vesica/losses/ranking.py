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
from torch.nn import functional

from vesica.losses.pooling import add_over_processes, largest_of_processes
from vesica.losses.rows import (
    BLOCK_SIZE,
    Empty,
    Pool,
    Rows,
    TargetCheck,
    as_rows,
    blocks,
    groups,
    read_block,
    wide,
    without_ignored,
)
from vesica.losses.sums import fold_mapped
from vesica.shapes import Logits, PerImage, Target, Valid

MAX_SORTED = 2**22
"""Pixels that are sorted at once; more are taken in slices of falling error."""

FEW_SORTED = 2**16
"""Pixels of several small images that are sorted at once, as each call takes its time."""

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
        # Buckets are counted per image, and a key of 64 bits has no room for the row.
        is_single = rank.bits or dtype == torch.float64
        compute = _bucket_row if rank.bits else _sort_rows
        pixels = _Pixels(logits, target, valid)
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


class _Pixels(NamedTuple):
    """Some images (or pools of images) that are ranked at once; each of shape (rows, pixels)."""

    logits: Tensor
    target: Tensor
    valid: Tensor | None

    def rows(self, part: slice) -> "_Pixels":
        """Some of them."""
        valid = None if self.valid is None else self.valid[part]
        return _Pixels(self.logits[part], self.target[part], valid)

    def margins(self, dtype: torch.dtype) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Block by block: where it starts, x (1 - 2 t), and t; of shape (rows, block).

        The error is 1 plus the margin, rounded; the margin itself keeps the order exactly.
        """
        for rows, pixels in blocks(self.logits):
            block, truth = read_block(*self, rows, pixels, dtype)
            yield pixels.start, torch.rsub(truth, 1, alpha=2).mul_(block), truth

    def num_counted(self) -> Tensor:
        """How many pixels of each row count."""
        if self.valid is None:
            num_rows, num_pixels = self.logits.shape
            return torch.full((num_rows,), num_pixels, device=self.logits.device)
        return self.valid.sum(dim=1)


class _Wrong(NamedTuple):
    """The pixels that have an error, row by row.

    Attributes:
        margin: x (1 - 2 t), above -1 or NaN.
        code: Twice the place in the flattened rows, plus the label.
        num_wrong: Per row.
        num_positives: Of all pixels, per row.
    """

    margin: Tensor
    code: Tensor
    num_wrong: Tensor
    num_positives: Tensor


def _find_wrong(pixels: _Pixels, dtype: torch.dtype) -> _Wrong:
    check = TargetCheck(pixels.target, is_hard=True)
    num_rows, num_pixels = pixels.logits.shape
    num_positives = torch.zeros(num_rows, dtype=torch.int64, device=pixels.logits.device)
    num_wrong = torch.zeros_like(num_positives)
    ends = torch.arange(num_rows, device=pixels.logits.device) * num_pixels + num_pixels
    margins, codes = [], []
    for start, margin, truth in pixels.margins(dtype):
        check.see(truth)
        num_positives += truth.sum(dim=1).long()
        wrong = torch.nonzero((margin.view(-1) <= -1).logical_not_()).view(-1)  # NaN stays in
        num_wrong += torch.searchsorted(wrong, ends).diff(prepend=num_wrong.new_zeros(1))
        margins.append(margin.view(-1).index_select(0, wrong))
        label = truth.view(-1).index_select(0, wrong).long()
        code = label.add_(wrong, alpha=2).add_(2 * start)
        codes.append(code.int() if num_rows * num_pixels < 2**30 else code)
    check.finish()
    return _Wrong(torch.cat(margins), torch.cat(codes), num_wrong, num_positives)


def _sort_rows(rank: Ranking, pixels: _Pixels, loss: Tensor, slope: Tensor) -> None:
    """Write loss and slope of several small rows or of a large one, exactly."""
    margin, code, num_wrong, num_positives = _find_wrong(pixels, loss.dtype)
    key = _descending(margin)
    del margin
    for rows, part in _runs(num_wrong.tolist()):
        several = num_wrong[rows] if rows.stop - rows.start > 1 else None
        _sort_run(key[part], code[part], several, num_positives[rows], loss[rows], slope)
    _judge_empty(rank, pixels, num_positives, loss, slope)


def _runs(sizes: list[int]) -> Iterator[tuple[slice, slice]]:
    """Neighbouring rows that are sorted at once, and their elements: as many as stay in cache."""
    first = start = stop = 0
    for row, size in enumerate(sizes):
        if row > first and stop + size - start > FEW_SORTED:
            yield slice(first, row), slice(start, stop)
            first, start = row, stop
        stop += size
    yield slice(first, len(sizes)), slice(start, stop)


def _sort_run(
    key: Tensor,
    code: Tensor,
    sizes: Tensor | None,
    num_positives: Tensor,
    loss: Tensor,
    slope: Tensor,
) -> None:
    """Write loss and slope of some rows.

    Args:
        key: Integers that rise as the errors fall, shape (wrong pixels,).
        code: As in `_Wrong`.
        sizes: Wrong pixels of each row; None: all are of one row.
        num_positives: Of each row.
        loss: Where to add, of each row.
        slope: Where to write, shape (rows, pixels) of what the codes are places in.
    """
    if sizes is not None:  # by row first; these are float32 and few
        row = torch.arange(len(sizes), device=key.device).repeat_interleave(sizes)
        starts = sizes.cumsum(0) - sizes
        key = (row << 32).add_(key).add_(2**31)
    came, positives_came = 0, 0  # in earlier slices
    for part in _slices(key):
        ordered, order = torch.sort(key if part is None else key.index_select(0, part))
        ordered_code = (code if part is None else code.index_select(0, part)).index_select(0, order)
        del order
        label = ordered_code & 1
        positives = label.cumsum(0, dtype=code.dtype).add_(positives_came)
        place = torch.arange(came + 1, came + len(label) + 1, dtype=code.dtype, device=code.device)
        came, positives_came = came + len(label), int(positives[-1])
        of_row, parts = num_positives, [len(label)]
        if sizes is not None:
            ordered = (ordered & (2**32 - 1)).sub_(2**31).int()
            positives -= functional.pad(positives, (1, 0))[starts][row]
            place -= starts[row]
            of_row, parts = num_positives[row], sizes.tolist()
        side = torch.rsub(label.to(loss.dtype), 1, alpha=2)
        growth = _growth(of_row, positives, place.sub_(positives), side)
        weighed = _undo_descending(ordered).add_(1).mul_(growth)
        loss += torch.stack([found.sum() for found in torch.split(weighed, parts)])
        _put(slope, ordered_code, growth.mul_(side))


def _growth(num_positives: Tensor, positives: Tensor, negatives: Tensor, side: Tensor) -> Tensor:
    """What each pixel adds to `1 - IoU`, in the order of falling errors; 0 without foreground.

    Args:
        num_positives: Of the image.
        positives: How many have come, each pixel itself included.
        negatives: Likewise.
        side: -1 on foreground, 1 on background.
    """
    union = (num_positives + negatives).to(side.dtype)  # for a background pixel, with itself
    inside = (num_positives - positives).to(side.dtype).div_((union - 1).clamp_min_(1))
    return torch.where(side < 0, 1, inside).div_(union)


def _put(slope: Tensor, code: Tensor, values: Tensor) -> None:
    """Write each value to its pixel, in parts: PyTorch needs an index of 64 bits."""
    for part, found in zip(
        torch.split(code, BLOCK_SIZE), torch.split(values, BLOCK_SIZE), strict=True
    ):
        slope.view(-1).index_copy_(0, (part >> 1).long(), found)


def _judge_empty(
    rank: Ranking, pixels: _Pixels, num_positives: Tensor, loss: Tensor, slope: Tensor
) -> None:
    """Of images without foreground, every error is a false positive."""
    if rank.empty == "skip":
        return
    num_pixels = pixels.num_counted().clamp_min(1)
    for row in torch.nonzero(num_positives == 0).view(-1).tolist():
        margins = [
            margin.view(-1) for _, margin, _ in pixels.rows(slice(row, row + 1)).margins(loss.dtype)
        ]
        errors = torch.cat(margins).add_(1).clamp_min_(0)
        if rank.empty == "background":
            loss[row] = errors.sum() / num_pixels[row]
            slope[row] = (errors > 0).to(errors.dtype) / num_pixels[row]
        elif len(errors):
            largest = errors.argmax()
            loss[row] = errors[largest]
            slope[row, largest] = errors[largest] > 0


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


def _bucket_row(rank: Ranking, pixels: _Pixels, loss: Tensor, slope: Tensor) -> None:
    """Write loss and slope of one row: errors of one bucket are taken for its lower end."""
    margin, code, _, num_positives = _find_wrong(pixels, loss.dtype)
    error = margin.add_(1)
    bucket = _bucket(error, code, rank.bits)
    counts = torch.bincount(bucket, minlength=2)
    total, num_pixels = error.sum(), pixels.num_counted()
    del error, margin
    num_buckets = (len(counts) + 1) // 2
    if rank.is_world:
        num_buckets = largest_of_processes(num_buckets, loss.device)
    counts = functional.pad(counts, (0, 2 * num_buckets - len(counts)))
    if rank.is_world:
        counts, total, num_pixels, num_positives = map(
            add_over_processes, (counts, total, num_pixels, num_positives)
        )
    growth = _bucket_growth(counts.view(-1, 2), num_positives, rank, loss.dtype)
    if rank.empty == "background" and num_positives == 0:
        growth[:] = 1 / num_pixels.clamp_min(1).to(loss.dtype)
        loss += total / num_pixels.clamp_min(1)
    else:
        of_bucket = (growth * counts.view(-1, 2)).sum(dim=1)
        loss += (_lower_ends(num_buckets, rank.bits, loss) * of_bucket).sum()
    growth[:, 1] *= -1
    _put(slope, code, growth.view(-1).index_select(0, bucket))


def _bucket(error: Tensor, code: Tensor, bits: int) -> Tensor:
    """Twice the leading bits of an error, counted from the smallest, plus the label."""
    # A NaN may have a sign, and would be lost below 0.
    leading = error.float().abs().view(torch.int32) >> (31 - bits)
    return leading.sub_(_smallest(bits)).clamp_min_(0).mul_(2).add_(code & 1)


def _lower_ends(num_buckets: int, bits: int, like: Tensor) -> Tensor:
    """The smallest error of each bucket."""
    leading = torch.arange(num_buckets, dtype=torch.int32, device=like.device) + _smallest(bits)
    ends = (leading << (31 - bits)).view(torch.float32).to(like.dtype)
    ends[0] = 0
    return ends


def _smallest(bits: int) -> int:
    """The leading bits of 0: float32 has no `1 + margin` between 0 and 2 ** -24."""
    return ((127 - 24) << (bits - 8)) - 1


def _bucket_growth(
    counts: Tensor, num_positives: Tensor, rank: Ranking, dtype: torch.dtype
) -> Tensor:
    """What a pixel of each bucket adds to `1 - IoU`: the mean of foreground first and last.

    Args:
        counts: Pixels with an error by bucket and label, shape (buckets, 2).
        num_positives: Of the whole image, shape (1,).
        rank: What an image without foreground is worth.
        dtype: Of the result.

    Returns:
        Of the same shape as `counts`.
    """
    before = counts.sum(0) - counts.cumsum(0)  # with larger errors
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
