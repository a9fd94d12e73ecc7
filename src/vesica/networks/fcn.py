"""The paper's networks, BFCN-32s (VGG-16) and FCResNet (ResNet-50), and those with finer maps."""

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.vgg import cfgs, make_layers

from vesica.accel import faster
from vesica.networks.protocol import Network, crop, pad
from vesica.networks.weights import Weights, fill_encoder
from vesica.shapes import Features, ImageBatch, LogitMaps

STRIDE = 32
"""Both encoders halve the image five times."""

Init = Literal["fcn", "keras"]
Freeze = Literal["auto", "paper", "none"]
Stride = Literal[32, 16, 8]
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
    """An encoder, convolutions in place of its classifier, and a learned up-sampling.

    Without skips it is 32-fold at once. Each skip adds scores of a map twice as fine, and what is
    left to the last up-sampling is half. Normalisation and channel order are buffers.

    Args:
        encoder: Layers from a normalised image to a map 32 times smaller.
        num_frozen: How many of the encoder's layers are frozen; 0 freezes nothing.
        num_channels: Channels of the encoder's last map.
        width: Channels of the wide layers (the paper: 4096).
        num_wide: 1 for the 7x7 layer alone, 2 for a 1x1 layer of the same width behind it.
        dropout: Probability behind each wide layer (the paper names none, FCN has 0.5).
        skips: Maps of the encoder that are scored too, from the coarsest, each twice as fine as
            the one before: how many layers lie before it, and its channels.
        classes: Maps of logits.

    Raises:
        ValueError: If width or dropout are out of range.
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
        skips: Sequence[tuple[int, int]] = (),
        classes: int = 1,
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
        self.score = _conv2d(width, classes, 1)
        self.stride = STRIDE >> len(skips)
        self.upsample = _upsampling(self.stride, classes)
        # Drawn after all that a network without skips has: the same seed gives both the same.
        self.skips = tuple(sorted(layers for layers, _ in skips))
        self.skip_scores = nn.ModuleList(_conv2d(channels, classes, 1) for _, channels in skips)
        self.doublings = nn.ModuleList(_upsampling(2, classes) for _ in skips)

    def frozen(self) -> Sequence[nn.Module]:
        """What normalises, and the first layers of the encoder."""
        return self.normalise, self.encoder[: self.num_frozen]

    def features(self, image: ImageBatch) -> Features:
        """The frozen layers' maps that skips need, and the last; the image if none is frozen."""
        if self.num_frozen == 0:
            return (image,)
        return self._encode(self.normalise(pad(image, STRIDE)), 0, self.num_frozen)

    def head(self, features: Features, size: tuple[int, int]) -> LogitMaps:
        """Logits of shape (batch, classes, *size) from what `features` gave."""
        *skipped, maps = features
        if self.num_frozen == 0:
            maps = self.normalise(pad(maps, STRIDE))
        if self.num_frozen in self.skips:
            skipped.append(maps)
        *later, maps = self._encode(maps, self.num_frozen, len(self.encoder))
        scores = self.score(self.wide(maps))
        finer = zip(self.skip_scores, reversed([*skipped, *later]), strict=True)
        added = [score(skip) for score, skip in finer]
        with _uncast(scores.device.type):  # ten times slower in bfloat16 on a CPU
            scores = scores.to(self.upsample.weight.dtype)
            for double, more in zip(self.doublings, added, strict=True):
                scores = double(scores) + more
            logits = self.upsample(scores)
        return crop(logits, size)

    def _encode(self, maps: Tensor, first: int, last: int) -> Features:
        """What some of the encoder's layers give: at each skip on the way, and at the end."""
        found = []
        for stop in (*(layers for layers in self.skips if first < layers < last), last):
            maps, first = self.encoder[first:stop](maps), stop
            found.append(maps)
        return tuple(found)


def _conv2d(num_in: int, num_out: int, kernel: int) -> nn.Conv2d:
    """With padding "same"."""
    plain = functools.partial(nn.Conv2d, padding="same")
    return faster("conv2d", plain)(num_in, num_out, kernel)


def _upsampling(factor: int, classes: int) -> nn.ConvTranspose2d:
    """A learned one of each map by itself; a kernel as wide as two steps can be bilinear."""
    kernel, padding = 2 * factor, factor // 2
    return nn.ConvTranspose2d(classes, classes, kernel, factor, padding=padding, groups=classes)


def _uncast(device_type: str) -> AbstractContextManager[Any]:
    """Leave autocast, where there is such a thing."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def bfcn(
    stride: Stride,
    /,
    *,
    weights: Weights = NONE,
    classes: int = 1,
    width: int = 4096,
    init: Init = "fcn",
    dropout: float = 0.0,
    freeze: Freeze = "auto",
) -> FCN:
    """BFCN-32s, -16s or -8s: VGG-16, a 7x7 and a 1x1 wide layer; all frozen but block 5 and head.

    Args:
        stride: Pixels between two scores: 16 adds those of the fourth pooling, 8 of the third too.
        weights: Of the encoder.
        classes: Maps of logits.
        width: Channels of the wide layers.
        init: How fresh layers start: "fcn" (Shelhamer et al.) or "keras" (Glorot uniform).
        dropout: Behind each wide layer.
        freeze: "paper" freezes all but the last block and the head, "none" nothing; "auto" is
            "paper" with pretrained weights and "none" without.

    Source:
        van Beers et al. 2019, 2.1.1, after Shelhamer et al. 2017; skips: there, 4.3.
    """
    pool_3, pool_4 = 17, 24  # layers up to them, in torchvision's numbering; then comes conv5_1
    encoder = make_layers(cfgs["D"], batch_norm=False)
    # Not in ResNet: batch norm is slow on maps stored pixel by pixel.
    faster("convolutions", lambda module: None)(encoder)
    frozen = pool_4 if is_frozen(freeze, weights) else 0
    skips = _skips_of(stride, (pool_4, 512), (pool_3, 256))
    options: Any = {"width": width, "dropout": dropout, "skips": skips, "classes": classes}
    model = FCN(encoder, frozen, 512, num_wide=2, **options)
    return start(model, f"bfcn{stride}s", weights, init)


def fcresnet(
    stride: Stride,
    /,
    *,
    weights: Weights = NONE,
    classes: int = 1,
    width: int = 4096,
    init: Init = "fcn",
    dropout: float = 0.0,
    freeze: Freeze = "auto",
) -> FCN:
    """FCResNet, of stride 32, 16 or 8: ResNet-50, a 7x7 wide layer; all frozen but res5 and head.

    Args:
        stride: Pixels between two scores: 16 adds those of res4, 8 of res3 too.
        weights, classes, width, init, dropout, freeze: As for `bfcn`.

    Source:
        van Beers et al. 2019, 2.1.2.
    """
    net = resnet50()
    stem: list[Any] = [net.conv1, net.bn1, net.relu, net.maxpool]
    encoder = nn.Sequential(*stem, net.layer1, net.layer2, net.layer3, net.layer4)
    res_3, res_4 = 6, 7  # layers up to them
    frozen = res_4 if is_frozen(freeze, weights) else 0
    skips = _skips_of(stride, (res_4, 1024), (res_3, 512))
    options: Any = {"width": width, "dropout": dropout, "skips": skips, "classes": classes}
    model = FCN(encoder, frozen, 2048, num_wide=1, **options)
    return start(model, "fcresnet" if stride == STRIDE else f"fcresnet{stride}s", weights, init)


def _skips_of(stride: Stride, *known: tuple[int, int]) -> Sequence[tuple[int, int]]:
    """As many skips as bring the scores down to a stride."""
    return known[: (STRIDE // stride).bit_length() - 1]


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
        fill_encoder(model.encoder, weights.state, weights.name, name)
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
    """Score layers zero, up-samplings bilinear.

    A bilinear up-sampling behind a random score layer saturates at once and can stay at
    all-foreground for good; behind a zero one, training starts from probability 1/2.

    Source:
        Shelhamer et al. 2017.
    """
    for score in (model.score, *model.skip_scores):
        nn.init.zeros_(score.weight)
    for upsample in (model.upsample, *model.doublings):
        (factor, _) = upsample.stride
        kernel = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
        with torch.no_grad():
            upsample.weight.copy_(kernel[:, None] * kernel[None, :])
