"""Every architecture and encoder of segmentation-models-pytorch, imported when asked for."""

import contextlib
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from vesica.errors import DataError
from vesica.networks.fcn import NONE, Normalise
from vesica.networks.protocol import Network, crop, pad
from vesica.networks.weights import State, Weights, check_tensor, fill_encoder, read_safetensors
from vesica.own import say_error
from vesica.shapes import Features, ImageBatch, LogitMaps

ARCHITECTURES: dict[str, str] = {
    **dict.fromkeys(("unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet"), "resnet34"),
    **dict.fromkeys(("deeplabv3", "deeplabv3plus", "pan", "upernet", "segformer"), "resnet34"),
    "dpt": "tu-vit_base_patch16_224.augreg_in21k",
}
"""By the library's names: the encoder that each has unless told."""

MULTIPLE = 32
"""Sides that every architecture takes; some need no more than 8 or 16."""

ENCODERS_PAGE = "https://smp.readthedocs.io/en/latest/encoders.html"

HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
DPN = {"mean": (124 / 255, 117 / 255, 104 / 255), "std": (1 / (0.0167 * 255),) * 3}
PREPROCESSING = {
    "dpn": DPN,
    "inception": HALF,
    "xception": HALF,
    "timm-tf_efficientnet_lite": HALF,
}
"""Of the library's own encoders that begin so; all others have ImageNet's. The library keeps them
beside the weights, on a hub that random weights and a file's shall not need."""


class SMPNetwork(Network):
    """A network of segmentation-models-pytorch whose encoder is frozen, or trains.

    Args:
        net: As the library makes it.
        normalise: What its encoder was pretrained on.
        is_frozen: Whether the encoder is.
        has_tokens: Whether encoder and decoder speak of tokens beside maps.
    """

    def __init__(
        self, net: nn.Module, normalise: Normalise, *, is_frozen: bool, has_tokens: bool
    ) -> None:
        super().__init__()
        self.net: Any = net
        self.normalise = normalise
        self.is_frozen, self.has_tokens = is_frozen, has_tokens
        self.stride = _last_enlargement(self.net.segmentation_head)

    def frozen(self) -> Sequence[nn.Module]:
        """What normalises, and the encoder where it is."""
        return (self.normalise, self.net.encoder) if self.is_frozen else (self.normalise,)

    def features(self, image: ImageBatch) -> Features:
        """Every map of a frozen encoder, and its tokens; else the image."""
        return self._encode(image) if self.is_frozen else (image,)

    def head(self, features: Features, size: tuple[int, int]) -> LogitMaps:
        """Logits of shape (batch, classes, *size) from what `features` gave."""
        found = features if self.is_frozen else self._encode(features[0])
        num = len(self.net.encoder.out_channels)
        parts: list[Any] = [list(found[:num])]
        if self.has_tokens:
            parts.append(list(found[num:]) or [None] * num)
        return crop(self.net.segmentation_head(self.net.decoder(*parts)), size)

    def _encode(self, image: ImageBatch) -> Features:
        found = self.net.encoder(self.normalise(pad(image, MULTIPLE)))
        if self.has_tokens:
            maps, tokens = found
            found = [*maps, *(token for token in tokens if token is not None)]
        return tuple(found)


def smp_network(
    architecture: str,
    /,
    *,
    weights: Weights = NONE,
    classes: int = 1,
    encoder: str = "resnet34",
    freeze: Literal["none", "encoder"] = "none",
) -> SMPNetwork:
    """A network of segmentation-models-pytorch.

    Args:
        architecture: A key of `ARCHITECTURES`.
        weights: Of the encoder.
        classes: Maps of logits.
        encoder: By the library's name; `tu-NAME` is timm's.
        freeze: "encoder" trains the decoder alone.

    Raises:
        ValueError: If there is no such encoder.
        DataError: If the library is missing, or encoder and architecture or weights do not fit.
    """
    net = _make(architecture, encoder, classes)
    if weights.state:
        fill_encoder(net.encoder, weights.state, weights.name, f"smp:{architecture}")
    normalise = Normalise(**preprocessing(encoder))
    return SMPNetwork(
        net, normalise, is_frozen=freeze == "encoder", has_tokens=architecture == "dpt"
    )


def load_smp(architecture: str, path: Path | None, *, encoder: str) -> State:
    """An encoder's tensors: the library's own, or those of a safetensors file of its state dict.

    Raises:
        ValueError: If there is no such encoder.
        DataError: If they cannot be had, or do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        net = _make(architecture, encoder)
        state = _download(architecture, encoder) if path is None else read_safetensors(path)
    fresh = net.encoder.state_dict()
    for name, tensor in state.items():
        if name not in fresh or fresh[name].is_floating_point():  # some keep indices, too
            check_tensor(path or f"'smp' of {encoder}", name, tensor)
    fill_encoder(net.encoder, state, str(path or "smp"), f"smp:{architecture}:encoder={encoder}")
    return dict(net.encoder.state_dict())


def _import() -> Any:
    try:
        import segmentation_models_pytorch
    except ImportError as error:
        raise DataError(
            f"networks smp:NAME need segmentation-models-pytorch ({error}); run: "
            "pip install 'vesica[smp]'"
        ) from None
    return segmentation_models_pytorch


def _make(architecture: str, encoder: str, classes: int = 1) -> Any:
    """The library's network with random weights."""
    smp = _import()
    _check_encoder(smp, encoder)
    try:
        return _create(smp, architecture, encoder, None, classes)
    except Exception as error:
        raise DataError(
            f"smp:{architecture}: cannot have the encoder {encoder} ({say_error(error)}); "
            "pass another encoder"
        ) from None


def _create(
    smp: Any, architecture: str, encoder: str, pretrained: str | bool | None, classes: int = 1
) -> Any:
    # Without it, a vision transformer takes images of one size.
    more = {"dynamic_img_size": True} if architecture == "dpt" else {}
    return smp.create_model(architecture, encoder, pretrained, classes=classes, **more)


def _check_encoder(smp: Any, encoder: str) -> None:
    import timm

    known = [*smp.encoders.get_encoder_names(), *(f"tu-{name}" for name in timm.list_models())]
    name = encoder.partition(".")[0] if encoder.startswith("tu-") else encoder
    if name not in known:
        closest = difflib.get_close_matches(encoder, known, 5, 0)
        raise ValueError(
            f"unknown encoder {encoder[:60]!r}; the closest of {len(known)} are: "
            f"{', '.join(closest)}; all are on {ENCODERS_PAGE}"
        )


def _download(architecture: str, encoder: str) -> State:
    smp = _import()
    pretrained: str | bool = True  # of timm's, what the name says
    if not encoder.startswith("tu-"):
        settings = smp.encoders.encoders[encoder]["pretrained_settings"]
        pretrained = "imagenet" if "imagenet" in settings else next(iter(settings))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            net = _create(smp, architecture, encoder, pretrained)
    except Exception as error:  # each hub's client raises what it likes
        raise DataError(
            f"weights 'smp' of {encoder} could not be downloaded ({say_error(error)}); pass "
            "smp:PATH with a safetensors file of the encoder's state dict, or --weights none"
        ) from None
    return dict(net.encoder.state_dict())


def preprocessing(encoder: str) -> Mapping[str, Any]:
    """Arguments of `Normalise`."""
    if encoder.startswith("tu-"):
        import timm

        found = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
        return {"mean": found.mean, "std": found.std} if found else {}
    return next((of for begin, of in PREPROCESSING.items() if encoder.startswith(begin)), {})


def _last_enlargement(head: Any) -> int:
    """By how much the library's last layer enlarges the map of scores."""
    if hasattr(head, "upsampling_factor"):
        return int(head.upsampling_factor)
    return int(getattr(head[1], "scale_factor", 1))
