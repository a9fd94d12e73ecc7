"""The one table of metrics: what each is called, and which way is better.

What `metrics.Scores.summary` gives and this table has is in a cell's `result.json`, in a run's
`results.json` and `results.csv`, on the terminal and in the report.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from statistics import median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """What a run keeps: immutable; what only a later version knows is passed over."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True
    )


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
        heading: Of its column.
        over: What it is a mean over; pooled ones count all pixels together.
        better: When it is high, when it is low, or neither.
        unit: "" for a share, from 0 to 1.
        shown: Which table of the report has it; `results.csv` has all.
    """

    heading: str
    over: Literal["images", "pixels"] = "images"
    better: Literal["high", "low", ""] = "high"
    unit: str = ""
    shown: Literal["scores", "more", ""] = ""


Score = float | None
"""None where it is not known, as in the result of an earlier version."""


def _of(heading: str, over: Literal["images", "pixels"] = "images", **more: Any) -> Any:
    metric = Metric(heading, over, **more)
    most = 1e9 if metric.unit else 1
    return Field(None, ge=0, le=most, title=heading, json_schema_extra=asdict(metric))


class MeanScores(Model):
    """Every metric, of test images."""

    iou_per_image: Score = _of("IoU per image", shown="scores")
    iou_pooled: Score = _of("IoU pooled", "pixels", shown="scores")
    iou_soft: Score = _of("IoU soft", shown="scores")
    accuracy: Score = _of("accuracy", shown="scores")
    accuracy_pooled: Score = _of("accuracy pooled", "pixels")
    iou_per_image_tuned: Score = _of("IoU, tuned threshold", shown="more")
    iou_pooled_tuned: Score = _of("IoU pooled, tuned threshold", "pixels")
    threshold_tuned: Score = _of("threshold", better="", shown="more")
    dice_per_image: Score = _of("Dice", shown="more")
    dice_pooled: Score = _of("Dice pooled", "pixels")
    precision_per_image: Score = _of("precision", shown="more")
    precision_pooled: Score = _of("precision pooled", "pixels")
    recall_per_image: Score = _of("recall", shown="more")
    recall_pooled: Score = _of("recall pooled", "pixels")
    boundary_iou_per_image: Score = _of("boundary IoU", shown="more")
    boundary_iou_pooled: Score = _of("boundary IoU pooled", "pixels")
    surface_dice: Score = _of("surface Dice, 2 px")
    cl_dice: Score = _of("centre-line Dice")
    object_recall: Score = _of("object recall")
    hd95_px: Score = _of("HD95, px", better="low", unit="pixels", shown="more")
    calibration_error_per_image: Score = _of("calibration error per image", better="low")
    calibration_error_pooled: Score = _of("calibration error", "pixels", better="low", shown="more")

    def __getitem__(self, name: str) -> float | None:
        """A metric by its name, a key of `METRICS`."""
        value: float | None = self.__dict__[name]
        return value


METRICS = {
    name: Metric(**field.json_schema_extra)  # type: ignore[arg-type]
    for name, field in MeanScores.model_fields.items()
    if isinstance(field.json_schema_extra, dict)
}
"""The table, by name, in the order of its columns."""

THIN_PX, SMALL_PX = 3.0, 8.0
"""At the network's size: below them, centre lines and objects say more than IoU."""

OF_LARGE = "boundary_iou_per_image"
"""The metric beside IoU where objects are neither thin nor small."""

LONG = 2.0
"""Widths: a line's root of the area is more, a dot's below one."""


def metric_beside(widths_px: Sequence[float], objects_px: Sequence[float]) -> tuple[str, str]:
    """The metric that the objects ask for beside IoU, and why.

    Args:
        widths_px: Of each image's foreground, along its middle, at the network's size.
        objects_px: Of each object the pixels across there, the root of its area.
    """
    width = median(widths_px) if widths_px else math.inf
    if width < THIN_PX and _across_most(objects_px) >= LONG * width:
        return "cl_dice", (
            f"the foreground is {width:.1f} pixels wide at the network's size: a line that "
            "is a pixel too wide halves IoU"
        )
    if objects_px and (half := median(objects_px)) < SMALL_PX:
        return "object_recall", (
            f"half of the objects are below {half:.1f} pixels across at the network's size: "
            "IoU is made by the large ones"
        )
    return OF_LARGE, "the objects are large: IoU is made by their inside"


def _across_most(objects_px: Sequence[float]) -> float:
    """Half of the foreground is in objects as large: a crack in pieces is long all the same."""
    ordered = sorted(objects_px)
    total = list(accumulate(px**2 for px in ordered))
    return ordered[bisect_left(total, total[-1] / 2)] if total else 0.0
