"""Which image belongs to which mask, in a folder as people have it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vesica.data.listing import describe, list_files, suffixes
from vesica.data.matching import Id, Matching, ask_if_several, match
from vesica.data.names import common_start, read_folder
from vesica.data.sides import Candidate, candidates_of, divide_as_asked, ways_to_divide
from vesica.errors import DataError, escaped
from vesica.words import count_of


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
    if pairs and not matching.is_exact:
        notes.append(f"Pairs by name, such as {pairs[0][0].file} with {pairs[0][1].file}.")
    problems = [*_parts_that_mix(matching), *_several(matching)]
    unpaired = _without_partner(matching)
    if skip_unpaired and unpaired:
        notes.append(f"Left out {_count_unpaired(matching)}.")
    elif unpaired:
        problems += [f"{_count_unpaired(matching)}; --skip-unpaired leaves them out:", *unpaired]
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


def _parts_that_mix(matching: Matching) -> list[str]:
    """Files beside the folders of parts, and two folders that are one part."""
    problems = []
    for side in (matching.sides.images, matching.sides.masks):
        of_part: dict[str, str] = {}
        for place, part in sorted({(c.place, c.part) for c in side if c.part}):
            word = _word_of_part(place)
            twin = of_part.setdefault(part or "", place)
            if _word_of_part(twin) != word:
                problems.append(f"{escaped(place)}: is {part} like {escaped(twin)}. Merge them.")
        if of_part:
            beside = Counter(c.file.folder for c in side if not c.part)
            problems += [
                f"{escaped(folder) or 'The folder itself'}: {count_of(count, 'file')} beside "
                f"{', '.join(f'{escaped(place)}/' for place in of_part.values())}. Move "
                f"{'it' if count == 1 else 'them'} into one of them, or keep one of the layouts."
                for folder, count in beside.items()
            ]
    return problems


def _word_of_part(place: str) -> str:
    return next(
        word for folder in place.split("/") if read_folder(folder).part for word in [folder.lower()]
    )


def _several(matching: Matching) -> list[str]:
    """Images or masks that share a name with another one."""
    problems = []
    for kind, side in (("image", matching.images), ("mask", matching.masks)):
        twins = [found for found in side.values() if len(found) > 1]
        if not twins:
            continue
        if len(twins) > 1 and not matching.is_exact:
            globs = " or ".join(f"'*{_ending(c, twins[0])}'" for c in twins[0])
            problems.append(
                f"{len(twins)} names have several {kind}s, such as "
                f"{' and '.join(str(c.file) for c in twins[0])}. Say which, as --{kind}s {globs}."
            )
            continue
        problems += [
            f"{c.file}: has the name of {first.file}. Remove or rename one, or pass --{kind}s GLOB."
            for first, *rest in twins
            for c in rest
        ]
    return problems


def _ending(candidate: Candidate, twins: Sequence[Candidate]) -> str:
    """What tells a file's name from those of the others that belong to the same image."""
    names = [c.file.path.rpartition("/")[2] for c in twins]
    start = len(common_start(names))
    while start and names[0][start - 1] in "_-. ":
        start -= 1
    return escaped(candidate.file.path.rpartition("/")[2][start:])


def _unpaired(matching: Matching) -> tuple[list[Id], list[Id]]:
    """Images without a mask, and masks without an image."""
    shared = set(matching.shared)
    return [id for id in matching.images if id not in shared], [
        id for id in matching.masks if id not in shared
    ]


def _count_unpaired(matching: Matching) -> str:
    images, masks = _unpaired(matching)
    texts = [
        f"{count_of(len(images), 'image')} without a mask" if images else "",
        f"{count_of(len(masks), 'mask')} without an image" if masks else "",
    ]
    return " and ".join(text for text in texts if text)


def _without_partner(matching: Matching) -> list[str]:
    """A sentence for each file without a partner, or for each part of the split without any."""
    whole_parts = {part for part, _ in matching.shared}
    problems: list[str] = []
    images, masks = _unpaired(matching)
    for ids, side, kind in ((images, matching.images, "mask"), (masks, matching.masks, "image")):
        bare = Counter(part for part, _ in ids if part not in whole_parts)
        problems += [
            f"{part}: {count_of(count, 'image' if kind == 'mask' else 'mask')} and no {kind}s."
            for part, count in bare.items()
        ]
        problems += [
            f"{side[id][0].file}: no {kind}{_expected(matching, id, kind)}. Add it, or remove "
            "this file."
            for id in ids
            if id[0] not in bare
        ]
    return problems


def _expected(matching: Matching, id: Id, kind: str) -> str:
    """Where the partner was looked for."""
    partners = matching.masks if kind == "mask" else matching.images
    own = matching.images if kind == "mask" else matching.masks
    example = next(shared for shared in matching.shared if shared[0] == id[0])
    partner = partners[example][0]
    if matching.is_exact and partner.kind:
        return f" {escaped(partner.place)}/{escaped(own[id][0].key)}.*"
    return f", as {own[example][0].file} has {partner.file}"


def explain(root: Path) -> str:
    """What lies in a folder where no pairs are found, and what would help."""
    files = list_files(root)
    there = f"{describe(files)}. " if files else ""
    if not any(file.is_mask for file in files):
        return f"no image files ({suffixes(as_image=True)}). {there}".rstrip()
    kinds = {
        file.suffix.lower()
        for file in files
        if not file.is_mask and any(read_folder(name).kind == "mask" for name in file.folders)
    } - {""}
    if any(c.kind == "mask" and c.file.is_mask for c in candidates_of(files)):
        kinds = set()
    if kinds:
        names = " and ".join(sorted(kinds))
        return (
            f"{there}Files of the kind {names} are not read as masks: save them as one of "
            f"{suffixes(as_image=False)}."
        )
    return (
        f"{there}Say what is what: --images 'scans/{{}}.jpg' --masks 'labels/{{}}_seg.png', where "
        "{} is what pairs them, or pass a CSV file of pairs."
    )
