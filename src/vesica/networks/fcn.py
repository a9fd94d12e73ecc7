"""The paper's networks: BFCN-32s (VGG-16) and FCResNet (ResNet-50)."""

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.vgg import cfgs, make_layers

from vesica.accel import faster
from vesica.errors import DataError
from vesica.networks.protocol import Network, crop, pad
from vesica.networks.weights import Weights
from vesica.shapes import Features, ImageBatch, LogitMaps

STRIDE = 32
"""Both encoders halve the image five times."""

Init = Literal["fcn", "keras"]
Freeze = Literal["auto", "paper", "none"]
NONE = Weights("none")
MAX_WIDTH = 65536


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


class FCN(Network):
    """An encoder, convolutions in place of its classifier, and one learned 32-fold up-sampling.

    Normalisation and channel order are buffers.

    Args:
        encoder: Layers from a normalised image to a map 32 times smaller.
        num_frozen: How many of the encoder's layers are frozen; 0 freezes nothing.
        num_channels: Channels of the encoder's last map.
        width: Channels of the wide layers (the paper: 4096).
        num_wide: 1 for the 7x7 layer alone, 2 for a 1x1 layer of the same width behind it.
        dropout: Probability behind each wide layer (the paper names none, FCN has 0.5).

    Raises:
        ValueError: If width or dropout are out of range.
    """

    stride = STRIDE

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
        if not 1 <= width <= MAX_WIDTH:
            raise ValueError(f"width={width}: expected 1 to {MAX_WIDTH} channels")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout:g}: expected a probability below 1")
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

    def frozen(self) -> Sequence[nn.Module]:
        """What normalises, and the first layers of the encoder."""
        return self.normalise, self.encoder[: self.num_frozen]

    def features(self, image: ImageBatch) -> Features:
        """The frozen layers' map; where nothing is frozen, the image itself."""
        if self.num_frozen == 0:
            return (image,)
        return (self.encoder[: self.num_frozen](self.normalise(pad(image, STRIDE))),)

    def head(self, features: Features, size: tuple[int, int]) -> LogitMaps:
        """Logits of shape (batch, 1, *size) from what `features` gave."""
        (maps,) = features
        if self.num_frozen == 0:
            maps = self.normalise(pad(maps, STRIDE))
        maps = self.encoder[self.num_frozen :](maps)
        scores = self.score(self.wide(maps))
        with _uncast(scores.device.type):  # ten times slower in bfloat16 on a CPU
            logits = self.upsample(scores.to(self.upsample.weight.dtype))
        return crop(logits, size)


def _conv2d(num_in: int, num_out: int, kernel: int) -> nn.Conv2d:
    """With padding "same"."""
    plain = functools.partial(nn.Conv2d, padding="same")
    return faster("conv2d", plain)(num_in, num_out, kernel)


def _uncast(device_type: str) -> AbstractContextManager[Any]:
    """Leave autocast, where there is such a thing."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def bfcn32s(
    *,
    weights: Weights = NONE,
    width: int = 4096,
    init: Init = "fcn",
    dropout: float = 0.0,
    freeze: Freeze = "auto",
) -> FCN:
    """BFCN-32s: VGG-16, a 7x7 and a 1x1 wide layer; all frozen but block 5 and the head.

    Args:
        weights: Of the encoder.
        width: Channels of the wide layers.
        init: How fresh layers start: "fcn" (Shelhamer et al.) or "keras" (Glorot uniform).
        dropout: Behind each wide layer.
        freeze: "paper" freezes all but the last block and the head, "none" nothing; "auto" is
            "paper" with pretrained weights and "none" without.

    Source:
        van Beers et al. 2019, 2.1.1, after Shelhamer et al. 2017.
    """
    block_5 = 24  # conv5_1 in torchvision's numbering; layer 23 is the fourth pooling
    encoder = make_layers(cfgs["D"], batch_norm=False)
    # Not in ResNet: batch norm is slow on maps stored pixel by pixel.
    faster("convolutions", lambda module: None)(encoder)
    frozen = block_5 if is_frozen(freeze, weights) else 0
    model = FCN(encoder, frozen, 512, width=width, num_wide=2, dropout=dropout)
    return start(model, "bfcn32s", weights, init)


def fcresnet(
    *,
    weights: Weights = NONE,
    width: int = 4096,
    init: Init = "fcn",
    dropout: float = 0.0,
    freeze: Freeze = "auto",
) -> FCN:
    """FCResNet: ResNet-50 and one 7x7 wide layer; all frozen but res5 and the head.

    Args:
        weights, width, init, dropout, freeze: As for `bfcn32s`.

    Source:
        van Beers et al. 2019, 2.1.2.
    """
    net = resnet50()
    stem: list[Any] = [net.conv1, net.bn1, net.relu, net.maxpool]
    encoder = nn.Sequential(*stem, net.layer1, net.layer2, net.layer3, net.layer4)
    res5 = len(encoder) - 1 if is_frozen(freeze, weights) else 0
    model = FCN(encoder, res5, 2048, width=width, num_wide=1, dropout=dropout)
    return start(model, "fcresnet", weights, init)


def is_frozen(freeze: Freeze, weights: Weights) -> bool:
    """Whether the paper's layers are frozen."""
    return freeze == "paper" or (freeze == "auto" and bool(weights.state))


def start(model: FCN, name: str, weights: Weights, init: Init) -> FCN:
    """Fresh tensors by PyTorch's seed, then the pretrained ones.

    Raises:
        DataError: If the weights do not fit the encoder.
    """
    initialise(model, init, torch.Generator().manual_seed(torch.initial_seed()))
    if init == "fcn":
        initialise_output(model)
    model.normalise = Normalise(**weights.normalise)
    if weights.state:
        try:
            model.encoder.load_state_dict(weights.state)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise DataError(f"weights {weights.name!r} do not fit {name}: {first}") from None
    return model


def initialise(module: nn.Module, init: str, generator: torch.Generator) -> None:
    """Draw fresh weights for every convolution below `module`.

    "fcn": He-normal, biases zero (score layer and up-sampling: see `initialise_output`).
    "keras": Glorot-uniform, biases zero, the default of the paper's framework.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not layer.weight.is_meta:
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
