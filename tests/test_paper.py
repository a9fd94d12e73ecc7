"""`vesica paper`: the grid, ours beside the published tables, and what is never hidden."""

import base64
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tiny
from PIL import Image
from test_judge import fabricate, ious

from vesica.__main__ import main
from vesica.data import helen, lfw, sample
from vesica.data import library as data_library
from vesica.data.library import Library
from vesica.data.sample import Dataset, Sample
from vesica.data.split import make_split
from vesica.data.synthetic import open_faces
from vesica.entry import check_run, enter_run
from vesica.errors import DataError
from vesica.estimate import TYPICAL_EPOCHS
from vesica.files import read_json
from vesica.judge import judge_run
from vesica.losses import parse_loss
from vesica.networks import NETWORKS
from vesica.networks.weights import WEIGHTS
from vesica.paper.grid import GROWS_BY, SCALES, VGG_ONLY, Scale, grid, named, weights_of
from vesica.paper.published import LOSSES, ROWS, Row, values
from vesica.paper.replication import NUM_IMAGES, NUM_TEST, NUM_TRAIN, our_rows, replicate
from vesica.paper.replication_page import say_ahead, summarise_grid
from vesica.plan import Cell, Recipe, replace
from vesica.report import write_report
from vesica.report.sections import to_markdown
from vesica.results import (
    RunPlan,
    cell_folder,
    read_cell,
    read_masks,
    read_plan,
    read_table,
    write_model,
)
from vesica.spelling import get_option

PLACES: dict[str, Any] = {"lfw": "faces/lfw", "helen": "faces/celebamask_as_helen"}


def resolved(**options: Any) -> list[Cell]:
    """The grid as `resolve` would leave it, without data."""
    return [
        replace(
            cell,
            fingerprint=cell.data.format,
            weights_digest="" if cell.weights == "none" else "d" * 64,
        )
        for cell in grid(**PLACES, **options)
    ]


# The plan


def test_grid_is_the_32_setups_of_tables_1_and_2() -> None:
    cells = grid(**PLACES)
    found = [
        (cell.network_name, cell.data.format, cell.data.target, cell.data.split, cell.loss)
        for cell in cells
    ]
    expected = product(
        ("bfcn32s", "fcresnet"),
        ("lfw", "helen"),
        ("face+hair", "face"),
        ("big", "small"),
        ("bce", "iou"),
    )
    assert found == list(expected)
    assert {(c.size, get_option(c.model, "width"), c.weights) for c in cells} == {
        (224, "4096", "torchvision")
    }
    assert cells[0].recipe == Recipe()
    assert len(grid(**PLACES, seeds=3)) == 96


def test_order_is_that_of_the_tables() -> None:
    targets = {"face+hair": True, "face": False}
    found = [
        (cell.network_name, cell.data.format, cell.data.split, targets[cell.data.target or ""])
        for cell in grid(**PLACES, only=["iou"])
    ]
    names = {"BFCN-32s": "bfcn32s", "FCResNet": "fcresnet"}
    assert found == [(names[r.network], r.data.lower(), r.size, r.hair) for r in ROWS]


def test_costs_are_estimated_for_as_many_epochs_as_the_paper_trained() -> None:
    epochs = [values("epochs", loss) for loss in LOSSES]
    assert np.mean(epochs) == pytest.approx(TYPICAL_EPOCHS, abs=0.5)


def no_pixels(sample: Sample) -> Any:
    raise AssertionError(sample)


def test_splits_are_those_of_table_1() -> None:
    assert {"lfw": lfw.FULL_SIZE, "helen": helen.FULL_SIZE} == NUM_IMAGES
    sizes: tuple[Literal["big", "small"], ...] = ("big", "small")
    for (form, num), size in product(NUM_IMAGES.items(), sizes):
        samples = tuple(Sample(f"{index:05}", str(index)) for index in range(num))
        split = make_split(Dataset(form, "face", samples, no_pixels, "", num), size=size)
        assert (len(split.train), len(split.val)) == NUM_TRAIN[form, size]
        assert len(split.test) == NUM_TEST[form]


def test_lite_is_smaller_and_capped() -> None:
    cells = grid(**PLACES, scale="lite")
    (scale,) = {(c.size, get_option(c.model, "width"), c.recipe.max_epochs) for c in cells}
    assert scale == (128, "512", 15)
    assert {c.recipe.max_epochs for c in grid(**PLACES, scale="lite", max_epochs=3)} == {3}


@pytest.mark.parametrize(
    ("only", "num"),
    [
        ([], 32),
        (["lfw"], 16),
        (["lfw", "bfcn32s"], 8),
        (["lfw", "helen"], 32),
        (["bfcn32s", "lfw", "small", "no hair"], 2),
        (["lfw", "bfcn32s", "big", "hair", "iou"], 1),
    ],
)
def test_only_chooses_a_part(only: list[str], num: int) -> None:
    assert len(grid(**PLACES, only=only)) == num


def test_either_set_may_be_missing_but_not_asked_for() -> None:
    assert {cell.data.format for cell in grid(lfw="lfw")} == {"lfw"}
    assert {cell.data.path for cell in grid(helen="there")} == {"there"}
    with pytest.raises(ValueError, match=r"--only helen: where is it\? Pass --helen DIR"):
        grid(lfw="lfw", only=["helen"])
    with pytest.raises(ValueError, match="no part of the paper; there are: bfcn32s"):
        grid(lfw="lfw", only=["vgg"])
    with pytest.raises(ValueError, match="no data set"):
        grid()


def test_weights_that_fcresnet_cannot_have() -> None:
    assert tuple(n for n in WEIGHTS["vgg16"] if n not in WEIGHTS["resnet50"]) == VGG_ONLY
    assert weights_of("fcresnet", "hed") == weights_of("fcresnet", "hed:file.h5") == "none"
    assert weights_of("bfcn32s", "hed") == "hed"
    assert weights_of("fcresnet", "torchvision") == "torchvision"


def test_the_papers_recipe_sums() -> None:
    for cell in grid(**PLACES, recipe="paper"):
        assert (cell.recipe.reduction, get_option(cell.model, "init")) == ("sum", "keras")
        loss = parse_loss(cell.loss)
        assert str(loss) == cell.loss
        assert [(str(term.spelled), term.weight) for term in loss.terms] in (
            [("bce", 224**2)],
            [("iou", 1)],
        )
    assert {named(cell.loss) for cell in grid(**PLACES, recipe="paper")} == {"bce", "iou"}


# The folder


def test_a_run_grows_by_parts_of_the_grid(tmp_path: Path) -> None:
    options: dict[str, Any] = {"scale": "lite", "weights": "hed"}
    enter_run(tmp_path, resolved(only=["lfw", "bfcn32s"], **options), 1, "paper", GROWS_BY)
    everything = enter_run(tmp_path, resolved(seeds=2, **options), 1, "paper", GROWS_BY)
    assert len(everything) == 64
    assert read_json(tmp_path / "plan.json")["kind"] == "paper"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": "full"}, "size was 128, now 224"),
        ({"max_epochs": 2}, "epochs was 15, now 2"),
        ({"weights": "none"}, "weights was hed, now none"),
        ({"recipe": "paper"}, "reduction was mean, now sum"),
    ],
)
def test_a_run_never_mixes_recipes(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    first: dict[str, Any] = {"scale": "lite", "weights": "hed"}
    cells = resolved(only=["lfw", "bfcn32s", "small"], **first)
    enter_run(tmp_path, cells, 1, "paper", GROWS_BY)
    with pytest.raises(DataError, match=words):
        check_run(tmp_path, resolved(only=["bfcn32s"], **first | options), GROWS_BY)


def test_a_run_never_mixes_two_folders_of_one_set(tmp_path: Path) -> None:
    cells = resolved(only=["lfw", "bfcn32s", "small"])
    enter_run(tmp_path, cells, 1, "paper", GROWS_BY)
    other = [replace(cell, fingerprint="other", split="big") for cell in cells]
    with pytest.raises(DataError, match="images or labels have changed"):
        check_run(tmp_path, other, GROWS_BY)


# The tables


def fill(run: Path, cells: list[Cell], **result: Any) -> None:
    """Results that are the published ones, with every seed a little higher."""
    write_model(run / "plan.json", RunPlan(command="vesica paper", cells=tuple(cells)))
    by_slot: dict[tuple[str, ...], Row] = {(r.network, r.data, r.name): r for r in ROWS}
    names = {"bfcn32s": "BFCN-32s", "fcresnet": "FCResNet"}
    for cell in cells:
        row = by_slot[
            names[cell.network_name],
            {"lfw": "LFW", "helen": "HELEN"}[cell.data.format],
            f"{cell.data.split}, {'hair' if cell.data.target == 'face+hair' else 'no hair'}",
        ]
        iou, accuracy, epochs = (
            getattr(row.of(metric), named(cell.loss)) for metric in ("iou", "accuracy", "epochs")
        )
        shown = {"iou_per_image": iou / 1000, "iou_soft": iou / 1000 - 0.1, "epochs": epochs}
        shown |= {"accuracy": accuracy / 1000}
        images = np.resize(ious(0), result.get("num_test", 40))
        fabricate(run, cell, images, **shown | result)


def page_of(run: Path, cells: list[Cell]) -> str:
    summary = summarise_grid(run, cells, None)
    json.dumps(summary.document, allow_nan=False)
    summary.write(run)
    page = (run / "paper.md").read_text(encoding="utf-8")
    assert page == to_markdown(summary.title, summary.sections)
    return page


def test_the_papers_own_values_give_the_papers_own_statistics(tmp_path: Path) -> None:
    cells = resolved(weights="hed")
    fill(tmp_path, cells)
    document = replicate(tmp_path, cells, None)
    chosen = our_rows(document["setups"], "iou_per_image")
    assert [(r.iou, r.accuracy, r.epochs) for r in chosen] == [
        (r.iou, r.accuracy, r.epochs) for r in ROWS
    ]
    page = page_of(tmp_path, cells)
    for line in (
        "| p-value, IoU | 4.7e-04 | 4.7e-04 | 4.7e-04 |",
        "| set-ups with a higher IoU | 15 of 16 | 15 of 16 | 15 of 16 |",
        "| p-value, epochs | 0.256 | 0.256 | 0.256 |",
    ):
        assert line in page, line
    assert "| error margin reduced by | 17.5 % | 17.5 % |" in page
    assert "| data set x hair | 4 |" in page


def test_what_stands_in_for_helen_is_never_called_so(tmp_path: Path) -> None:
    cells = resolved(only=["helen"], weights="hed", scale="lite")
    fill(tmp_path, cells, num_test=100, ended_by="epochs", epochs=15)
    page = page_of(tmp_path, cells)
    assert "Table 4: BFCN-32s on HELEN; ours on celebamask_as_helen" in page
    assert "the images are celebamask_as_helen, not HELEN" in page
    assert "100 test images, not 233" in page
    document = replicate(tmp_path, cells, None)
    assert {row.data for row in our_rows(document["setups"], "iou_soft")} == {"celebamask_as_helen"}


def test_a_note_stands_above_the_tables_and_stays(tmp_path: Path) -> None:
    cells = resolved(only=["helen", "bfcn32s", "nohair"], weights="hed")
    enter_run(
        tmp_path, cells[:2], kind="paper", grows_by=GROWS_BY, note="The face has no forehead."
    )
    enter_run(tmp_path, cells, kind="paper", grows_by=GROWS_BY)
    page = to_markdown("", summarise_grid(tmp_path, cells, None).sections)
    assert page.index("**The images:** The face has no forehead.") < page.index("Table 4")
    enter_run(tmp_path, cells, kind="paper", grows_by=GROWS_BY, note="It has one.")
    assert read_plan(tmp_path).note == "It has one."


def test_what_differs_is_said_above_each_table(tmp_path: Path) -> None:
    cells = resolved(only=["lfw"], weights="hed", scale="lite", seeds=3, precision="bf16")
    fill(tmp_path, cells, num_test=292)
    differs = replicate(tmp_path, cells, None)["differs"]
    assert any("no pretrained weights, all layers train" in told for told in differs["5"])
    for words in (
        "weights hed (VGG-16 fine-tuned on edges), not ImageNet's",
        "128x128 pixels, not 224x224",
        "wide layers of 512 channels, not 4096",
        "at most 15 epochs, not 1000",
        "arithmetic in bf16",
        "means of 3 seeds; the paper has one run of each",
    ):
        assert words in differs["3"]
    faithful = resolved(only=["lfw"], recipe="paper")
    fill(tmp_path, faithful, num_test=292)
    *others, hair, face = replicate(tmp_path, faithful, None)["differs"]["3"]
    assert not others  # these images are made up: all of their pixels are foreground
    assert hair.startswith("face+hair is 100.0 % of the test pixels, and 29.5 to 33.8 % where")
    assert face.startswith("face is 100.0 % of the test pixels, and 20.0 to 22.7 % where")


def test_tables_fill_as_cells_finish(tmp_path: Path) -> None:
    cells = resolved(only=["lfw", "bfcn32s"])
    write_model(tmp_path / "plan.json", RunPlan(command="vesica paper", cells=tuple(cells)))
    page = page_of(tmp_path, cells)
    assert "0 of 8 cells have a result. 8 are still to do." in page
    fill(tmp_path, cells[:3])
    page = page_of(tmp_path, cells)
    assert "|  | ours, masks | 0.974 | **0.978** | **0.921** | 0.906 | **91** | 146 |" in page
    assert "small, hair, iou: 1 to do of 1" in page
    assert "it takes 3" in page
    table = read_table(tmp_path / "paper.csv")
    assert len(table) == 4 * 5 * 2
    assert {row["ours"] for row in table if row["num_scored"] == "0"} == {""}


def test_a_capped_run_is_shown_so(tmp_path: Path) -> None:
    cells = resolved(only=["lfw", "bfcn32s"], scale="lite")
    fill(tmp_path, cells, ended_by="epochs", epochs=15)
    page = page_of(tmp_path, cells)
    assert page.count("| capped | capped |") == 4 + 1
    assert "p-value, epochs | 0.256 | capped | capped" in page
    assert page.count("capped | capped") == 4 + 1, "of epochs alone"
    one = [cell for cell in cells if cell.loss == "iou" and cell.data.split == "big"]
    fill(tmp_path, one)
    more = page_of(tmp_path, [*cells, *resolved(only=["helen"], scale="lite")])
    assert "p-value, accuracy | 0.52 | capped" not in more
    assert "| 91 | capped |" in page_of(tmp_path, cells), "no winner where one is not known"


def test_failed_and_collapsed_runs_are_named(tmp_path: Path) -> None:
    cells = resolved(only=["lfw", "bfcn32s", "small"])
    fill(tmp_path, cells[:1], status="collapsed")
    fill(tmp_path, cells[1:2], status="failed")
    page = page_of(tmp_path, cells)
    assert "small, hair, bce: 1 collapsed to one class (counted in) of 1" in page
    assert "small, hair, iou: 1 failed of 1" in page


# The command


def write_faces(root: Path, num: int, form: str) -> Path:
    """Generated faces in the layout of a face set."""
    face, hair = (open_faces(num, size_px=48, target=t) for t in ("face", "face+hair"))
    for index, (of_face, of_both) in enumerate(zip(face.samples, hair.samples, strict=True)):
        image, mask = face.read(of_face)
        both = hair.read(of_both)[1]
        if form == "lfw":
            name, person = f"P{index:03}_0001", f"P{index:03}"
            colours = np.zeros((*mask.shape, 3), np.uint8)
            colours[~both, 2] = colours[mask, 1] = colours[both & ~mask, 0] = 255
            files = {
                root / "lfw_funneled" / person / f"{name}.jpg": image,
                root / "parts_lfw_funneled_gt_images" / f"{name}.png": colours,
            }
        else:
            name = f"{index}_1"
            parts = {1: mask, 10: both & ~mask}
            files = {root / "images" / f"{name}.jpg": image}
            for part in range(11):
                values = 255 * parts.get(part, np.zeros_like(mask)).astype(np.uint8)
                files[root / "labels" / name / f"{name}_lbl{part:02}.png"] = values
        for path, pixels in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return root


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Networks and a scale that train in a second."""
    for name in ("bfcn32s", "fcresnet"):
        monkeypatch.setitem(NETWORKS, name, tiny.tiny)
    monkeypatch.setitem(SCALES, "lite", Scale(64, 8, 2))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["vesica", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_paper_from_folders_to_tables(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_faces(small / "lfw", 30, "lfw")
    write_faces(small / "made_as_helen", 30, "helen")
    base = ["paper", "--scale", "lite", "--weights", "none", "--out", "run", "--lfw", "lfw"]
    base += ["--beside", "ema:decay=0.5"]
    assert run(monkeypatch, *base, "--only", "lfw,bfcn32s", "--dry-run") == 0
    assert "Estimated: " in capsys.readouterr().out
    assert not Path("run").exists()

    assert run(monkeypatch, *base, "--only", "lfw,bfcn32s") == 0
    out = capsys.readouterr().out
    assert "at most 2 epochs" in out
    assert "Table 3: BFCN-32s on LFW; ours on lfw" in out
    assert "Table 4" not in out
    assert out.count("capped") >= 8

    assert run(monkeypatch, *base, "--helen", "made_as_helen", "--only", "bfcn32s", "--json") == 0
    out = capsys.readouterr().out
    document = json.loads(out)["paper"]
    assert (document["num_cells"], document["num_results"]) == (16, 16)
    assert {setup["data"] for setup in document["setups"]} == {"lfw", "made_as_helen"}
    assert document["analysis"]["iou_soft"]["num"] == 8
    names = {path.name for path in Path("run").iterdir()}
    assert {"paper.md", "paper.html", "paper.csv", "report.html", "results.json"} <= names

    check_examples(small / "run", small / "lfw")
    check_averaged(small / "run", document["setups"])

    (small / "run" / "paper.md").unlink()
    assert run(monkeypatch, "report", "run") == 0
    page = (small / "run" / "paper.md").read_text(encoding="utf-8")
    assert "ours on made_as_helen" in page
    assert "6 pictures, in the HTML page only." in page
    assert "base64" not in page


def check_averaged(run: Path, setups: Sequence[dict[str, Any]]) -> None:
    """What is said of the averages beside the weights follows from their own results."""
    scores: dict[tuple[Any, ...], dict[str, float]] = {}
    for cell in read_plan(run).cells:
        averaged = read_cell(run, cell, is_beside=True)
        assert averaged is not None
        setup = (cell.data.name, cell.data.split, cell.data.target)
        scores.setdefault(setup, {})[named(cell.loss)] = averaged.result.iou_per_image or 0.0
    ours = [{k: v["iou_per_image"] for k, v in s["averaged"]["ours"].items()} for s in setups]
    assert sorted(map(str, ours)) == sorted(map(str, scores.values()))
    page = (run / "paper.md").read_text(encoding="utf-8")
    assert all(text in page for text in ("With the noise averaged away", "(ema:decay=0.5)"))
    trained = [
        s for s in setups if "mean" in s["comparison"] and "mean" in s["averaged"]["comparison"]
    ]
    assert ("IoU loss is ahead in" in page) == bool(trained)


def test_who_is_ahead_is_said_of_what_trained() -> None:
    def setup(mean: float, averaged: float, trained: bool = True) -> dict[str, Any]:
        told = [
            {"mean": value} if trained else {"reason": "nothing learned"}
            for value in (mean, averaged)
        ]
        return {"comparison": told[0], "averaged": {"comparison": told[1]}}

    (said,) = say_ahead([setup(0.1, -0.05), setup(0.02, 0.05), setup(0.4, 0.4, trained=False)])
    assert said == (
        "IoU loss is ahead in 2 of 2 set-ups by the weights, by +6.0 points on average, and in 1 "
        "by their average, by +0.0; in 1 the two do not agree on which loss is ahead."
    )
    assert not say_ahead([setup(0.4, 0.4, trained=False)])


def test_a_report_of_16_settings_opens_each_target_of_a_data_set_once(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_faces(small / "lfw", 30, "lfw")
    write_faces(small / "made_as_helen", 30, "helen")
    opened: Counter[tuple[str, str | None]] = Counter()
    hashed: Counter[str] = Counter()
    open_dataset, hash_files = data_library.open_dataset, sample._hash_files

    def count_opened(path: str, **options: Any) -> Dataset:
        opened[path, options["target"]] += 1
        return open_dataset(path, **options)

    def count_hashed(samples: Sequence[Sample]) -> str:
        hashed.update(str(file) for s in samples for file in s.files)
        return hash_files(samples)

    monkeypatch.setattr(data_library, "open_dataset", count_opened)
    monkeypatch.setattr(sample, "_hash_files", count_hashed)
    library = Library(small / "cache")
    cells = [
        replace(cell, **library.resolve(cell.data).model_dump(include={"format", "fingerprint"}))
        for cell in grid("lfw", "made_as_helen", scale="lite", weights="none")
    ]
    fill(small / "run", cells)
    opened.clear()
    hashed.clear()
    monkeypatch.setattr(sample, "_digests", {})
    judged = judge_run(small / "run", Library(small / "cache"))
    write_report(judged)
    summarise_grid(small / "run", cells, judged)
    assert len(judged.settings) == 16
    assert all(group.baselines for group in judged.findings.groups)
    assert opened == {(p, t): 1 for p in ("lfw", "made_as_helen") for t in ("face", "face+hair")}
    assert set(hashed.values()) <= {1, 2}, "at most once a target"


def check_examples(run: Path, lfw: Path) -> None:
    """Figures 1 to 6 are the label on the disk and the masks of the cells without hair."""
    page = (run / "paper.html").read_text(encoding="utf-8")
    name = re.findall(r"test image (\S+?)<", page)[0]
    pixels = {
        number: np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for number, data in re.findall(r'aria-label="Figure (\d): .*?base64,([^"]+)"', page)
    }
    assert sorted(pixels) == list("123456")
    label = np.asarray(Image.open(lfw / "parts_lfw_funneled_gt_images" / f"{name}.png"))
    photo = np.asarray(Image.open(lfw / "lfw_funneled" / name[:-5] / f"{name}.jpg"))
    assert np.abs(pixels["1"].astype(int) - photo).mean() < 10, "compressed once more, no more"
    assert np.array_equal(pixels["2"], label)
    assert np.array_equal(pixels["3"], label[..., 2] == 0)
    assert np.array_equal(pixels["4"], label[..., 1] == 255)
    chosen = {
        cell.loss: cell_folder(run, cell)
        for cell in read_plan(run).cells
        if (cell.data.format, cell.data.target, cell.data.split) == ("lfw", "face", "big")
    }
    ious = []
    for number, loss in (("5", "iou"), ("6", "bce")):
        shape = (len(read_table(chosen[loss] / "scores.csv")), *pixels[number].shape)
        table = read_table(chosen[loss] / "scores.csv")
        place = [row["name"] for row in table].index(name)
        assert np.array_equal(pixels[number], read_masks(chosen[loss] / "masks.npz", shape)[place])
        tp, fp, fn = (np.array([int(row[kind]) for row in table]) for kind in ("tp", "fp", "fn"))
        ious.append(tp / np.maximum(tp + fp + fn, 1))
    mean = np.mean(ious, axis=0)
    assert (mean < mean[place]).sum() <= len(mean) / 2
    assert (mean > mean[place]).sum() <= len(mean) / 2


def test_published_trains_nothing(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "paper", "--published", "--lfw", "lfw") == 2
    assert "leave out --lfw" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--seeds", "3"], ["--dry-run"], ["--helen", "there"]])
def test_published_refuses_what_would_have_no_effect(
    option: list[str],
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "paper", "--published", *option) == 2
    assert f"leave out {option[0]}" in capsys.readouterr().err


def test_published_never_writes_among_other_files(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "photos").mkdir()
    (small / "photos" / "a.jpg").write_text("")
    for out, words in (("photos", "holds something else"), ("photos/a.jpg", "is a file")):
        assert run(monkeypatch, "paper", "--published", "--out", out) == 2
        captured = capsys.readouterr()
        assert words in captured.err
        assert captured.out == ""
    assert [path.name for path in (small / "photos").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("note", ["two\nlines", "<script>", "a | b", "x" * 501])
def test_a_note_is_one_line_of_plain_text(
    note: str, small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "paper", "--lfw", "lfw", "--note", note, "--dry-run") == 2
    assert "one line of plain text, at most 500 characters" in " ".join(
        re.sub("[^ -~]", " ", capsys.readouterr().err).split()
    )


def test_an_empty_part_is_no_part(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "paper", "--lfw", "lfw", "--only", "") == 2
    assert "no part of the paper; there are: bfcn32s" in capsys.readouterr().err


def test_other_images_are_told_by_their_number_and_not_by_their_name(tmp_path: Path) -> None:
    places: dict[str, Any] = {"lfw": "faces/copy", "helen": "faces/helen"}
    cells = [
        replace(cell, fingerprint="0" * 64, weights_digest="1" * 64, freeze="paper")
        for cell in grid(**places, only=["bfcn32s"], recipe="paper")
    ]
    fill(tmp_path, cells, num_images=2927, num_test=292)
    page = page_of(tmp_path, cells)
    assert "2927 images in copy" not in page
    assert "2927 images in helen, not HELEN's 2330" in page
    sizes = {"big": (2342, 292), "small": (430, 43)}
    for size, (train, val) in sizes.items():
        chosen = [cell for cell in cells if cell.data.split == size]
        fill(tmp_path, chosen, num_train=train, num_val=val, num_images=2330, num_test=233)
    differs = replicate(tmp_path, cells, None)["differs"]
    text = "430 and 43 images for training and validation, not 1000 and 100"
    assert f"small: {text}" in differs["3"]
    assert "big: 2342 and 292 images for training and validation, not 1864 and 233" in differs["4"]
    assert not any(told.startswith("big") for told in differs["3"])


def test_equal_differences_have_no_test(tmp_path: Path) -> None:
    cells = resolved(only=["lfw", "bfcn32s"], weights="hed")
    fill(tmp_path, cells)
    for cell in cells:
        shown = {"iou_per_image": 0.81 if cell.loss == "iou" else 0.8, "iou_soft": 0.8}
        fabricate(tmp_path, cell, ious(0), **shown, accuracy=0.9, epochs=80)
    page = page_of(tmp_path, cells)
    assert re.search(
        r"\| BFCN-32s \| \+1\.00 \| \N{EN DASH} \| \N{EN DASH} \| \N{EN DASH} \|", page
    )
    assert "1.000 | 1.000 |" not in page
