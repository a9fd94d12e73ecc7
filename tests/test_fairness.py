"""`--fairness`: every loss with the recipe that suits it, and how the difference moves."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from test_judge import fabricate, ious
from tiny import TINY, tiny_cell

from vesica.__main__ import main
from vesica.data.library import Library
from vesica.entry import check_run, enter_run
from vesica.errors import DataError
from vesica.judge import Judgement, judge_run, read_settings
from vesica.materials import spell
from vesica.plan import Cell, replace
from vesica.plans.fairness import (
    GROWS_BY,
    LEARNING_RATES,
    RULES,
    fairness,
    learning_rate,
    rule_of,
)
from vesica.report.fairness import analyse_fairness, fairness_sections, summarise_fairness
from vesica.report.sections import to_markdown
from vesica.results import RunPlan, write_model
from vesica.statistics import Comparison


def cells_of(seeds: int = 3, **options: Any) -> list[Cell]:
    base = replace(tiny_cell(), fingerprint="0" * 64, target="face", format="faces")
    return fairness(base, seeds=seeds, **options)


def judgement(run: Path) -> Judgement:
    return judge_run(run, Library(run / "cache"), 0.005)


def mean_of(found: Comparison | None) -> float:
    assert found is not None
    return found.mean


def write_plan(run: Path, cells: list[Cell]) -> None:
    write_model(run / "plan.json", RunPlan(command="vesica compare", cells=tuple(cells)))


def best_at(run: Path, cells: list[Cell], rates: dict[str, float], gain: float) -> None:
    """Each loss is best on validation at its rate; there, the difference on test is `gain`."""
    write_plan(run, cells)
    for cell in cells:
        is_own = learning_rate(cell) == rates[cell.loss]
        shift = (gain if cell.loss == "iou" else 0.0) if is_own else -0.2
        val = 0.8 if is_own else 0.7
        fabricate(run, cell, ious(cell.seed, shift), val_iou_per_image=val)


def test_every_rule_and_rate_once_per_loss_and_seed() -> None:
    cells = cells_of(2)
    assert len(cells) == len(RULES) * len(LEARNING_RATES) * 2 * 2 == 48
    assert len({(rule_of(c), learning_rate(c), c.loss, c.seed) for c in cells}) == 48
    by_rule = {rule_of(c): (c.recipe.keep, c.recipe.monitor, c.recipe.patience) for c in cells}
    assert by_rule == {
        "val_loss": ("best", "val_loss", 20),
        "val_iou": ("best", "val_iou", 20),
        "last": ("last", "val_loss", 3),
    }
    with pytest.raises(ValueError, match="no rule 'best'; there are: val_loss, val_iou, last"):
        fairness(tiny_cell(), rules=["best"])


@pytest.mark.parametrize("optimizer", ["rmsprop:lr=1e-3", "adamw", "sgd:momentum=0.9"])
def test_a_rate_that_no_spelling_names_is_the_optimizers_own(optimizer: str) -> None:
    base = replace(tiny_cell(), optimizer=optimizer)
    cells = [spell(cell) for cell in fairness(base, seeds=1)]
    rates = {learning_rate(cell) for cell in cells}
    assert rates == set(LEARNING_RATES)
    assert len({repr(cell) for cell in cells}) == len(cells) == len(RULES) * len(LEARNING_RATES) * 2


def test_folds_and_steps() -> None:
    base = replace(tiny_cell(), folds=5, steps=400, patience=0)
    cells = fairness(base, seeds=2)
    assert len(cells) == len(RULES) * len(LEARNING_RATES) * 2 * 2 * 5
    assert {cell.data.fold for cell in cells} == set(range(5))
    assert {cell.recipe.patience for cell in cells} == {0}


def test_each_loss_gets_its_own_rate_chosen_on_validation(tmp_path: Path) -> None:
    cells = cells_of()
    best_at(tmp_path, cells, {"bce": 3e-4, "iou": 1e-4}, 0.05)
    document = analyse_fairness(read_settings(tmp_path, cells), 0.005)
    assert [found.rule for found in document.rules] == list(RULES)
    for found in document.rules:
        assert [choice.lr for choice in found.choices] == [3e-4, 1e-4]
        assert not any(choice.is_at_edge for choice in found.choices)
        assert mean_of(found.own) == pytest.approx(0.05, abs=1e-3)
        assert found.own is not None
        assert found.own.verdict == "better"
        # The rate of one is bad for the other: the difference moves with the recipe.
        assert mean_of(found.same["0.0001"]) == pytest.approx(0.25, abs=2e-3)
        assert mean_of(found.same["0.0003"]) == pytest.approx(-0.2, abs=2e-3)


def test_the_edge_of_the_grid_is_flagged(tmp_path: Path) -> None:
    cells = cells_of()
    best_at(tmp_path, cells, {"bce": 1e-3, "iou": 1e-4}, 0.0)
    summary = summarise_fairness(tmp_path, cells, judgement(tmp_path))
    json.dumps(summary.document, allow_nan=False)
    page = to_markdown(summary.title, summary.sections)
    assert "**At the edge of the grid**" in page
    assert "bce, best by validation IoU: 0.001" in page
    assert "0.001 (edge)" in page
    assert "iou, best by" not in page


def test_rates_that_are_level_are_no_choice(tmp_path: Path) -> None:
    cells = cells_of()
    write_plan(tmp_path, cells)
    for cell in cells:
        fabricate(tmp_path, cell, ious(cell.seed), val_iou_per_image=0.3)
    summary = summarise_fairness(tmp_path, cells, judgement(tmp_path))
    page = to_markdown(summary.title, summary.sections)
    assert "3e-05 (all level)" in page
    assert "**All level:**" in page
    assert "edge" not in page


def test_what_has_not_ended_or_failed_is_never_chosen(tmp_path: Path) -> None:
    cells = cells_of()
    best_at(tmp_path, cells, {"bce": 3e-4, "iou": 3e-4}, 0.05)
    (failed, *_) = (c for c in cells if c.loss == "iou" and learning_rate(c) == 3e-4)
    fabricate(tmp_path, failed, ious(0), status="failed", reason="not finite")
    found = analyse_fairness(read_settings(tmp_path, cells), 0.005).rules[0]
    assert found.choices[1].tried["0.0003"] is None
    assert found.choices[1].lr != 3e-4
    assert found.same["0.0003"] is None
    empty = analyse_fairness(read_settings(tmp_path / "none", cells), 0.005)
    assert [found.own for found in empty.rules] == [None] * len(RULES)
    assert to_markdown("", fairness_sections(empty))


def test_the_run_grows_by_rates_and_nothing_else(tmp_path: Path) -> None:
    enter_run(tmp_path, cells_of(1, lrs=[1e-4]), 1, "fairness", GROWS_BY)
    assert len(enter_run(tmp_path, cells_of(1), 1, "fairness", GROWS_BY)) == 24
    with pytest.raises(DataError, match="batch was 8, now 9"):
        check_run(tmp_path, [replace(cell, batch=9) for cell in cells_of()], GROWS_BY)


@pytest.mark.parametrize(
    ("options", "num"), [(["--folds", "3"], 72), (["--folds", "0", "--recipe", "modern"], 24)]
)
def test_compare_fairness_from_images_to_tables(
    options: list[str],
    num: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    arguments = ["compare", "generated:num=40:size=48", "--fairness", "--seeds", "1"]
    arguments += ["--model", TINY, "--size", "64"]
    arguments += ["--width", "8", "--batch", "8", "--epochs", "1", "--out", "run", *options]
    monkeypatch.setattr(sys, "argv", ["vesica", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    out = capsys.readouterr().out
    assert f"{num} cells: bce, iou with 1 seed" in out
    assert f"{num} of {num} cells have a result" in out
    assert {"fairness.md", "fairness.html", "fairness.csv"} <= {
        path.name for path in Path("run").iterdir()
    }
