"""What runs and their cells are called. Needs no torch."""

import glob
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from vesica import spelling
from vesica.data.source import Source
from vesica.plan import Cell, flatten
from vesica.results import read_cell, read_plan

TELLING = (
    *("model", "format", "target", "foreground", "split", "train"),
    *("optimizer", "monitor", "keep", "size"),
)
"""Fields by which a user tells the cells of a data set apart, where they vary."""


def name_run(path: str, kind: str = "") -> str:
    """What a run's folder is called, before the date."""
    name = Source(path=path).name.replace(":", "-")
    return f"{name}-{kind}" if kind else name


def default_out(name: str) -> Path:
    """`runs/<data>-<date>`, or an interrupted one of an earlier day, to go on with it."""
    today = Path("runs") / f"{name}-{date.today():%Y-%m-%d}"
    earlier = sorted(Path("runs").glob(f"{glob.escape(name)}-????-??-??"))
    if today.exists() or not earlier or not (earlier[-1] / "plan.json").exists():
        return today
    last = earlier[-1]
    is_interrupted = any(read_cell(last, cell) is None for cell in read_plan(last).cells)
    return last if is_interrupted else today


def name_cells(cells: Sequence[Cell]) -> dict[str, str]:
    """What each cell is called, by its key: its loss, its seed, and what else varies."""
    by_set: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        by_set.setdefault(cell.data.spelled, []).append(flatten(cell.setting()))
    varying = [
        name
        for name in TELLING
        if any(len({str(fields[name]) for fields in settings}) > 1 for settings in by_set.values())
    ]

    def name_of(cell: Cell) -> str:
        fields, data = flatten(cell.setting()), cell.data
        fold = [] if data.fold is None else [f"fold {data.fold + 1} of {data.folds}"]
        of_set = [spelling.shown(data.spelled)] if len(by_set) > 1 else []
        rest = [spelling.shown(str(fields[name])) for name in varying]
        return ", ".join([cell.loss_name, f"seed {cell.seed}", *fold, *of_set, *rest])

    return {cell.key: name_of(cell) for cell in cells}
