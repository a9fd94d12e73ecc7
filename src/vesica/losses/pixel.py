"""Losses that judge every pixel by itself. They need no policy for images without foreground."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from vesica.losses.rows import Pool, check_parameters
from vesica.losses.sums import PixelFormula, mean_over_pixels, sum_pixels
from vesica.shapes import Logits, PerImage, Target, Valid


def bce_loss(
    logits: Logits,
    target: Target,
    *,
    valid: Valid | None = None,
    channels: bool = False,
    pool: Pool = "image",
) -> PerImage:
    """Binary cross-entropy, one value per image: the mean over its pixels.

    Computed from the logits, which is exact where the paper (through Keras) clips the
    probabilities to [1e-7, 1 - 1e-7] to keep log(0) away.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, between them where labels are soft; same shape.
        valid, channels, pool: As for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, inf), shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ or a target value is not in [0, 1].

    Source:
        van Beers et al. 2019, eq. 1, divided by the number of pixels as Keras does.
    """
    num_pixels, *sums = sum_pixels(ENTROPY, logits, target, valid, channels, pool)
    return mean_over_pixels(sums[0], num_pixels)


def focal_loss(
    logits: Logits,
    target: Target,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    valid: Valid | None = None,
    channels: bool = False,
    pool: Pool = "image",
) -> PerImage:
    """Focal loss, per image: the mean over its pixels of `-alpha_t (1 - p_t)^gamma log(p_t)`.

    p_t is p on foreground and 1 - p on background; alpha_t is alpha and 1 - alpha.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, nothing between; same shape.
        alpha: Weight of the foreground, in [0, 1].
        gamma: How much less a pixel counts that is right already; 0 is weighted cross-entropy.
        valid, channels, pool: As for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, inf), shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not 0 or 1, or a parameter is not
            allowed.

    Source:
        Lin et al. 2017, eq. 5.
    """
    check_parameters(gamma=gamma)
    check_parameters(alpha=alpha, most=1)
    formula = PixelFormula(
        1,
        partial(_focal_terms, alpha=alpha, gamma=gamma),
        partial(_focal_slope, alpha=alpha, gamma=gamma),
        is_hard=True,
    )
    num_pixels, *sums = sum_pixels(formula, logits, target, valid, channels, pool)
    return mean_over_pixels(sums[0], num_pixels)


def _entropy_terms(logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    return (functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1),)


def _entropy_slope(logits: Tensor, target: Tensor, by_sums: Tensor, out: Tensor) -> None:
    torch.sigmoid(logits, out=out).sub_(target).mul_(by_sums[0])


def _focal_terms(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> tuple[Tensor, ...]:
    # The logit of being wrong; p ** gamma by its logarithm has a finite derivative at p = 0.
    wrong = (1 - 2 * target) * logits
    weight = _focal_weight(target, alpha)
    return (
        (
            weight
            * torch.exp(gamma * functional.logsigmoid(wrong))
            * -functional.logsigmoid(-wrong)
        ).sum(1),
    )


def _focal_slope(
    logits: Tensor, target: Tensor, by_sums: Tensor, out: Tensor, alpha: float, gamma: float
) -> None:
    side = 1 - 2 * target
    wrong = side * logits
    probs, entropy = torch.sigmoid(wrong), -functional.logsigmoid(-wrong)
    slope = entropy.mul_(torch.sigmoid(-wrong)).mul_(gamma).add_(probs)
    slope.mul_(probs.pow_(gamma)).mul_(side).mul_(_focal_weight(target, alpha))
    torch.mul(slope, by_sums[0], out=out)


def _focal_weight(target: Tensor, alpha: float) -> Tensor:
    return 1 - alpha + (2 * alpha - 1) * target


ENTROPY = PixelFormula(1, _entropy_terms, _entropy_slope)
