"""The two masks that need no network, on arrays made by hand."""

import numpy as np
import pytest

from vesica.data.arrays import Arrays
from vesica.data.split import Split
from vesica.judge import baselines
from vesica.judge.baselines import choose_beside, mean_mask, score_baselines

NAMES = ("iou_per_image", "iou_pooled", "iou_soft", "accuracy")


def arrays_of(*masks: str) -> Arrays:
    """Masks of 2 x 2 pixels in reading order, e.g. `##..`."""
    stack = np.array([[pixel == "#" for pixel in mask] for mask in masks]).reshape(-1, 2, 2)
    names = tuple(f"image_{index}" for index in range(len(masks)))
    return Arrays(names, names, np.zeros((*stack.shape, 3), np.uint8), stack[:, None])


def split_of(num_train: int, num_test: int) -> Split:
    """Training first; the one sample between the two validates."""
    test = range(num_train + 1, num_train + 1 + num_test)
    return Split(tuple(range(num_train)), (num_train,), tuple(test))


def drawn(mask: np.ndarray) -> str:
    return "".join("#" if pixel else "." for pixel in mask.ravel())


@pytest.mark.parametrize(
    ("train", "mean"),
    [
        (["##..", "#.#.", "#..."], "#..."),
        (["##..", "#.#.", "#...", "####"], "###."),  # half of the masks are enough
        (["....", "...."], "...."),
        (["....", "####"], "####"),
        (["....", "....", "####"], "...."),
    ],
)
def test_mean_mask(train: list[str], mean: str) -> None:
    # Validation and test images would turn every pixel if they counted.
    opposite = "".join("." if pixel == "#" else "#" for pixel in mean)
    arrays = arrays_of(*train, *[opposite] * 6)
    assert drawn(mean_mask(arrays, split_of(len(train), 5))) == mean


def test_mean_mask_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = np.random.default_rng(0).random((11, 2, 2)) < 0.5
    arrays = Arrays(("",) * 11, ("",) * 11, np.zeros((11, 2, 2, 3), np.uint8), masks)
    split = Split((0, 2, 3, 5, 7, 8, 9), (1,), (4,))
    expected = masks[list(split.train)].mean(0) >= 0.5
    assert 0 < expected.sum() < 4
    for chunk in (1, 3, 7, 512):
        monkeypatch.setattr(baselines, "CHUNK", chunk)
        np.testing.assert_array_equal(mean_mask(arrays, split), expected)


def test_scores_by_hand() -> None:
    # The mean of the training masks is ##.., all-foreground beats all-background.
    arrays = arrays_of("##..", "##..", "....", "###.", "#...")
    scores = score_baselines(arrays, split_of(2, 2))
    assert list(scores) == ["best constant mask", "mean mask"]
    expected = pytest.approx(
        {
            "iou_per_image": (2 / 3 + 1 / 2) / 2,
            "iou_pooled": 3 / 5,
            "iou_soft": (2 / 3 + 1 / 2) / 2,
            "accuracy": (3 / 4 + 3 / 4) / 2,
        }
    )
    assert {name: scores["mean mask"][name] for name in NAMES} == expected
    constant = {name: scores["best constant mask"][name] for name in NAMES}
    assert constant == pytest.approx(
        {
            "iou_per_image": (3 / 4 + 1 / 4) / 2,
            "iou_pooled": 4 / 8,
            "iou_soft": (3 / 4 + 1 / 4) / 2,
            "accuracy": (3 / 4 + 1 / 4) / 2,
        }
    )


@pytest.mark.parametrize(
    ("train", "accuracy"),
    [
        # All-foreground scores 1/4 and 0 on these, all-background 0 and 1.
        (["#...", "...."], 3 / 4),
        (["....", "...."], 3 / 4),
        # 1/4 and 1/4 and 0 against 0 and 0 and 0.
        (["#...", "#..."], 1 / 4),
        # 1 and 0 against 0 and 1: a tie goes to the foreground.
        (["####", "...."], 1 / 4),
    ],
)
def test_best_constant_mask(train: list[str], accuracy: float) -> None:
    arrays = arrays_of(*train, "####", "#...")
    scores = score_baselines(arrays, split_of(len(train), 1))
    assert scores["best constant mask"]["accuracy"] == accuracy


def test_images_that_are_skipped_speak_for_no_background() -> None:
    arrays = arrays_of("##..", "....", "....", "####", "#...", "....")
    scores = score_baselines(arrays, split_of(3, 2), empty="skip")
    assert scores["best constant mask"]["iou_per_image"] == 0.25


def test_empty_test_masks() -> None:
    arrays = arrays_of("....", "....", "####", "....", "####")
    scores = score_baselines(arrays, split_of(2, 2))
    # Right about the empty one; nothing in common with the full one.
    for score in scores.values():
        assert [score[name] for name in NAMES] == [0.5, 0, 0.5, 0.5]


def test_scores_are_plain_numbers() -> None:
    arrays = arrays_of("##..", "....", "##..")
    for score in score_baselines(arrays, split_of(1, 1)).values():
        assert all(type(value) is float for value in score.values())


def square(side: int, gap: int) -> np.ndarray:
    """Squares of this side in a plane of 96."""
    mask = np.zeros((96, 96), bool)
    for row in range(0, 96 - side, side + gap):
        for column in range(0, 96 - side, side + gap):
            mask[row : row + side, column : column + side] = True
    return mask


def line(width: int, piece: int) -> np.ndarray:
    """A line, broken into pieces."""
    mask = np.zeros((96, 96), bool)
    mask[40 : 40 + width] = True
    mask[:, piece :: piece + 1] = False
    return mask


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (line(1, 95), "cl_dice"),
        (line(2, 30), "cl_dice"),
        (line(6, 95), "boundary_iou_per_image"),
        (square(1, 6), "object_recall"),
        (square(2, 6), "object_recall"),
        (square(6, 6), "object_recall"),
        (square(40, 6), "boundary_iou_per_image"),
        (np.zeros((96, 96), bool), "boundary_iou_per_image"),
    ],
)
def test_which_metric_stands_beside(mask: np.ndarray, expected: str) -> None:
    images = np.zeros((2, 96, 96, 3), np.uint8)
    arrays = Arrays(("a", "b"), ("a", "b"), images, np.stack([mask[None]] * 2))
    assert choose_beside(arrays, Split((0,), (1,), (1,)))[0] == expected
