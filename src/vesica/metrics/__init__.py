"""How good a mask is, per image and pooled. Needs numpy and scipy only.

The judge shares no code with the judged: nothing here is imported from the losses.
"""

from vesica.metrics.boundary import count_boundary, hd95
from vesica.metrics.calibration import Reliability, bin_probabilities, calibration_error
from vesica.metrics.counts import (
    Counts,
    Empty,
    accuracy,
    count_pixels,
    dice,
    iou,
    iou_soft,
    precision,
    recall,
)
from vesica.metrics.decision import (
    expected_iou_counts,
    expected_iou_masks,
    expected_iou_threshold,
    fit_temperature,
    fit_temperature_to_histograms,
    negative_log_likelihood,
    temper,
)
from vesica.metrics.objects import cl_dice, object_recall, skeleton, surface_dice
from vesica.metrics.scores import THRESHOLD, VALUES, Scores, Tally, mean_of_images, of_images
from vesica.metrics.threshold import counts_at, histogram, tune_threshold

__all__ = [
    "THRESHOLD",
    "VALUES",
    "Counts",
    "Empty",
    "Reliability",
    "Scores",
    "Tally",
    "accuracy",
    "bin_probabilities",
    "calibration_error",
    "cl_dice",
    "count_boundary",
    "count_pixels",
    "counts_at",
    "dice",
    "expected_iou_counts",
    "expected_iou_masks",
    "expected_iou_threshold",
    "fit_temperature",
    "fit_temperature_to_histograms",
    "hd95",
    "histogram",
    "iou",
    "iou_soft",
    "mean_of_images",
    "negative_log_likelihood",
    "object_recall",
    "of_images",
    "precision",
    "recall",
    "skeleton",
    "surface_dice",
    "temper",
    "tune_threshold",
]
