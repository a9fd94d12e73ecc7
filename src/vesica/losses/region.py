"""Losses that judge how two regions overlap: IoU and its kin.

Each is `wrong / (right + wrong)`, made of soft counts of an image's pixels: tp and tn are right, fp
and fn are wrong. Errors are added up themselves and not taken from 1: the loss keeps its digits
where nearly everything is right. An image without foreground is judged by a named policy, `empty`:

- `"background"`: by the loss of its background, on 1 - p and 1 - t: what is right is tn. For IoU
  that is the mean of p. It falls to 0 as the image is left alone, and every pixel has a gradient,
  for IoU s(x) s(-x) / (number of pixels).
- `"skip"`: 0 without a gradient, and a mean over images leaves it out (`weights_of`).
- `"formula"`: as the formula says. With `smooth=0` that is 1 whatever is predicted, with gradient
  0; with `smooth > 0`, for IoU, 1 - smooth / (sum(p) + smooth), which falls as p does.

A target may be soft, between 0 and 1: all of these are defined there, but only `jaccard_metric`
and `jaccard_distance` are least where the prediction equals a soft target.
"""

from typing import NamedTuple, Unpack

import torch
from torch import Tensor

from vesica.losses.rows import Empty, Over, Rows, as_rows, check_parameters
from vesica.losses.sums import PixelFormula, probability, sum_pixels
from vesica.shapes import Logits, PerImage, Target

EPS = 1e-12
"""In pixels; keeps 0/0 away where neither the mask nor the prediction has any foreground."""


class Counts(NamedTuple):
    """Soft counts of an image's pixels, or of a pool of images', each of shape (batch, ...).

    Attributes:
        tp: Foreground that was found.
        tn: Background that was left alone.
        fp: Background that was taken for foreground.
        fn: Foreground that was missed.
    """

    tp: Tensor
    tn: Tensor
    fp: Tensor
    fn: Tensor


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
    counts = _count(PRODUCTS, as_rows(logits, target, **over))
    return _share(counts, counts.fp + counts.fn, smooth, empty)


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
    counts = _count(PRODUCTS, as_rows(logits, target, **over))
    return _share(counts, (counts.fp + counts.fn) / 2, smooth / 2, empty)


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
    counts = _count(PRODUCTS, as_rows(logits, target, **over))
    return _share(counts, alpha * counts.fp + beta * counts.fn, smooth, empty)


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
    counts = _count(SQUARES, as_rows(logits, target, **over))
    return _share(counts, counts.fp + counts.fn, smooth, empty)


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
    counts = _count(MINIMA, as_rows(logits, target, **over))
    return _share(counts, counts.fp + counts.fn, smooth, empty)


def _count(formula: PixelFormula, rows: Rows) -> Counts:
    num_pixels, *sums = sum_pixels(formula, rows)
    tp, fp, fn, positives_of_either = [*sums, sums[0] + sums[1] + sums[2]][:4]
    return Counts(tp, num_pixels - positives_of_either, fp, fn)


def _share(counts: Counts, wrong: Tensor, smooth: float, empty: Empty) -> PerImage:
    """`wrong / (right + wrong + smooth)`, and what the policy says of images without foreground.

    Where no pixel counts, nothing is wrong, and the loss is 0.
    """
    is_empty = counts.tp + counts.fn == 0
    right = counts.tp
    if empty == "background":
        right = torch.where(is_empty, counts.tn, right)
    loss = wrong / (right + wrong + smooth).clamp_min(EPS)
    if empty == "skip":
        return torch.where(is_empty, 0, loss)
    if empty == "formula" and not smooth:
        return torch.where(is_empty, (counts.tn + counts.fp > 0).to(loss.dtype), loss)
    return loss


def _products(logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """Sums of p t, p (1 - t) and (1 - p) t."""
    probs, others = probability(logits), probability(-logits)
    return (probs * target).sum(1), (probs * (1 - target)).sum(1), (others * target).sum(1)


def _minima(logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """Sums of min(p, t), and of what p is above and below t; for hard targets as `_products`.

    At p == t a soft pixel is at its best, whichever way it would move: its gradient is 0. One with
    a hard target is there by rounding only, and p can come from one side alone.
    """
    probs, others = probability(logits), probability(-logits)
    above = torch.where(target == 0, probs, torch.relu(probs - target))
    below = torch.where(target == 1, others, torch.relu(target - probs))
    return (target - below).sum(1), above.sum(1), below.sum(1)


def _squares(logits: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """Sums of p t, of (p - t)^2 on background and on foreground, and of p + t - p t."""
    probs, others = probability(logits), probability(-logits)
    fp, fn = probs * (1 - target), others * target
    squares = (fp - fn).square()
    terms = probs * target, squares * (1 - target), squares * target, fp + target
    return tuple(term.sum(1) for term in terms)


PRODUCTS = PixelFormula("products", 3, _products)
MINIMA = PixelFormula("minima", 3, _minima)
SQUARES = PixelFormula("squares", 4, _squares)
