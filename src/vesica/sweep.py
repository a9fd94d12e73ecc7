"""Many cells: the whole plan is checked, then each cell runs unless it has a result already."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from vesica import own
from vesica.accel import faster
from vesica.cell import run_cell
from vesica.errors import DataError, Stopped
from vesica.files import check_all
from vesica.materials import Materials, spell
from vesica.naming import name_cells
from vesica.plan import Cell
from vesica.pool import ShouldStop, Tell, run_in_processes
from vesica.results import CellResult, cell_folder, read_cell
from vesica.train import State

NEWS_EVERY_S = 0.5


@dataclass(frozen=True)
class Watcher:
    """Whom a sweep tells how it goes.

    Attributes:
        on_cell: A cell begins: its number (from 1), how many there are, the cell.
        on_step: A step or an epoch of a cell ended: its state, the steps per epoch.
        on_result: It has a result now, or had one already.
        should_stop: Asked after each step.
    """

    on_cell: Callable[[int, int, Cell], None] = lambda number, total, cell: None
    on_step: Callable[[Cell, State, int], None] = lambda cell, state, num_steps: None
    on_result: Callable[[Cell, CellResult], None] = lambda cell, result: None
    should_stop: Callable[[], bool] = lambda: False


def check_plan(cells: Sequence[Cell], materials: Materials) -> list[Cell]:
    """Resolve every cell and open everything that it needs, before the first one trains.

    Raises:
        ValueError: If the plan is empty, has a cell twice, or a cell cannot be run.
        DataError: If files are missing or wrong.
    """
    if not cells:
        raise ValueError("the plan has no cells; a plan is a list of at least one")
    for cell in cells:
        spell(cell)  # a misspelt name is told before images are read
    resolved = [materials.resolve(cell) for cell in cells]
    twice = [cell for cell, num in Counter(cell.key for cell in resolved).items() if num > 1]
    if twice:
        name = name_cells(resolved)[twice[0]]
        raise ValueError(f"the plan has the same cell twice: {name}; name each of its parts once")
    for cell in resolved:
        materials.check(cell)
    return resolved


def run_cells(
    cells: Sequence[Cell], run: Path, materials: Materials, watcher: Watcher, num_jobs: int = 1
) -> None:
    """Run what has no result yet, in order, so many at once; a failed cell is tried again."""
    numbers = {cell.key: number for number, cell in enumerate(cells, start=1)}
    waiting = []
    for cell in cells:
        found = read_cell(run, cell)
        if found is None or not found.result.has_scores:
            waiting.append(cell)
        else:
            check_all(cell_folder(run, cell))
            watcher.on_result(cell, found.result)

    def start(cell: Cell) -> None:
        watcher.on_cell(numbers[cell.key], len(cells), cell)

    if (num_processes := min(num_jobs, len(waiting))) > 1:
        materials.prepare(waiting)  # with all cores, and not by every process
        faster("give_back", lambda: None)()  # they need it
        num_threads = max(1, torch.get_num_threads() // num_processes)
        files = own.files_of({digest for cell in waiting for digest in cell.files()})

        def tell(place: int, news: tuple[State, int] | None) -> None:
            if news is None:
                start(waiting[place])
            else:
                watcher.on_step(waiting[place], *news)

        run_in_processes(
            waiting,
            partial(_work_on_cells, run, materials.cache, num_threads, files),
            num_processes,
            on_news=tell,
            on_result=lambda place, result: watcher.on_result(waiting[place], result),
            should_stop=watcher.should_stop,
        )
        return
    for cell in waiting:
        start(cell)
        result = run_cell(
            cell,
            materials,
            cell_folder(run, cell),
            on_step=partial(watcher.on_step, cell),
            should_stop=watcher.should_stop,
        )
        watcher.on_result(cell, result)


def _work_on_cells(
    run: Path, cache: Path, num_threads: int, files: dict[str, Path], should_stop: ShouldStop
) -> Callable[[Cell, Tell], CellResult]:
    """What a process does with each cell: run it, and tell its state now and then."""
    faster("memory", lambda: None)()
    torch.set_num_threads(num_threads)
    own.add_files(files)

    def preparing(what: str, done: int, total: int) -> None:
        if should_stop():
            raise Stopped

    materials = Materials(cache, preparing)

    def work(cell: Cell, tell: Tell) -> CellResult:
        told_at = 0.0
        tell(None)

        def on_step(state: State, num_steps: int) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > NEWS_EVERY_S:
                told_at = time.monotonic()
                tell((state, num_steps))

        try:
            folder = cell_folder(run, cell)
            return run_cell(cell, materials, folder, on_step=on_step, should_stop=should_stop)
        except (ValueError, OSError) as error:
            raise DataError(f"{cell.loss}, seed {cell.seed}: {error}") from None
        finally:
            faster("give_back", lambda: None)()  # to the others, should no further cell come

    return work
