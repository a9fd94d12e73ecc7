"""Labels to look at: what all runs contradict comes first; where they differ they say nothing."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from test_report import NewRun, Run, cache, new_run  # noqa: F401 - fixtures
from typer.testing import CliRunner

from vesica.cli import app
from vesica.data.library import Library
from vesica.errors import DataError
from vesica.judge import judge_run, read_settings
from vesica.judge.images import open_images, read_votes
from vesica.judge.labels import contradicted, doubt_of, find_doubts
from vesica.report import write_labels
from vesica.report.labels import HEADER, MISSING, ONLY
from vesica.results import RunPlan, write_model

SIZE_PX = 32
NUM, NUM_SPOILED = 200, 10

Mask = NDArray[np.bool_]


def slow_doubt(truth: Mask, every: Mask, any_: Mask) -> float:
    """Over all masks between the two, the smallest 1 - IoU with the label."""
    free = np.flatnonzero(any_ & ~every)
    ious = []
    for chosen in itertools.product((False, True), repeat=len(free)):
        mask = every.ravel().copy()
        mask[free] = chosen
        union = (mask | truth.ravel()).sum()
        ious.append((mask & truth.ravel()).sum() / union if union else 1.0)
    return 1 - max(ious)


def test_doubt_is_that_of_the_nearest_mask_that_all_runs_allow() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        runs = rng.random((3, 2, 4)) < rng.choice([0.1, 0.5, 0.9])
        truth = rng.random((2, 4)) < rng.choice([0.0, 0.5, 1.0])
        every, any_ = runs.all(axis=0), runs.any(axis=0)
        doubt = doubt_of(truth, every, any_)
        assert doubt == pytest.approx(slow_doubt(truth, every, any_))
        # A run that agrees with the label takes all doubt, and no further run adds to it.
        assert doubt_of(truth, every & truth, any_ | truth) == 0
        more = rng.random((2, 4)) < 0.5
        assert doubt_of(truth, every & more, any_ | more) <= doubt
        assert (doubt == 0) == (not contradicted(truth, every, any_).any())
        seen.add(round(doubt, 2))
    assert len(seen) > 10


def test_doubt_by_hand() -> None:
    truth = np.array([[1, 1, 0, 0]], bool)
    every = np.array([[0, 1, 1, 0]], bool)
    any_ = np.array([[0, 1, 1, 1]], bool)
    # The nearest mask allowed is the second and third pixel: 1 in common, 3 in both.
    assert doubt_of(truth, every, any_) == pytest.approx(1 - 1 / 3)
    assert contradicted(truth, every, any_).tolist() == [[True, False, True, False]]


@pytest.fixture
def spoiled(new_run: NewRun, tmp_path: Path) -> tuple[Run, dict[str, str]]:  # noqa: F811
    """Runs that draw about the true objects, of which some labels were shifted, erased, swapped."""
    rng = np.random.default_rng(3)
    data = tmp_path / "photos"
    for kind in ("images", "masks"):
        (data / kind).mkdir(parents=True)
    drawn: dict[str, Mask] = {}
    for number in range(NUM):
        picture = Image.new("L", (SIZE_PX, SIZE_PX))
        x, y, radius = map(int, (rng.integers(9, 23), rng.integers(9, 23), rng.integers(3, 8)))
        ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        drawn[f"{number:03}"] = np.asarray(picture) > 0
    names = [str(name) for name in rng.choice(list(drawn), NUM_SPOILED, replace=False)]
    kinds = dict(zip(names, itertools.cycle(["shift", "erase", "swap"]), strict=False))
    for number, (name, mask) in enumerate(drawn.items()):
        label = {
            "shift": np.roll(mask, 10, axis=1),
            "erase": np.zeros_like(mask),
            "swap": list(drawn.values())[(number + 71) % NUM],
        }.get(kinds.get(name, ""), mask)
        for kind, pixels in (("images", mask), ("masks", label)):
            Image.fromarray(255 * pixels.astype(np.uint8)).save(data / kind / f"{name}.png")
    run = new_run(path=str(data), fold=range(2), folds=[2], seed=range(2))
    write_model(run.folder / "plan.json", RunPlan(cells=tuple(run.cells)))
    for cell in run.cells:
        tested = [run.arrays.names[row] for row in run.rows_of(cell)]
        preds = np.stack([np.roll(drawn[name], rng.integers(-1, 2), axis=0) for name in tested])
        run.finish(cell, preds=preds ^ (rng.random(preds.shape) < 0.01))
    return run, kinds


def test_spoiled_masks_are_among_the_first(spoiled: tuple[Run, dict[str, str]]) -> None:
    run, kinds = spoiled
    table = run.folder.parent / "labels.csv"
    assert write_labels(judge_run(run.folder, Library(run.cache)), table) == NUM
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HEADER
    assert len({row["name"] for row in rows}) == NUM, "every image of both folds, once"
    first = {row["name"]: row for row in rows[: 2 * NUM_SPOILED]}
    assert len(first.keys() & kinds.keys()) >= 9
    for name, row in first.items():
        if kinds.get(name) == "erase":
            assert row["patch"] == MISSING
        assert 0 <= float(row["left"]) < float(row["right"]) <= 1
        assert 0 <= float(row["top"]) < float(row["bottom"]) <= 1
    assert {row["patch"] for row in first.values()} == {MISSING, ONLY}
    assert not (table.parent / "sums.json").exists(), "the folder is the user's"


def test_the_patch_is_where_all_runs_contradict(spoiled: tuple[Run, dict[str, str]]) -> None:
    run, _ = spoiled
    (setting,) = read_settings(run.folder, run.cells)
    images, votes = open_images(setting, Library(run.cache)), read_votes(setting)
    assert votes.num_runs == 4
    for doubt in find_doubts(setting, images, votes)[:20]:
        assert doubt.patch is not None
        every, any_ = votes.every[doubt.place], votes.any[doubt.place]
        against = contradicted(images.truth(doubt.place), every, any_)
        ends = (doubt.patch.top, doubt.patch.bottom, doubt.patch.left, doubt.patch.right)
        top, bottom, left, right = (round(SIZE_PX * end) for end in ends)
        inside = against[top:bottom, left:right]
        assert inside.any(axis=0).all()
        assert inside.any(axis=1).all()
        assert 0 < doubt.patch.share <= inside.mean() * inside.size / SIZE_PX**2


def test_the_page_shows_them_and_all_test_images(spoiled: tuple[Run, dict[str, str]]) -> None:
    run, kinds = spoiled
    page = run.report()
    section = page.text.partition("Labels to look at")[2].partition("Test images")[0]
    assert "all 4 runs agree" in section
    assert sum(name in section for name in kinds) >= 8
    assert len(page.find("path", "doubted")) == 12
    assert len([a for a in page.find("li") if "data-values" in a]) == NUM, "of both folds"
    assert f"{NUM} test images, each in one of 2 folds" in page.text


def test_one_run_agrees_with_nobody(new_run: NewRun, tmp_path: Path) -> None:  # noqa: F811
    run = new_run(seed=[0])
    run.finish(run.cells[0], shift=1)
    run.finish(run.cells[1], status="collapsed")
    page = run.report()
    assert "It takes 2 runs that agree; 1 run of this setting learned something." in page.text
    with pytest.raises(DataError, match="1 run learned something, and it takes 2 to agree"):
        write_labels(judge_run(run.folder, Library(run.cache)), tmp_path / "labels.csv")
    assert not (tmp_path / "labels.csv").exists()


@pytest.mark.parametrize("name", ["prec.png", "labels", "run", "labels.csv.txt"])
def test_labels_are_written_over_no_file_of_another_kind(
    name: str,
    new_run: NewRun,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = new_run(seed=[0])
    run.report()
    target = tmp_path / name
    if not target.is_dir():
        target.write_bytes(b"an image")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = CliRunner().invoke(app, ["report", str(run.folder), "--labels", str(target)])
    assert isinstance(result.exception, DataError)
    assert f"--labels {target}: " in str(result.exception)
    assert "pass a name that ends in .csv" in str(result.exception)
    with pytest.raises(DataError, match=r"pass a name that ends in \.csv"):
        write_labels(judge_run(run.folder, Library(run.cache)), target)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_no_scores_no_labels(new_run: NewRun, tmp_path: Path) -> None:  # noqa: F811
    run = new_run(seed=[0])
    run.report()
    with pytest.raises(DataError, match="no run has scores; finish some first"):
        write_labels(judge_run(run.folder, Library(run.cache)), tmp_path / "labels.csv")
