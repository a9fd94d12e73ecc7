"""What accuracy and density allow of IoU: against all masks of small images, and real labels."""

import importlib.util
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from realdata import require

from vesica.paper.published import ByLoss, Row
from vesica.paper.replication import NUM_IMAGES
from vesica.paper.soft_iou import (
    HALF_UNIT,
    IMAGE_PIXELS,
    LFW,
    Density,
    Score,
    common_density,
    even_mean_iou,
    lowest_mean_iou,
    scores,
    softness,
)

ROOT = Path(__file__).parents[1]


def make_score(accuracy: int, iou: int) -> Score:
    accuracies, ious = ByLoss(accuracy, accuracy), ByLoss(iou, iou)
    return Score(Row(3, "BFCN-32s", "LFW", "big", False, accuracies, ious, ByLoss(1, 1)), "iou")


def test_bounds_hold_for_all_masks_and_are_reached() -> None:
    # Every truth and prediction of 7 pixels, as counts: tp + fn foreground, fp + tn background.
    for tp, fn, fp in product(range(8), repeat=3):
        if tp + fn == 0 or tp + fn + fp > 7 or fn + fp == 0 or fn + fp > tp + fn:
            continue
        q, e = (tp + fn) / 7, (fn + fp) / 7
        iou = tp / (tp + fn + fp)
        assert (q - e) / q <= iou + 1e-12
        assert iou <= q / (q + e) + 1e-12
        assert (fp > 0) or iou == pytest.approx((q - e) / q), "all missed"
        assert (fn > 0) or iou == pytest.approx(q / (q + e)), "all false alarm"


@settings(max_examples=300, deadline=None)
@given(
    st.integers(10_000, 90_000),
    st.floats(0, 1),
    st.floats(0.001, 0.5),
)
def test_masks_are_never_said_to_be_none(positives: int, missed: float, wrong: float) -> None:
    total = 100_000
    fn = round(missed * wrong * positives)
    fp = min(round((1 - missed) * wrong * positives), total - positives)
    if fn + fp == 0:
        return
    accuracy = round(1000 * (1 - (fn + fp) / total))
    iou = round(1000 * (positives - fn) / (positives + fp))
    if iou >= 1000 or accuracy >= 1000:
        return
    cell, density = make_score(accuracy, iou), positives / total
    assert cell.density_low <= density <= cell.density_high
    assert cell.position_at(density) in ("inside", "only by rounding")
    low, high = cell.range_at(density)
    assert low - HALF_UNIT <= cell.iou <= high + HALF_UNIT


def test_a_cell_by_hand() -> None:
    # Accuracy 0.9, IoU 0.6, density 0.2: without rounding q lies in [0.1 0.6 / 0.4, 0.1 / 0.4] =
    # [0.15, 0.25], masks in [0.5, 2/3], and half of the wrong pixels are missed:
    # (0.2 - 0.05) / (0.2 + 0.05) = 0.6.
    cell = make_score(900, 600)
    assert cell.density_low == pytest.approx(0.15, abs=2e-3)
    assert cell.density_high == pytest.approx(0.25, abs=2e-3)
    assert cell.range_at(0.2) == pytest.approx((1 / 2, 2 / 3), abs=3e-3)
    assert cell.missed_share_at(0.2) == pytest.approx(0.5)
    assert cell.balanced_at(0.2) == pytest.approx(0.6)
    assert cell.position_at(0.2) == "inside"
    assert cell.position_at(0.26) == "below"
    assert cell.position_at(0.14) == "above"
    assert cell.position_at(0.2499) == "inside"
    assert cell.position_at(0.2505) == "only by rounding"


def test_rounding_widens_every_bound() -> None:
    for cell in scores():
        assert cell.density_low < cell.error * cell.iou / (1 - cell.iou)
        assert cell.density_high > cell.error / (1 - cell.iou)


def draw_density(num: int = 40) -> Density:
    rng = np.random.default_rng(0)
    return Density(rng.integers(2000, 40_000, num), 1, 1)


def test_no_masks_have_a_lower_mean_iou() -> None:
    density, rng = draw_density(), np.random.default_rng(1)
    lowest = {error: lowest_mean_iou(density, error) for error in (0.02, 0.05, 0.1)}
    for error, bound in lowest.items():
        found = []
        for _ in range(300):
            share = rng.dirichlet(np.full(40, rng.choice([0.05, 0.5, 5]))) * error * 40
            wrong = np.minimum(share, density.shares)  # the rest would be false alarms
            found.append(np.mean((density.shares - wrong) / density.shares))
        assert min(found) >= bound
        assert max(found) > bound + 0.01
        assert bound <= even_mean_iou(density, error) <= 1


def test_lowest_mean_by_hand() -> None:
    # Shares 0.1, 0.2, 0.4; an error of 0.2 / 3 on average is 0.2: the first image and half of the
    # second are missed.
    shares = np.array([0.2, 0.4, 0.1])
    density = Density(np.rint(shares * IMAGE_PIXELS).astype(np.int64), 1, 1)
    assert lowest_mean_iou(density, 0.2 / 3) == pytest.approx((0 + 0.5 + 1) / 3)
    assert even_mean_iou(density, 0.05) == pytest.approx((0.5 + 0.75 + 0.875) / 3)


def test_which_cells_fail() -> None:
    lfw = [cell for cell in softness()["cells"] if cell["data"] == "LFW"]
    below = [cell for cell in lfw if cell["position"] == "below"]
    assert [(cell["network"], cell["loss"]) for cell in below] == [("BFCN-32s", "bce")] * 4
    assert all(cell["fails_any_split"] for cell in below)
    assert {cell["position"] for cell in lfw if cell["loss"] == "iou"} == {"inside"}
    helen = [cell for cell in softness()["cells"] if cell["data"] == "HELEN"]
    failing = [(cell["name"], cell["loss"]) for cell in helen if not cell["fits_iou_trained"]]
    assert failing == [("big, hair", "bce"), ("big, no hair", "bce"), ("small, no hair", "bce")]


def test_one_density_fits_each_targets_cells_with_iou_loss_and_no_target_with_both() -> None:
    for found in softness()["common"]:
        assert found["iou"]["exists"]
        assert not found["both"]["exists"]
        if found["counted"] is not None:
            assert found["iou"]["low"] < found["counted"] < found["iou"]["high"]


def test_common_density_is_that_of_all() -> None:
    chosen = scores("HELEN", True, ["iou"])
    low, high = common_density(chosen)
    assert len(chosen) == 4
    for score in chosen:
        assert score.density_low <= low <= high <= score.density_high


def test_differences_add_up() -> None:
    found = softness()
    for gain in found["differences"]:
        assert gain["published"] == pytest.approx(gain["from_accuracy"] + gain["remainder"])
        assert gain["low"] < gain["from_accuracy"] < gain["high"]
    # Equal accuracies (table 4, big, hair) leave nothing.
    level = [gain for gain in found["differences"] if "BFCN-32s, HELEN, big, hair" in gain["setup"]]
    assert level[0]["from_accuracy"] == 0
    assert found["mean"]["published"] == pytest.approx(3.4375)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("hair", [False, True], ids=["face", "face+hair"])
def test_densities_are_those_of_the_labels(hair: bool) -> None:
    folder = require("lfw")
    counts, num_test = load("count_foreground").count(str(folder), "face+hair" if hair else "face")
    density = LFW[hair]
    assert (len(counts), num_test) == (NUM_IMAGES["lfw"], len(density.pixels))
    assert counts[-num_test:].tolist() == density.pixels.tolist()
    windows = [int(counts[i : i + num_test].sum()) for i in range(len(counts) - num_test + 1)]
    assert (min(windows), max(windows)) == (density.lowest, density.highest)


def test_faces_lie_within_faces_with_hair() -> None:
    assert (LFW[False].pixels <= LFW[True].pixels).all()
    for density in LFW.values():
        low, high = density.reach
        assert low <= density.share <= high
        assert len(np.unique(density.pixels)) > 250
