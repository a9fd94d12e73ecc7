"""How the pixels of a set are read: chosen once for all images and masks, then the same in all."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vesica.data.borders import find_borders
from vesica.data.fitting import judge_depth, judge_sizes, judge_turned
from vesica.data.pixels import FULL_DEPTH, Pixels, read_image, show
from vesica.data.rules import PLAIN, Rule
from vesica.data.sample import Mask
from vesica.data.stored import read_stored
from vesica.data.survey import Progress, survey
from vesica.data.values import choose
from vesica.errors import DataError, join_lines


@dataclass(frozen=True)
class Reading:
    """How images and masks of a set are read.

    Attributes:
        foreground: What of a mask is foreground.
        ignore: What of it is neither foreground nor background.
        depth: Bits that images of 16 bits use.
        fit_masks: Whether masks of another size are resized to their images.
        as_stored: Whether EXIF orientations of images are left alone.
        settled: Fields of a source that were chosen here, by name.
        notes: What a user should know of it.
    """

    foreground: Rule
    ignore: Rule | None = None
    depth: int = FULL_DEPTH
    fit_masks: bool = False
    as_stored: bool = False
    settled: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def read(
        self, root: Path, image_file: Path, mask_file: Path
    ) -> tuple[Pixels, Mask] | tuple[Pixels, Mask, Mask]:
        """An image, its mask, and where there is a void the pixels that are none.

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
        if self.ignore is None:
            return image, _fit(self.foreground.select(where, stored), size)
        ignored = self.ignore.select(where, stored)
        mask = self.foreground.select(where, stored, ignored) & ~ignored
        return image, _fit(mask, size), ~_fit(ignored, size)

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
        depth: Bits that images of 16 bits use; None: the fewest that hold all their values.
        fit_masks: Resize masks to their images.
        as_stored: Leave EXIF orientations of images alone.
        is_settled: Whether all of this was chosen before, of the same files: none is read.
        progress: Called with the pairs that were looked at and their total.

    Raises:
        DataError: If no reading is certain, or one that was asked for fits not all.
    """
    rule = None if foreground is None else Rule.parse(foreground)
    ignored = None if ignore is None else Rule.parse(ignore, "--ignore")
    if is_settled:
        chosen = rule or Rule(PLAIN)
        return Reading(chosen, ignored, depth or FULL_DEPTH, fit_masks, as_stored)
    found = survey(root, pairs, progress)
    if not found.masks:  # whoever reads them says why
        return Reading(rule or Rule(PLAIN), ignored, depth or FULL_DEPTH, fit_masks, as_stored)
    notes = [] if as_stored else judge_turned(found)
    notes += judge_sizes(found, fit_masks, as_stored)
    bits, said = (depth, []) if depth else judge_depth(found.images)
    files = {show(root, mask): mask for _, mask in pairs}
    try:
        choice = choose(found.masks, rule, ignored, find_borders(root, files, found.masks))
    except DataError as problem:
        raise DataError(join_lines([str(problem), *found.problems])) from None
    settled = {
        "foreground": _settled(choice.foreground, rule, foreground),
        "ignore": _settled(choice.ignore, ignored, ignore),
        "depth": None if bits == FULL_DEPTH else bits,
    }
    return Reading(
        choice.foreground,
        choice.ignore,
        bits,
        fit_masks,
        as_stored,
        settled,
        (*choice.notes, *notes, *said),
    )


def _settled(chosen: Rule | None, given: Rule | None, text: str | None) -> str | None:
    """What stands for a rule in a source: the user's words, where they are what is done."""
    if chosen == given:
        return text
    return None if chosen is None or chosen == Rule(PLAIN) else chosen.spelled


def _fit(mask: Mask, size: tuple[int, int]) -> Mask:
    if mask.shape == size[::-1]:
        return mask
    resized = Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return np.asarray(resized, np.bool_)
