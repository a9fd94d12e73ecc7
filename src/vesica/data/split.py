"""Which samples train, choose the epoch, and test: in the order of names, by hash, or in folds."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vesica.data.sample import Dataset
from vesica.errors import DataError

Size = Literal["big", "small"]

TEST_SHARE = VAL_SHARE = 0.1
SMALL_TRAIN, SMALL_VAL = 1000, 100
"""Images of the small split of a whole face set."""
SMALL_TRAIN_SHARE = SMALL_TRAIN / 2342
SMALL_VAL_SHARE = SMALL_VAL / 292
"""The same, in parts of LFW's big split: for sets whose whole number is not known."""
MAX_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Split:
    """Indices into `Dataset.samples`, each ascending.

    Attributes:
        train: Samples to train on.
        val: Samples that choose the epoch.
        test: Samples for the result.
        left_out: Samples in none of the three.
        notes: What a user should know about the split, a sentence each.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    left_out: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def make_split(
    dataset: Dataset,
    *,
    size: Size = "big",
    train: int | None = None,
    val: int | None = None,
    seed: int = 0,
    folds: int = 0,
    fold: int | None = None,
) -> Split:
    """Divide a data set into parts for training, validation and test.

    A set whose whole number is known is cut in the order of its names: training first, validation
    directly after it, the last tenth for test. Any other set keeps its own `train/ val/ test/`
    folders; what these leave open is decided by a hash of each sample's group, so that a group
    stays together and an image that is added moves no other.

    Folds divide any set by the same hash into shares as equal as whole groups allow, each the test
    part of one division; validation comes first from the fold after it, so that the divisions
    share as few images for choosing the epoch as they can.

    Args:
        dataset: An opened data set.
        size: "big" uses all images; "small" 1000 and 100 of a whole face set, in proportion.
        train: Number of images for training in place of the split's own.
        val: Number of images for validation in place of the split's own.
        seed: Another seed is another hash. It says nothing about training.
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
    if folds or fold is not None:
        return _split_in_folds(dataset, size, train, val, seed, folds, fold)
    if dataset.full_size is not None:
        return _split_by_name(dataset, dataset.full_size, size, train, val, seed)
    return _split_by_hash(dataset, size, train, val, seed)


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
    if shared := sorted(_shared_groups(dataset, parts)):
        notes.append(f"In two parts, as the order of names has it: {', '.join(shared)}.")
    if seed != 0:
        notes.append(f"The split follows the order of names; split seed {seed} changes nothing.")
    return _finish(dataset, parts, notes)


def _split_by_hash(
    dataset: Dataset, size: Size, train: int | None, val: int | None, seed: int
) -> Split:
    samples = dataset.samples
    draws = [_draw(seed, sample.group) for sample in samples]
    own = {sample.part for sample in samples} - {None}
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for index, sample in enumerate(samples):
        drawn = draws[index].part
        is_open = sample.part is None or (sample.part == "train" and drawn not in own)
        parts[drawn if is_open else str(sample.part)].append(index)
    for shared, (first, second, *_) in _shared_groups(dataset, parts).items():
        raise DataError(
            f"Group {shared!r} lies in both {first}/ and {second}/, which are meant to"
            " share none. Move its images into one of them, or leave out --group."
        )
    notes = _describe_own_parts(own, seed)
    for name, count, share in (
        ("train", train, SMALL_TRAIN_SHARE),
        ("val", val, SMALL_VAL_SHARE),
    ):
        if count is not None:
            parts[name] = _first(parts[name], count, name, [(draw.rank,) for draw in draws])
        elif size == "small":
            parts[name] = [index for index in parts[name] if draws[index].rank < share]
    empty = [name for name, indices in parts.items() if not indices]
    if empty:
        raise DataError(
            f"Of {len(samples)} images, none is left for {' and '.join(empty)} with split seed"
            f" {seed}."
            " Add images, or pass another --split-seed."
        )
    return _finish(dataset, parts, notes)


def _split_in_folds(
    dataset: Dataset,
    size: Size,
    train: int | None,
    val: int | None,
    seed: int,
    folds: int,
    fold: int | None,
) -> Split:
    samples = dataset.samples
    fold_of = _deal(dataset, seed, folds)
    if fold is None or not 0 <= fold < folds:
        raise DataError(f"Fold {fold} of {folds}: expected one of 0 to {folds - 1}.")
    order = [
        ((fold_of[sample.group] - fold) % folds, _draw(seed, sample.group).rank)
        for sample in samples
    ]
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    chosen = _groups_for_val(dataset, order)
    for index, sample in enumerate(samples):
        is_tested = fold_of[sample.group] == fold
        name = "test" if is_tested else "val" if sample.group in chosen else "train"
        parts[name].append(index)
    for name, count, share in (
        ("train", train, SMALL_TRAIN_SHARE),
        ("val", val, SMALL_VAL_SHARE),
    ):
        if count is None and size == "small":
            count = max(1, round(share * len(parts[name])))
        if count is not None:
            parts[name] = _first(parts[name], count, name, order)
    sizes = sorted(Counter(fold_of[sample.group] for sample in samples).values())
    note = (
        f"{folds} folds of {sizes[0]} to {sizes[-1]} images, by hash with split seed {seed}: every"
        " image is tested once."
    )
    return _finish(dataset, parts, [note])


def _deal(dataset: Dataset, seed: int, folds: int) -> dict[str, int]:
    """The fold of each group: the largest group first, each to the smallest fold so far.

    Raises:
        DataError: If the set cannot be divided so.
    """
    sizes = Counter(sample.group for sample in dataset.samples)
    if folds < 2:
        raise DataError(f"Folds of a split: expected at least 2, not {folds}.")
    parts = {sample.part for sample in dataset.samples if sample.part}
    if own := sorted(parts - {"train"}):
        raise DataError(
            f"The folders' own parts ({', '.join(own)}) say what is tested: leave out"
            " --folds, or put all images into one folder."
        )
    if folds > len(sizes):
        raise DataError(
            f"{folds} folds are more than the {len(sizes)} groups of images to divide. Ask for"
            " fewer."
        )
    fold_of: dict[str, int] = {}
    filled = [0] * folds
    for group in sorted(sizes, key=lambda group: (-sizes[group], _draw(seed, group).rank, group)):
        fold_of[group] = filled.index(min(filled))
        filled[fold_of[group]] += sizes[group]
    if len(sizes) - max(Counter(fold_of.values()).values()) < 2:
        raise DataError(
            f"{folds} folds leave one group of images for train and val together. Ask for more"
            " folds, or add images."
        )
    return fold_of


def _groups_for_val(dataset: Dataset, order: list[tuple[int, float]]) -> set[str]:
    """Groups of the other folds that fit into the share for validation; at least the smallest."""
    places = {s.group: place for s, place in zip(dataset.samples, order, strict=True) if place[0]}
    sizes = Counter(sample.group for sample in dataset.samples if sample.group in places)
    num_left = max(1, round(VAL_SHARE / (1 - TEST_SHARE) * sizes.total()))
    chosen = set()
    for group in sorted(places, key=lambda group: places[group]):
        if sizes[group] <= num_left:
            chosen.add(group)
            num_left -= sizes[group]
    return chosen or {min(places, key=lambda group: (sizes[group], places[group]))}


@dataclass(frozen=True)
class _Draw:
    """Two independent numbers in [0, 1) from one hash, as the part and the place within it."""

    part: str
    rank: float


def _draw(seed: int, group: str) -> _Draw:
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    share, rank = (int.from_bytes(digest[start : start + 8]) / 2**64 for start in (0, 8))
    if share < TEST_SHARE:
        return _Draw("test", rank)
    return _Draw("val" if share < TEST_SHARE + VAL_SHARE else "train", rank)


def _first(
    indices: list[int], count: int, name: str, order: Sequence[tuple[float, ...]]
) -> list[int]:
    if count > len(indices):
        raise DataError(
            f"{count} images for {name} are more than the {len(indices)} that the split has for it."
            " Ask for fewer, or add images."
        )
    # Groups whole, as far as they fit: equal places are one group.
    return sorted(sorted(indices, key=lambda index: (*order[index], index))[:count])


def _shared_groups(dataset: Dataset, parts: dict[str, list[int]]) -> dict[str, list[str]]:
    """Groups that lie in several parts, with these parts."""
    found: dict[str, dict[str, None]] = {}
    for name, indices in parts.items():
        for index in indices:
            found.setdefault(dataset.samples[index].group, {})[name] = None
    return {group: list(names) for group, names in found.items() if len(names) > 1}


def _describe_own_parts(own: set[str | None], seed: int) -> list[str]:
    if not own:
        return []
    kept = [name for name in ("train", "val", "test") if name in own]
    notes = [f"The folders' own parts are kept: {', '.join(kept)}."]
    taken = [name for name in ("val", "test") if name not in own]
    if taken:
        notes.append(f"No folder {' or '.join(taken)}: taken from train by hash, seed {seed}.")
    return notes


def _finish(dataset: Dataset, parts: dict[str, list[int]], notes: list[str]) -> Split:
    used = {index for indices in parts.values() for index in indices}
    left_out = tuple(index for index in range(len(dataset.samples)) if index not in used)
    if 0 < len(left_out) <= MAX_NAMES_SHOWN:
        names = ", ".join(dataset.samples[index].name for index in left_out)
        notes.append(f"In no part of the split: {names}.")
    elif left_out:
        notes.append(f"In no part of the split: {len(left_out)} images.")
    return Split(
        tuple(parts["train"]), tuple(parts["val"]), tuple(parts["test"]), left_out, tuple(notes)
    )


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
