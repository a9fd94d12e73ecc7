"""Which samples train, choose the epoch, and test: in the order of names, by hash, or in folds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from vesica.data.folds import split_in_folds
from vesica.data.parts import (
    NUM_PARTS,
    SMALL_SHARES,
    SMALL_TRAIN,
    SMALL_VAL,
    TEST_SHARE,
    VAL_SHARE,
    Indices,
    Size,
    Split,
    draw,
    finish,
    first,
    no_parts,
    own_parts,
    say_too_few,
    shared_groups,
)
from vesica.data.sample import Dataset
from vesica.errors import DataError
from vesica.statistics import MIN_UNITS

__all__ = ["Division", "Size", "Split", "make_split", "settle_division"]

Division = Literal["exact", "pooled", "drawn"]

SHARES = {"test": TEST_SHARE, "val": VAL_SHARE}
LEAST_GROUPS = {"test": (MIN_UNITS, 3), "val": (5, 5)}
"""Of a part of the exact division: so many, but no more than one in so many of all groups."""


def make_split(
    dataset: Dataset,
    *,
    size: Size = "big",
    train: int | None = None,
    val: int | None = None,
    seed: int = 0,
    division: Division | None = None,
    folds: int = 0,
    fold: int | None = None,
) -> Split:
    """Divide a data set into parts for training, validation and test.

    A set whose whole number is known is cut in the order of its names: training first, validation
    directly after it, the last tenth for test. Any other set keeps its own `train/ val/ test/`
    folders; what these leave open is decided by a hash of each sample's group, so that a group
    stays together.

    Args:
        dataset: An opened data set.
        size: "big" uses all images; "small" 1000 and 100 of a whole face set, in proportion.
        train: Number of images for training in place of the split's own.
        val: Number of images for validation in place of the split's own.
        seed: Another seed is another hash. It says nothing about training.
        division: "exact": the hash orders the groups, and shares are cut from the order, exact up
            to whole groups; an image that is added moves two others at most, where every image is
            a group. "pooled": so too, but the set's own parts are put together first. "drawn", or
            None: each group's part is drawn by itself, so that shares vary, and an image that is
            added moves no other.
        folds: Divisions that test every image once between them; 0 is a single one, as above.
        fold: Which of these divisions, from 0.

    Raises:
        DataError: If a part would be empty, more images are asked for than there are, or the data
            set's own parts leave no folds to choose.
    """
    if size not in ("big", "small"):
        raise DataError(f"Unknown size {size!r} of a split. Pass big or small.")
    for name, count in (("train", train), ("val", val)):
        if count is not None and count < 1:
            raise DataError(f"{count} images for {name}: expected at least 1.")
    if division == "pooled":
        pooled = tuple(replace(sample, part=None) for sample in dataset.samples)
        dataset = replace(dataset, samples=pooled)
    if folds or fold is not None:
        return split_in_folds(dataset, size, train, val, seed, folds, fold)
    if dataset.full_size is not None:
        return _split_by_name(dataset, dataset.full_size, size, train, val, seed)
    if division in (None, "drawn"):
        return _split_by_draw(dataset, size, train, val, seed)
    return _split_exactly(dataset, size, train, val, seed)


def settle_division(dataset: Dataset, division: Division | None, folds: int) -> Division | None:
    """The way of dividing as a cell's identity holds it: None where it makes no difference."""
    own = own_parts(dataset) & {"val", "test"}
    if division == "pooled" and own:
        return "pooled"
    is_settled = folds or dataset.full_size is not None or len(own) == 2
    return None if is_settled or division in (None, "drawn") else "exact"


def _split_by_name(
    dataset: Dataset, full_size: int, size: Size, train: int | None, val: int | None, seed: int
) -> Split:
    total = len(dataset.samples)
    big = (round(0.8 * total), total // 10)
    small = (
        _ceil_div(SMALL_TRAIN * total, full_size),
        _ceil_div(SMALL_VAL * total, full_size),
    )
    num_train, num_val = small if size == "small" else big
    num_train = num_train if train is None else train
    num_val = num_val if val is None else val
    num_test = total // 10
    if num_test == 0:
        raise DataError(f"{total} images are too few to split. Add images: at least 10.")
    if num_train + num_val + num_test > total:
        raise DataError(
            f"{num_train} images for train, {num_val} for val and {num_test} for test are more than"
            f" the {total} there are. Ask for fewer."
        )
    end = num_train + num_val
    parts = {
        "train": list(range(num_train)),
        "val": list(range(num_train, end)),
        "test": list(range(total - num_test, total)),
    }
    notes = []
    if total != full_size:
        notes.append(
            f"{total} images where the whole set has {full_size}: {num_train} for train,"
            f" {num_val} for val, {num_test} for test."
        )
    if shared := sorted(shared_groups(dataset, parts)):
        notes.append(f"In two parts, as the order of names has it: {', '.join(shared)}.")
    if seed != 0:
        notes.append(f"The split follows the order of names; split seed {seed} changes nothing.")
    return finish(dataset, parts, notes)


def _split_by_draw(
    dataset: Dataset, size: Size, train: int | None, val: int | None, seed: int
) -> Split:
    draws = [draw(seed, sample.group) for sample in dataset.samples]
    own = own_parts(dataset)
    parts = no_parts()
    for index, sample in enumerate(dataset.samples):
        drawn = draws[index].part
        is_open = sample.part is None or (sample.part == "train" and drawn not in own)
        parts[drawn if is_open else str(sample.part)].append(index)
    _refuse_shared(dataset, parts)
    for name, count in (("train", train), ("val", val)):
        if count is not None:
            parts[name] = first(parts[name], count, name, [(found.rank,) for found in draws])
        elif size == "small":
            parts[name] = [i for i in parts[name] if draws[i].rank < SMALL_SHARES[name]]
    empty = [name for name, indices in parts.items() if not indices]
    if empty:
        num_open = len({s.group for s in dataset.samples if s.part in (None, "train")})
        if num_open < NUM_PARTS - len(own & {"val", "test"}):  # whatever the seed
            raise DataError(_say_empty(dataset, num_open, empty))
        raise DataError(
            f"Of {len(dataset.samples)} images, none is left for {' and '.join(empty)} with split"
            f" seed {seed}."
            " Add images, or pass another --split-seed."
        )
    return finish(dataset, parts, _describe_own_parts(own, seed))


def _split_exactly(
    dataset: Dataset, size: Size, train: int | None, val: int | None, seed: int
) -> Split:
    own = own_parts(dataset)
    stated = no_parts()
    for index, sample in enumerate(dataset.samples):
        stated[sample.part or "train"].append(index)
    _refuse_shared(dataset, stated)
    sizes = Counter(dataset.samples[index].group for index in stated["train"])
    draws = {sample.group: draw(seed, sample.group) for sample in dataset.samples}
    order = sorted(sizes, key=lambda group: (draws[group].share, group))
    part_of: dict[str, str] = {}
    for name, groups in (("test", order), ("val", order[::-1])):  # two ends, far from each other
        if name not in own:
            left = [group for group in groups if group not in part_of]
            num_others = 2 if name == "test" and "val" not in own else 1
            taken = _take(left, sizes, name)[: max(1, len(left) - num_others)]
            part_of |= dict.fromkeys(taken, name)
    parts = stated | {"train": []}
    for index in stated["train"]:
        parts[part_of.get(dataset.samples[index].group, "train")].append(index)
    parts = {name: sorted(indices) for name, indices in parts.items()}
    if empty := [name for name, indices in parts.items() if not indices]:
        raise DataError(_say_empty(dataset, len(sizes), empty))
    places = [(draws[sample.group].rank,) for sample in dataset.samples]
    for name, count in (("train", train), ("val", val)):
        if count is None and size == "small":
            count = max(1, round(SMALL_SHARES[name] * len(parts[name])))
        if count is not None:
            parts[name] = first(parts[name], count, name, places)
    return finish(dataset, parts, _describe_own_parts(own, seed))


def _take(order: Sequence[str], sizes: Mapping[str, int], name: str) -> list[str]:
    """The first groups that make a part's share; those larger than the whole share come last."""
    wanted = max(1, round(SHARES[name] * sum(sizes.values())))
    most, one_in = LEAST_GROUPS[name]
    least = max(1, min(most, len(sizes) // one_in))
    taken: list[str] = []
    num_images = 0
    for group in sorted(order, key=lambda group: max(wanted, sizes[group])):
        # Stop where another group would lead further away from the share.
        if len(taken) >= least and 2 * (wanted - num_images) <= sizes[group]:
            break
        taken.append(group)
        num_images += sizes[group]
    return taken


def _refuse_shared(dataset: Dataset, parts: Indices) -> None:
    for shared, (one, other, *_) in shared_groups(dataset, parts).items():
        raise DataError(
            f"Group {shared!r} lies in both {one}/ and {other}/, which are meant to"
            " share none. Move its images into one of them, or leave out --group."
        )


def _say_empty(dataset: Dataset, num_open: int, empty: Sequence[str]) -> str:
    """Why nothing is left for some parts, and the way out."""
    samples = dataset.samples
    if not num_open:
        own = " and ".join(f"{part}/" for part in sorted(own_parts(dataset)))
        return (
            f"All {len(samples)} images lie in {own}: none is left for {' and '.join(empty)}. Put"
            " those to train on into train/, or pass --division pooled."
        )
    return say_too_few(dataset, f"none is left for {' and '.join(empty)}")


def _describe_own_parts(own: set[str], seed: int) -> list[str]:
    if not own:
        return []
    kept = [name for name in ("train", "val", "test") if name in own]
    notes = [f"The folders' own parts are kept: {', '.join(kept)}."]
    taken = [name for name in ("val", "test") if name not in own]
    if taken:
        notes.append(f"No folder {' or '.join(taken)}: taken from train by hash, seed {seed}.")
    return notes


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
