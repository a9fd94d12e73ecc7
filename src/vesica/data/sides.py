"""Which files of a folder are images and which are masks: as folders or names say."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from vesica.data.listing import File
from vesica.data.names import (
    Kind,
    bare_name,
    composed,
    read_folder,
    without_mask_mark,
    without_mask_word,
)
from vesica.errors import DataError

PHOTOS = frozenset({".jpg", ".jpeg", ".webp"})
NEVER_PHOTOS = frozenset({".gif", ".npy", ".mat"})
"""Where two files differ in their suffix alone: the one that is the image, the one that is not."""


@dataclass(frozen=True)
class Candidate:
    """A file that may be an image or a mask.

    Attributes:
        file: The file.
        kind: What its folders say that it is.
        part: Of which part of the split, by its folders.
        key: Its inner folders and its stem, without the folders that say kind and part.
        place: The folder that says what it is or of which part it is, whichever is the inner one.
        kind_folder: The name of the folder that says what it is, or "".
    """

    file: File
    kind: Kind | None
    part: str | None
    key: str
    place: str
    kind_folder: str

    @property
    def group(self) -> str:
        """What files of one side have in common: `trainannot` and `valannot` are one group."""
        return bare_name(self.kind_folder)


@dataclass(frozen=True)
class Sides:
    """A way to divide files.

    Attributes:
        images: What would be images.
        masks: What would be masks.
        is_by_folder: Whether folders say so, or the user; a guess by names is right only if the
            names pair.
    """

    images: tuple[Candidate, ...]
    masks: tuple[Candidate, ...]
    is_by_folder: bool = True


def candidates_of(files: Sequence[File]) -> list[Candidate]:
    """What the folders of each file say of it; folders that all lie in say nothing."""
    readable = [file.folders for file in files if file.is_mask]
    first, last = (min(readable), max(readable)) if readable else ((), ())
    num_outer = 0
    for here, there in zip(first, last, strict=False):
        meaning = read_folder(here)
        if here != there or (meaning.part and not meaning.kind):
            break
        num_outer += 1
    outer = first[:num_outer]
    return [
        _candidate(file, num_outer if file.folders[:num_outer] == outer else 0) for file in files
    ]


def _candidate(file: File, num_outer: int) -> Candidate:
    said = _read_folders(file.folders, num_outer)
    return Candidate(file, said.kind, said.part, said.inner + file.stem, said.place, said.folder)


@dataclass(frozen=True)
class Said:
    """What the folders say that a file lies in; see `Candidate`."""

    kind: Kind | None
    part: str | None
    inner: str
    place: str
    folder: str


@lru_cache(maxsize=100_000)
def _read_folders(folders: tuple[str, ...], num_outer: int) -> Said:
    inner = folders[num_outer:]
    meanings = [read_folder(name) for name in inner]
    kind = _innermost([bool(m.kind and m.is_sure) for m in meanings])
    if kind is None:
        kind = _innermost([bool(m.kind) for m in meanings])
    part = next((index for index, meaning in enumerate(meanings) if meaning.part), None)
    said = {place for place in (kind, part) if place is not None}
    rest = [name for index, name in enumerate(inner) if index not in said]
    depth = num_outer + max(said) + 1 if said else num_outer
    return Said(
        None if kind is None else meanings[kind].kind,
        None if part is None else meanings[part].part,
        "".join(f"{name}/" for name in rest),
        "/".join(folders[:depth]),
        "" if kind is None else inner[kind],
    )


def _innermost(flags: list[bool]) -> int | None:
    return max((index for index, flag in enumerate(flags) if flag), default=None)


def ways_to_divide(candidates: Sequence[Candidate]) -> Iterator[Sides]:
    """Images and masks as their folders say, or else as the names of the files suggest.

    Raises:
        DataError: If files differ in their suffix alone, and it does not say which is the mask.
    """
    masks = [c for c in candidates if c.kind == "mask" and c.file.is_mask]
    images = [c for c in candidates if c.kind == "image" and c.file.is_image]
    if images and masks:
        yield Sides(tuple(images), tuple(masks))
    elif masks:
        images = _in_parts([c for c in candidates if not c.kind and c.file.is_image], masks)
        yield Sides(tuple(images), tuple(masks))
        yield Sides(tuple(_under_top_folder(c) for c in images), tuple(masks))
    unsaid = [c for c in candidates if c.file.is_mask and not (images and c.kind == "mask")]
    yield from _by_names(unsaid)


def _in_parts(images: list[Candidate], masks: list[Candidate]) -> list[Candidate]:
    """Where masks and images lie in parts of the split, what lies in none is something else."""
    with_part = [image for image in images if image.part]
    return with_part if with_part and any(mask.part for mask in masks) else images


def _under_top_folder(candidate: Candidate) -> Candidate:
    """As if its outermost unknown folder were one of images; a logo may lie beside it."""
    top, slash, key = candidate.key.partition("/")
    return replace(candidate, key=key, kind_folder=top) if slash else candidate


def _by_names(candidates: list[Candidate]) -> Iterator[Sides]:
    twins = Counter((c.part, composed(c.key)) for c in candidates)
    if candidates and set(twins.values()) == {2}:
        yield _by_suffix(candidates) or _ask_for_suffix(candidates)
    keys = {composed(c.key) for c in candidates}
    marked = [c for c in candidates if has_mask_mark(c, keys)]
    others = set(candidates) - set(marked)
    yield Sides(
        tuple(c for c in candidates if c in others and c.file.is_image), tuple(marked), False
    )
    if sides := _by_suffix(candidates):
        yield sides


def has_mask_mark(candidate: Candidate, keys: set[str]) -> bool:
    """Whether its name says that a file is a mask, among files with these keys."""
    key = candidate.key
    if without_mask_word(key) != key:
        return True
    return (without := without_mask_mark(key)) != key and composed(without) in keys


def _by_suffix(candidates: list[Candidate]) -> Sides | None:
    photos = tuple(c for c in candidates if c.file.suffix.lower() in PHOTOS)
    others = tuple(c for c in candidates if c.file.suffix.lower() not in PHOTOS)
    if photos and others:
        return Sides(photos, others, False)
    masks = tuple(c for c in candidates if c.file.suffix.lower() in NEVER_PHOTOS)
    images = tuple(c for c in candidates if c.file.suffix.lower() not in NEVER_PHOTOS)
    return Sides(images, masks, False) if images and masks else None


def _ask_for_suffix(candidates: list[Candidate]) -> Sides:
    first = candidates[0]
    twin = next(c for c in candidates[1:] if composed(c.key) == composed(first.key))
    options = " or ".join(f"--masks '*{c.file.suffix}'" for c in (first, twin))
    raise DataError(f"{first.file} and {twin.file}: which one is the mask? Pass {options}.")
