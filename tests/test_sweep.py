import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY, tiny_cell

from vesica import sweep
from vesica.entry import check_folder, enter_run, working_on
from vesica.errors import DataError
from vesica.files import read_json, write_json
from vesica.judge import judge_run
from vesica.materials import Materials
from vesica.plan import Cell, across, replace
from vesica.results import cell_folder, read_plan
from vesica.sweep import Watcher, check_plan, run_cells


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return Materials(tmp_path_factory.mktemp("cache"))


def plan(**fields: Any) -> list[Cell]:
    return across(tiny_cell(max_epochs=1), **({"loss": ["bce", "iou"]} | fields))


def run(cells: list[Cell], folder: Path, materials: Materials) -> list[Cell]:
    """Run a plan; returns the cells that were trained now."""
    trained: list[Cell] = []
    resolved = check_plan(cells, materials)
    enter_run(folder, resolved)
    watcher = Watcher(on_cell=lambda number, total, cell: trained.append(cell))
    run_cells(resolved, folder, materials, watcher)
    return trained


def test_a_cell_folder_has_its_files(materials: Materials, tmp_path: Path) -> None:
    run(plan(), tmp_path, materials)
    for cell in read_plan(tmp_path).cells:
        files = {path.name for path in cell_folder(tmp_path, cell).iterdir()}
        assert files == {
            "cell.json",
            "history.csv",
            "scores.csv",
            "histograms.npz",
            "masks.npz",
            "model.safetensors",
            "result.json",
            "sums.json",
            "lock",
        }


def test_finished_cells_are_skipped_and_failed_ones_tried_again(
    materials: Materials, tmp_path: Path
) -> None:
    assert len(run(plan(), tmp_path, materials)) == 2
    assert run(plan(), tmp_path, materials) == []
    bce, _ = read_plan(tmp_path).cells
    result = cell_folder(tmp_path, bce) / "result.json"
    write_json(result, read_json(result) | {"status": "failed"})
    assert [cell.loss for cell in run(plan(), tmp_path, materials)] == ["bce"]


def test_a_run_grows_by_losses_and_seeds(materials: Materials, tmp_path: Path) -> None:
    run(plan(), tmp_path, materials)
    trained = run(plan(seed=[0, 1]), tmp_path, materials)
    assert {cell.seed for cell in trained} == {1}
    run(plan(loss=["dice"]), tmp_path, materials)
    assert len(read_plan(tmp_path).cells) == 5


def test_a_run_keeps_the_command_that_last_added_to_it(
    materials: Materials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Advice is that command with other options; `vesica run RUN` has none to change."""
    for command, seeds, kept in (
        (["compare", "photos"], [0], "vesica compare photos"),
        (["run", "here"], [0], "vesica compare photos"),
        (["compare", "photos", "--seeds", "2"], [0, 1], "vesica compare photos --seeds 2"),
        (["compare", "photos", "--seeds", "1"], [0], "vesica compare photos --seeds 2"),
    ):
        monkeypatch.setattr(sys, "argv", ["vesica", *command])
        run(plan(seed=seeds), tmp_path, materials)
        assert read_plan(tmp_path).command == kept


def test_a_run_of_other_settings_is_refused(materials: Materials, tmp_path: Path) -> None:
    run(plan(), tmp_path, materials)
    told = r"other settings .*optimizer was rmsprop:lr=0\.001, now rmsprop:lr=0\.5.*--out"
    with pytest.raises(DataError, match=told):
        run(plan(lr=[0.5]), tmp_path, materials)
    (tmp_path / "plan.json").unlink()
    with pytest.raises(DataError, match=r"is no run of Vesica"):
        run(plan(), tmp_path, materials)


def test_the_whole_plan_is_checked_before_the_first_cell_trains(
    materials: Materials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "run_cell", lambda *args, **kwargs: pytest.fail("trained"))
    for cells, message in [
        (plan(loss=["bce", "iuo"]), "unknown loss 'iuo'; there are: bce, focal, iou"),
        (plan(model=[TINY, "vgg"]), "unknown model 'vgg'; there are: bfcn32s"),
        (plan(weights=["none", "hedd"]), "unknown weights 'hedd'"),
        (plan(loss=["iou", "1.0iou"]), "the same cell twice: iou, seed 0;"),
        (plan(train=[9999]), "9999"),
        ([], "no cells"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(cells, tmp_path / "run", materials)
        assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_to_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path)
    (tmp_path / "inner").mkdir()
    check_folder(tmp_path / "inner")
    with pytest.raises(DataError, match=f"{tmp_path} cannot be written to; pass another --out$"):
        check_folder(tmp_path / "new" / "run")
    with pytest.raises(DataError, match=f"^{tmp_path}: cannot be written to; pass another"):
        check_folder(tmp_path)


def test_data_that_changed_is_noticed(tmp_path: Path, materials: Materials) -> None:
    resolved = materials.resolve(tiny_cell())
    moved = replace(resolved, path="generated:num=61:size=64")
    with pytest.raises(DataError, match="have changed"):
        Materials(tmp_path).library.dataset(moved.data)


def test_a_torn_plan_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"cells": [')
    with pytest.raises(DataError, match=r"plan\.json: damaged"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text(json.dumps({"cells": [{"loss": "iou"}]}))
    with pytest.raises(DataError, match=r"plan\.json: damaged"):
        read_plan(tmp_path)


@pytest.mark.parametrize("name", ["result.json", "scores.csv"])
def test_a_damaged_file_is_one_sentence(name: str, materials: Materials, tmp_path: Path) -> None:
    run(plan(), tmp_path, materials)
    folder = cell_folder(tmp_path, read_plan(tmp_path).cells[0])
    (folder / name).write_text('{"status": "fin')

    def again() -> None:
        run(plan(), tmp_path, materials)
        judge_run(tmp_path, materials.library, 0.005)

    with pytest.raises(DataError, match=rf"{name}: damaged .*: vesica run {tmp_path}"):
        again()


def test_two_commands_on_one_run_are_told_of_each_other(tmp_path: Path) -> None:
    with (
        working_on(tmp_path),
        pytest.raises(DataError, match=rf"process {os.getpid()} is working on this run"),
        working_on(tmp_path),
    ):
        pass
    (tmp_path / ".a.csv.abcd1234.csv").touch()
    with working_on(tmp_path):
        assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["scores.csv", "model.safetensors", "masks.npz", "cell.json"])
def test_going_on_checks_what_is_done(name: str, materials: Materials, tmp_path: Path) -> None:
    run(plan(), tmp_path, materials)
    folder = cell_folder(tmp_path, read_plan(tmp_path).cells[0])
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=rf"{name}: damaged .* delete {folder} and"):
        run(plan(), tmp_path, materials)
    shutil.rmtree(folder)
    assert len(run(plan(), tmp_path, materials)) == 1


def test_a_deleted_plan_is_written_again(materials: Materials, tmp_path: Path) -> None:
    with working_on(tmp_path):
        run(plan(), tmp_path, materials)
    (tmp_path / "plan.json").unlink()
    assert run(plan(), tmp_path, materials) == []


def test_the_first_plan_gives_the_order(materials: Materials, tmp_path: Path) -> None:
    resolved = check_plan(plan(), materials)
    enter_run(tmp_path, resolved)
    begun = read_plan(tmp_path).created
    other = check_plan(plan(loss=["iou", "dice"]), materials)
    everything = enter_run(tmp_path, other)
    assert [cell.loss for cell in everything] == ["bce", "iou", "dice"]
    assert [cell.loss for cell in enter_run(tmp_path, resolved[::-1])] == ["bce", "iou", "dice"]
    assert read_plan(tmp_path).created == begun


def test_memory_is_given_back_before_cells_run_side_by_side(
    materials: Materials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = check_plan(plan(), materials)
    enter_run(tmp_path, resolved)
    done: list[str] = []
    monkeypatch.setattr(Materials, "prepare", lambda *given: done.append("prepare"))
    monkeypatch.setattr(sweep, "faster", lambda name, plain: lambda: done.append(name))
    monkeypatch.setattr(sweep, "run_in_processes", lambda *given, **more: done.append("processes"))
    run_cells(resolved, tmp_path, materials, Watcher(), num_jobs=2)
    assert done == ["prepare", "give_back", "processes"]


def test_a_process_without_a_next_cell_gives_its_memory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(sweep, "faster", lambda name, plain: lambda: done.append(name))
    monkeypatch.setattr(sweep, "run_cell", lambda *given, **more: done.append("cell"))
    threads = torch.get_num_threads()
    work = sweep._work_on_cells(tmp_path, tmp_path, threads, {}, lambda: False)
    for cell in plan()[:2]:
        work(replace(cell, fingerprint="0" * 64, target="face"), lambda news: None)
    assert done == ["memory", *["cell", "give_back"] * 2]
