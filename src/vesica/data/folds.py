"""Divisions of a data set that test every image once between them."""

from collections import Counter

from vesica.data.parts import (
    NUM_PARTS,
    SMALL_SHARES,
    TEST_SHARE,
    VAL_SHARE,
    Size,
    Split,
    draw,
    finish,
    first,
    no_parts,
    own_parts,
    say_too_few,
)
from vesica.data.sample import Dataset
from vesica.errors import DataError
from vesica.words import count_of


def split_in_folds(
    dataset: Dataset,
    size: Size,
    train: int | None,
    val: int | None,
    seed: int,
    folds: int,
    fold: int | None,
) -> Split:
    """One of the divisions: shares as equal as whole groups allow, each the test part of one.

    Validation comes first from the fold after it, so that the divisions share as few images for
    choosing the epoch as they can.

    Raises:
        DataError: As `make_split`.
    """
    if not folds:
        raise DataError(f"Fold {fold} without folds: pass their number as well.")
    samples = dataset.samples
    fold_of = _deal(dataset, seed, folds)
    if fold is None or not 0 <= fold < folds:
        raise DataError(f"Fold {fold} of {folds}: expected one of 0 to {folds - 1}.")
    order = [
        ((fold_of[sample.group] - fold) % folds, draw(seed, sample.group).rank)
        for sample in samples
    ]
    parts = no_parts()
    chosen = _groups_for_val(dataset, order)
    for index, sample in enumerate(samples):
        is_tested = fold_of[sample.group] == fold
        name = "test" if is_tested else "val" if sample.group in chosen else "train"
        parts[name].append(index)
    for name, count in (("train", train), ("val", val)):
        if count is None and size == "small":
            count = max(1, round(SMALL_SHARES[name] * len(parts[name])))
        if count is not None:
            parts[name] = first(parts[name], count, name, order)
    sizes = sorted(Counter(fold_of[sample.group] for sample in samples).values())
    least, most = sizes[0], sizes[-1]
    num = count_of(most, "image") if least == most else f"{least} to {most} images"
    note = f"{folds} folds of {num}, by hash with split seed {seed}: every image is tested once."
    return finish(dataset, parts, [note])


def _deal(dataset: Dataset, seed: int, folds: int) -> dict[str, int]:
    """The fold of each group: the largest group first, each to the smallest fold so far.

    Raises:
        DataError: If the set cannot be divided so.
    """
    sizes = Counter(sample.group for sample in dataset.samples)
    if folds < 2:
        raise DataError(f"--folds {folds}: expected 2 or more, or 0 for one division.")
    if own := sorted(own_parts(dataset) - {"train"}):
        raise DataError(
            f"The folders' own parts ({', '.join(own)}) say what is tested: leave out"
            " --folds, or pass --division pooled to divide all images anew."
        )
    if len(sizes) < NUM_PARTS:
        raise DataError(say_too_few(dataset, "train, val and test need one each"))
    if folds > len(sizes):
        raise DataError(
            f"--folds {folds}: more than the {len(sizes)} groups of images to divide. Ask for"
            " fewer."
        )
    fold_of: dict[str, int] = {}
    filled = [0] * folds
    for group in sorted(sizes, key=lambda group: (-sizes[group], draw(seed, group).rank, group)):
        fold_of[group] = filled.index(min(filled))
        filled[fold_of[group]] += sizes[group]
    if len(sizes) - max(Counter(fold_of.values()).values()) < 2:
        raise DataError(
            f"--folds {folds}: leaves one group of images for train and val together. Ask for more"
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
