"""What is wrong with the names of images and masks, in sentences."""

from collections import Counter
from collections.abc import Sequence

from vesica.data.matching import Id, Matching
from vesica.data.names import Kind, common_start, read_folder
from vesica.data.sides import Candidate
from vesica.errors import escaped
from vesica.words import count_of


def parts_that_mix(matching: Matching) -> list[str]:
    """Files beside the folders of parts, and two folders that are one part."""
    problems = []
    for side in (matching.sides.images, matching.sides.masks):
        of_part: dict[str | None, str] = {}
        for place, part in sorted({(c.place, c.part or "") for c in side if c.part}):
            twin = of_part.setdefault(part, place)
            if _folder_of_part(twin) != _folder_of_part(place):
                problems.append(f"{escaped(place)}: is {part} like {escaped(twin)}. Merge them.")
        parts = ", ".join(f"{escaped(place)}/" for place in of_part.values())
        beside = Counter(c.file.folder for c in side if parts and not c.part)
        problems += [
            f"{escaped(folder) or 'The folder itself'}: {count_of(count, 'file')} beside {parts}. "
            f"Move {'it' if count == 1 else 'them'} into one of them, or keep one of the layouts."
            for folder, count in beside.items()
        ]
    return problems


def _folder_of_part(place: str) -> str:
    return next(name for name in place.split("/") if read_folder(name).part).lower()


def several_of_a_name(matching: Matching) -> list[str]:
    """Images or masks that share a name with another one."""
    return [*_several("image", matching.images), *_several("mask", matching.masks)]


def _several(kind: Kind, side: dict[Id, list[Candidate]]) -> list[str]:
    twins = [found for found in side.values() if len(found) > 1]
    endings = {tuple(_endings(found)) for found in twins}
    if len(twins) > 1 and len(endings) == 1:
        examples = " and ".join(str(c.file) for c in twins[0])
        globs = " or ".join(f"--{kind}s '*{ending}'" for ending in _endings(twins[0]))
        return [f"{len(twins)} names have several {kind}s, as {examples}. Say which: {globs}."]
    return [
        f"{c.file}: has the name of {first.file}. Remove or rename one, or pass --{kind}s GLOB."
        for first, *rest in twins
        for c in rest
    ]


def _endings(twins: Sequence[Candidate]) -> list[str]:
    """What tells the names of files from each other, from the last sign before it on."""
    names = [c.file.path.rpartition("/")[2] for c in twins]
    start = len(common_start(names))
    while start and names[0][start : start + 1] not in tuple("_-. "):
        start -= 1
    return [escaped(name[start:]) for name in names]


def count_unpaired(matching: Matching) -> str:
    """How many images and masks have no partner; "" where all have one."""
    images = len(matching.images.keys() - matching.masks.keys())
    masks = len(matching.masks.keys() - matching.images.keys())
    texts = [
        f"{count_of(images, 'image')} without a mask" if images else "",
        f"{count_of(masks, 'mask')} without an image" if masks else "",
    ]
    return " and ".join(filter(None, texts))


def without_partner(matching: Matching) -> list[str]:
    """A sentence for each file without a partner, or for each part of the split without any."""
    return [
        *_lacking("mask", matching, matching.images, matching.masks),
        *_lacking("image", matching, matching.masks, matching.images),
    ]


def _lacking(
    kind: Kind,
    matching: Matching,
    side: dict[Id, list[Candidate]],
    other: dict[Id, list[Candidate]],
) -> list[str]:
    examples = {id[0]: id for id in reversed(matching.shared)}
    unpaired = [id for id in side if id not in other]
    of_bare_parts = Counter(part for part, _ in unpaired if part not in examples)
    own, partner = ("image", "a mask") if kind == "mask" else ("mask", "an image")
    sentences = [
        f"{part}: {count_of(count, own)} without {partner}."
        for part, count in of_bare_parts.items()
    ]
    for id in unpaired:
        if id[0] not in examples:
            continue
        file, example = side[id][0], examples[id[0]]
        known, its_partner = side[example][0], other[example][0]
        expected = f", as {known.file} has {its_partner.file}"
        if matching.is_exact and its_partner.kind:
            expected = f" {escaped(its_partner.place)}/{escaped(file.key)}.*"
        sentences.append(f"{file.file}: no {kind}{expected}. Add it, or remove this file.")
    return sentences
