"""A light U-Net on EfficientNet-Lite0: it draws at every second pixel and trains in a minute."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from vesica.networks.fcn import NONE, Normalise
from vesica.networks.lite import CHANNELS, STRIDES, LiteEncoder
from vesica.networks.protocol import Network, crop, pad
from vesica.networks.weights import Weights, fill_encoder
from vesica.shapes import Features, ImageBatch, LogitMaps

Freeze = Literal["auto", "encoder", "none"]


class UNet(Network):
    """An encoder, and a decoder that adds its maps from the coarsest to the finest.

    Args:
        encoder: From a normalised image to maps of `CHANNELS` at `STRIDES`.
        channels: Of the decoder.
        classes: Maps of logits.
        is_frozen: Whether the decoder alone trains.

    Source:
        Ronneberger et al. 2015, with maps added in place of joined as by Lin et al. 2017 (FPN).
    """

    stride = STRIDES[0]

    def __init__(
        self, encoder: LiteEncoder, channels: int, *, is_frozen: bool, classes: int = 1
    ) -> None:
        super().__init__()
        if not 1 <= channels <= 1024:
            raise ValueError(f"channels={channels}: expected 1 to 1024")
        self.normalise = Normalise()
        self.encoder = encoder
        self.is_frozen = is_frozen
        # Half as many where the maps are largest: they take most of the time.
        widths = (max(1, channels // 2), *(channels,) * (len(CHANNELS) - 1))
        self.lateral = nn.ModuleList(map(_conv1x1, CHANNELS, widths))
        self.narrow = nn.ModuleList(map(_conv1x1, widths[1:], widths[:-1]))
        self.smooth = nn.ModuleList(map(_smooth, widths))
        self.score = nn.Conv2d(widths[0], classes, 1)

    def frozen(self) -> Sequence[nn.Module]:
        """What normalises, and the encoder; or nothing but what normalises."""
        return (self.normalise, self.encoder) if self.is_frozen else (self.normalise,)

    def features(self, image: ImageBatch) -> Features:
        """The encoder's maps; where it trains, the image itself."""
        return self.encode(image) if self.is_frozen else (image,)

    def encode(self, image: ImageBatch) -> Features:
        """Maps at every stride, finest first."""
        maps: Features = self.encoder(self.normalise(pad(image, STRIDES[-1])))
        return maps

    def head(self, features: Features, size: tuple[int, int]) -> LogitMaps:
        """Logits of shape (batch, classes, *size) from what `features` gave."""
        encoded = features if self.is_frozen else self.encode(features[0])
        # Twice as fast on a CPU in bfloat16.
        maps = [m.contiguous(memory_format=torch.channels_last) for m in encoded]
        decoded = self.smooth[-1](self.lateral[-1](maps[-1]))
        for level in reversed(range(len(maps) - 1)):
            above = functional.interpolate(self.narrow[level](decoded), scale_factor=2.0)
            decoded = self.smooth[level](self.lateral[level](maps[level]) + above)
        logits = functional.interpolate(
            self.score(decoded), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        return crop(logits, size)


def _conv1x1(num_in: int, num_out: int) -> nn.Module:
    return nn.Conv2d(num_in, num_out, 1)


def _smooth(channels: int) -> nn.Module:
    convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def unet(
    *,
    weights: Weights = NONE,
    classes: int = 1,
    channels: int = 48,
    freeze: Freeze = "auto",
) -> UNet:
    """A light decoder with skips on EfficientNet-Lite0.

    Args:
        weights: Of the encoder.
        classes: Maps of logits.
        channels: Of the decoder.
        freeze: "encoder" trains the decoder alone, "none" all; "auto" is "encoder" with pretrained
            weights and "none" without.

    Raises:
        DataError: If the weights do not fit.
    """
    is_frozen = freeze == "encoder" or (freeze == "auto" and bool(weights.state))
    network = UNet(LiteEncoder(), channels, is_frozen=is_frozen, classes=classes)
    # From zero, as in BFCN-32s, logits would grow too slowly: after 800 steps of BCE not one pixel
    # of a thin object was above 1/2.
    nn.init.kaiming_normal_(network.score.weight, nonlinearity="relu")
    nn.init.zeros_(network.get_parameter("score.bias"))
    network.to(memory_format=torch.channels_last)
    network.normalise = Normalise(**weights.normalise)
    if weights.state:
        fill_encoder(network.encoder, weights.state, weights.name, "unet")
    return network
