"""Losses that judge every pixel by itself. They need no policy for images without foreground."""

from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional

from vesica.losses.rows import Over, as_rows, check_parameters
from vesica.losses.sums import PixelFormula, mean_over_pixels, sum_pixels
from vesica.shapes import Logits, PerImage, Target


def bce_loss(
    logits: Logits,
    target: Target,
    **over: Unpack[Over],
) -> PerImage:
    """Binary cross-entropy, one value per image: the mean over its pixels.

    Computed from the logits, which is exact where the paper (through Keras) clips the
    probabilities to [1e-7, 1 - 1e-7] to keep log(0) away.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, between them where labels are soft; same shape.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, inf), shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ or a target value is not in [0, 1].

    Source:
        van Beers et al. 2019, eq. 1, divided by the number of pixels as Keras does.
    """
    num_pixels, *sums = sum_pixels(ENTROPY, as_rows(logits, target, **over))
    return mean_over_pixels(sums[0], num_pixels)


def focal_loss(
    logits: Logits,
    target: Target,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    **over: Unpack[Over],
) -> PerImage:
    """Focal loss, per image: the mean over its pixels of `-alpha_t (1 - p_t)^gamma log(p_t)`.

    p_t is p on foreground and 1 - p on background; alpha_t is alpha and 1 - alpha.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, nothing between; same shape.
        alpha: Weight of the foreground, in [0, 1].
        gamma: How much less a pixel counts that is right already; 0 is weighted cross-entropy.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

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
    formula = PixelFormula("focal", 1, _focal_terms, {"alpha": alpha, "gamma": gamma})
    num_pixels, *sums = sum_pixels(formula, as_rows(logits, target, is_hard=True, **over))
    return mean_over_pixels(sums[0], num_pixels)


def ce_loss(logits: Logits, target: Target, **over: Unpack[Over]) -> PerImage:
    """Cross-entropy, one value per image: the mean over its pixels of `-log(p_t)`.

    p_t is the probability of what a pixel is: of its class under softmax
    (`LossModule("ce", softmax=True)`), else p on foreground and 1 - p on background, as in `bce`.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, between them where labels are soft; same shape.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, inf), shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ or a target value is not in [0, 1].
    """
    return bce_loss(logits, target, **over)


def softmax_focal_loss(
    logits: Logits, target: Target, *, gamma: float = 2.0, **over: Unpack[Over]
) -> PerImage:
    """Focal loss without alpha, per image: the mean over its pixels of `-(1 - p_t)^gamma log p_t`.

    p_t is the probability of what a pixel is: of its class under softmax
    (`LossModule("softmax_focal", softmax=True)`), else p on foreground and 1 - p on background.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, between them where labels are soft; same shape.
        gamma: How much less a pixel counts that is right already; 0 is cross-entropy.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, inf), shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not in [0, 1], or gamma is not allowed.

    Source:
        Lin et al. 2017, eq. 4, over any number of classes.
    """
    check_parameters(gamma=gamma)
    formula = PixelFormula("both_sides", 1, _both_sides, {"gamma": gamma})
    num_pixels, *sums = sum_pixels(formula, as_rows(logits, target, **over))
    return mean_over_pixels(sums[0], num_pixels)


def foreground_loss(
    logits: Logits, target: Target, *, gamma: float = 0.0, **over: Unpack[Over]
) -> PerImage:
    """The foreground's part of `softmax_focal_loss` (of `ce_loss` with `gamma=0`): its own mean.

    A softmax over classes adds up these parts, as every pixel is the foreground of one class.
    """
    check_parameters(gamma=gamma)
    formula = PixelFormula("foreground", 2, _foreground, {"gamma": gamma})
    _, *sums = sum_pixels(formula, as_rows(logits, target, **over))
    return sums[0] / torch.where(sums[1] > 0, sums[1], 1)


def _entropy_terms(logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    limit = torch.finfo(logits.dtype).max
    kind = functional.binary_cross_entropy_with_logits
    entropy = kind(logits.clamp(-limit, limit), target, reduction="none")
    is_wrong = logits.isinf() & (target != (logits > 0))
    return (torch.where(is_wrong, torch.inf, entropy).sum(1),)


def _focal_terms(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> tuple[Tensor, ...]:
    # The logit of being wrong; p ** gamma by its logarithm has a finite derivative at p = 0.
    wrong, limit = (1 - 2 * target) * logits, torch.finfo(logits.dtype).max
    weight, near = 1 - alpha + (2 * alpha - 1) * target, wrong.clamp(-limit, limit)
    focus = torch.exp(gamma * functional.logsigmoid(near))
    focal = weight * focus * -functional.logsigmoid(-near)
    return (torch.where((wrong == torch.inf) & (weight > 0), torch.inf, focal).sum(1),)


def pixel_entropy(logits: Tensor, target: Tensor, gamma: float = 0.0) -> Tensor:
    """Of each pixel, both sides: `-(1 - p)^gamma log(p)` by its share of foreground, and so on."""
    return _cost(logits, target, gamma) + _cost(-logits, 1 - target, gamma)


def _both_sides(logits: Tensor, target: Tensor, gamma: float) -> tuple[Tensor, ...]:
    return (pixel_entropy(logits, target, gamma).sum(1),)


def _foreground(logits: Tensor, target: Tensor, gamma: float) -> tuple[Tensor, ...]:
    return _cost(logits, target, gamma).sum(1), target.sum(1)


def _cost(logits: Tensor, share: Tensor, gamma: float) -> Tensor:
    """Of a pixel's share of foreground, `-(1 - p)^gamma log(p)`."""
    limit = torch.finfo(logits.dtype).max
    near = logits.clamp(-limit, limit)
    focus = torch.exp(gamma * functional.logsigmoid(-near))
    cost = share * focus * -functional.logsigmoid(near)
    return torch.where((logits == -torch.inf) & (share > 0), torch.inf, cost)


ENTROPY = PixelFormula("entropy", 1, _entropy_terms)
