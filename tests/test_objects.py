"""Scores of outlines, centre lines and objects, against slow formulas and MONAI."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from vesica.metrics import cl_dice, object_recall, skeleton, surface_dice

Mask = NDArray[np.bool_]
SCORES = (surface_dice, cl_dice, object_recall)


def blobs(seed: int, height: int = 24, width: int = 30) -> Mask:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(height, width)), rng.uniform(0.5, 4))
    return np.asarray(smooth > rng.uniform(-0.1, 0.3) * smooth.max())


def thin_slowly(mask: Mask) -> Mask:
    """Zhang and Suen as they wrote it: a pixel at a time, over the whole image."""
    image = np.pad(mask, 1).astype(int)
    num_idle = turn = 0
    while num_idle < 2:
        removed = []
        for y, x in np.argwhere(image):
            p2, _, p4, _, p6, _, p8, _ = around = [
                int(image[y + dy, x + dx])
                for dy, dx in (
                    (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1),
                )
            ]  # fmt: skip
            walk = [*around, p2]
            entries = sum(walk[i] == 0 and walk[i + 1] == 1 for i in range(8))
            first = p2 * p4 * p6 == 0 and p4 * p6 * p8 == 0
            second = p2 * p4 * p8 == 0 and p2 * p6 * p8 == 0
            if 2 <= sum(around) <= 6 and entries == 1 and (second if turn else first):
                removed.append((y, x))
        for place in removed:
            image[place] = 0
        num_idle, turn = (0 if removed else num_idle + 1), 1 - turn
    return image[1:-1, 1:-1].astype(bool)


@given(seed=st.integers(0, 10**6))
def test_the_centre_line_is_that_of_the_source(seed: int) -> None:
    mask = blobs(seed)
    line, slow = skeleton(mask), thin_slowly(mask)
    assert not (slow & ~line).any()
    # What thinning erases whole keeps one pixel.
    eight = np.ones((3, 3))
    assert ndimage.label(line, eight)[1] == ndimage.label(mask, eight)[1]
    labels, num = ndimage.label(mask, eight)
    num_erased = num - len(np.unique(labels[slow]))
    assert (line & ~slow).sum() == num_erased
    assert not (line & ~mask).any()


@given(seed=st.integers(0, 10**6))
def test_masks_are_thinned_together_as_each_by_itself(seed: int) -> None:
    masks = np.stack([blobs(seed + number) for number in range(3)])
    assert np.array_equal(skeleton(masks), [skeleton(mask) for mask in masks])


def test_a_centre_line_by_hand() -> None:
    bar = np.zeros((7, 12), bool)
    bar[2:5, 1:11] = True
    line = skeleton(bar)
    assert line[3].sum() == line.sum() >= 7  # its middle row alone
    assert skeleton(np.ones((4, 4), bool)).sum() == 1


@pytest.mark.filterwarnings("ignore:monai")
@pytest.mark.parametrize("tolerance", [0.0, 1.0, 1.5, 2.0, 5.0])
def test_surface_dice_is_that_of_monai(tolerance: float) -> None:
    monai = pytest.importorskip("monai.metrics")
    for seed in range(20):
        pred, truth = blobs(seed, 40, 40), blobs(seed + 1000, 40, 40)
        pred[[0, -1]] = truth[[0, -1]] = False  # what is outline at the border, peers do not agree
        pred[:, [0, -1]] = truth[:, [0, -1]] = False
        theirs = monai.compute_surface_dice(
            torch.from_numpy(pred)[None, None].float(),
            torch.from_numpy(truth)[None, None].float(),
            class_thresholds=[tolerance],
            include_background=True,
        )
        ours = surface_dice(pred[None], truth[None], tolerance_px=tolerance)
        assert ours[0] == pytest.approx(float(theirs), abs=1e-6)


def test_surface_dice_by_hand() -> None:
    truth = np.zeros((1, 9, 20), bool)
    truth[0, 2:7, 2:7] = True  # an outline of 16 pixels
    pred = np.zeros_like(truth)
    pred[0, 2:7, 5:10] = True  # three to the right: of each outline 7 lie on the other's columns
    near = surface_dice(pred, truth, tolerance_px=2.9)[0]
    assert surface_dice(pred, truth, tolerance_px=3)[0] == 1
    assert 0 < surface_dice(pred, truth, tolerance_px=0)[0] < near < 1


@given(seed=st.integers(0, 10**6))
def test_centre_line_dice_is_its_formula(seed: int) -> None:
    pred, truth = blobs(seed), blobs(seed + 1)
    precision = truth[skeleton(pred)].mean()
    sensitivity = pred[skeleton(truth)].mean()
    both = precision + sensitivity
    expected = 2 * precision * sensitivity / both if both else 0
    assert cl_dice(pred[None], truth[None])[0] == pytest.approx(expected)


def test_a_broken_line_loses_little_iou_and_a_fragment_loses_much() -> None:
    truth = np.zeros((1, 40, 40), bool)
    truth[0, 20:22, :] = True
    wide = np.zeros_like(truth)
    wide[0, 18:24, :] = True  # all of the line, three times too wide
    half = truth.copy()
    half[0, :, 20:] = False
    assert cl_dice(wide, truth)[0] == pytest.approx(1)
    assert cl_dice(half, truth)[0] == pytest.approx(2 / 3, abs=0.03)


def test_half_of_an_object_finds_it() -> None:
    truth = np.zeros((1, 12, 12), bool)
    truth[0, 1:5, 1:5] = truth[0, 8, 8] = truth[0, 9, 9] = True  # corners touch: two objects
    pred = np.zeros_like(truth)
    assert object_recall(pred, truth)[0] == 0
    pred[0, 1:3, 1:5] = True  # 8 of 16
    assert object_recall(pred, truth)[0] == 1 / 2
    pred[0, 2, 4] = False  # 7 of 16
    assert object_recall(pred, truth)[0] == 0
    pred[0, 8, 8] = True  # 1 of 2
    assert object_recall(pred, truth)[0] == 1 / 2


@pytest.mark.parametrize("score", SCORES)
@given(seed=st.integers(0, 10**6))
def test_scores_are_shares_and_a_copy_is_perfect(score, seed: int) -> None:  # type: ignore[no-untyped-def]
    masks = np.stack([blobs(seed + n) for n in range(3)])
    found = score(masks, np.roll(masks, 1, axis=0))
    assert ((found >= 0) & (found <= 1)).all()
    assert (score(masks, masks) == 1).all()
    if score is not cl_dice:  # thinning prefers some directions
        turned = score(masks[:, ::-1, ::-1], np.roll(masks, 1, axis=0)[:, ::-1, ::-1])
        assert found == pytest.approx(turned)
    padded = [np.pad(m, ((0, 0), (2, 2), (3, 3))) for m in (masks, np.roll(masks, 1, axis=0))]
    if score is object_recall:
        assert found == pytest.approx(score(*padded))


@pytest.mark.parametrize("score", SCORES)
def test_empty_masks(score) -> None:  # type: ignore[no-untyped-def]
    none, some = np.zeros((1, 8, 8), bool), np.ones((1, 8, 8), bool)
    assert score(none, none)[0] == 1
    assert score(some, none)[0] == score(none, some)[0] == 0
    assert math.isnan(score(some, none, empty="skip")[0])
    assert score(none, some, empty="skip")[0] == 0


def test_what_is_wrong_is_said() -> None:
    mask = np.ones((1, 4, 4), bool)
    with pytest.raises(ValueError, match="tolerance_px is -1; expected 0 or more"):
        surface_dice(mask, mask, tolerance_px=-1)
    with pytest.raises(ValueError, match="tolerance_px is nan"):
        surface_dice(mask, mask, tolerance_px=math.nan)
    with pytest.raises(ValueError, match="they must agree"):
        cl_dice(mask, mask[:, :3])
    with pytest.raises(ValueError, match="empty is 'x'"):
        object_recall(mask, mask, empty="x")  # type: ignore[arg-type]
