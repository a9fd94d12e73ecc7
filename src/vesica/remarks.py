"""What a user should know of a data set before anything trains."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np

from vesica.data.arrays import say_flat
from vesica.data.counts import say_alike
from vesica.data.facts import Facts, Gathered, find_similar, guess_groups
from vesica.data.library import MIN_TEST
from vesica.data.rules import ALPHA, PLAIN, Rule
from vesica.data.sample import Dataset
from vesica.data.split import Split
from vesica.results.scores import Model
from vesica.statistics import LEVEL, limit_at
from vesica.words import count_of

UNIT_SDS = (0.02, 0.08)
"""From image to image, of the difference of two losses: large objects and thin ones, as in our own
runs (docs/results)."""

MAX_NAMES = 20
"""Of a remark, in its list; the number is always told."""

AROUND, WITHIN = 0.9, 0.25
"""Of an image's border that is foreground: more where a mask is inverted, less where it is not."""

MIN_TOLD = 0.9
"""Of the masks that are one or the other, for the difference to mean something."""

MIN_INVERTED, MIN_INVERTED_SHARE = 3, 0.1

Level = Literal["stop", "warning", "note"]


class Remark(Model):
    """Something to know.

    Attributes:
        level: "stop" where nothing can be trained, "warning" where a verdict would mislead.
        text: What, and what to do.
        names: Of the images, at most MAX_NAMES.
        more: How many there are beside these.
    """

    level: Level
    text: str
    names: tuple[str, ...] = ()
    more: int = 0


def remarks_on(
    gathered: Gathered, split: Split | None, why_not: str, folds: int, few: str
) -> tuple[Remark, ...]:
    """All of them, the gravest first.

    Args:
        gathered: The images.
        split: How they would be divided, the first fold of them in folds.
        why_not: Where they cannot be.
        folds: 0 where there are none.
        few: Says that test images are too few, where they are.
    """
    notes = (*gathered.dataset.notes, *(split.notes if split else ()))
    found = [
        *_of_problems(gathered),
        *([Remark(level="stop", text=why_not)] if why_not else []),
        *_of_masks(gathered),
        *_of_inverted(gathered),
        *_of_alike(gathered),
        *_of_copies(gathered, split, bool(folds)),
        *_of_groups(gathered.dataset),
        *(_of_numbers(gathered.dataset, split, folds, few) if split else []),
        *(Remark(level="note", text=note) for note in notes),
    ]
    return tuple(sorted(found, key=lambda remark: get_args(Level).index(remark.level)))


def _of_problems(gathered: Gathered) -> Iterator[Remark]:
    if gathered.problems:
        num = len(gathered.problems)
        yield _naming(
            "stop",
            f"{count_of(num, 'image')} cannot be used: mend or remove them.",
            gathered.problems,
        )


def _of_masks(gathered: Gathered) -> Iterator[Remark]:
    if gathered.dataset.is_exclusive:  # each pixel is of something
        return
    facts, num = gathered.facts, len(gathered.facts)
    empty = [fact for fact in facts if fact.density == 0]
    full = [fact for fact in facts if fact.density == 1]
    if num in (len(empty), len(full)):
        yield Remark(level="stop", text=say_flat(gathered.dataset, is_full=bool(full)))
        return
    mean = np.mean([fact.density for fact in facts])
    if empty:
        yield _named(
            "note",
            f"{count_of(len(empty), 'mask')} of {num} without foreground: an image without an "
            "object scores 1 if nothing is drawn on it, else 0.",
            gathered,
            empty,
        )
    if full:
        yield _named(
            "warning",
            f"{count_of(len(full), 'mask')} of {num} all foreground: look whether that is meant.",
            gathered,
            full,
        )
    if mean > 0.5:
        yield Remark(
            level="warning",
            text=f"{mean:.0%} of the pixels are foreground: if object and background are swapped, "
            f"{_say_swap(gathered.dataset)}.",
        )


def _say_swap(dataset: Dataset) -> str:
    """What makes background of foreground."""
    rule = Rule.parse(dataset.settled.get("foreground") or PLAIN)
    if dataset.format != "folder" or rule.test == ALPHA:
        return "label the object in place of the background"
    return f"pass --foreground {shlex.quote(rule.swapped.spelled)}"


def _of_inverted(gathered: Gathered) -> Iterator[Remark]:
    """Masks in which foreground runs around the image, where it hardly does in all others."""
    if gathered.dataset.is_exclusive:
        return
    facts = [fact for fact in gathered.facts if 0 < fact.density < 1]
    around = [fact for fact in facts if fact.density > 0.5 and fact.around > AROUND]
    within = [fact for fact in facts if fact.density < 0.5 and fact.around < WITHIN]
    fewer = min(around, within, key=len)
    is_clear = len(around) + len(within) >= MIN_TOLD * len(facts)
    if is_clear and len(fewer) >= max(MIN_INVERTED, MIN_INVERTED_SHARE * len(facts)):
        here, there = "next to no foreground", "it nearly all around"
        if fewer is around:
            here, there = "foreground nearly all around", "next to none"
        yield _named(
            "warning",
            f"{len(fewer)} of {len(facts)} masks have {here} at the image's border, where the "
            f"others have {there}, as if object and background were swapped: invert these, or "
            "leave them if that is meant.",
            gathered,
            fewer,
        )


def _of_alike(gathered: Gathered) -> Iterator[Remark]:
    sums = Counter(fact.mask_sum for fact in gathered.facts if 0 < fact.density < 1)
    if alike := say_alike(max(sums.values(), default=0), len(gathered.facts)):
        yield Remark(level="warning", text=alike)


def _of_copies(gathered: Gathered, split: Split | None, is_in_folds: bool) -> Iterator[Remark]:
    """Images that look the same: in two parts, what is trained on is tested."""
    facts, samples = gathered.facts, gathered.dataset.samples
    pairs = find_similar(facts)
    if not pairs:
        return
    part_of: dict[int, str] = {}
    if split and not is_in_folds:
        for name, rows in (("train", split.train), ("val", split.val), ("test", split.test)):
            part_of |= dict.fromkeys(rows, name)
    across = [
        (first, second)
        for first, second in pairs
        if samples[facts[first].row].group != samples[facts[second].row].group
        and (is_in_folds or part_of.get(facts[first].row) != part_of.get(facts[second].row))
    ]
    shown = across or pairs
    names = [" = ".join(samples[facts[place].row].name for place in pair) for pair in shown]
    where = "may come into" if is_in_folds else "lie in"
    yield _naming(
        "warning" if across else "note",
        f"{count_of(len(pairs), 'pair')} of images look the same"
        + (
            f"; {len(across)} of them {where} two parts of the split, so that what was trained on "
            "is tested: remove the copies, or keep them together with --group."
            if across
            else ", each pair in one part of the split."
        ),
        names,
    )


def _of_groups(dataset: Dataset) -> Iterator[Remark]:
    samples = dataset.samples
    if len({sample.group for sample in samples}) < len(samples) or dataset.format != "folder":
        return
    if not (guessed := guess_groups([sample.name.rpartition("/")[2] for sample in samples])):
        return
    expression, num = guessed
    parts: dict[str, set[str | None]] = {}
    for sample in samples:
        found = re.search(expression, sample.name)
        parts.setdefault(found[1] if found else sample.name, set()).add(sample.part)
    across = sorted(name for name, of_group in parts.items() if len(of_group) > 1)
    pooled = " --division pooled" if across else ""  # the folders' own parts would divide them
    lie = f"; {', '.join(across[:3])} lie in several parts of the split" if across else ""
    yield Remark(
        level="warning",
        text=f"The names suggest {num} groups of images, such as patients or sequences{lie}: if "
        f"images of one belong together, pass --group '{expression}'{pooled}, else what is tested "
        "was as good as trained on.",
    )


def _of_numbers(dataset: Dataset, split: Split, folds: int, few: str) -> Iterator[Remark]:
    """What so many test images can show; `few` says that they are too few, where they are."""
    tested = range(len(dataset.samples)) if folds else split.test
    num = len({dataset.samples[row].group for row in tested})
    what = "test images" if num == len(tested) else f"groups of {len(tested)} test images"
    if few:
        yield Remark(level="warning", text=few)
        return
    low, high = (100 * limit_at(num, sd, 1 - LEVEL) for sd in UNIT_SDS)
    yield Remark(
        level="note",
        text=f"With {num} {what} a difference of two losses is known to about ±{low:.1f} points of "
        f"IoU on large objects, ±{high:.1f} on thin or small ones, however many seeds are run.",
    )
    if not folds and num < MIN_TEST:
        yield Remark(
            level="warning",
            text=f"{num} {what} are few: only large differences can be shown.",
        )


def _named(level: Level, text: str, gathered: Gathered, facts: Sequence[Facts]) -> Remark:
    return _naming(level, text, [gathered.dataset.samples[fact.row].name for fact in facts])


def _naming(level: Level, text: str, names: Sequence[str]) -> Remark:
    more = max(0, len(names) - MAX_NAMES)
    return Remark(level=level, text=text, names=tuple(names[:MAX_NAMES]), more=more)
