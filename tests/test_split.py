"""Splits: the paper's counts, and hashes that keep groups whole and old images in their place."""

import re
from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from realdata import require

from vesica.data import open_dataset
from vesica.data.sample import Dataset, Mask, Pixels, Sample
from vesica.data.split import Size, Split, make_split
from vesica.errors import DataError

SIZES: list[Size] = ["big", "small"]


def refuse(sample: Sample) -> tuple[Pixels, Mask]:
    raise AssertionError(f"a split must not read pixels, read {sample.name}")


def dataset_of(samples: list[Sample], full_size: int | None = None) -> Dataset:
    ordered = tuple(sorted(samples, key=lambda sample: sample.name))
    return Dataset("folder", "foreground", ordered, refuse, "0" * 64, full_size)


def numbered(count: int, full_size: int | None = None, part: str | None = None) -> Dataset:
    names = [f"{part or 'image'}/{index:05}" for index in range(count)]
    return dataset_of([Sample(name, name, part=part) for name in names], full_size)


def merge(*datasets: Dataset) -> Dataset:
    return dataset_of([sample for dataset in datasets for sample in dataset.samples])


def counts(split: Split) -> tuple[int, int, int, int]:
    return len(split.train), len(split.val), len(split.test), len(split.left_out)


def parts_by_name(dataset: Dataset, split: Split) -> dict[str, str]:
    parts = {"train": split.train, "val": split.val, "test": split.test, "": split.left_out}
    return {
        dataset.samples[index].name: part for part, indices in parts.items() for index in indices
    }


def failure(dataset: Dataset, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        make_split(dataset, **options)  # type: ignore[arg-type]
    return str(caught.value)


# In the order of names


@pytest.mark.parametrize(
    ("total", "full_size", "big", "small"),
    [
        (2927, 2927, (2342, 292, 292, 1), (1000, 100, 292, 1535)),
        (2330, 2330, (1864, 233, 233, 0), (1000, 100, 233, 997)),
        (1000, 2330, (800, 100, 100, 0), (430, 43, 100, 427)),
        (10, 2927, (8, 1, 1, 0), (4, 1, 1, 4)),
    ],
)
def test_paper_counts(
    total: int,
    full_size: int,
    big: tuple[int, int, int, int],
    small: tuple[int, int, int, int],
) -> None:
    dataset = numbered(total, full_size)
    assert counts(make_split(dataset)) == big
    assert counts(make_split(dataset, size="small")) == small
    assert counts(make_split(dataset)) == counts(make_split(dataset, size="big"))


@pytest.mark.parametrize("size", SIZES)
def test_paper_order(size: Size) -> None:
    split = make_split(numbered(2927, 2927), size=size)
    used = split.train + split.val
    assert used == tuple(range(len(used)))
    assert split.test == tuple(range(2927 - 292, 2927))


def test_paper_notes() -> None:
    assert make_split(numbered(2330, 2330)).notes == ()
    (left_out,) = make_split(numbered(2927, 2927)).notes
    assert left_out == "In no part of the split: image/02634."
    assert (
        "In no part of the split: 1535 images."
        in make_split(numbered(2927, 2927), size="small").notes
    )
    (other_size,) = make_split(numbered(1000, 2330)).notes
    assert other_size == (
        "1000 images where the whole set has 2330: 800 for train, 100 for val, 100 for test."
    )


def test_paper_split_ignores_the_seed_and_says_so() -> None:
    dataset = numbered(2330, 2330)
    assert make_split(dataset, seed=3).train == make_split(dataset).train
    assert "split seed 3 changes nothing" in make_split(dataset, seed=3).notes[0]


def test_paper_counts_can_be_set() -> None:
    split = make_split(numbered(100, 2927), train=20, val=30)
    assert split.train == tuple(range(20))
    assert split.val == tuple(range(20, 50))
    assert split.test == tuple(range(90, 100))


def test_paper_split_notes_groups_in_two_parts() -> None:
    samples = [
        Sample(f"{index:02}", "Ann" if index in (7, 8) else str(index)) for index in range(10)
    ]
    assert (
        "In two parts, as the order of names has it: Ann."
        in make_split(dataset_of(samples, 2927)).notes
    )


@given(total=st.integers(10, 5000), size=st.sampled_from(SIZES))
def test_paper_parts_never_overlap(total: int, size: Size) -> None:
    split = make_split(numbered(total, 2927), size=size)
    used = (*split.train, *split.val, *split.test, *split.left_out)
    assert sorted(used) == list(range(total))
    assert min(counts(split)[:3]) >= 1


def test_paper_mistakes() -> None:
    assert failure(numbered(9, 2927)) == ("9 images are too few to split. Add images: at least 10.")
    assert failure(numbered(100, 2927), train=85) == (
        "85 images for train, 10 for val and 10 for test are more than the 100 there are."
        " Ask for fewer."
    )
    assert failure(numbered(100, 2927), train=1, val=90).endswith("Ask for fewer.")


@pytest.mark.parametrize("full_size", [None, 2927])
def test_bad_options(full_size: int | None) -> None:
    dataset = numbered(100, full_size)
    assert failure(dataset, train=0) == "0 images for train: expected at least 1."
    assert failure(dataset, val=-1) == "-1 images for val: expected at least 1."
    assert failure(dataset, size="huge") == "Unknown size 'huge' of a split. Pass big or small."


# By hash

groups = st.lists(st.integers(0, 60), min_size=60, max_size=200)


def grouped(ids: list[int]) -> Dataset:
    return dataset_of(
        [Sample(f"{index:04}_{group}", str(group)) for index, group in enumerate(ids)]
    )


@settings(deadline=None)
@given(ids=groups, seed=st.integers(0, 5))
def test_hash_parts_are_disjoint_and_groups_stay_together(ids: list[int], seed: int) -> None:
    dataset = grouped(ids)
    try:
        split = make_split(dataset, seed=seed)
    except DataError as problem:  # Sixty groups can miss a part; the message must say so.
        assert "none is left for" in str(problem)  # noqa: PT017
        return
    parts = (split.train, split.val, split.test)
    assert sorted(index for part in parts for index in part) == list(range(len(ids)))
    assert all(list(part) == sorted(part) for part in parts)
    found = [{dataset.samples[index].group for index in part} for part in parts]
    assert all(not one & other for one, other in combinations(found, 2))


@settings(deadline=None, max_examples=30)
@given(
    old=st.sets(st.integers(0, 10**6), min_size=150, max_size=200),
    new=st.sets(st.integers(0, 10**6), max_size=100),
    size=st.sampled_from(SIZES),
)
def test_added_images_move_no_old_one(old: set[int], new: set[int], size: Size) -> None:
    def split_of(ids: set[int]) -> dict[str, str]:
        dataset = dataset_of([Sample(f"{index:07}", f"{index:07}") for index in ids])
        return parts_by_name(dataset, make_split(dataset, size=size))

    try:
        before, after = split_of(old), split_of(old | new)
    except DataError as problem:
        assert "none is left for" in str(problem)  # noqa: PT017
        return
    assert after | before == after


def test_hash_shares() -> None:
    dataset = numbered(20000)
    num_train, num_val, num_test, num_left_out = counts(make_split(dataset))
    assert num_train == pytest.approx(16000, abs=300)
    assert num_val == pytest.approx(2000, abs=200)
    assert num_test == pytest.approx(2000, abs=200)
    assert num_left_out == 0
    small = make_split(dataset, size="small")
    assert len(small.train) == pytest.approx(num_train * 1000 / 2342, abs=300)
    assert len(small.val) == pytest.approx(num_val * 100 / 292, abs=100)
    assert len(small.test) == num_test


def test_small_and_counts_are_nested() -> None:
    dataset = numbered(2000)
    big, small = make_split(dataset), make_split(dataset, size="small")
    assert set(small.train) < set(big.train)
    assert set(small.val) < set(big.val)
    assert small.test == big.test
    same = make_split(dataset, train=len(small.train), val=len(small.val))
    assert (same.train, same.val) == (small.train, small.val)
    fewer = make_split(dataset, train=10, val=5)
    assert counts(fewer)[:2] == (10, 5)
    assert set(fewer.train) < set(small.train)
    assert fewer.train == tuple(sorted(fewer.train))


def test_seeds_differ_and_repeat() -> None:
    dataset = numbered(500)
    tests = [make_split(dataset, seed=seed).test for seed in range(5)]
    assert len(set(tests)) == 5
    assert make_split(dataset, seed=4) == make_split(dataset, seed=4)
    # Independent draws: two seeds agree on a tenth of a tenth, not on all.
    assert len(set(tests[0]) & set(tests[1])) < 20


def test_the_hash_is_fixed_for_ever() -> None:
    split = make_split(numbered(40), train=5)
    assert split.train == (14, 15, 27, 33, 38)
    assert split.val == (1, 21, 22, 25, 28, 30, 39)
    assert split.test == (0, 7, 11, 13, 17, 32, 34)


def test_hash_mistakes() -> None:
    message = failure(grouped([0, 1, 2, 3]))
    assert message.startswith("Of 4 images, none is left for ")
    assert message.endswith("with split seed 0. Add images, or pass another --split-seed.")
    message = failure(numbered(100), train=95)
    assert re.fullmatch(
        r"95 images for train are more than the \d+ that the split has for it\."
        r" Ask for fewer, or add images\.",
        message,
    )


@pytest.mark.parametrize("options", [{}, {"division": "exact"}, {"folds": 2, "fold": 0}])
def test_what_no_seed_can_divide_is_not_told_to_try_another(options: dict[str, Any]) -> None:
    groups = "give --group a pattern that tells more of them apart, leave it out"
    for dataset, what, advice in (
        (numbered(1), "1 image: ", "Add at least 2 images."),
        (numbered(2), "2 images: ", "Add at least 1 image."),
        (grouped([0] * 50), "50 images in 1 group: ", groups),
        (grouped([0, 1] * 25), "50 images in 2 groups: ", groups),
    ):
        message = failure(dataset, **options)
        assert message.startswith(what)
        assert "seed" not in message
        assert advice in message


# A user's own parts


def test_own_parts_are_kept() -> None:
    dataset = merge(numbered(3, part="train"), numbered(2, part="val"), numbered(2, part="test"))
    split = make_split(dataset)
    assert counts(split) == (3, 2, 2, 0)
    for part, indices in (("train", split.train), ("val", split.val), ("test", split.test)):
        assert {dataset.samples[index].part for index in indices} == {part}
    assert split.notes == ("The folders' own parts are kept: train, val, test.",)


def test_only_what_is_to_be_divided_is_counted() -> None:
    dataset = merge(numbered(1, part="train"), numbered(10, part="test"))
    assert failure(dataset).startswith("1 image beside those in test/: none is left for")


@pytest.mark.parametrize("missing", ["val", "test"])
def test_a_part_without_folder_comes_from_train_by_hash(missing: str) -> None:
    kept = {"val": "test", "test": "val"}[missing]
    dataset = merge(numbered(1000, part="train"), numbered(4, part=kept))
    split = make_split(dataset)
    found = {"val": split.val, "test": split.test}
    assert len(found[kept]) == 4
    assert len(found[missing]) == pytest.approx(100, abs=40)
    assert counts(split)[3] == 0
    assert split.notes[1] == f"No folder {missing}: taken from train by hash, seed 0."


def test_only_a_train_folder_is_split_by_hash() -> None:
    dataset = numbered(1000, part="train")
    split = make_split(dataset)
    assert counts(split)[2] == pytest.approx(100, abs=40)
    assert split.notes[1] == "No folder val or test: taken from train by hash, seed 0."


def test_own_parts_without_train_are_a_mistake() -> None:
    dataset = merge(numbered(5, part="val"), numbered(5, part="test"))
    assert "none is left for train" in failure(dataset)


def test_own_parts_must_not_share_a_group() -> None:
    shared = [Sample(f"{part}/1", "patient1", part=part) for part in ("train", "test", "val")]
    message = failure(dataset_of(shared))
    assert message.startswith("Group 'patient1' lies in both train/ and ")
    assert "Move its images into one of them, or leave out --group." in message


def test_small_of_own_parts() -> None:
    dataset = merge(
        numbered(1000, part="train"), numbered(300, part="val"), numbered(100, part="test")
    )
    split = make_split(dataset, size="small")
    assert len(split.train) == pytest.approx(427, abs=80)
    assert len(split.val) == pytest.approx(103, abs=40)
    assert len(split.test) == 100


# In folds


def fold_splits(dataset: Dataset, folds: int, **options: Any) -> list[Split]:
    return [make_split(dataset, folds=folds, fold=fold, **options) for fold in range(folds)]


def groups_of(dataset: Dataset, indices: tuple[int, ...]) -> set[str]:
    return {dataset.samples[index].group for index in indices}


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 30), min_size=8, max_size=80), folds=st.integers(2, 8))
def test_folds_test_every_image_once_and_divide_no_group(ids: list[int], folds: int) -> None:
    dataset = grouped(ids)
    try:
        splits = fold_splits(dataset, folds)
    except DataError as problem:
        few = len(set(ids)) < folds or folds == 2
        assert few, problem  # noqa: PT017
        return
    assert sorted(index for split in splits for index in split.test) == list(range(len(ids)))
    for split in splits:
        parts = split.train, split.val, split.test
        assert all(part and list(part) == sorted(part) for part in parts)
        assert sorted(sum(parts, ())) == list(range(len(ids)))
        found = [groups_of(dataset, part) for part in parts]
        assert all(not one & other for one, other in combinations(found, 2))
    sizes = [len(split.test) for split in splits]
    assert max(sizes) - min(sizes) <= max(Counter(ids).values())


@given(total=st.integers(4, 300), folds=st.integers(2, 12), seed=st.integers(0, 3))
def test_folds_of_single_images_differ_by_one_at_most(total: int, folds: int, seed: int) -> None:
    folds = min(folds, total)
    sizes = [counts(split)[2] for split in fold_splits(numbered(total), folds, seed=seed)]
    assert sum(sizes) == total
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("full_size", [None, 2927])
def test_folds_of_ten_images(folds: int, full_size: int | None) -> None:
    for split in fold_splits(numbered(10, full_size), folds):
        num_train, num_val, num_test, num_left_out = counts(split)
        assert num_val == 1
        assert abs(num_test - 10 / folds) < 1
        assert (num_train, num_left_out) == (9 - num_test, 0)


def test_folds_choose_their_epochs_on_different_images() -> None:
    splits = fold_splits(numbered(100), 5)
    assert [len(split.val) for split in splits] == [9] * 5
    assert len({index for split in splits for index in split.val}) == 45
    for split, after in zip(splits, splits[1:] + splits[:1], strict=True):
        assert set(split.val) < set(after.test)


def test_folds_know_a_copy_of_the_data_but_not_its_order() -> None:
    dataset = grouped([index * index % 37 for index in range(90)])
    backwards = replace(dataset, samples=dataset.samples[::-1])
    for one, other in zip(fold_splits(dataset, 4), fold_splits(backwards, 4), strict=True):
        assert parts_by_name(dataset, one) == parts_by_name(backwards, other)


def test_the_folds_are_fixed_for_ever() -> None:
    splits = fold_splits(numbered(12), 3)
    assert [split.test for split in splits] == [(3, 4, 7, 8), (2, 5, 9, 10), (0, 1, 6, 11)]
    assert [split.val for split in splits] == [(9,), (6,), (4,)]


def test_folds_of_other_seeds_differ() -> None:
    dataset = numbered(100)
    tests = {make_split(dataset, folds=5, fold=0, seed=seed).test for seed in range(5)}
    assert len(tests) == 5


def test_a_group_larger_than_a_fold_is_tested_alone() -> None:
    dataset = grouped([0] * 50 + list(range(1, 21)))
    splits = fold_splits(dataset, 3)
    assert [counts(split)[2] for split in splits] == [50, 10, 10]
    # It is too large to choose the epoch, too.
    assert [counts(split)[1] for split in splits] == [2, 7, 7]


def test_folds_of_large_groups_alone_still_validate() -> None:
    for split in fold_splits(grouped([0] * 9 + [1] * 7 + [2] * 8), 3):
        assert counts(split)[1] == 7 or counts(split)[2:] == (7, 0)
        assert min(counts(split)[:3]) >= 7


def test_folds_can_be_capped() -> None:
    dataset = numbered(500)
    for size, options, expected in (
        ("small", {}, (152, 15)),
        ("big", {"train": 20, "val": 3}, (20, 3)),
        ("small", {"train": 300}, (300, 15)),
    ):
        for whole, split in zip(
            fold_splits(dataset, 5), fold_splits(dataset, 5, size=size, **options), strict=True
        ):
            assert counts(split) == (*expected, 100, 400 - sum(expected))
            assert split.test == whole.test
            assert set(split.train) < set(whole.train)
            assert set(split.val) < set(whole.val)
    assert failure(dataset, folds=5, fold=0, val=45) == (
        "45 images for val are more than the 44 that the split has for it. Ask for fewer, or add"
        " images."
    )


def test_folds_say_what_they_are() -> None:
    (note,) = make_split(numbered(11, 2927), folds=3, fold=1).notes
    assert note == (
        "3 folds of 3 to 4 images, by hash with split seed 0: every image is tested once."
    )
    (note,) = make_split(numbered(12, 2927), folds=3, fold=1).notes
    assert note.startswith("3 folds of 4 images, by hash")


def test_folds_of_own_parts() -> None:
    only = numbered(20, part="train")
    assert sum(len(split.test) for split in fold_splits(only, 5)) == 20
    message = failure(merge(only, numbered(3, part="test")), folds=5, fold=0)
    assert message == (
        "The folders' own parts (test) say what is tested: leave out --folds, or pass --division"
        " pooled to divide all images anew."
    )


@pytest.mark.parametrize(
    ("num_images", "options", "message"),
    [
        (10, {"folds": 1, "fold": 0}, "--folds 1: expected 2 or more, or 0 for one division."),
        (10, {"fold": 0}, "Fold 0 without folds: pass their number as well."),
        (10, {"folds": 5}, "Fold None of 5: expected one of 0 to 4."),
        (10, {"folds": 5, "fold": 5}, "Fold 5 of 5: expected one of 0 to 4."),
        (
            4,
            {"folds": 5, "fold": 0},
            "--folds 5: more than the 4 groups of images to divide. Ask for fewer.",
        ),
        (
            3,
            {"folds": 2, "fold": 0},
            "--folds 2: leaves one group of images for train and val together. Ask for more folds,"
            " or add images.",
        ),
    ],
)
def test_folds_mistakes(num_images: int, options: dict[str, int], message: str) -> None:
    assert failure(numbered(num_images), **options) == message


# Real data


def people(dataset: Dataset, indices: tuple[int, ...]) -> set[str]:
    return {dataset.samples[index].group for index in indices}


def test_real_lfw_split() -> None:
    dataset = open_dataset(require("lfw"))
    big, small = make_split(dataset), make_split(dataset, size="small")
    assert counts(big) == (2342, 292, 292, 1)
    assert counts(small) == (1000, 100, 292, 1535)
    assert "In no part of the split: Steve_Largent_0001." in big.notes
    for split in (big, small):
        assert not people(dataset, split.train) & people(dataset, split.test)
        assert not people(dataset, split.val) & people(dataset, split.test)
    assert "In two parts, as the order of names has it: Raoul_Ruiz." in big.notes


def test_real_lfw_folds() -> None:
    dataset = open_dataset(require("lfw"))
    splits = fold_splits(dataset, 5)
    assert sorted(index for split in splits for index in split.test) == list(range(2927))
    sizes = [len(split.test) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    for split in splits:
        assert not people(dataset, split.train + split.val) & people(dataset, split.test)


def test_real_helen_layout_split() -> None:
    dataset = open_dataset(require("celebamask_as_helen"))
    assert counts(make_split(dataset)) == (800, 100, 100, 0)
    assert counts(make_split(dataset, size="small")) == (430, 43, 100, 427)


@pytest.mark.parametrize("name", ["nuclei", "membrane"])
def test_real_folder_splits(name: str) -> None:
    dataset = open_dataset(require(name))
    for size in SIZES:
        split = make_split(dataset, size=size)
        assert min(counts(split)[:3]) >= 1


def test_splits_follow_the_group_of_a_folder() -> None:
    source = require("membrane")
    by_group = open_dataset(source, group=r"^\d")
    split = make_split(by_group, seed=_first_seed(by_group))
    parts = [people(by_group, indices) for indices in (split.train, split.val, split.test)]
    assert sum(map(len, parts)) == len(set().union(*parts))


def _first_seed(dataset: Dataset) -> int:
    for seed in range(100):
        try:
            make_split(dataset, seed=seed)
        except DataError:
            continue
        return seed
    raise AssertionError("no seed of 100 fills every part")
