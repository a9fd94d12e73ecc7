"""A prediction as pictures."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from vesica.data.sample import Pixels
from vesica.files import replacing
from vesica.model import Prediction, Traits
from vesica.predict.job import Targets


def write_pictures(found: Prediction, image: Pixels, targets: Targets, traits: Traits) -> None:
    """Write all that is asked for, each file whole or not at all."""
    size = (-1, *image.shape[:2])
    masks, probs = found.mask.reshape(size), found.probs.reshape(size)
    for (kind, number), target in targets.items():
        if kind == "indices":
            picture = Image.fromarray(masks.argmax(axis=0).astype(np.uint8))
            picture.putpalette(palette(len(masks)).tobytes())
        elif kind == "masks":
            picture = Image.fromarray(masks[number].astype(np.uint8) * 255)
        elif kind == "probabilities":
            picture = Image.fromarray((probs[number] * 65535).round().astype(np.uint16))
        else:
            picture = Image.fromarray(_draw(image, masks, traits))
        with replacing(target, has_sum=False) as path:
            picture.save(path)


def palette(num_colours: int) -> Pixels:
    """A colour for each class, shape (num_colours, 3), the first black: that of Pascal VOC."""
    number = np.arange(num_colours)
    colours = np.zeros((num_colours, 3), np.uint8)
    for step in range(8):  # a colour's bits are every third of the number's, the highest last
        for channel in range(3):
            colours[:, channel] |= ((number >> (3 * step + channel) & 1) << (7 - step)).astype(
                np.uint8
            )
    return colours


def _draw(image: Pixels, masks: NDArray[np.bool_], traits: Traits) -> Pixels:
    if not traits.is_exclusive:
        return draw_overlay(image, np.any(masks, axis=0))
    colours = palette(len(masks))[masks.argmax(axis=0)]
    mixed = np.where(masks[0][..., None], image, 0.5 * image + 0.5 * colours)
    return np.asarray(mixed.round().astype(np.uint8))


def draw_overlay(image: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """The image with its mask tinted and outlined; the line grows with the image."""
    width = max(1, round(max(mask.shape) / 400))
    outline = ndimage.binary_dilation(mask, iterations=width) & ~mask
    drawn = image.astype(np.float32)
    drawn[mask] = 0.65 * drawn[mask] + 0.35 * np.array([255, 60, 0], np.float32)
    drawn[outline] = (255, 230, 0)
    return drawn.round().astype(np.uint8)
