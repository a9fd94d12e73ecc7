"""Built-in plans by name, and plans from a user's Python file."""

import contextlib
import runpy
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from vesica.errors import DataError
from vesica.plan import Cell
from vesica.plans.demo import demo

PLANS: dict[str, Callable[[], list[Cell]]] = {
    "demo": demo,
}


def load_plan(name: str) -> list[Cell]:
    """The cells of a built-in plan, or of a Python file's function `plan`.

    Raises:
        DataError: If there is no such plan, the file raises, or it gives no list of cells.
    """
    if name in PLANS:
        return PLANS[name]()
    path = Path(name).expanduser()
    if path.suffix != ".py" or not path.is_file():
        raise DataError(
            f"{name}: no such plan; built in: {', '.join(PLANS)}; or pass a Python file that "
            "defines plan() -> list[Cell]"
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):
            plan = runpy.run_path(str(path)).get("plan")
            cells = plan() if callable(plan) else None
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = f":{frames[-1].lineno}" if frames else ""
        detail = " ".join(str(error).split())
        raise DataError(f"{path}{line}: {type(error).__name__}: {detail}; mend the plan") from None
    if not isinstance(cells, list) or not all(isinstance(cell, Cell) for cell in cells):
        raise DataError(
            f"{path}: expected a function plan() that returns a list of vesica.plan.Cell"
        )
    return cells
