"""Names for the tensors that go from file to file."""

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

LogitMaps = Float[Tensor, "batch height width"]
"""Scores before the sigmoid, as every model gives them."""

Features = tuple[Tensor, ...]
"""What a trunk hands to a head: tensors whose first axis is the batch."""
