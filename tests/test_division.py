"""Exact division: shares up to whole groups, stable, and the ways out where it cannot be had."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_split import counts, failure, grouped, merge, numbered, parts_by_name

from vesica.data.sample import Dataset, Sample
from vesica.data.split import make_split, settle_division
from vesica.statistics import MIN_UNITS


def named(ids: set[int]) -> Dataset:
    samples = [Sample(f"{index:07}", f"{index:07}") for index in sorted(ids)]
    return replace(numbered(1), samples=tuple(samples))


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (3, (1, 1, 1)),
        (10, (5, 2, 3)),
        (30, (15, 5, 10)),
        (60, (39, 6, 15)),
        (150, (120, 15, 15)),
        (377, (301, 38, 38)),
        (2000, (1600, 200, 200)),
    ],
)
def test_shares_of_single_images(total: int, expected: tuple[int, int, int]) -> None:
    """A tenth each; for test at least what a verdict takes, and at most a third for that."""
    for seed in range(3):
        assert counts(make_split(numbered(total), division="exact", seed=seed))[:3] == expected


@settings(deadline=None)
@given(
    ids=st.lists(st.integers(0, 80), min_size=60, max_size=300).filter(lambda i: len(set(i)) > 2),
    seed=st.integers(0, 3),
)
def test_shares_are_exact_up_to_half_a_group(ids: list[int], seed: int) -> None:
    dataset = grouped(ids)
    sizes = Counter(ids)
    split = make_split(dataset, division="exact", seed=seed)
    parts = split.train, split.val, split.test
    assert sorted(sum(parts, ())) == list(range(len(ids)))
    assert all(part and list(part) == sorted(part) for part in parts)
    found = [{dataset.samples[index].group for index in part} for part in parts]
    assert all(not one & other for one, other in combinations(found, 2))
    least = {1: min(5, len(sizes) // 5), 2: min(MIN_UNITS, len(sizes) // 3)}
    wanted = max(1, round(0.1 * len(ids)))
    for place, few in least.items():
        assert len(found[place]) >= few
        if len(found[place]) > max(1, few):  # its groups are not only as many as it must have
            assert 2 * abs(len(parts[place]) - wanted) <= max(sizes.values())


def test_few_groups_leave_one_for_each_part() -> None:
    for ids in ([0] * 18 + [1, 2], [0] * 30 + [1, 2], [0, 1, 2], [0] * 9 + [1] * 9 + [2]):
        split = make_split(grouped(ids), division="exact")
        assert all((split.train, split.val, split.test))
        assert not split.left_out


def test_a_group_larger_than_a_share_trains() -> None:
    ids = [0] * 60 + list(range(1, 101))
    for seed in range(20):
        dataset = grouped(ids)
        split = make_split(dataset, division="exact", seed=seed)
        assert len(split.test) == 16
        assert {"0"} <= {dataset.samples[index].group for index in split.train}


@settings(deadline=None)
@given(ids=st.sets(st.integers(0, 10**6), min_size=5, max_size=200), new=st.integers(0, 10**6))
def test_an_added_image_moves_two_others_at_most(ids: set[int], new: int) -> None:
    before, after = (
        parts_by_name(dataset, make_split(dataset, division="exact"))
        for dataset in (named(ids), named(ids | {new}))
    )
    assert sum(after[name] != part for name, part in before.items()) <= 2


def test_many_added_images_move_few_from_test_to_train() -> None:
    """What leaves the test part was at its border."""
    old = named(set(range(0, 1000, 2)))
    more = named(set(range(0, 1000, 2)) | set(range(1, 100, 2)))
    before, after = (parts_by_name(d, make_split(d, division="exact")) for d in (old, more))
    assert sum(after[name] != part for name, part in before.items()) <= 12


EXACT_OF_40 = (
    (14, 27, 33, 36, 38),
    (2, 15, 16, 24, 37),
    (0, 1, 7, 11, 13, 17, 21, 22, 25, 28, 30, 32, 34),
)


def test_the_exact_division_is_fixed_for_ever() -> None:
    split = make_split(numbered(40), division="exact", train=5)
    assert (split.train, split.val, split.test) == EXACT_OF_40


def test_small_and_counts_are_nested() -> None:
    dataset = numbered(2000)
    big, small = (make_split(dataset, division="exact", size=size) for size in ("big", "small"))
    assert set(small.train) < set(big.train)
    assert set(small.val) < set(big.val)
    assert counts(small)[:3] == (round(1600 * 1000 / 2342), round(200 * 100 / 292), 200)
    fewer = make_split(dataset, division="exact", train=10, val=5)
    assert counts(fewer)[:2] == (10, 5)
    assert set(fewer.train) < set(small.train)


@pytest.mark.parametrize("missing", ["val", "test"])
def test_a_missing_folder_is_cut_from_train(missing: str) -> None:
    kept = {"val": "test", "test": "val"}[missing]
    dataset = merge(numbered(1000, part="train"), numbered(4, part=kept))
    split = make_split(dataset, division="exact")
    assert {len(split.val), len(split.test)} == {100, 4}
    assert len(split.train) == 900
    assert split.notes[1] == f"No folder {missing}: taken from train by hash, seed 0."


def test_images_without_a_part_are_no_test_images_where_others_are() -> None:
    dataset = merge(numbered(100), numbered(20, part="test"))
    split = make_split(dataset, division="exact")
    assert counts(split) == (90, 10, 20, 0)


def test_own_parts_are_pooled_where_it_is_asked() -> None:
    dataset = merge(numbered(94, part="train"), numbered(6, part="test"))
    assert counts(make_split(dataset, division="exact"))[2] == 6
    assert counts(make_split(dataset, division="pooled"))[:3] == (75, 10, 15)
    folds = [make_split(dataset, division="pooled", folds=5, fold=fold) for fold in range(5)]
    assert sorted(index for split in folds for index in split.test) == list(range(100))


def test_a_division_is_settled_where_it_makes_no_difference() -> None:
    plain, faces = numbered(100), numbered(100, 2927)
    own = merge(numbered(9, part="train"), numbered(3, part="val"), numbered(3, part="test"))
    train = numbered(9, part="train")
    assert settle_division(plain, "exact", 0) == "exact"
    assert settle_division(train, "pooled", 0) == "exact"
    assert settle_division(own, "pooled", 0) == settle_division(own, "pooled", 5) == "pooled"
    for dataset, division, folds in (
        (plain, None, 0),
        (plain, "drawn", 0),
        (plain, "exact", 5),
        (plain, "pooled", 5),
        (faces, "exact", 0),
        (faces, "pooled", 0),
        (own, "exact", 0),
    ):
        assert settle_division(dataset, division, folds) is None  # type: ignore[arg-type]


def test_what_cannot_be_divided() -> None:
    assert failure(numbered(2), division="exact") == (
        "2 images: none is left for train. Add at least 1 image."
    )
    one_group = replace(
        numbered(1), samples=tuple(Sample(f"{index}", "same") for index in range(50))
    )
    assert failure(one_group, division="exact") == (
        "50 images in 1 group: none is left for train and val. A group is never divided: give"
        " --group a pattern that tells more of them apart, leave it out, or add images of other"
        " groups."
    )
    no_train = merge(numbered(5, part="val"), numbered(5, part="test"))
    assert failure(no_train, division="exact") == (
        "All 10 images lie in test/ and val/: none is left for train. Put those to train on into"
        " train/, or pass --division pooled."
    )
    both = replace(
        numbered(1),
        samples=tuple(Sample(f"{p}/{i}", str(i), part=p) for i in "123" for p in ("train", "test")),
    )
    assert failure(both, division="exact").startswith("Group '1' lies in both train/ and test/")
    assert "Ask for fewer" in failure(numbered(100), division="exact", train=90)
