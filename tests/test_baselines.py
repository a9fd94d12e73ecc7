"""The two masks that need no network, on arrays made by hand."""

import numpy as np
import pytest

from vesica.data.arrays import Arrays
from vesica.data.split import Split
from vesica.judge import baselines
from vesica.judge.baselines import mean_mask, score_baselines

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
