"""Built-in plans by name, and plans from a user's Python file."""

from collections.abc import Callable, Sequence
from pathlib import Path

from vesica import own
from vesica.errors import DataError
from vesica.plan import Cell
from vesica.plans.demo import demo
from vesica.plans.sparsity import sparsity, sparsity_classes

PLANS: dict[str, Callable[[], list[Cell]]] = {
    "demo": demo,
}

ASKING: dict[str, Callable[..., list[Cell]]] = {
    "sparsity": sparsity,
    "sparsity-classes": sparsity_classes,
}
"""Those that take data and options: `(data, *, seeds, foreground)`."""


def ask_plan(
    name: str, data: Sequence[str], seeds: int | None, foreground: Sequence[str]
) -> list[Cell]:
    """The cells of a built-in plan with the data and options that a user gave.

    Raises:
        DataError: If the plan takes none, or cannot be had with these.
    """
    if name in ASKING:
        given = {"seeds": seeds} if seeds else {}
        return ASKING[name](data, foreground=foreground, **given)
    if data or seeds or foreground:
        raise DataError(
            f"{name} says itself what is run; DATA, --seeds and --foreground are for "
            f"{', '.join(ASKING)}: leave them out"
        )
    return load_plan(name)


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
            f"{name}: no such plan; built in: {', '.join([*PLANS, *ASKING])}; or pass a Python "
            "file that defines plan() -> list[Cell]"
        )
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
