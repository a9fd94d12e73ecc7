"""What every loss does first: one row of pixels per image, checked values, ignored pixels gone."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from vesica.shapes import Logits, Target, Valid

Pool = Literal["image", "batch", "world"]
"""What one value of a loss is taken over: an image, the batch, or the batches of all processes."""

Empty = Literal["formula", "skip", "background"]
"""What the value of an image without foreground is; see `vesica.losses.region`."""

IGNORED_LOGIT = -1e4
"""An ignored pixel becomes certain background: it adds exactly 0 to every sum, as the sigmoid of
this is 0 in every floating-point format."""

BLOCK_SIZE = 2**19
"""Pixels that are worked on at once on a CPU: 2 MiB in float32, which stays in its caches.
Half as many of float16 or bfloat16, whose wide copies would be large beside them. It must depend on
nothing but the type: what is divided into blocks once is divided again."""

BLOCK_SIZE_GPU = 2**25
"""There, starting a kernel costs more than a pass through memory."""


class Rows(NamedTuple):
    """Logits, targets and valid pixels, one row per image (and channel).

    Attributes:
        logits: Shape (rows, pixels), in the type that they came in.
        target: Same shape, in the type that it came in.
        valid: Same shape, bool; None: every pixel counts.
        shape: Of one value per row: (batch,), or (batch, channels).
    """

    logits: Tensor
    target: Tensor
    valid: Tensor | None
    shape: tuple[int, ...]


def as_rows(logits: Logits, target: Target, valid: Valid | None, channels: bool) -> Rows:
    """Flatten each image (or each of its channels) to a row.

    Raises:
        ValueError: If the shapes do not agree or logits are no floating-point numbers.
    """
    num_axes = 2 if channels else 1
    if not logits.is_floating_point() or logits.ndim < num_axes:
        raise ValueError(
            f"logits are {_describe(logits)}; a loss needs floating-point scores of shape "
            f"({'batch, channels' if channels else 'batch'}, *pixels)"
        )
    if logits.shape != target.shape:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and target {tuple(target.shape)}; "
            "a loss needs one target value for each logit"
        )
    if valid is not None:
        valid = expand_valid(valid, logits, channels).bool()
    shape = tuple(logits.shape[:num_axes])
    flat = (math.prod(shape), math.prod(logits.shape[num_axes:]))
    return Rows(
        logits.reshape(flat),
        target.detach().reshape(flat),
        None if valid is None else valid.reshape(flat),
        shape,
    )


def check_parameters(*, empty: Empty = "formula", most: float = math.inf, **numbers: float) -> None:
    """What every loss asks of its own parameters before it looks at a pixel.

    Args:
        empty: Its policy for images without foreground, if it has one.
        most: The largest number that is allowed.
        numbers: By their names.

    Raises:
        ValueError: If there is no such policy, or a number is not in [0, most] or is infinite.
    """
    if empty not in get_args(Empty):
        raise ValueError(f"empty is {empty!r}; it is one of: {', '.join(get_args(Empty))}")
    for name, number in numbers.items():
        if not (0 <= number <= most) or number == math.inf:
            top = "" if most == math.inf else f" and at most {most:g}"
            raise ValueError(f"{name}={number:g}: expected a number of at least 0{top}")


def expand_valid(valid: Valid, other: Tensor, channels: bool) -> Tensor:
    """Valid pixels in the shape of another tensor; those of an image hold for all its channels.

    Raises:
        ValueError: If it has another shape.
    """
    if channels:
        of_image = valid.unsqueeze(1) if valid.ndim == other.ndim - 1 else valid
        if of_image.shape == (len(other), 1, *other.shape[2:]):
            return of_image.expand_as(other)
    if valid.shape != other.shape:
        raise ValueError(
            f"valid has shape {tuple(valid.shape)} and the target {tuple(other.shape)}; "
            "it needs one value for each pixel"
        )
    return valid


def wide(dtype: torch.dtype) -> torch.dtype:
    """Float32 or wider: sums over an image pass float16's largest number at 256x256 already."""
    return torch.promote_types(dtype, torch.float32)


def without_ignored(logits: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Make certain background of what does not count, whatever stood there, even NaN."""
    if valid is None:
        return logits, target
    return torch.where(valid, logits, IGNORED_LOGIT), torch.where(valid, target, 0)


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
    size = BLOCK_SIZE if logits.device.type == "cpu" else BLOCK_SIZE_GPU
    return size if logits.element_size() >= 4 else size // 2


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


class TargetCheck:
    """Watches the blocks of a target go by, and raises at the end: one wait for the device.

    Attributes:
        is_hard: Whether the loss is defined for 0 and 1 only.
    """

    def __init__(self, target: Tensor, valid: Tensor | None, *, is_hard: bool) -> None:
        self.is_hard = is_hard and target.is_floating_point()
        self._target, self._valid = target, valid
        self._extremes: list[Tensor] = []
        self._spreads: list[Tensor] = []

    def see(self, target: Tensor) -> None:
        """Take note of a block in a floating-point type, ignored pixels excluded."""
        if self._target.dtype != torch.bool and target.numel():
            # Numbers from 0 on are ordered as their bits are, and integers compare faster.
            bits = torch.aminmax(bits_of(target))
            self._extremes.extend(extreme.view(target.dtype) for extreme in bits)
            if self.is_hard:
                # Comparisons to bool are ten times slower on a CPU.
                self._spreads.append((target - 0.5).abs_().amin())

    def finish(self) -> None:
        """Raise if a value was not allowed.

        Raises:
            ValueError: With what was found and what to do.
        """
        if not self._extremes:
            return
        extremes = torch.stack(self._extremes)
        if extremes.signbit().any() or not extremes.amax() <= 1:  # or there is a harmless -0
            self._raise_if_outside()
        if self._spreads and torch.stack(self._spreads).amin() < 0.5:
            raise ValueError(
                "target has values between 0 and 1, for which this loss is not defined; "
                "threshold it, or use a loss for soft targets such as jaccard_metric"
            )

    def _raise_if_outside(self) -> None:
        target = self._target
        if self._valid is not None:
            target = torch.where(self._valid, target, 0)
        low, high = (float(extreme) for extreme in torch.aminmax(target))
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"target has values from {low:g} to {high:g}; a loss needs 0 to 1: divide it by "
                "its foreground's value, or leave pixels out by `valid`"
            )


def bits_of(numbers: Tensor) -> Tensor:
    """The same memory as signed integers: the sign is a float's first bit, as it is theirs."""
    return numbers.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[numbers.itemsize])


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
