"""SegNet: unpooling by a slow loop, the encoder against torchvision's, what trains, sizes."""

import itertools
from functools import cache

import pytest
import torch
import torchvision.models
from torch import Tensor, nn
from torch.nn import functional

from vesica.losses import bce_loss
from vesica.networks import Weights, build_network, load_weights
from vesica.networks.segnet import SegNet, segnet, unpool

NONE = Weights("none")


def build(weights: Weights = NONE, seed: int = 0) -> SegNet:
    network = build_network("segnet", weights, seed)
    assert isinstance(network, SegNet)
    return network


@cache
def shared() -> SegNet:
    """A network that no test may change."""
    return build().eval()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# Unpooling


def unpool_slowly(maps: Tensor, before: Tensor) -> Tensor:
    """Put each value where the largest of its four stood (the first of equal ones)."""
    found = torch.zeros_like(before)
    for n, c, y, x in itertools.product(*map(range, maps.shape)):
        window = before[n, c, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        row, column = divmod(int(window.flatten().argmax()), 2)
        found[n, c, 2 * y + row, 2 * x + column] = maps[n, c, y, x]
    return found


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unpooling_equals_a_slow_loop(layout: torch.memory_format) -> None:
    before, maps = noise(2, 3, 6, 8), noise(2, 3, 3, 4, seed=1) - 0.5
    before[0, 0] = 0.5  # ties
    before = before.contiguous(memory_format=layout)
    places = functional.max_pool2d(before, 2, return_indices=True)[1]
    found = unpool(maps.contiguous(memory_format=layout), places)
    assert torch.equal(found, unpool_slowly(maps, before))
    assert torch.equal(found, functional.max_unpool2d(maps, places, [2, 2]))
    assert found.count_nonzero() == maps.numel()


def test_unpooling_sends_the_gradient_back_from_the_same_places() -> None:
    places = functional.max_pool2d(noise(1, 2, 4, 6), 2, return_indices=True)[1]
    maps = noise(1, 2, 2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda maps: unpool(maps, places), maps)
    weight = noise(1, 2, 4, 6, seed=2)
    (gradient,) = torch.autograd.grad((unpool(maps, places) * weight).sum(), maps)
    expected = weight.flatten(2).gather(2, places.flatten(2)).view_as(maps)
    torch.testing.assert_close(gradient, expected.double())


# The network


def test_the_network_is_the_papers() -> None:
    network = shared()
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 13 + 13
    assert len([m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]) == 13 + 12
    assert {layer.kernel_size for layer in layers} == {(3, 3)}
    # The decoder mirrors the encoder, but for the maps that go in and come out.
    sizes = [(layer.in_channels, layer.out_channels) for layer in layers]
    assert [(num_out, num_in) for num_in, num_out in sizes[13:25]][::-1] == sizes[1:13]
    assert sizes[25] == (64, 1)
    assert network.stride == 1


def by_hand(network: SegNet, image: Tensor) -> Tensor:
    """Torchvision's VGG-16 with batch norm, and torch's unpooling, with the network's tensors."""
    features = torchvision.models.vgg16_bn(weights=None).features.train()
    convolutions = [m for m in network.encoder if isinstance(m, nn.Conv2d)]
    theirs = [m for m in features if isinstance(m, nn.Conv2d)]
    for one, other in zip(theirs, convolutions, strict=True):
        one.load_state_dict(other.state_dict())
    maps, places = network.normalise(image), []
    for layer in features:
        if isinstance(layer, nn.MaxPool2d):
            maps, found = functional.max_pool2d(maps, 2, 2, return_indices=True)
            places.append(found)
        else:
            maps = layer(maps)
    for block in network.decoder:
        maps = functional.max_unpool2d(maps, places.pop(), [2, 2])
        for conv in (m for m in block.modules() if isinstance(m, nn.Conv2d)):
            maps = functional.conv2d(maps, conv.weight, padding=1)
            maps = functional.relu(functional.batch_norm(maps, None, None, training=True))
    return functional.conv2d(maps, network.score.weight, network.score.bias, padding=1)


def test_forward_is_the_one_by_hand() -> None:
    network, image = build().train(), noise(2, 3, 64, 32)
    with torch.no_grad():
        expected = by_hand(network, image)
        torch.testing.assert_close(network(image), expected, rtol=1e-4, atol=1e-4)
    assert 0.3 < float(expected.std()) < 3  # training starts near 1/2


@pytest.mark.parametrize("size", [(32, 32), (33, 65), (31, 1)])
def test_logits_have_the_size_of_the_image(size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = shared()(noise(1, 3, *size))
    assert logits.shape == (1, 1, *size)


def test_padding_is_cut_off_again() -> None:
    image = noise(1, 3, 50, 32)
    padded = functional.pad(image, (0, 0, 7, 7), mode="replicate")
    with torch.no_grad():
        torch.testing.assert_close(shared()(padded)[:, :, 7:-7], shared()(image))


def test_classes_are_maps() -> None:
    with torch.device("meta"):
        network = segnet(classes=5)
    assert network(torch.empty(2, 3, 40, 64, device="meta")).shape == (2, 5, 40, 64)


# Weights and training


def test_pretrained_weights_fill_the_encoders_convolutions() -> None:
    weights = load_weights("hed", "segnet")
    network, fresh = build(weights), build(seed=1)
    for name, tensor in network.encoder.state_dict().items():
        assert torch.equal(tensor, weights.state[name])
    assert len(weights.state) == 2 * 13
    for part in ("norms", "decoder", "score"):
        one, other = (getattr(n, part).state_dict() for n in (build(), network))
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(fresh.score.weight, network.score.weight)
    assert torch.equal(network.normalise.order, torch.tensor([2, 1, 0]))  # hed's channels


def step(network: SegNet, image: Tensor) -> None:
    """One step of training."""
    target = torch.zeros(len(image), *image.shape[2:])
    target[:, 8:24, 4:20] = 1
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    torch.autograd.backward(bce_loss(network.train()(image)[:, 0], target).mean())
    optimizer.step()


def test_a_step_changes_everything_and_is_the_same_again() -> None:
    networks = build(), build()
    before = {name: tensor.clone() for name, tensor in networks[0].state_dict().items()}
    for network in networks:
        step(network, noise(1, 3, 32, 32))  # one image alone does not end a training
    after, again = (network.state_dict() for network in networks)
    assert all(torch.equal(after[name], again[name]) for name in after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # Batch norm takes away what a bias before it adds.
    biases = {name for name in before if name.startswith("encoder") and name.endswith("bias")}
    assert changed | biases == set(networks[0].trained_state())
    assert changed | biases | {n for n in before if "normalise" in n} == set(before)


def test_bfloat16_is_close() -> None:
    image = noise(1, 3, 32, 32)
    with torch.no_grad():
        expected = shared()(image)
        with torch.autocast("cpu", torch.bfloat16):
            logits = shared()(image)
    assert logits.dtype == torch.bfloat16
    both = torch.stack([expected.flatten(), logits.float().flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.95  # near ties are pooled from other places
