"""How the difference between two losses moves with density: the slope, and its verdict.

Each density has a verdict already; here is the one on what these make together. Seeds and images
are both samples, as there: a seed counts where both losses trained at every density.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica import statistics
from vesica.judge.findings import Judgement
from vesica.judge.pairs import by_the_threshold
from vesica.judge.setting import Setting, difference_of, fold_of_units
from vesica.results import Comparison, EndedCell, Failures, GroupFindings, Model, read_scores
from vesica.words import count_of


class Point(Model):
    """Two losses at one density.

    Attributes:
        where: The canvas, or the class.
        density: Mean share of foreground in the test images.
        mean: Difference of per-image IoU; None: no seed trained with both. Its interval is None
            with one seed.
        iou_baseline: Per image; the mean of all runs with scores.
        failures: Of both losses.
    """

    where: str
    density: float
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str
    num_seeds: int = 0
    iou_baseline: float | None
    iou_challenger: float | None
    failures: tuple[Failures, ...]


class Trend(Model):
    """How the difference of two losses moves with density.

    Attributes:
        points: The densest first.
        slope: Of the difference, a fraction of IoU for each tenfold lower density; None: no seed
            has trained with both losses at every density, or runs are missing.
        verdict: "better": the challenger gains as the object becomes sparser.
        reason: Why it is undecided.
        dropped_seeds: With which a loss failed, or learned nothing, at some density.
        num_units: Test images, or groups of them, with two densities or more.
        is_grouped: They are groups.
    """

    baseline: str
    challenger: str
    points: tuple[Point, ...]
    slope: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    verdict: str = "undecided"
    reason: str = ""
    level: float = statistics.LEVEL
    num_seeds: int = 0
    num_units: int = 0
    is_grouped: bool = False
    dropped_seeds: tuple[int, ...] = ()


class Sparsity(Model):
    """All that a run of either arm says.

    Attributes:
        kind: Of the arm.
        margin: Slopes smaller than this do not matter, a fraction for each tenfold lower density.
    """

    kind: str
    num_cells: int
    num_results: int
    margin: float
    trends: tuple[Trend, ...]


def analyse_sparsity(judged: Judgement, kind: str) -> Sparsity:
    """The first loss against each other one, at every density that has results."""
    settings, margin = judged.of_weights, judged.findings.margin
    found = [
        (density, setting, group)
        for setting, group in zip(settings, judged.findings.groups, strict=True)
        if (density := _density(setting)) is not None
    ]
    found.sort(key=lambda item: -item[0])
    baseline, *others = settings[0].losses
    level = 1 - (1 - statistics.LEVEL) / max(1, len(others))
    return Sparsity(
        kind=kind,
        num_cells=sum(len(setting.cells) for setting in settings),
        num_results=sum(len(setting.ended) for setting in settings),
        margin=margin,
        trends=tuple(
            _make_trend(found, (baseline, loss), margin, level, settings) for loss in others
        ),
    )


def _density(setting: Setting) -> float | None:
    """Share of foreground, by the scores of one run of each fold; None while there are none."""
    runs = _one_of_each_fold(setting)
    if not runs:
        return None
    counts = [read_scores(run).counts for run in runs]
    shares = [(c.tp + c.fn) / (c.tp + c.fp + c.fn + c.tn) for c in counts]
    return float(np.concatenate(shares).mean())


def _one_of_each_fold(setting: Setting) -> list[EndedCell]:
    scored = [found for found in setting.ended.values() if found.result.has_scores]
    return list({found.cell.data.fold: found for found in scored}.values())


def _make_trend(
    found: Sequence[tuple[float, Setting, GroupFindings]],
    losses: tuple[str, str],
    margin: float,
    level: float,
    settings: Sequence[Setting],
) -> Trend:
    points = tuple(_make_point(density, s, group, losses) for density, s, group in found)
    trained = [set(s.trained_seeds_of(loss)) for s in settings for loss in losses]
    seeds = sorted(set.intersection(*trained))
    ended = {run.cell.seed for s in settings for loss in losses for run in s.of(loss)}
    num_waiting = sum(cell.loss in losses for s in settings for cell in s.waiting)
    open_trend = Trend(
        baseline=losses[0],
        challenger=losses[1],
        points=points,
        level=level,
        dropped_seeds=() if num_waiting else tuple(sorted(ended - set(seeds))),
    )
    reason = ""
    if num_waiting:
        reason = f"{count_of(num_waiting, 'run')} not finished"
    elif not seeds:
        reason = "there is no seed with which both losses trained at every density"
    elif len(points) < 2:
        reason = "one density has no slope"
    if reason:
        return open_trend.model_copy(update={"reason": reason})
    told = _judge_slope(found, losses, seeds, margin, level)
    return open_trend.model_copy(update=told)


def _judge_slope(
    found: Sequence[tuple[float, Setting, GroupFindings]],
    losses: tuple[str, str],
    seeds: Sequence[int],
    margin: float,
    level: float,
) -> dict[str, Any]:
    """Fields of a `Trend`."""
    settings = [setting for _, setting, _ in found]
    position = -np.log10([density for density, _, _ in found])
    difference = _differences(settings, losses, seeds)
    kept = statistics.has_slope(difference, position)
    if not kept.any():
        return {"reason": "no test image has two densities"}
    fold = fold_of_units(settings[0])  # the same in all, where there are folds
    told = statistics.compare(
        statistics.slope_table(difference, position),
        None if fold is None else fold[kept],
        margin=margin,
        level=level,
    )
    names = ("low", "high", "p_value", "verdict", "reason", "num_seeds", "num_units")
    judged = {"slope": told.mean} | {name: getattr(told, name) for name in names}
    judged["is_grouped"] = any(s.scores and len(s.scores.units) < s.num_images for s in settings)
    by = [by for s in settings if (by := by_the_threshold(s, losses, seeds))]
    if by and told.verdict != "undecided":
        judged |= {"verdict": "undecided", "reason": by[0]}
    return judged


def _make_point(
    density: float, setting: Setting, group: GroupFindings, losses: tuple[str, str]
) -> Point:
    first = setting.cells[0]
    rows = {row.loss: row.iou_per_image for row in group.losses}
    pair = next(c for c in group.comparisons if (c.baseline, c.challenger) == losses)
    is_canvas = first.data.format == "canvas"
    told = ("mean", "low", "high", "num_seeds") if isinstance(pair, Comparison) else ()
    return Point(
        where=f"{first.size} px" if is_canvas else first.data.foreground or str(first.data.target),
        density=density,
        **{name: getattr(pair, name) for name in told},
        verdict=pair.verdict,
        iou_baseline=rows.get(losses[0]),
        iou_challenger=rows.get(losses[1]),
        failures=pair.failures,
    )


def _differences(
    settings: Sequence[Setting], losses: tuple[str, str], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Shape (densities, seeds, units); NaN where a unit is not tested."""
    names = [setting.scores.units if setting.scores else [] for setting in settings]
    everyone = sorted({name for of_setting in names for name in of_setting})
    place = {name: column for column, name in enumerate(everyone)}
    table = np.full((len(settings), len(seeds), len(everyone)), np.nan)
    for row, (setting, own) in enumerate(zip(settings, names, strict=True)):
        found = difference_of((setting, losses[1]), (setting, losses[0]), seeds)
        table[row][:, [place[name] for name in own]] = found
    return table
