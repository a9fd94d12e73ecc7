"""Vesica's step of training, whole or without one of the three things that make it fast."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, bmm_flop

from engines.setting import EPSILON, LEARNING_RATE, RHO, Setting, draw_batch
from engines.worker import Prepared, serve
from vesica.accel.memory import keep_memory
from vesica.accel.rmsprop import BlockwiseRMSprop
from vesica.accel.spectral import SpectralConv2d
from vesica.losses import parse_loss
from vesica.networks import Network, Weights, build_network
from vesica.shapes import Features

BLOCK = 10
"""Images whose frozen layers are computed together."""


def prepare(
    setting: Setting, *, without_cache: bool, without_spectral: bool, without_bf16: bool
) -> Prepared:
    """Build, compute the frozen layers of one batch of images, count a step's arithmetic.

    Args:
        setting: Network and sizes.
        without_cache: Computes the frozen layers in every step.
        without_spectral: Convolves directly.
        without_bf16: Float32, the plain optimiser, memory given back: the rest of the step.
    """
    is_fast = not without_bf16
    if is_fast:
        keep_memory()
    spelled = f"{setting.network}:freeze=paper:init=keras:width={setting.width}"
    model = build_network(spelled, Weights("none"), seed=0).train()
    if without_spectral:
        use_direct(model)
    drawn, masks = draw_batch(setting.batch, setting.size)
    images = torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()
    started = time.perf_counter()
    features = None if without_cache else compute_trunk(model, images, is_fast)
    trunk_s = (time.perf_counter() - started) / setting.batch
    train = make_step(model, is_fast)
    counted: dict[str, Any] = {} if without_cache else {"trunk_s_per_image": trunk_s}
    target = torch.from_numpy(masks).bool()

    def step() -> float:
        rows = torch.randperm(setting.batch)
        if features is None:
            maps = compute_trunk(model, images[rows], is_fast)
        else:
            maps = tuple(tensor[rows] for tensor in features)
        if "flop_per_image" in counted:
            return train(maps, target[rows])
        with counting_flop() as counter:
            value = train(maps, target[rows])
        counted["flop_per_image"] = counter.get_total_flops() / setting.batch
        started = time.perf_counter()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_fast):
            model.head(maps, (setting.size, setting.size))
        counted["forward_s_per_image"] = (time.perf_counter() - started) / setting.batch
        return value

    return Prepared(step, counted)


def make_step(model: Network, is_fast: bool) -> Callable[[Features, Tensor], float]:
    """The step of `fit`, as a function of features and target."""
    loss = parse_loss("iou")
    trained = [p for p in model.parameters() if p.requires_grad]
    kind = BlockwiseRMSprop if is_fast else torch.optim.RMSprop
    optimizer = kind(trained, lr=LEARNING_RATE, alpha=RHO, eps=EPSILON)

    def step(features: Features, target: Tensor) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_fast):
            height, width = target.shape[1:]
            logits = model.head(features, (height, width))
        value = loss(logits[:, 0], target).mean()
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        return value.item()

    return step


@torch.no_grad()
def compute_trunk(model: Network, images: Tensor, is_fast: bool) -> Features:
    """The frozen layers' maps, a few images at a time."""
    with torch.autocast("cpu", torch.bfloat16, enabled=is_fast):
        blocks = [model.features(block) for block in torch.split(images, BLOCK)]
    return tuple(torch.cat(tensors) for tensors in zip(*blocks, strict=True))


def use_direct(model: nn.Module) -> None:
    """Put an ordinary convolution with the same weights in place of every 7x7 one."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, SpectralConv2d) and layer.kernel_size != (1, 1):
            num_out, num_in, rows, columns = layer.weight.shape
            direct = nn.Conv2d(num_in, num_out, (rows, columns), padding="same", device="meta")
            weight = layer.weight.detach().contiguous()
            direct.weight = nn.Parameter(weight, requires_grad=layer.weight.requires_grad)
            direct.bias = layer.bias
            model.set_submodule(name, direct)


@contextmanager
def counting_flop() -> Iterator[FlopCounterMode]:
    """Counts two operations for each multiplication in matrix products and convolutions."""

    def in_place(_: Any, a_shape: Any, b_shape: Any, **rest: Any) -> int:
        return bmm_flop(a_shape, b_shape)

    mapping = {torch.ops.aten.baddbmm_: in_place, torch.ops.aten.addmm_: in_place}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        yield counter


if __name__ == "__main__":
    torch.set_num_threads(2)
    serve(prepare, "without_cache", "without_spectral", "without_bf16")
