"""The Fourier form of a convolution equals `conv2d`, gradients included."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from vesica.accel import spectral
from vesica.accel.spectral import SpectralConv2d, spectral_conv2d, tap_by_tap


def draw(
    size: tuple[int, int], kernel: tuple[int, int], dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(size) + 100 * sum(kernel))
    shapes = (3, 4, *size), (5, 4, *kernel), (5,)
    image, weight, bias = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return image, weight, bias


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.sampled_from([1, 3, 5, 7]), st.sampled_from([1, 3, 5, 7])),
)
def test_equals_conv2d(size: tuple[int, int], kernel: tuple[int, int]) -> None:
    image, weight, bias = draw(size, kernel)
    expected = functional.conv2d(image, weight, bias, padding="same")
    torch.testing.assert_close(spectral_conv2d(image, weight, bias), expected)


@pytest.mark.parametrize(
    ("size", "kernel"), [((7, 7), (7, 7)), ((4, 5), (7, 3)), ((1, 2), (5, 5)), ((2, 2), (7, 7))]
)
def test_gradients(size: tuple[int, int], kernel: tuple[int, int]) -> None:
    image, weight, bias = (tensor.requires_grad_() for tensor in draw(size, kernel))
    found = torch.autograd.grad(
        spectral_conv2d(image, weight, bias).square().sum(), (image, weight, bias)
    )
    direct = functional.conv2d(image, weight, bias, padding="same")
    expected = torch.autograd.grad(direct.square().sum(), (image, weight, bias))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_gradcheck() -> None:
    image, weight, bias = (tensor.requires_grad_() for tensor in draw((3, 2), (3, 3)))
    assert torch.autograd.gradcheck(spectral_conv2d, (image, weight, bias))


def test_float32_is_as_exact_as_conv2d() -> None:
    image, weight, bias = draw((7, 7), (7, 7))
    exact = functional.conv2d(image, weight, bias, padding="same")
    narrow = [tensor.float() for tensor in (image, weight, bias)]
    error = (spectral_conv2d(*narrow) - exact).norm() / exact.norm()
    assert error < 1e-6


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    image, weight, _ = draw((7, 7), (7, 7))
    monkeypatch.setattr(spectral, "CHUNK", 2)
    image.requires_grad_(), weight.requires_grad_()
    maps = spectral_conv2d(image, weight)
    expected = functional.conv2d(image, weight, padding="same")
    torch.testing.assert_close(maps, expected)
    for one, other in zip(
        torch.autograd.grad(maps.square().sum(), (image, weight)),
        torch.autograd.grad(expected.square().sum(), (image, weight)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_the_papers_layer_takes_148_products() -> None:
    image, taps, back = spectral.transforms((7, 7), (7, 7))
    assert (image.shape, taps.shape, back.shape) == ((148, 49), (148, 49), (49, 148))


def test_large_kernels_on_small_maps_are_cheaper() -> None:
    def is_cheaper(image: tuple[int, ...], weight: tuple[int, ...], itemsize: int = 4) -> bool:
        return spectral.is_cheaper(torch.Size(image), torch.Size(weight), itemsize)

    assert is_cheaper((100, 512, 7, 7), (4096, 512, 7, 7))
    assert is_cheaper((100, 2048, 7, 7), (4096, 2048, 7, 7))
    assert not is_cheaper((100, 512, 7, 7), (4096, 512, 1, 1))
    assert not is_cheaper((1, 512, 7, 7), (4096, 512, 7, 7))
    assert not is_cheaper((100, 512, 14, 14), (512, 512, 3, 3))
    assert is_cheaper((100, 512, 14, 14), (512, 512, 3, 3), itemsize=2)
    assert not is_cheaper((100, 64, 224, 224), (64, 64, 3, 3))


@pytest.mark.parametrize("size", [(7, 7), (4, 5), (1, 1), (6, 3)])
@pytest.mark.parametrize("kernel", [(7, 7), (1, 1), (3, 5)])
def test_products_are_counted_right(size: tuple[int, int], kernel: tuple[int, int]) -> None:
    assert spectral.count_products(size, kernel) == len(spectral.transforms(size, kernel).image)


def test_only_equals_are_replaced() -> None:
    same = nn.Conv2d(3, 4, 3, padding=1)
    others = [
        nn.Conv2d(3, 4, 3),
        nn.Conv2d(3, 4, 3, padding=1, stride=2),
        nn.Conv2d(3, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(3, 4, (3, 1), padding=(1, 0)),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    ]
    module = nn.ModuleList([same, *others])
    spectral.make_spectral(module)
    assert isinstance(module[0], SpectralConv2d)
    assert not any(isinstance(layer, SpectralConv2d) for layer in module[1:])
    image = draw((5, 6), (3, 3), torch.float32)[0][:, :3]
    torch.testing.assert_close(module[0](image), same(image))


def test_it_is_an_ordinary_convolution() -> None:
    ours, plain = SpectralConv2d(4, 5, 7), nn.Conv2d(4, 5, 7, padding="same")
    ours.load_state_dict(plain.state_dict())
    taps = ours.weight.permute(2, 3, 0, 1)
    assert taps.is_contiguous()  # loading kept the order of the memory
    for size in ((7, 7), (3, 2), (1, 1), (20, 4)):
        image = draw(size, (7, 7), torch.float32)[0]
        torch.testing.assert_close(ours(image), plain(image))
    image = draw((7, 7), (7, 7), torch.float32)[0]
    plain.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(image), plain(image))
    exported = torch.export.export(ours, (image,)).graph_module.code
    assert "conv2d" in exported


def test_taps_out_of_reach_get_no_gradient() -> None:
    ours, plain = SpectralConv2d(4, 5, 7), nn.Conv2d(4, 5, 7, padding="same")
    plain.load_state_dict(ours.state_dict())
    image = draw((2, 3), (7, 7), torch.float32)[0]
    for layer in (ours, plain):
        layer(image).square().sum().backward()
    assert ours.weight.grad is not None
    assert plain.weight.grad is not None
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)
    assert bool((ours.weight.grad[:, :, 0] == 0).all())


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        SpectralConv2d(1, 1, 4)


def test_autocast_computes_in_bfloat16() -> None:
    image, weight, bias = draw((7, 7), (7, 7), torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        maps = spectral_conv2d(image, tap_by_tap(weight), bias)
    assert maps.dtype == torch.bfloat16
    exact = functional.conv2d(image, weight, bias, padding="same")
    assert (maps.float() - exact).norm() / exact.norm() < 0.02
