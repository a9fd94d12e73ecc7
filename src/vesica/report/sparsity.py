"""Does the difference between two losses depend on how sparse the object is?"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from markupsafe import Markup

from vesica.judge import Judgement
from vesica.judge.sparsity import Point, Sparsity, Trend, analyse_sparsity
from vesica.plan import Cell
from vesica.plans.sparsity import CONTROLLED, OBSERVED, Arm
from vesica.report import svg
from vesica.report.sections import Grid, Pictures, Section
from vesica.report.summary import Analysis, Summary
from vesica.report.svg import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Scale
from vesica.spelling import shown
from vesica.words import MISSING, count_of

TITLES = {
    CONTROLLED.kind: "Sparsity: the same objects with more background",
    OBSERVED.kind: "Sparsity and classes, confounded",
}
CAVEATS = {
    CONTROLLED.kind: "Controlled: from density to density the same object pixels, with more "
    "background around them. Only this arm supports a sentence about sparsity.",
    OBSERVED.kind: "**Confounded**: the classes differ in shape, size, place and look as well as "
    "in density, so this supports no sentence about sparsity; `vesica run sparsity` does.",
}
CSV_HEADER = (
    *("challenger", "density", "where", "mean", "low", "high", "verdict"),
    *("iou_baseline", "iou_challenger", "num_seeds"),
)
HEIGHT = 240


def summarise_sparsity(
    arm: Arm, run: Path, cells: Sequence[Cell], judged: Judgement | None
) -> Summary:
    """Every density as far as it has results."""
    assert judged is not None  # it is not written while cells run
    found = analyse_sparsity(judged, arm.kind)
    rows = [
        [
            *(shown(trend.challenger), p.density, p.where, p.mean, p.low, p.high, p.verdict),
            *(p.iou_baseline, p.iou_challenger, p.num_seeds),
        ]
        for trend in found.trends
        for p in trend.points
    ]
    sections = sparsity_sections(found)
    document = found.model_dump(mode="json")
    return Summary(arm.kind, TITLES[arm.kind], document, sections, CSV_HEADER, rows)


ANALYSES = {
    arm.kind: Analysis(arm.kind, arm.grows_by, partial(summarise_sparsity, arm))
    for arm in (CONTROLLED, OBSERVED)
}


def sparsity_sections(found: Sparsity) -> list[Section]:
    """The answer first, then every density."""
    blocks: list[str | Grid | Pictures] = [CAVEATS[found.kind]]
    blocks += [say_trend(trend, found) for trend in found.trends]
    for trend in found.trends:
        header = ["density", "where", shown(trend.baseline), shown(trend.challenger)]
        header += ["difference, points", "interval", "verdict"]
        blocks.append(Grid(header, [_row(point) for point in trend.points], num_words=2))
    blocks += [said for trend in found.trends for said in say_failures(trend)]
    blocks.append(
        f"{found.num_results} of {found.num_cells} cells have a result. Scores are per-image IoU "
        "at the network's size; the slope is a least-squares line for each seed and image over the "
        "logarithm of density, and its interval is over seeds and images."
    )
    drawn = [trend for trend in found.trends if any(p.mean is not None for p in trend.points)]
    if drawn:
        title = "Difference in points of per-image IoU"
        pictures = [(title, _say_pair(t), draw_trend(t, found.margin)) for t in drawn]
        blocks.append(Pictures(pictures))
    return [Section("", blocks)]


def _say_pair(trend: Trend) -> str:
    return f"{shown(trend.challenger)} minus {shown(trend.baseline)}"


def say_trend(trend: Trend, found: Sparsity) -> str:
    """The verdict on the slope in a sentence."""
    sparser = "as objects become sparser"
    if found.kind == OBSERVED.kind:
        sparser = "from denser to sparser classes (confounded)"
    pair = f"{_say_pair(trend)}, per-image IoU"
    if trend.slope is None:
        return f"**Undecided**: how {pair}, moves {sparser}: {trend.reason}."
    challenger, baseline = shown(trend.challenger), shown(trend.baseline)
    opening = {
        "better": f"**{sparser.capitalize()}, {challenger} gains on {baseline}**: {pair},",
        "worse": f"**{sparser.capitalize()}, {baseline} gains on {challenger}**: {pair},",
        "equivalent": f"**The difference hardly moves {sparser}**: {pair},",
    }.get(trend.verdict, f"**Undecided**: {sparser}, {pair},")
    unit = "group" if trend.is_grouped else "test image"
    within = f"{count_of(trend.num_seeds, 'seed')}, {count_of(trend.num_units, unit)}"
    within += " of test images" * trend.is_grouped
    within += f", {len(trend.points)} densities"
    interval = ""
    if trend.low is not None and trend.high is not None:
        ends = f"{100 * trend.low:+.1f} to {100 * trend.high:+.1f}"
        interval = f"{100 * trend.level:.3g} % interval {ends}; "
    text = (
        f"{opening} moves by {100 * trend.slope:+.1f} points for each tenfold lower density "
        f"({interval}{within}; margin ±{100 * found.margin:g})"
    )
    text += f"; {trend.reason}." if trend.reason else "."
    if trend.dropped_seeds:
        dropped = ", ".join(map(str, trend.dropped_seeds))
        text += f" Left out, as a loss did not train at some density: seed {dropped}."
    return text


def say_failures(trend: Trend) -> list[str]:
    """Which losses did not train where, in a sentence; none where none did."""
    said = [
        f"{shown(f.loss)} in {f.num_failed} of {count_of(f.num_runs, 'run')} at {point.where}"
        for point in trend.points
        for f in point.failures
        if f.num_failed
    ]
    return [f"Failed, or learned nothing by validation: {', '.join(said)}."] if said else []


def _row(point: Point) -> list[str]:
    def score(value: float | None) -> str:
        return MISSING if value is None else f"{value:.3f}"

    interval = MISSING
    if point.low is not None and point.high is not None:
        interval = f"{100 * point.low:+.1f} to {100 * point.high:+.1f}"
    return [
        f"{point.density:.2g}",
        point.where,
        score(point.iou_baseline),
        score(point.iou_challenger),
        MISSING if point.mean is None else f"{100 * point.mean:+.1f}",
        interval,
        point.verdict,
    ]


def draw_trend(trend: Trend, margin: float) -> Markup:
    """The difference over density, sparser to the right, with its intervals and its line."""
    points = [(point, 100 * point.mean) for point in trend.points if point.mean is not None]
    ends = [100 * e for p, _ in points for e in (p.mean, p.low, p.high) if e is not None]
    y = svg.scale_for([0.0, *ends], HEIGHT - BOTTOM, TOP)
    densities = [point.density for point, _ in points]
    x = Scale(
        min(densities) / 1.5, min(1.0, max(densities) * 1.5), WIDTH - RIGHT, LEFT, is_log=True
    )
    parts = [svg.y_axis(y, LEFT, WIDTH - RIGHT, svg.signed)]
    parts += [svg.line(LEFT, y(0), WIDTH - RIGHT, y(0), "zero")]
    for point, mean in points:
        place = x(point.density)
        if point.low is not None and point.high is not None:
            low, high = y(100 * point.low), y(100 * point.high)
            parts += [svg.line(place, low, place, high, f"interval {point.verdict}")]
        title = f"{point.where}, density {point.density:.2g}: {mean:+.1f}, {point.verdict}"
        parts += [svg.marker(2, place, y(mean), f"point {point.verdict}", title)]
    if trend.slope is not None and len(points) == len(trend.points):
        decades = -np.log10(densities)
        middle = np.mean([mean for _, mean in points])
        fitted = middle + 100 * trend.slope * (decades - decades.mean())
        places = [(x(d), y(float(f))) for d, f in zip(densities, fitted, strict=True)]
        parts += [svg.polyline(places, "line train", f"{100 * trend.slope:+.1f} for each tenfold")]
    parts += [svg.x_axis(x, HEIGHT - BOTTOM, "density, sparser to the right")]
    said = "; ".join(f"{mean:+.1f} at {p.density:.2g}" for p, mean in points)
    return svg.drawing(f"{_say_pair(trend)} by density: {said}", WIDTH, HEIGHT, *parts)
