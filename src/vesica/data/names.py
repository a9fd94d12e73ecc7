"""What names say: folders of images, of masks, of a part of the split; marks on a file's name."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["image", "mask"]


def words_of(text: str) -> frozenset[str]:
    """The words of a table that is written as a text."""
    return frozenset(text.split())


PARTS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "ts"), "test"),
}
"""Parts of the split by the words of folders."""

MASK_WORDS = words_of(
    "mask masks label labels lbl annotation annotations annot annots anno gt gts truth groundtruth "
    "seg segs segmentation segmentations manual"
)
IMAGE_WORDS = words_of(
    "image images img imgs jpegimages photo photos picture pictures frame frames"
)
"""A folder with one of these words in its name holds masks, or else images."""

MASK_FOLDERS = MASK_WORDS | {"figureground", "target", "targets", "lab", "labs", "matte", "mattes"}
IMAGE_FOLDERS = IMAGE_WORDS | words_of(
    "data input inputs original originals rgb scan scans raw sat"
)
"""A folder with one of these names does; they are too common to be looked for within a name."""

FILLERS = words_of("dataset set folder png jpg jpeg tif tiff bmp gif npy mat")
"""Words that say nothing about what a folder holds."""

KNOWN = MASK_FOLDERS | IMAGE_FOLDERS | FILLERS

RUN = re.compile(r"\d+(?:st|nd|rd|th)?|[^\W\d_]+")
CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+")

MASK_MARKS = words_of(
    "mask masks gt label labels lbl lab seg segm segmentation segmentations annotation annotations "
    "annot anno ann groundtruth ground_truth ground-truth truth bin binary target manual manual1 "
    "manual2 1stho 2ndho matte gtfine_labelids"
)
IMAGE_MARKS = words_of(
    "image images img im photo original orig input scan raw rgb sat leftimg8bit training train "
    "testing test validation valid val 0000"
)
"""Words at an end of a file's name that tell a mask from its image, or an image from its mask."""

MASK_LETTERS = frozenset("l")
"""The same, and a left eye's too: a mark where there is an image without it."""

SEPARATORS = " _.-/"
LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")

Rule = Callable[[str], str]
"""From the inner folders and name of a file to what it shares with its partner."""


@dataclass(frozen=True)
class Meaning:
    """What a folder's name says.

    Attributes:
        kind: What it holds, if the name says so.
        part: Of which part of the split, if the name says so.
        is_sure: Whether the name is one that hardly means anything else; `data` is not.
    """

    kind: Kind | None
    part: str | None
    is_sure: bool


@lru_cache(maxsize=100_000)
def read_folder(name: str) -> Meaning:
    """What a folder's name says."""
    words = [word for word in _words(name) if word not in FILLERS]
    parts = [word for word in words if word in PARTS]
    rest = [word for word in words if word not in PARTS]
    kind = _kind(rest)
    is_part = len(parts) == 1 and (kind is not None or not rest)
    is_sure = kind == "mask" or bool(IMAGE_WORDS & set(rest))
    return Meaning(kind, PARTS[parts[0]] if is_part else None, is_sure)


@lru_cache(maxsize=100_000)
def bare_name(name: str) -> str:
    """A folder's name without its part of the split, for one or many: `trainMasks` is `mask`."""
    rest = [word for word in _words(name) if word not in PARTS and word not in FILLERS]
    return "".join(rest).removesuffix("s")


def _words(name: str) -> list[str]:
    runs = RUN.findall(unicodedata.normalize("NFC", name))
    return [word for run in runs for word in _unglue(run)]


def _unglue(run: str) -> list[str]:
    """`trainannot` is `train` and `annot`; `groundTruth` is `ground` and `truth`."""
    whole = run.lower()
    if whole in KNOWN:
        return [whole]
    for part in PARTS:
        for inner in (whole.removeprefix(part), whole.removesuffix(part)):
            if inner != whole and inner in KNOWN:
                return [part, inner]
    return [word.lower() for word in CAMEL.findall(run)]


def _kind(words: list[str]) -> Kind | None:
    whole = "".join(words)
    if "and" in words:  # images_and_masks
        return None
    if whole in MASK_FOLDERS or MASK_WORDS & set(words):
        return "mask"
    if whole in IMAGE_FOLDERS or IMAGE_WORDS & set(words):
        return "image"
    return None


def _without(marks: frozenset[str]) -> Rule:
    """A rule that takes one of these marks from an end of a name; the inner folders stay."""
    every = "|".join(map(re.escape, marks))
    word = "|".join(mark for mark in marks if len(mark) > 1 and mark[0].isalpha())
    pattern = re.compile(
        rf"(?P<front>.+?)(?:[ _.\-]+(?:{every})|(?<=\d)(?:{word}))"
        rf"|(?:(?:{every})[ _.\-]+|(?:{word})(?=\d))(?P<back>.+)"
        rf"|(?:{every})",
        re.IGNORECASE,
    )

    def rule(key: str) -> str:
        inner, slash, name = key.rpartition("/")
        match = pattern.fullmatch(name)
        if match is None:
            return key
        rest = match["front"] or match["back"] or ""
        return f"{inner}{slash}{rest}" if rest else inner

    return rule


without_mask_word = _without(MASK_MARKS)
without_mask_mark = _without(MASK_MARKS | MASK_LETTERS)
without_image_mark = _without(IMAGE_MARKS)


def unchanged(key: str) -> str:
    """The rule of names that are equal as they are."""
    return key


def cuts(images: list[str], masks: list[str]) -> tuple[Rule, Rule] | None:
    """Rules that take from each side what all its names begin and end with, and the other's do not.

    `img_001` and `seg_001_x` lose `img_`, `seg_` and `_x`. No word or number is cut in two: images
    10 to 19 and masks 0 to 9 have nothing in common.
    """
    if min(len(images), len(masks)) < 2:  # a single name is all that it has in common
        return None
    fronts = _cut_ends(*(_common_words(side)[::-1] for side in (images, masks)))
    rests = (
        [key[front:] for key in side] for side, front in zip((images, masks), fronts, strict=True)
    )
    backs = _cut_ends(*(_common_words([key[::-1] for key in side])[::-1] for side in rests))
    of_image, of_mask = (_cut(*ends) for ends in zip(fronts, backs, strict=True))
    return of_image, of_mask


def common_start(texts: Sequence[str]) -> str:
    """What all of some texts begin with; "" where there are none."""
    first, last = min(texts, default=""), max(texts, default="")
    end = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first if end is None else first[:end]


def _common_words(texts: Sequence[str]) -> str:
    """What all begin with, up to the end of a word or a number."""
    start = common_start(texts)
    while start and any(_is_within_a_word(text, len(start)) for text in texts):
        start = start[:-1]
    return start


def _cut_ends(image: str, mask: str) -> tuple[int, int]:
    """How many characters to cut of what each side has in common, seen from within the name."""
    kept = len(common_start([image, mask]))
    while kept and any(_is_within_a_word(end, kept) for end in (image, mask)):
        kept -= 1
    while 0 < kept < max(len(image), len(mask)) and image[kept - 1] in SEPARATORS:
        kept -= 1
    return len(image) - kept, len(mask) - kept


def _is_within_a_word(end: str, place: int) -> bool:
    both = end[place - 1 : place + 1]
    return len(both) == 2 and (both.isalpha() or both.isdigit())


def _cut(front: int, back: int) -> Rule:
    return lambda key: key[front : len(key) - back]


def without_zeros(key: str) -> str:
    """`007` is `7`."""
    return LEADING_ZEROS.sub("", key)


def composed(key: str) -> str:
    """A name as most systems spell it, without regard to case."""
    return unicodedata.normalize("NFC", key).casefold()
