"""`vesica run sparsity`: the difference between two losses over density, and its slope."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_canvas import write_folder
from tiny import tiny_cell

from vesica import metrics
from vesica.__main__ import main
from vesica.data.library import Library
from vesica.entry import check_run
from vesica.errors import DataError
from vesica.files import write_json
from vesica.judge import judge_run
from vesica.judge.sparsity import Sparsity, analyse_sparsity
from vesica.plan import Cell, replace
from vesica.plans.sparsity import (
    CONTROLLED,
    DENSITIES,
    OBSERVED,
    controlled,
    observed,
    sparsity,
    sparsity_classes,
)
from vesica.report.sections import to_html, to_markdown
from vesica.report.sparsity import ANALYSES, say_trend, sparsity_sections
from vesica.results import (
    RunPlan,
    TestScores,
    cell_folder,
    read_table,
    write_histograms,
    write_model,
    write_scores,
)
from vesica.run import Run, run_in

NUM_IMAGES = 20


def cells_of(seeds: int = 3, densities: Sequence[float] = (0.3, 0.03, 0.003)) -> list[Cell]:
    """Resolved as if their images had been opened."""
    base = replace(tiny_cell("some"), target="face", format="canvas")
    cells = controlled(base, densities, seeds=seeds)
    return [replace(cell, fingerprint=f"{cell.size:064d}") for cell in cells]


def fabricate(
    run: Path,
    cell: Cell,
    ious: np.ndarray,
    density: float | np.ndarray,
    status: str = "finished",
    group_size: int = 1,
) -> None:
    """A cell whose test images have these IoUs and this share of foreground, and whose validation
    images show that it has trained."""
    truth = np.round(1_000_000 * density * np.ones(len(ious))).astype(np.int64)
    tp = np.round(truth * ious).astype(np.int64)
    zero = np.zeros_like(tp)
    counts = metrics.Counts(tp, zero, truth - tp, 1_000_000 - truth + zero)
    names = tuple(f"image_{index:03d}" for index in range(len(ious)))
    folder = cell_folder(run, cell)
    groups = tuple(names[index - index % group_size] for index in range(len(ious)))
    write_scores(folder / "scores.csv", TestScores(names, groups, counts, ious))
    means = {name: float(ious.mean()) for name in ("iou_per_image", "iou_pooled", "iou_soft")}
    document = {"status": status, "reason": "", "accuracy": 0.5, "epochs": 3, **means}
    document |= {"ended_by": "patience", "kept_epoch": 2, "train_time_s": 1.0}
    write_json(folder / "result.json", document | {"num_test": len(ious)})
    test, val = (np.zeros((num, 2, 256), np.int32) for num in (len(ious), 4))
    test[:, 1, 200], test[:, 1, 10], test[:, 0, 10] = counts.tp, counts.fn, counts.tn
    val[:, 1, 100], val[:, 0, 10] = 100, 900  # a threshold between them is right everywhere
    write_histograms(folder / "histograms.npz", val=val, test=test)


def analyse(run: Path, cells: list[Cell], kind: str = CONTROLLED.kind) -> Sparsity:
    write_model(run / "plan.json", RunPlan(kind=kind, cells=tuple(cells)))
    return analyse_sparsity(judge_run(run, Library(run / "cache"), 0.005), kind)


def ious_at(cell: Cell, density: float, slope: float, num: int = NUM_IMAGES) -> np.ndarray:
    """IoUs that fall with sparsity, and IoU loss's less so by a slope for each decade."""
    own = np.random.default_rng([cell.seed, cell.size, cell.loss == "iou"])
    level = np.random.default_rng(1).uniform(0.6, 0.7, num)
    decades = -np.log10(density)
    gain = slope * decades if cell.loss == "iou" else 0.0
    ious: np.ndarray = level - 0.1 * decades + gain + own.normal(0, 0.004, num)
    return ious


def density_of(cell: Cell) -> float:
    return 200 / cell.size**2


@pytest.mark.parametrize(
    ("slope", "verdict", "words"),
    [
        (0.05, "better", "**As objects become sparser, iou gains on bce**: iou minus bce"),
        (-0.05, "worse", "**As objects become sparser, bce gains on iou**"),
        (0.0, "equivalent", "**The difference hardly moves as objects become sparser**"),
    ],
)
def test_the_slope_that_was_planted_is_judged(
    tmp_path: Path, slope: float, verdict: str, words: str
) -> None:
    cells = cells_of(3, DENSITIES)
    for cell in cells:
        fabricate(tmp_path, cell, ious_at(cell, density_of(cell), slope), density_of(cell))
    found = analyse(tmp_path, cells)
    (trend,) = found.trends
    assert trend.slope == pytest.approx(slope, abs=2e-3)
    assert (trend.low or -1) < slope < (trend.high or 1)
    assert (trend.verdict, trend.num_seeds, trend.num_units) == (verdict, 3, NUM_IMAGES)
    assert [point.where for point in trend.points] == [f"{s} px" for s in (26, 45, 82, 141, 258)]
    np.testing.assert_allclose([p.density for p in trend.points], DENSITIES, rtol=0.03)
    page = to_markdown("", sparsity_sections(found))
    assert words in page
    assert "Only this arm supports a sentence about sparsity" in page
    html = to_html("", sparsity_sections(found))
    assert html.count('class="interval') == len(DENSITIES)
    assert 'class="line train"' in html


@pytest.mark.parametrize(
    ("size", "words"), [(1, f"3 seeds, {NUM_IMAGES} test images"), (4, "groups of test images")]
)
def test_what_counts_as_one_is_named(tmp_path: Path, size: int, words: str) -> None:
    cells = cells_of(3, DENSITIES)
    for cell in cells:
        density = density_of(cell)
        fabricate(tmp_path, cell, ious_at(cell, density, 0.05), density, group_size=size)
    found = analyse(tmp_path, cells)
    (trend,) = found.trends
    assert trend.is_grouped == (size > 1)
    assert trend.num_units == -(-NUM_IMAGES // size)
    assert words in say_trend(trend, found)


def test_a_seed_that_did_not_train_somewhere_is_left_out_everywhere(tmp_path: Path) -> None:
    cells = cells_of(4)
    for cell in cells:
        fabricate(tmp_path, cell, ious_at(cell, density_of(cell), 0.05), density_of(cell))
        if (cell.size, cell.loss, cell.seed) == (258, "bce", 1):
            lost = {"status": "failed", "reason": "the training loss is not finite"}
            write_json(cell_folder(tmp_path, cell) / "result.json", lost | {"epochs": 1})
    found = analyse(tmp_path, cells)
    (trend,) = found.trends
    assert (trend.num_seeds, trend.dropped_seeds) == (3, (1,))
    assert trend.slope == pytest.approx(0.05, abs=2e-3)
    page = to_markdown("", sparsity_sections(found))
    assert "Left out, as a loss did not train at some density: seed 1." in page
    assert "Failed, or learned nothing by validation: bce in 1 of 4 runs at 258 px." in page


def test_a_slope_waits_for_its_own_two_losses_alone(tmp_path: Path) -> None:
    base = replace(tiny_cell("some"), target="face", format="canvas")
    cells = [
        replace(cell, fingerprint=f"{cell.size:064d}")
        for cell in controlled(base, (0.3, 0.03, 0.003), losses=["bce", "iou", "dice"])
    ]
    for cell in cells[:-1]:
        fabricate(tmp_path, cell, ious_at(cell, density_of(cell), 0.05), density_of(cell))
    of_iou, of_dice = analyse(tmp_path, cells).trends
    assert (of_iou.verdict, of_iou.reason) == ("better", "")
    assert (of_dice.slope, of_dice.reason) == (None, "1 run not finished")


def test_groups_without_the_class_at_the_networks_size_are_left_out(tmp_path: Path) -> None:
    """Shrunk, the smallest objects are gone from the masks, and `skip` leaves their images out."""
    densities = {"skin=1": 0.25, "earring=15": 0.002}
    base = replace(tiny_cell("some"), format="present", absent="skip")
    cells = [
        replace(cell, fingerprint=f"{len(cell.data.foreground or ''):064d}")
        for cell in observed(base, list(densities))
    ]
    for cell in cells:
        density = densities[cell.data.foreground or ""]
        is_lost = np.arange(NUM_IMAGES) % 10 == 3 if density < 0.1 else np.zeros(NUM_IMAGES, bool)
        fabricate(tmp_path, cell, ious_at(cell, density, 0.05), np.where(is_lost, 0.0, density))
    (trend,) = analyse(tmp_path, cells, OBSERVED.kind).trends
    assert trend.slope == pytest.approx(0.05, abs=3e-3)
    assert trend.num_units == NUM_IMAGES - 2


def test_one_class_at_one_half_forbids_the_verdict(tmp_path: Path) -> None:
    cells = cells_of()
    for cell in cells:
        status = "collapsed" if (cell.loss, cell.size) == ("bce", 258) else "finished"
        ious = ious_at(cell, density_of(cell), 0.05)
        fabricate(tmp_path, cell, ious, density_of(cell), status)
    (trend,) = analyse(tmp_path, cells).trends
    assert trend.slope == pytest.approx(0.05, abs=2e-3)
    assert (trend.verdict, trend.num_seeds) == ("undecided", 3)
    assert "by the threshold: at 1/2 bce predicts one class in 3 of 3 runs" in trend.reason


def test_runs_to_come_and_one_density_give_no_slope(tmp_path: Path) -> None:
    cells = cells_of()
    for cell in cells[:-1]:
        fabricate(tmp_path, cell, ious_at(cell, density_of(cell), 0.05), density_of(cell))
    (trend,) = analyse(tmp_path, cells).trends
    assert (trend.slope, trend.reason) == (None, "1 run not finished")
    (trend,) = analyse(tmp_path, [cell for cell in cells if cell.size == 26]).trends
    assert (trend.slope, trend.reason) == (None, "one density has no slope")
    (trend,) = analyse(tmp_path / "none", cells).trends
    assert not trend.points


def test_classes_of_different_images_are_confounded(tmp_path: Path) -> None:
    """Each class is tested on its own images, of which some have one class alone."""
    densities = {"skin=1": 0.25, "nose=2": 0.02, "earring=15": 0.002}
    base = replace(tiny_cell("some"), format="present")
    cells = [
        replace(cell, fingerprint=f"{len(cell.data.foreground or ''):064d}")
        for cell in observed(base, list(densities))
    ]
    for cell in cells:
        density = densities[cell.data.foreground or ""]
        ious = ious_at(cell, density, 0.05)
        last = 20 if density > 0.1 else 16
        fabricate(tmp_path, cell, ious[:last], density)
    found = analyse(tmp_path, cells, OBSERVED.kind)
    (trend,) = found.trends
    assert trend.slope == pytest.approx(0.05, abs=3e-3)
    assert (trend.num_units, trend.verdict) == (16, "better")
    assert [point.where for point in trend.points] == list(densities)
    page = to_markdown("", sparsity_sections(found))
    assert page.count("onfounded") >= 2
    assert "supports no sentence about sparsity" in page
    assert "as objects become sparser" not in page.lower()


def test_a_plan_has_the_sides_of_its_densities_and_no_other_difference() -> None:
    cells = controlled(tiny_cell(""), seeds=2)
    assert len(cells) == 5 * 2 * 2
    assert [cell.size for cell in cells[:10:2]] == [26, 45, 82, 141, 258]
    assert {cell.data.path for cell in cells if cell.size == 26} == {
        "canvas:side=26:area=200:num=1000"
    }
    same = {replace(cell, size=64, path="", loss="bce", seed=0).model_dump_json() for cell in cells}
    assert len(same) == 1
    folded = controlled(replace(tiny_cell(""), folds=3), seeds=1)
    assert {cell.data.fold for cell in folded} == {0, 1, 2}


def test_the_example_of_the_page_is_a_plan() -> None:
    page = (Path(__file__).parents[1] / "docs" / "sparsity.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, Callable[[], list[Cell]]] = {}
    exec(block, names)  # our own page
    assert len(names["plan"]()) == 2 * 3 * 3


def test_what_is_cut_out_may_be_a_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    cells = controlled(replace(tiny_cell(folder), foreground="3"), (0.3, 0.1), seeds=1)
    assert cells[0].data.path == f"canvas:side=26:area=200:num=1000:of={folder}"
    assert Library().dataset(cells[-1].data).notes
    with pytest.raises(DataError, match="pass a folder"):
        controlled(tiny_cell("generated:num=3"))


def test_a_small_plan_runs_from_images_to_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = replace(tiny_cell(""), max_epochs=1, train=20, val=4)
    cells = controlled(base, (0.3, 0.1), area=80, num=50, seeds=1)
    assert [cell.size for cell in cells] == [16, 16, 28, 28]
    run = Run(tmp_path / "run", tmp_path / "cache", ANALYSES[CONTROLLED.kind])
    run.train(run.prepare(cells, jobs=1))
    run.judge(0.005)
    summary = run.summarise()
    assert summary is not None
    rows = read_table(tmp_path / "run" / "sparsity.csv")
    assert [row["where"] for row in rows] == ["16 px", "28 px"]
    assert [float(row["density"]) for row in rows] == pytest.approx(
        [80 / 16**2, 80 / 28**2], rel=0.1
    )
    assert json.loads((tmp_path / "run" / "sparsity.json").read_text()) == summary.document
    again = run_in(tmp_path / "run", tmp_path / "cache", analysis=run.analysis)
    assert again.plan.kind == "sparsity"
    (tmp_path / "run" / "sparsity.html").unlink()
    words = ["report", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    monkeypatch.setattr(sys, "argv", ["vesica", *words])
    with pytest.raises(SystemExit):
        main()
    assert "supports a sentence about sparsity" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "run" / "sparsity.html").is_file()


def test_a_run_grows_by_densities_and_seeds(tmp_path: Path) -> None:
    cells = cells_of(2, (0.3, 0.1))
    write_model(tmp_path / "plan.json", RunPlan(kind="sparsity", cells=tuple(cells)))
    assert len(check_run(tmp_path, cells_of(3, DENSITIES), CONTROLLED.grows_by)) == len(cells)
    other = [replace(cell, fingerprint="1" * 64) for cell in cells]
    with pytest.raises(DataError, match="other settings"):
        check_run(tmp_path, other, CONTROLLED.grows_by)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "photos"], "demo has its own data"),
        (["sparsity", "a", "b"], "sparsity takes one set"),
        (["sparsity-classes", "a"], "a rule for each class"),
        (["sparsity-classes", "a", "--foreground", "1;2", "--folds", "3"], "leave it out"),
        (["sparsity-classes", "a", "--foreground", "sky=0;sky=3"], "the same name, sky"),
        (["sparsity-classes", "a", "--foreground", "sky=0;heaven=0"], "the same rule, 0"),
        (["sparsity-classes", "a", "--foreground", "sky=>5;road=<5"], "a: no such folder"),
        (["sparsity-classes", "--foreground", "1;2"], "takes one set"),
        (["sparsity", "--size", "64"], "takes no such option: leave out --size"),
        (["sparsely"], "(is sparsity meant?); built in: demo, losses, architectures, sparsity, "),
    ],
)
def test_mistakes_are_named(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["vesica", "run", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code not in (0, None)
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_plans_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "set")
    cells = sparsity_classes(
        [str(folder)], {"foreground": "disc=3;corner=7"}, Library(tmp_path / "cache"), seeds=1
    )
    assert [cell.data.foreground for cell in cells] == ["disc=3"] * 2 + ["corner=7"] * 2
    assert {cell.size for cell in cells} == {256}
    assert {(cell.data.train, cell.data.val) for cell in cells} == {(1, 1)}  # corners are in three
    library = Library(tmp_path / "cache")
    asked = {"foreground": "3", "batch": 4}
    found = sparsity([str(discs(tmp_path / "d"))], asked, library, seeds=1)
    assert {c.recipe.batch for c in found} == {4}
    (few,) = {c.data.folds for c in found}
    assert few == 5
    monkeypatch.setattr("vesica.data.derived.FACES", "generated:num=200:size=64")
    monkeypatch.setattr("vesica.data.library.MIN_TEST", 15)
    cells = sparsity([], {}, library, seeds=2)
    assert len(cells) == 5 * 2 * 2
    assert {(c.data.train, c.data.val, c.data.folds) for c in cells} == {(160, 20, 0)}


def discs(folder: Path) -> Path:
    """Twenty images of a disc each."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rows, cols = np.mgrid[:60, :60]
    for number in range(20):
        disc = (rows - 30) ** 2 + (cols - 30) ** 2 <= (9 + number) ** 2
        image = np.where(disc[..., None], number, 255 - number).astype(np.uint8).repeat(3, 2)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(np.where(disc, 3, 0).astype(np.uint8)).save(
            folder / "masks" / f"{number}.png"
        )
    return folder
