"""How the images of a set fit its masks, and one another: sizes, orientation, depth."""

from collections.abc import Sequence

from vesica.data.pixels import FULL_DEPTH
from vesica.data.survey import ImageLook, Look, Survey
from vesica.errors import DataError, join_lines
from vesica.words import count_of, say_first

DEPTHS = (8, 10, 12, 14)
"""Of cameras and detectors whose files have 16 bits."""

ROUNDING_PX, ROUNDING = 3, 0.02
"""How far the sides of a resized mask, and their ratio, may be from those of its image."""


def judge_depth(images: Sequence[ImageLook]) -> tuple[int, list[str]]:
    """Bits that hold the largest value of all images of 16 bits, and what to say of it."""
    largest = [image.largest for image in images if image.largest is not None]
    top = max(largest, default=0)
    depth = next((bits for bits in DEPTHS if 0 < top < 2**bits), FULL_DEPTH)
    if depth == FULL_DEPTH:
        return depth, []
    return depth, [
        f"{count_of(len(largest), 'image')} of 16 bits use {depth} of them, up to {top}:"
        f" {2**depth - 1} is read as white. Pass --depth 16 if they are meant to be dark."
    ]


def judge_turned(found: Survey) -> list[str]:
    """What to say of images that EXIF turns, whose masks may be drawn on the stored pixels."""
    turned = [(image, mask) for image, mask in _pairs(found) if image.is_turned]
    total = count_of(len(found.images), "image")
    left = [i for i, mask in turned if i.shape != mask.shape == i.stored_shape]
    unknown = [i.name for i, mask in turned if i.shape == mask.shape == i.stored_shape]
    notes = []
    if left:
        notes.append(
            f"{len(left)} of {total} would be turned by their EXIF orientation, but their masks"
            " have the size of the stored pixels: they are not turned."
        )
    if unknown:
        notes.append(
            f"{len(unknown)} of {total} are turned by their EXIF orientation"
            f" ({say_first(unknown)}): masks that were drawn on the pixels as stored would not fit."
            " If yours were, pass --as-stored."
        )
    return notes


def judge_sizes(found: Survey, fit_masks: bool, as_stored: bool) -> list[str]:
    """What to say of masks that are resized.

    Raises:
        DataError: If masks differ in size from their images and are not to be resized.
    """
    unequal = [
        (image, mask)
        for image, mask in _pairs(found)
        if mask.shape != image.stored_shape and (as_stored or mask.shape != image.shape)
    ]
    alike = [(i, m) for i, m in unequal if _is_alike(i.shape, m.shape)]
    others = [pair for pair in unequal if pair not in alike]
    total = len(found.masks)
    if fit_masks:
        notes = [f"{len(alike)} of {total} masks are resized to their images."] if alike else []
        if others:
            stretched = say_first([mask.name for _, mask in others])
            notes.append(
                f"{len(others)} of {total} masks are stretched to their images: {stretched}."
            )
        return notes
    problems = []
    if alike:
        problems.append(
            f"{len(alike)} of {total} masks have another size than their images: {_say(alike)}."
            " Pass --fit-masks to resize these masks, or save both at one size."
        )
    if others:
        problems.append(
            f"{len(others)} of {total} masks have other proportions than their images:"
            f" {_say(others)}. Replace or remove what shows something else; --fit-masks stretches"
            " the masks over their images."
        )
    if problems:
        raise DataError(join_lines([*problems, *found.problems]))
    return []


def _pairs(found: Survey) -> list[tuple[ImageLook, Look]]:
    return list(zip(found.images, found.masks, strict=True))


def _is_alike(image: tuple[int, int], mask: tuple[int, int]) -> bool:
    """Whether one is the other, resized and rounded."""
    is_near = max(abs(a - b) for a, b in zip(image, mask, strict=True)) <= ROUNDING_PX
    ratio = image[0] * mask[1] / (image[1] * mask[0])
    return is_near or 1 / (1 + ROUNDING) <= ratio <= 1 + ROUNDING


def _say(pairs: Sequence[tuple[ImageLook, Look]]) -> str:
    image, mask = pairs[0]
    sizes = [f"{look.name} {look.shape[1]} x {look.shape[0]}" for look in (mask, image)]
    rest = [mask.name for _, mask in pairs[1:]]
    return " and ".join(sizes) + (f"; also {say_first(rest)}" if rest else "")
