"""What every loss does first: a row of pixels per image, checked shapes, values and parameters."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypedDict, get_args

import torch
from torch import Tensor, nn

from vesica.shapes import Logits, Target, Valid

Pool = Literal["image", "batch", "world"]
"""What one value of a loss is taken over: an image, the batch, or the batches of all processes."""

Empty = Literal["formula", "skip", "background"]
"""What the value of an image without foreground is; see `vesica.losses.region`."""


PART = 2**17
"""Target values that are looked at at once; they stay in a core's own cache."""

MOST = 1e9
"""Of any parameter or weight: more would leave float32 where an image's sums come to it."""


class Over(TypedDict, total=False):
    """What every loss is taken over; see `vesica.losses`.

    Attributes:
        valid: Pixels that count (not 0), of the target's shape; None: all.
        channels: Logits and target are (batch, channels, *pixels), independent labels.
        pool: What one value is taken over.
    """

    valid: Valid | None
    channels: bool
    pool: Pool


class Rows(NamedTuple):
    """Logits, targets and valid pixels, one row per image (and channel).

    Attributes:
        logits: Shape (rows, pixels), in the type that they came in.
        target: Same shape, in the type that it came in.
        valid: Same shape, bool; None: every pixel counts.
        shape: Of one value per row: (batch,), or (batch, channels).
        pool: What one value is taken over.
        is_hard: The target is known to have nothing between 0 and 1.
    """

    logits: Tensor
    target: Tensor
    valid: Tensor | None
    shape: tuple[int, ...]
    pool: Pool
    is_hard: bool


def as_rows(
    logits: Logits,
    target: Target,
    valid: Valid | None = None,
    channels: bool = False,
    pool: Pool = "image",
    *,
    is_hard: bool = False,
) -> Rows:
    """Flatten each image (or each of its channels) to a row, and check what can be checked.

    Args:
        is_hard: The loss is defined for targets of 0 and 1 only.

    Raises:
        ValueError: If the shapes do not agree, logits are no floating-point numbers, there is no
            such pool, or (where there are values to look at) one of the target is not allowed.
    """
    logits, target = as_plain(logits), as_plain(target)
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
        valid = expand_valid(as_plain(valid), logits, channels).bool()
    check_parameters(pool=pool)
    target, is_known = check_target(target.detach(), valid, is_hard=is_hard)
    shape = tuple(logits.shape[:num_axes])
    flat = (math.prod(shape), math.prod(logits.shape[num_axes:]))
    rows = None if valid is None else valid.reshape(flat)
    return Rows(logits.reshape(flat), target.reshape(flat), rows, shape, pool, is_known)


def check_parameters(
    *, empty: Empty = "formula", pool: Pool = "image", most: float = MOST, **numbers: float
) -> None:
    """What every loss asks of its own parameters before it looks at a pixel.

    Args:
        empty: Its policy for images without foreground, if it has one.
        pool: What one value is taken over.
        most: The largest number that is allowed.
        numbers: By their names.

    Raises:
        ValueError: If there is no such policy or pool, or a number is not in [0, most].
    """
    if empty not in get_args(Empty):
        raise ValueError(f"empty is {empty!r}; it is one of: {', '.join(get_args(Empty))}")
    if pool not in get_args(Pool):
        raise ValueError(f"pool is {pool!r}; it is 'image', 'batch' or 'world'")
    for name, number in numbers.items():
        if isinstance(number, bool) or not 0 <= number <= most:
            shown = number if isinstance(number, bool) else f"{number:g}"
            raise ValueError(
                f"{name}={shown}: expected a number of at least 0 and at most {most:g}"
            )


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


def as_plain(tensor: Tensor) -> Tensor:
    """Of a subclass that carries more along, such as MONAI's `MetaTensor`, the tensor alone."""
    if type(tensor) in (Tensor, nn.Parameter) or is_abstract(tensor):
        return tensor
    with torch._C.DisableTorchFunctionSubclass():
        plain: Tensor = tensor.as_subclass(Tensor)
    return plain


def is_abstract(*tensors: Tensor | None) -> bool:
    """Whether there are no numbers to look at, or a subclass that must see each operation."""
    return torch.compiler.is_compiling() or any(
        tensor.is_meta or type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__
        for tensor in tensors
        if tensor is not None
    )


def check_target(target: Tensor, valid: Tensor | None, *, is_hard: bool) -> tuple[Tensor, bool]:
    """The target itself, once its values have been looked at, and whether all are 0 or 1.

    Args:
        target: Any shape.
        valid: Same shape, bool: what to look at.
        is_hard: Only 0 and 1 are allowed, and not what is between them.

    Raises:
        ValueError: If a value is not allowed, with what was found and what to do.
    """

    is_known = not target.is_floating_point()

    def judge(seen: Tensor) -> None:
        nonlocal is_known
        parts = torch.split(seen.reshape(-1), PART)
        if not is_known and (is_known := _are_hard(parts)):
            return
        low, high = (float(number) for number in torch.aminmax(seen))
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"target has values from {low:g} to {high:g}; a loss needs 0 to 1: divide it by "
                "its foreground's value, or leave pixels out by `valid`"
            )
        if is_hard and not is_known:
            raise ValueError(
                "target has values between 0 and 1, for which this loss is not defined; "
                "threshold it, or use a loss for soft targets such as jaccard_metric"
            )

    if target.dtype != torch.bool:
        target = look_at(target, valid, judge)
    return target, is_known


def look_at(values: Tensor, valid: Tensor | None, judge: Callable[[Tensor], None]) -> Tensor:
    """The values themselves, once `judge` has seen them, also under `torch.vmap`.

    Args:
        values: Any shape.
        valid: Same shape, bool; what does not count is shown as 0.
        judge: Raises if they are wrong. It sees none where there are none, or none to look at.
    """
    if not values.numel() or is_abstract(values, valid):
        return values
    seen: Tensor = _Seen.apply(values, valid, judge)
    return seen


class _Seen(torch.autograd.Function):
    """Within transforms, values can be read here alone."""

    @staticmethod
    def forward(values: Tensor, valid: Tensor | None, judge: Callable[[Tensor], None]) -> Tensor:
        judge(values if valid is None else torch.where(valid, values, 0))
        return values.view_as(values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, None]:
        return None, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        values: Tensor,
        valid: Tensor | None,
        judge: Callable[[Tensor], None],
    ) -> tuple[Tensor, int | None]:
        """Look at every member of the mapped axis."""
        if valid is None:
            return look_at(values, valid, judge), in_dims[0]
        both = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip((values, valid), in_dims, strict=False)
        ]
        return look_at(both[0], both[1], judge), 0


def _are_hard(parts: Sequence[Tensor]) -> bool:
    """Whether all numbers are 0 or 1, where t - t^2 is 0 and has no bit."""
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[parts[0].itemsize]
    scratch = torch.empty_like(parts[0])  # new pages would cost more than the work
    found: list[Tensor] = []
    for part in parts:
        out = scratch[: len(part)]
        torch.addcmul(part, part, part, value=-1, out=out)
        found += torch.aminmax(out.view(kind))  # integers compare faster
    return not torch.stack(found).any()


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
