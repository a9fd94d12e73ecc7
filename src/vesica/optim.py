"""Optimisers and schedules by their names, a line each. Torch is imported when one is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from vesica import spelling
from vesica.accel import faster
from vesica.errors import DataError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


MAX_OPTION = 1e38


def rmsprop(parameters: Iterable[nn.Parameter], *, lr: float = 1e-4) -> Optimizer:
    """RMSprop as Keras has it: decay 0.9, epsilon 1e-7. Source: Hinton, lecture 6e."""
    import torch

    return faster("rmsprop", torch.optim.RMSprop)(parameters, lr=lr, alpha=0.9, eps=1e-7)


def adamw(
    parameters: Iterable[nn.Parameter], *, lr: float = 1e-3, weight_decay: float = 1e-2
) -> Optimizer:
    """Adam with decoupled weight decay. Source: Loshchilov and Hutter 2019."""
    import torch

    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)


def sgd(
    parameters: Iterable[nn.Parameter],
    *,
    lr: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Stochastic gradient descent with Nesterov's momentum."""
    import torch

    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0
    )


def constant(epoch: float, max_epochs: int) -> float:
    """The learning rate as it is."""
    return 1.0


def cosine(epoch: float, max_epochs: int, *, warmup: float = 0.0) -> float:
    """Half a cosine from the learning rate to 0, after rising in `warmup` epochs.

    Source:
        Loshchilov and Hutter 2017, without restarts.
    """
    if epoch < warmup:
        return (epoch + 1e-3) / (warmup + 1e-3)
    done = (epoch - warmup) / max(max_epochs - warmup, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "rmsprop": rmsprop,
    "adamw": adamw,
    "sgd": sgd,
}
"""From parameters to an optimiser."""

SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "cosine": cosine,
}
"""From the epochs that have passed (3.5 is in the middle of the fourth) and their limit to a factor
of the learning rate."""


def read_optimizer(text: str) -> spelling.Spelled:
    """Read an optimiser's name and options.

    Raises:
        ValueError: If there is no such name or option, or the learning rate is not above zero.
    """
    found = spelling.read(text, OPTIMIZERS, "optimizer")
    for name, value in found.options:
        is_allowed = isinstance(value, float | int) and 0 <= value <= MAX_OPTION
        if not found.digest and not (is_allowed and (value or name != "lr")):
            raise ValueError(f"{text}: {name}={value} is not allowed; pass a number above zero")
    return found


def make_optimizer(text: str, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """An optimiser of some parameters.

    Raises:
        DataError: If a user's function fails, or gives something else.
    """
    import torch

    spelled = read_optimizer(text)
    made = spelled.call(OPTIMIZERS, parameters)
    if not isinstance(made, torch.optim.Optimizer):
        raise DataError(
            f"{spelled.name}: gives {type(made).__name__}, expected a torch.optim.Optimizer"
        )
    return made


def rate_factor(spelled: spelling.Spelled, epoch: float, max_epochs: int) -> float:
    """A schedule's factor of the learning rate.

    Raises:
        DataError: If a user's function fails, or gives no finite number of 0 or more.
    """
    factor = spelled.call(SCHEDULES, epoch, max_epochs)
    if not isinstance(factor, float | int) or not 0 <= factor < math.inf:
        raise DataError(
            f"{spelled.name}: gives {factor!r} at epoch {epoch:g}; expected a finite number of at "
            "least 0"
        )
    return float(factor)


def read_schedule(text: str) -> spelling.Spelled:
    """Read a schedule's name and options.

    Raises:
        ValueError: If there is no such name or option.
    """
    return spelling.read(text, SCHEDULES, "schedule")
