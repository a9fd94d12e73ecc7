"""Which files of a folder are images and which are masks: by folders, by names, or as asked for."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vesica.data.listing import File, describe, suffixes
from vesica.data.names import Kind, bare_name, composed, read_folder, without_mask_mark
from vesica.errors import DataError

PHOTOS = frozenset({".jpg", ".jpeg", ".webp"})
NEVER_PHOTOS = frozenset({".gif", ".npy", ".mat"})
"""Where two files differ in their suffix alone: the one that is the image, the one that is not."""

GLOB = re.compile(r"\{\}|\*\*/|\*|\?|[^*?{]+|\{")


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
    inner = file.folders[num_outer:]
    meanings = [read_folder(name) for name in inner]
    kind = _innermost([bool(m.kind and m.is_sure) for m in meanings])
    if kind is None:
        kind = _innermost([bool(m.kind) for m in meanings])
    part = next((index for index, meaning in enumerate(meanings) if meaning.part), None)
    said = {place for place in (kind, part) if place is not None}
    rest = [name for index, name in enumerate(inner) if index not in said]
    depth = num_outer + max(said) + 1 if said else num_outer
    return Candidate(
        file,
        None if kind is None else meanings[kind].kind,
        None if part is None else meanings[part].part,
        "/".join([*rest, file.stem]),
        "/".join(file.folders[:depth]),
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
    images = images or _in_parts([c for c in candidates if not c.kind and c.file.is_image], masks)
    if images and masks:
        yield Sides(tuple(images), tuple(masks))
    unsaid = [c for c in candidates if c.file.is_mask and not (images and c.kind == "mask")]
    yield from _by_names(unsaid)


def _in_parts(images: list[Candidate], masks: list[Candidate]) -> list[Candidate]:
    """Where masks and images lie in parts of the split, what lies in none is something else."""
    with_part = [image for image in images if image.part]
    return with_part if with_part and any(mask.part for mask in masks) else images


def _by_names(candidates: list[Candidate]) -> Iterator[Sides]:
    twins = Counter((c.part, composed(c.key)) for c in candidates)
    if candidates and set(twins.values()) == {2}:
        yield _by_suffix(candidates) or _ask_for_suffix(candidates)
    keys = {composed(c.key) for c in candidates}
    marked = [c for c in candidates if _has_mask_mark(c, keys)]
    others = set(candidates) - set(marked)
    yield Sides(
        tuple(c for c in candidates if c in others and c.file.is_image), tuple(marked), False
    )
    if sides := _by_suffix(candidates):
        yield sides


def _has_mask_mark(candidate: Candidate, keys: set[str]) -> bool:
    without = without_mask_mark(candidate.key)
    # A single letter, as the L of a left eye, is a mark only where the name without it exists.
    is_word = len(candidate.key) - len(without) > 2
    return is_word or (without != candidate.key and composed(without) in keys)


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


def divide_as_asked(
    candidates: Sequence[Candidate], images: str | None, masks: str | None
) -> Sides:
    """Images and masks by globs; what is not asked for is found among the rest.

    Args:
        candidates: All files.
        images: A glob for images. `{}` in it is what pairs an image with its mask; without one,
            all files and folders of that name are chosen, and names pair as they do otherwise.
        masks: The same for masks.

    Raises:
        DataError: If a glob chooses nothing, or files of a kind that is not read.
    """
    if images and masks and images.count("{}") != masks.count("{}") and "{}" in images + masks:
        raise DataError(f"--images {images} and --masks {masks}: give both as many {{}}.")
    chosen_masks = None if masks is None else _select(candidates, "mask", masks)
    chosen_images = None if images is None else _select(candidates, "image", images)
    taken = {c.file for c in [*(chosen_masks or []), *(chosen_images or [])]}
    rest = [c for c in candidates if c.file not in taken]
    if chosen_images is None:
        chosen_images = _rest_of("image", [c for c in rest if c.file.is_image])
    if chosen_masks is None:
        chosen_masks = _rest_of("mask", [c for c in rest if c.file.is_mask])
    return Sides(tuple(chosen_images), tuple(chosen_masks))


def _rest_of(kind: Kind, rest: list[Candidate]) -> list[Candidate]:
    """What of the files that no glob chose is of this kind, by folders, by names, or all of it."""
    if of_kind := [c for c in rest if c.kind == kind]:
        return of_kind
    rest = [c for c in rest if c.kind is None] or rest
    keys = {composed(c.key) for c in rest}
    marked = [c for c in rest if _has_mask_mark(c, keys)]
    unmarked = [c for c in rest if c not in set(marked)]
    return (marked if kind == "mask" else unmarked) or rest


def _select(candidates: Sequence[Candidate], kind: Kind, glob: str) -> list[Candidate]:
    option = f"--{kind}s {glob}"
    pattern = _pattern(glob)
    matches = [(c, match) for c in candidates if (match := pattern.fullmatch(c.file.path))]
    if not matches:
        there = describe(c.file for c in candidates)
        raise DataError(f"{option}: no such files below the data's folder. {there}.")
    is_image = kind == "image"
    read = [(c, m) for c, m in matches if (c.file.is_image if is_image else c.file.is_mask)]
    if not read:
        found = describe(c.file for c, _ in matches)
        raise DataError(
            f"{option}: {found}, which are not read as {kind}s. Save them as one of: "
            f"{suffixes(is_image)}."
        )
    return [replace(c, kind=kind, key=_key(c, match), kind_folder="") for c, match in read]


def _pattern(glob: str) -> re.Pattern[str]:
    """A glob for paths, at any depth; without `{}` also for what lies in folders of that name."""
    translated = {"{}": "(.+)", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    pieces = GLOB.findall(glob.strip().removeprefix("./").rstrip("/"))
    whole = "".join(translated.get(piece, re.escape(piece)) for piece in pieces)
    return re.compile(rf"(?P<outer>(?:.*?/)?){whole}" + ("" if "{}" in glob else "(?P<inner>/.+)?"))


def _key(candidate: Candidate, match: re.Match[str]) -> str:
    if "inner" not in match.re.groupindex:
        path = match["outer"] + "/".join(match.groups()[1:])
    elif match["inner"]:
        path = match["outer"] + match["inner"][1:]
    else:
        return candidate.key
    *folders, name = path.removesuffix(candidate.file.suffix).split("/")
    said = {folder for folder in folders if (m := read_folder(folder)).kind or m.part}
    return "/".join([*(folder for folder in folders if folder not in said), name])
