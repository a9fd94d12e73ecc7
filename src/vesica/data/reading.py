"""How the pixels of a set are read: chosen once for all images and masks, then the same in all."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vesica.data.asking import IsBorder
from vesica.data.borders import find_borders
from vesica.data.classes import choose_classes, name_of, parse_classes, spell_classes
from vesica.data.fitting import judge_depth, judge_sizes, judge_turned
from vesica.data.pixels import FULL_DEPTH, Pixels, read_image, show
from vesica.data.rules import PLAIN, Rule
from vesica.data.sample import Mask
from vesica.data.stored import read_stored
from vesica.data.survey import Look, Progress, survey
from vesica.data.values import choose
from vesica.errors import DataError, join_lines


@dataclass(frozen=True)
class Reading:
    """How images and masks of a set are read.

    Attributes:
        rules: What of a mask is foreground; of several classes, what is of each.
        ignore: What of it is of none, and not background either.
        depth: Bits that images of 16 bits use.
        fit_masks: Whether masks of another size are resized to their images.
        as_stored: Whether EXIF orientations of images are left alone.
        settled: Fields of a source that were chosen here, by name.
        notes: What a user should know of it.
    """

    rules: tuple[Rule, ...]
    ignore: Rule | None = None
    depth: int = FULL_DEPTH
    fit_masks: bool = False
    as_stored: bool = False
    settled: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of several classes; none of a foreground alone."""
        return tuple(map(name_of, self.rules)) if len(self.rules) > 1 else ()

    def target(self, default: str) -> str:
        """What the masks are of, with what decides it."""
        if len(self.rules) > 1:
            return spell_classes(self.rules)
        return self.rules[0].target(default)

    def read(
        self, root: Path, image_file: Path, mask_file: Path
    ) -> tuple[Pixels, Mask] | tuple[Pixels, Mask, Mask]:
        """An image, its mask (or that of each class), and where there is a void the pixels that
        are none.

        Raises:
            DataError: If they cannot be read, or are of different sizes.
        """
        image = read_image(root, image_file, depth=self.depth, as_stored=self.as_stored)
        stored = read_stored(root, mask_file)
        if image.shape[:2] != stored.shape and not self.as_stored:
            plain = read_image(root, image_file, depth=self.depth, as_stored=True)
            image = plain if plain.shape[:2] == stored.shape else image
        where, size = show(root, mask_file), (image.shape[1], image.shape[0])
        if stored.shape != image.shape[:2] and not self.fit_masks:
            raise DataError(
                f"{where}: {stored.shape[1]} x {stored.shape[0]} pixels, but"
                f" {show(root, image_file)} has {size[0]} x {size[1]}. Save both at one size, or"
                " pass --fit-masks to resize the mask."
            )
        ignored = None if self.ignore is None else self.ignore.select(where, stored)
        masks = [_fit(rule.select(where, stored, ignored), size) for rule in self.rules]
        mask = masks[0] if len(masks) == 1 else np.stack(masks)
        if ignored is None:
            return image, mask
        valid = ~_fit(ignored, size)
        return image, mask & valid, valid

    def fingerprint(self, files: str) -> str:
        """Digest of all that decides the pixels but the foreground, which is in the target."""
        parts = {
            "ignore": str(self.ignore) if self.ignore else "",
            "depth": self.depth if self.depth != FULL_DEPTH else "",
            "fit_masks": self.fit_masks or "",
            "as_stored": self.as_stored or "",
        }
        told = [f"{name}={value}" for name, value in parts.items() if value != ""]
        return hashlib.sha256("\0".join([files, *told]).encode()).hexdigest() if told else files


def choose_reading(
    root: Path,
    pairs: Sequence[tuple[Path, Path]],
    *,
    foreground: str | None = None,
    ignore: str | None = None,
    classes: bool = False,
    depth: int | None = None,
    fit_masks: bool = False,
    as_stored: bool = False,
    is_settled: bool = False,
    progress: Progress = lambda done, total: None,
) -> Reading:
    """The one reading of a set.

    Args:
        root: The data set's folder.
        pairs: An image and its mask each.
        foreground: As `Rule.parse` reads it; None: chosen by what the masks hold.
        ignore: The same, for what is left out.
        classes: Every value is a class; `foreground` lists them, as `parse_classes` reads it.
        depth: Bits that images of 16 bits use; None: the fewest that hold all their values.
        fit_masks: Resize masks to their images.
        as_stored: Leave EXIF orientations of images alone.
        is_settled: Whether all of this was chosen before, of the same files: none is read.
        progress: Called with the pairs that were looked at and their total.

    Raises:
        DataError: If no reading is certain, or one that was asked for fits not all.
    """
    parse = parse_classes if classes else lambda text: [Rule.parse(text)]
    given = tuple(parse(foreground)) if foreground is not None else ()
    ignored = None if ignore is None else Rule.parse(ignore, "--ignore")
    for rule in given:
        if ignored is not None and rule.unnamed == ignored.unnamed:
            raise DataError(
                f"--foreground {rule.spelled} and --ignore {ignored.spelled} are the same pixels. "
                "Leave out one of the two."
            )
    asked = Reading(given or (Rule(PLAIN),), ignored, depth or FULL_DEPTH, fit_masks, as_stored)
    if is_settled:
        return asked
    found = survey(root, pairs, progress)
    if not found.masks:  # whoever reads them says why
        return asked
    notes = [] if as_stored else judge_turned(found)
    notes += judge_sizes(found, fit_masks, as_stored)
    bits, said = (depth, []) if depth else judge_depth(found.images)
    files = {show(root, mask): mask for _, mask in pairs}
    try:
        is_border = find_borders(root, files, found.masks)
        rules, left_out, told = _choose(found.masks, given, ignored, is_border, classes)
    except DataError as problem:
        raise DataError(join_lines([str(problem), *found.problems])) from None
    settled = {
        "foreground": foreground if rules == given else _spell(rules),
        "ignore": ignore if left_out == ignored or left_out is None else left_out.spelled,
        "depth": None if bits == FULL_DEPTH else bits,
    }
    return Reading(
        rules,
        left_out,
        bits,
        fit_masks,
        as_stored,
        settled,
        (*told, *notes, *said),
    )


def _choose(
    looks: Sequence[Look],
    given: tuple[Rule, ...],
    ignore: Rule | None,
    is_border: IsBorder,
    classes: bool,
) -> tuple[tuple[Rule, ...], Rule | None, tuple[str, ...]]:
    if classes:
        found = choose_classes(looks, given, ignore, is_border)
        return found.rules, found.ignore, found.notes
    chosen = choose(looks, given[0] if given else None, ignore, is_border)
    return (chosen.foreground,), chosen.ignore, chosen.notes


def _spell(rules: tuple[Rule, ...]) -> str | None:
    """What stands for rules in a source, where the user's words do not."""
    return None if rules == (Rule(PLAIN),) else spell_classes(rules)


def _fit(mask: Mask, size: tuple[int, int]) -> Mask:
    if mask.shape == size[::-1]:
        return mask
    resized = Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return np.asarray(resized, np.bool_)
