"""What the decoded images of a set have in them: foreground, empty masks, images that recur."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesica.data.arrays import Arrays
from vesica.data.sample import Dataset
from vesica.data.split import Split
from vesica.words import count_of, say_first


@dataclass(frozen=True)
class Counts:
    """One pass over the arrays of a set.

    Attributes:
        shares: Of foreground in each mask, shape (samples, classes).
        copies: Rows of images that are equal in every pixel, two or more each.
        num_alike: How many masks are the same, of those that are most often there; empty ones and
            full ones aside.
    """

    shares: NDArray[np.float64]
    copies: tuple[tuple[int, ...], ...]
    num_alike: int

    @classmethod
    def of(cls, arrays: Arrays) -> "Counts":
        """Look at every image and mask once."""
        seen: dict[bytes, list[int]] = {}
        masks: Counter[bytes] = Counter()
        shares = np.empty(arrays.masks.shape[:2])
        for row, image in enumerate(arrays.images):
            shares[row] = arrays.shares(row)
            seen.setdefault(_digest(image), []).append(row)
            masks[_digest(np.packbits(arrays.masks[row]))] += 0 < shares[row].max() < 1
        copies = tuple(tuple(rows) for rows in seen.values() if len(rows) > 1)
        return cls(shares, copies, max(masks.values(), default=0))


def _digest(pixels: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def say_foreground(counts: Counts, split: Split | None, classes: Sequence[str]) -> str:
    """How much foreground there is, and in which part masks have none, or nothing else.

    Args:
        counts: Of the whole set.
        split: None: in folds, where every image is in every part.
        classes: Names of several.
    """
    means = counts.shares.mean(axis=0)
    named = zip(classes or [""], means, strict=True)
    shares = ", ".join(f"{name} {_percent(share)}".strip() for name, share in named)
    is_empty, is_full = (counts.shares == 0).all(axis=1), (counts.shares == 1).any(axis=1)
    parts: Mapping[str, Sequence[int]] = {"": range(len(is_empty))}
    if split is not None:
        parts = {" train": split.train, " val": split.val, " test": split.test}
    empty = [f"{int(is_empty[list(rows)].sum())} of {len(rows)}{n}" for n, rows in parts.items()]
    return (
        f"Foreground: {shares} of pixels; empty masks: {', '.join(empty)}; all-full:"
        f" {int(is_full.sum())}."
    )


def say_missing(counts: Counts, split: Split | None, classes: Sequence[str]) -> list[str]:
    """Which of several classes no image of a part shows; in folds, none of the whole set."""
    parts: Mapping[str, Sequence[int]] = {"": range(len(counts.shares))}
    if split is not None:
        parts = {"training ": split.train, "validation ": split.val, "test ": split.test}
    lacking = []
    for part, rows in parts.items():
        most = counts.shares[list(rows)].max(axis=0, initial=0).tolist()
        names = [name for name, share in zip(classes, most, strict=False) if not share]
        lacking += [f"no {part}image shows {' or '.join(names)}"] if names else []
    if not lacking:
        return []
    return [
        f"Warning: {'; '.join(lacking)}, at this size: add images of it, leave it out, or divide "
        "them otherwise by --split-seed 1 or --folds 5."
    ]


def say_alike(num_alike: int, num_masks: int) -> str:
    """That most masks are the same one; "" where they are not."""
    if num_alike < 2 or num_alike <= num_masks / 2:
        return ""
    those = f"All {num_masks}" if num_alike == num_masks else f"{num_alike} of {num_masks}"
    return (
        f"{those} masks are the same in every pixel: look whether they were copied or written over,"
        " as a network would learn the place and not the object."
    )


def say_copies(counts: Counts, split: Split | None, dataset: Dataset) -> list[str]:
    """Which images occur more than once, and whether a copy is trained on that another tests."""
    if not counts.copies:
        return []
    place: Mapping[int, object] = {row: s.group for row, s in enumerate(dataset.samples)}
    if split is not None:
        parts = (split.train, split.val, split.test, split.left_out)
        place = {row: number for number, rows in enumerate(parts) for row in rows}
    divided = [rows for rows in counts.copies if len({place[row] for row in rows}) > 1]
    twice = f"{count_of(len(counts.copies), 'image')} occur{'s' * (len(counts.copies) == 1)}"
    shown = [
        " = ".join(dataset.samples[row].name for row in rows) for rows in (divided or counts.copies)
    ]
    listed = f"({say_first(shown)})"
    if not divided:
        return [f"{twice} more than once {listed}, and no copy in another part of the split."]
    where = "fold" if split is None else "part of the split"
    return [
        f"Warning: {twice} more than once, {len(divided)} of them in more than one {where}"
        f" {listed}, which is leakage: remove the copies, or keep them together by --group."
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
