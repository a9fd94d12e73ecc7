"""One of everything that has a name, as a user would write it."""

import numpy as np
import torch

from vesica.data import Dataset


def squared(logits, target, *, power: float = 2.0):
    """A loss: logits and target of shape (batch, height, width) to (batch,)."""
    return ((torch.sigmoid(logits) - target).abs() ** power).mean(dim=(1, 2))


def net(*, width: int = 8):
    """A network: any module from (batch, 3, height, width) to (batch, classes, height, width)."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, width, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(width, 1, 1)
    )


def discs(*, num: int = 40, size: int = 48):
    """A data set: names, and a function that reads one."""

    def read(name):
        generator = np.random.default_rng(int(name.removeprefix("disc")))
        row, column = generator.uniform(0.3, 0.7, 2) * size
        rows, columns = np.mgrid[:size, :size]
        mask = (rows - row) ** 2 + (columns - column) ** 2 < (size / 4) ** 2
        image = generator.integers(0, 100, (size, size, 3))
        return (image + 120 * mask[..., None]).astype(np.uint8), mask

    return Dataset.of([f"disc{index}" for index in range(num)], read)


def adam(parameters, *, lr: float = 3e-3):
    """An optimiser."""
    return torch.optim.Adam(parameters, lr=lr)


def halving(epoch, max_epochs, *, every: float = 1.0):
    """A schedule: a factor of the learning rate."""
    return 0.5 ** (epoch // every)


def dark(image, mask, generator, *, least: float = 0.5):
    """An augmentation: images are uint8, (3, height, width)."""
    factor = least + (1 - least) * torch.rand((), generator=generator)
    return (image * factor).to(torch.uint8), mask


def area(pred, truth, *, power: float = 1.0):
    """A metric: masks of shape (masks, height, width) to a number for each."""
    return abs(pred.mean(axis=(1, 2)) - truth.mean(axis=(1, 2))) ** power
