"""What is trained, and on what; needs neither PyTorch nor Keras."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEARNING_RATE, RHO, EPSILON = 1e-4, 0.9, 1e-7
"""Of RMSprop in every engine: table 2 of the paper, and Keras' defaults for the rest."""

Step = Callable[[], float]
"""One step of training; returns the batch's loss."""


@dataclass(frozen=True)
class Setting:
    """Sizes of one measurement.

    Attributes:
        network: A key of Vesica's `MODELS`.
        size: Images are size x size pixels.
        width: Channels of the wide layers.
        batch: Images per step.
    """

    network: str
    size: int = 224
    width: int = 4096
    batch: int = 100


def draw_batch(
    num: int, size: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Noise in [0, 1] that is brighter where the target is 1, a rectangle in each image.

    Returns:
        Images of shape (num, size, size, 3) and targets of shape (num, size, size).
    """
    rng = np.random.default_rng(seed)
    images = 0.7 * rng.random((num, size, size, 3), dtype=np.float32)
    targets = np.zeros((num, size, size), np.float32)
    for image, target in zip(images, targets, strict=True):
        top, left = rng.integers(0, size // 2, 2)
        height, width = rng.integers(size // 4, size // 2, 2)
        target[top : top + height, left : left + width] = 1
        image += 0.3 * target[..., None]
    return images, targets
