"""Probabilities and per-image scores: for validation, test, prediction and report.

Of classes of which each pixel has one, the probability of a class is that of a choice between it
and its strongest rival, so that the same threshold of 1/2 gives the class of the largest logit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vesica import metrics
from vesica.data.arrays import Truth, shrink
from vesica.data.tiles import Place, blend
from vesica.features import Batch, Inputs
from vesica.losses import Loss, reduce_values, values_and_weights
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


LEAST_MARGIN = 1e-6
"""By which a class that is not the pixel's is behind, where logits are equal."""

Truths = Callable[[int], Truth]
"""From a row to its masks at another size than the network's."""


@torch.inference_mode()
def predict_logits(
    network: Network, inputs: Inputs, rows: NDArray[np.int64], fabric: Fabric, batch: int
) -> Iterator[tuple[Tensor, Batch]]:
    """Logits, (batch, classes, height, width), and what they are of, in the order of `rows`."""
    network.eval()
    for start in range(0, len(rows), batch):
        found = inputs.batch(rows[start : start + batch], fabric.device)
        with fabric.autocast():
            logits = network.head(found.features, inputs.size)
        yield logits.float(), found


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
    for logits, found in predict_logits(network, inputs, rows, fabric, batch):
        value, weight = values_and_weights(
            loss, logits, found.target, found.valid, is_exclusive=inputs.is_exclusive
        )
        values.append(value.double())
        weights.append(weight)
        pred = to_preds(to_probs(logits, inputs.is_exclusive))
        truth = found.target.cpu().numpy()
        is_all = pred
        if found.valid is not None:
            valid = found.valid.cpu().numpy()[:, np.newaxis]
            pred, is_all = pred & valid, pred | ~valid
        ious.append(
            metrics.iou(metrics.count_pixels(by_class(pred), by_class(truth)), inputs.empty)
        )
        one_class &= bool(np.all(is_all.all(axis=(2, 3)) | ~pred.any(axis=(2, 3))))
    counted = None if weights[0] is None else torch.cat([w for w in weights if w is not None], 1)
    mean = reduce_values(torch.cat(values, dim=1), counted, "mean")
    iou = metrics.mean_of_images(np.concatenate(ious), inputs.masks.shape[1])
    return Validation(float(mean), iou, one_class)


def score(
    network: Network,
    inputs: Inputs,
    rows: NDArray[np.int64],
    fabric: Fabric,
    batch: int,
    truths: Truths | None = None,
) -> tuple[metrics.Scores, NDArray[np.bool_]]:
    """Score every image.

    Args:
        network: Predicts, at its own size.
        inputs: Of all rows.
        rows: To score.
        fabric: Device and precision.
        batch: Images at once.
        truths: Masks at another size, to which logits are resized; None: at the network's.

    Returns:
        The scores, a row for every class of every image, image by image; and hard masks at
        threshold 1/2 and the network's size, (num_images, classes, height, width).
    """
    scores: list[metrics.Scores] = []
    preds = np.empty((len(rows), *inputs.masks.shape[1:]), dtype=np.bool_)
    for place, of_image, truth, valid in _each(network, inputs, rows, fabric, batch, truths):
        preds[place] = to_preds(to_probs(resize(of_image, inputs.size), inputs.is_exclusive))
        if valid is not None:
            preds[place] &= shrink(valid, inputs.size[::-1])
        probs = _probs_at(of_image, truth, inputs)
        scores.append(metrics.Scores.of(probs, truth, _for_all(valid, truth)))
    return metrics.Scores.join(scores), preds


def count_probabilities(
    network: Network,
    inputs: Inputs,
    rows: NDArray[np.int64],
    fabric: Fabric,
    batch: int,
    truths: Truths | None = None,
) -> NDArray[np.int32]:
    """The histograms of `score` alone, which is all that validation images are asked for."""
    found = [
        metrics.histogram(_probs_at(of_image, truth, inputs), truth, _for_all(valid, truth))
        for _, of_image, truth, valid in _each(network, inputs, rows, fabric, batch, truths)
    ]
    return np.concatenate(found)


def _each(
    network: Network,
    inputs: Inputs,
    rows: NDArray[np.int64],
    fabric: Fabric,
    batch: int,
    truths: Truths | None,
) -> Iterator[tuple[int, Tensor, NDArray[np.bool_], NDArray[np.bool_] | None]]:
    """Image by image: its place among the rows, its logits, its masks, its pixels that count."""
    truths = truths or inputs.truth
    for place, of_image in enumerate(_images(network, inputs, rows, fabric, batch)):
        yield place, of_image, *truths(int(rows[place]))


def _images(
    network: Network, inputs: Inputs, rows: NDArray[np.int64], fabric: Fabric, batch: int
) -> Iterator[Tensor]:
    """Logits of each image, (classes, height, width), put together where they are of tiles."""
    pieces = inputs.pieces
    shown = rows if pieces is None else pieces.tile_rows(rows)
    batches = predict_logits(network, inputs, shown, fabric, batch)
    each = (of_row for logits, _ in batches for of_row in logits)
    if pieces is None:
        yield from each
        return
    for row in rows:
        places = pieces.tiles[row]
        yield stitch(torch.stack([next(each) for _ in places]), places, pieces.sizes[row])


def stitch(tiles: Tensor, places: Sequence[Place], size: tuple[int, int]) -> Tensor:
    """Logits of a whole image from those of its tiles, blended where they overlap.

    Args:
        tiles: Shape (tiles, classes, side, side).
        places: The upper left corner of each, in pixels.
        size: Height and width of the image.
    """
    side = tiles.shape[-1]
    weight = torch.from_numpy(blend(side)).to(tiles)
    total = tiles.new_zeros(tiles.shape[1], *size)
    weights = tiles.new_zeros(size)
    for tile, (y, x) in zip(tiles, places, strict=True):
        total[:, y : y + side, x : x + side] += weight * tile
        weights[y : y + side, x : x + side] += weight
    return total / weights


def _probs_at(logits: Tensor, truth: NDArray[np.bool_], inputs: Inputs) -> NDArray[np.float32]:
    """Probabilities of one image's classes at the size of its masks."""
    return to_probs(resize(logits, truth.shape[-2:]), inputs.is_exclusive)


def resize(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """Logits of shape (classes, height, width) at another size, bilinear, without aliases."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return functional.interpolate(
        logits[None], size, mode="bilinear", align_corners=False, antialias=True
    )[0]


def _for_all(valid: NDArray[np.bool_] | None, truth: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The pixels that count, for each class."""
    return None if valid is None else np.broadcast_to(valid, truth.shape)


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


def to_probs(logits: Tensor, is_exclusive: bool = False) -> NDArray[np.float32]:
    """Sigmoid of logits (..., classes, height, width), as float32 on the CPU."""
    logits = against_rivals(logits.float()) if is_exclusive else logits.float()
    probs: NDArray[np.float32] = torch.sigmoid(logits).cpu().numpy()
    return probs


def against_rivals(logits: Tensor) -> Tensor:
    """Each class's logit less that of its strongest rival; at least 0 for one class alone.

    Args:
        logits: Before the softmax, shape (..., classes, height, width), two classes or more.
    """
    best, order = logits.topk(2, dim=-3)
    is_winner = torch.zeros_like(logits, dtype=torch.bool)
    is_winner = is_winner.scatter(-3, order.narrow(-3, 0, 1), True)
    margin = logits - torch.where(is_winner, best.narrow(-3, 1, 1), best.narrow(-3, 0, 1))
    return torch.where(is_winner, margin.clamp(min=0), margin.clamp(max=-LEAST_MARGIN))


def to_preds(probs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Hard masks at threshold 1/2."""
    return probs >= metrics.THRESHOLD
