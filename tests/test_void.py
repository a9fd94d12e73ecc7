"""Void pixels count for nothing, whatever the mask has there; masks are scored at a size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_train import assert_same_outcome, history
from tiny import tiny_cell
from torch.nn import functional

from vesica import metrics
from vesica.cell import load_trained, run_cell
from vesica.data import Dataset
from vesica.errors import DataError
from vesica.judge.baselines import score_baselines
from vesica.materials import Materials, make_fabric
from vesica.plan import Cell
from vesica.results import read_table

SLIDES = '''
import numpy as np
from vesica.data import Dataset

def slides(marked: bool = False, void: bool = True, high: int = 64):
    """Discs; the left quarter is void, and is marked as foreground or not."""
    def read(name):
        rng = np.random.default_rng(int(name))
        height, width = high, 80 if int(name) % 2 else 64
        y, x = np.mgrid[:height, :width]
        centre, radius = rng.uniform(20, 44, 2), rng.uniform(8, 14)
        mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        image = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
        image[mask] += 150
        valid = x >= 16
        if marked:
            mask = mask | ~valid
        return (image, mask, valid) if void else (image, mask)
    return Dataset.of([f"{n:02}" for n in range(40)], read, has_void=void)
'''


@pytest.fixture
def slides(tmp_path: Path) -> str:
    (tmp_path / "slides.py").write_text(SLIDES)
    return f"{tmp_path}/slides.py:slides"


def run(cell: Cell, folder: Path) -> Path:
    materials = Materials(folder / "cache")
    cell = materials.resolve(cell)
    materials.check(cell)
    run_cell(cell, materials, folder / "cell")
    return folder / "cell"


@pytest.mark.parametrize("loss", ["bce", "iou", "lovasz_hinge"])
@pytest.mark.parametrize("augment", ["flip", "standard"])
def test_what_lies_in_the_void_changes_nothing(
    loss: str, augment: str, slides: str, tmp_path: Path
) -> None:
    folders = [
        run(tiny_cell(f"{slides}:marked={marked}", loss=loss, augment=augment), tmp_path / marked)
        for marked in ("true", "false")
    ]
    assert_same_outcome(*folders)
    without = run(
        tiny_cell(f"{slides}:void=false", loss=loss, augment=augment), tmp_path / "without"
    )
    assert history(without) != history(folders[0])


def test_every_count_is_of_pixels_that_count(slides: str, tmp_path: Path) -> None:
    rows = read_table(run(tiny_cell(slides), tmp_path) / "scores.csv")
    for row in rows:
        total = sum(int(row[name]) for name in ("tp", "fp", "fn", "tn"))
        width = 80 if int(row["name"]) % 2 else 64
        assert total == pytest.approx(64 * 64 * (1 - 16 / width), abs=64)  # at the network's size
        boundary = sum(int(row[f"boundary_{name}"]) for name in ("tp", "fp", "fn", "tn"))
        assert boundary == total


def test_masks_are_scored_at_their_own_size(slides: str, tmp_path: Path) -> None:
    cell = tiny_cell(f"{slides}:high=100", score_at="original")
    folder = run(cell, tmp_path)
    materials = Materials(tmp_path / "cache")
    cell = materials.resolve(cell)
    network = load_trained(cell, materials, folder)
    inputs = materials.inputs(cell, network, make_fabric("fp32", "cpu"))
    dataset = materials.library.dataset(cell.data)
    place = {sample.name: row for row, sample in enumerate(dataset.samples)}
    for scored in read_table(folder / "scores.csv"):
        row = place[scored["name"]]
        _, (mask,), valid = dataset.load(dataset.samples[row])
        assert valid is not None
        features, *_ = inputs.batch(np.array([row]), torch.device("cpu"))
        with torch.inference_mode():
            logits = network.head(features, inputs.size)
        large = functional.interpolate(logits, mask.shape, mode="bilinear", antialias=True)[0, 0]
        pred = (large >= 0).numpy()
        assert int(scored["tp"]) == pytest.approx((pred & mask & valid).sum(), abs=2)
        assert int(scored["fn"]) == pytest.approx((~pred & mask & valid).sum(), abs=2)
        total = sum(int(scored[name]) for name in ("tp", "fp", "fn", "tn"))
        assert total == valid.sum() == 100 * (mask.shape[1] - 16)


def test_the_size_of_scoring_is_part_of_a_cell(slides: str, tmp_path: Path) -> None:
    cells = [Materials(tmp_path).resolve(tiny_cell(slides, score_at=s)) for s in SIZES]
    assert cells[0].key != cells[1].key
    assert "score_at" not in cells[0].identity()


SIZES = ("network", "original")


@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.1, 0.5, 0.9]))
def test_scores_are_those_of_the_pixels_that_count(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.random((2, 9, 7), dtype=np.float32)
    truth, valid = rng.random((2, 2, 9, 7)) < 0.5
    valid[:, 0, 0] = True
    found = metrics.Scores.of(probs, truth, valid)
    again = metrics.Scores.of(np.where(valid, probs, 1), truth | ~valid, valid)
    assert str(found) == str(again)
    for row in range(2):
        kept = valid[row]
        alone = metrics.count_pixels(probs[row : row + 1, kept] >= 0.5, truth[row : row + 1, kept])
        for name in ("tp", "fp", "fn", "tn"):
            assert getattr(found.counts, name)[row] == getattr(alone, name)[0]
        soft = metrics.iou_soft(probs[row : row + 1, kept], truth[row : row + 1, kept])
        assert found.iou_soft[row] == pytest.approx(soft[0])
        pixels = probs[row : row + 1, kept], truth[row : row + 1, kept]
        np.testing.assert_array_equal(found.histograms[row], metrics.histogram(*pixels)[0])
        bins = metrics.bin_probabilities(*pixels)
        np.testing.assert_array_equal(found.reliability.count[row], bins.count[0])
        np.testing.assert_allclose(found.reliability.prob_sum[row], bins.prob_sum[0])


def test_masks_without_a_network_know_the_void(slides: str, tmp_path: Path) -> None:
    found = []
    for marked in ("true", "false"):
        materials = Materials(tmp_path / marked)
        source = materials.resolve(tiny_cell(f"{slides}:marked={marked}")).data
        arrays, split = materials.library.arrays(source, 64), materials.library.split(source)
        found.append(score_baselines(arrays, split))
    assert found[0] == found[1]


def test_losses_of_ones_own_are_refused_before_training(slides: str, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "def mine(logits, target):\n    return (logits - target).square().mean((1, 2))\n"
    )
    materials = Materials(tmp_path)
    cell = materials.resolve(tiny_cell(slides, loss=f"{own}:mine"))
    with pytest.raises(ValueError, match=r"own\.py:mine is a function of logits .* void"):
        materials.check(cell)


IMAGE, MASK = np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), bool)


@pytest.mark.parametrize(
    ("found", "has_void", "message"),
    [
        ((IMAGE, MASK), True, r"a: read gives tuple, expected \(image, mask, valid\)"),
        ((IMAGE, MASK, MASK), False, r"a: read gives tuple, expected \(image, mask\)"),
        ((IMAGE, MASK, ~MASK), True, "a: every pixel is void; remove the image"),
        ((IMAGE, MASK, MASK[1:]), True, r"a: the mask has shape \(3, 5\)"),
        ((IMAGE, MASK, MASK * 7), True, "a: the mask is int64, 7 to 7"),
    ],
)
def test_what_read_gives_of_void_is_checked(found: Any, has_void: bool, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset.of(["a"], lambda name: found, has_void=has_void)
