"""Pixels with an error, found for the losses that rank them."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vesica.losses.rows import BLOCK_SIZE, Empty, TargetCheck, blocks, read_block


class Ranking(NamedTuple):
    """How pixels are ranked: the parameters of `lovasz_hinge_loss`."""

    bits: int
    empty: Empty
    is_world: bool


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
    """Leave out every pixel without an error, once the target is checked.

    Raises:
        ValueError: If a target value is not 0 or 1.
    """
    check = TargetCheck(pixels.target, pixels.valid, is_hard=True)
    num_rows, num_pixels = pixels.logits.shape
    num_positives = torch.zeros(num_rows, dtype=torch.int64, device=pixels.logits.device)
    num_wrong = torch.zeros_like(num_positives)
    ends = torch.arange(num_rows, device=pixels.logits.device) * num_pixels + num_pixels
    # Where there is no pixel, these alone are left: other processes may wait for this one.
    margins = [pixels.logits.new_empty(0, dtype=dtype)]
    codes = [num_positives.new_empty(0, dtype=torch.int32)]
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
    return Wrong(torch.cat(margins), torch.cat(codes), num_wrong, num_positives)


def put_slopes(slope: Tensor, code: Tensor, values: Tensor) -> None:
    """Write each value to its pixel, in parts: PyTorch needs an index of 64 bits."""
    for part, found in zip(
        torch.split(code, BLOCK_SIZE), torch.split(values, BLOCK_SIZE), strict=True
    ):
        slope.view(-1).index_copy_(0, (part >> 1).long(), found)
