"""SegNet: VGG-16, and a decoder that puts each value back to where the pooling found it."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vgg import cfgs, make_layers

from vesica.networks.fcn import NONE, STRIDE, Normalise, initialise
from vesica.networks.protocol import Network, crop, pad
from vesica.networks.weights import Weights, fill_encoder
from vesica.shapes import Features, LogitMaps

BLOCKS = (
    (512, 512, 512, 512),
    (512, 512, 512, 256),
    (256, 256, 256, 128),
    (128, 128, 64),
    (64, 64),
)
"""Of the decoder, coarsest first: channels into the first convolution and behind each. VGG-16's
from its end to its begin, where the last convolution is the score."""


class SegNet(Network):
    """VGG-16's convolutions and a mirror image of them, all with batch norm; all of it trains.

    Args:
        classes: Maps of logits, one for two classes.

    Source:
        Badrinarayanan et al. 2017, 3.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.normalise = Normalise()
        # As torchvision numbers them without batch norm, so that its weights and hed's fit.
        self.encoder = make_layers(cfgs["D"], batch_norm=False)
        convolutions = [layer for layer in self.encoder if isinstance(layer, nn.Conv2d)]
        self.norms = nn.ModuleList(nn.BatchNorm2d(conv.out_channels) for conv in convolutions)
        self.decoder = nn.ModuleList(map(_block, BLOCKS))
        self.score = nn.Conv2d(BLOCKS[-1][-1], classes, 3, padding=1)

    def frozen(self) -> Sequence[nn.Module]:
        """What normalises."""
        return (self.normalise,)

    def head(self, features: Features, size: tuple[int, int]) -> LogitMaps:
        """Logits of shape (batch, classes, *size) from the image."""
        maps, pooled = self._encode(self.normalise(pad(features[0], STRIDE)))
        for block, places in zip(self.decoder, reversed(pooled), strict=True):
            maps = block(unpool(maps, places))
        return crop(self.score(maps), size)

    def _encode(self, maps: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The last maps, and where each pooling found its values."""
        norms, pooled = iter(self.norms), []
        for layer in self.encoder:
            if isinstance(layer, nn.MaxPool2d):
                maps, places = functional.max_pool2d(maps, 2, return_indices=True)
                pooled.append(places)
            elif isinstance(layer, nn.Conv2d):
                maps = next(norms)(layer(maps))
            else:
                maps = layer(maps)
        return maps, pooled


def unpool(maps: Tensor, places: Tensor) -> Tensor:
    """Maps twice as high and wide: each value at its place, zeros between.

    By `scatter`, which unlike PyTorch's `max_unpool2d` has a fixed order on every device.

    Args:
        maps: Shape (batch, channels, height, width).
        places: Same shape: in the flattened larger map, as `max_pool2d` gives them.
    """
    height, width = maps.shape[-2:]
    empty = maps.new_zeros((*maps.shape[:2], 4 * height * width))
    filled = empty.scatter(2, places.flatten(2), maps.flatten(2))
    return filled.view(*maps.shape[:2], 2 * height, 2 * width)


def _block(channels: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for num_in, num_out in itertools.pairwise(channels):
        convolution = nn.Conv2d(num_in, num_out, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(num_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def segnet(*, weights: Weights = NONE, classes: int = 1) -> SegNet:
    """SegNet: VGG-16 with pooling indices, a symmetric decoder; all of it trains.

    Args:
        weights: Of the encoder's convolutions; batch norm starts fresh.
        classes: Maps of logits.

    Raises:
        DataError: If the weights do not fit.

    Source:
        Badrinarayanan et al. 2017.
    """
    network = SegNet(classes)
    initialise(network, "fcn", torch.Generator().manual_seed(torch.initial_seed()))
    network.normalise = Normalise(**weights.normalise)
    if weights.state:
        fill_encoder(network.encoder, weights.state, weights.name, "segnet")
    return network
