"""What is said of foreground, empty masks and copies before anything trains."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vesica.data.arrays import Arrays
from vesica.data.counts import Counts, say_alike, say_copies, say_foreground, say_missing
from vesica.data.sample import Dataset, Sample
from vesica.data.split import Split

NUM, SIZE = 10, 8


def draw(copies: dict[int, int], empty: tuple[int, ...], full: tuple[int, ...]) -> Arrays:
    """Random images, with copies of others, and masks of one quarter foreground."""
    images = np.random.default_rng(0).integers(0, 256, (NUM, SIZE, SIZE, 3), np.uint8)
    for copy, of in copies.items():
        images[copy] = images[of]
    masks = np.zeros((NUM, 1, SIZE, SIZE), bool)
    masks[:, :, :4, :4] = True
    masks[list(empty)], masks[list(full)] = False, True
    names = tuple(map(str, range(NUM)))
    return Arrays(names, names, images, masks)


def dataset(groups: str = "0123456789") -> Dataset:
    samples = tuple(Sample(str(i), group) for i, group in enumerate(groups))
    return Dataset("", "it", samples, lambda sample: (), "")


SPLIT = Split((0, 1, 2, 3, 4, 5), (6, 7), (8, 9))


def test_foreground_and_empty_masks_of_each_part() -> None:
    counts = Counts.of(draw({}, (1, 2, 9), (7,)))
    assert say_foreground(counts, SPLIT, ()) == (
        "Foreground: 25 % of pixels; empty masks: 2 of 6 train, 0 of 2 val, 1 of 2 test;"
        " all-full: 1."
    )
    assert "empty masks: 3 of 10; all-full: 1." in say_foreground(counts, None, ())


def test_each_class_has_its_share() -> None:
    arrays = draw({}, (), ())
    both: NDArray[np.bool_] = np.concatenate([arrays.masks, arrays.masks & False], axis=1)
    both[0, 1, :2, :2] = True
    counts = Counts.of(Arrays(arrays.names, arrays.groups, arrays.images, both))
    said = say_foreground(counts, None, ("crack", "hole"))
    assert said.startswith("Foreground: crack 25 %, hole 0.62 % of pixels; empty masks: 0 of 10;")


def test_masks_that_are_the_same_are_counted_unless_they_are_empty_or_full() -> None:
    arrays = draw({}, (1, 2), (7,))
    assert Counts.of(arrays).num_alike == 7
    assert say_alike(7, 10).startswith("7 of 10 masks are the same in every pixel")
    assert say_alike(10, 10).startswith("All 10 masks are the same")
    assert [say_alike(num, of) for num, of in ((1, 1), (5, 10), (0, 4))] == ["", "", ""]
    arrays.masks[3, 0, 0, 0] = False
    assert Counts.of(arrays).num_alike == 6
    assert Counts.of(draw({}, tuple(range(10)), ())).num_alike == 0


def test_a_class_that_a_part_lacks_is_named() -> None:
    arrays = draw({}, (), ())
    both: NDArray[np.bool_] = np.concatenate([arrays.masks, arrays.masks & False], axis=1)
    both[[0, 6], 1, 0, 0] = True
    counts = Counts.of(Arrays(arrays.names, arrays.groups, arrays.images, both))
    (said,) = say_missing(counts, SPLIT, ("crack", "hole"))
    assert said.startswith("Warning: no test image shows hole, at this size: add images of it")
    assert say_missing(counts, None, ("crack", "hole")) == []
    assert say_missing(Counts.of(draw({}, (0,), ())), SPLIT, ()) == []


def test_no_copies_are_not_mentioned() -> None:
    assert say_copies(Counts.of(draw({}, (), ())), SPLIT, dataset()) == []


@pytest.mark.parametrize(
    ("copies", "said"),
    [
        ({1: 0}, "1 image occurs more than once (0 = 1), and no copy in another part"),
        (
            {8: 0},
            "Warning: 1 image occurs more than once, 1 of them in more than one part of the",
        ),
        (
            {1: 0, 9: 0},
            "1 of them in more than one part of the split (0 = 1 = 9)",
        ),
        (
            {1: 0, 8: 3},
            "2 images occur more than once, 1 of them in more than one part of the split (3 = 8)",
        ),
    ],
)
def test_copies_in_two_parts_are_leakage(copies: dict[int, int], said: str) -> None:
    (sentence,) = say_copies(Counts.of(draw(copies, (), ())), SPLIT, dataset())
    assert said in sentence
    assert ("which is leakage" in sentence) == ("Warning" in sentence)


def test_in_folds_copies_of_one_group_stay_together() -> None:
    counts = Counts.of(draw({1: 0}, (), ()))
    (apart,) = say_copies(counts, None, dataset())
    (together,) = say_copies(counts, None, dataset("0023456789"))
    assert "in more than one fold (0 = 1), which is leakage" in apart
    assert "leakage" not in together
