"""RMSprop in one pass through memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BLOCK_SIZE = 2**18
"""Numbers of a parameter that are worked on at once: with gradient and average, 3 MiB."""


class BlockwiseRMSprop(torch.optim.RMSprop):
    """`torch.optim.RMSprop` without momentum or centering, to the same bits.

    PyTorch's own goes through the weights of a wide layer once for each of its five operations;
    here all five work on a block while it is in the caches. On other devices it is PyTorch's.

    Source:
        Hinton's lecture 6e; epsilon is added outside the root, as PyTorch does (Keras: inside).
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Change every parameter that has a gradient."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        if closure is not None or any(p.device.type != "cpu" for p in parameters):
            return super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(parameter, parameter.grad, group)
        return None

    def _step_one(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["square_avg"] = torch.zeros_like(parameter)
        if state["square_avg"].stride() != parameter.stride():  # as a file may have kept it
            state["square_avg"] = torch.empty_like(parameter).copy_(state["square_avg"])
        state["step"] += 1
        average, alpha = state["square_avg"], group["alpha"]
        order = sorted(range(parameter.ndim), key=parameter.stride, reverse=True)
        # In the order of their memory; `view` refuses what it would have to copy.
        flat = parameter.permute(order).view(-1), average.permute(order).view(-1)
        tensors = flat[0], grad.permute(order).reshape(-1), flat[1]
        for block in zip(*(torch.split(t, BLOCK_SIZE) for t in tensors), strict=True):
            values, slope, mean = block
            mean.mul_(alpha).addcmul_(slope, slope, value=1 - alpha)
            values.addcdiv_(slope, mean.sqrt().add_(group["eps"]), value=-group["lr"])
