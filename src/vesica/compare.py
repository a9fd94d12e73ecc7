"""From the results of a run's cells to verdicts and the files that hold them. Needs no torch."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vesica import provenance, statistics
from vesica.baselines import score_baselines
from vesica.data.library import Library
from vesica.errors import DataError
from vesica.files import read_json, write_json
from vesica.pairs import adjust, judge_pair, say_pair
from vesica.plan import Cell, flatten
from vesica.results import SCHEMA, EndedCell, read_cell, write_table
from vesica.spelling import shown

METRICS = ("iou_per_image", "iou_pooled", "iou_soft", "accuracy")
MORE_METRICS = (
    "iou_per_image_tuned",
    "iou_pooled_tuned",
    "threshold_tuned",
    "dice_per_image",
    "dice_pooled",
    "precision_per_image",
    "precision_pooled",
    "recall_per_image",
    "recall_pooled",
    "boundary_iou_per_image",
    "boundary_iou_pooled",
    "hd95_px",
    "calibration_error_per_image",
    "calibration_error_pooled",
)
"""Runs of an earlier version have none of these."""

IN_OTHER_WORDS = ("format", "fingerprint", "weights_digest")
"""Fields that the names of the images and of the weights stand for."""


@dataclass(frozen=True)
class Group:
    """The cells of one setting: they differ in loss and seed only.

    Attributes:
        label: The fields in which this setting differs from the run's others; "" if alone.
        cells: In the plan's order.
    """

    label: str
    cells: tuple[Cell, ...]

    @property
    def losses(self) -> list[str]:
        """In the plan's order; the first is the baseline that the others challenge."""
        return list(dict.fromkeys(cell.loss for cell in self.cells))


def compare_run(
    run: Path, cells: Sequence[Cell], cache: Path, margin: float | None
) -> dict[str, Any]:
    """Judge what is there and write `results.json` and `results.csv`.

    Args:
        run: The run's folder.
        cells: All its cells, finished or not.
        cache: Folder of decoded images, for the scores without a network.
        margin: Differences of per-image IoU smaller than this do not matter; None: as when the
            run was judged last.
    """
    if margin is None:
        before = run / "results.json"
        margin = read_json(before)["margin"] if before.exists() else statistics.MARGIN
    results = [found for cell in cells if (found := read_cell(run, cell)) is not None]
    groups, library = group_cells(cells), Library(cache)
    by_key = {found.cell.key: found for found in results}
    document = {
        "schema": SCHEMA,
        "command": read_json(run / "plan.json")["command"],
        "versions": provenance.versions(),
        "margin": margin,
        "num_cells": len(cells),
        "num_results": len(results),
        "groups": [_judge_group(group, by_key, library, margin) for group in groups],
    }
    document["verdict"] = " ".join(
        sentence for group in document["groups"] for sentence in group["sentences"]
    )
    write_json(run / "results.json", document)
    _write_csv(run / "results.csv", results)
    return document


def group_cells(cells: Sequence[Cell]) -> list[Group]:
    """Put together what may be compared."""
    grouped: dict[str, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault(json.dumps(cell.setting(), sort_keys=True), []).append(cell)
    flat = [flatten(members[0].setting()) for members in grouped.values()]
    varying = [
        name
        for name in flat[0]
        if name not in IN_OTHER_WORDS and len({str(row[name]) for row in flat}) > 1
    ]
    return [
        Group(", ".join(f"{name} {shown(str(row[name]))}" for name in varying), tuple(members))
        for row, members in zip(flat, grouped.values(), strict=True)
    ]


def _judge_group(
    group: Group, by_key: dict[str, EndedCell], library: Library, margin: float
) -> dict[str, Any]:
    first = group.cells[0]
    found = {
        loss: [by_key[c.key] for c in group.cells if c.loss == loss and c.key in by_key]
        for loss in group.losses
    }
    missing = [cell for cell in group.cells if cell.key not in by_key]
    pairs = list(itertools.combinations(group.losses, 2))
    comparisons = [
        judge_pair(found[a], found[b], (a, b), missing, margin, len(pairs)) for a, b in pairs
    ]
    adjust(comparisons)
    baselines, notes = _baselines(first, library)
    rows = [_loss_row(loss, found[loss]) for loss in group.losses]
    where = f"{data_name(first)}{f' ({group.label})' if group.label else ''}"
    return {
        "label": group.label,
        "data": data_name(first),
        "target": first.data.target,
        "setting": first.setting(),
        "losses": rows,
        "baselines": baselines,
        "notes": notes,
        "comparisons": comparisons,
        "sentences": [say_pair(comparison, where) for comparison in comparisons]
        + _compare_with_baselines(rows, baselines),
    }


def _compare_with_baselines(
    rows: list[dict[str, Any]], baselines: dict[str, dict[str, float]]
) -> list[str]:
    """Name the losses whose networks are no better than a mask without a network."""
    if not baselines:
        return []
    name, scores = max(baselines.items(), key=lambda item: item[1]["iou_per_image"])
    best = scores["iou_per_image"]
    beaten = [r["loss"] for r in rows if r["num_seeds"] and r["iou_per_image"] <= best]
    return [f"No better than the {name} ({best:.3f}): {', '.join(beaten)}."] if beaten else []


def _baselines(cell: Cell, library: Library) -> tuple[dict[str, dict[str, float]], list[str]]:
    try:
        split, arrays = library.split(cell.data), library.arrays(cell.data, cell.size)
    except DataError as error:
        return {}, [f"No scores without a network: {error}"]
    return score_baselines(arrays, split), library.describe(cell.data, cell.size)


def _loss_row(loss: str, results: list[EndedCell]) -> dict[str, Any]:
    scored = [found.result for found in results if found.result.has_scores]
    row: dict[str, Any] = {
        "loss": loss,
        "num_seeds": len(scored),
        "num_collapsed": sum(found.result.status == "collapsed" for found in results),
        "num_failed": sum(not found.result.has_scores for found in results),
        "num_censored": sum(result.ended_by == "epochs" for result in scored),
        "num_empty": scored[0].num_empty if scored else 0,
    }
    for metric in (*METRICS, *MORE_METRICS, "epochs"):
        values = [v for result in scored if (v := result[metric]) is not None]
        row[metric] = float(np.mean(values)) if values else None
        row[f"{metric}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return row


def _write_csv(target: Path, results: Sequence[EndedCell]) -> None:
    outcome = (
        "status",
        *METRICS,
        "epochs",
        *MORE_METRICS,
        "ended_by",
        "kept_epoch",
        "train_time_s",
    )
    header = ["key", *flatten(results[0].cell.identity())] if results else ["key"]
    rows = [
        [found.folder.name, *flatten(found.cell.identity()).values()]
        + [getattr(found.result, name) for name in outcome]
        for found in results
    ]
    write_table(target, [*header, *outcome], rows)


def data_name(cell: Cell) -> str:
    """What sentences call a cell's images: the folder's name and the target."""
    name = cell.data.name
    return f"{name}, {cell.data.target}" if cell.data.target not in (None, "foreground") else name
