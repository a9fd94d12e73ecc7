"""Cells in processes of their own give what they give one after the other."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_cell

from vesica import estimate
from vesica.entry import enter_run
from vesica.errors import DataError, Stopped
from vesica.estimate import Cost, choose_jobs
from vesica.materials import Materials
from vesica.plan import Cell, across
from vesica.results import cell_folder, read_plan
from vesica.sweep import Watcher, check_plan, run_cells
from vesica.train import State


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return Materials(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plan(materials: Materials, max_epochs: int = 2) -> list[Cell]:
    base = tiny_cell("generated:num=30:size=32", size=32, max_epochs=max_epochs)
    return check_plan(across(base, loss=["bce", "iou"]), materials)


def test_the_results_are_the_same(materials: Materials, tmp_path: Path) -> None:
    cells, seen = plan(materials), []
    for num_jobs, run in ((1, tmp_path / "one"), (2, tmp_path / "two")):
        enter_run(run, cells, num_jobs)
        watcher = Watcher(on_result=lambda cell, result: seen.append((cell.loss, result.status)))
        run_cells(cells, run, materials, watcher, num_jobs)
        assert read_plan(run).jobs == num_jobs
    assert len(seen) == 4
    for cell in cells:
        for name in ("scores.csv", "masks.npz"):
            one, two = (cell_folder(tmp_path / run, cell) / name for run in ("one", "two"))
            assert one.read_bytes() == two.read_bytes()


def test_a_stop_keeps_every_checkpoint(materials: Materials, tmp_path: Path) -> None:
    cells, is_asked = plan(materials, 40), []

    def stop(cell: Cell, state: State, num_steps: int) -> None:
        is_asked.append(cell.loss)

    watcher = Watcher(on_step=stop, should_stop=lambda: bool(is_asked))
    with pytest.raises(Stopped):
        run_cells(cells, tmp_path, materials, watcher, 2)
    files = [cell_folder(tmp_path, cell) / "checkpoint.safetensors" for cell in cells]
    assert any(file.exists() for file in files)
    run_cells(cells, tmp_path, materials, Watcher(), 2)
    assert all((cell_folder(tmp_path, cell) / "result.json").exists() for cell in cells)


def test_a_killed_process_is_named(materials: Materials, tmp_path: Path) -> None:
    def kill(cell: Cell) -> None:
        for worker in workers_of(os.getpid()):
            os.kill(worker, signal.SIGKILL)

    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc to find the processes")
    watcher = Watcher(on_cell=lambda number, total, cell: kill(cell))
    with pytest.raises(DataError, match=r"ended with code -9.* --jobs 1"):
        run_cells(plan(materials), tmp_path, materials, watcher, 2)


DRIVER = """
import sys, time
from functools import partial
from pathlib import Path
import work
from vesica import pool

nothing = lambda *_: None
pool.run_in_processes(
    range(3), partial(work.make_work, Path(sys.argv[1]), sys.argv[2]), 2,
    on_news=nothing, on_result=lambda *_: time.sleep(600), should_stop=lambda: False,
)
"""
"""Without a guard: processes do not import it again."""

WORK = """
import multiprocessing, os, sys, time
from pathlib import Path
from vesica import pool
from vesica.locks import locked

pool.GRACE_S = 0.5

def make_work(folder, how, should_stop):
    def work(task, tell):
        (folder / f"{task}.pid").write_text(str(os.getpid()))
        if how == "in a long step":
            time.sleep(600)
        elif how == "waiting for a lock":
            with locked(folder, lambda: time.sleep(600)):
                time.sleep(600)
        elif how == "between steps":
            while not should_stop():
                time.sleep(0.01)
            (folder / f"{task}.checkpoint").touch()
        return task
    return work

if multiprocessing.parent_process() and sys.argv[2] == "while importing":
    Path(sys.argv[1], f"{os.getpid()}.pid").touch()
    time.sleep(600)
"""


def workers_of(driver: int) -> list[int]:
    """Its processes, without the one that watches over semaphores."""
    path = Path(f"/proc/{driver}/task/{driver}/children")
    pids = map(int, path.read_text().split())
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def wait_for(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether it came true in that time."""
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.02)
    return bool(found)


@pytest.mark.parametrize(
    "how",
    ["while importing", "in a long step", "waiting for a lock", "between steps", "without a task"],
)
def test_no_process_outlives_a_killed_driver(how: str, tmp_path: Path) -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc to find the processes")
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "work.py").write_text(WORK)
    command = [sys.executable, str(tmp_path / "driver.py"), str(tmp_path), how]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver:
        assert wait_for(lambda: len(workers_of(driver.pid)) == 2, 30)
        assert wait_for(lambda: len(list(tmp_path.glob("*.pid"))) >= 2, 30)
        workers = workers_of(driver.pid)
        driver.kill()
        assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 20)
        assert driver.stderr is not None
        assert "leaked" not in driver.stderr.read()
    if how == "between steps":
        assert len(list(tmp_path.glob("*.checkpoint"))) == 2


@pytest.mark.parametrize(
    ("gain", "memory", "num_waiting", "expected"),
    [(2.0, 1, 6, 4), (2.0, 1, 3, 3), (1.1, 1, 6, 1), (2.0, 10**15, 6, 1)],
)
def test_side_by_side_only_where_it_pays_and_fits(
    gain: float, memory: int, num_waiting: int, expected: int
) -> None:
    torch.set_num_threads(4)
    assert choose_jobs(Cost(1, 1, memory, 1, gain), num_waiting) == expected


@pytest.mark.parametrize(("one_thread_s", "faster"), [(1.0, True), (3.0, False)])
def test_a_step_on_one_thread_is_compared_with_one_on_all(
    materials: Materials,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_thread_s: float,
    faster: bool,
) -> None:
    torch.set_num_threads(2)
    seconds = {1: one_thread_s, 2: 1.0}
    monkeypatch.setattr(estimate, "_median_time", lambda _: seconds[torch.get_num_threads()])
    cost = estimate.estimate(plan(materials), tmp_path / "run", materials)
    assert cost.gain == pytest.approx(2 / one_thread_s, rel=0.01)
    assert (choose_jobs(cost, 4) == 2) is faster


def test_the_estimate_counts_what_scoring_takes(
    materials: Materials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = plan(materials)
    hours = []
    for seconds in (0.0, 36.0):
        monkeypatch.setattr(estimate, "_judge_s", lambda *_, s=seconds: s)
        monkeypatch.setattr(estimate, "_median_time", lambda _: 0.001)
        hours.append(estimate.estimate(cells, tmp_path / "run", materials).hours)
    num_test = sum(len(materials.library.rows(cell.data).test) for cell in cells)
    assert hours[1] - hours[0] == pytest.approx(num_test / 100)
