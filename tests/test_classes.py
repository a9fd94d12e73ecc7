"""Several classes of which each pixel has one: read, trained, scored, judged and in use."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import jaccard_score
from torch.nn import functional
from torchmetrics.classification import MulticlassJaccardIndex
from trained import run_of_classes
from typer.testing import CliRunner

import vesica
from vesica import metrics
from vesica.check import examine, gather
from vesica.cli import app
from vesica.data import open_dataset
from vesica.data.arrays import Arrays
from vesica.data.classes import parse_classes
from vesica.data.library import Library
from vesica.data.sample import Dataset
from vesica.data.source import Source
from vesica.data.split import Split
from vesica.errors import DataError
from vesica.evaluate import against_rivals, to_preds, to_probs
from vesica.judge import read_settings
from vesica.judge.baselines import score_baselines
from vesica.judge.classes import judge_classes, say_classes
from vesica.judge.histograms import has_trained
from vesica.judge.scores import Scores as JudgedScores
from vesica.losses import LossModule, parse_loss, values_and_weights
from vesica.networks import NETWORKS, Weights, build_network
from vesica.plan import Cell
from vesica.predict import palette
from vesica.report.check_page import check_sections
from vesica.report.sections import to_markdown
from vesica.results import Comparison, Unjudged, read_findings, read_plan, read_scores, read_table
from vesica.results.folder import read_cell
from vesica.run import open_run

NUM, SIZE = 5, 24
WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def labels_of(index: int, values: Sequence[int] = (0, 1, 2)) -> NDArray[np.uint8]:
    """Three areas, others in each image; the third is in every second one."""
    drawn = np.full((SIZE, SIZE), values[0], np.uint8)
    drawn[4 : 12 + index, 3:20] = values[1]
    if index % 2:
        drawn[15:22, 5 : 10 + index] = values[2]
    return drawn


def folder_of(root: Path, masks: Sequence[Any], suffix: str = "png", **options: Any) -> Path:
    for index, mask in enumerate(masks):
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        for name, picture, end in (
            ("images", Image.new("RGB", image.size), "png"),
            ("masks", image, suffix),
        ):
            (root / name).mkdir(parents=True, exist_ok=True)
            picture.save(root / name / f"{index}.{end}", **(options if name == "masks" else {}))
    return root


def read(dataset: Dataset) -> NDArray[np.uint8]:
    """The index of each pixel's class, of all images."""
    found = [dataset.load(sample).mask for sample in dataset.samples]
    return np.stack([mask.argmax(axis=0) for mask in found]).astype(np.uint8)


# Reading


def test_every_number_is_a_class(tmp_path: Path) -> None:
    folder_of(tmp_path, [labels_of(n, (0, 7, 40)) for n in range(NUM)])
    dataset = open_dataset(tmp_path, classes=True)
    assert dataset.classes == ("0", "7", "40")
    assert dataset.is_exclusive
    assert np.array_equal(read(dataset), [labels_of(n) for n in range(NUM)])


def test_every_colour_is_a_class(tmp_path: Path) -> None:
    colours = np.array([WHITE, RED, BLUE], np.uint8)
    folder_of(tmp_path, [colours[labels_of(n)] for n in range(NUM)])
    dataset = open_dataset(tmp_path, classes=True)
    assert dataset.classes == ("#0000ff", "#ff0000", "#ffffff")
    order = np.array([2, 1, 0])
    assert np.array_equal(read(dataset), [order[labels_of(n)] for n in range(NUM)])


def test_shades_belong_to_the_nearest_class(tmp_path: Path) -> None:
    masks = [np.kron(labels_of(n, (0, 128, 255)), np.ones((8, 8), np.uint8)) for n in range(NUM)]
    folder_of(tmp_path, masks, "jpg", quality=90)
    dataset = open_dataset(tmp_path, classes=True)
    assert len(dataset.classes) == 3
    truth = np.stack([np.searchsorted([0, 128, 255], mask) for mask in masks])
    assert (read(dataset) == truth).mean() > 0.98


def test_what_is_left_out_is_of_no_class(tmp_path: Path) -> None:
    masks = [labels_of(n) for n in range(NUM)]
    for mask in masks:
        mask[:2] = 255
    folder_of(tmp_path, masks)
    dataset = open_dataset(tmp_path, classes=True, ignore="255")
    found = dataset.load(dataset.samples[0])
    assert found.valid is not None
    assert np.array_equal(found.mask.any(axis=0), found.valid)
    assert not found.valid[:2].any()
    assert found.valid[2:].all()


def test_classes_that_are_named_and_the_rest(tmp_path: Path) -> None:
    folder_of(tmp_path, [labels_of(n, (0, 1, 2)) for n in range(NUM)])
    dataset = open_dataset(tmp_path, classes=True, foreground="road=2")
    assert dataset.classes == ("road", "rest")
    assert np.array_equal(read(dataset) == 0, [labels_of(n) == 2 for n in range(NUM)])
    both = open_dataset(tmp_path, classes=True, foreground="ground=0,2;car=1")
    assert both.classes == ("ground", "car")
    assert np.array_equal(read(both), [labels_of(n) == 1 for n in range(NUM)])
    assert both.target != dataset.target  # what is kept on disk differs with it


def test_a_settled_reading_is_the_same(tmp_path: Path) -> None:
    folder_of(tmp_path, [labels_of(n, (0, 3, 9)) for n in range(NUM)])
    library = Library(tmp_path / "cache")
    resolved = library.resolve(Source(path=str(tmp_path), classes=True))
    assert resolved.class_names == ("0", "3", "9")
    again = Library(tmp_path / "cache").dataset(resolved)
    assert np.array_equal(read(again), read(library.dataset(resolved)))
    assert again.classes == resolved.class_names


@pytest.mark.parametrize(
    ("foreground", "message"),
    [
        ("a=1;b=1,2", "1 is of a and b. Name it once"),
        ("a=1;b=2;a=0", "two classes are called 'a'"),
        ("a=1;rest=2", "two classes are called 'rest'"),
        ("plain", "plain: no class. With --classes, pass values or colours by ';'"),
        ("a=1;;", "expected a value such as 255"),
        ("a=1;face+hair=2,3", "A name is of letters, digits, spaces, - and _"),
        (
            "a=77",
            r"a=77 is in no mask. The masks hold \d+ values .* leave out --foreground: each is",
        ),
        (">1", "0 is of none of them. Name a class for it"),
    ],
)
def test_a_list_that_is_wrong(foreground: str, message: str, tmp_path: Path) -> None:
    folder_of(tmp_path, [labels_of(n) for n in range(NUM)])
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(tmp_path, classes=True, foreground=foreground)
    assert "\n" not in str(caught.value)


def test_too_many_values_are_no_classes(tmp_path: Path) -> None:
    ramp = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE)
    folder_of(tmp_path, [ramp] * NUM)
    with pytest.raises(DataError, match="the masks hold 256 values; at most 40 are classes"):
        open_dataset(tmp_path, classes=True)


def test_one_value_is_no_classes(tmp_path: Path) -> None:
    folder_of(tmp_path, [np.full((SIZE, SIZE), 3, np.uint8)] * NUM)
    with pytest.raises(DataError, match="all masks hold 3 alone, which is one class"):
        open_dataset(tmp_path, classes=True)


def test_a_list_without_the_option_is_told_of_it(tmp_path: Path) -> None:
    folder_of(tmp_path, [labels_of(n) for n in range(NUM)])
    with pytest.raises(DataError, match=r"a list of classes\. Pass --classes, too"):
        open_dataset(tmp_path, foreground="a=1;b=2")


def test_what_looks_like_a_void_or_an_edge_is_said(tmp_path: Path) -> None:
    folder_of(tmp_path / "void", [labels_of(n, (0, 1, 255)) for n in range(NUM)])
    notes = open_dataset(tmp_path / "void", classes=True).notes
    assert any("if it is a void, pass --ignore 255" in note for note in notes)
    masks = [np.kron(labels_of(n, (0, 128, 255)), np.ones((8, 8), np.uint8)) for n in range(NUM)]
    folder_of(tmp_path / "jpeg", masks, "jpg", quality=60)
    notes = open_dataset(tmp_path / "jpeg", classes=True).notes
    assert any("may be edges between others" in note for note in notes)


def test_a_target_beside_classes_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, [labels_of(n) for n in range(NUM)])
    with pytest.raises(DataError, match="each class is a target"):
        open_dataset(tmp_path, classes=True, target="foreground")


def test_the_check_is_about_classes(tmp_path: Path) -> None:
    folder_of(tmp_path, [labels_of(n, (0, 7, 40)) for n in range(20)])
    source = Source(path=str(tmp_path), classes=True)
    library = Library(tmp_path / "cache")
    found = examine(gather(source, library), source, library)
    truth = np.stack([labels_of(n) for n in range(20)])
    assert [one.name for one in found.classes] == ["0", "7", "40"]
    assert [one.share for one in found.classes] == pytest.approx(
        np.bincount(truth.ravel()) / truth.size
    )
    assert [one.images for one in found.classes] == [20, 20, 10]
    page = to_markdown("x", check_sections(found))
    assert "images that have it" in page
    assert "foreground" not in page


def test_layouts_without_classes_refuse(tmp_path: Path) -> None:
    (tmp_path / "helen" / "labels" / "1").mkdir(parents=True)
    (tmp_path / "helen" / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "helen" / "images" / "1.jpg")
    for part in range(11):
        path = tmp_path / "helen" / "labels" / "1" / f"1_lbl{part:02}.png"
        Image.new("L", (8, 8)).save(path)
    with pytest.raises(DataError, match="--classes makes no sense for the format helen"):
        open_dataset(tmp_path / "helen", classes=True)


def test_generated_faces_have_three() -> None:
    whole, face = (open_dataset("generated:num=3:size=48", classes=c) for c in (True, False))
    assert whole.classes == ("background", "face", "hair")
    assert whole.fingerprint == face.fingerprint
    assert whole.target != face.target
    masks = [(whole.load(a).mask, face.load(a).mask) for a in whole.samples]
    assert all(np.array_equal(of_all[1], alone[0]) for of_all, alone in masks)


def test_a_users_function_says_so_and_is_checked() -> None:
    image = np.zeros((6, 6, 3), np.uint8)
    mask = np.zeros((2, 6, 6), bool)
    mask[0] = True

    def open_with(found: NDArray[np.bool_]) -> Dataset:
        return Dataset.of(
            ["a", "b"], lambda _: (image, found), classes=("x", "y"), is_exclusive=True
        )

    assert open_with(mask).is_exclusive
    twice = mask.copy()
    twice[1, 2, 3] = True
    with pytest.raises(DataError, match="row 2, column 3 is of 2 classes; expected one"):
        open_with(twice)


def test_a_list_is_spelled_as_it_is_read() -> None:
    assert [rule.name for rule in parse_classes("a=1;b=2,3")] == ["a", "b"]


# Decisions and losses


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_half_is_the_largest_logit(scale: float) -> None:
    rng = np.random.default_rng(0)
    # Few different values, so that many are equal.
    logits = torch.tensor(rng.integers(-4, 5, (3, 5, 16, 16)) * scale, dtype=torch.float32)
    assert (logits.topk(2, dim=1).values.diff(dim=1) == 0).float().mean() > 0.1
    preds = to_preds(to_probs(logits, is_exclusive=True))
    assert np.array_equal(preds.sum(axis=1), np.ones((3, 16, 16)))
    largest = np.take_along_axis(logits.numpy(), preds.argmax(axis=1)[:, None], axis=1)
    assert np.array_equal(largest[:, 0], logits.numpy().max(axis=1))


def test_of_two_classes_it_is_softmax() -> None:
    logits = torch.randn(2, 2, 9, 9, generator=torch.Generator().manual_seed(1)) * 4
    expected = torch.softmax(logits, dim=1)
    torch.testing.assert_close(torch.sigmoid(against_rivals(logits)), expected)


def test_training_sees_softmax() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 4, 10, 10, generator=generator)
    index = torch.randint(0, 3, (3, 10, 10), generator=generator)  # the fourth is absent
    valid = torch.rand(3, 10, 10, generator=generator) > 0.3
    target = functional.one_hot(index, 4).permute(0, 3, 1, 2).bool()
    of_entropy, weights = values_and_weights(
        parse_loss("ce"), logits, target, None, is_exclusive=True
    )
    assert weights is None
    torch.testing.assert_close(
        of_entropy[0], functional.cross_entropy(logits, index, reduction="none").mean(dim=(1, 2))
    )
    for spelling in ("iou", "lovasz_hinge", "0.5ce+dice"):
        values, weights = values_and_weights(
            parse_loss(spelling), logits, target & valid[:, None], valid, is_exclusive=True
        )
        expected = LossModule(spelling, softmax=True, reduction="none")(logits, index, valid)
        torch.testing.assert_close(values.sum(dim=0), expected)
        assert weights is not None
        assert weights.shape == values.shape


@pytest.mark.parametrize("name", [n for n in NETWORKS if not n.startswith("smp:")])
def test_every_network_draws_several(name: str) -> None:
    width = ":width=8" if name.startswith(("bfcn", "fcresnet")) else ""
    network = build_network(f"{name}{width}", Weights("none"), 0, 3).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 64, 48)).shape == (1, 3, 64, 48)


# Scores


def draw(num: int, classes: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Truth, in which classes are missing here and there, and a prediction that is often right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (num, 12, 12))
    truth[::2] %= classes - 1
    truth[1] %= 2
    is_right = rng.random(truth.shape) < 0.6
    return truth, np.where(is_right, truth, rng.integers(0, classes, truth.shape))


def one_hot(index: NDArray[np.intp], classes: int) -> NDArray[np.bool_]:
    """Rows that take turns: every class of every image."""
    maps = index[:, None] == np.arange(classes)[:, None, None]
    return np.asarray(maps.reshape(-1, *index.shape[1:]))


def test_scores_are_those_of_other_libraries() -> None:
    num, classes = 8, 5
    truth, pred = draw(num, classes, 3)
    probs = one_hot(pred, classes).astype(np.float32)
    summary = metrics.Scores.of(probs, one_hot(truth, classes)).summary("skip", classes)
    of_images = []
    for t, p in zip(truth, pred, strict=True):
        present = np.unique(t)
        of_images.append(jaccard_score(t.ravel(), p.ravel(), labels=present, average=None).mean())
    assert len({len(np.unique(t)) for t in truth}) > 1
    assert summary["iou_per_image"] == pytest.approx(np.mean(of_images))
    index = MulticlassJaccardIndex(classes, average="macro")
    pooled = index(torch.from_numpy(pred), torch.from_numpy(truth))
    assert summary["iou_pooled"] == pytest.approx(float(pooled), abs=1e-6)


def test_accuracy_is_the_share_of_right_pixels() -> None:
    truth, pred = draw(6, 4, 11)
    scores = metrics.Scores.of(one_hot(pred, 4).astype(np.float32), one_hot(truth, 4))
    summary = scores.summary("skip", 4, is_exclusive=True)
    assert summary["accuracy"] == pytest.approx(np.mean(pred == truth))
    assert summary["accuracy_pooled"] == pytest.approx(np.mean(pred == truth))


def test_absent_classes_by_their_policy() -> None:
    truth = np.zeros((1, 4, 4), np.intp)
    pred = truth.copy()
    pred[0, 0, 0] = 2  # of three classes, the second is nowhere, the third is drawn wrongly
    scores = metrics.Scores.of(one_hot(pred, 3).astype(np.float32), one_hot(truth, 3))
    assert scores.summary("skip", 3)["iou_per_image"] == pytest.approx(15 / 16)
    assert scores.summary("score", 3)["iou_per_image"] == pytest.approx((15 / 16 + 1 + 0) / 3)


def test_masks_without_a_network() -> None:
    truth, _ = draw(12, 4, 5)
    truth[:, :9] = 2
    masks = one_hot(truth, 4).reshape(12, 4, 12, 12)
    names = tuple(map(str, range(12)))
    arrays = Arrays(names, names, np.zeros((12, 12, 12, 3), np.uint8), masks)
    split = Split(tuple(range(8)), (), (8, 9, 10, 11))
    found = score_baselines(arrays, split, empty="skip", is_exclusive=True)
    everywhere = np.full((4, 12, 12), 2)
    expected = metrics.Scores.of(
        one_hot(everywhere, 4).astype(np.float32), one_hot(truth[8:], 4)
    ).summary("skip", 4)
    assert found["best constant mask"]["iou_per_image"] == expected["iou_per_image"]
    assert found["mean mask"]["iou_per_image"] >= expected["iou_per_image"]


def test_a_constant_class_has_learned_nothing() -> None:
    cell = Cell(data=Source(path="x", classes=True, class_names=("a", "b", "c")))
    truth, pred = draw(10, 3, 7)
    truth[:, :8] = 0
    targets = one_hot(truth, 3)

    def histograms(index: NDArray[np.intp]) -> NDArray[np.int32]:
        return metrics.histogram(one_hot(index, 3).astype(np.float32), targets)

    assert not has_trained(histograms(np.zeros_like(truth)), cell)
    pred[:, 2:10] = truth[:, 2:10]
    assert has_trained(histograms(pred), cell)


# A run


def test_a_run_judges_every_class_and_their_mean() -> None:
    run, _ = run_of_classes()
    findings = read_findings(run)
    assert findings is not None
    (group,) = findings.groups
    assert [row.loss for row in group.losses] == ["ce", "iou"]
    assert {row.name for row in group.classes} == {"background", "face", "hair"}
    assert [row.share for row in group.classes] == sorted(r.share for r in group.classes)[::-1]
    assert sum(row.share for row in group.classes) == pytest.approx(1)
    (pair,) = group.comparisons
    assert isinstance(pair, Comparison)
    assert pair.decisions[1:] == ()
    # By hand, from the scores of the cells.
    cells = [read_cell(run, cell) for cell in read_plan(run).cells]
    by_loss: dict[str, list[NDArray[np.float64]]] = {"ce": [], "iou": []}
    for found in cells:
        assert found is not None
        counts = read_scores(found).counts
        iou = metrics.iou(counts, "skip").reshape(-1, 3)
        by_loss[found.cell.loss].append(iou)
    ce, iou = (np.array(by_loss[loss]) for loss in ("ce", "iou"))
    assert np.isnan(ce).any()
    assert pair.mean == pytest.approx((np.nanmean(iou, axis=2) - np.nanmean(ce, axis=2)).mean())
    names = read_plan(run).cells[0].data.class_names
    for row in group.classes:
        number = names.index(row.name)
        (of_class,) = row.comparisons
        assert isinstance(of_class, Comparison)
        difference = np.nanmean(iou[..., number] - ce[..., number])
        assert of_class.mean == pytest.approx(difference)
        assert of_class.num_images == np.isfinite(ce[0, :, number]).sum()
        assert of_class.level == pytest.approx(1 - 0.05 / 3)
        assert row.iou["ce"] == pytest.approx(np.nanmean(ce[..., number]))
    assert group.class_sentences[0].startswith("Class by class, iou against ce: ")
    rows = read_table(run / "cells" / read_plan(run).cells[0].key / "scores.csv")
    assert [row["class"] for row in rows[:4]] == ["background", "face", "hair", "background"]


def test_a_class_that_neither_loss_draws_has_no_verdict() -> None:
    run, _ = run_of_classes()
    (setting,) = read_settings(run, read_plan(run).cells)
    scores = setting.scores
    assert scores is not None
    iou = {name: values.copy() for name, values in scores.iou.items()}
    for values in iou.values():
        values[..., 2::3] = 0  # hair, in every image
    vars(setting)["scores"] = dataclasses.replace(scores, iou=iou)
    classes = judge_classes(setting, [("ce", "iou")], 0.005, [None])
    pairs = {row.name: row.comparisons[0] for row in classes}
    assert isinstance(pairs["hair"], Unjudged)
    assert pairs["hair"].reason == "neither loss draws any of it, with any seed"
    assert isinstance(pairs["face"], Comparison)
    assert "undecided on" in say_classes(classes)[0]
    assert "equivalent on 1 (hair)" not in say_classes(classes)[0]
    iou["half"][1, 0, 2] = 0.1  # one mask of one run
    vars(setting)["scores"] = dataclasses.replace(scores, iou=iou)
    (found,) = [
        row for row in judge_classes(setting, [("ce", "iou")], 0.005, [None]) if row.name == "hair"
    ]
    assert isinstance(found.comparisons[0], Comparison)


def test_every_sentence_is_about_its_own_pair() -> None:
    run, _ = run_of_classes()
    findings = read_findings(run)
    assert findings is not None
    (row, *_) = findings.groups[0].classes
    (pair,) = row.comparisons
    pairs = [("ce", "iou"), ("ce", "dice"), ("iou", "dice")]
    several = tuple(
        pair.model_copy(update={"baseline": old, "challenger": new}) for old, new in pairs
    )
    nowhere = row.model_copy(update={"name": "ghost", "num_images": 0, "comparisons": several})
    sentences = say_classes([row.model_copy(update={"comparisons": several}), nowhere])
    assert [s.split(":")[0] for s in sentences] == [
        f"Class by class, {new} against {old}" for old, new in pairs
    ]
    assert all(s.endswith("not tested on 1 (ghost).") for s in sentences)


def test_the_report_shows_every_class() -> None:
    run, cache = run_of_classes()
    findings = read_findings(run)
    assert findings is not None
    page = open_run(run, cache).report().read_text()
    assert "Class by class" in page
    assert ", hair" in page
    assert findings.groups[0].class_sentences[0] in page


def test_the_model_gives_each_pixel_one_class(tmp_path: Path) -> None:
    run, cache = run_of_classes()
    dataset = open_dataset("generated:num=3:size=70:density=0.3:seed=5", classes=True)
    images = [dataset.load(sample).image for sample in dataset.samples]
    for number, image in enumerate(images):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "in" / f"{number}.png")
    done = CliRunner().invoke(
        app,
        [
            *("predict", str(run), f"{tmp_path}/in", "--out", f"{tmp_path}/out", "--overlay"),
            *("--average", "--probabilities", "--cache", str(cache)),
        ],
    )
    assert done.exit_code == 0, done.output
    model = vesica.load(run, average=True, cache=cache)
    for number, image in enumerate(images):
        found = model.predict(image)
        assert found.mask.shape == (3, 70, 70)
        assert np.array_equal(found.mask.sum(axis=0), np.ones((70, 70)))
        np.testing.assert_allclose(found.probs.sum(axis=0), 1, atol=1e-5)
        written = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{number}.png"))
        assert np.array_equal(written, found.mask.argmax(axis=0))
        names = {path.name for path in (tmp_path / "out" / "probabilities").iterdir()}
        assert f"{number}.hair.png" in names
    assert (tmp_path / "out" / "overlays" / "0.jpg").exists()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    run, cache = run_of_classes()
    target = tmp_path / "model.safetensors"
    done = CliRunner().invoke(
        app,
        [
            *("export", str(run), "--format", "safetensors", "--out", str(target)),
            *("--cache", str(cache)),
        ],
    )
    assert done.exit_code == 0, done.output
    image = np.random.default_rng(0).integers(0, 256, (50, 61, 3), dtype=np.uint8)
    before, after = (vesica.load(path, cache=cache).predict(image) for path in (run, target))
    assert np.array_equal(before.mask, after.mask)
    assert vesica.load(target).traits.classes == ("background", "face", "hair")


def test_a_run_of_classes_goes_on(tmp_path: Path) -> None:
    run, cache = run_of_classes()
    before = json.loads((run / "results.json").read_text())
    done = CliRunner().invoke(app, ["report", str(run), "--cache", str(cache)])
    assert done.exit_code == 0, done.output
    after = json.loads((run / "results.json").read_text())
    assert after["groups"][0]["classes"] == before["groups"][0]["classes"]


def test_colours_of_classes_are_those_of_voc() -> None:
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert [tuple(colour) for colour in palette(6).tolist()] == expected
    assert len({tuple(colour) for colour in palette(256).tolist()}) == 256


def test_an_image_of_a_group_counts_once_however_many_classes_it_has() -> None:
    """Image a of person 0 has two classes, b one; c of person 1 two, d of person 2 none."""
    iou = np.array([0.2, 0.4, 0.9, 0.0, 0.6, 1.0, 0.0, 0.0])
    scores = JudgedScores(
        names=tuple("aabbccdd"),
        unit=np.array([0, 0, 0, 0, 1, 1, 2, 2]),
        groups=("ann", "bob", "eve"),
        fold=np.zeros(8, np.intp),
        iou={"half": iou[np.newaxis, np.newaxis]},
        calibration={},
        reliability={},
        without={},
        untrained=frozenset(),
        counted=np.array([1, 1, 1, 0, 1, 1, 0, 0], bool),
        num_classes=2,
        shares=np.array([0.5, 0.5]),
    )
    assert scores.units == ["ann", "bob"]
    assert scores.num_images == 3
    assert scores.by_unit["half"][0, 0] == pytest.approx([(0.3 + 0.9) / 2, 0.8])
    assert scores.of_class(1).by_unit["half"][0, 0] == pytest.approx([0.4, 1.0])
