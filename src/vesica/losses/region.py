"""Losses that judge how two regions overlap: IoU and its kin.

Each is two functions: sums over an image's pixels, then a formula. An image without foreground
is judged by a named policy, `empty`:

- `"background"`: by the loss of its background, the formula on 1 - p and 1 - t. For IoU that is
  the mean of p. It falls to 0 as the image is left alone, and every pixel has a gradient, for IoU
  s(x) s(-x) / (number of pixels).
- `"skip"`: 0 without a gradient, and a mean over images leaves it out (`weights_of`).
- `"formula"`: as the formula says. With `smooth=0` that is 1 whatever is predicted, with gradient
  0; with `smooth > 0`, for IoU, 1 - smooth / (sum(p) + smooth), which falls as p does.

A target may be soft, between 0 and 1: all of these are defined there, but only `jaccard_metric`
and `jaccard_distance` are least where the prediction equals a soft target.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, Unpack

import torch
from torch import Tensor

from vesica.losses.rows import Empty, Over, as_rows, check_parameters
from vesica.losses.sums import (
    PixelFormula,
    probability,
    sum_pixels,
    zero_without_pixels,
)
from vesica.shapes import Logits, PerImage, Target

EPS = 1e-12
"""In pixels; keeps 0/0 away where neither the mask nor the prediction has any foreground."""


class Overlap(NamedTuple):
    """Sums over the pixels of an image, or of a pool of images, each of shape (batch, ...).

    Attributes:
        intersection: Of p * t.
        probs: Of p, the predicted area.
        positives: Of t, the true area.
    """

    intersection: Tensor
    probs: Tensor
    positives: Tensor

    def of_background(self, num_pixels: Tensor | int) -> "Overlap":
        """The same sums of 1 - p and 1 - t."""
        both = num_pixels - self.probs - self.positives + self.intersection
        return Overlap(both, num_pixels - self.probs, num_pixels - self.positives)


class Squares(NamedTuple):
    """As `Overlap`, and the sums of the squares.

    Attributes:
        intersection: Of p * t.
        probs: Of p.
        positives: Of t.
        probs_squared: Of p * p.
        positives_squared: Of t * t.
    """

    intersection: Tensor
    probs: Tensor
    positives: Tensor
    probs_squared: Tensor
    positives_squared: Tensor

    def of_background(self, num_pixels: Tensor | int) -> "Squares":
        """The same sums of 1 - p and 1 - t."""
        return Squares(
            num_pixels - self.probs - self.positives + self.intersection,
            num_pixels - self.probs,
            num_pixels - self.positives,
            num_pixels - 2 * self.probs + self.probs_squared,
            num_pixels - 2 * self.positives + self.positives_squared,
        )


class Distance(NamedTuple):
    """Sums over the pixels of an image, or of a pool of images, each of shape (batch, ...).

    Attributes:
        distance: Of |p - t|.
        probs: Of p.
        positives: Of t.
    """

    distance: Tensor
    probs: Tensor
    positives: Tensor

    def of_background(self, num_pixels: Tensor | int) -> "Distance":
        """The same sums of 1 - p and 1 - t."""
        return Distance(self.distance, num_pixels - self.probs, num_pixels - self.positives)


Sums = TypeVar("Sums", Overlap, Squares, Distance)


def iou_loss(
    logits: Logits,
    target: Target,
    *,
    smooth: float = 0.0,
    empty: Empty = "background",
    **over: Unpack[Over],
) -> PerImage:
    """Soft IoU (Jaccard) loss, one value per image: `1 - I / U`.

    With p = sigmoid(logits): I = sum(p * t), U = sum(p + t - p * t) over an image's pixels.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, same shape.
        smooth: Added to I and to U, in pixels.
        empty: What an image without foreground is worth; see `vesica.losses.region`.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, 1], shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not in [0, 1], or a parameter is not
            allowed.

    Source:
        van Beers et al. 2019, eq. 3-4.
    """
    check_parameters(empty=empty, smooth=smooth)

    def formula(sums: Overlap) -> Tensor:
        union = sums.probs + sums.positives - sums.intersection
        return _one_minus(sums.intersection, union, smooth)

    num_pixels, *sums = sum_pixels(OVERLAP, as_rows(logits, target, **over))
    return _judge(formula, Overlap(*sums), num_pixels, empty)


def dice_loss(
    logits: Logits,
    target: Target,
    *,
    smooth: float = 0.0,
    empty: Empty = "background",
    **over: Unpack[Over],
) -> PerImage:
    """Soft Dice loss, one value per image: `1 - 2 I / (sum(p) + sum(t))`.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, same shape.
        smooth: Added to 2 I and to the denominator, in pixels.
        empty: What an image without foreground is worth; see `vesica.losses.region`.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, 1], shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not in [0, 1], or a parameter is not
            allowed.

    Source:
        Milletari et al. 2016, without the squares.
    """
    check_parameters(empty=empty, smooth=smooth)

    def formula(sums: Overlap) -> Tensor:
        return _one_minus(2 * sums.intersection, sums.probs + sums.positives, smooth)

    num_pixels, *sums = sum_pixels(OVERLAP, as_rows(logits, target, **over))
    return _judge(formula, Overlap(*sums), num_pixels, empty)


def tversky_loss(
    logits: Logits,
    target: Target,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 0.0,
    empty: Empty = "background",
    **over: Unpack[Over],
) -> PerImage:
    """Tversky loss, one value per image: `1 - I / (I + alpha FP + beta FN)`.

    alpha = beta = 0.5 is Dice, alpha = beta = 1 is IoU. With alpha = 0 a false positive costs
    nothing, so that an image without foreground has loss and gradient 0 whatever is predicted.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, same shape.
        alpha: Weight of the false positives, sum(p * (1 - t)).
        beta: Weight of the false negatives, sum((1 - p) * t).
        smooth: Added to I and to the denominator, in pixels.
        empty: What an image without foreground is worth; see `vesica.losses.region`.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, 1], shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not in [0, 1], or a parameter is not
            allowed.

    Source:
        Salehi et al. 2017.
    """
    check_parameters(empty=empty, alpha=alpha, beta=beta, smooth=smooth)
    num_pixels, *sums = sum_pixels(OVERLAP, as_rows(logits, target, **over))
    # What the foreground has too much, the background misses.
    is_background = (sums[2] == 0) & (empty == "background")
    weight_fp = torch.where(is_background, beta, alpha)
    weight_fn = torch.where(is_background, alpha, beta)

    def formula(sums: Overlap) -> Tensor:
        wrong = weight_fp * (sums.probs - sums.intersection)
        missed = weight_fn * (sums.positives - sums.intersection)
        return _one_minus(sums.intersection, sums.intersection + wrong + missed, smooth)

    return _judge(formula, Overlap(*sums), num_pixels, empty)


def jaccard_distance_loss(
    logits: Logits,
    target: Target,
    *,
    smooth: float = 0.0,
    empty: Empty = "background",
    **over: Unpack[Over],
) -> PerImage:
    """Jaccard distance with squares, per image: `1 - I / (sum(p p) + sum(t t) - I)`.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, same shape.
        smooth: Added to I and to the denominator, in pixels.
        empty: What an image without foreground is worth; see `vesica.losses.region`.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, 1], shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not in [0, 1], or a parameter is not
            allowed.

    Source:
        Yuan et al. 2017, eq. 3.
    """
    check_parameters(empty=empty, smooth=smooth)

    def formula(sums: Squares) -> Tensor:
        union = sums.probs_squared + sums.positives_squared - sums.intersection
        return _one_minus(sums.intersection, union, smooth)

    num_pixels, *sums = sum_pixels(SQUARES, as_rows(logits, target, **over))
    return _judge(formula, Squares(*sums), num_pixels, empty)


def jaccard_metric_loss(
    logits: Logits,
    target: Target,
    *,
    smooth: float = 0.0,
    empty: Empty = "background",
    **over: Unpack[Over],
) -> PerImage:
    """Jaccard metric loss, one value per image: `2 D / (sum(p) + sum(t) + D)`, D = sum(|p - t|).

    Equals `iou_loss` for hard targets. For soft ones it is 0 where p = t and nowhere else.

    Args:
        logits: Scores before the sigmoid, shape (batch, *pixels).
        target: 1 on foreground, 0 on background, between them where labels are soft; same shape.
        smooth: Added to intersection and union, in pixels.
        empty: What an image without foreground is worth; see `vesica.losses.region`.
        over: `valid`, `channels` and `pool`, as for every loss; see `vesica.losses`.

    Returns:
        Loss in [0, 1], shape (batch,), float32 or wider.

    Raises:
        ValueError: If the shapes differ, a target value is not in [0, 1], or a parameter is not
            allowed.

    Source:
        Wang et al. 2023, "Jaccard metric losses", eq. 5 (the first of the two).
    """
    check_parameters(empty=empty, smooth=smooth)

    def formula(sums: Distance) -> Tensor:
        union = (sums.probs + sums.positives + sums.distance) / 2
        ratio = sums.distance / (union + smooth).clamp_min(EPS)
        return torch.where(union + smooth < EPS, 1, ratio)

    num_pixels, *sums = sum_pixels(DISTANCE, as_rows(logits, target, **over))
    return _judge(formula, Distance(*sums), num_pixels, empty)


def _one_minus(part: Tensor, whole: Tensor, smooth: float) -> Tensor:
    if smooth:
        part, whole = part + smooth, whole + smooth
    return 1 - part / whole.clamp_min(EPS)


def _judge(
    formula: Callable[[Sums], Tensor], sums: Sums, num_pixels: Tensor | int, empty: Empty
) -> PerImage:
    is_empty = sums.positives == 0
    if empty == "background":
        pairs = zip(sums.of_background(num_pixels), sums, strict=True)
        sums = type(sums)(*(torch.where(is_empty, other, one) for other, one in pairs))
    loss = formula(sums)
    if empty == "skip":
        loss = torch.where(is_empty, 0, loss)
    return zero_without_pixels(loss, num_pixels)


def _overlap_terms(logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    probs = probability(logits)
    area = probs.sum(1)
    return probs.mul_(target).sum(1), area, target.sum(1)


def _squares_terms(logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    probs = probability(logits)
    plain = (probs * target).sum(1), probs.sum(1), target.sum(1)
    return *plain, (probs * probs).sum(1), (target * target).sum(1)


def _distance_terms(logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    probs = probability(logits)
    # At p == t a soft pixel is at its best, whichever way it would move: its gradient is 0. One
    # with a hard target is there by rounding only, and p can come from one side alone.
    is_soft = (target > 0) & (target < 1)
    probs = torch.where((probs == target) & is_soft, probs.detach(), probs)
    distance = torch.where(target == 1, probability(-logits), (probs - target).abs())
    distance = torch.where(target == 0, probs, distance)
    return distance.sum(1), probs.sum(1), target.sum(1)


OVERLAP = PixelFormula("overlap", 3, _overlap_terms)
SQUARES = PixelFormula("squares", 5, _squares_terms)
DISTANCE = PixelFormula("distance", 3, _distance_terms)
