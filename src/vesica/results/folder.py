"""A run's folder: what is in it and how it is written and read back. Needs no torch.

A folder may be a stranger's: whatever is read is checked, sizes before memory is taken, and what
is wrong is a sentence. A cell's `result.json` is written last: a folder that has it is complete.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vesica import metrics
from vesica.errors import DataError, printable
from vesica.files import (
    CELLS,
    PLAN,
    RESULT,
    damaged,
    is_there,
    read_json,
    read_text,
    write_json,
    write_text,
)
from vesica.plan import Cell
from vesica.results.findings import Findings
from vesica.results.kept import MAX_TEXT, CellResult, RunPlan
from vesica.results.scores import Model

FINDINGS = "results.json"
BESIDE = "beside"
"""Folder, in a cell's, of the average that is scored beside its weights."""
COUNTS = ("tp", "fp", "fn", "tn")

Kept = TypeVar("Kept", bound=Model)

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""What a spreadsheet would run begins so; a leading apostrophe keeps it text."""


@dataclass(frozen=True)
class EndedCell:
    """One finished, collapsed or failed cell.

    Attributes:
        cell: What was run.
        folder: Where its files are.
        result: The content of `result.json`.
    """

    cell: Cell
    folder: Path
    result: CellResult


@dataclass(frozen=True)
class TestScores:
    """`scores.csv`: a row per test image, or per class of it where there are several.

    Attributes:
        names: Of the images.
        groups: What each belongs to.
        counts: Pixels of each kind at threshold 1/2.
        iou_soft: Eq. 3 of the paper on the probabilities.
        more: Further columns, such as Hausdorff distances; not read back.
    """

    __test__ = False  # no test class, whatever pytest thinks of its name

    names: tuple[str, ...]
    groups: tuple[str, ...]
    counts: metrics.Counts
    iou_soft: NDArray[np.float64]
    more: Mapping[str, NDArray[Any]] = field(default_factory=dict)


# Folders


def cell_folder(run: Path, cell: Cell) -> Path:
    """Where a cell's files are, within the folder of its run."""
    return run / CELLS / (cell.folder or cell.key)


def write_model(target: Path, model: Model) -> None:
    """Write one of the models as JSON; a cell's result without what it has not."""
    is_cell = isinstance(model, CellResult)
    write_json(target, model.model_dump(mode="json", by_alias=True, exclude_unset=is_cell))


def read_model(path: Path, model: type[Kept]) -> Kept:
    """Read JSON as one of the models; no string of it holds what a terminal would obey.

    Raises:
        DataError: If it is no such file.
    """
    try:
        return model.model_validate(_printable(read_json(path)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        more = f"; and {error.error_count() - 1} more" * (error.error_count() > 1)
        raise damaged(path, f"{where}: {first['msg']}{more}") from None
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ValueError(f"a text of {len(value):,} characters")
        return printable(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


def read_plan(run: Path) -> RunPlan:
    """What a folder was begun with.

    Raises:
        DataError: If the folder is no run.
    """
    if not is_there(run / PLAN):
        raise DataError(f"{run}: no run of Vesica (it has no {PLAN}); check the path")
    return read_model(run / PLAN, RunPlan)


def read_findings(run: Path) -> Findings | None:
    """What the run was judged to say last; None before."""
    return read_model(run / FINDINGS, Findings) if is_there(run / FINDINGS) else None


def read_cell(run: Path, cell: Cell, *, is_beside: bool = False) -> EndedCell | None:
    """The cell's result, or that of the average beside its weights; None while it has none.

    A cell that failed has no average: its own result stands for both.

    Raises:
        DataError: If it is damaged, lies elsewhere, or an average is missing.
    """
    folder = cell_folder(run, cell)
    if not is_there(folder / RESULT):
        return None
    if folder.resolve() != cell_folder(run.resolve(), cell):
        raise DataError(f"{folder}: a link to another folder; a run keeps its cells itself")
    result = read_model(folder / RESULT, CellResult)
    if is_beside and result.has_scores:
        folder = folder / BESIDE  # written before the cell's own result
        if not is_there(folder / RESULT):
            raise damaged(folder / RESULT, FileNotFoundError())
        result = read_model(folder / RESULT, CellResult)
    return EndedCell(cell, folder, result)


# Tables


def write_table(
    target: Path, header: Iterable[str], rows: Iterable[Iterable[Any]], *, has_sum: bool = True
) -> None:
    """Write a CSV file; floats keep every digit, and no text is a spreadsheet's formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_as_text(value) for value in row] for row in rows])
    write_text(target, text.getvalue(), has_sum=has_sum)


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a header, as `write_table` writes it.

    Raises:
        DataError: If it is none.
    """
    try:
        rows = list(csv.reader(io.StringIO(read_text(path), newline="")))
        header, *rows = [[_from_text(value) for value in row] for row in rows] or [[]]
        return [dict(zip(header, row, strict=True)) for row in rows]
    except (csv.Error, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise damaged(path, error) from None


def _from_text(value: str) -> str:
    return value[1:] if value.startswith("'") and FORMULA.match(value) else value


def write_scores(target: Path, scores: TestScores) -> None:
    """Write `scores.csv`."""
    columns = {name: getattr(scores.counts, name) for name in COUNTS}
    columns["iou_soft"] = scores.iou_soft
    columns |= scores.more
    rows = zip(scores.names, scores.groups, *columns.values(), strict=True)
    write_table(target, ["name", "group", *columns], rows)


def read_scores(found: EndedCell) -> TestScores:
    """Read a cell's `scores.csv`.

    Raises:
        DataError: If it is missing or damaged.
    """
    path = found.folder / "scores.csv"
    try:
        scores = _parse_scores(read_table(path))
        if len(scores.names) != found.result.num_rows:
            raise ValueError(f"{len(scores.names)} of {found.result.num_rows} rows")
        return scores
    except DataError:
        raise
    except (OSError, ValueError, KeyError, OverflowError) as error:
        raise damaged(path, error) from None


def _parse_scores(rows: list[dict[str, str]]) -> TestScores:
    counts = [np.array([int(row[name]) for row in rows], dtype=np.int64) for name in COUNTS]
    soft = np.array([float(row["iou_soft"]) for row in rows])
    if not rows or min(column.min() for column in counts) < 0:
        raise ValueError("no images, or fewer than no pixels")
    if not (np.sum(counts, axis=0).min() > 0 and ((soft >= 0) & (soft <= 1)).all()):
        raise ValueError("an image without pixels, or an IoU that is no share")
    return TestScores(
        tuple(row["name"] for row in rows),
        tuple(row["group"] for row in rows),
        metrics.Counts(*counts),
        soft,
    )
