"""The model in use: which one it is, what it gives, what travels with it."""

import doctest
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional
from trained import faces, folded_run, trained_run

import vesica
from vesica import metrics
from vesica.cell import load_trained
from vesica.data.library import Library
from vesica.errors import DataError
from vesica.export import export_model
from vesica.judge import read_settings
from vesica.materials import Materials
from vesica.model import Asked, Model, say_expected, say_limit, say_unmarked, tiled
from vesica.model.choice import choose
from vesica.model.expected import Decision, confidence_of, decide
from vesica.model.images import to_pixels
from vesica.model.network import NetworkModel, _disagreement
from vesica.model.resize import resize, shrink
from vesica.plan import replace
from vesica.results import read_cell, read_findings, read_histograms, read_plan, read_scores
from vesica.results import write_model as write_json_model
from vesica.statistics import most_beyond

CRACKS = Path(__file__).parents[1] / "docs" / "results" / "eight" / "cracks"


def load(**options: Any) -> NetworkModel:
    run, cache = trained_run()
    model = vesica.load(run, cache=cache, **options)
    assert isinstance(model, NetworkModel)
    return model


# Resizing


@pytest.mark.parametrize("size", [(64, 64), (200, 90), (31, 33), (500, 640), (1, 7)])
def test_images_shrink_as_pillow_does(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    narrow = Image.fromarray(image).resize((48, size[0]), Image.Resampling.BILINEAR)
    expected = narrow.resize((48, 48), Image.Resampling.BILINEAR)
    stored = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    found = shrink(stored, 48)[0].permute(1, 2, 0).numpy()
    differs = np.abs(found - np.asarray(expected).astype(float))
    assert differs.max() <= 1
    assert (differs > 0).mean() < 0.02  # its sums are of whole numbers


def test_maps_grow_bilinearly() -> None:
    maps = torch.randn(2, 1, 24, 24)
    expected = functional.interpolate(maps, (70, 101), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resize(maps, (70, 101)), expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(resize(maps, (24, 24)), maps)


# Images


def test_images_in_every_form() -> None:
    image = faces(1)[0]
    grey = image[..., 0]
    assert np.array_equal(to_pixels(Image.fromarray(image)), image)
    assert np.array_equal(to_pixels(grey), np.repeat(grey[..., None], 3, axis=2))
    assert np.array_equal(to_pixels(np.dstack([image, grey])), image)
    assert np.array_equal(to_pixels(Image.fromarray(np.dstack([image, grey]))), image)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(to_pixels(deep), to_pixels(grey))


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3)), np.zeros((2, 4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8), "a"],
)
def test_other_things_are_refused(image: Any) -> None:
    with pytest.raises(ValueError, match="expected uint8, 0 to 255"):
        to_pixels(image)


def test_floating_point_values_have_no_range() -> None:
    with pytest.raises(ValueError, match="floating point values, which have no known range"):
        to_pixels(Image.fromarray(np.zeros((4, 4), np.float32)))


# Prediction


def test_a_prediction_is_the_networks_own_at_the_images_size() -> None:
    run, cache = trained_run()
    model = load(loss="iou", seed=1)
    image = faces(1)[0]
    found = model.predict(image)
    (cell,) = [c for c in read_plan(run).cells if (c.loss_name, c.seed) == ("iou", 1)]
    ended = read_cell(run, cell)
    assert ended is not None
    network = load_trained(cell, Materials(cache), ended.folder)
    small = Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR)
    with torch.inference_mode():
        logits = network(torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255)
        large = functional.interpolate(logits, image.shape[:2], mode="bilinear")[0, 0]
    probs = torch.sigmoid(large / model.traits.temperature).numpy()
    assert found.mask.shape == found.probs.shape == image.shape[:2]
    np.testing.assert_allclose(found.probs, probs, atol=1e-5)
    val, _ = read_histograms(ended.folder / "histograms.npz", ended.result.num_rows)
    raw = metrics.tune_threshold(val)
    same = found.mask == (torch.sigmoid(large).numpy() >= raw)
    assert same.mean() > 0.9999  # where rounding puts them on either side


def test_masks_score_as_the_run_says() -> None:
    """On the run's own test images, which have the network's size, its scores come out."""
    run, cache = trained_run()
    model = load()
    cell = choose(run, Asked()).members[0].cell
    library = Library(cache)
    dataset = library.dataset(cell.data)
    ious, sures = [], []
    for row in library.split(cell.data).test:
        image, mask, _ = dataset.load(dataset.samples[row])
        found = model.predict(image)
        ious.append(metrics.iou(metrics.count_pixels(found.mask[None], mask))[0])
        sures.append(found.confidence)
    expected = model.traits.expected
    assert expected is not None
    assert np.mean(ious) == pytest.approx(expected.mean, abs=0.01)
    assert expected.unusual_below == pytest.approx(min(sures), abs=0.02)  # of 16


def test_seeds_and_folds_are_averaged() -> None:
    image = faces(1)[0]
    both = load(loss="bce", average=True)
    assert both.traits.num_members == 2
    alone = [load(loss="bce", seed=seed) for seed in (0, 1)]
    networks = [model.members[0] for model in alone]
    apart = [NetworkModel([network], both.traits).predict(image).probs for network in networks]
    np.testing.assert_allclose(both.predict(image).probs, np.mean(apart, axis=0), atol=1e-5)
    run, cache = folded_run()
    folded = vesica.load(run, cache=cache)
    assert (folded.traits.num_members, folded.traits.folds) == (2, 2)
    assert folded.traits.expected is not None
    assert folded.traits.expected.num_images == 160  # each was tested once
    assert "the average of the networks of 2 folds" in folded.traits.why


def test_frozen_layers_are_computed_once_for_all() -> None:
    both = load(loss="bce", average=True)
    assert both.pipeline.is_shared
    apart = NetworkModel(both.members, both.traits)
    apart.pipeline.is_shared = False
    image = faces(1)[0]
    np.testing.assert_array_equal(both.predict(image).probs, apart.predict(image).probs)


def test_a_noisy_image_is_unusual_and_a_face_is_not() -> None:
    model = load()
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    assert model.predict(noise).is_unusual
    share = np.mean([model.predict(image).is_unusual for image in faces(20, 64, 64)])
    assert share < 0.6


def test_the_docstrings_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained_run()[0].parent)
    (example,) = doctest.DocTestFinder().find(vesica.load, "load", globs={})
    assert doctest.DocTestRunner().run(example).failed == 0
    assert load().predict(faces(1)[0]).to_pil().size == (130, 100)


# Confidence


def test_confidence_by_hand() -> None:
    histogram = np.zeros((2, 2, 256), int)
    histogram[0, :, 0] = 1000, 7  # sure background counts nothing
    histogram[0, 1, 255] = 10  # sure foreground
    histogram[0, 0, 63] = 8  # below the threshold, at 63.5 / 256
    histogram[1, 0, 0] = 50
    found = confidence_of(histogram, Decision(0.5, 0.5, 1.0))
    assert found[0] == pytest.approx(10 / (10 + 8 * 63.5 / 256))
    assert np.isnan(found[1])  # no mask


@pytest.mark.parametrize("loss", ["bce", "iou", "lovasz_hinge"])
def test_confidence_finds_the_bad_masks_of_cracks(loss: str) -> None:
    """The tenth that it is least sure of holds far worse masks than the rest."""
    ended = [read_cell(CRACKS, cell) for cell in read_plan(CRACKS).cells]
    runs = [f for f in ended if f is not None and (f.cell.loss_name, f.cell.seed) == (loss, 0)]
    confidences, ious = [], []
    for found in runs:
        num = len(read_scores(found).names)
        val, test = read_histograms(found.folder / "histograms.npz", num)
        decision = decide(val)
        confidences.append(np.nan_to_num(confidence_of(test, decision)))
        ious.append(metrics.iou(metrics.counts_at(test, decision.raw_threshold)))
    confidence, iou = np.concatenate(confidences), np.concatenate(ious)
    is_unusual = confidence < np.quantile(confidence, 0.1)
    assert iou[is_unusual].mean() < 0.65 * iou[~is_unusual].mean()


# Disagreement


def test_disagreement_by_hand() -> None:
    masks = torch.zeros(3, 2, 1, 4, 4)
    masks[:, 0, 0, 0] = 1
    masks[2, 0, 0, 1] = 1  # twice as large
    # Pairs: 0, 1/2 and 1/2; in the second image all are empty.
    np.testing.assert_allclose(_disagreement(masks).numpy(), [1 / 3, 0])
    assert _disagreement(masks[:1]).tolist() == [0, 0]


def test_seeds_that_disagree_mark_an_image() -> None:
    model = load(loss="bce", average=True)
    limit = model.traits.expected.unusual_above if model.traits.expected else None
    assert limit is not None
    run, cache = trained_run()
    cell = choose(run, Asked(loss="bce")).members[0].cell
    library = Library(cache)
    dataset, test = library.dataset(cell.data), library.split(cell.data).test
    found = [model.predict(dataset.load(dataset.samples[row])[0]) for row in test]
    values = [f.disagreement for f in found]
    # As the run's kept masks say, but for its precision.
    assert np.array(values, float).max() == pytest.approx(limit, abs=0.03)
    assert all(
        f.is_unusual == (f.disagreement > limit) for f in found if f.disagreement is not None
    )
    assert load(loss="bce").predict(faces(1)[0]).disagreement is None


def test_with_too_few_test_images_none_is_unusual(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the new images is what 9 test images leave out; a quantile of 8 leaves more."""
    assert say_unmarked(load().traits) == ""
    monkeypatch.setattr("vesica.statistics.new_image.MIN_FOR_LIMIT", 17)  # the run tested 16
    monkeypatch.setattr("vesica.model.traits.MIN_FOR_LIMIT", 17)
    for options in ({}, {"average": True}):
        model = load(loss="bce", **options)
        assert model.predict(faces(1)[0]).is_unusual is None
        assert say_unmarked(model.traits) == (
            "Which images are unusual is not known: a limit for one in ten takes 17 test images, "
            "or groups of them, and there are 16."
        )


def test_how_many_a_limit_marks_is_promised_where_it_is_known() -> None:
    one, several = load(loss="bce").traits, load(loss="bce", average=True).traits
    for traits in (one, several):
        assert "of images like those of training it marks a tenth or fewer" in say_limit(traits)
        assert f"up to {most_beyond(16):.0%} by chance" in say_limit(traits)
    of_folds = several.model_copy(update={"folds": 2})
    assert "networks of folds differ more" in say_limit(of_folds)
    assert "chance" not in say_limit(of_folds)
    assert say_limit(one.model_copy(update={"expected": None})) == ""


# Tiles


@pytest.mark.parametrize("size", [(300, 410), (128, 128), (70, 500), (129, 257)])
def test_tiles_give_what_one_pass_gives(size: tuple[int, int]) -> None:
    """For a network at native resolution that sees 8 pixels far: equal up to the border."""
    image = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)

    def network(pixels: np.ndarray) -> np.ndarray:
        grey = pixels.astype(np.float32).mean(axis=2) / 255
        return ndimage.uniform_filter(grey, 17, mode="nearest")[None].astype(np.float32)

    whole, pieces = network(image), tiled(network, image, 128, 32)
    np.testing.assert_allclose(pieces, whole, atol=1e-6)
    assert ((pieces >= 0.5) == (whole >= 0.5)).mean() > 0.9999


def test_no_seam_shows_where_pieces_disagree() -> None:
    """Pieces that differ by 1 everywhere: from pixel to pixel the blend changes gradually."""
    numbers = iter(range(100))

    def network(pixels: np.ndarray) -> np.ndarray:
        return np.full((1, *pixels.shape[:2]), next(numbers) % 2, np.float32)

    found = tiled(network, np.zeros((64, 200, 3), np.uint8), 64, 32)
    assert {found.min(), found.max()} == {0, 1}
    assert np.abs(np.diff(found[0], axis=1)).max() < 0.1


def test_tiles_that_do_not_fit_are_refused() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    for tile_px, overlap_px in ((1, 0), (10, 6), (10, -1)):
        with pytest.raises(ValueError, match="at most half a tile"):
            tiled(lambda tile: np.zeros((1, 10, 10), np.float32), image, tile_px, overlap_px)


def test_a_model_predicts_in_tiles() -> None:
    model = load()
    image = np.tile(faces(1, 64, 64)[0], (3, 4, 1))
    found = model.predict(image, tile_px=64)
    assert found.mask.shape == (192, 256)
    assert found.mask.mean() > 0.02


# Which model


def judged_as(folder: Path, verdict: str, mean: float) -> Path:
    """A copy of the run whose verdict is another."""
    run = folder / "run"
    shutil.copytree(trained_run()[0], run)
    findings = read_findings(run)
    assert findings is not None
    (group,) = findings.groups
    pair = group.comparisons[0].model_copy(update={"verdict": verdict, "mean": mean})
    changed = group.model_copy(update={"comparisons": (pair,)})
    write_json_model(run / "results.json", findings.model_copy(update={"groups": (changed,)}))
    return run


@pytest.mark.parametrize(
    ("verdict", "mean", "loss", "why"),
    [
        ("better", 0.02, "iou", "better than bce by the verdict"),
        ("worse", -0.02, "bce", "better than the other losses by the verdict"),
        ("equivalent", 0.0, "bce", "the baseline, as no other loss is shown to be better"),
        ("undecided", 0.1, "bce", "the baseline, as no other loss is shown to be better"),
    ],
)
def test_the_better_loss_by_the_verdict(
    tmp_path: Path, verdict: str, mean: float, loss: str, why: str
) -> None:
    choice = choose(judged_as(tmp_path, verdict, mean), Asked())
    assert choice.members[0].cell.loss_name == loss
    assert why in choice.why


def test_cracks_are_predicted_by_the_loss_that_won() -> None:
    choice = choose(CRACKS, Asked())
    setting = read_settings(CRACKS, read_plan(CRACKS).cells)[0]
    assert len(choice.members) == len(setting.folds) == 5
    assert choice.members[0].cell.loss_name == "iou"
    assert len(choose(CRACKS, Asked(average=True)).members) == 15


def test_without_a_verdict_it_is_the_baseline(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run()[0], run)
    (run / "results.json").unlink()
    assert "the baseline, as there is no verdict yet" in choose(run, Asked()).why


def test_the_best_seed_on_validation_images() -> None:
    run, _ = trained_run()
    choice = choose(run, Asked(loss="iou"))
    of_loss = [
        found
        for cell in read_plan(run).cells
        if cell.loss_name == "iou" and (found := read_cell(run, cell))
    ]
    best = max(of_loss, key=lambda found: found.result.val_iou_per_image or 0)
    assert choice.members[0].cell == best.cell
    assert choice.why == f"iou, as asked; seed {best.cell.seed}, the best on validation."
    named = choose(run, Asked(cell=best.folder.name[:6]))
    assert named.members[0].cell == best.cell


def test_what_a_run_does_not_have() -> None:
    run, _ = trained_run()
    for asked, message in (
        (Asked(loss="dice"), "--loss dice: not in .*; it has: bce, iou"),
        (Asked(seed=7), "--seed 7: no network of .*; seeds that have: 0, 1"),
        (Asked(cell="nothing"), "--cell nothing: 0 cells with a result begin so; vesica status"),
        (Asked(cell=""), "no key"),
    ):
        with pytest.raises(DataError, match=message):
            choose(run, asked)
    with pytest.raises(ValueError, match="leave out --seed"):
        Asked(seed=1, average=True)
    with pytest.raises(ValueError, match="--cell names one network"):
        Asked(cell="a", loss="bce")


def test_runs_without_a_model(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run()[0], run)
    kept = read_plan(run)
    other = [replace(cell, size=96) for cell in kept.cells]
    write_json_model(run / "plan.json", kept.model_copy(update={"cells": (*kept.cells, *other)}))
    choose(run, Asked())  # the other setting has no results, and so is no choice
    for folder in (run / "cells").iterdir():
        (folder / "result.json").unlink()
    with pytest.raises(DataError, match="no cell of this run has scores yet; go on with: vesica"):
        vesica.load(run)
    with pytest.raises(DataError, match="no such file or folder; pass a run's folder"):
        vesica.load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"a folder without plan.json; pass a run's folder"):
        vesica.load(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "histograms.npz"])
@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"half")])
def test_what_a_model_has_lost_is_said_with_what_trains_it(
    tmp_path: Path, name: str, change: Any
) -> None:
    """Predict and export cannot train: their own command would never bring it back. And a threshold
    is not replaced by 1/2 without a word."""
    run = tmp_path / "run"
    shutil.copytree(trained_run()[0], run)
    best = choose(run, Asked()).members[0]
    change(best.folder / name)
    advice = rf"(is missing|damaged .*); delete {best.folder} and train it again: vesica run {run}$"
    with pytest.raises(DataError, match=rf"{name}: {advice}"):
        vesica.load(run, cache=trained_run()[1])
    with pytest.raises(DataError, match=advice):
        export_model(
            run, tmp_path / "m.safetensors", "safetensors", Asked(), cache=trained_run()[1]
        )
    shutil.rmtree(best.folder)
    other = choose(run, Asked())
    assert other.members[0].cell.seed != best.cell.seed
    assert other.why.endswith("; without 1 run of it still to train.")


def test_commands_that_are_advised_can_be_copied(tmp_path: Path) -> None:
    run = tmp_path / "my run é'\"q $HOME"
    shutil.copytree(trained_run()[0], run)
    kept = read_plan(run)

    def advised(asked: Asked) -> list[str]:
        with pytest.raises(DataError) as error:
            choose(run, asked)
        command = re.search(r"vesica (?:run|status) .*", str(error.value))
        assert command
        return shlex.split(command[0])[:3]

    assert advised(Asked(cell="zzz")) == ["vesica", "status", str(run)]
    for cell in kept.cells:
        if cell.loss == "bce":
            (run / "cells" / cell.key / "result.json").unlink()
    assert advised(Asked(loss="bce")) == ["vesica", "run", str(run)]
    for result in (run / "cells").glob("*/result.json"):
        result.unlink()
    assert advised(Asked()) == ["vesica", "run", str(run)]


def test_settings_are_not_chosen_between(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run()[0], run)
    kept = read_plan(run)
    other = [replace(cell, size=96) for cell in kept.cells]
    for old, new in zip(kept.cells, other, strict=True):
        shutil.copytree(run / "cells" / old.key, run / "cells" / new.key)
    write_json_model(run / "plan.json", kept.model_copy(update={"cells": (*kept.cells, *other)}))
    message = (
        rf"2 settings \(size 64; size 96\).*pass --cell KEY .*: vesica status {run} lists them"
    )
    with pytest.raises(DataError, match=message):
        choose(run, Asked())


def test_nothing_learned_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesica.judge.scores.has_trained", lambda val, cell: False)
    message = "no seed of bce can be used: all its runs failed, or are no better than a constant"
    with pytest.raises(DataError, match=message):
        choose(trained_run()[0], Asked())


# What travels


def test_traits_say_what_a_stranger_must_know() -> None:
    traits = load().traits
    assert traits.classes == ("face",)
    assert traits.size_px == 64
    assert "Apache-2.0" in traits.licence
    assert "resized bilinearly to 64x64" in traits.preprocessing
    assert len(traits.fingerprint) == 64
    assert traits.versions["torch"] == torch.__version__.partition("+")[0]
    assert say_expected(traits).startswith("Expect an IoU of 0.")
    assert "fewer than 19 images" in say_expected(traits) or "nine lie between" in say_expected(
        traits
    )
    assert issubclass(NetworkModel, Model)
