"""`vesica run losses` and `architectures`: the plans, the tables, the ranking over data sets."""

import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata
from test_judge import fabricate, ious
from tiny import TINY, tiny_cell

from vesica.__main__ import main
from vesica.data.library import Library
from vesica.errors import DataError
from vesica.files import write_json
from vesica.judge import judge_run
from vesica.losses import parse_loss
from vesica.plan import Cell, replace
from vesica.plans.architectures import COMPARED as NETWORKS
from vesica.plans.architectures import architectures, weights_of
from vesica.plans.losses import COMPARED, losses, say_seeds
from vesica.plans.over_data import cells_over_data
from vesica.recipes import RATES
from vesica.report.sections import to_html, to_markdown
from vesica.report.standings import (
    MIN_SETS,
    Standings,
    analyse_standings,
    rank_over_sets,
)
from vesica.report.standings_page import standings_sections
from vesica.results import RunPlan, cell_folder, read_plan, read_table, write_model
from vesica.statistics import compare, reach

NAMES = ["bce", "iou", "dice"]


# The plans


def test_every_loss_on_every_data_set() -> None:
    bases = [tiny_cell(f"generated:num={num}:size=32") for num in (60, 80)]
    cells = losses(bases, seeds=2)
    assert len(cells) == 2 * 2 * len(COMPARED)
    assert len({str(parse_loss(name)) for name in COMPARED}) == 11
    assert cells[0].loss == "bce"
    for base in bases:
        own = [cell for cell in cells if cell.data == base.data]
        assert {(c.loss, c.seed) for c in own} == {(n, s) for n in COMPARED for s in (0, 1)}
        assert all(replace(cell, loss="iou", seed=0) == base for cell in own)


def test_compared_losses_differ() -> None:
    """Each has a gradient of its own, but for what is known to be alike."""
    import torch

    logits = torch.randn((1, 200), generator=torch.Generator().manual_seed(0))
    target = torch.rand((1, 200), generator=torch.Generator().manual_seed(1)) < 0.3
    gradients = []
    for name in COMPARED:
        again = logits.clone().requires_grad_()
        (found,) = torch.autograd.grad(parse_loss(name)(again, target).sum(), again)
        gradients.append(found.flatten() / found.norm())
    alike = torch.stack(gradients) @ torch.stack(gradients).T
    same = {(COMPARED[i], COMPARED[j]) for i, j in torch.nonzero(alike > 1 - 1e-5) if i < j}
    # Where masks are hard, the metric loss is iou's formula in other words, and the gradient of
    # dice in one image is a multiple of iou's.
    assert same == {("iou", "jaccard_metric"), ("iou", "dice"), ("jaccard_metric", "dice")}


def test_networks_differ_in_what_is_theirs() -> None:
    base = tiny_cell(optimizer="adamw:lr=0.003", steps=7, max_epochs=1)
    cells = architectures([base], seeds=1, options={"width": 8}, weights=["hed", "lite0"])
    assert [cell.network_name for cell in cells[::2]] == list(NETWORKS)
    assert [cell.loss for cell in cells[:2]] == ["bce", "iou"]
    by_name = {cell.network_name: cell for cell in cells}
    assert by_name["bfcn8s"].model == "bfcn8s:width=8"
    assert by_name["unet"].model == "unet"  # has no width
    assert by_name["unet"].recipe.optimizer == f"adamw:lr={RATES['unet']:g}"
    assert by_name["bfcn8s"].recipe.optimizer == f"adamw:lr={RATES['bfcn8s']:g}"
    assert {n: by_name[n].weights for n in ("segnet", "fcresnet", "unet")} == {
        "segnet": "hed",
        "fcresnet": "none",
        "unet": "lite0",
    }
    for cell in cells:
        same = {"model": base.model, "weights": base.weights, "optimizer": base.recipe.optimizer}
        assert replace(cell, **same, loss="iou") == base
    kept = architectures([base], seeds=1, has_rate=True)
    assert {cell.recipe.optimizer for cell in kept} == {base.recipe.optimizer}
    assert weights_of("unet", []) == "default"


def test_weights_that_do_not_exist_are_no_wish_for_none() -> None:
    base = tiny_cell()
    with pytest.raises(DataError, match="unknown weights 'hde'; there are: none, "):
        architectures([base], weights=["hde", "lite0"])
    paths, fields = ["generated:num=600:size=48"], {"weights": "hed, lite0", "steps": 10}
    cells, said = cells_over_data("architectures", paths, fields, Library(), seeds=1)
    assert {cell.weights for cell in cells if cell.model == "unet"} == {"lite0"}
    assert {"segnet: weights hed", "fcresnet: weights none"} <= set(said)


def test_each_data_set_has_what_follows_from_its_images() -> None:
    paths = ["generated:num=600:size=48", "generated:num=60:size=128"]
    fields = {"steps": 10}
    cells, said = cells_over_data("losses", paths, fields, Library(), names=["bce", "iou"], seeds=1)
    assert [cell.size for cell in cells] == [64] * 2 + [128] * 10
    assert [cell.data.folds for cell in cells] == [0] * 2 + [5] * 10  # few are tested in folds
    assert {cell.recipe.steps for cell in cells} == {10}
    assert any("folds" in line for line in said)


def test_of_several_sets_the_wrong_one_is_named() -> None:
    paths = ["generated:num=60:size=128", "generated:num=2:size=64"]
    with pytest.raises(DataError, match=r"^generated:num=2:size=64: .*\nOptions hold for all sets"):
        cells_over_data("losses", paths, {"steps": 10}, Library(), names=["bce", "iou"], seeds=1)


# The tables


def run_of(run: Path, levels: dict[int, dict[str, float]], seeds: int = 3) -> Standings:
    """A run on several data sets, whose losses have these IoU; what is not named does not end."""
    bases = [
        replace(tiny_cell(), fingerprint=f"{number:064d}", target="face", format="faces")
        for number in levels
    ]
    cells = losses(bases, losses=NAMES, seeds=seeds)
    write_model(run / "plan.json", RunPlan(kind="losses", cells=tuple(cells)))
    for cell in cells:
        own = levels[int(cell.data.fingerprint)]
        if cell.loss in own:
            shift = own[cell.loss] - 0.6
            fabricate(run, cell, ious(cell.seed, shift, noise=0.002))
    judged = judge_run(run, Library(run / "cache"), 0.005)
    return analyse_standings(judged.settings, 0.005)


def test_each_set_has_its_differences_and_ranks(tmp_path: Path) -> None:
    found = run_of(tmp_path, {1: {"bce": 0.6, "iou": 0.65, "dice": 0.55}, 2: {"bce": 0.6}})
    first, second = found.tables
    assert [row.rank for row in first.rows] == [2, 1, 3]
    assert [row.verdict for row in first.rows] == ["", "better", "worse"]
    assert first.level == pytest.approx(1 - 0.05 / 2)
    for row, shift in zip(first.rows[1:], (0.05, -0.05), strict=True):
        assert row.difference is not None
        assert row.difference.mean == pytest.approx(shift, abs=2e-3)
        assert row.difference.low is not None
        assert row.difference.low < row.difference.mean
        assert row.p_holm is not None
        assert row.p_holm < 0.01
    assert [row.rank for row in second.rows] == [None] * 3  # not complete, and so not ranked
    assert found.num_sets == 1
    page = to_markdown("", standings_sections(found))
    assert "Too few to rank:** 1 data set" in page
    assert "undecided: 3 runs not finished" in page
    assert "12 of 18 cells have a result" in page


def lose(run: Path, loss: str, seeds: Sequence[int]) -> Standings:
    """The same run, where a loss diverged with some seeds."""
    cells = list(read_plan(run).cells)
    for cell in cells:
        if cell.loss == loss and cell.seed in seeds:
            lost = {"status": "failed", "reason": "the training loss is not finite", "epochs": 1}
            write_json(cell_folder(run, cell) / "result.json", lost)
    return analyse_standings(judge_run(run, Library(run / "cache"), 0.005).settings, 0.005)


def test_a_run_that_diverged_costs_its_loss_and_no_other(tmp_path: Path) -> None:
    whole = run_of(tmp_path, {1: {"bce": 0.6, "iou": 0.65, "dice": 0.7}}, seeds=4)
    assert [row.rank for row in whole.tables[0].rows] == [3, 2, 1]
    found = lose(tmp_path, "dice", [2])
    before, after = (each.tables[0].rows for each in (whole, found))
    assert [row.iou for row in after[:2]] == [row.iou for row in before[:2]]
    assert after[2].iou == pytest.approx(0.75 * (before[2].iou or 0), abs=2e-3)
    assert [row.rank for row in after] == [2, 1, 3]
    assert [row.num_failed for row in after] == [0, 0, 1]
    assert after[2].difference is not None  # of the other three seeds
    assert after[2].difference.mean == pytest.approx(0.1, abs=2e-3)
    page = to_markdown("", standings_sections(found))
    assert "dice: 1 run failed or learned nothing" in page


def test_a_loss_that_always_diverges_is_last(tmp_path: Path) -> None:
    run_of(tmp_path, {1: {"bce": 0.6, "iou": 0.65, "dice": 0.7}})
    found = lose(tmp_path, "dice", range(3))
    assert [(row.rank, row.iou == 0) for row in found.tables[0].rows] == [
        (2, False),
        (1, False),
        (3, True),
    ]
    assert found.num_sets == 1


def test_enough_sets_are_ranked_with_intervals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    levels = {
        number: {"bce": 0.6, "iou": 0.6 + rng.uniform(0.02, 0.05), "dice": rng.uniform(0.5, 0.7)}
        for number in range(1, MIN_SETS + 2)
    }
    found = run_of(tmp_path, levels)
    assert found.num_sets == MIN_SETS + 1
    by_loss = {ranked.loss: ranked for ranked in found.ranking}
    expected = np.mean([rankdata([-own[name] for name in NAMES]) for own in levels.values()], 0)
    assert [by_loss[name].rank.mean for name in NAMES] == pytest.approx(expected)
    assert [r.rank.mean for r in found.ranking] == sorted(r.rank.mean for r in found.ranking)
    iou = by_loss["iou"].difference
    assert iou is not None
    assert iou.low is not None
    assert 0 < iou.low < iou.mean
    assert by_loss["bce"].difference is None
    page = standings_sections(found)
    assert "over 5 data sets" in to_markdown("", page)
    assert "mean rank" in to_html("", page)


def test_settings_of_the_same_images_are_one_set(tmp_path: Path) -> None:
    base = replace(tiny_cell(), fingerprint="1" * 64, target="face", format="faces")
    cells = [
        cell
        for network in ("unet", "bfcn8s")
        for cell in losses([replace(base, model=network)], losses=NAMES, seeds=3)
    ]
    write_model(tmp_path / "plan.json", RunPlan(kind="architectures", cells=tuple(cells)))
    for cell in cells:
        best = "iou" if cell.model == "unet" else "dice"
        fabricate(tmp_path, cell, ious(cell.seed, 0.1 * (cell.loss == best), noise=0.001))
    found = analyse_standings(judge_run(tmp_path, Library(), 0.005).settings, 0.005)
    assert found.num_sets == 1
    assert {table.network for table in found.tables} == {"unet", "bfcn8s"}
    page = to_markdown("", standings_sections(found))
    assert page.count("| unet |") == page.count("| bfcn8s |") == 3


def test_ranks_without_a_difference_are_seldom_called_one() -> None:
    """Of exchangeable losses, the interval of each mean rank holds the middle rank."""
    rng = np.random.default_rng(0)
    num_held = num_found = 0
    for _ in range(60):
        scores = rng.normal(0.6, 0.1, (6, 1)) + rng.normal(0, 0.02, (6, 4))
        ranks = np.array([rankdata(-row) for row in scores])
        ranked = rank_over_sets(["a", "b", "c", "d"], ranks, scores - scores[:, :1])
        for row in ranked:
            assert row.rank.low is not None
            assert row.rank.high is not None
            num_held += row.rank.low <= 2.5 <= row.rank.high
        num_found += any(row.p_holm is not None and row.p_holm < 0.05 for row in ranked)
    assert num_held / 240 > 0.9
    assert num_found / 60 < 0.12


def test_a_data_set_without_a_difference_has_none_over_the_sets() -> None:
    ranks = np.array([[1.0, 2, 3]] * 5)
    differences = np.array([[math.nan, 0.01 * n, math.nan] for n in range(5)])
    differences[0, 1] = math.nan  # no seed with which both trained
    by_name = {row.loss: row for row in rank_over_sets(["a", "b", "c"], ranks, differences)}
    found = by_name["b"].difference
    assert found is not None
    assert found.mean == pytest.approx(0.025)
    assert (by_name["b"].num_sets, found.low is None) == (4, False)
    assert (by_name["c"].difference, by_name["c"].p_holm) == (None, None)
    assert all(row.rank.low is not None for row in by_name.values())


# The commands


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["vesica", "run", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


FAST = ["--size", "32", "--steps", "4", "--batch", "8", "--folds", "0", "--seeds", "1"]
SMALL = [*FAST, "--cache", "cache", "--jobs", "1", "--out", "run"]


def test_losses_over_data_sets_that_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--losses", "bce,iou,dice+topk", "--model", TINY, *SMALL]
    assert call(monkeypatch, "losses", "generated:num=60:size=32", *words, "--dry-run") == 0
    assert "Estimated" in capsys.readouterr().out
    assert call(monkeypatch, "losses", "generated:num=60:size=32", *words) == 0
    other = "generated:num=70:size=48:density=0.4"
    assert call(monkeypatch, "losses", other, *words) == 0
    out = capsys.readouterr().out
    assert "Too few to rank" in out
    rows = read_table(Path("run/losses.csv"))
    assert [row["loss"] for row in rows] == ["bce", "iou", "dice+topk"] * 2
    assert {row["rank"] for row in rows} <= {"1.0", "1.5", "2.0", "2.5", "3.0"}
    names = {row["data"] for row in rows}  # two generated sets, each by its own name
    assert names == {"generated:num=60:size=32, face", f"{other}, face"}
    assert read_plan(Path("run")).kind == "losses"
    assert call(monkeypatch, "run", "--cache", "cache") == 0  # goes on with the folder
    assert "losses.html" in capsys.readouterr().out


def test_architectures_on_one_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    networks = f"{TINY},{TINY}:dropout=0.5"
    words = ["--networks", networks, "--weights", "none", "--width", "4", *SMALL]
    assert call(monkeypatch, "architectures", "generated:num=60:size=32", *words) == 0
    rows = read_table(Path("run/architectures.csv"))
    assert [(row["network"].partition("@")[0], row["loss"]) for row in rows] == [
        ("tiny.py:tiny:width=4", "bce"),
        ("tiny.py:tiny:width=4", "iou"),
        ("tiny.py:tiny:dropout=0.5:width=4", "bce"),
        ("tiny.py:tiny:dropout=0.5:width=4", "iou"),
    ]
    assert "Over the data sets" not in capsys.readouterr().out  # two losses need no ranking


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["demo", "photos"], "leave out photos"),
        (["demo", "--size", "64"], "--size"),
        (["losses", "--networks", "unet"], "--networks"),
        (["architectures", "--model", "unet"], "--model"),
        (["losses", "generated", "--trust"], "--trust"),
        (["losses", "generated", "generated"], "generated: the same data set twice"),
        (["losses", "--losses", "bce,iou,bce"], "bce: the same loss twice"),
        (["losses", "--losses", "iou"], "--losses iou is one; name two"),
        (["architectures", "--networks", "unet,unet"], "unet: the same network twice"),
    ],
)
def test_options_without_effect_are_refused(
    words: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, *words, "--dry-run") == 2
    assert named in capsys.readouterr().err


def test_a_cell_of_the_plans_is_one_of_compare() -> None:
    cells, _ = cells_over_data("losses", [], {"train": 20, "val": 10}, Library(), seeds=1)
    assert all(isinstance(cell, Cell) for cell in cells)
    assert {cell.data.spelled for cell in cells} == {
        "generated:num=1000:size=48:density=0.45",
        "generated:num=1500:size=48:density=0.02",
    }


@pytest.mark.parametrize(
    ("num_losses", "seeds", "said"),
    [
        (11, 3, "10 comparisons .* with 3 seeds .* 37 standard errors .* and 10 with 6 .--seeds 6"),
        (11, 6, ""),
        (2, 3, ""),
        (3, 3, "2 comparisons .* 12 standard errors .* and 8 with 4 .--seeds 4"),
        (11, 2, ""),  # no verdict at all, which is said elsewhere
    ],
)
def test_many_losses_with_few_seeds_are_told_of_the_way_out(
    num_losses: int, seeds: int, said: str
) -> None:
    assert bool(said) == bool(found := say_seeds(num_losses, seeds))
    assert re.search(said, "".join(found))


@pytest.mark.parametrize(("num_seeds", "num_pairs"), [(3, 1), (3, 10), (5, 10)])
def test_the_reach_is_that_of_a_verdict_where_images_do_not_vary(
    num_seeds: int, num_pairs: int
) -> None:
    per_seed = np.random.default_rng(0).normal(0.1, 0.05, num_seeds)
    difference = np.repeat(per_seed[:, None], 50, axis=1)
    found = compare(difference, level=1 - 0.05 / num_pairs)
    half = reach(num_seeds, num_pairs) * per_seed.std(ddof=1) / num_seeds**0.5
    assert found.low is not None
    assert found.mean - found.low == pytest.approx(half, rel=1e-6)
