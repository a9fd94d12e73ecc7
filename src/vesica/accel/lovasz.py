"""Lovasz hinge in one pass: pixels with an error, found block by block, and sorted."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from vesica.accel.pixels import BLOCK_SIZE, blocks, fold_mapped, groups, read_block
from vesica.shapes import wide

MAX_SORTED = 2**21
"""Pixels that are sorted at once; more are taken in slices of falling error."""

FEW_SORTED = 2**16
"""Pixels of several small images that are sorted at once, as each call takes its time."""


class Ranking(Protocol):
    """How pixels are ranked: the parameters of `vesica.losses.lovasz_hinge_loss`."""

    @property
    def bits(self) -> int:
        """How many leading bits of an error count; 0: all."""

    @property
    def empty(self) -> str:
        """What an image without foreground is worth."""

    @property
    def add(self) -> Callable[[Tensor], Tensor] | None:
        """Adds a tensor over all processes; None: this process has all pixels."""


class Pixels(NamedTuple):
    """Some images (or pools of images) that are ranked at once; each of shape (rows, pixels)."""

    logits: Tensor
    target: Tensor
    valid: Tensor | None

    def rows(self, part: slice) -> "Pixels":
        """Some of them."""
        valid = None if self.valid is None else self.valid[part]
        return Pixels(self.logits[part], self.target[part], valid)

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


class Wrong(NamedTuple):
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


def find_wrong(pixels: Pixels, dtype: torch.dtype) -> Wrong:
    """Leave out every pixel without an error."""
    num_rows, num_pixels = pixels.logits.shape
    num_positives = torch.zeros(num_rows, dtype=torch.int64, device=pixels.logits.device)
    num_wrong = torch.zeros_like(num_positives)
    ends = torch.arange(num_rows, device=pixels.logits.device) * num_pixels + num_pixels
    # Where there is no pixel, these alone are left: other processes may wait for this one.
    margins = [pixels.logits.new_empty(0, dtype=dtype)]
    codes = [num_positives.new_empty(0, dtype=torch.int32)]
    for start, margin, truth in pixels.margins(dtype):
        num_positives += truth.sum(dim=1).long()
        wrong = torch.nonzero((margin.view(-1) <= -1).logical_not_()).view(-1)  # NaN stays in
        num_wrong += torch.searchsorted(wrong, ends).diff(prepend=num_wrong.new_zeros(1))
        margins.append(margin.view(-1).index_select(0, wrong))
        label = truth.view(-1).index_select(0, wrong).long()
        code = label.add_(wrong, alpha=2).add_(2 * start)
        codes.append(code.int() if num_rows * num_pixels < 2**30 else code)
    return Wrong(torch.cat(margins), torch.cat(codes), num_wrong, num_positives)


def put_slopes(slope: Tensor, code: Tensor, values: Tensor) -> None:
    """Write each value to its pixel, in parts: PyTorch needs an index of 64 bits."""
    for part, found in zip(
        torch.split(code, BLOCK_SIZE), torch.split(values, BLOCK_SIZE), strict=True
    ):
        slope.view(-1).index_copy_(0, (part >> 1).long(), found)


Compute = Callable[[Ranking, Pixels, Tensor, Tensor], None]
"""Writes loss and slope of some rows to its last two arguments."""


def rank_by_sorting(rank: Ranking, logits: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """The Lovasz hinge loss of each row of (rows, pixels), exactly."""
    return rank_rows(sort_rows, rank, logits, target, valid)


def rank_rows(
    compute: Compute, rank: Ranking, logits: Tensor, target: Tensor, valid: Tensor | None
) -> Tensor:
    """The loss of each row by what computes it of some of them."""
    loss: Tensor = _Hinge.apply(compute, rank, logits, target, valid)[0]
    return loss


class _Hinge(torch.autograd.Function):
    """(rows, pixels) to the loss, (rows,), and its derivative by the logits, (rows, pixels)."""

    @staticmethod
    def forward(
        compute: Compute, rank: Ranking, logits: Tensor, target: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        dtype = wide(logits.dtype)
        loss = logits.new_zeros(len(logits), dtype=dtype)
        slope = torch.zeros_like(logits, dtype=dtype)
        # Buckets are counted per image, and a key of 64 bits has no room for the row.
        is_single = rank.bits or dtype == torch.float64
        pixels = Pixels(logits, target, valid)
        for part in groups(logits, 1 if is_single else len(logits)):
            compute(rank, pixels.rows(part), loss[part], slope[part])
        return loss, slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.rank, ctx.dtype = inputs[1], inputs[2].dtype
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # or the slope would get one, of zeros
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        if grad is None:
            return (None,) * 5
        if ctx.rank.add is not None:
            grad = ctx.rank.add(grad)
        return None, None, (slope * grad.unsqueeze(1)).to(ctx.dtype), None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        compute: Compute,
        rank: Ranking,
        *tensors: Tensor | None,
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """Make more rows of the mapped axis."""
        folded = fold_mapped(tensors, in_dims[2:], info.batch_size)
        loss, slope = _Hinge.apply(compute, rank, *folded)
        unfold = (info.batch_size, -1)
        return (loss.unflatten(0, unfold), slope.unflatten(0, unfold)), (0, 0)


def sort_rows(rank: Ranking, pixels: Pixels, loss: Tensor, slope: Tensor) -> None:
    """Write loss and slope of several small rows or of a large one, exactly."""
    margin, code, num_wrong, num_positives = find_wrong(pixels, loss.dtype)
    key = _descending_(margin)
    for rows, part in _runs(num_wrong.tolist()):
        found = key[part], code[part], num_positives[rows], loss[rows], slope
        if rows.stop - rows.start == 1:
            _sort_one(*found)
        else:
            _sort_several(num_wrong[rows], *found)
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


def _sort_one(
    key: Tensor, code: Tensor, num_positives: Tensor, loss: Tensor, slope: Tensor
) -> None:
    """Add the loss and write the slope of one row, in slices of falling errors.

    Args:
        key: Integers that rise as the errors fall, shape (wrong pixels,).
        code: As in `Wrong`.
        num_positives: Of the row, shape (1,).
        loss: Shape (1,).
        slope: Of all rows that the codes are places in, (rows, pixels).
    """
    num_before, positives_before = 0, 0
    for part in _slices(key):
        positives_before += _sort_slice(
            key if part is None else key.index_select(0, part),
            code if part is None else code.index_select(0, part),
            (num_before, positives_before),
            num_positives,
            loss,
            slope,
        )
        num_before += len(key) if part is None else len(part)


def _sort_slice(
    key: Tensor,
    code: Tensor,
    before: tuple[int, int],
    num_positives: Tensor,
    loss: Tensor,
    slope: Tensor,
) -> int:
    """The same of one slice, behind so many pixels and positives; returns its positives."""
    key, order = torch.sort(key)
    code = code.index_select(0, order)
    del order
    positives = (code & 1).cumsum(0, dtype=code.dtype)
    num_found = int(positives[-1])
    place = torch.arange(1, len(code) + 1, dtype=code.dtype, device=code.device)
    negatives = place.sub_(positives).add_(before[0] - before[1])
    _write(key, code, positives.add_(before[1]), negatives, num_positives, slope, loss)
    return num_found


def _sort_several(
    sizes: Tensor, key: Tensor, code: Tensor, num_positives: Tensor, loss: Tensor, slope: Tensor
) -> None:
    """The same of several rows with `sizes` wrong pixels each, float32 and few."""
    row = torch.arange(len(sizes), device=key.device).repeat_interleave(sizes)
    starts = sizes.cumsum(0) - sizes
    key, order = torch.sort((row << 32).add_(key).add_(2**31))  # by row first
    key = (key & (2**32 - 1)).sub_(2**31).int()
    code = code.index_select(0, order)
    positives = (code & 1).cumsum(0, dtype=code.dtype)
    positives = positives - functional.pad(positives, (1, 0))[starts][row]
    negatives = torch.arange(1, len(code) + 1, device=code.device) - starts[row] - positives
    _write(key, code, positives, negatives, num_positives[row], slope, loss, sizes.tolist())


def _write(
    key: Tensor,
    code: Tensor,
    positives: Tensor,
    negatives: Tensor,
    num_positives: Tensor,
    slope: Tensor,
    loss: Tensor,
    sizes: list[int] | None = None,
) -> None:
    """Loss and slope from the order: how many of either label have come, each pixel included."""
    side = torch.rsub((code & 1).to(loss.dtype), 1, alpha=2)
    growth = _growth(num_positives, positives, negatives, side)
    weighed = _undo_descending(key).add_(1).mul_(growth)
    total = torch.stack([part.sum() for part in torch.split(weighed, sizes or len(weighed))])
    if total.isnan().any():  # an infinite error that adds nothing to the loss
        weighed = torch.where(
            (growth == 0) & weighed.isnan() & ~_undo_descending(key).isnan(), 0, weighed
        )
        total = torch.stack([part.sum() for part in torch.split(weighed, sizes or len(weighed))])
    loss += total
    put_slopes(slope, code, growth.mul_(side))


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


def _judge_empty(
    rank: Ranking, pixels: Pixels, num_positives: Tensor, loss: Tensor, slope: Tensor
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
    counts = torch.zeros(2**16, dtype=torch.int64, device=key.device)
    for part in torch.split(key, BLOCK_SIZE):  # bincount copies what it counts
        counts += torch.bincount((part >> shift).add_(2**15), minlength=2**16)
    counts = counts.cumsum(0)
    steps = torch.arange(MAX_SORTED, len(key) + MAX_SORTED, MAX_SORTED, device=key.device)
    ends: list[int] = torch.searchsorted(counts, steps.clamp_max(len(key))).tolist()
    low = 0
    for end in dict.fromkeys(ends):
        first, last = (low - 2**15) << shift, ((end + 1 - 2**15) << shift) - 1
        part = torch.nonzero((key >= first) & (key <= last)).view(-1)
        low = end + 1
        if len(part):
            yield part


def _descending_(margin: Tensor) -> Tensor:
    """Integers in place of the numbers that rise as these fall; they sort several times faster."""
    bits = margin.view(torch.int64 if margin.dtype == torch.float64 else torch.int32)
    return _fold_(bits).bitwise_not_()


def _undo_descending(key: Tensor) -> Tensor:
    return _fold_(~key).view(torch.float64 if key.dtype == torch.int64 else torch.float32)


def _fold_(bits: Tensor) -> Tensor:
    """Make the bits of floats rise with them, as negative ones do not; undoes itself."""
    limits = torch.iinfo(bits.dtype)
    return bits.bitwise_xor_((bits >> (limits.bits - 1)).bitwise_and_(limits.max))
