"""Losses that judge how two regions overlap: IoU and its kin."""

import torch

from vesica.losses.pixel import as_rows
from vesica.shapes import Logits, PerImage, Target

EPS = 1e-12
"""In pixels; keeps 0/0 away where neither the mask nor the prediction has any foreground."""


def iou_loss(logits: Logits, target: Target, *, smooth: float = 0.0) -> PerImage:
    """Soft IoU (Jaccard) loss, one value per image: `1 - I / U`.

    With p = sigmoid(logits): I = sum(p * t), U = sum(p + t - p * t) over an image's pixels.
    An image without foreground has loss 1 and gradient 0, as the formula says.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, same shape.
        smooth: Added to I and to U, in pixels.

    Returns:
        Loss in [0, 1], shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ.

    Source:
        van Beers et al. 2019, eq. 3-4.
    """
    intersection, sum_probs, sum_target = overlap(logits, target)
    union = sum_probs + sum_target - intersection
    return 1 - (intersection + smooth) / (union + smooth).clamp_min(EPS)


def dice_loss(logits: Logits, target: Target, *, smooth: float = 0.0) -> PerImage:
    """Soft Dice loss, one value per image: `1 - 2 I / (sum(p) + sum(t))`.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, same shape.
        smooth: Added to 2 I and to the denominator, in pixels.

    Returns:
        Loss in [0, 1], shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Milletari et al. 2016, without the squares.
    """
    intersection, sum_probs, sum_target = overlap(logits, target)
    total = sum_probs + sum_target
    return 1 - (2 * intersection + smooth) / (total + smooth).clamp_min(EPS)


def tversky_loss(
    logits: Logits,
    target: Target,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 0.0,
) -> PerImage:
    """Tversky loss, one value per image: `1 - I / (I + alpha FP + beta FN)`.

    alpha = beta = 0.5 is Dice, alpha = beta = 1 is IoU.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, same shape.
        alpha: Weight of the false positives, sum(p * (1 - t)).
        beta: Weight of the false negatives, sum((1 - p) * t).
        smooth: Added to I and to the denominator, in pixels.

    Returns:
        Loss in [0, 1], shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Salehi et al. 2017.
    """
    intersection, sum_probs, sum_target = overlap(logits, target)
    false_positives = sum_probs - intersection
    false_negatives = sum_target - intersection
    whole = intersection + alpha * false_positives + beta * false_negatives
    return 1 - (intersection + smooth) / (whole + smooth).clamp_min(EPS)


def overlap(logits: Logits, target: Target) -> tuple[PerImage, PerImage, PerImage]:
    """Sums over each image's pixels: of p * t, of p, and of t."""
    logits, target = as_rows(logits, target)
    probs = torch.sigmoid(logits)
    return (probs * target).sum(dim=1), probs.sum(dim=1), target.sum(dim=1)
