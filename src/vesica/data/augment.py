"""Other views of the training images: functions of (image, mask, generator), drawn for each image.

`image` is uint8 RGB, shape (3, height, width), `mask` is bool, (classes, height, width); what comes
back has the same shapes. The generator is seeded by (seed, epoch, image) alone: the same for every
loss, whatever the batch, the process or the moment at which a run goes on.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from vesica import spelling
from vesica.errors import DataError

DEGREES, SHIFT, ZOOM, LIGHT = 15.0, 0.1, 1.25, 0.2
"""Of `standard`: rotation, translation in parts of a side, scale, brightness and contrast."""


def none(image: Tensor, mask: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """The image as it is."""
    return image, mask


def flip(image: Tensor, mask: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Half of the images are mirrored, left and right."""
    is_mirrored = bool(torch.rand((), generator=generator) < 0.5)
    return (image.flip(-1), mask.flip(-1)) if is_mirrored else (image, mask)


def standard(image: Tensor, mask: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Mirrored, turned, shifted, scaled, lighter or darker, a little: torchvision's transforms."""
    image, mask = flip(image, mask, generator)
    angle, across, down, zoom, light, contrast = (
        2 * torch.rand(6, generator=generator, dtype=torch.float64) - 1
    ).tolist()
    height, width = image.shape[-2:]
    place = {
        "angle": DEGREES * angle,
        "translate": [SHIFT * width * across, SHIFT * height * down],
        "scale": ZOOM**zoom,
        "shear": [0.0, 0.0],
    }
    mean = image.float().mean(dim=(1, 2)).tolist()
    image = functional.affine(image, **place, interpolation=InterpolationMode.BILINEAR, fill=mean)
    turned = functional.affine(mask.to(torch.uint8), **place)  # to the nearest pixel
    image = functional.adjust_brightness(image, 1 + LIGHT * light)
    return functional.adjust_contrast(image, 1 + LIGHT * contrast), turned.bool()


AUGMENTATIONS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "none": none,
    "flip": flip,
    "standard": standard,
}

MIRRORS = ("none", "flip")
"""What comes of these is an image or its mirror image: frozen layers see both once."""


def read_augmentation(text: str) -> spelling.Spelled:
    """Read an augmentation's name and options.

    Raises:
        ValueError: If there is no such name or option; the message lists those that exist.
    """
    return spelling.read(text, AUGMENTATIONS, "augmentation")


def augment(
    augmentation: spelling.Spelled, image: Tensor, mask: Tensor, seed: int, epoch: int, row: int
) -> tuple[Tensor, Tensor]:
    """One image of an epoch.

    Raises:
        DataError: If a user's function fails, or gives other shapes.
    """
    drawn = augmentation.call(AUGMENTATIONS, image, mask, generator_of(seed, epoch, row))
    if not (isinstance(drawn, tuple) and len(drawn) == 2):
        raise DataError(f"{augmentation.name}: expected (image, mask), not {type(drawn).__name__}")
    for name, new, old in zip(("image", "mask"), drawn, (image, mask), strict=True):
        if not isinstance(new, Tensor) or new.shape != old.shape or new.dtype != old.dtype:
            what = f"{tuple(new.shape)} of {new.dtype}" if isinstance(new, Tensor) else type(new)
            raise DataError(
                f"{augmentation.name}: gives as {name} what is {what}; expected "
                f"{tuple(old.shape)} of {old.dtype}"
            )
    return drawn[0], drawn[1]


def are_mirrored(rows: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which images `flip` mirrors in an epoch."""
    draws = [torch.rand((), generator=generator_of(seed, epoch, int(row))) for row in rows]
    return np.array([bool(draw < 0.5) for draw in draws], dtype=np.bool_)


def generator_of(seed: int, epoch: int, row: int) -> Generator:
    """What decides how an image looks in an epoch."""
    return torch.Generator().manual_seed(derive_seed(seed, epoch, 1, row))


def derive_seed(*parts: int) -> int:
    """One seed from several numbers, without their sums colliding."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
