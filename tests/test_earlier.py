"""Runs of the version before names were spelled: they open, report and go on."""

import json
import shutil
from pathlib import Path

import pytest

from vesica.earlier import key_of_schema_1
from vesica.files import read_json
from vesica.plan import across
from vesica.recipes import cell_of
from vesica.results import read_plan
from vesica.run import Run, open_run

ROOT = Path(__file__).parents[1]
BEGUN = Path(__file__).parent / "earlier" / "run"
"""Generated faces, bfcn32s:width=4:dropout=0.25, both losses, as schema 1 wrote it."""

COMMITTED = sorted(
    path.parent
    for path in (ROOT / "docs" / "results" / "lfw").glob("*/plan.json")
    if json.loads(path.read_text())["schema"] == 1
)


@pytest.mark.parametrize("folder", [BEGUN, *COMMITTED], ids=lambda path: path.name)
def test_every_cell_keeps_its_folder(folder: Path) -> None:
    raw = json.loads((folder / "plan.json").read_text())
    assert raw["schema"] == 1
    cells = read_plan(folder).cells
    assert [cell.folder for cell in cells] == [key_of_schema_1(cell) for cell in raw["cells"]]
    assert {cell.folder for cell in cells} >= {path.name for path in (folder / "cells").iterdir()}
    assert len({cell.key for cell in cells}) == len(cells)


@pytest.mark.parametrize("folder", [BEGUN, COMMITTED[0]], ids=lambda path: path.name)
def test_they_report_what_they_reported(folder: Path, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(folder, tmp_path / "run")), tmp_path / "cache")
    before = json.loads((folder / "results.json").read_text())
    findings = run.judge(before["margin"]).findings
    for group, old in zip(findings.groups, before["groups"], strict=True):
        assert [row.iou_per_image for row in group.losses] == [
            pytest.approx(row["iou_per_image"], abs=1e-12) for row in old["losses"]
        ]
        for pair, was in zip(group.comparisons, old["comparisons"], strict=True):
            if any(f.num_failed == f.num_runs for f in pair.failures):
                assert "no seed with which both trained" in pair.reason  # a rule of today
                continue
            assert (pair.verdict, pair.reason) == (was["verdict"], was["reason"])
            found = pair.model_dump()
            for name in ("mean", "low", "high", "p_value"):
                assert found.get(name) == pytest.approx(was.get(name), abs=1e-12)
    assert run.report().is_file()


def test_one_goes_on_and_is_converted(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BEGUN, tmp_path / "run"))
    before = {path: path.read_bytes() for path in folder.glob("cells/*/*")}
    fields = {"weights": "none", "freeze": "paper", "size": 32, "width": 4, "epochs": 1}
    fields |= {"batch": 8, "lr": 3e-4, "dropout": 0.25}
    base = cell_of("generated:num=60:size=32", fields)
    cells = across(base, seed=range(2), loss=["bce", "iou"])
    run = Run(folder, tmp_path / "cache")
    run.train(run.prepare(cells, jobs=1))
    again = open_run(folder)
    assert read_json(folder / "plan.json")["schema"] == 2
    assert [bool(cell.folder) for cell in again.cells] == [True, True, False, False]
    assert [found.cell.seed for found in again.results()] == [0, 0, 1, 1]
    assert before.items() <= {path: path.read_bytes() for path in folder.glob("cells/*/*")}.items()
    assert "schema" not in again.cells[0].setting()
    assert again.cells[0].setting() == again.cells[3].setting()
