"""Slow float64 formulas of every loss, one image at a time, written as the papers print them."""

from collections.abc import Callable
from math import exp, log

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


REFERENCES: dict[str, Callable[..., float]] = {
    "bce": bce,
    "iou": iou,
    "dice": dice,
    "tversky": tversky,
}


def sigmoid(logits: Image) -> Image:
    """Probabilities."""
    return np.array([1 / (1 + exp(-x)) for x in logits.ravel().tolist()]).reshape(logits.shape)


def losses(name: str, logits: Image, target: Image, **params: float) -> Image:
    """The named loss of each image of a batch."""
    pairs = zip(sigmoid(logits), target, strict=True)
    return np.array([REFERENCES[name](p, t, **params) for p, t in pairs])
