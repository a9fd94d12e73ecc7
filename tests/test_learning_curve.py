"""`--learning-curve`: IoU over the number of training images, and what more of them would bring."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from test_judge import fabricate, ious
from tiny import TINY, tiny_cell

from vesica.__main__ import main
from vesica.data.library import Library
from vesica.entry import check_run
from vesica.errors import DataError
from vesica.judge import judge_run
from vesica.plan import Cell, across, replace
from vesica.plans.learning_curve import GROWS_BY, count_train, learning_curve
from vesica.report.learning_curve import (
    LearningCurve,
    analyse_learning_curve,
    learning_curve_sections,
    say_next,
)
from vesica.report.sections import to_html, to_markdown
from vesica.results import RunPlan, read_table, write_model


def cells_of(seeds: int = 3) -> list[Cell]:
    base = replace(tiny_cell(), fingerprint="0" * 64, target="face", format="faces")
    return learning_curve(base, 80, seeds=seeds)


def analyse(run: Path, levels: dict[int, float], seeds: int = 3) -> LearningCurve:
    """Runs whose IoU is higher by so much with so many training images."""
    cells = cells_of(seeds)
    write_model(run / "plan.json", RunPlan(kind="learning-curve", cells=tuple(cells)))
    for cell in cells:
        if (size := cell.data.train or 0) in levels:
            fabricate(run, cell, ious(cell.seed, levels[size] - 0.2, noise=0.001))
    judged = judge_run(run, Library(run / "cache"), 0.005)
    return analyse_learning_curve(judged.settings, 0.005)


def test_every_share_once_per_loss_seed_and_fold() -> None:
    cells = cells_of()
    assert len(cells) == 4 * 3 * 2
    assert {cell.data.train for cell in cells} == {10, 20, 40, 80}
    folded = learning_curve(replace(tiny_cell(), folds=2), 80, seeds=1)
    assert len(folded) == 4 * 2 * 2
    assert {cell.data.train for cell in learning_curve(tiny_cell(), 9)} == {4, 9}
    with pytest.raises(DataError, match="6 training images are too few for a learning curve"):
        learning_curve(tiny_cell(), 6)


def test_the_smaller_sets_are_parts_of_the_larger_and_the_test_images_stay() -> None:
    for folds in (0, 3):
        base = replace(tiny_cell("generated:num=90:size=32"), folds=folds)
        library = Library()
        num = count_train(base, library)
        for fold in range(folds) if folds else [None]:
            cells = [c for c in learning_curve(base, num, seeds=1) if c.data.fold == fold]
            splits = [library.split(cell.data) for cell in cells if cell.loss == "iou"]
            trained = [set(split.train) for split in splits]
            assert all(a < b for a, b in itertools.pairwise(trained))
            assert len(trained[-1]) == num
            assert len({split.test for split in splits}) == 1
            assert len({split.val for split in splits}) == 1


def test_gains_are_those_of_the_next_set_and_the_outlook_shrinks_with_them(tmp_path: Path) -> None:
    found = analyse(tmp_path, {10: 0.0, 20: 0.10, 40: 0.18, 80: 0.22})
    for curve in found.curves:
        gains = [point.gain.mean for point in curve.points if point.gain]
        np.testing.assert_allclose(gains, [0.10, 0.08, 0.04], atol=2e-3)
        assert curve.points[0].gain is None
        assert curve.next_gain == pytest.approx(0.04 * 0.04 / 0.08, abs=2e-3)
        said = say_next(curve, 0.005)
        assert "more images would help" in said
        assert "probably about +2." in said
        assert all(p.iou.low is not None and p.iou.low < p.iou.mean for p in curve.points)
    page = to_markdown("", learning_curve_sections(found))
    assert "24 of 24 cells have a result" in page
    assert "+4." in page
    assert 'class="line k1"' in to_html("", learning_curve_sections(found))


def test_where_nothing_is_gained_more_would_hardly_help(tmp_path: Path) -> None:
    found = analyse(tmp_path, {10: 0.0, 20: 0.15, 40: 0.20, 80: 0.2001})
    assert all("would hardly help" in say_next(curve, 0.005) for curve in found.curves)


def test_one_seed_shows_a_curve_and_no_outlook(tmp_path: Path) -> None:
    found = analyse(tmp_path, {10: 0.0, 20: 0.1, 40: 0.15, 80: 0.2}, seeds=1)
    assert all("it takes 2 seeds or more" in say_next(curve, 0.005) for curve in found.curves)


def test_sets_without_all_their_runs_are_left_out(tmp_path: Path) -> None:
    found = analyse(tmp_path, {20: 0.1})
    assert [[p.num_train for p in curve.points] for curve in found.curves] == [[20], [20]]
    assert "one set of images has all its runs so far" in say_next(found.curves[0], 0.005)
    (tmp_path / "empty").mkdir()
    assert not analyse(tmp_path / "empty", {}).curves[0].points


def test_a_run_grows_by_sizes_and_seeds(tmp_path: Path) -> None:
    cells = cells_of(2)
    write_model(tmp_path / "plan.json", RunPlan(kind="learning-curve", cells=tuple(cells)))
    more = across(cells_of(3), train=[10, 60])
    assert len(check_run(tmp_path, more, GROWS_BY)) == len(cells)


def test_the_command_writes_its_own_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["compare", "generated:num=60:size=48", "--learning-curve", "--seeds", "2"]
    words += ["--model", TINY, "--size", "48", "--epochs", "1", "--batch", "8", "--folds", "0"]
    words += ["--out", "run", "--cache", "cache", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", ["vesica", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    out = capsys.readouterr().out
    assert stop.value.code in (0, None), out
    assert "training images" not in out or "IoU per image" in out
    rows = read_table(Path("run/learning-curve.csv"))
    assert {row["loss"] for row in rows} == {"bce", "iou"}
    assert len(rows) == 2 * 4
    assert "<svg" in Path("run/learning-curve.html").read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["vesica", "report", "run", "--cache", "cache"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert "learning-curve.html" in capsys.readouterr().out


@pytest.mark.parametrize("given", [["--train", "9"], ["--fairness"], ["--budget", "1h"]])
def test_options_without_effect_are_refused(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["vesica", "compare", "generated", "--learning-curve", *given])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "--learning-curve" in capsys.readouterr().err
