"""The average of a network's weights over the steps of its training, which is what is scored.

A network's score jumps from epoch to epoch with its weights; that of their average does not, and
no look at validation images is needed to choose an epoch. Averaging changes no step.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from vesica.networks import Network
from vesica.optim import average_share, read_average


class Average:
    """Of all that training changes, the statistics of batch norm included; they are averages of
    what the averaged weights would see, and each counts with the weights of its step.

    Args:
        network: Its tensors are changed in place by training.
        text: A name of `AVERAGES` with its options.
        num_steps: Of the whole training.
    """

    def __init__(self, network: Network, text: str, num_steps: int) -> None:
        self.spelled, self.num_steps = read_average(text), num_steps
        self.is_there = self.spelled.name != "none"
        self.live = network.trained_state() if self.is_there else {}
        self.tensors = {name: tensor.clone() for name, tensor in self.live.items()}
        names = [name for name, tensor in self.live.items() if tensor.is_floating_point()]
        self._pairs = [self.tensors[n] for n in names], [self.live[n] for n in names]
        self._counts = [name for name in self.live if name not in set(names)]

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what a checkpoint kept."""
        for name, tensor in tensors.items():
            self.tensors[name].copy_(tensor)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, the first of which is 1."""
        if not self.is_there:
            return
        averages, weights = self._pairs
        torch._foreach_lerp_(averages, weights, average_share(self.spelled, step, self.num_steps))
        for name in self._counts:
            self.tensors[name].copy_(self.live[name])

    @contextmanager
    @torch.no_grad()
    def applied(self) -> Iterator[None]:
        """The network with the averaged weights, for as long as it is looked at."""
        kept = {name: tensor.clone() for name, tensor in self.live.items()}
        for name, tensor in self.live.items():
            tensor.copy_(self.tensors[name])
        try:
            yield
        finally:
            for name, tensor in self.live.items():
                tensor.copy_(kept[name])
