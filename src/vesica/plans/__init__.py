"""Built-in plans by name, and plans from a user's Python file."""

import difflib
from collections.abc import Callable
from pathlib import Path

from vesica import own
from vesica.errors import DataError
from vesica.plan import Cell
from vesica.plans.demo import demo
from vesica.plans.over_data import OVER_DATA

PLANS: dict[str, Callable[[], list[Cell]]] = {
    "demo": demo,
}


def check_plan(name: str) -> None:
    """Refuse what is neither the name of a plan nor a Python file.

    Raises:
        DataError: With the plans that there are.
    """
    known = [*PLANS, *OVER_DATA]
    path = Path(name).expanduser()
    if name not in known and (path.suffix != ".py" or not path.is_file()):
        if path.is_dir():
            raise DataError(
                f"{name}: a folder, and no run of Vesica (it has no plan.json); check the path, or "
                f"name a plan and its data: vesica run {OVER_DATA[0]} {name}"
            )
        closest = difflib.get_close_matches(name, known, 1)
        meant = f" (is {closest[0]} meant?)" if closest else ""
        raise DataError(
            f"{name}: no such plan{meant}; built in: {', '.join(known)}; or pass a Python file "
            "that defines plan() -> list[Cell], or a run's folder"
        )


def load_plan(name: str) -> list[Cell]:
    """The cells of a built-in plan, or of a Python file's function `plan`.

    Raises:
        DataError: If there is no such plan, the file raises, or it gives no list of cells.
    """
    if name in PLANS:
        return PLANS[name]()
    check_plan(name)
    path = Path(name).expanduser()
    plan = own.find(f"{path.name}:plan", own.name_file(path))
    try:
        cells = plan()
    except DataError:
        raise
    except (Exception, SystemExit) as error:
        where = own.say_place(path, error)
        raise DataError(f"{where}: {own.say_error(error)}; mend the plan") from None
    if not isinstance(cells, list) or not all(isinstance(cell, Cell) for cell in cells):
        raise DataError(
            f"{path}: expected a function plan() that returns a list of vesica.plan.Cell"
        )
    return cells
