"""Optimisers, schedules and averages by name, a line each. Torch is imported when one is made."""

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


MAX_OPTION = 1e36
"""Adam divides a learning rate by small numbers, and float32 ends at 3e38."""


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


def none(step: int, num_steps: int) -> float:
    """No average: the weights as they are."""
    return 1.0


def ema(step: int, num_steps: int, *, decay: float = 0.97) -> float:
    """Exponential moving average; in the first steps, of those that there are.

    Source:
        Polyak and Juditsky 1992; the warm start is TensorFlow's.
    """
    return 1 - min(decay, step / (9 + step))


def swa(step: int, num_steps: int, *, start: float = 0.75) -> float:
    """The plain mean of the weights behind a share `start` of the steps.

    Source:
        Izmailov et al. 2018, step by step.
    """
    return 1 / max(1, step - math.floor(start * num_steps))


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


AVERAGES: dict[str, Callable[..., float]] = {
    "none": none,
    "ema": ema,
    "swa": swa,
}
"""From the steps that have been taken (1 after the first) and their number in all to the share that
the weights of now have in the average."""


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


def read_average(text: str) -> spelling.Spelled:
    """Read an average's name and options.

    Raises:
        ValueError: If there is no such name or option, or it is no share.
    """
    found = spelling.read(text, AVERAGES, "average")
    for name, value in found.options:
        if not found.digest and not (isinstance(value, float | int) and 0 <= value < 1):
            raise ValueError(f"{text}: {name}={value} is not allowed; pass a share below 1")
    return found


def average_share(spelled: spelling.Spelled, step: int, num_steps: int) -> float:
    """The share of the weights of now in the average.

    Raises:
        DataError: If a user's function fails, or gives no number in (0, 1].
    """
    share = spelled.call(AVERAGES, step, num_steps)
    if not isinstance(share, float | int) or not 0 < share <= 1:
        raise DataError(
            f"{spelled.name}: gives {share!r} at step {step}; expected a share above 0, at most 1"
        )
    return float(share)
