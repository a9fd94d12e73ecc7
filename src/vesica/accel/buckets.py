"""Lovasz hinge by buckets of equal leading bits, in time proportional to the pixels."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from vesica.accel.lovasz import Pixels, Ranking, find_wrong, put_slopes, rank_rows


def rank_by_buckets(rank: Ranking, logits: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """The Lovasz hinge loss of each row of (rows, pixels), by `rank.bits`."""
    return rank_rows(bucket_row, rank, logits, target, valid)


def bucket_row(rank: Ranking, pixels: Pixels, loss: Tensor, slope: Tensor) -> None:
    """Write loss and slope of one row: errors of one bucket are taken for its lower end."""
    margin, code, _, num_positives = find_wrong(pixels, loss.dtype)
    error = margin.add_(1)
    bucket = _bucket(error, code, rank.bits)
    counts = torch.bincount(bucket, minlength=2)
    total, num_pixels = error.sum(), pixels.num_counted()
    del error, margin
    num_buckets = (len(counts) + 1) // 2
    if rank.add is not None:
        num_buckets = _largest_of_processes(num_buckets, loss.device)
    counts = functional.pad(counts, (0, 2 * num_buckets - len(counts)))
    if rank.add is not None:
        counts, total, num_pixels, num_positives = map(
            rank.add, (counts, total, num_pixels, num_positives)
        )
    growth = _bucket_growth(counts.view(-1, 2), num_positives, rank, loss.dtype)
    if rank.empty == "background" and num_positives == 0:
        growth[:] = 1 / num_pixels.clamp_min(1).to(loss.dtype)
        loss += total / num_pixels.clamp_min(1)
    else:
        of_bucket = (growth * counts.view(-1, 2)).sum(dim=1)
        loss += (_lower_ends(num_buckets, rank.bits, loss) * of_bucket).sum()
    growth[:, 1] *= -1
    put_slopes(slope, code, growth.view(-1).index_select(0, bucket))


def _largest_of_processes(number: int, device: torch.device) -> int:
    """The largest of every process's numbers, on each of them."""
    largest = torch.tensor(number, device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


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
