"""Everything that is asked of a prediction, kept per image, and its summary."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

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
from vesica.metrics.inputs import check_masks, check_probs
from vesica.metrics.objects import cl_dice, object_recall, surface_dice
from vesica.metrics.threshold import histogram

THRESHOLD = 0.5

VALUES = ("hd95_px", "iou_soft", "surface_dice", "cl_dice", "object_recall")
"""Scores that are no sums: a number for each image."""


@dataclass(frozen=True)
class Scores:
    """Rows are images; sums where there are sums, so that any metric can be made of them later.

    Attributes:
        counts: Pixels of each kind at threshold 1/2.
        boundary: The same in the bands along the boundaries.
        reliability: Pixels by probability in 15 bins, for the calibration error.
        histograms: Pixels by truth and probability in 256 bins, for other thresholds.
        hd95_px: 95 % Hausdorff distance in pixels.
        iou_soft: Eq. 3 of the paper on the probabilities.
        surface_dice: Share of the outlines within 2 pixels of each other.
        cl_dice: Centre-line Dice.
        object_recall: Share of the objects of which half is found.
    """

    counts: Counts
    boundary: Counts
    reliability: Reliability
    histograms: NDArray[np.int32]
    hd95_px: NDArray[np.float64]
    iou_soft: NDArray[np.float64]
    surface_dice: NDArray[np.float64]
    cl_dice: NDArray[np.float64]
    object_recall: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.hd95_px)

    @classmethod
    def of(
        cls,
        probs: NDArray[np.float32],
        truth: NDArray[np.bool_],
        valid: NDArray[np.bool_] | None = None,
    ) -> "Scores":
        """Score probabilities of shape (num_images, height, width) against masks.

        Args:
            probs: Probability of foreground.
            truth: Masks of the same shape.
            valid: Pixels that count, of the same shape; None: all. The others are in no sum, and
                objects end where they begin.

        Raises:
            ValueError: If a probability is not in [0, 1], a mask holds anything but 0 and 1, or the
                shapes are others.
        """
        probs, truth = check_probs(probs, truth, num_axes=3)
        if valid is not None:
            truth, valid = check_masks(truth, valid, num_axes=3)
            probs, truth = np.where(valid, probs, 0), truth & valid
        preds = probs >= THRESHOLD
        scores = cls(
            count_pixels(preds, truth),
            count_boundary(preds, truth),
            bin_probabilities(probs, truth),
            histogram(probs, truth, valid),
            hd95(preds, truth),
            iou_soft(probs, truth),
            surface_dice(preds, truth),
            cl_dice(preds, truth),
            object_recall(preds, truth),
        )
        if valid is not None:
            scores._leave_out(np.sum(~valid, axis=(1, 2)))
        return scores

    def _leave_out(self, num_void: NDArray[np.int64]) -> None:
        """Take back what was counted as true background of probability 0."""
        for counts in (self.counts, self.boundary):
            counts.tn[:] -= num_void
        self.reliability.count[:, 0] -= num_void

    @classmethod
    def join(cls, parts: Sequence["Scores"]) -> "Scores":
        """Scores of several batches as those of one."""
        return cls(
            Counts.join([part.counts for part in parts]),
            Counts.join([part.boundary for part in parts]),
            Reliability.join([part.reliability for part in parts]),
            np.concatenate([part.histograms for part in parts]),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in VALUES),
        )

    def summary(
        self, empty: Empty = "score", num_classes: int = 1, *, is_exclusive: bool = False
    ) -> dict[str, float]:
        """Every metric, as the mean over images and pooled, and how many images are empty.

        A distance cannot be pooled, and the paper's soft IoU is a mean over images. Of several
        classes, an image is worth the mean over its classes, and each is pooled by itself.

        Args:
            empty: What an image without foreground is worth; "skip" leaves it out of the means.
            num_classes: Rows of each image.
            is_exclusive: Each pixel is of one class; accuracy is the share of pixels that have
                theirs, and not the mean over classes of each against the rest.
        """
        pooled, of_boundary = (c.pooled(num_classes) for c in (self.counts, self.boundary))
        summary = {
            "accuracy": float(accuracy(self.counts).mean()),
            "accuracy_pooled": float(accuracy(pooled).mean()),
        }
        if is_exclusive:
            right, all_ = (
                found.reshape(-1, num_classes).sum(axis=1)
                for found in (self.counts.tp, self.counts.tp + self.counts.fn)
            )
            summary["accuracy"] = float((right / all_).mean())
            summary["accuracy_pooled"] = float(right.sum() / all_.sum())
        for name, metric, counts, whole in (
            ("iou", iou, self.counts, pooled),
            ("dice", dice, self.counts, pooled),
            ("precision", precision, self.counts, pooled),
            ("recall", recall, self.counts, pooled),
            ("boundary_iou", iou, self.boundary, of_boundary),
        ):
            summary[f"{name}_per_image"] = mean_of_images(metric(counts, empty), num_classes)
            summary[f"{name}_pooled"] = mean_of_images(metric(whole, empty), num_classes)
        summary["num_empty"] = float(self.counts.num_empty)
        is_empty = self.counts.tp + self.counts.fn == 0
        for name in VALUES:
            values = getattr(self, name)
            values = np.where(is_empty, np.nan, values) if empty == "skip" else values
            summary[name] = mean_of_images(values, num_classes)
        errors = calibration_error(self.reliability)
        summary["calibration_error_per_image"] = float(errors.mean())
        summary["calibration_error_pooled"] = float(calibration_error(self.reliability.pooled())[0])
        return summary


class Tally:
    """Scores of images by name: what is seen twice, in a batch or a process, counts once.

    A distributed sampler repeats samples so that every process has as many.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Scores] = {}

    def update(
        self, names: Iterable[str], probs: NDArray[np.float32], truth: NDArray[np.bool_]
    ) -> None:
        """Score a batch of shape (num_images, height, width).

        Raises:
            ValueError: If there is not one name for each image, a name stands twice, or an image
                was seen before with other scores.
        """
        names = list(names)
        if not len(names) == len(probs) == len(truth):
            raise ValueError(
                f"{len(names)} names for {len(probs)} predictions and {len(truth)} masks; each "
                "image needs one of each"
            )
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"{twice} in one batch more than once; give each image its own name")
        self._add(
            {
                name: Scores.of(probs[row : row + 1], truth[row : row + 1])
                for row, name in enumerate(names)
            }
        )

    def merge(self, others: Iterable["Tally"]) -> None:
        """Add what other processes have seen.

        Raises:
            ValueError: If an image was seen before with other scores.
        """
        for other in others:
            self._add(other._rows)

    def scores(self) -> tuple[list[str], Scores]:
        """Names in their order, and the scores of those images.

        Raises:
            ValueError: If there are none.
        """
        if not self._rows:
            raise ValueError("no image was scored; call update first")
        names = sorted(self._rows)
        return names, Scores.join([self._rows[name] for name in names])

    def _add(self, rows: Mapping[str, Scores]) -> None:
        for name, row in rows.items():
            seen = self._rows.setdefault(name, row)
            if any(
                not np.array_equal(getattr(seen.counts, f.name), getattr(row.counts, f.name))
                for f in fields(Counts)
            ):
                raise ValueError(
                    f"image {name!r} was scored twice with different results; give each image a "
                    "name of its own, and predict in evaluation mode"
                )


def of_images(values: NDArray[np.float64], num_classes: int = 1) -> NDArray[np.float64]:
    """Each image's mean over its classes that count; NaN where none does.

    Args:
        values: Of every class of every image, whose rows take turns; NaN does not count.
        num_classes: Of each image.
    """
    by_image = values.reshape(-1, num_classes)
    num = np.isfinite(by_image).sum(axis=1)
    total = np.where(np.isfinite(by_image), by_image, 0).sum(axis=1)
    return np.asarray(np.divide(total, num, out=np.full(len(num), np.nan), where=num > 0))


def mean_of_images(values: NDArray[np.float64], num_classes: int = 1) -> float:
    """Mean over images of `of_images`; NaN where none counts."""
    means = of_images(values, num_classes)
    means = means[np.isfinite(means)]
    return float(means.mean()) if len(means) else float("nan")
