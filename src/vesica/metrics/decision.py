"""From probabilities to the mask that maximises expected IoU, and calibrated probabilities.

A mask at threshold 1/2 maximises expected accuracy. The mask that maximises IoU keeps more.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesica.metrics.counts import Counts, PerImage
from vesica.metrics.inputs import check_probs, check_truth
from vesica.metrics.threshold import NUM_BINS

MAX_STEPS = 100
"""Each step but the last raises J; a handful is enough."""

BIN_PROBS = (np.arange(NUM_BINS) + 0.5) / NUM_BINS
"""What a pixel of a histogram's bin is taken for: the middle."""

TEMPERATURES = (0.05, 20.0)

CHUNK = 512
"""Images whose histograms are taken apart at once."""


def expected_iou_threshold(probs: NDArray[np.floating]) -> PerImage:
    """The threshold above which to keep pixels, per image: `J / (1 + J)`.

    J is the largest ratio E[I] / E[U] that any mask K has, with p the probabilities:
    E[I] = sum of p in K, E[U] = |K| + sum of p outside K. With the best K known, a pixel is worth
    keeping if p > J (1 - p), so K are all pixels above a threshold. J and threshold are found in
    turn until J rises no more (Dinkelbach's method, which reaches the maximum). For an image
    without any probability it is 0.

    Assumes that pixels are independent given the image and that their probabilities are calibrated;
    neither is true of a network. The ratio of expectations stands for the expectation of the ratio,
    from which it differs little where there are many pixels.

    Args:
        probs: Probability of foreground, shape (num_images, *pixels).

    Raises:
        ValueError: If a probability is not in [0, 1].

    Source:
        Nowozin 2014, Optimal decisions from probabilistic models: the intersection-over-union case.
    """
    probs, _ = check_probs(probs)
    flat = probs.astype(np.float64).reshape(len(probs), -1)
    return _maximise(flat, np.ones_like(flat))


def expected_iou_masks(probs: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Masks of the largest E[I] / E[U], shape of `probs`; see `expected_iou_threshold`."""
    thresholds = expected_iou_threshold(probs).reshape(-1, *[1] * (np.ndim(probs) - 1))
    masks: NDArray[np.bool_] = np.asarray(probs, dtype=np.float64) > thresholds
    return masks


def expected_iou_counts(
    histograms: NDArray[np.integer], *, temperature: float = 1.0
) -> tuple[Counts, PerImage]:
    """The same decision from histograms, for runs whose probabilities are gone.

    Every pixel of a bin gets the probability of the bin's middle, and bins are kept whole.

    Args:
        histograms: As `histogram` makes them, shape (num_images, 2, NUM_BINS).
        temperature: What the logits are divided by first.

    Returns:
        Counts of the masks, and the threshold of each image as a probability before tempering.
    """
    tempered = temper(BIN_PROBS, temperature)
    parts = [
        _count_expected(histograms[start : start + CHUNK], tempered)
        for start in range(0, max(len(histograms), 1), CHUNK)
    ]
    counts, thresholds = zip(*parts, strict=True)
    return Counts.join(counts), np.concatenate(thresholds)


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """The T whose sigmoid(logits / T) has the smallest negative log-likelihood.

    One parameter, so that it cannot overfit a validation set; masks at 1/2 stay as they are. Below
    1, the probabilities were too timid.

    Args:
        logits: Scores before the sigmoid, of validation images.
        truth: Masks of the same shape.

    Returns:
        Between 0.05 and 20; an end where the likelihood grows beyond it (as with perfect masks).

    Raises:
        ValueError: If a mask holds anything but 0 and 1, or the shapes differ.

    Source:
        Guo et al. 2017, On calibration of modern neural networks, section 4.2.
    """
    scores = np.asarray(logits, dtype=np.float64)
    is_positive = check_truth(truth, scores.shape)
    return _fit(np.where(is_positive, scores, -scores).ravel(), np.ones(scores.size))


def fit_temperature_to_histograms(histograms: NDArray[np.integer]) -> float:
    """The same from histograms of validation images; a bin counts as its middle.

    What is more certain than 1/512 or 511/512 is not told apart, so a very confident network gets
    a temperature nearer to 1 than its logits would give.
    """
    weights = np.sum(histograms, axis=0, dtype=np.float64)
    logits = _logit(BIN_PROBS)
    return _fit(np.concatenate([-logits, logits]), weights.ravel())


def temper(probs: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Probabilities of logits divided by a temperature.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, expected a number above 0")
    # 0 and 1 stay what they are: their logits are infinite.
    with np.errstate(divide="ignore"):
        scaled = _logit(np.asarray(probs, dtype=np.float64)) / temperature
    return np.asarray(np.exp(-np.logaddexp(0, -scaled)))


def negative_log_likelihood(
    logits: NDArray[np.floating], truth: NDArray[np.bool_], temperature: float = 1.0
) -> float:
    """Mean over pixels, in nats.

    Raises:
        ValueError: If a mask holds anything but 0 and 1, or the shapes differ.
    """
    scores = np.asarray(logits, dtype=np.float64) / temperature
    is_positive = check_truth(truth, scores.shape)
    return float(np.logaddexp(0, np.where(is_positive, -scores, scores)).mean())


def _count_expected(
    histograms: NDArray[np.integer], tempered: NDArray[np.float64]
) -> tuple[Counts, PerImage]:
    num = np.asarray(histograms, dtype=np.int64)
    weights = num.sum(axis=1).astype(np.float64)
    thresholds = _maximise(np.broadcast_to(tempered, weights.shape), weights)
    is_kept = tempered > thresholds[:, None]
    found = np.where(is_kept[:, None], num, 0).sum(axis=2)
    left = num.sum(axis=2) - found
    first = np.where(is_kept.any(axis=1), is_kept.argmax(axis=1), NUM_BINS)
    counts = Counts(tp=found[:, 1], fp=found[:, 0], fn=left[:, 1], tn=left[:, 0])
    return counts, first / NUM_BINS


def _maximise(probs: NDArray[np.float64], weights: NDArray[np.float64]) -> PerImage:
    """Thresholds J / (1 + J); rows are images, weights say how many pixels have a probability."""
    mass = weights * probs
    total = mass.sum(axis=1)
    best = np.zeros(len(probs))
    for _ in range(MAX_STEPS):
        is_kept = probs > (best / (1 + best))[:, None]
        inside = np.where(is_kept, mass, 0).sum(axis=1)
        union = np.where(is_kept, weights, 0).sum(axis=1) + total - inside
        ratio = np.divide(inside, union, out=np.zeros(len(probs)), where=union > 0)
        if not (ratio > best).any():
            break
        best = np.maximum(best, ratio)
    threshold: PerImage = best / (1 + best)
    return threshold


def _fit(agreement: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The temperature of the least weighted mean of log(1 + exp(-agreement / T)).

    It is convex in 1 / T: its slope is bisected.
    """
    from_end, to_end = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]

    def slope(inverse: float) -> float:
        return float(-np.sum(weights * agreement * np.exp(-np.logaddexp(0, inverse * agreement))))

    if slope(from_end) >= 0:
        return TEMPERATURES[1]
    if slope(to_end) <= 0:
        return TEMPERATURES[0]
    for _ in range(60):
        middle = (from_end + to_end) / 2
        from_end, to_end = (from_end, middle) if slope(middle) > 0 else (middle, to_end)
    return 2 / (from_end + to_end)


def _logit(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(probs) - np.log1p(-probs))
