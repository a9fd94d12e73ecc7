"""The committed results follow from their scores, and show no picture and no path."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from publish_run import OF_CELL, publish
from test_judge import cells_of, fabricate, ious, judge
from typer.testing import CliRunner

from vesica import metrics
from vesica.cli import app
from vesica.entry import check_run
from vesica.errors import DataError
from vesica.files import SUMS, read_json, write_json
from vesica.plan import Cell, replace
from vesica.results import (
    RunPlan,
    cell_folder,
    read_cell,
    read_plan,
    read_scores,
    read_table,
    write_model,
)

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RUNS = sorted(path.parent for path in (RESULTS / "lfw").glob("*/plan.json"))
KINDS = ("sparsity", "sparsity-classes", "losses", "architectures")
PAGES = sorted(path for kind in KINDS for path in RESULTS.glob(f"*/*/{kind}.md"))


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, list[Cell]]:
    """A run with everything in it that must not be published."""
    run = tmp_path / "run"
    cells = [
        replace(cell, path=str(tmp_path / "faces"), model="bfcn32s")
        for cell in cells_of(["bce", "iou"], num_seeds=3)
    ]
    for cell in cells[:-1]:
        fabricate(run, cell, ious(cell.seed))
        for name in ("model.safetensors", "masks.npz", "histograms.npz"):
            (cell_folder(run, cell) / name).write_bytes(b"secret")
    judge(run, cells)
    write_json(
        run / "plan.json",
        {
            "command": f"vesica compare {tmp_path / 'faces'} --out {run} --cache {tmp_path / 'c'}",
            "cells": [cell.model_dump(mode="json") for cell in cells],
        },
    )
    (run / "report.html").write_text("<img>")
    return run, cells


def test_a_published_run_has_no_picture_and_no_path_and_goes_on(
    run: tuple[Path, list[Cell]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cells = run
    monkeypatch.chdir(tmp_path)
    target = Path("shown/it")
    publish(folder, target)
    files = [path for path in target.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".csv"}
    assert all(str(tmp_path) not in path.read_text(encoding="utf-8") for path in files)
    command = read_json(target / "plan.json")["command"]
    assert command == "vesica compare faces --out shown/it"
    # The data may lie elsewhere, and only the last cell has no result.
    elsewhere = [replace(cell, path="else/where") for cell in cells]
    assert len(check_run(target, elsewhere)) == len(cells)
    assert [read_cell(target, cell) is None for cell in elsewhere] == [False] * 5 + [True]
    publish(folder, target, with_histograms=True)
    assert {path.name for path in target.rglob("*.npz")} == {"histograms.npz"}


def test_words_are_no_names_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run, (cell, _) = Path("run"), cells_of(["bce", "iou"], num_seeds=1)
    why = 'File "/home/ann/code/loss.py", line 3: 2 runs, and 1/2 of run.py'
    fabricate(run, cell, ious(0), reason=why, command="vesica run losses --out run --jobs 2")
    write_model(run / "plan.json", RunPlan(command="vesica run run-2 --out run", cells=(cell,)))
    publish(run, Path("docs/it"))
    result = read_json(cell_folder(Path("docs/it"), cell) / "result.json")
    assert result["command"] == "vesica run losses --out docs/it --jobs 2"
    assert result["reason"] == 'File "loss.py", line 3: 2 runs, and 1/2 of run.py'
    assert read_json(Path("docs/it/plan.json"))["command"] == "vesica run run-2 --out docs/it"
    shutil.move("run", "runs/a")
    (Path("runs/a") / "results.csv").write_text("runs/a/cells, runs/a-2, my/runs/a\n")
    publish(Path("runs/a"), Path("docs/it"))
    assert Path("docs/it/results.csv").read_text() == "docs/it/cells, runs/a-2, my/runs/a\n"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_committed_results_follow_from_their_scores(run: Path) -> None:
    allowed = {
        "plan.json",
        "results.json",
        "results.csv",
        "paper.md",
        "paper.csv",
        "paper.json",
        SUMS,
        *OF_CELL,
    }
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {path.name for path in files} <= allowed
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(^|[\"'`\s=])/\w", text), path
    judged = run / "results.csv"  # not before all cells have ended
    table = {row["key"]: row for row in read_table(judged)} if judged.exists() else {}
    found = [cell for cell in (read_cell(run, c) for c in read_plan(run).cells) if cell is not None]
    assert found
    for cell in found:
        scores = read_scores(cell)
        for name, value in (
            ("iou_per_image", metrics.iou(scores.counts).mean()),
            ("iou_pooled", metrics.iou(scores.counts.pooled())[0]),
            ("accuracy", metrics.accuracy(scores.counts).mean()),
            ("iou_soft", scores.iou_soft.mean()),
        ):
            assert cell.result[name] == pytest.approx(value, abs=1e-9)
            if table:
                assert float(table[cell.folder.name][name]) == pytest.approx(value, abs=1e-9)
        history = read_table(cell.folder / "history.csv")
        assert len(history) == cell.result.epochs
        kept = np.argmin([float(row["val_loss"]) for row in history]) + 1
        assert kept == cell.result.kept_epoch


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_copy_gives_the_committed_tables(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # without its images
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "paper.md").unlink()
    (copy / "paper.csv").unlink()
    done = CliRunner().invoke(app, ["report", "copy"])
    assert done.exit_code == 0, done.output
    assert (copy / "paper.csv").read_bytes() == (run / "paper.csv").read_bytes()
    made, expected = (
        (folder / "paper.md").read_text(encoding="utf-8").split("## Figures 1 to 6")
        for folder in (copy, run)
    )
    assert made[0] == expected[0]
    is_whole = all(read_cell(run, cell) for cell in read_plan(run).cells)
    assert len(made) == len(expected) == (2 if is_whole else 1)  # the figures need both losses
    if is_whole:
        assert re.match(r"\s+The test images cannot be shown: \w+: no such folder", made[1])


def test_the_papers_differences_have_one_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = RESULTS / "lfw" / "bfcn32s-full"
    shutil.copytree(run, "copy")
    plan = read_plan(Path("copy"))
    by_loss = tuple(sorted(plan.cells, key=lambda cell: "bce" in cell.loss))
    write_model(Path("copy", "plan.json"), plan.model_copy(update={"cells": by_loss}))
    assert CliRunner().invoke(app, ["report", "copy"]).exit_code == 0
    assert Path("copy", "paper.csv").read_bytes() == (run / "paper.csv").read_bytes()
    tables = [
        Path(folder, "paper.md").read_text().split("## As it should be")[1].split("## Figures")[0]
        for folder in (Path("copy"), run)
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_copy_gives_the_committed_page(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(page.parent, tmp_path / "copy") / page.name
    for made in (copy, copy.with_suffix(".csv")):
        made.unlink()
    done = CliRunner().invoke(app, ["report", "copy"])
    assert done.exit_code == 0, done.output
    for made, expected in ((copy, page), (copy.with_suffix(".csv"), page.with_suffix(".csv"))):
        assert made.read_text(encoding="utf-8") == expected.read_text(encoding="utf-8")


def test_no_committed_result_names_a_folder_of_its_machine() -> None:
    for path in RESULTS.rglob("*"):
        if path.suffix in (".json", ".csv", ".md"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"/(tmp|work|home|root|Users)/", text), path


def test_a_run_of_another_kind_is_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(RUNS[0], tmp_path / "copy")
    write_json(copy / "plan.json", read_json(copy / "plan.json") | {"kind": "survey"})
    done = CliRunner().invoke(app, ["report", str(copy)])
    assert isinstance(done.exception, DataError)
    assert "plan.json: a run of the kind 'survey'" in str(done.exception)
