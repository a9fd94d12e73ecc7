"""What a head trains on: the frozen layers' output, computed once per image, or the images."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesica.cache import fill
from vesica.data.arrays import Truth
from vesica.data.augment import are_mirrored, augment
from vesica.data.tiles import Pieces
from vesica.metrics import Empty
from vesica.networks import Network
from vesica.plan import digest_of
from vesica.shapes import Features, ImageBatch, MaskMaps
from vesica.spelling import Spelled

VERSION = 4
"""Raise it when the same images and weights give other features."""


@dataclass(frozen=True)
class Stored:
    """One tensor of every row, mapped from disk.

    Attributes:
        values: As NumPy keeps it: bfloat16, which NumPy lacks, as its bits in uint16.
        dtype: What it is.
    """

    values: NDArray[Any]
    dtype: torch.dtype

    def rows(self, rows: NDArray[np.int64]) -> Tensor:
        """A copy of some rows, in their order."""
        return torch.from_numpy(self.values[rows]).view(self.dtype)


@dataclass(frozen=True)
class Images:
    """Images as stored, where nothing is frozen: uint8, shape (rows, height, width, 3)."""

    values: NDArray[np.uint8]

    def rows(self, rows: NDArray[np.int64]) -> ImageBatch:
        """Some of them, as a network takes them."""
        return to_image(self.values[rows])


@dataclass(frozen=True)
class InStep:
    """An augmentation that no cache can hold: the frozen layers run in every step.

    Attributes:
        augmentation: What is done to an image.
        images: As stored.
        encode: From images as a network takes them to what its head takes.
    """

    augmentation: Spelled
    images: NDArray[np.uint8]
    encode: Callable[[ImageBatch], Features]

    def batch(
        self,
        rows: NDArray[np.int64],
        maps: NDArray[np.bool_],
        seed: int,
        epoch: int,
        device: torch.device,
    ) -> tuple[Features, MaskMaps]:
        """Features and maps of these samples as they are in an epoch."""
        pairs = [
            augment(
                self.augmentation,
                torch.tensor(self.images[row]).permute(2, 0, 1),
                torch.tensor(of_image),
                seed,
                epoch,
                int(row),
            )
            for row, of_image in zip(rows, maps, strict=True)
        ]
        image = torch.stack([image for image, _ in pairs]).contiguous().to(device).float() / 255
        return self.encode(image), torch.stack([found for _, found in pairs])


class Batch(NamedTuple):
    """What a step or a score sees, on its device.

    Attributes:
        features: What `head` takes.
        target: Masks, shape (batch, classes, height, width), bool.
        valid: Pixels that count, shape (batch, height, width), bool; None: all.
    """

    features: Features
    target: MaskMaps
    valid: Tensor | None


@dataclass(frozen=True)
class Inputs:
    """What a head trains on: one row per sample of the data set.

    Attributes:
        features: The frozen layers' tensors, mapped from disk; or the images.
        masks: Shape (rows, classes, height, width), bool.
        valid: Pixels that count, shape (rows, height, width), bool; None: all.
        mirrored: The features of every image's mirror image; empty where none is mirrored.
        in_step: How training images are augmented, where that is more than mirroring.
        pieces: Where rows lie in their images, if they are pieces of them.
        is_exclusive: Each pixel is of one class.
        empty: What a class is worth, in validation, that an image has none of.
    """

    features: tuple[Stored | Images, ...]
    masks: NDArray[np.bool_]
    mirrored: tuple[Stored | Images, ...] = ()
    in_step: InStep | None = None
    valid: NDArray[np.bool_] | None = None
    pieces: Pieces | None = None
    is_exclusive: bool = False
    empty: Empty = "score"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of masks and images."""
        height, width = self.masks.shape[2:]
        return height, width

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> Batch:
        """What `head` takes for these samples, and their masks, on a device."""
        features = tuple(stored.rows(rows) for stored in self.features)
        return self._split(features, torch.from_numpy(self._maps(rows)), device)

    def training_batch(
        self, rows: NDArray[np.int64], seed: int, epoch: int, device: torch.device
    ) -> Batch:
        """The same as they are in an epoch of training."""
        if self.in_step is not None:
            found = self.in_step.batch(rows, self._maps(rows), seed, epoch, device)
            return self._split(*found, device)
        if not self.mirrored:
            return self.batch(rows, device)
        is_mirrored = are_mirrored(rows, seed, epoch)
        places = torch.from_numpy(np.flatnonzero(is_mirrored))
        tensors = [stored.rows(rows) for stored in self.features]
        maps = torch.from_numpy(self._maps(rows))
        if len(places):
            for tensor, stored in zip(tensors, self.mirrored, strict=True):
                tensor[places] = stored.rows(rows[is_mirrored])
            maps[places] = maps[places].flip(-1)
        return self._split(tuple(tensors), maps, device)

    def truth(self, row: int) -> Truth:
        """The masks of a sample."""
        return self.masks[row], None if self.valid is None else self.valid[row]

    def _maps(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Masks, and behind them the pixels that count: whatever moves an image moves both."""
        if self.valid is None:
            return self.masks[rows]
        return np.concatenate([self.masks[rows], self.valid[rows][:, np.newaxis]], axis=1)

    def _split(self, features: Features, maps: Tensor, device: torch.device) -> Batch:
        on_device = tuple(tensor.to(device) for tensor in features)
        if self.valid is None:
            return Batch(on_device, maps.to(device), None)
        return Batch(on_device, maps[:, :-1].to(device), maps[:, -1].to(device))


def to_image(stored: NDArray[np.uint8]) -> ImageBatch:
    """Turn stored images (batch, height, width, 3) into RGB in [0, 1], channels first."""
    # torch.tensor copies: what is mapped from disk is read-only, which torch does not know.
    return torch.tensor(stored).permute(0, 3, 1, 2).contiguous().float() / 255


def mirror(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images as stored, left and right exchanged; nothing is copied."""
    return images[:, :, ::-1]


def features_key(
    fingerprint: str,
    frozen: str,
    network: str,
    size_px: int,
    precision: str,
    is_mirrored: bool = False,
    long_side_px: int = 0,
) -> str:
    """Names the folder of one network's features: everything that they depend on.

    Args:
        fingerprint: Of the data set.
        frozen: `frozen_digest` of the network.
        network: Its name; of a user's own also its options, which may change what it computes.
        size_px: Of the images.
        precision: "fp32" or "bf16".
        is_mirrored: Whether they are of mirror images.
        long_side_px: Of images that are cut into pieces; 0: whole ones.
    """
    parts = [fingerprint, frozen, network, size_px, precision, is_mirrored]
    parts += [long_side_px] * bool(long_side_px)
    return digest_of(["features", VERSION, *parts])


def frozen_digest(network: Network) -> str:
    """Digest of the frozen tensors; "" where nothing with weights is frozen."""
    if not is_frozen(network):
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.frozen_state().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def is_frozen(network: Network) -> bool:
    """Whether there are layers whose output need not be computed twice."""
    return any(True for module in network.frozen() for _ in module.parameters())


def compute_features(
    network: Network,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    folder: Path,
    *,
    device: torch.device,
    precision: str,
    about: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    waiting: Callable[[], None] = lambda: None,
) -> tuple[Stored, ...]:
    """The frozen layers' output for `rows`, computed where the folder does not have it.

    Args:
        network: Only its `features` is used.
        images: All samples as stored.
        rows: The samples that will be needed.
        folder: Where the files are or will be.
        device: Computes them.
        precision: "fp32" or "bf16", of the computation and of the files.
        about: What to write beside them, for people.
        progress: Called with the number of blocks done and to do.
        waiting: Called again and again while another process computes them.
    """

    def compute(span: slice) -> dict[str, NDArray[Any]]:
        return to_fields(_run(network, images[span], device, precision))

    stored = fill(
        folder,
        len(images),
        rows,
        compute,
        row=lambda: row_of(compute(slice(0, 1))),
        about=about or {},
        progress=progress,
        waiting=waiting,
    )
    return from_fields(stored)


def to_fields(tensors: Sequence[Tensor]) -> dict[str, NDArray[Any]]:
    """Tensors with a row per sample as NumPy arrays, each named by its place and type."""
    return {
        f"{place}:{str(tensor.dtype).removeprefix('torch.')}": _to_numpy(tensor)
        for place, tensor in enumerate(tensors)
    }


def row_of(fields: Mapping[str, NDArray[Any]]) -> np.dtype[Any]:
    """The type of a row that has these fields."""
    return np.dtype([(name, values.dtype, values.shape[1:]) for name, values in fields.items()])


def from_fields(stored: NDArray[Any]) -> tuple[Stored, ...]:
    """The tensors that `to_fields` named."""
    names = stored.dtype.names or ()
    return tuple(Stored(stored[name], getattr(torch, name.partition(":")[2])) for name in names)


def _to_numpy(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.cpu().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


@torch.inference_mode()
def _run(
    network: Network, stored: NDArray[np.uint8], device: torch.device, precision: str
) -> tuple[Tensor, ...]:
    image = to_image(np.ascontiguousarray(stored)).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return network.eval().features(image)
