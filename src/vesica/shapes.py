"""Names for the tensors that go from file to file, and what becomes of pixels that do not count."""

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

Logits = Float[Tensor, "batch *pixels"]
"""Scores before the sigmoid."""

Target = Num[Tensor, "batch *pixels"] | Bool[Tensor, "batch *pixels"]
"""1 on foreground, 0 on background."""

Valid = Num[Tensor, "*shape"] | Bool[Tensor, "*shape"]
"""Not 0 on pixels that count; of the target's shape."""

PerImage = Float[Tensor, " batch"]
"""One value per image, float32 or wider."""

ImageBatch = Float[Tensor, "batch 3 height width"]
"""RGB in [0, 1], as every model takes it."""

LogitMaps = Float[Tensor, "batch classes height width"]
"""Scores before the sigmoid, as every network gives them; one class where it separates in two."""

MaskMaps = Bool[Tensor, "batch classes height width"]
"""Foreground of every class."""

Features = tuple[Tensor, ...]
"""What frozen layers hand to a head: tensors whose first axis is the batch."""

IGNORED_LOGIT = -1e4
"""An ignored pixel becomes certain background: it adds exactly 0 to every sum, as the sigmoid of
this is 0 in every floating-point format."""


def wide(dtype: torch.dtype) -> torch.dtype:
    """Float32 or wider: sums over an image pass float16's largest number at 256x256 already."""
    return torch.promote_types(dtype, torch.float32)


def without_ignored(logits: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Make certain background of what does not count, whatever stood there, even NaN."""
    if valid is None:
        return logits, target
    return torch.where(valid, logits, IGNORED_LOGIT), torch.where(valid, target, 0)
