"""Names that differ in the same way throughout a set: an image's and its mask's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from vesica.data.listing import File
from vesica.data.names import (
    Kind,
    Rule,
    common_start,
    composed,
    cuts,
    unchanged,
    without_image_mark,
    without_mask_mark,
    without_zeros,
)
from vesica.data.sides import Candidate, Sides, candidates_of
from vesica.errors import DataError, escaped

Id = tuple[str | None, str]
"""What an image shares with its mask: the part of the split where both have parts, and a name."""


@dataclass(frozen=True)
class Matching:
    """Images and masks under rules for their names.

    Attributes:
        sides: What was compared.
        rules: What was done to an image's name, and to a mask's.
        images: By what they share with their masks.
        masks: By what they share with their images.
    """

    sides: Sides
    rules: tuple[Rule, Rule]
    images: dict[Id, list[Candidate]]
    masks: dict[Id, list[Candidate]]

    @cached_property
    def shared(self) -> list[Id]:
        """What both have, sorted."""
        return sorted(self.images.keys() & self.masks.keys(), key=lambda id: (id[0] or "", id[1]))

    @property
    def num_clear(self) -> int:
        """Images with one mask that has one image."""
        return sum(len(self.images[id]) == len(self.masks[id]) == 1 for id in self.shared)

    @property
    def is_exact(self) -> bool:
        """Whether names are compared as they are."""
        return self.rules == (unchanged, unchanged)


def match(sides: Sides) -> Matching:
    """Compare names under the rules, the same for the whole set, that pair most of them."""
    fold = composed if _is_clear(sides, composed) else unchanged
    found = [_compare(sides, (unchanged, unchanged), fold)]
    if not found[0].num_clear == len(sides.images) == len(sides.masks):
        found += [_compare(sides, rules, fold) for rules in _rules(sides)]
    return max(found, key=lambda matching: (matching.num_clear, len(matching.shared)))


def _rules(sides: Sides) -> Iterator[tuple[Rule, Rule]]:
    yield unchanged, without_mask_mark
    yield without_image_mark, unchanged
    yield without_image_mark, without_mask_mark
    cut = cuts([c.key for c in sides.images], [c.key for c in sides.masks])
    if cut is not None:
        yield cut
    yield without_zeros, without_zeros


def _is_clear(sides: Sides, fold: Rule) -> bool:
    """Whether no two names of a side become one."""
    names = ({(c.part, c.key) for c in side} for side in (sides.images, sides.masks))
    return all(len({(part, fold(key)) for part, key in side}) == len(side) for side in names)


def _compare(sides: Sides, rules: tuple[Rule, Rule], fold: Rule) -> Matching:
    both = (sides.images, sides.masks)
    has_parts = all(any(c.part for c in side) for side in both)
    tables: list[dict[Id, list[Candidate]]] = []
    for side, rule in zip(both, rules, strict=True):
        table: dict[Id, list[Candidate]] = {}
        for c in side:
            table.setdefault((c.part if has_parts else None, fold(rule(c.key))), []).append(c)
        tables.append(table)
    return Matching(sides, rules, *tables)


def masks_among(files: Sequence[File]) -> list[File]:
    """Files that are masks of others, as their folders and names say."""
    candidates = candidates_of(files)
    masks = tuple(c for c in candidates if c.kind == "mask")
    images = tuple(c for c in candidates if c.kind == "image")
    matching = match(Sides(images or tuple(c for c in candidates if not c.kind), masks))
    return [mask.file for id in matching.shared for mask in matching.masks[id]]


def ask_if_several(sides: Sides) -> Sides:
    """The sides with one folder of images and one of masks in each part of the split.

    Raises:
        DataError: If several folders of a side fit the other; it asks which is meant.
    """
    return _of_one_group(_of_one_group(sides, "mask"), "image")


def _of_one_group(sides: Sides, kind: Kind) -> Sides:
    side = sides.masks if kind == "mask" else sides.images
    groups = {(c.part, c.group) for c in side}
    if len(groups) == len({part for part, _ in groups}):
        return sides
    fitting = [
        only
        for group in sorted({group for _, group in groups})
        if match(only := _with(sides, kind, [c for c in side if c.group == group])).shared
    ]
    if len(fitting) > 1:
        names = [_name_of_group(s.masks if kind == "mask" else s.images) for s in fitting]
        options = " or ".join(f"--{kind}s {name}" for name in names)
        folders = " and ".join(f"{name}/" for name in names)
        raise DataError(f"{folders} could all be the {kind}s. Say which: {options}.")
    return fitting[0] if fitting else sides


def _with(sides: Sides, kind: Kind, side: Sequence[Candidate]) -> Sides:
    if kind == "mask":
        return replace(sides, masks=tuple(side))
    return replace(sides, images=tuple(side))


def _name_of_group(side: Sequence[Candidate]) -> str:
    """The folder's name, as a glob where it holds the part of the split as well."""
    names = sorted({c.kind_folder for c in side})
    if len(names) == 1:
        return escaped(names[0])
    return f"'*{escaped(common_start([name[::-1] for name in names])[::-1])}'"
