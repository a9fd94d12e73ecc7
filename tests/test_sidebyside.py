"""Cells in processes of their own give what they give one after the other."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vesica.errors import DataError
from vesica.estimate import Cost, choose_jobs
from vesica.materials import Materials
from vesica.plan import Cell, Recipe, Source, across
from vesica.results import cell_folder, read_plan
from vesica.sidebyside import run_side_by_side
from vesica.sweep import Watcher, check_plan, enter_run, run_cells
from vesica.train import State, Stopped


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return Materials(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plan(materials: Materials) -> list[Cell]:
    base = Cell(
        data=Source(path="generated:num=30:size=32"),
        size=32,
        model="bfcn32s:width=4:freeze=paper",
        weights="none",
        recipe=Recipe(max_epochs=2, batch=8),
    )
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
    cells, is_asked = plan(materials), []

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
        for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)

    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc to find the processes")
    with pytest.raises(DataError, match="--jobs 1"):
        run_side_by_side(
            plan(materials),
            tmp_path,
            materials.cache,
            2,
            on_start=kill,
            on_step=lambda *_: None,
            on_result=lambda *_: None,
            should_stop=lambda: False,
        )


@pytest.mark.parametrize(
    ("gain", "memory", "num_waiting", "expected"),
    [(2.0, 1, 6, 4), (2.0, 1, 3, 3), (1.1, 1, 6, 1), (2.0, 10**15, 6, 1)],
)
def test_side_by_side_only_where_it_pays_and_fits(
    gain: float, memory: int, num_waiting: int, expected: int
) -> None:
    torch.set_num_threads(4)
    assert choose_jobs(Cost(1, 1, memory, 1, gain), num_waiting) == expected
