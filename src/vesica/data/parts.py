"""The parts of a data set, and what every way of dividing one shares."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vesica.data.sample import Dataset
from vesica.errors import DataError
from vesica.words import count_of

Size = Literal["big", "small"]

Indices = dict[str, list[int]]
"""Of the samples of each part, by its name."""

TEST_SHARE = VAL_SHARE = 0.1
SMALL_TRAIN, SMALL_VAL = 1000, 100
"""Images of the small split of a whole face set."""
SMALL_SHARES = {"train": SMALL_TRAIN / 2342, "val": SMALL_VAL / 292}
"""The same, in parts of LFW's big split: for sets whose whole number is not known."""
MAX_NAMES_SHOWN = 3

NUM_PARTS = 3
"""Training, validation and test, each of at least one group."""


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


@dataclass(frozen=True)
class Draw:
    """Two independent numbers in [0, 1) from one hash: for the part, and the place within it."""

    share: float
    rank: float

    @property
    def part(self) -> str:
        """The part that a group is drawn into by itself."""
        if self.share < TEST_SHARE:
            return "test"
        return "val" if self.share < TEST_SHARE + VAL_SHARE else "train"


def draw(seed: int, group: str) -> Draw:
    """What the hash of a group says."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    share, rank = (int.from_bytes(digest[start : start + 8]) / 2**64 for start in (0, 8))
    return Draw(share, rank)


def own_parts(dataset: Dataset) -> set[str]:
    """The parts that the data set itself names."""
    return {sample.part for sample in dataset.samples if sample.part is not None}


def no_parts() -> Indices:
    """Three empty parts."""
    return {"train": [], "val": [], "test": []}


def say_too_few(dataset: Dataset, lack: str) -> str:
    """That no division of so few images or groups has what it must have, and what can help."""
    samples = [sample for sample in dataset.samples if sample.part in (None, "train")]
    num_groups = len({sample.group for sample in samples})
    parts = own_parts(dataset) - {"train"}
    beside = f" beside those in {' and '.join(f'{part}/' for part in sorted(parts))}"
    beside *= bool(parts)
    if num_groups == len(samples):
        needed = NUM_PARTS - len(parts) - len(samples)
        add = f"at least {count_of(needed, 'image')}" if needed > 0 else "images"
        return f"{count_of(len(samples), 'image')}{beside}: {lack}. Add {add}."
    return (
        f"{count_of(len(samples), 'image')} in {count_of(num_groups, 'group')}{beside}: {lack}. A"
        " group is never divided: give --group a pattern that tells more of them apart, leave it"
        " out, or add images of other groups."
    )


def first(
    indices: list[int], count: int, name: str, order: Sequence[tuple[float, ...]]
) -> list[int]:
    """So many of a part's samples, in the order of their places.

    Raises:
        DataError: If there are fewer.
    """
    if count > len(indices):
        raise DataError(
            f"{count} images for {name} are more than the {len(indices)} that the split has for it."
            " Ask for fewer, or add images."
        )
    # Groups whole, as far as they fit: equal places are one group.
    return sorted(sorted(indices, key=lambda index: (*order[index], index))[:count])


def shared_groups(dataset: Dataset, parts: Indices) -> dict[str, list[str]]:
    """Groups that lie in several parts, with these parts."""
    found: dict[str, dict[str, None]] = {}
    for name, indices in parts.items():
        for index in indices:
            found.setdefault(dataset.samples[index].group, {})[name] = None
    return {group: list(names) for group, names in found.items() if len(names) > 1}


def finish(dataset: Dataset, parts: Indices, notes: list[str]) -> Split:
    """The split of these parts; what lies in none of them is noted."""
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
