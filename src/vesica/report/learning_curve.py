"""Would more images help? IoU by training images, and what the next doubling brings."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from vesica import statistics
from vesica.judge import Judgement, Setting, data_name, difference_of, fold_of_units
from vesica.plan import Cell
from vesica.plans.learning_curve import GROWS_BY
from vesica.report import svg
from vesica.report.sections import Grid, Pictures, Section
from vesica.report.summary import Analysis, Summary
from vesica.report.svg import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Scale
from vesica.results import Interval, Model
from vesica.spelling import shown
from vesica.words import MISSING

TITLE = "Would more images help?"
CSV_HEADER = ("loss", "num_train", "iou", "low", "high", "gain", "gain_low", "gain_high")
HEIGHT = 240
DOUBLE = 1.8
"""At least so many times as many images are a doubling; shares are rounded to whole images."""


class Point(Model):
    """A loss on so many training images.

    Attributes:
        iou: Per image, with the interval over seeds and test images.
        gain: Over the next smaller set, on the same seeds and test images; None for the smallest.
    """

    num_train: int
    iou: Interval
    gain: Interval | None


class Curve(Model):
    """A loss on every set, the smallest first.

    Attributes:
        next_gain: Of another doubling, if gains go on as the last two did; None: not known.
    """

    loss: str
    points: tuple[Point, ...]
    next_gain: float | None


class LearningCurve(Model):
    """All that a run of the plan says."""

    data: str
    num_cells: int
    num_results: int
    margin: float
    curves: tuple[Curve, ...]


def analyse_learning_curve(settings: Sequence[Setting], margin: float) -> LearningCurve:
    """Every loss on every set that has all its runs."""
    cells = [cell for setting in settings for cell in setting.cells]
    by_size = sorted(settings, key=_num_train)
    return LearningCurve(
        data=data_name(cells[0]),
        num_cells=len(cells),
        num_results=sum(len(setting.ended) for setting in settings),
        margin=margin,
        curves=tuple(
            _make_curve(loss, by_size) for loss in dict.fromkeys(cell.loss for cell in cells)
        ),
    )


def _num_train(setting: Setting) -> int:
    return setting.cells[0].data.train or 0


def _make_curve(loss: str, settings: Sequence[Setting]) -> Curve:
    whole = [s for s in settings if s.seeds_of(loss) and not s.waiting]
    points: list[Point] = []
    for before, setting in zip([None, *whole], whole, strict=False):
        seeds = setting.seeds_of(loss)
        level = statistics.compare(setting.by_unit(loss, seeds), fold_of_units(setting))
        gain = None
        if before is not None and (common := sorted({*seeds} & {*before.seeds_of(loss)})):
            difference = difference_of((setting, loss), (before, loss), common)
            found = statistics.compare(difference, fold_of_units(setting))
            gain = Interval(mean=found.mean, low=found.low, high=found.high)
        ends = [None if end is None else min(max(end, 0), 1) for end in (level.low, level.high)]
        iou = Interval(mean=level.mean, low=ends[0], high=ends[1])
        points.append(Point(num_train=_num_train(setting), iou=iou, gain=gain))
    return Curve(loss=loss, points=tuple(points), next_gain=_next_gain(points))


def _next_gain(points: Sequence[Point]) -> float | None:
    """The last gain, smaller by as much as it was than the one before, and never larger."""
    steps = itertools.pairwise(points)
    gains = [b.gain.mean for a, b in steps if b.gain and b.num_train >= DOUBLE * a.num_train]
    if len(gains) < 2:
        return None
    before, last = gains[-2:]
    return last * min(last / before, 1.0) if min(before, last) > 0 else min(last, 0.0)


def summarise_learning_curve(run: Path, cells: Sequence[Cell], judged: Judgement | None) -> Summary:
    """Every loss as far as it has results."""
    assert judged is not None  # it is not written while cells run
    found = analyse_learning_curve(judged.of_weights, judged.findings.margin)
    return Summary(
        "learning-curve",
        TITLE,
        found.model_dump(mode="json"),
        learning_curve_sections(found),
        CSV_HEADER,
        [
            [shown(curve.loss), p.num_train, *_ends(p.iou), *_ends(p.gain)]
            for curve in found.curves
            for p in curve.points
        ],
    )


ANALYSIS = Analysis("learning-curve", GROWS_BY, summarise_learning_curve)


def learning_curve_sections(found: LearningCurve) -> list[Section]:
    """The answer first, then every set."""
    drawn = [curve for curve in found.curves if curve.points]
    said = f"{found.data}; {found.num_results} of {found.num_cells} cells have a result. "
    said += (
        "Every set is trained for as long as the recipe says; the smaller ones are parts of the "
        "larger ones, and the test images are the same. Intervals are over seeds and test images."
    )
    rows = [_row(curve, point) for curve in found.curves for point in curve.points]
    header = ["trained with", "images", "IoU per image", "interval", "gain, points", "interval"]
    blocks: list[str | Grid | Pictures] = [
        *(say_next(curve, found.margin) for curve in drawn),
        Grid(header, rows),
        said,
    ]
    if drawn:
        blocks.append(Pictures([("IoU per image", "By training images.", draw_curves(drawn))]))
    return [Section("", blocks)]


def say_next(curve: Curve, margin: float) -> str:
    """What doubling the images would bring, in a sentence."""
    last = curve.points[-1]
    name = shown(curve.loss)
    if last.gain is None:
        return f"**{name}**: one set of images has all its runs so far."
    low, high = last.gain.low, last.gain.high
    text = f"**{name}**: the last step, to {last.num_train} images, brought {_points(last.gain)}"
    if low is None or high is None:
        return f"{text}; it takes 2 seeds or more to say what the next one brings."
    if high <= margin:
        return f"{text}: **more images of this kind would hardly help.**"
    likely = ""
    if curve.next_gain is not None:
        likely = f", probably about {100 * curve.next_gain:+.1f} as gains went so far"
    if low <= 0:
        return f"{text}: whether more help is open; twice as many bring at most {100 * high:+.1f}."
    return (
        f"{text}: **more images would help**; twice as many bring up to {100 * high:+.1f}{likely}."
    )


def _row(curve: Curve, point: Point) -> list[str]:
    iou, gain = point.iou, point.gain
    return [
        shown(curve.loss),
        str(point.num_train),
        f"{iou.mean:.3f}",
        MISSING if iou.low is None else f"{iou.low:.3f} to {iou.high:.3f}",
        MISSING if gain is None else f"{100 * gain.mean:+.1f}",
        MISSING
        if gain is None or gain.low is None or gain.high is None
        else f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}",
    ]


def _points(gain: Interval) -> str:
    text = f"{100 * gain.mean:+.1f} points of IoU"
    if gain.low is None or gain.high is None:
        return text
    return f"{text} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _ends(found: Interval | None) -> list[float | None]:
    return [None] * 3 if found is None else [found.mean, found.low, found.high]


def draw_curves(curves: Sequence[Curve]) -> Markup:
    """IoU over the number of training images, which doubles from step to step."""
    points = [point for curve in curves for point in curve.points]
    ends = [end for p in points for end in _ends(p.iou) if end is not None]
    y = svg.scale_for(ends, HEIGHT - BOTTOM, TOP)
    numbers = [point.num_train for point in points]
    x = Scale(min(numbers) / 1.2, max(numbers) * 1.2, LEFT, WIDTH - RIGHT, is_log=True)
    parts = [svg.y_axis(y, LEFT, WIDTH - RIGHT)]
    for index, curve in enumerate(curves):
        look, name = svg.look(index), shown(curve.loss)
        places = [(x(p.num_train), y(p.iou.mean)) for p in curve.points]
        parts += [svg.polyline(places, f"line {look}", name)]
        for place, point in zip(places, curve.points, strict=True):
            if point.iou.low is not None and point.iou.high is not None:
                low, high = y(point.iou.low), y(point.iou.high)
                parts += [svg.line(place[0], low, place[0], high, f"line {look}")]
            title = f"{name}, {point.num_train} images: {point.iou.mean:.3f}"
            parts += [svg.marker(index, *place, f"bin {look}", title)]
    for number in sorted(set(numbers)):
        parts += [svg.text(str(number), x(number), HEIGHT - BOTTOM + 16, "middle", "tick")]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts += [svg.text("training images", middle, HEIGHT - 3, "middle", "label")]
    said = "; ".join(
        f"{shown(c.loss)} {', '.join(f'{p.iou.mean:.3f} at {p.num_train}' for p in c.points)}"
        for c in curves
    )
    return svg.drawing(f"IoU by training images: {said}", WIDTH, HEIGHT, *parts)
