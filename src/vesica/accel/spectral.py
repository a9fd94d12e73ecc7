"""Convolutions with kernels that are large beside their maps, in the Fourier domain.

A 7x7 kernel on a 7x7 map takes 49 x 49 products for each pair of channels. As a circular
convolution of length 7 + 3 per axis it takes one complex product for each of 48 pairs of
frequencies and a real one for 4 others, and a complex product takes three real ones: 148. Whatever
the transform, it has the form

    y = C ((A x) * (B w))

with three small real matrices: A and B go from pixels and taps to products, C from products to
pixels. Over channels, the product in the middle is one matrix product for each row of A, and the
gradients are the same with the transposed matrices.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

CHUNK = 256
"""Output channels whose weights are cast and transformed at once: more need more memory."""

MAP_COST, WEIGHT_COST = 3.0, 1.0
WIDE_MAP_COST, WIDE_WEIGHT_COST = 6.0, 5.0
"""Time of a multiplication in a transform beside one in a product, in 16 bits and in more: it moves
more memory, and all the more of it where numbers are wider."""


class SpectralConv2d(nn.Conv2d):
    """`nn.Conv2d` with an odd kernel, stride 1 and padding "same", by whichever way is cheaper.

    Its weights are those of an ordinary convolution, stored tap by tap.
    """

    def __init__(self, num_in: int, num_out: int, kernel: int, *, bias: bool = True) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; 'same' on both sides needs an odd one")
        super().__init__(num_in, num_out, kernel, padding="same", bias=bias)
        self.weight.data = tap_by_tap(self.weight.data)

    @classmethod
    def like(cls, layer: nn.Conv2d) -> "SpectralConv2d":
        """Another with the weights of an ordinary one."""
        num_out, num_in, taps, _ = layer.weight.shape
        with torch.device("meta"):
            other = cls(num_in, num_out, taps, bias=layer.bias is not None)
        other.weight = nn.Parameter(tap_by_tap(layer.weight.data), layer.weight.requires_grad)
        other.bias = layer.bias
        return other

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Conv2d`."""
        # Compilers and exporters know an ordinary convolution; a GPU has its own fast ones.
        is_traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[no-untyped-call]
        if is_traced or input.device.type != "cpu":
            return super().forward(input)
        weight = reachable(self.weight, input.shape)
        if weight.shape[2:] == (1, 1):  # twice as fast as a convolution, in bfloat16
            maps = functional.linear(input.permute(2, 3, 0, 1), weight[:, :, 0, 0], self.bias)
            return maps.permute(2, 3, 0, 1)
        if is_cheaper(input.shape, weight.shape, _product_type(input).itemsize):
            return spectral_conv2d(input, weight, self.bias)
        return functional.conv2d(input, weight, self.bias, padding="same")


def tap_by_tap(weight: Tensor) -> Tensor:
    """The same weights, (out, in, rows, columns), with the taps outermost in memory."""
    return weight.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)


def make_spectral(module: nn.Module) -> None:
    """Put a `SpectralConv2d` in the place of every convolution below that it can stand for."""
    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.Conv2d) and _has_equal(layer):
            module.set_submodule(name, SpectralConv2d.like(layer))


def _has_equal(layer: nn.Conv2d) -> bool:
    rows, columns = layer.kernel_size
    same = (rows // 2, columns // 2)
    is_plain = layer.groups == 1 and layer.stride == layer.dilation == (1, 1)
    is_padded = layer.padding == same and layer.padding_mode == "zeros"
    return is_plain and is_padded and rows == columns and rows % 2 == 1


def reachable(weight: Tensor, image: torch.Size) -> Tensor:
    """The taps that touch the map from somewhere; the others meet nothing but padding."""
    rows, columns = (
        slice(max(0, taps // 2 - (length - 1)), taps // 2 + length)
        for taps, length in zip(weight.shape[2:], image[2:], strict=True)
    )
    return weight[:, :, rows, columns]


def is_cheaper(image: torch.Size, weight: torch.Size, itemsize: int) -> bool:
    """Whether the Fourier domain takes less time, by the number of multiplications.

    Args:
        image: Shape (batch, in, height, width).
        weight: Shape (out, in, rows, columns).
        itemsize: Bytes of a number in the products.
    """
    num, num_in, *size = image
    num_out, _, *kernel = weight
    num_pixels, num_taps, channels = math.prod(size), math.prod(kernel), num_in * num_out
    num_products = count_products(size, kernel)
    # The backward pass takes twice as much either way, and so changes nothing.
    direct = num * num_pixels * num_taps * channels
    products = num * num_products * channels
    of_maps = num * num_products * num_pixels * (num_in + num_out)
    of_weights = num_products * num_taps * channels
    is_wide = itemsize > 2
    map_cost = WIDE_MAP_COST if is_wide else MAP_COST
    weight_cost = WIDE_WEIGHT_COST if is_wide else WEIGHT_COST
    return products + map_cost * of_maps + weight_cost * of_weights < direct


def count_products(size: Sequence[int], kernel: Sequence[int]) -> int:
    """Rows of the transforms' matrices, without making them."""
    lengths = [length + taps // 2 for length, taps in zip(size, kernel, strict=True)]
    num_real = math.prod(2 - length % 2 for length in lengths)
    return num_real + 3 * (math.prod(lengths) - num_real) // 2


def spectral_conv2d(image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`conv2d(image, weight, bias, padding="same")` for odd kernels.

    Under autocast, products are taken in its type, and the weights' gradient is added up in theirs.

    Args:
        image: Shape (batch, in, height, width).
        weight: Shape (out, in, rows, columns); fastest as `tap_by_tap` leaves it.
        bias: Shape (out,).

    Returns:
        Shape (batch, out, height, width), stored pixel by pixel.
    """
    maps: Tensor = _Spectral.apply(image.to(_product_type(image)), weight, bias)
    return maps


def _product_type(image: Tensor) -> torch.dtype:
    if torch.is_autocast_enabled(image.device.type):
        return torch.get_autocast_dtype(image.device.type)
    return image.dtype


class Transforms(NamedTuple):
    """The three matrices: A (products, pixels), B (products, taps) and C (pixels, products)."""

    image: NDArray[np.float64]
    taps: NDArray[np.float64]
    back: NDArray[np.float64]

    def like(self, tensor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As tensors of the same type, on the same device."""
        image, taps, back = (torch.from_numpy(matrix).to(tensor) for matrix in self)
        return image, taps, back


@functools.lru_cache(maxsize=64)
def transforms(size: tuple[int, ...], kernel: tuple[int, ...]) -> Transforms:
    """The matrices for a map of height and width `size` and an odd kernel."""
    # Beyond the map come as many zeros as a kernel reaches over its edge; round a circle, the
    # same zeros stand before it.
    lengths = [length + taps // 2 for length, taps in zip(size, kernel, strict=True)]
    frequencies = _grid(lengths)
    strides = np.array([lengths[1], 1])
    order = frequencies @ strides - (-frequencies % lengths) @ strides
    real, pairs = frequencies[order == 0], frequencies[order < 0]
    pixels, taps = _grid(size), _grid(kernel) - np.array(kernel) // 2

    def angles(chosen: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(2 * np.pi * (chosen / lengths) @ places.T)

    # With a + ib of the image, c + id of the kernel (conjugated: it is a correlation):
    # k1 = c (a + b), k2 = a (d - c), k3 = b (c + d); real part k1 - k3, imaginary part k1 + k2.
    a, b = np.cos(angles(pairs, pixels)), -np.sin(angles(pairs, pixels))
    c, d = np.cos(angles(pairs, taps)), np.sin(angles(pairs, taps))
    real_pixels, real_taps = np.cos(angles(real, pixels)), np.cos(angles(real, taps))
    back = np.concatenate([real_pixels, 2 * (a + b), 2 * b, -2 * a])
    return Transforms(
        np.concatenate([real_pixels, a + b, a, b]),
        np.concatenate([real_taps, c, d - c, c + d]),
        back.T / math.prod(lengths),
    )


def _grid(lengths: tuple[int, ...] | list[int]) -> NDArray[Any]:
    """Every place of a grid, row by row, shape (places, 2)."""
    return np.stack(np.meshgrid(*map(np.arange, lengths), indexing="ij"), -1).reshape(-1, 2)


class _Spectral(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        to_products, of_taps, back = _matrices(image, weight)
        spectrum = _transform(to_products, image)  # (products, batch, in)
        ctx.save_for_backward(spectrum, weight)
        ctx.shape = image.shape
        # The backward pass multiplies by the weights' transform again; without one, it is not worth
        # its memory.
        ctx.spectra = _transform_taps(of_taps, weight) if ctx.needs_input_grad[0] else None
        if ctx.spectra is not None:
            maps = spectrum @ ctx.spectra.mT
        else:
            maps = spectrum.new_empty((*spectrum.shape[:2], len(weight)))
            for part in _parts(weight):
                maps[..., part] = spectrum @ _transform_taps(of_taps, weight[part]).mT
        result = _inverse(back, maps, image.shape)
        return result if bias is None else result.add_(bias.to(result.dtype).view(-1, 1, 1))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        spectrum, weight = ctx.saved_tensors
        needs_image, needs_weight, needs_bias = ctx.needs_input_grad
        to_products, of_taps, back = _matrices(grad, weight)
        by_maps = _transform(back.T, grad)  # (products, batch, out)
        by_image = by_weight = None
        if needs_image:
            # A second pass through the same graph finds it gone.
            spectra = _transform_taps(of_taps, weight) if ctx.spectra is None else ctx.spectra
            by_image = _inverse(to_products.T, by_maps @ spectra, ctx.shape)
            ctx.spectra = spectra = None  # `products` is as large
        if needs_weight:
            products = by_maps.mT @ spectrum  # (products, out, in)
            taps = torch.empty_like(_flat_taps(weight))
            for part in _parts(weight):
                taps[:, part] = _apply(of_taps.T, products[:, part])
            by_weight = taps.view(*weight.shape[2:], *weight.shape[:2]).permute(2, 3, 0, 1)
        by_bias = grad.sum(dim=(0, 2, 3), dtype=weight.dtype) if needs_bias else None
        return by_image, by_weight, by_bias


def _matrices(image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return transforms(tuple(image.shape[2:]), tuple(weight.shape[2:])).like(image)


def _flat_taps(weight: Tensor) -> Tensor:
    """(out, in, rows, columns) to (taps, out, in)."""
    return weight.permute(2, 3, 0, 1).flatten(0, 1)


def _parts(weight: Tensor) -> Iterator[slice]:
    """Some of its output channels at a time."""
    return (slice(start, start + CHUNK) for start in range(0, len(weight), CHUNK))


def _transform_taps(of_taps: Tensor, weight: Tensor) -> Tensor:
    """Weights to (products, out, in), in the type of the products."""
    flat = _flat_taps(weight)
    spectra = of_taps.new_empty((len(of_taps), *flat.shape[1:]))
    for part in _parts(weight):
        taps = flat[:, part].to(of_taps.dtype)
        torch.mm(of_taps, taps.flatten(1), out=spectra[:, part].flatten(1))
    return spectra


def _transform(matrix: Tensor, maps: Tensor) -> Tensor:
    """(batch, channels, height, width) to (products, batch, channels)."""
    return _apply(matrix, maps.permute(2, 3, 0, 1).flatten(0, 1))


def _inverse(matrix: Tensor, products: Tensor, shape: torch.Size) -> Tensor:
    """(products, batch, channels) to (batch, channels, height, width), stored pixel by pixel."""
    (num, _, *size), channels = shape, products.shape[2]
    strides = (channels, 1, size[1] * num * channels, num * channels)
    # No view, as what follows may work in place.
    maps = products.new_empty_strided((num, channels, *size), strides)
    torch.mm(matrix, products.flatten(1), out=maps.permute(2, 3, 0, 1).view(len(matrix), -1))
    return maps


def _apply(matrix: Tensor, stacked: Tensor) -> Tensor:
    """Multiply the first axis of (from, *others): one matrix product."""
    return (matrix @ stacked.flatten(1)).view(len(matrix), *stacked.shape[1:])
