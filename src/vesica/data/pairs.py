"""Which image belongs to which mask, in a folder as people have it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vesica.data.globs import divide_as_asked
from vesica.data.listing import File, describe, list_files, suffixes
from vesica.data.matching import Matching, ask_if_several, match
from vesica.data.mismatches import (
    count_unpaired,
    parts_that_mix,
    several_of_a_name,
    without_partner,
)
from vesica.data.names import Kind, common_start, read_folder
from vesica.data.sides import Candidate, candidates_of, ways_to_divide
from vesica.errors import DataError, escaped


@dataclass(frozen=True)
class Pair:
    """An image and its mask.

    Attributes:
        name: What every table calls the image: what both names share, with the inner folders.
        image: The image's file.
        mask: The mask's file.
        part: "train", "val" or "test", if that is said.
        group: The person, patient or slide, if that is said.
    """

    name: str
    image: Path
    mask: Path
    part: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Pairing:
    """Pairs that were found.

    Attributes:
        pairs: In no order.
        notes: What a user should know, a sentence each.
        problems: What a user has to mend, a sentence each.
    """

    pairs: list[Pair]
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_pairs(
    root: Path,
    images: str | None = None,
    masks: str | None = None,
    skip_unpaired: bool = False,
) -> Pairing | None:
    """Every image of a folder with its mask; None where no way to pair files is found.

    Args:
        root: The folder.
        images: A glob for the images; `{}` in it is what pairs an image with its mask.
        masks: The same for the masks.
        skip_unpaired: Leave out and count what has no partner, in place of reporting it.

    Raises:
        DataError: If there is more than one way to pair the files, or a glob finds none to pair.
    """
    files = list_files(root)
    candidates = candidates_of(files)
    if images is None and masks is None:
        found = _find_matching(candidates)
        return _pair(root, candidates, found, skip_unpaired) if found else None
    matching = match(ask_if_several(divide_as_asked(candidates, images, masks)))
    if not matching.shared:
        raise DataError(_say_that_none_pair(matching))
    return _pair(root, candidates, matching, skip_unpaired)


def _find_matching(candidates: Sequence[Candidate]) -> Matching | None:
    """The first way to divide the files under which names pair."""
    for sides in ways_to_divide(candidates):
        if not sides.images or not sides.masks:
            continue
        matching = match(ask_if_several(sides))
        num_enough = 1 if sides.is_by_folder else min(len(sides.images), len(sides.masks)) / 2
        if len(matching.shared) >= num_enough:
            return matching
    return None


def _say_that_none_pair(matching: Matching) -> str:
    if not matching.sides.images or not matching.sides.masks:
        kind = "images" if matching.sides.masks else "masks"
        return f"All files are chosen, and none is left for the {kind}. Pass --{kind} as well."
    image, mask = matching.sides.images[0].file, matching.sides.masks[0].file
    return (
        f"No image shares its name with a mask: the first image is {image}, the first mask {mask}. "
        "Put {} into --images and --masks for what pairs them, as in 'scans/{}.jpg'."
    )


def _pair(
    root: Path, candidates: Sequence[Candidate], matching: Matching, skip_unpaired: bool
) -> Pairing:
    pairs = [
        (matching.images[id][0], matching.masks[id][0])
        for id in matching.shared
        if len(matching.images[id]) == len(matching.masks[id]) == 1
    ]
    notes = _left_out(candidates, matching)
    if pairs and not (matching.is_exact and pairs[0][0].kind and pairs[0][1].kind):
        notes.append(f"Pairs by name, such as {pairs[0][0].file} with {pairs[0][1].file}.")
    problems = [*parts_that_mix(matching), *several_of_a_name(matching)]
    unpaired = without_partner(matching)
    if skip_unpaired and unpaired:
        notes.append(f"Left out {count_unpaired(matching)}.")
    elif unpaired:
        problems += [f"{count_unpaired(matching)} (left out with --skip-unpaired):", *unpaired]
    return Pairing(_named(root, pairs, matching), notes, problems)


def _named(
    root: Path, pairs: Sequence[tuple[Candidate, Candidate]], matching: Matching
) -> list[Pair]:
    """Pairs by their names, without inner folders that all of them lie in."""
    keys = [matching.rules[0](image.key) or image.file.stem for image, _ in pairs]
    outer = common_start([key[: key.rfind("/") + 1] for key in keys])
    num_outer = outer.rfind("/") + 1
    named = []
    for key, (image, mask) in zip(keys, pairs, strict=True):
        part = image.part or mask.part
        name = escaped(f"{part}/{key[num_outer:]}" if part else key[num_outer:])
        named.append(Pair(name, root / image.file.path, root / mask.file.path, part))
    return named


def _left_out(candidates: Sequence[Candidate], matching: Matching) -> list[str]:
    """What lies among the images and masks and is of another kind, and what lies elsewhere."""
    used = {c.file for side in (matching.sides.images, matching.sides.masks) for c in side}
    places = {c.place for side in (matching.sides.images, matching.sides.masks) for c in side}
    others: dict[str, list[str]] = {}
    for c in candidates:
        if c.kind and not c.file.is_mask and c.place in places:
            others.setdefault(c.place, []).append(escaped(c.file.path.rpartition("/")[2]))
    notes = [_describe_others(escaped(place), names) for place, names in others.items()]
    elsewhere = [c.file for c in candidates if c.file.is_mask and c.file not in used]
    if elsewhere:
        notes.append(f"Left out what is neither image nor mask: {describe(elsewhere)}.")
    return notes


def _describe_others(folder: str, names: list[str]) -> str:
    kind = "1 file of another kind" if len(names) == 1 else f"{len(names)} files of other kinds"
    shown = ", ".join([*names[:3], "..."] if len(names) > 3 else names)
    return f"{folder}: left out {kind}: {shown}."


def explain(root: Path) -> str:
    """What lies in a folder where no pairs are found, and what would help."""
    files = list_files(root)
    if not any(file.is_mask for file in files):
        there = f"; {describe(files)}." if files else "."
        return f"no image files ({suffixes(as_image=True)}){there}"
    sentences = [f"{describe(files)}.", _say_unread(files, "image"), _say_unread(files, "mask")]
    if not any(sentences[1:]):
        sentences.append(_several_masks_each(files) or _say_how_to_say(files))
    return " ".join(filter(None, sentences))


def _say_unread(files: Sequence[File], kind: Kind) -> str:
    """What lies in folders of images, or of masks, where no file is of a kind that is read."""
    named = [f for f in files if any(read_folder(name).kind == kind for name in f.folders)]
    if any(file.is_image if kind == "image" else file.is_mask for file in named):
        return ""
    kinds = " and ".join(sorted({file.suffix.lower() for file in named} - {""}))
    readable = suffixes(as_image=kind == "image")
    return f"Files of the kind {kinds} are not read as {kind}s: save them as {readable}." * bool(
        kinds
    )


def _several_masks_each(files: Sequence[File]) -> str:
    """Whether there is a folder for each image, with a mask for each of its objects."""
    by_folder: dict[str, dict[Kind | None, list[Candidate]]] = {}
    for c in candidates_of([file for file in files if file.is_mask]):
        by_folder.setdefault(c.key.rpartition("/")[0], {}).setdefault(c.kind, []).append(c)
    for kinds in by_folder.values():
        images, masks = kinds.get("image", []), kinds.get("mask", [])
        if len(by_folder) > 1 and len(images) == 1 < len(masks):
            return (
                f"{escaped(masks[0].place)}/ has {len(masks)} masks for one image: join the masks "
                "of each image in one file."
            )
    return ""


def _is_of_masks(file: File) -> bool:
    """Whether its folders say that it is a mask, and none that it is an image."""
    return {read_folder(name).kind for name in file.folders} - {None} == {"mask"}


def _say_how_to_say(files: Sequence[File]) -> str:
    """An option to copy where there are two folders or two kinds of files, or else an example."""
    found = sorted({(f.folders[:1], f.suffix) for f in files if f.is_mask})
    globs = ["/".join([*map(escaped, top), f"{{}}{suffix}"]) for top, suffix in found]
    if all(_is_of_masks(file) for file in files if file.is_mask):
        return "All of these are called masks, and there is no image: add them, as images/NAME.png."
    if len(globs) == 1:
        return "Nothing there can be told to be masks: add them, as masks/NAME.png."
    images, masks = globs if len(globs) == 2 else ("scans/{}.jpg", "labels/{}_seg.png")
    return (
        f"Say what is what, as --images '{images}' --masks '{masks}', where {{}} is what pairs "
        "them, or pass a CSV file of pairs."
    )
