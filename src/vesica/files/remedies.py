"""What is wrong with a file of a run, and how it comes back."""

from pathlib import Path

from vesica.errors import DataError
from vesica.files.paths import quoted

RESULT, WEIGHTS = "result.json", "model.safetensors"
"""Where the result lies, the files beside it are whole: it is written last. The trained tensors
are needed to predict, and for no verdict."""

PLAN, CELLS = "plan.json", "cells"
"""What a run is, and the folder of its cells; the run's own command writes both again."""


def damaged(path: Path, error: object = "its content is not what was written") -> DataError:
    """What is wrong with a file, and how it comes back."""
    found = "is missing" if isinstance(error, FileNotFoundError) else f"damaged ({error})"
    return DataError(f"{path}: {found}; {_remedy(path)}")


def train_again(cell: Path) -> str:
    """What to do about a cell's folder: what was computed together is computed again together."""
    return f"delete {cell} and train it again: vesica run {quoted(cell.parent.parent)}"


def _remedy(path: Path) -> str:
    """Names what wrote the file: the command that reads it may be another, such as predict."""
    if path.name == PLAN:
        return "delete it and run the command that made the run again: cells that are done stay so"
    cell = next((folder for folder in list(path.parents)[:2] if _is_cell(folder)), None)
    if cell is not None and path != cell / RESULT and (cell / RESULT).exists():
        return train_again(cell)
    if cell is not None:
        return f"delete it and train it again: vesica run {quoted(cell.parent.parent)}"
    if (path.parent / PLAN).exists():
        return f"delete it and judge the run again: vesica report {quoted(path.parent)}"
    return "delete it and run the same command again"


def _is_cell(folder: Path) -> bool:
    return folder.parent.name == CELLS and (folder.parent.parent / PLAN).exists()
