"""A cell's folder: what is in it and how it is read back. Needs no torch.

`result.json` is written last: a folder that has it is complete.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica import metrics
from vesica.earlier import cell_of_schema_1
from vesica.errors import DataError
from vesica.files import read_bytes, read_json, read_text, replacing, write_text
from vesica.plan import Cell

SCHEMA = 1
COUNTS = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True)
class CellResult:
    """One finished, collapsed or failed cell, read back from its folder.

    Attributes:
        cell: What was run.
        folder: Where its files are.
        result: The content of `result.json`.
    """

    cell: Cell
    folder: Path
    result: dict[str, Any]

    @property
    def status(self) -> str:
        """finished, collapsed or failed."""
        return str(self.result["status"])

    @property
    def has_scores(self) -> bool:
        """Failed cells have none."""
        return self.status != "failed"


@dataclass(frozen=True)
class TestScores:
    """`scores.csv`: a row per test image.

    Attributes:
        names: Of the images.
        groups: What each belongs to.
        counts: Pixels of each kind at threshold 1/2.
        iou_soft: Eq. 3 of the paper on the probabilities.
        boundary: Pixels of each kind in the bands along the boundaries; not read back.
        hd95_px: 95 % Hausdorff distance; not read back.
    """

    __test__ = False  # no test class, whatever pytest thinks of its name

    names: tuple[str, ...]
    groups: tuple[str, ...]
    counts: metrics.Counts
    iou_soft: NDArray[np.float64]
    boundary: metrics.Counts | None = None
    hd95_px: NDArray[np.float64] | None = None

    def by_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means of the images of each group, which a comparison counts once."""
        _, unit = np.unique(self.groups, return_inverse=True)
        return np.bincount(unit, weights=values) / np.bincount(unit)


def cell_folder(run: Path, cell: Cell) -> Path:
    """Where a cell's files are, within the folder of its run."""
    return run / "cells" / (cell.folder or cell.key)


def read_jobs(run: Path) -> int | None:
    """How many cells a run trains side by side; None where it does not say."""
    path = run / "plan.json"
    jobs: int | None = read_json(path).get("jobs") if path.exists() else None
    return jobs


def read_kind(run: Path) -> str:
    """What a run is beyond a list of cells, such as "paper"; "" where it does not say."""
    path = run / "plan.json"
    return str(read_json(path).get("kind", "")) if path.exists() else ""


def read_plan(run: Path) -> list[Cell]:
    """The cells of a run.

    Raises:
        DataError: If the folder is no run.
    """
    if not (run / "plan.json").is_file():
        raise DataError(f"{run}: no run of Vesica (it has no plan.json); check the path")
    try:
        plan = read_json(run / "plan.json")
        read = cell_of_schema_1 if plan["schema"] == 1 else dict
        return [Cell.model_validate(read(cell)) for cell in plan["cells"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{run / 'plan.json'}: cannot be read ({error})") from None


def read_cell(run: Path, cell: Cell) -> CellResult | None:
    """The cell's result, or None while it has none."""
    folder = cell_folder(run, cell)
    if not (folder / "result.json").exists():
        return None
    result = read_json(folder / "result.json")
    if not isinstance(result, dict) or "status" not in result:
        raise DataError(
            f"{folder / 'result.json'}: damaged; delete it and run the same command again"
        )
    return CellResult(cell, folder, result)


def write_table(target: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file; floats keep every digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(target, text.getvalue())


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a header."""
    return list(csv.DictReader(io.StringIO(read_text(path), newline="")))


def write_scores(target: Path, scores: TestScores) -> None:
    """Write `scores.csv`."""
    columns = {name: getattr(scores.counts, name) for name in COUNTS}
    columns["iou_soft"] = scores.iou_soft
    if scores.boundary is not None:
        columns |= {f"boundary_{name}": getattr(scores.boundary, name) for name in COUNTS}
    if scores.hd95_px is not None:
        columns["hd95_px"] = scores.hd95_px
    rows = zip(scores.names, scores.groups, *columns.values(), strict=True)
    write_table(target, ["name", "group", *columns], rows)


def read_test_scores(found: CellResult) -> TestScores:
    """Read a cell's `scores.csv`.

    Raises:
        DataError: If it is missing or damaged.
    """
    path = found.folder / "scores.csv"
    try:
        scores = _parse_scores(read_table(path))
        if len(scores.names) != found.result["num_test"]:
            raise ValueError(f"{len(scores.names)} of {found.result['num_test']} images")
        return scores
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: missing or damaged ({error}); delete {path.parent} and run the same "
            "command again"
        ) from None


def _parse_scores(rows: list[dict[str, str]]) -> TestScores:
    counts = (np.array([int(row[name]) for row in rows], dtype=np.int64) for name in COUNTS)
    return TestScores(
        tuple(row["name"] for row in rows),
        tuple(row["group"] for row in rows),
        metrics.Counts(*counts),
        np.array([float(row["iou_soft"]) for row in rows]),
    )


def write_masks(target: Path, preds: NDArray[np.bool_]) -> None:
    """Write hard masks bit-packed, with the shape that they had."""
    with replacing(target) as path, path.open("wb") as file:
        np.savez_compressed(file, bits=np.packbits(preds), shape=np.array(preds.shape))


def read_masks(path: Path) -> NDArray[np.bool_]:
    """Read the masks, shape (num_images, height, width)."""
    with np.load(io.BytesIO(read_bytes(path))) as stored:
        shape = tuple(stored["shape"])
        return np.unpackbits(stored["bits"], count=int(np.prod(shape))).astype(bool).reshape(shape)


def write_histograms(target: Path, *, val: NDArray[np.integer], test: NDArray[np.integer]) -> None:
    """Write the probability histograms of both parts of the split."""
    with replacing(target) as path, path.open("wb") as file:
        val, test = (counts.astype(np.int32, copy=False) for counts in (val, test))
        np.savez_compressed(file, val=val, test=test)


def read_histograms(path: Path) -> dict[str, NDArray[np.int32]]:
    """Read probability histograms by part of the split."""
    with np.load(io.BytesIO(read_bytes(path))) as stored:
        return dict(stored)
