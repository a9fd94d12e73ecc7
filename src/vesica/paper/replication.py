"""A run of the paper's grid beside what the paper published. Needs no torch."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vesica.judge import Judgement, Setting, judge_pair
from vesica.paper.contrasts import all_metrics, categories
from vesica.paper.grid import SCALES, named
from vesica.paper.published import (
    FOREGROUND,
    LOSSES,
    METRICS,
    ROWS,
    ByLoss,
    Metric,
    Row,
    differences,
)
from vesica.paper.section_5 import section_5
from vesica.paper.soft_iou import common_density
from vesica.paper.soft_iou import scores as published_scores
from vesica.plan import Cell, Recipe
from vesica.results import (
    SCHEMA,
    CellResult,
    EndedCell,
    GroupFindings,
    RunPlan,
    read_cell,
    read_plan,
    read_scores,
)
from vesica.spelling import get_option
from vesica.words import count_of

Reading = Literal["iou_per_image", "iou_soft"]

READINGS: dict[Reading, str] = {"iou_per_image": "masks", "iou_soft": "soft"}
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

Results = dict[str, EndedCell]
"""By the cells' keys."""


def replicate(run: Path, cells: Sequence[Cell], judged: Judgement | None) -> dict[str, Any]:
    """The grid's set-ups, published and ours, what differs, and the paper's analysis of ours.

    Args:
        run: The run's folder.
        cells: All its cells, finished or not.
        judged: What `judge_run` says of it; None while it is under way.
    """
    plan = read_plan(run)
    found = {cell.key: result for cell in cells if (result := read_cell(run, cell)) is not None}
    by_row = [(row, [cell for cell in cells if _is_of(cell, row)]) for row in ROWS]
    setups = [_setup(row, chosen, found, judged) for row, chosen in by_row if chosen]
    by_table: dict[str, list[Cell]] = {}
    for row, chosen in by_row:
        by_table.setdefault(str(row.table), []).extend(chosen)
    return {
        "schema": SCHEMA,
        "commands": _commands(plan, found),
        "note": plan.note,
        "num_cells": len(cells),
        "num_results": len(found),
        "margin": None if judged is None else judged.findings.margin,
        "setups": setups,
        "differs": {
            number: describe_differences(chosen, found)
            for number, chosen in by_table.items()
            if chosen
        },
        "analysis": {reading: _analyse(setups, reading) for reading in READINGS},
    }


def _commands(plan: RunPlan, found: Results) -> list[str]:
    """What made the cells that have a result; before there is any, what began the run."""
    made = dict.fromkeys(result.result.command for result in found.values())
    return [command for command in made if command] or [plan.command]


def our_rows(setups: Sequence[dict[str, Any]], reading: Reading) -> list[Row]:
    """The set-ups of which every run has scores, rounded as in the paper."""

    def both(setup: dict[str, Any], name: str, scale: int = 1000) -> ByLoss:
        return ByLoss(*(round(scale * setup["ours"][loss][name]) for loss in LOSSES))

    return [
        Row(
            **{name: setup[name] for name in ("table", "network", "data", "size", "hair")},
            accuracy=both(setup, "accuracy"),
            iou=both(setup, reading),
            epochs=both(setup, "epochs", 1),
        )
        for setup in setups
        if is_whole(setup)
    ]


def is_whole(setup: dict[str, Any]) -> bool:
    """Whether every run of both losses has scores."""
    ours = (setup["ours"][loss] for loss in LOSSES)
    return all(score["num_scored"] == score["num_runs"] > 0 for score in ours)


def _is_of(cell: Cell, row: Row) -> bool:
    names = (
        NETWORKS.get(cell.network_name),
        DATA.get(cell.data.format),
        cell.data.split,
        cell.data.target,
    )
    return names == (row.network, row.data, row.size, FOREGROUND[row.hair])


def _setup(
    row: Row, cells: Sequence[Cell], found: Results, judged: Judgement | None
) -> dict[str, Any]:
    by_loss = {loss: [cell for cell in cells if named(cell.loss) == loss] for loss in LOSSES}
    groups = {} if judged is None else _groups_of(cells[0], judged)
    return {
        "table": row.table,
        "network": row.network,
        "data": cells[0].data.name,
        "published_data": row.data,
        "size": row.size,
        "hair": row.hair,
        "name": row.name,
        "published": {metric: asdict(row.of(metric)) for metric in METRICS},
        "ours": {loss: _score(chosen, found) for loss, chosen in by_loss.items()},
        "comparison": None if judged is None else _compare(groups.get(False), judged),
        "averaged": None if judged is None else _averaged(groups.get(True), judged),
    }


Group = tuple[Setting, GroupFindings]


def _groups_of(cell: Cell, judged: Judgement) -> dict[bool, Group]:
    """A cell's setting and what is said of it: of its weights, and of averages beside them."""
    pairs = zip(judged.settings, judged.findings.groups, strict=True)
    return {s.is_beside: (s, group) for s, group in pairs if group.setting == cell.setting()}


def _compare(found: Group | None, judged: Judgement) -> dict[str, Any] | None:
    """IoU loss against BCE loss, whichever was trained first."""
    if found is None or not found[1].comparisons:
        return None
    setting, group = found
    pair = group.comparisons[0]
    if named(pair.challenger) != "iou":
        losses = pair.challenger, pair.baseline
        pair = judge_pair(setting, losses, judged.findings.margin, num_pairs=1)
    return pair.model_dump(mode="json")


def _averaged(found: Group | None, judged: Judgement) -> dict[str, Any] | None:
    """The same trainings by the average of their weights."""
    if found is None:
        return None
    _, group = found
    return {
        "average": group.setting["recipe"]["beside"],
        "ours": {
            named(row.loss): {name: row[name] for name in ("iou_per_image", "iou_soft")}
            for row in group.losses
        },
        "comparison": _compare(found, judged),
    }


def _score(cells: Sequence[Cell], found: Results) -> dict[str, Any]:
    ended = [found[cell.key] for cell in cells if cell.key in found]
    scored = [result.result for result in ended if result.result.has_scores]
    values = {name: [v for result in scored if (v := result[name]) is not None] for name in SCORES}
    return {
        "num_runs": len(cells),
        "num_scored": len(scored),
        "num_failed": len(ended) - len(scored),
        "num_collapsed": sum(result.result.status == "collapsed" for result in ended),
        "num_capped": sum(result.ended_by == "epochs" for result in scored),
        **{name: float(np.mean(v)) if v else None for name, v in values.items()},
        **{
            f"{name}_sd": float(np.std(v, ddof=1)) if len(v) > 1 else None
            for name, v in values.items()
        },
    }


def describe_differences(cells: Sequence[Cell], found: Results) -> list[str]:
    """What a table's cells do otherwise than the paper, as far as it says what it did."""
    cell, full, table_2 = cells[0], SCALES["full"], Recipe()
    recipe, form = cell.recipe, cell.data.format
    width = int(get_option(cell.model, "width") or full.width)
    seeds = len({cell.seed for cell in cells})
    results = {c.key: found[c.key].result for c in cells if c.key in found}
    num_test = {result.num_test for result in results.values() if result.num_test}
    test_images = " and ".join(map(str, sorted(num_test)))
    told = [
        _say_images(cells, results),
        (bool(num_test - {NUM_TEST[form]}), f"{test_images} test images, not {NUM_TEST[form]}"),
        *_say_training_images(cells, results),
        *_say_density(cells, found),
        _say_weights(cell),
        (cell.size != full.size, f"{cell.size}x{cell.size} pixels, not {full.size}x{full.size}"),
        (width != full.width, f"wide layers of {width} channels, not {full.width}"),
        (
            recipe.max_epochs != table_2.max_epochs,
            f"at most {count_of(recipe.max_epochs, 'epoch')}, not {table_2.max_epochs}",
        ),
        (
            recipe.reduction != "sum",
            "losses are means over a batch (BCE over pixels too), not sums",
        ),
        (
            get_option(cell.model, "init") != "keras",
            "fresh layers start as in Shelhamer et al., not as in Keras",
        ),
        (recipe.precision != "fp32", f"arithmetic in {recipe.precision}"),
        (seeds > 1, f"means of {seeds} seeds; the paper has one run of each"),
    ]
    return [text for is_so, text in told if is_so]


def _say_images(cells: Sequence[Cell], results: dict[str, CellResult]) -> tuple[bool, str]:
    """Whether they are the paper's, by their number; a folder may have any name."""
    form, name = cells[0].data.format, cells[0].data.name
    counted = {result.num_images for result in results.values() if result.num_images}
    if counted:
        is_other = counted != {NUM_IMAGES[form]}
        text = f"{' and '.join(map(str, sorted(counted)))} images in {name}"
    else:  # no run has ended, or an earlier version counted none
        is_other, text = name.lower() != form, f"the images are {name}"
    return is_other, f"{text}, not {DATA[form]}'s {NUM_IMAGES[form]}"


def _say_training_images(
    cells: Sequence[Cell], results: dict[str, CellResult]
) -> list[tuple[bool, str]]:
    """Of each split that was trained on others than table 1 says."""
    told = []
    for size in dict.fromkeys(cell.data.split for cell in cells):
        train, val = NUM_TRAIN[cells[0].data.format, size]
        ended = [results[c.key] for c in cells if c.data.split == size and c.key in results]
        ours = {(r.num_train, r.num_val) for r in ended if r.num_train and r.num_val}
        shown = " or ".join(f"{a} and {b}" for a, b in sorted(ours))
        text = f"{size}: {shown} images for training and validation, not {train} and {val}"
        told.append((bool(ours - {(train, val)}), text))
    return told


def _say_density(cells: Sequence[Cell], found: Results) -> list[tuple[bool, str]]:
    """Of each target that is more or less of the pixels than the paper's can have been."""
    told = []
    for hair, target in FOREGROUND.items():
        ended = [found[c.key] for c in cells if c.data.target == target and c.key in found]
        scored = [cell for cell in ended if cell.result.has_scores]
        if scored:
            counts = read_scores(scored[0]).counts.pooled()
            foreground, background = counts.tp + counts.fn, counts.fp + counts.tn
            share = float(foreground[0] / (foreground + background)[0])
            low, high = common_density(published_scores(DATA[cells[0].data.format], hair, ["iou"]))
            text = (
                f"{target} is {100 * share:.1f} % of the test pixels, and {100 * low:.1f} to "
                f"{100 * high:.1f} % where the published scores of IoU loss are those of masks"
            )
            told.append((not low <= share <= high, text))
    return told


def _say_weights(cell: Cell) -> tuple[bool, str]:
    name = cell.weights_name
    tuned = " (VGG-16 fine-tuned on edges)" if name == "hed" else ""
    text = f"weights {name}{tuned}, not ImageNet's"
    if name == "none":
        text = "no pretrained weights, all layers train from scratch; the paper's are ImageNet's"
    return name != "torchvision", text


def _analyse(setups: Sequence[dict[str, Any]], reading: Reading) -> dict[str, Any]:
    """The paper's analysis of our whole set-ups, and what it leaves out."""
    rows = our_rows(setups, reading)
    is_capped = any(setup["ours"][loss]["num_capped"] for setup in setups for loss in LOSSES)
    metrics: list[Metric] = [
        metric
        for metric in METRICS
        if not (metric == "epochs" and is_capped) and np.any(differences(metric, rows))
    ]
    is_enough = len(rows) >= MIN_SETUPS
    numbers = section_5(rows) if rows else []
    return {
        "num": len(rows),
        "num_data": len({row.data for row in rows}),
        "is_capped": is_capped,
        "figures": [
            asdict(number) for number in numbers if not (is_capped and "epochs" in number.what)
        ],
        "categories": [asdict(category) for category in categories(rows)] if is_enough else [],
        "unseen": all_metrics(rows, metrics) if is_enough and metrics else {},
    }
