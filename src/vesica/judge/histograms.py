"""A cell's histograms of probabilities: other decisions, calibration, and whether it trained."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vesica import metrics
from vesica.errors import DataError
from vesica.files import is_there, was_written
from vesica.metrics.calibration import NUM_BINS
from vesica.metrics.decision import BIN_PROBS
from vesica.plan import Cell
from vesica.results import Calibration, EndedCell, TestScores, read_histograms

Histograms = NDArray[np.integer]

HISTOGRAMS = "histograms.npz"

HALF, SOFT = "half", "soft"

MIN_GAIN = 0.01
"""By which a network's masks must be better than the best constant mask, or it has not trained."""

DECISIONS: dict[str, Callable[[Histograms, Histograms, metrics.Empty], metrics.Counts]] = {
    HALF: lambda val, test, empty: metrics.counts_at(test, metrics.THRESHOLD),
    "tuned": lambda val, test, empty: metrics.counts_at(test, metrics.tune_threshold(val, empty)),
    "expected_iou": lambda val, test, empty: metrics.expected_iou_counts(test)[0],
    "expected_iou_tempered": lambda val, test, empty: metrics.expected_iou_counts(
        test, temperature=metrics.fit_temperature_to_histograms(val)
    )[0],
}
"""From the histograms of validation and test images, and what an image without foreground is worth,
to the counts of the test images' masks."""


def has_trained(val: Histograms, cell: Cell | None = None) -> bool:
    """Whether a network has learned anything, by its validation images alone.

    At the threshold that suits it best, its masks are better than all foreground and all
    background; where each pixel is of one class, better than that class everywhere which is best
    so. This is the one rule that says which runs a comparison is about; it was fixed before any of
    them, and no test image has a say in it.

    Args:
        val: Histograms of every class of every validation image.
        cell: Whose network it is; None: of one class.
    """
    total = val.sum(axis=(1, 2), dtype=np.int64)
    foreground = val[:, 1].sum(axis=1, dtype=np.int64)
    if cell is not None and cell.data.classes:
        shape = -1, len(cell.data.class_names)
        shares = (foreground / total).reshape(shape)
        best = float((shares / (shares > 0).sum(axis=1, keepdims=True)).mean(axis=0).max())
        iou = metrics.iou(metrics.counts_at(val, metrics.THRESHOLD), "skip")
        return metrics.mean_of_images(iou, shape[1]) >= best + MIN_GAIN
    if cell is not None and cell.empty == "skip":
        val, total = val[foreground > 0], total[foreground > 0]
        foreground = foreground[foreground > 0]
        if not len(val):
            return False
    # All foreground scores an image's density; all background 1 on an empty image, else 0.
    constant = max(float((foreground / total).mean()), float((foreground == 0).mean()))
    tuned = metrics.counts_at(val, metrics.tune_threshold(val))
    return float(metrics.iou(tuned).mean()) >= constant + MIN_GAIN


def histograms_of(found: EndedCell, scores: TestScores) -> tuple[Histograms, Histograms] | str:
    """Of validation and test images; or why there are none that belong to the scores."""
    path = found.folder / HISTOGRAMS
    if not is_there(path):
        return "it was deleted" if was_written(path) else "earlier versions wrote none"
    try:
        val, test = read_histograms(path, len(scores.names))
    except (OSError, DataError) as error:
        return str(error)
    counts = metrics.counts_at(test, metrics.THRESHOLD)
    is_same = np.array_equal(counts.tp, scores.counts.tp)
    is_same &= np.array_equal(counts.fp, scores.counts.fp)
    return (val, test) if is_same else "they are of other images"


def calibrate(loss: str, val: Histograms, test: Histograms) -> Calibration:
    """Errors of calibration on test images, with a temperature fitted on validation images."""
    temperature = metrics.fit_temperature_to_histograms(val)
    return Calibration(
        loss=loss,
        temperature=temperature,
        calibration_error=calibration_error_of(test),
        calibration_error_tempered=calibration_error_of(test, temperature=temperature),
    )


def calibration_error_of(histograms: Histograms, *, temperature: float = 1.0) -> float:
    """Pooled calibration error in 15 bins, of logits divided by a temperature."""
    return float(metrics.calibration_error(reliability_of(histograms, temperature=temperature))[0])


def reliability_of(histograms: Histograms, *, temperature: float = 1.0) -> metrics.Reliability:
    """All pixels together in 15 bins, by probabilities from logits divided by a temperature.

    A histogram's bin counts as its middle: raw, this is within 1/512 of the mean probability of
    each, and as the 15 bins do not begin where the 256 do, a few pixels may change theirs.

    Args:
        histograms: As `metrics.histogram` makes them.
        temperature: Fitted on other images.
    """
    negative, positive = np.asarray(np.sum(histograms, axis=0, dtype=np.int64))
    probs = metrics.temper(BIN_PROBS, temperature)
    count, prob_sum, positives = np.zeros((3, 1, NUM_BINS))
    place = np.minimum((probs * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    np.add.at(count[0], place, negative + positive)
    np.add.at(prob_sum[0], place, (negative + positive) * probs)
    np.add.at(positives[0], place, positive)
    return metrics.Reliability(count.astype(np.int64), prob_sum, positives.astype(np.int64))
