"""A run of the paper's grid beside what the paper published. Needs no torch."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vesica.files import read_json
from vesica.plan import Cell, Recipe
from vesica.plans.paper import SCALES, loss_of
from vesica.published.contrasts import categories
from vesica.published.recomputed import figures
from vesica.published.tables import LOSSES, METRICS, Metric, Pair, Row, differences, rows
from vesica.published.unseen import unseen
from vesica.results import SCHEMA, CellResult, read_cell

Kind = Literal["iou_per_image", "iou_soft"]

KINDS: dict[Kind, str] = {"iou_per_image": "masks", "iou_soft": "soft"}
"""What our IoU may be of; which one the paper's is, it does not say."""

NETWORKS = {"bfcn32s": "BFCN-32s", "fcresnet": "FCResNet"}
DATA = {"lfw": "LFW", "helen": "HELEN"}
NUM_IMAGES = {"lfw": 2927, "helen": 2330}
NUM_TEST = {"lfw": 292, "helen": 233}
NUM_TRAIN = {
    ("lfw", "big"): (2342, 292),
    ("lfw", "small"): (1000, 100),
    ("helen", "big"): (1864, 233),
    ("helen", "small"): (1000, 100),
}
"""Training and validation images. Table 1 and section 2.2."""

MIN_SETUPS = 3
"""Fewer cannot be left out one at a time."""

SCORES = ("accuracy", "iou_per_image", "iou_pooled", "iou_soft", "epochs")


def replicate(run: Path, cells: Sequence[Cell], judged: dict[str, Any] | None) -> dict[str, Any]:
    """The grid's set-ups, published and ours, what differs, and the paper's analysis of ours.

    Args:
        run: The run's folder.
        cells: All its cells, finished or not.
        judged: What `compare_run` says of it; None while it is under way.
    """
    found = {cell.key: result for cell in cells if (result := read_cell(run, cell)) is not None}
    setups = [setup for row in rows() if (setup := _setup(row, cells, found, judged)) is not None]
    tables = {row.table: row for row in rows()}
    return {
        "schema": SCHEMA,
        "command": read_json(run / "plan.json")["command"],
        "num_cells": len(cells),
        "num_results": len(found),
        "margin": None if judged is None else judged["margin"],
        "setups": setups,
        "differs": {
            str(number): _describe_differences(chosen, found)
            for number, row in tables.items()
            if (chosen := [cell for cell in cells if _is_in_table(cell, row)])
        },
        "analysis": {kind: _analyse(setups, kind) for kind in KINDS},
    }


def our_rows(setups: Sequence[dict[str, Any]], kind: Kind) -> list[Row]:
    """The set-ups of which every run has scores, rounded as in the paper."""
    return [_as_row(setup, kind) for setup in setups if is_whole(setup)]


def is_whole(setup: dict[str, Any]) -> bool:
    """Whether every run of both losses has scores."""
    return all(
        setup["ours"][loss]["num_scored"] == setup["ours"][loss]["num_runs"] > 0 for loss in LOSSES
    )


def folder_name(cells: Sequence[Cell]) -> str:
    """What our images are called: by their folder, and never by the set that they stand in for."""
    return cells[0].data.name


def _is_in_table(cell: Cell, row: Row) -> bool:
    return (NETWORKS.get(cell.model), DATA.get(cell.data.format)) == (row.network, row.data)


def _is_in_row(cell: Cell, row: Row) -> bool:
    target = "face+hair" if row.hair else "face"
    return _is_in_table(cell, row) and (cell.data.split, cell.data.target) == (row.size, target)


def _setup(
    row: Row,
    cells: Sequence[Cell],
    found: dict[str, CellResult],
    judged: dict[str, Any] | None,
) -> dict[str, Any] | None:
    """One set-up; None if the run has no cell of it."""
    chosen = [cell for cell in cells if _is_in_row(cell, row)]
    if not chosen:
        return None
    return {
        "table": row.table,
        "network": row.network,
        "data": folder_name(chosen),
        "published_data": row.data,
        "size": row.size,
        "hair": row.hair,
        "name": row.name,
        "published": {metric: asdict(row.pair(metric)) for metric in METRICS},
        "ours": {
            loss: _score([cell for cell in chosen if loss_of(cell) == loss], found)
            for loss in LOSSES
        },
        "comparison": _find_comparison(chosen[0], judged),
    }


def _score(cells: Sequence[Cell], found: dict[str, CellResult]) -> dict[str, Any]:
    ended = [found[cell.key] for cell in cells if cell.key in found]
    results = [result.result for result in ended if result.has_scores]
    means = {
        name: float(np.mean([result[name] for result in results])) if results else None
        for name in SCORES
    }
    spreads = {
        f"{name}_sd": float(np.std([result[name] for result in results], ddof=1))
        if len(results) > 1
        else None
        for name in SCORES
    }
    return {
        "num_runs": len(cells),
        "num_scored": len(results),
        "num_failed": len(ended) - len(results),
        "num_collapsed": sum(result.status == "collapsed" for result in ended),
        "num_capped": sum(result["ended_by"] == "epochs" for result in results),
        **means,
        **spreads,
    }


def _find_comparison(cell: Cell, judged: dict[str, Any] | None) -> dict[str, Any] | None:
    """IoU loss against BCE loss, as `compare_run` judged it."""
    groups = [] if judged is None else judged["groups"]
    for group in groups:
        if group["setting"] == cell.setting() and group["comparisons"]:
            comparison: dict[str, Any] = group["comparisons"][0]
            return comparison
    return None


def _describe_differences(cells: Sequence[Cell], found: dict[str, CellResult]) -> list[str]:
    """What a table's cells do otherwise than the paper, as far as it says what it did."""
    cell, full, table_2 = cells[0], SCALES["full"], Recipe()
    recipe = cell.recipe
    seeds = len({cell.seed for cell in cells})
    results = {c.key: found[c.key].result for c in cells if c.key in found}
    num_test = {result.get("num_test") for result in results.values()} - {None}
    told = [
        *_say_images(cells, results),
        (bool(num_test - {NUM_TEST[cell.data.format]}), _say_test_images(num_test, cell)),
        *_say_training_images(cells, results),
        (cell.weights.partition(":")[0] != "torchvision", _say_weights(cell)),
        (
            cell.size != full.size,
            f"{cell.size}x{cell.size} pixels, not {full.size}x{full.size}",
        ),
        (cell.width != full.width, f"wide layers of {cell.width} channels, not {full.width}"),
        (
            recipe.max_epochs != table_2.max_epochs,
            f"at most {_number(recipe.max_epochs, 'epoch')}, not {table_2.max_epochs}",
        ),
        (
            recipe.reduction != "sum",
            "losses are means over a batch (BCE over pixels too), not sums",
        ),
        (recipe.init != "keras", "fresh layers start as in Shelhamer et al., not as in Keras"),
        (recipe.precision != "fp32", f"arithmetic in {recipe.precision}"),
        (seeds > 1, f"means of {seeds} seeds; the paper has one run of each"),
    ]
    return [text for is_so, text in told if is_so]


def _say_images(cells: Sequence[Cell], results: dict[str, Any]) -> list[tuple[bool, str]]:
    """Whether they are the paper's, by their number; a folder may have any name."""
    form, name = cells[0].data.format, folder_name(cells)
    counted = {result.get("num_images") for result in results.values()} - {None}
    shown = " and ".join(map(str, sorted(counted)))
    if counted:
        is_other, text = counted != {NUM_IMAGES[form]}, f"{shown} images in {name}"
    else:  # no run has ended, or an earlier version counted none
        is_other, text = name.lower() != DATA[form].lower(), f"the images are {name}"
    return [(is_other, f"{text}, not {DATA[form]}'s {NUM_IMAGES[form]}")]


def _say_training_images(cells: Sequence[Cell], results: dict[str, Any]) -> list[tuple[bool, str]]:
    """Of each split that was trained on others than table 1 says."""
    told = []
    for size in dict.fromkeys(cell.data.split for cell in cells):
        train, val = NUM_TRAIN[cells[0].data.format, size]
        ours = {
            (result["num_train"], result["num_val"])
            for cell in cells
            if cell.data.split == size and "num_train" in (result := results.get(cell.key, {}))
        }
        shown = " or ".join(f"{a} and {b}" for a, b in sorted(ours))
        text = f"{size}: {shown} images for training and validation, not {train} and {val}"
        told.append((bool(ours - {(train, val)}), text))
    return told


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _say_test_images(num_test: set[Any], cell: Cell) -> str:
    shown = " and ".join(map(str, sorted(num_test)))
    return f"{shown} test images, not {NUM_TEST[cell.data.format]}"


def _say_weights(cell: Cell) -> str:
    name = cell.weights.partition(":")[0]
    if name == "none":
        return "no pretrained weights, all layers train from scratch; the paper's are ImageNet's"
    tuned = " (VGG-16 fine-tuned on edges)" if name == "hed" else ""
    return f"weights {name}{tuned}, not ImageNet's"


def _as_row(setup: dict[str, Any], kind: Kind) -> Row:
    def pair(name: str, scale: int) -> Pair:
        values = (round(scale * setup["ours"][loss][name]) for loss in LOSSES)
        return Pair(*values)

    return Row(
        setup["table"],
        setup["network"],
        setup["data"],
        setup["size"],
        setup["hair"],
        pair("accuracy", 1000),
        pair(kind, 1000),
        pair("epochs", 1),
    )


def _analyse(setups: Sequence[dict[str, Any]], kind: Kind) -> dict[str, Any]:
    """The paper's analysis of our whole set-ups, and what it leaves out."""
    chosen = our_rows(setups, kind)
    is_capped = any(setup["ours"][loss]["num_capped"] for setup in setups for loss in LOSSES)
    metrics: list[Metric] = [
        metric
        for metric in METRICS
        if not (metric == "epochs" and is_capped) and np.any(differences(metric, chosen))
    ]
    is_enough = len(chosen) >= MIN_SETUPS
    found = figures(chosen) if chosen else []
    return {
        "num": len(chosen),
        "num_data": len({row.data for row in chosen}),
        "is_capped": is_capped,
        "figures": [
            asdict(figure) for figure in found if not (is_capped and "epochs" in figure.what)
        ],
        "categories": [asdict(category) for category in categories(chosen)] if is_enough else [],
        "unseen": unseen(chosen, metrics) if is_enough and metrics else {},
    }
