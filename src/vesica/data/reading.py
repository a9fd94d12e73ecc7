"""How the pixels of a set are read: chosen once for all images and masks, then the same in all."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from vesica.data.asking import names
from vesica.data.pixels import FULL_DEPTH, Pixels, Values, read_image, show
from vesica.data.rules import PLAIN, Item, Rule
from vesica.data.sample import Mask
from vesica.data.stored import read_stored
from vesica.data.survey import ImageLook, Look, Survey, survey
from vesica.data.values import choose
from vesica.errors import DataError, join_lines
from vesica.words import count_of

MAX_LOOKED_AT = 20
"""Masks in which it is seen what lies around a value."""

BORDER_PX, MIN_BETWEEN = 4, 0.8
"""A border is nowhere wider than twice so many pixels, so much of it with others on both sides."""

FEW_PIXELS = 3
"""Difference in size of masks that are a rounding away from their images."""


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

    Raises:
        DataError: If no reading is certain, or one that was asked for fits not all.
    """
    rule = None if foreground is None else Rule.parse(foreground)
    ignored = None if ignore is None else Rule.parse(ignore, "--ignore")
    if is_settled:
        chosen = rule or Rule(PLAIN)
        return Reading(chosen, ignored, depth or FULL_DEPTH, fit_masks, as_stored)
    found = survey(root, pairs)
    if not found.masks:  # whoever reads them says why
        return Reading(rule or Rule(PLAIN), ignored, depth or FULL_DEPTH, fit_masks, as_stored)
    notes = [*_judge_turned(found, as_stored), *_judge_sizes(found, fit_masks, as_stored)]
    bits = depth or _depth(found.images, notes)
    try:
        choice = choose(found.masks, rule, ignored, _borders(root, pairs, found.masks))
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
        (*choice.notes, *notes),
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


def _judge_turned(found: Survey, as_stored: bool) -> list[str]:
    """What to say of images that EXIF turns, whose masks may be drawn on the stored pixels."""
    turned = [
        (image, mask)
        for image, mask in zip(found.images, found.masks, strict=True)
        if image.is_turned
    ]
    if not turned or as_stored:
        return []
    by_size = [image for image, mask in turned if image.shape != mask.shape == image.stored_shape]
    unknown = [
        image.name for image, mask in turned if image.shape == mask.shape == image.stored_shape
    ]
    notes = []
    if by_size:
        notes.append(
            f"{count_of(len(by_size), 'image')} of {len(found.images)} would be turned by their"
            " EXIF orientation, but their masks have the size of the stored pixels: they are not"
            " turned."
        )
    if unknown:
        notes.append(
            f"{count_of(len(unknown), 'image')} of {len(found.images)} are turned by their EXIF"
            f" orientation ({names(unknown)}): masks that were drawn on the pixels as stored would"
            " not fit. If yours were, pass --as-stored."
        )
    return notes


def _judge_sizes(found: Survey, fit_masks: bool, as_stored: bool) -> list[str]:
    """What to say of masks that were resized.

    Raises:
        DataError: If masks differ in size from their images.
    """
    unequal = [
        (image, mask)
        for image, mask in zip(found.images, found.masks, strict=True)
        if mask.shape != image.stored_shape and (as_stored or mask.shape != image.shape)
    ]
    if not unequal:
        return []
    off = max(abs(a - b) for i, m in unequal for a, b in zip(i.shape, m.shape, strict=True))
    image, mask = unequal[0]
    text = (
        f"{len(unequal)} of {count_of(len(found.masks), 'mask')} differ in size from their images,"
        f" by at most {count_of(off, 'pixel')}"
    )
    if fit_masks:
        return [f"{text}, and are resized to them."]
    first = f"{mask.name} has {_say(mask.shape)}, {image.name} {_say(image.shape)}"
    trust = "" if off <= FEW_PIXELS else " if both show the same"
    listed = f"; also {names([m.name for _, m in unequal[1:]])}" if len(unequal) > 1 else ""
    raise DataError(
        join_lines(
            [
                f"{text}: {first}{listed}. Pass --fit-masks to resize masks to their"
                f" images{trust}, or save both at one size.",
                *found.problems,
            ]
        )
    )


def _say(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _depth(images: Sequence[ImageLook], notes: list[str]) -> int:
    """Bits that hold the largest value of all images of 16 bits."""
    largest = [image.largest for image in images if image.largest is not None]
    top = max(largest, default=0)
    depth = next((bits for bits in DEPTHS if 0 < top < 2**bits), FULL_DEPTH)
    if depth < FULL_DEPTH:
        notes.append(
            f"{count_of(len(largest), 'image')} of 16 bits use {depth} of them, up to {top}:"
            f" {2**depth - 1} is read as white. Pass --depth 16 if they are meant to be dark."
        )
    return depth


DEPTHS = (8, 10, 12, 14)
"""Of cameras and detectors whose files have 16 bits."""


def _borders(
    root: Path, pairs: Sequence[tuple[Path, Path]], looks: Sequence[Look]
) -> Callable[[Item], bool]:
    """A function that tells the border between two things from what is a thing itself."""
    files = {show(root, mask): mask for _, mask in pairs}

    def is_border(item: Item) -> bool:
        rule = Rule("=", (item,))
        held = [look for look in looks if _holds(look, rule)]
        total = between = 0
        for look in held[:MAX_LOOKED_AT]:
            stored = read_stored(root, files[look.name])
            where = rule.select(look.name, stored)
            total += int(where.sum())
            between += int(_between(where, stored.values).sum())
        return between > MIN_BETWEEN * total

    return is_border


def _between(where: Mask, values: Values) -> Mask:
    """Pixels of a thin line with two different values near."""
    size = 2 * BORDER_PX + 1
    is_thick = ndimage.binary_opening(where, np.ones((size, size), np.bool_))
    numbers = values.astype(np.float64)
    high = ndimage.maximum_filter(np.where(where, -np.inf, numbers), size)
    low = ndimage.minimum_filter(np.where(where, np.inf, numbers), size)
    return np.asarray(where & ~is_thick & (high > low) & np.isfinite(high))


def _holds(look: Look, rule: Rule) -> bool:
    values = look.colours if rule.has_colours else look.values
    fits = values is not None and (rule.has_colours or look.kind != "colour")
    return fits and values is not None and bool(rule.holds(values).any())
