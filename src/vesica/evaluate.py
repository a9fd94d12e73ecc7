"""Probabilities and per-image scores: for validation, test, prediction and report."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from vesica import metrics
from vesica.features import Inputs
from vesica.losses import Loss, reduce_values
from vesica.networks import Network


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


@torch.inference_mode()
def predict_logits(
    network: Network, inputs: Inputs, rows: NDArray[np.int64], fabric: Fabric, batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits and targets, (batch, classes, height, width) each, in the order of `rows`."""
    network.eval()
    for start in range(0, len(rows), batch):
        features, target = inputs.batch(rows[start : start + batch], fabric.device)
        with fabric.autocast():
            logits = network.head(features, inputs.size)
        yield logits.float(), target


def validate(
    network: Network,
    inputs: Inputs,
    rows: NDArray[np.int64],
    loss: Loss,
    fabric: Fabric,
    batch: int,
) -> Validation:
    """Judge the network as it is now."""
    values, weights, ious, one_class = [], [], [], True
    for logits, target in predict_logits(network, inputs, rows, fabric, batch):
        values.append(loss.values(logits, target, channels=True).double())
        weights.append(loss.weights(target, channels=True))
        pred, truth = to_preds(to_probs(logits)), target.cpu().numpy()
        ious.append(metrics.iou(metrics.count_pixels(by_class(pred), by_class(truth))))
        one_class &= bool(np.all(pred.all(axis=(2, 3)) | ~pred.any(axis=(2, 3))))
    counted = None if weights[0] is None else torch.cat([w for w in weights if w is not None], 1)
    mean = reduce_values(torch.cat(values, dim=1), counted, "mean")
    return Validation(float(mean), float(np.concatenate(ious).mean()), one_class)


def score(
    network: Network, inputs: Inputs, rows: NDArray[np.int64], fabric: Fabric, batch: int
) -> tuple[metrics.Scores, NDArray[np.bool_]]:
    """Score every image at the network's size.

    Returns:
        The scores, a row for every class of every image, image by image; and hard masks at
        threshold 1/2, (num_images, classes, height, width).
    """
    scores: list[metrics.Scores] = []
    preds = np.empty((len(rows), *inputs.masks.shape[1:]), dtype=np.bool_)
    for logits, target in predict_logits(network, inputs, rows, fabric, batch):
        probs = to_probs(logits)
        start = len(scores) * batch
        scores.append(metrics.Scores.of(by_class(probs), by_class(target.cpu().numpy())))
        preds[start : start + batch] = to_preds(probs)
    return metrics.Scores.join(scores), preds


def gather_tallies(tally: metrics.Tally) -> metrics.Tally:
    """Every process's tally as one, on each of them; an image that several have seen counts once.

    Raises:
        ValueError: If two processes scored an image differently.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return tally
    found: list[metrics.Tally] = [metrics.Tally()] * dist.get_world_size()
    dist.all_gather_object(found, tally)
    whole = metrics.Tally()
    whole.merge(found)
    return whole


def by_class(maps: NDArray[Any]) -> NDArray[Any]:
    """(images, classes, height, width) as a row for every class of every image."""
    return maps.reshape(-1, *maps.shape[2:])


def to_probs(logits: Tensor) -> NDArray[np.float32]:
    """Sigmoid, as float32 on the CPU."""
    probs: NDArray[np.float32] = torch.sigmoid(logits.float()).cpu().numpy()
    return probs


def to_preds(probs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Hard masks at threshold 1/2."""
    return probs >= metrics.THRESHOLD
