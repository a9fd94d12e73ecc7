"""The report's plots of whole sets: test image by test image, calibration, and many settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vesica import metrics
from vesica.report import svg
from vesica.report.figures import draw_mean, interval_of
from vesica.report.svg import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Scale
from vesica.results import Comparison
from vesica.spelling import shown

SQUARE = WIDTH - LEFT - RIGHT
"""Side of a plot whose axes are the same."""

FOREST_ROW = 24
FOREST_NAME = 300
FOREST_WIDTH = 720
MIN_PIXELS = 100
"""In a bin of a reliability diagram: the share of fewer says little."""


@dataclass(frozen=True)
class Row:
    """A comparison in a plot of many; its name leads to its setting."""

    name: str
    href: str
    pair: Comparison


def draw_scatter(
    iou: tuple[NDArray[np.float64], NDArray[np.float64]],
    losses: tuple[str, str],
    names: Sequence[str],
    anchors: Mapping[str, str],
) -> Markup:
    """A point per test image: the per-image IoU of two losses; a point leads to its picture.

    Args:
        iou: Of the baseline and of the challenger, shape (images,), means over seeds.
        losses: Their names.
        names: Of the images.
        anchors: Of those that have a picture.
    """
    x, y = Scale(0, 1, LEFT, LEFT + SQUARE), Scale(0, 1, TOP + SQUARE, TOP)
    old, new = (svg.shorten(loss, 40) for loss in losses)
    parts = [svg.y_axis(y, LEFT, LEFT + SQUARE), svg.line(x(0), y(0), x(1), y(1), "zero")]
    for row in np.lexsort((iou[1], iou[0])).tolist():
        said = f"{names[row]}: {old} {iou[0][row]:.3f}, {new} {iou[1][row]:.3f}"
        centre = {"cx": x(float(iou[0][row])), "cy": y(float(iou[1][row])), "r": 3}
        point = svg.tag("circle", svg.tag("title", said), class_="image", **centre)
        href = anchors.get(names[row])
        parts += [svg.tag("a", point, href=f"#{href}", aria_label=said) if href else point]
    parts += [svg.text(f"▲ {new} better", LEFT + 8, TOP + 14, class_="side")]
    parts += [svg.text(f"▼ {old} better", LEFT + SQUARE - 8, TOP + SQUARE - 8, "end", "side")]
    parts += [svg.x_axis(x, TOP + SQUARE, f"IoU with {old}; upwards, with {new}")]
    alt = f"Per-image IoU of {len(names)} test images, {losses[0]} against {losses[1]}"
    size = WIDTH, TOP + SQUARE + BOTTOM
    return svg.drawing(alt, *size, *parts, class_="plot scatter", role="group")


def draw_reliability(found: Sequence[tuple[int, str, metrics.Reliability]]) -> Markup:
    """A line per loss: the share of foreground among pixels of about the same probability.

    Args:
        found: Of each loss its place in the group, its name, and its pixels.
    """
    x, y = Scale(0, 1, LEFT, LEFT + SQUARE), Scale(0, 1, TOP + SQUARE, TOP)
    parts = [svg.y_axis(y, LEFT, LEFT + SQUARE), svg.line(x(0), y(0), x(1), y(1), "zero")]
    for index, loss, reliability in found:
        count, prob_sum, positives = (
            values[0] for values in (reliability.count, reliability.prob_sum, reliability.positives)
        )
        bins = np.flatnonzero(count >= MIN_PIXELS)
        probs, shares = prob_sum[bins] / count[bins], positives[bins] / count[bins]
        places = [(x(float(p)), y(float(s))) for p, s in zip(probs, shares, strict=True)]
        parts += [svg.polyline(places, f"line {svg.look(index)}", loss)]
        for place, prob, share, num in zip(places, probs, shares, count[bins], strict=True):
            title = f"{loss}: probability {prob:.2f}, foreground {share:.2f}, {num:,} pixels"
            parts += [svg.marker(index, *place, f"bin {svg.look(index)}", title)]
    parts += [svg.x_axis(x, TOP + SQUARE, "probability; upwards, share of foreground")]
    alt = f"Share of foreground by probability, {', '.join(loss for _, loss, _ in found)}"
    return svg.drawing(alt, WIDTH, TOP + SQUARE + BOTTOM, *parts)


def draw_forest(rows: Sequence[Row], margin: float) -> Markup:
    """A line per comparison of all settings, against zero and the margin, in points."""
    ends = [0.0, -3 * margin, 3 * margin]
    for row in rows:
        ends += [row.pair.mean, *(interval_of(row.pair) or ())]
    scale = svg.scale_for([100 * end for end in ends], FOREST_NAME, FOREST_WIDTH - RIGHT)
    foot = TOP + FOREST_ROW * len(rows)
    left, right = scale(-100 * margin), scale(100 * margin)
    title = svg.tag("title", f"within the margin of {100 * margin:g} points")
    band = {"x": left, "y": TOP, "width": right - left, "height": foot - TOP}
    parts = [svg.tag("rect", title, class_="band", **band)]
    parts += [svg.line(scale(0), TOP, scale(0), foot, "zero")]
    for number, row in enumerate(rows):
        y = TOP + FOREST_ROW * (number + 0.5)
        name = svg.text(svg.shorten(row.name, 46), 0, y + 4)
        parts += [svg.tag("a", name, href=f"#{row.href}", aria_label=row.name)]
        parts += [draw_mean(row.pair, row.pair.mean, scale, y)]
    parts += [svg.x_axis(scale, foot, "difference, points of per-image IoU", svg.signed)]
    said = "; ".join(f"{r.name} {100 * r.pair.mean:+.1f}, {r.pair.verdict}" for r in rows)
    alt = f"Differences in points of per-image IoU, margin ±{100 * margin:g}: {said}"
    size = FOREST_WIDTH, foot + BOTTOM
    return svg.drawing(alt, *size, *parts, class_="plot forest", role="group")


def pool(found: Sequence[metrics.Reliability]) -> metrics.Reliability:
    """The pixels of several runs together."""
    return metrics.Reliability.join(found).pooled()


def forest_rows(
    settings: Sequence[tuple[str, str, Sequence[object]]],
) -> list[Row]:
    """Every judged comparison of settings, given as name, anchor and comparisons."""
    return [
        Row(f"{name}: {shown(pair.challenger)} minus {shown(pair.baseline)}", anchor, pair)
        for name, anchor, pairs in settings
        for pair in pairs
        if isinstance(pair, Comparison)
    ]
