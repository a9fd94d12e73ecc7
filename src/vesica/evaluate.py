"""Probabilities and per-image scores: for validation, test, prediction and report."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from vesica import metrics
from vesica.losses import Loss, reduce_values
from vesica.models import FCN
from vesica.trunk import Inputs

NUM_BINS = 256
"""Of the probability histograms; 1/2 is an edge, so that thresholds can be tuned without
predicting again."""

THRESHOLD = 0.5


@dataclass(frozen=True)
class Validation:
    """What an epoch is judged by.

    Attributes:
        loss: Mean over images.
        iou: Mean of the per-image IoU at threshold 1/2.
        is_one_class: Every image was predicted as all foreground or all background.
    """

    loss: float
    iou: float
    is_one_class: bool


@dataclass(frozen=True)
class Scores:
    """Everything that later questions about these images need; rows are images.

    Attributes:
        counts: Pixels of each kind at threshold 1/2.
        iou_soft: Eq. 3 of the paper on the probabilities.
        histograms: Pixels by truth (negative, positive) and probability, int64 of shape
            (num_images, 2, NUM_BINS); bin b holds probabilities in [b / 256, (b + 1) / 256).
        preds: Hard masks at threshold 1/2, (num_images, height, width).
    """

    counts: metrics.Counts
    iou_soft: NDArray[np.float64]
    histograms: NDArray[np.int64]
    preds: NDArray[np.bool_]


@torch.inference_mode()
def predict_logits(
    model: FCN, inputs: Inputs, rows: NDArray[np.int64], fabric: Fabric, batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits and targets, batch by batch, in the order of `rows`."""
    model.eval()
    for start in range(0, len(rows), batch):
        features, target = inputs.batch(rows[start : start + batch], fabric.device)
        with fabric.autocast():
            logits = model.head(features, inputs.size)
        yield logits.float(), target


def validate(
    model: FCN, inputs: Inputs, rows: NDArray[np.int64], loss: Loss, fabric: Fabric, batch: int
) -> Validation:
    """Judge the network as it is now."""
    values, weights, ious, one_class = [], [], [], True
    for logits, target in predict_logits(model, inputs, rows, fabric, batch):
        values.append(loss.values(logits, target).double())
        weights.append(loss.weights(target))
        pred = to_preds(to_probs(logits))
        ious.append(metrics.iou(metrics.count_pixels(pred, target.cpu().numpy())))
        one_class &= bool(np.all(pred.all(axis=(1, 2)) | ~pred.any(axis=(1, 2))))
    counted = None if weights[0] is None else torch.cat([w for w in weights if w is not None], 1)
    mean = reduce_values(torch.cat(values, dim=1), counted, "mean")
    return Validation(float(mean), float(np.concatenate(ious).mean()), one_class)


def score(
    model: FCN, inputs: Inputs, rows: NDArray[np.int64], fabric: Fabric, batch: int
) -> Scores:
    """Score every image at the network's size."""
    batches = [
        _score_batch(to_probs(logits), target.cpu().numpy())
        for logits, target in predict_logits(model, inputs, rows, fabric, batch)
    ]
    return Scores(
        metrics.Counts.join([scores.counts for scores in batches]),
        np.concatenate([scores.iou_soft for scores in batches]),
        np.concatenate([scores.histograms for scores in batches]),
        np.concatenate([scores.preds for scores in batches]),
    )


def _score_batch(probs: NDArray[np.float32], truth: NDArray[np.bool_]) -> Scores:
    preds = to_preds(probs)
    return Scores(
        metrics.count_pixels(preds, truth),
        metrics.iou_soft(probs, truth),
        np.stack([_histogram(*image) for image in zip(probs, truth, strict=True)]),
        preds,
    )


def to_probs(logits: Tensor) -> NDArray[np.float32]:
    """Sigmoid, as float32 on the CPU."""
    probs: NDArray[np.float32] = torch.sigmoid(logits.float()).cpu().numpy()
    return probs


def to_preds(probs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Hard masks at threshold 1/2."""
    return probs >= THRESHOLD


def _histogram(probs: NDArray[np.float32], truth: NDArray[np.bool_]) -> NDArray[np.int64]:
    # Multiplying by 256 is exact in float32, so bin 128 begins exactly at 1/2.
    bins = np.minimum((probs * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    combined = bins + NUM_BINS * truth
    return np.bincount(combined.ravel(), minlength=2 * NUM_BINS).reshape(2, NUM_BINS)
