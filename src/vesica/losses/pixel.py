"""Losses that judge every pixel by itself."""

import torch
from torch.nn import functional

from vesica.shapes import Logits, PerImage, Target


def bce_loss(logits: Logits, target: Target) -> PerImage:
    """Binary cross-entropy, one value per image: the mean over its pixels.

    Computed from the logits, which is exact where the paper (through Keras) clips the
    probabilities to [1e-7, 1 - 1e-7] to keep log(0) away.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, same shape.

    Returns:
        Loss in [0, inf), shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ.

    Source:
        van Beers et al. 2019, eq. 1, divided by the number of pixels as Keras does.
    """
    logits, target = as_rows(logits, target)
    per_pixel = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return per_pixel.mean(dim=1)


def as_rows(logits: Logits, target: Target) -> tuple[Logits, Logits]:
    """Flatten both to (batch, pixels), in float32 or wider.

    Sums over an image pass the largest half-precision number (65504) at 256x256 already.
    """
    if logits.shape != target.shape:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and target {tuple(target.shape)}; "
            "a loss needs one target value for each logit"
        )
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.flatten(1).to(dtype), target.flatten(1).to(dtype)
