"""The report: verdict, tables, decisions, differences, learning curves, test images, provenance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from vesica.compare import Group, group_cells
from vesica.files import read_json, write_text
from vesica.pairs import difference_of
from vesica.plan import Cell
from vesica.report import figures, svg, tables
from vesica.report.decisions import DecisionTable, decision_tables
from vesica.report.figures import Curve
from vesica.report.needs import say_needs, say_tests
from vesica.report.pictures import MAX_BYTES, Gallery, make_gallery
from vesica.results import EndedCell, read_cell, read_table

EXTREME_SHARE = 0.05
"""Of the test units, at least one: those without which the mean is shown too."""

SMALLEST_SHOWN = 0.05
"""In points: what is smaller reads as zero."""


@dataclass(frozen=True)
class Pair:
    """The differences between two losses, on the seeds that both have."""

    name: str
    note: str
    seeds_plot: Markup
    units_plot: Markup
    counts: str
    extremes: str
    tests: str
    needs: str


@dataclass(frozen=True)
class View:
    """All that the page shows of one setting."""

    anchor: str
    group: dict[str, Any]
    troubles: list[str]
    is_empty: bool
    intervals: Markup | None
    scores: list[tuple[str, list[str]]]
    baselines: list[tuple[str, list[str]]]
    more: list[tuple[str, list[str]]]
    test_images: str
    decisions: list[DecisionTable]
    pairs: list[Pair]
    iou_curves: Markup | None
    loss_curves: list[tuple[int, str, Markup]]
    gallery: Gallery
    cells: list[tables.CellRow]
    devices: str


def write_report(run: Path, document: dict[str, Any], cells: Sequence[Cell], cache: Path) -> Path:
    """Write `report.html` into the run's folder: one file that needs no other.

    Args:
        run: The run's folder.
        document: What `compare_run` returned.
        cells: All its cells, finished or not.
        cache: Folder of decoded images.
    """
    groups = group_cells(cells)
    views = [
        _make_view(f"setting-{number}", run, group, judged, document["margin"], cache, len(groups))
        for number, (group, judged) in enumerate(zip(groups, document["groups"], strict=True), 1)
    ]
    environment = Environment(
        loader=PackageLoader("vesica", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "look": svg.look,
        "metrics": list(tables.METRICS.values()),
        "more_metrics": list(tables.MORE_METRICS.values()),
    }
    page = environment.get_template("page.html.jinja").render(
        document=document,
        views=views,
        created=read_json(run / "plan.json").get("created", ""),
        settings=tables.setting_rows([view.group["setting"] for view in views]),
    )
    target = run / "report.html"
    write_text(target, page)
    return target


def _make_view(
    anchor: str,
    run: Path,
    group: Group,
    judged: dict[str, Any],
    margin: float,
    cache: Path,
    num_groups: int,
) -> View:
    results = [found for cell in group.cells if (found := read_cell(run, cell)) is not None]
    curves = [curve for found in results if (curve := _read_curve(found, group)) is not None]
    comparisons = judged["comparisons"]
    return View(
        anchor=anchor,
        group=judged,
        troubles=_describe_troubles(group, results),
        is_empty=not any(found.result.has_scores for found in results),
        intervals=figures.draw_intervals(comparisons, margin) if _have_mean(comparisons) else None,
        scores=tables.score_rows(judged),
        baselines=tables.baseline_rows(judged),
        more=tables.more_rows(judged),
        test_images=_describe_test_images(results),
        decisions=decision_tables(judged),
        pairs=[pair for c in comparisons if (pair := _make_pair(c, results)) is not None],
        iou_curves=figures.draw_iou_curves(curves) if curves else None,
        loss_curves=_draw_losses(group, curves),
        gallery=make_gallery(group, results, cache, MAX_BYTES // num_groups),
        cells=tables.cell_rows(group.cells, results),
        devices=tables.say_list(list(dict.fromkeys(r.result.device for r in results))),
    )


def _have_mean(comparisons: Sequence[dict[str, Any]]) -> bool:
    return any("mean" in comparison for comparison in comparisons)


def _describe_troubles(group: Group, results: Sequence[EndedCell]) -> list[str]:
    """What a reader of the verdict has to know: which runs did not go well."""
    troubles = [
        f"{found.cell.loss}, seed {found.cell.seed}: {found.result.status}; {found.result.reason}."
        for found in results
        if found.result.status != "finished"
    ]
    done = {found.cell.key for found in results}
    waiting = [f"{c.loss} seed {c.seed}" for c in group.cells if c.key not in done]
    if waiting:
        troubles += [f"{len(waiting)} of {len(group.cells)} runs unfinished: {', '.join(waiting)}."]
    return troubles


def _describe_test_images(results: Sequence[EndedCell]) -> str:
    counted = [found.result for found in results if found.result.has_scores]
    if not counted:
        return ""
    num, empty = counted[0]["num_test"], counted[0]["num_empty"]
    without = f"{empty} of them without foreground" if empty else "all with foreground"
    return f"{num} test images, {without}."


def _make_pair(comparison: dict[str, Any], results: Sequence[EndedCell]) -> Pair | None:
    challenger, baseline = comparison["challenger"], comparison["baseline"]
    by_loss = {
        loss: {r.cell.seed: r for r in results if r.result.has_scores and r.cell.loss == loss}
        for loss in (challenger, baseline)
    }
    seeds = sorted(by_loss[challenger].keys() & by_loss[baseline].keys())
    if not seeds:
        return None
    difference = difference_of(
        [by_loss[challenger][seed] for seed in seeds], [by_loss[baseline][seed] for seed in seeds]
    )
    by_unit = 100 * difference.mean(axis=0)
    num_test = by_loss[baseline][seeds[0]].result.num_test
    units = "test images" if len(by_unit) == num_test else "groups of test images"
    return Pair(
        name=f"{challenger} minus {baseline}",
        note="" if "mean" in comparison else _describe_part(seeds),
        seeds_plot=figures.draw_seeds(difference, seeds, comparison),
        units_plot=figures.draw_units(difference, comparison, units),
        counts=_count_sides(by_unit, challenger, baseline, units),
        extremes=_describe_extremes(by_unit),
        tests=say_tests(comparison),
        needs=say_needs(comparison),
    )


def _describe_part(seeds: Sequence[int]) -> str:
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"Only {word} {tables.say_list(seeds)} so far: not all runs are there, and no verdict."


def _count_sides(by_unit: NDArray[np.float64], challenger: str, baseline: str, units: str) -> str:
    text = f"{challenger} is ahead on {np.sum(by_unit > 0)} of {len(by_unit)} {units}, "
    text += f"{baseline} on {np.sum(by_unit < 0)}"
    level = np.sum(by_unit == 0)
    return f"{text}; {level} are level." if level else f"{text}."


def _describe_extremes(by_unit: NDArray[np.float64]) -> str:
    """The mean without the units that carry most of it; nothing about a mean of nothing."""
    num = max(1, int(EXTREME_SHARE * len(by_unit)))
    mean = float(by_unit.mean())
    if len(by_unit) <= num or abs(mean) < SMALLEST_SHOWN:
        return ""
    rest = np.sign(mean) * np.sort(np.sign(mean) * by_unit)[:-num]
    those = f"the {num} that count" if num > 1 else "the one that counts"
    text = f"Without {those} most, the mean of {mean:+.1f} points would be {rest.mean():+.1f}."
    return text.replace("-", "\N{MINUS SIGN}")


def _read_curve(found: EndedCell, group: Group) -> Curve | None:
    path = found.folder / "history.csv"
    if not found.result.has_scores or not path.is_file():
        return None
    rows = [row for row in read_table(path) if None not in row.values()]
    if not rows:
        return None
    return Curve(
        loss=found.cell.loss,
        index=group.losses.index(found.cell.loss),
        seed=found.cell.seed,
        kept=int(found.result.kept_epoch),
        train_loss=[float(row["train_loss"]) for row in rows],
        val_loss=[float(row["val_loss"]) for row in rows],
        val_iou=[float(row["val_iou"]) for row in rows],
        one_class=tuple(int(row["epoch"]) for row in rows if row["is_one_class"] == "True"),
    )


def _draw_losses(group: Group, curves: Sequence[Curve]) -> list[tuple[int, str, Markup]]:
    panels = []
    for index, loss in enumerate(group.losses):
        own = [curve for curve in curves if curve.loss == loss]
        if own:
            panels.append((index, loss, figures.draw_loss_curves(own)))
    return panels
