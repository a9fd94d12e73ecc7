"""The report: verdict, tables, decisions, differences, learning curves, test images, provenance."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from vesica.errors import DataError
from vesica.files import damaged, is_there, write_text
from vesica.judge import Judgement, Setting
from vesica.plan import Cell
from vesica.report import figures, plots, svg, tables
from vesica.report.evidence import Evidence, say_versus, show_evidence
from vesica.report.figures import Curve
from vesica.report.pictures import (
    MAX_BYTES,
    DoubtfulLabels,
    Gallery,
    look_at,
    make_gallery,
    show_doubts,
)
from vesica.report.sections import Grid, fill_template
from vesica.report.sentences import say_calibration, say_softness
from vesica.results import METRICS, Comparison, EndedCell, GroupFindings, read_table
from vesica.spelling import shown
from vesica.words import FIRST_LOOK, say_list

SCRIPT = files("vesica.report").joinpath("page.js").read_text(encoding="utf-8")
"""The page's only one; its digest is in the page, so that a browser runs no other."""

LARGEST_DRAWN = 1e30
"""Of a history."""


@dataclass(frozen=True)
class Decisions:
    """Two losses under every decision."""

    name: str
    grid: Grid
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """All that the page shows of one setting."""

    anchor: str
    name: str
    what: str
    group: GroupFindings
    cell: Cell
    troubles: list[str]
    is_empty: bool
    has_folds: bool
    intervals: Markup | None
    scores: Grid
    scores_caption: str
    more: Grid
    classes: Grid | None
    decisions: list[Decisions]
    evidence: list[Evidence]
    reliability: Markup | None
    iou_curves: Markup | None
    loss_curves: list[tuple[int, str, Markup]]
    gallery: Gallery
    doubts: DoubtfulLabels
    runs: Grid
    devices: str


def write_report(judged: Judgement) -> Path:
    """Write `report.html` into a run's folder: one file that needs no other."""
    both = zip(judged.settings, judged.findings.groups, strict=True)
    views = [
        _make_view(f"setting-{number}", judged, setting, group)
        for number, (setting, group) in enumerate(both, 1)
    ]
    page = fill_template(
        "page.html.jinja",
        findings=judged.findings,
        created=judged.plan.created[:10],
        warning=FIRST_LOOK if (judged.plan.choices or {}).get("quick") else "",
        views=views,
        settings=tables.setting_grid(judged.settings, [view.name for view in views]),
        forest=_draw_forest(judged, views),
        look=svg.look,
        shown=shown,
        script=Markup(SCRIPT),
        script_digest=base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode(),
    )
    target = judged.run / "report.html"
    write_text(target, page)
    return target


def _draw_forest(judged: Judgement, views: Sequence[View]) -> Markup | None:
    """All comparisons of several settings, side by side."""
    rows = plots.forest_rows([(view.name, view.anchor, view.group.comparisons) for view in views])
    return plots.draw_forest(rows, judged.findings.margin) if rows and len(views) > 1 else None


def _draw_reliability(setting: Setting) -> Markup | None:
    if setting.scores is None or not setting.scores.reliability or setting.cells[0].data.classes:
        return None
    found = {
        loss: [r for place, r in setting.scores.reliability.items() if place.loss == loss]
        for loss in setting.losses
    }
    return plots.draw_reliability(
        [
            (index, shown(loss), plots.pool(found[loss]))
            for index, loss in enumerate(setting.losses)
            if found[loss]
        ]
    )


def _make_view(anchor: str, judged: Judgement, setting: Setting, group: GroupFindings) -> View:
    ended, cell = list(setting.ended.values()), setting.cells[0]
    curves = [curve for found in ended if (curve := _read_curve(found, setting)) is not None]
    pairs = [pair for pair in group.comparisons if isinstance(pair, Comparison)]
    margin, max_bytes = judged.findings.margin, MAX_BYTES // len(judged.settings)
    seen = look_at(setting, judged.library)
    gallery = make_gallery(setting, seen, anchor, max_bytes)
    anchors = {picture.name: picture.anchor for picture in gallery.pictures}
    return View(
        anchor=anchor,
        name=group.label or group.data,
        what="classes of test images" if group.classes else "test images",
        group=group,
        cell=cell,
        troubles=_describe_troubles(setting),
        has_folds=len(setting.folds) > 1,
        is_empty=not any(found.result.has_scores for found in ended),
        intervals=figures.draw_intervals(group.comparisons, margin) if pairs else None,
        scores=tables.score_grid(group, cell),
        scores_caption=_describe_scores(cell, setting, group),
        more=tables.more_grid(group),
        classes=tables.class_grid(group) if group.classes else None,
        decisions=[] if cell.data.classes else [_show_decisions(pair) for pair in pairs],
        evidence=[
            found for c in group.comparisons if (found := show_evidence(c, setting, anchors))
        ],
        reliability=_draw_reliability(setting),
        iou_curves=figures.draw_iou_curves(curves) if curves else None,
        loss_curves=_draw_losses(setting, curves),
        gallery=gallery,
        doubts=show_doubts(setting, seen),
        runs=tables.run_grid(setting),
        devices=say_list(
            list(dict.fromkeys(found.result.device for found in ended if found.result.device))
        ),
    )


def _describe_troubles(setting: Setting) -> list[str]:
    """What a reader of the verdict has to know: which runs did not go well."""
    troubles = [
        f"{shown(found.cell.loss)}, seed {found.cell.seed}: {found.result.status}; "
        f"{found.result.reason}."
        for found in setting.ended.values()
        if found.result.status != "finished"
    ]
    waiting = [f"{shown(c.loss)} seed {c.seed}" for c in setting.waiting]
    if waiting:
        num = len(setting.cells)
        troubles += [f"{len(waiting)} of {num} runs unfinished: {', '.join(waiting)}."]
    return troubles


def _describe_scores(cell: Cell, setting: Setting, group: GroupFindings) -> str:
    images = "no test scores yet"
    if num := setting.num_images:
        empty = max(row.num_empty for row in group.losses)
        without = f"{empty} of them without foreground" if empty else "all with foreground"
        if group.classes:
            without = "each worth the mean over its classes"
            if cell.empty == "skip":
                without += f" that it has ({empty} of {num * len(group.classes)} are absent)"
        folds = f", each in one of {len(setting.folds)} folds" if len(setting.folds) > 1 else ""
        images = f"{num} test images{folds}, {without}"
    size = f"{cell.size} x {cell.size} pixels"
    at = f"the network's size, {size}"
    if cell.long_side:
        at = f"the images' own size, predicted in pieces of {size}"
    elif cell.score_at == "original":
        at = f"the images' own size, predicted at {size}"
    said = (
        f"Mean ± standard deviation over seeds, {images}. {shown(cell.model)}, weights "
        f"{cell.weights_name}; scored at {at}."
    )
    if group.beside in METRICS:
        said += f" Beside IoU stands {METRICS[group.beside].heading}, since {group.why_beside}."
    return said


def _show_decisions(pair: Comparison) -> Decisions:
    said = say_softness(pair), say_calibration(pair)
    return Decisions(say_versus(pair), tables.decision_grid(pair), said)


def _read_curve(found: EndedCell, setting: Setting) -> Curve | None:
    """None where there is no whole history to draw."""
    path = found.folder / "history.csv"
    if not found.result.has_scores or not is_there(path):
        return None
    try:
        rows = read_table(path)
        if [int(row["epoch"]) for row in rows] != list(range(1, found.result.epochs + 1)):
            raise ValueError(f"epochs are not 1 to {found.result.epochs}")
        return Curve(
            loss=found.cell.loss_name,
            index=setting.losses.index(found.cell.loss),
            seed=found.cell.seed,
            kept=found.result.kept_epoch,
            train_loss=_numbers(rows, "train_loss"),
            val_loss=_numbers(rows, "val_loss"),
            val_iou=_numbers(rows, "val_iou"),
            one_class=tuple(int(row["epoch"]) for row in rows if row["is_one_class"] == "True"),
        )
    except DataError:
        raise
    except (ValueError, KeyError) as error:
        raise damaged(path, error) from None


def _numbers(rows: Sequence[Mapping[str, str]], name: str) -> list[float]:
    """Of a column; one that cannot be drawn is refused."""
    values = [float(row[name]) for row in rows]
    if not all(abs(value) <= LARGEST_DRAWN for value in values):
        raise ValueError(f"{name} is no number, or above {LARGEST_DRAWN:g}")
    return values


def _draw_losses(setting: Setting, curves: Sequence[Curve]) -> list[tuple[int, str, Markup]]:
    panels = []
    for index, loss in enumerate(setting.losses):
        own = [curve for curve in curves if curve.index == index]
        if own:
            panels.append((index, shown(loss), figures.draw_loss_curves(own)))
    return panels
