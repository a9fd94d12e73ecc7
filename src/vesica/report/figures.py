"""The report's plots as SVG: intervals, seeds, images, learning curves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vesica.report import svg
from vesica.report.svg import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Scale
from vesica.results import Comparison, Unjudged
from vesica.spelling import shown
from vesica.words import MINUS

Pair = Comparison | Unjudged

INTERVAL_WIDTH = 460
INTERVAL_ROW = 66
MAX_NAME = 60
SEED_ROW = 22
STRIP_HEIGHT = 190
CURVES_HEIGHT = 240
MAX_POINTS = 300
"""Drawn per curve; longer ones are thinned out."""

MAX_CROSSES = 25
"""Drawn per curve, about."""


@dataclass(frozen=True)
class Curve:
    """One cell's history, column by column.

    Attributes:
        index: Of its loss in the group.
        kept: The epoch whose weights were scored, from 1.
        one_class: Epochs at which every validation image was predicted as one class.
    """

    loss: str
    index: int
    seed: int
    kept: int
    train_loss: list[float]
    val_loss: list[float]
    val_iou: list[float]
    one_class: tuple[int, ...]


def draw_intervals(comparisons: Sequence[Pair], margin: float) -> Markup:
    """A row per comparison: point and interval against zero and the margin, in points."""
    ends = [0.0, -3 * margin, 3 * margin]
    for comparison in comparisons:
        ends += _ends(comparison)
    scale = svg.scale_for([100 * end for end in ends], 14, INTERVAL_WIDTH - 14)
    bottom = TOP + INTERVAL_ROW * len(comparisons)
    rows = [
        _drawinterval_of(comparison, scale, TOP + INTERVAL_ROW * row, margin)
        for row, comparison in enumerate(comparisons)
    ]
    axis = svg.x_axis(scale, bottom, "difference, points of per-image IoU", svg.signed)
    said = "; ".join(f"{_name(c)}, {_figures(c)}" for c in comparisons)
    alt = f"Differences in points of per-image IoU, margin ±{100 * margin:g}: {said}"
    return svg.drawing(alt, INTERVAL_WIDTH, bottom + BOTTOM, *rows, axis, class_="plot wide")


def _drawinterval_of(comparison: Pair, scale: Scale, top: float, margin: float) -> Markup:
    y, foot = top + 48, top + INTERVAL_ROW - 6
    name = svg.shorten(_name(comparison), MAX_NAME)
    parts = [svg.text(name, scale.start, top + 14, class_="strong")]
    parts += [svg.text(_figures(comparison), scale.start, top + 30)]
    if isinstance(comparison, Unjudged):
        return Markup().join(parts)
    left, right = scale(-100 * margin), scale(100 * margin)
    title = svg.tag("title", f"within the margin of {100 * margin:g} points")
    band = {"x": left, "y": top + 36, "width": right - left, "height": foot - top - 36}
    parts += [svg.tag("rect", title, class_="band", **band)]
    parts += [svg.line(scale(0), top + 36, scale(0), foot, "zero")]
    return Markup().join([*parts, draw_mean(comparison, comparison.mean, scale, y)])


def draw_mean(comparison: Pair, mean: float, scale: Scale, y: float) -> Markup:
    """The mean with its interval, in the look of its verdict."""
    verdict = comparison.verdict
    parts = []
    if interval := interval_of(comparison):
        low, high = (scale(100 * end) for end in interval)
        parts += [svg.line(low, y, high, y, f"interval {verdict}")]
        parts += [svg.line(x, y - 4, x, y + 4, f"interval {verdict}") for x in (low, high)]
    point = scale(100 * mean)
    parts += [svg.marker(2, point, y, f"point {verdict}", f"mean {100 * mean:+.2f}")]
    return Markup().join(parts)


def _name(comparison: Pair) -> str:
    return f"{shown(comparison.challenger)} minus {shown(comparison.baseline)}"


def interval_of(comparison: Pair) -> tuple[float, float] | None:
    """Its ends; None where there is none."""
    if isinstance(comparison, Unjudged) or comparison.low is None or comparison.high is None:
        return None
    return comparison.low, comparison.high


def _ends(comparison: Pair) -> list[float]:
    """All that is drawn of it, along the axis."""
    mean = [] if isinstance(comparison, Unjudged) else [comparison.mean]
    return [*mean, *(interval_of(comparison) or ())]


def _figures(comparison: Pair) -> str:
    if isinstance(comparison, Unjudged):
        return f"undecided: {comparison.reason}"
    text = f"{100 * comparison.mean:+.1f}"
    if interval := interval_of(comparison):
        text += f" ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})"
    return f"{text} · {comparison.verdict}".replace("-", MINUS)


def draw_seeds(difference: NDArray[np.float64], seeds: Sequence[int], comparison: Pair) -> Markup:
    """A dot per seed: its mean over the test units, and the mean of all with its interval."""
    points = 100 * difference.mean(axis=1)
    ends = [0.0, *points, *(100 * end for end in interval_of(comparison) or ())]
    scale = svg.scale_for(ends, LEFT + 20, WIDTH - RIGHT)
    bottom = TOP + SEED_ROW * (len(seeds) + 1)
    parts = [svg.line(scale(0), TOP, scale(0), bottom, "zero")]
    for row, (seed, value) in enumerate(zip(seeds, points, strict=True)):
        y = TOP + SEED_ROW * (row + 0.5)
        parts += [svg.text(f"seed {seed}", LEFT + 10, y + 4, "end", "tick")]
        parts += [svg.line(scale(0), y, scale(value), y, "stem")]
        parts += [svg.marker(0, scale(value), y, "point plain", f"seed {seed}: {value:+.2f}")]
    y = TOP + SEED_ROW * (len(seeds) + 0.5)
    parts += [svg.text("mean", LEFT + 10, y + 4, "end", "tick strong")]
    parts += [draw_mean(comparison, float(difference.mean()), scale, y)]
    parts += [svg.x_axis(scale, bottom, "points of per-image IoU", svg.signed)]
    said = ", ".join(f"seed {s} {v:+.1f}" for s, v in zip(seeds, points, strict=True))
    return svg.drawing(f"Mean difference by seed: {said}", WIDTH, bottom + BOTTOM, *parts)


def draw_units(difference: NDArray[np.float64], comparison: Pair, units: str) -> Markup:
    """The seed-averaged difference of each test unit, sorted, as one stepped area."""
    values = np.sort(100 * difference.mean(axis=0))[::-1]
    y = svg.scale_for([0.0, *values], STRIP_HEIGHT - 24, TOP)
    x = Scale(0, len(values), LEFT, WIDTH - RIGHT)
    parts = [svg.y_axis(y, LEFT, WIDTH - RIGHT, svg.signed)]
    for sign, class_ in ((1, "gain"), (-1, "loss")):
        ranks = np.flatnonzero(sign * values > 0)
        if len(ranks):
            parts += [_draw_area(values, ranks, x, y, class_)]
    challenger, baseline = (
        svg.shorten(shown(loss), 40) for loss in (comparison.challenger, comparison.baseline)
    )
    if values[0] > 0:
        parts += [svg.text(f"▲ {challenger} better", WIDTH - RIGHT, TOP + 12, "end", "side")]
    if values[-1] < 0:
        low = STRIP_HEIGHT - 32
        parts += [svg.text(f"▼ {baseline} better", LEFT + 6, low, class_="side")]
    parts += [svg.line(LEFT, y(0), WIDTH - RIGHT, y(0), "zero")]
    label = f"{len(values)} {units}, sorted"
    parts += [svg.text(label, (LEFT + WIDTH - RIGHT) / 2, STRIP_HEIGHT - 8, "middle", "label")]
    alt = f"Differences of {len(values)} {units} from {values[0]:+.1f} to {values[-1]:+.1f}"
    return svg.drawing(alt, WIDTH, STRIP_HEIGHT, *parts)


def _draw_area(
    values: NDArray[np.float64], ranks: NDArray[np.intp], x: Scale, y: Scale, class_: str
) -> Markup:
    steps = "".join(f"V{y(values[rank]):.1f}H{x(rank + 1):.1f}" for rank in ranks)
    return svg.tag("path", d=f"M{x(ranks[0]):.1f} {y(0):.1f}{steps}V{y(0):.1f}z", class_=class_)


def draw_iou_curves(curves: Sequence[Curve]) -> Markup:
    """Validation IoU of every cell on one axis; the only one that losses share."""
    y = svg.scale_for([v for c in curves for v in c.val_iou], CURVES_HEIGHT - BOTTOM, TOP)
    y = Scale(max(y.low, -0.02), min(y.high, 1.02), y.start, y.end)
    alt = f"Validation IoU by epoch of {len(curves)} cells"
    return _draw_curves(curves, y, alt, [lambda curve: curve.val_iou], [""], "plot wide")


def draw_loss_curves(curves: Sequence[Curve]) -> Markup:
    """Training and validation loss of one loss's cells."""
    values = [v for c in curves for v in (*c.train_loss, *c.val_loss)]
    y = svg.scale_for(values, CURVES_HEIGHT - BOTTOM, TOP, may_be_log=True)
    alt = f"Training and validation loss of {curves[0].loss} by epoch, {len(curves)} cells"
    columns = [lambda curve: curve.train_loss, lambda curve: curve.val_loss]
    return _draw_curves(curves, y, alt, columns, ["train", "validation"])


def _draw_curves(
    curves: Sequence[Curve],
    y: Scale,
    alt: str,
    columns: Sequence[Callable[[Curve], list[float]]],
    names: Sequence[str],
    class_: str = "plot",
) -> Markup:
    longest = max(len(curve.val_iou) for curve in curves)
    x = Scale(1, max(longest, 2), LEFT, WIDTH - RIGHT - 4, is_whole=True)
    parts = [svg.y_axis(y, LEFT, WIDTH - RIGHT)]
    for curve in curves:
        for column, name in zip(columns, names, strict=True):
            kind = "train" if name == "train" else svg.look(curve.index)
            title = ", ".join(filter(None, (curve.loss, f"seed {curve.seed}", name)))
            parts += [svg.polyline(_points(column(curve), x, y), f"line {kind}", title)]
    for curve in curves:
        parts += [_draw_marks(curve, columns[-1](curve), x, y)]
    label = "epoch, logarithmic loss" if y.is_log else "epoch"
    parts += [svg.x_axis(x, CURVES_HEIGHT - BOTTOM, label)]
    return svg.drawing(alt, WIDTH, CURVES_HEIGHT, *parts, class_=class_)


def _draw_marks(curve: Curve, values: Sequence[float], x: Scale, y: Scale) -> Markup:
    where = f"{curve.loss}, seed {curve.seed}"
    shown = curve.one_class[:: max(1, len(curve.one_class) // MAX_CROSSES)]
    parts = [
        svg.cross(x(e), y(values[e - 1]), title=f"{where}: one class at epoch {e}") for e in shown
    ]
    if 0 < curve.kept <= len(values):
        title = f"{where}: epoch {curve.kept} kept, {values[curve.kept - 1]:.3f}"
        place = x(curve.kept), y(values[curve.kept - 1])
        parts += [svg.marker(curve.index, *place, f"kept {svg.look(curve.index)}", title)]
    return Markup().join(parts)


def _points(values: Sequence[float], x: Scale, y: Scale) -> list[tuple[float, float]]:
    chosen = sorted({*range(0, len(values), _stride(len(values))), len(values) - 1})
    return [(x(row + 1), y(values[row])) for row in chosen]


def _stride(num: int) -> int:
    return max(1, -(-num // MAX_POINTS))
