"""Slow float64 formulas of every loss, one image at a time, written as the papers print them."""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, exp, log

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]
"""One image's pixels: `p` are probabilities, `t` is the mask in 0 and 1."""


def pixels(p: Image, t: Image) -> list[tuple[float, float]]:
    """(probability, target) of each pixel."""
    return list(zip(p.ravel().tolist(), t.ravel().tolist(), strict=True))


def bce(p: Image, t: Image) -> float:
    """Equation 1 of van Beers et al. 2019, divided by the number of pixels."""
    total = 0.0
    for p_x, t_x in pixels(p, t):
        total += -(t_x * log(p_x) + (1 - t_x) * log(1 - p_x))
    return total / p.size


def topk(p: Image, t: Image, share: float = 0.1) -> float:
    """Ma et al. 2021: the mean cross-entropy of the worst share of the pixels, by full sorting."""
    costs = sorted(-(t_x * log(p_x) + (1 - t_x) * log(1 - p_x)) for p_x, t_x in pixels(p, t))
    num_worst = ceil(Fraction(str(share)) * p.size)
    return sum(costs[-num_worst:]) / num_worst


def iou(p: Image, t: Image, smooth: float = 0.0) -> float:
    """Equations 3 and 4 of van Beers et al. 2019."""
    intersection = union = 0.0
    for p_x, t_x in pixels(p, t):
        intersection += t_x * p_x
        union += t_x + p_x - t_x * p_x
    return 1 - (intersection + smooth) / (union + smooth)


def iou_gradient(p: Image, t: Image) -> Image:
    """Equation 6 of van Beers et al. 2019: the derivative of eq. 4 by every probability."""
    intersection = union = 0.0
    for p_x, t_x in pixels(p, t):
        intersection += t_x * p_x
        union += t_x + p_x - t_x * p_x
    slopes = [(-union * t_x + intersection * (1 - t_x)) / union**2 for _, t_x in pixels(p, t)]
    return np.array(slopes).reshape(p.shape)


def dice(p: Image, t: Image, smooth: float = 0.0) -> float:
    """Milletari et al. 2016 with plain sums in place of the sums of squares."""
    intersection = total = 0.0
    for p_x, t_x in pixels(p, t):
        intersection += p_x * t_x
        total += p_x + t_x
    return 1 - (2 * intersection + smooth) / (total + smooth)


def tversky(
    p: Image, t: Image, alpha: float = 0.5, beta: float = 0.5, smooth: float = 0.0
) -> float:
    """Equation 3 of Salehi et al. 2017: alpha weights false positives, beta false negatives."""
    tp = fp = fn = 0.0
    for p_x, t_x in pixels(p, t):
        tp += p_x * t_x
        fp += p_x * (1 - t_x)
        fn += (1 - p_x) * t_x
    return 1 - (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)


def focal(p: Image, t: Image, alpha: float = 0.25, gamma: float = 2.0) -> float:
    """Equation 5 of Lin et al. 2017, the mean over the pixels."""
    total = 0.0
    for p_x, t_x in pixels(p, t):
        p_t, alpha_t = (p_x, alpha) if t_x == 1 else (1 - p_x, 1 - alpha)
        total += -alpha_t * (1 - p_t) ** gamma * log(p_t)
    return total / p.size


def softmax_focal(p: Image, t: Image, gamma: float = 2.0) -> float:
    """Equation 4 of Lin et al. 2017 over two classes, each with its share of the pixel."""
    total = 0.0
    for p_x, t_x in pixels(p, t):
        total += -t_x * (1 - p_x) ** gamma * log(p_x) - (1 - t_x) * p_x**gamma * log(1 - p_x)
    return total / p.size


def jaccard_distance(p: Image, t: Image, smooth: float = 0.0) -> float:
    """Equation 3 of Yuan et al. 2017, with squares in the denominator."""
    product = squares = 0.0
    for p_x, t_x in pixels(p, t):
        product += t_x * p_x
        squares += t_x**2 + p_x**2
    return 1 - (product + smooth) / (squares - product + smooth)


def jaccard_metric(p: Image, t: Image, smooth: float = 0.0) -> float:
    """Wang et al. 2023: intersection and union by the L1 norm of the difference."""
    norms = distance = 0.0
    for p_x, t_x in pixels(p, t):
        norms += p_x + t_x
        distance += abs(p_x - t_x)
    intersection, union = (norms - distance) / 2, (norms + distance) / 2
    return 1 - (intersection + smooth) / (union + smooth)


def lovasz_order(margins: Image, t: Image) -> tuple[list[int], list[float]]:
    """Pixels by falling error, and algorithm 1 of Berman et al. 2018: J[k] - J[k - 1]."""
    order = sorted(range(len(margins)), key=lambda x: -margins[x])
    left, union = float(t.sum()), float(t.sum())
    before, growth = 0.0, []
    for x in order:
        left, union = (left - 1, union) if t[x] == 1 else (left, union + 1)
        jaccard = 1 - left / union
        growth.append(jaccard - before)
        before = jaccard
    return order, growth


def lovasz_hinge(logits: Image, t: Image) -> float:
    """The Lovasz extension of `1 - IoU` at the hinge errors."""
    margins, truth = ((1 - 2 * t) * logits).ravel(), t.ravel()
    order, growth = lovasz_order(margins, truth)
    return sum(max(0.0, 1 + float(margins[x])) * g for x, g in zip(order, growth, strict=True))


def lovasz_softmax(p: Image, t: Image) -> float:
    """Equation 11 of Berman et al. 2018: the Lovasz extension of `1 - IoU` at |t - p|."""
    errors, truth = abs(t - p).ravel(), t.ravel()
    order, growth = lovasz_order(errors, truth)
    return sum(float(errors[x]) * g for x, g in zip(order, growth, strict=True))


def lovasz_gradient(logits: Image, t: Image) -> Image:
    """Its derivative by every logit."""
    margins, truth = ((1 - 2 * t) * logits).ravel(), t.ravel()
    order, growth = lovasz_order(margins, truth)
    slopes = np.zeros(len(margins))
    for x, g in zip(order, growth, strict=True):
        slopes[x] = g * (1 - 2 * truth[x]) if margins[x] > -1 else 0
    return slopes.reshape(logits.shape)


REFERENCES: dict[str, Callable[..., float]] = {
    "bce": bce,
    "focal": focal,
    "iou": iou,
    "jaccard_distance": jaccard_distance,
    "dice": dice,
    "tversky": tversky,
    "jaccard_metric": jaccard_metric,
    "lovasz_hinge": lovasz_hinge,
    "lovasz_softmax": lovasz_softmax,
    "topk": topk,
    "ce": bce,
    "softmax_focal": softmax_focal,
}


def sigmoid(logits: Image) -> Image:
    """Probabilities."""
    return np.array([1 / (1 + exp(-x)) for x in logits.ravel().tolist()]).reshape(logits.shape)


def losses(name: str, logits: Image, target: Image, **params: float) -> Image:
    """The named loss of each image of a batch."""
    seen = logits if name == "lovasz_hinge" else sigmoid(logits)
    return np.array([REFERENCES[name](*pair, **params) for pair in zip(seen, target, strict=True)])
