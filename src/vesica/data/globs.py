"""Images and masks by globs: what a user says where folders and names say nothing."""

import re
from collections.abc import Sequence
from dataclasses import replace

from vesica.data.listing import describe, suffixes
from vesica.data.names import Kind, composed, read_folder
from vesica.data.sides import Candidate, Sides, has_mask_mark
from vesica.errors import DataError

GLOB = re.compile(r"\{\}|\*\*/|\*|\?|[^*?{]+|\{")


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
    if chosen_images and chosen_masks:
        chosen_images, chosen_masks = _apart(chosen_images, chosen_masks)
    taken = {c.file for c in [*(chosen_masks or []), *(chosen_images or [])]}
    rest = [c for c in candidates if c.file not in taken]
    if chosen_images is None:
        chosen_images = _rest_of("image", [c for c in rest if c.file.is_image])
    if chosen_masks is None:
        chosen_masks = _rest_of("mask", [c for c in rest if c.file.is_mask])
    return Sides(tuple(chosen_images), tuple(chosen_masks))


def _apart(
    images: list[Candidate], masks: list[Candidate]
) -> tuple[list[Candidate], list[Candidate]]:
    """What both globs choose, as `{}.png` and `{}_mask.png` do, goes to the one that says more."""
    both = {c.file for c in images} & {c.file for c in masks}
    if len(images) > len(masks):
        return [c for c in images if c.file not in both], masks
    return images, [c for c in masks if c.file not in both]


def _rest_of(kind: Kind, rest: list[Candidate]) -> list[Candidate]:
    """What of the files that no glob chose is of this kind, by folders, by names, or all of it."""
    if of_kind := [c for c in rest if c.kind == kind]:
        return of_kind
    rest = [c for c in rest if c.kind is None] or rest
    keys = {composed(c.key) for c in rest}
    marked = [c for c in rest if has_mask_mark(c, keys)]
    unmarked = [c for c in rest if c not in set(marked)]
    return (marked if kind == "mask" else unmarked) or rest


def _select(candidates: Sequence[Candidate], kind: Kind, glob: str) -> list[Candidate]:
    option = f"--{kind}s {glob}"
    if not glob.strip():
        raise DataError(f"{option.strip()}: expected a glob, such as 'scans/{{}}.jpg'.")
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
