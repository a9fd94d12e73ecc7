"""The paper's networks: BFCN-32s (VGG-16) and FCResNet (ResNet-50), each a trunk and a head.

The protocol that every network of Vesica follows:

- `trunk(image) -> tuple of tensors` is what is frozen: its output never changes in training.
- `head(features, size) -> logits` is what trains; `size` is the image's (height, width).
- `forward(image)` is their composition.

`image` is RGB in [0, 1]; normalisation and channel order are buffers of the model.
"""

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet50
from torchvision.models.vgg import cfgs, make_layers

from vesica.accel import faster
from vesica.shapes import Features, ImageBatch, LogitMaps

STRIDE = 32
"""Both encoders halve the image five times."""


class Normalise(nn.Module):
    """RGB in [0, 1] to what an encoder was pretrained on: `(scale * channels - mean) / std`."""

    def __init__(
        self,
        scale: float = 1.0,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        order: tuple[int, int, int] = (0, 1, 2),
    ) -> None:
        super().__init__()
        self.scale: Tensor
        self.mean: Tensor
        self.std: Tensor
        self.order: Tensor
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))
        self.register_buffer("order", torch.tensor(order))

    def forward(self, image: ImageBatch) -> ImageBatch:
        """Same shape as the image."""
        return (image[:, self.order] * self.scale - self.mean) / self.std


class FCN(nn.Module):
    """An encoder, convolutions in place of its classifier, and one learned 32-fold up-sampling.

    Args:
        encoder: Layers from a normalised image to a map 32 times smaller.
        num_frozen: How many of the encoder's layers are the trunk; 0 freezes nothing.
        num_channels: Channels of the encoder's last map.
        width: Channels of the wide layers (the paper: 4096).
        num_wide: 1 for the 7x7 layer alone, 2 for a 1x1 layer of the same width behind it.
        dropout: Probability behind each wide layer (the paper names none, FCN has 0.5).
    """

    def __init__(
        self,
        encoder: nn.Sequential,
        num_frozen: int,
        num_channels: int,
        *,
        width: int,
        num_wide: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.encoder = encoder
        self.num_frozen = num_frozen
        wide: list[nn.Module] = []
        for channels, kernel in [(num_channels, 7), (width, 1)][:num_wide]:
            wide += [_conv2d(channels, width, kernel), nn.ReLU(inplace=True)]
            wide += [nn.Dropout(dropout)] if dropout else []
        self.wide = nn.Sequential(*wide)
        self.score = _conv2d(width, 1, 1)
        self.upsample = nn.ConvTranspose2d(1, 1, 2 * STRIDE, STRIDE, padding=STRIDE // 2)
        self.encoder[:num_frozen].requires_grad_(False)

    def forward(self, image: ImageBatch) -> LogitMaps:
        """Logits of the image's height and width."""
        return self.head(self.trunk(image), image.shape[-2:])

    def trunk(self, image: ImageBatch) -> Features:
        """The frozen layers' map; where nothing is frozen, the image itself."""
        if self.num_frozen == 0:
            return (image,)
        return (self.encoder[: self.num_frozen](self.normalise(pad(image))),)

    def head(self, features: Features, size: tuple[int, int] | torch.Size) -> LogitMaps:
        """Logits of shape (batch, *size) from what `trunk` gave."""
        (maps,) = features
        if self.num_frozen == 0:
            maps = self.normalise(pad(maps))
        maps = self.encoder[self.num_frozen :](maps)
        scores = self.score(self.wide(maps))
        with _uncast(scores.device.type):  # ten times slower in bfloat16 on a CPU
            logits = self.upsample(scores.to(self.upsample.weight.dtype))
        return crop(logits.squeeze(1), size)

    def train(self, mode: bool = True) -> "FCN":
        """Frozen means frozen: the trunk's batch norm stays in evaluation mode."""
        super().train(mode)
        self.encoder[: self.num_frozen].eval()
        return self

    def trained_state(self) -> dict[str, Tensor]:
        """Every tensor that training may change, by name: parameters and batch-norm statistics."""
        frozen = tuple(f"encoder.{index}." for index in range(self.num_frozen))
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not name.startswith((*frozen, "normalise."))
        }


def _conv2d(num_in: int, num_out: int, kernel: int) -> nn.Conv2d:
    """With padding "same"."""
    plain = functools.partial(nn.Conv2d, padding="same")
    return faster("conv2d", plain)(num_in, num_out, kernel)


def _uncast(device_type: str) -> AbstractContextManager[Any]:
    """Leave autocast, where there is such a thing."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def pad(image: ImageBatch) -> ImageBatch:
    """Repeat the border until height and width are multiples of 32."""
    height, width = image.shape[-2:]
    rows, columns = -height % STRIDE, -width % STRIDE
    if rows == columns == 0:
        return image
    left, top = columns // 2, rows // 2
    return functional.pad(image, (left, columns - left, top, rows - top), mode="replicate")


def crop(logits: LogitMaps, size: tuple[int, int] | torch.Size) -> LogitMaps:
    """Undo `pad`."""
    height, width = size
    top, left = (logits.shape[-2] - height) // 2, (logits.shape[-1] - width) // 2
    return logits[..., top : top + height, left : left + width]


def bfcn32s(*, width: int = 4096, dropout: float = 0.0, freeze: bool = True) -> FCN:
    """BFCN-32s: VGG-16, a 7x7 and a 1x1 wide layer; all frozen but block 5 and the head.

    Source:
        van Beers et al. 2019, 2.1.1, after Shelhamer et al. 2017.
    """
    block_5 = 24  # conv5_1 in torchvision's numbering; layer 23 is the fourth pooling
    encoder = make_layers(cfgs["D"], batch_norm=False)
    faster("convolutions", lambda module: None)(
        encoder
    )  # not in ResNet: batch norm is slow on maps stored pixel by pixel
    return FCN(encoder, block_5 if freeze else 0, 512, width=width, num_wide=2, dropout=dropout)


def fcresnet(*, width: int = 4096, dropout: float = 0.0, freeze: bool = True) -> FCN:
    """FCResNet: ResNet-50 and one 7x7 wide layer; all frozen but res5 and the head.

    Source:
        van Beers et al. 2019, 2.1.2.
    """
    net = resnet50()
    stem: list[Any] = [net.conv1, net.bn1, net.relu, net.maxpool]
    encoder = nn.Sequential(*stem, net.layer1, net.layer2, net.layer3, net.layer4)
    res5 = len(encoder) - 1
    return FCN(encoder, res5 if freeze else 0, 2048, width=width, num_wide=1, dropout=dropout)


def initialise(module: nn.Module, init: str, generator: torch.Generator) -> None:
    """Draw fresh weights for every convolution below `module`.

    "fcn": He-normal, biases zero (score layer and up-sampling: see `initialise_output`).
    "keras": Glorot-uniform, biases zero, the default of the paper's framework.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            drawn = torch.empty(layer.weight.shape)  # in this order, however they are stored
            if init == "keras":
                nn.init.xavier_uniform_(drawn, generator=generator)
            else:
                nn.init.kaiming_normal_(drawn, nonlinearity="relu", generator=generator)
            layer.weight.data.copy_(drawn)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise_output(model: FCN) -> None:
    """Score layer zero, up-sampling bilinear.

    A bilinear up-sampling behind a random score layer saturates at once and can stay at
    all-foreground for good; behind a zero one, training starts from probability 1/2.

    Source:
        Shelhamer et al. 2017.
    """
    nn.init.zeros_(model.score.weight)
    kernel = 1 - (torch.arange(2 * STRIDE) + 0.5 - STRIDE).abs() / STRIDE
    with torch.no_grad():
        model.upsample.weight.copy_(kernel[:, None] * kernel[None, :])
