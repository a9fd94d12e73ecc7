"""Several cells at once, each in a process of its own, where one alone cannot use all cores."""

import multiprocessing
import os
import queue
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from vesica.accel import faster
from vesica.cell import run_cell
from vesica.errors import DataError
from vesica.materials import Materials
from vesica.plan import Cell
from vesica.results import CellResult, cell_folder
from vesica.train import State, Stopped

NEWS_EVERY_S = 0.5
ASK_EVERY_S = 0.2

OnStep = Callable[[Cell, State, int], None]
OnResult = Callable[[Cell, CellResult], None]


def run_side_by_side(
    cells: Sequence[Cell],
    run: Path,
    cache: Path,
    num_processes: int,
    *,
    on_start: Callable[[Cell], None],
    on_step: OnStep,
    on_result: OnResult,
    should_stop: Callable[[], bool],
) -> None:
    """Run resolved cells, so many at once; each process has its share of the threads.

    Raises:
        Stopped: If `should_stop` said so; every cell has written its checkpoint.
        DataError: If a process cannot go on, or was killed.
    """
    # Processes that are started anew, as forked ones may not use PyTorch's threads.
    context = multiprocessing.get_context("spawn")
    tasks, news, stop = context.Queue(), context.Queue(), context.Event()
    for place in range(len(cells)):
        tasks.put(place)
    num_threads = max(1, torch.get_num_threads() // num_processes)
    arguments = (list(cells), run, cache, num_threads, tasks, news, stop)
    workers = [
        context.Process(target=_work, args=arguments, daemon=True) for _ in range(num_processes)
    ]
    for worker in workers:
        tasks.put(None)  # nothing is left, for each of them
        worker.start()
    num_open, is_stopping = len(cells), False
    try:
        while num_open:
            if not is_stopping and should_stop():
                stop.set()
                is_stopping = True
            kind, place, value = _next(news, workers, is_stopping)
            cell = cells[place]
            if kind == "start":
                on_start(cell)
            elif kind == "step":
                on_step(cell, *value)
            elif kind == "result":
                num_open -= 1
                on_result(cell, value)
            elif kind == "error":
                raise DataError(f"{cell.loss}, seed {cell.seed}: {value}")
            elif kind == "over":
                break
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            worker.kill()
    if is_stopping and num_open:
        raise Stopped


def _next(news: Any, workers: Sequence[BaseProcess], is_stopping: bool) -> tuple[str, int, Any]:
    """What comes next, or that nothing will."""
    try:
        message: tuple[str, int, Any] = news.get(timeout=ASK_EVERY_S)
    except queue.Empty:
        killed = [w for w in workers if w.exitcode not in (None, 0)]
        if killed:
            raise DataError(
                f"a process ended with code {killed[0].exitcode}, perhaps for lack of memory; run "
                "the same command again with --jobs 1"
            ) from None
        if is_stopping and not any(worker.is_alive() for worker in workers):
            return "over", 0, None
        return "nothing", 0, None
    return message


def _work(
    cells: list[Cell], run: Path, cache: Path, num_threads: int, tasks: Any, news: Any, stop: Any
) -> None:
    """One process: cell after cell, until none is left or somebody says stop."""
    faster("memory", lambda: None)()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process asks, at the end of a step
    torch.set_num_threads(num_threads)
    parent = os.getppid()

    def should_stop() -> bool:
        return bool(stop.is_set()) or os.getppid() != parent  # it was killed

    def preparing(what: str, done: int, total: int) -> None:
        if should_stop():
            raise Stopped

    materials = Materials(cache, preparing)
    while (place := tasks.get()) is not None and not should_stop():
        cell, told_at = cells[place], 0.0
        news.put(("start", place, None))

        def tell(state: State, num_steps: int, place: int = place) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > NEWS_EVERY_S:
                told_at = time.monotonic()
                news.put(("step", place, (state, num_steps)))

        try:
            folder = cell_folder(run, cell)
            result = run_cell(cell, materials, folder, on_step=tell, should_stop=should_stop)
        except Stopped:
            return
        except (ValueError, OSError) as error:
            news.put(("error", place, str(error)))
            return
        except Exception:
            news.put(("error", place, traceback.format_exc()))
            return
        news.put(("result", place, result))
