"""The light U-Net and EfficientNet-Lite0: the package's own network, strides, freezing, sizes."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from realdata import require
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from vesica.errors import DataError
from vesica.networks import Weights, build_network, load_weights
from vesica.networks.lite import CHANNELS, STRIDES, LiteEncoder, SameConv2d
from vesica.networks.unet import UNet
from vesica.networks.weights import INSTALL_LITE0, _read_lite0

NONE = Weights("none")


def build(text: str = "unet:channels=8", weights: Weights = NONE, seed: int = 0) -> UNet:
    network = build_network(text, weights, seed)
    assert isinstance(network, UNet)
    return network


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def logits_of_package(image: Tensor) -> Tensor:
    """The network of the package that the weights were made for."""
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(_read_lite0())
    with torch.inference_mode():
        logits: Tensor = network.eval()((image * 255 - 127) / 128)
    return logits


def logits_of_ours(image: Tensor) -> Tensor:
    """Our encoder, with the classifier of the same file behind it."""
    network, state = build(weights=load_weights("lite0", "unet")).eval(), _read_lite0()
    with torch.inference_mode():
        maps = functional.conv2d(network.encode(image)[-1], state["_conv_head.weight"])
        norm = torch.nn.BatchNorm2d(maps.shape[1], eps=1e-3).eval()
        names = norm.state_dict().keys()
        norm.load_state_dict({name: state[f"_bn1.{name}"] for name in names})
        maps = norm(maps)
        pooled = functional.relu6(maps).mean(dim=(2, 3))
        return functional.linear(pooled, state["_fc.weight"], state["_fc.bias"])


def test_the_weights_are_loaded_right() -> None:
    """The same logits as the package's own network, on photographs that it knows: horses."""
    files = sorted((require("horses") / "rgb").iterdir())[:4]
    photos = [Image.open(file).convert("RGB").resize((224, 224)) for file in files]
    image = torch.stack([torch.tensor(np.array(p)).permute(2, 0, 1) for p in photos]) / 255
    ours, theirs = logits_of_ours(image), logits_of_package(image)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    sorrel_horse = 339
    assert (ours.argmax(dim=1) == sorrel_horse).all()


def test_the_weights_are_loaded_right_on_noise() -> None:
    image = noise(2, 3, 224, 224)
    ours, theirs = logits_of_ours(image), logits_of_package(image)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert ours.std() > 0.5


@pytest.mark.parametrize("side", [7, 8, 9, 32])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (5, 1), (3, 2), (5, 2)])
def test_same_padding_by_hand(side: int, kernel: int, stride: int) -> None:
    """TensorFlow's rule, pixel by pixel, in one dimension."""
    conv = SameConv2d(1, 1, kernel, stride, bias=False)
    image = noise(1, 1, side, side)
    weight = conv.weight.detach()[0, 0]
    num_out = -(-side // stride)
    before = max((num_out - 1) * stride + kernel - side, 0) // 2
    expected = torch.zeros(num_out, num_out)
    for y, x in np.ndindex(num_out, num_out):
        for dy, dx in np.ndindex(kernel, kernel):
            row, column = y * stride + dy - before, x * stride + dx - before
            if 0 <= row < side and 0 <= column < side:
                expected[y, x] += weight[dy, dx] * image[0, 0, row, column]
    torch.testing.assert_close(conv(image)[0, 0].detach(), expected)


def test_maps_lie_at_their_strides() -> None:
    maps = LiteEncoder().eval()(noise(1, 3, 96, 64))
    expected = [(1, c, 96 // s, 64 // s) for c, s in zip(CHANNELS, STRIDES, strict=True)]
    assert [tuple(m.shape) for m in maps] == expected


@pytest.mark.parametrize("freeze", ["encoder", "none"])
@pytest.mark.parametrize("size", [(64, 64), (33, 65), (32, 1), (100, 130)])
def test_logits_are_as_large_as_the_image(freeze: str, size: tuple[int, int]) -> None:
    network = build(f"unet:channels=8:freeze={freeze}").eval()
    image = noise(2, 3, *size)
    with torch.no_grad():
        logits = network(image)
        assert logits.shape == (2, 1, *size)
        assert torch.equal(logits, network.head(network.features(image), size))
        assert logits.std() > 0


def test_training_starts_near_one_half_and_not_at_it() -> None:
    """Logits of the size of 1: from exactly 0 they grow too slowly, from far away they saturate."""
    logits = build("unet", load_weights("lite0", "unet")).train()(noise(4, 3, 64, 64))
    assert abs(float(logits.detach().mean())) < 1.5
    assert 0.2 < float(logits.detach().std()) < 2


@pytest.mark.parametrize(("freeze", "is_frozen"), [("encoder", True), ("none", False)])
def test_what_is_frozen_gets_no_gradient(freeze: str, is_frozen: bool) -> None:
    network = build(f"unet:channels=8:freeze={freeze}").train()
    before = {name: tensor.clone() for name, tensor in network.frozen_state().items()}
    value: Tensor = network(noise(2, 3, 64, 64)).square().mean()
    value.backward()  # type: ignore[no-untyped-call]
    grads = {name: p.grad for name, p in network.named_parameters()}
    reached = {name for name, grad in grads.items() if grad is not None and grad.any()}
    decoder = {name for name in grads if not name.startswith("encoder.")}
    assert decoder <= reached
    assert {name for name in grads if name.startswith("encoder.")}.isdisjoint(reached) == is_frozen
    assert all(torch.equal(before[name], t) for name, t in network.frozen_state().items())
    assert any(name.startswith("encoder.") for name in before) == is_frozen


def test_every_map_matters() -> None:
    network = build().eval()
    features = [m.detach().requires_grad_() for m in network.encode(noise(1, 3, 64, 64))]
    network.is_frozen = True
    value = network.head(tuple(features), (64, 64)).square().sum()
    assert all(grad.any() for grad in torch.autograd.grad(value, features))


def test_auto_freezes_what_is_pretrained() -> None:
    assert build(weights=load_weights("lite0", "unet")).is_frozen
    assert not build().is_frozen


def test_same_seed_same_tensors() -> None:
    weights = load_weights("lite0", "unet")
    one, two, other = (build(weights=weights, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    differing = {name for name in one if not torch.equal(one[name], other[name])}
    assert differing
    assert not any(name.startswith("encoder.") for name in differing)


def test_weights_from_a_file(tmp_path: Path) -> None:
    save_file({k: v.contiguous() for k, v in _read_lite0().items()}, tmp_path / "lite.safetensors")
    weights = load_weights(f"lite0:{tmp_path / 'lite.safetensors'}", "unet")
    assert weights.digest == load_weights("lite0", "unet").digest


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": torch.zeros(1)}, "none of the 1 tensors has a name of EfficientNet-Lite0"),
        ({"_bn0.weight": torch.tensor([torch.nan])}, "NaN"),
        ({"_bn0.weight": torch.zeros(5)}, "do not fit unet"),
    ],
)
def test_wrong_weights_are_refused(state: Any, message: str, tmp_path: Path) -> None:
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=message):
        build(weights=load_weights(f"lite0:{tmp_path / 'w.safetensors'}", "unet"))


def test_weights_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=INSTALL_LITE0):
        load_weights("lite0", "unet")


@pytest.mark.parametrize("channels", [0, -3, 5000])
def test_impossible_widths_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 1024"):
        build(f"unet:channels={channels}")
