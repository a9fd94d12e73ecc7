"""The frozen layers' output, computed once per image and shared by every cell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesica.cache import fill
from vesica.networks import FCN
from vesica.plan import digest_of
from vesica.shapes import Features, ImageBatch

VERSION = 3
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
class Inputs:
    """What a head trains on: one row per sample of the data set.

    Attributes:
        features: The trunk's tensors, mapped from disk; or the images.
        masks: Shape (rows, height, width), bool.
        mirrored: The same of every image's mirror image; empty where a recipe mirrors none.
    """

    features: tuple[Stored | Images, ...]
    masks: NDArray[np.bool_]
    mirrored: tuple[Stored | Images, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of masks and images."""
        height, width = self.masks.shape[1:]
        return height, width

    def batch(
        self,
        rows: NDArray[np.int64],
        device: torch.device,
        is_mirrored: NDArray[np.bool_] | None = None,
    ) -> tuple[Features, Tensor]:
        """What `head` takes for these samples, and their masks, on a device.

        Args:
            rows: The samples.
            device: Where the tensors go.
            is_mirrored: Of each of them, whether it is its mirror image that counts.
        """
        tensors = [stored.rows(rows) for stored in self.features]
        target = torch.from_numpy(self.masks[rows])
        if is_mirrored is not None and is_mirrored.any():
            places = torch.from_numpy(np.flatnonzero(is_mirrored))
            for tensor, stored in zip(tensors, self.mirrored, strict=True):
                tensor[places] = stored.rows(rows[is_mirrored])
            target[places] = target[places].flip(-1)
        return tuple(tensor.to(device) for tensor in tensors), target.to(device)


def to_image(stored: NDArray[np.uint8]) -> ImageBatch:
    """Turn stored images (batch, height, width, 3) into RGB in [0, 1], channels first."""
    # torch.tensor copies: what is mapped from disk is read-only, which torch does not know.
    return torch.tensor(stored).permute(0, 3, 1, 2).contiguous().float() / 255


def mirror(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images as stored, left and right exchanged; nothing is copied."""
    return images[:, :, ::-1]


def trunk_key(
    cell_data: str,
    weights_digest: str,
    model: str,
    size_px: int,
    precision: str,
    is_mirrored: bool = False,
) -> str:
    """Names the folder of one trunk's features: everything that they depend on."""
    parts = [cell_data, weights_digest, model, size_px, precision, is_mirrored]
    return digest_of(["trunk", VERSION, *parts])


def compute_features(
    model: FCN,
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
    """The trunk's output for `rows`, computed where the folder does not have it.

    Args:
        model: Only its trunk is used.
        images: All samples as stored.
        rows: The samples that will be needed.
        folder: Where the files are or will be.
        device: Computes the trunk.
        precision: "fp32" or "bf16", of the computation and of the files.
        about: What to write beside them, for people.
        progress: Called with the number of blocks done and to do.
        waiting: Called again and again while another process computes them.
    """

    def compute(span: slice) -> dict[str, NDArray[Any]]:
        return to_fields(_run_trunk(model, images[span], device, precision))

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
def _run_trunk(
    model: FCN, stored: NDArray[np.uint8], device: torch.device, precision: str
) -> Features:
    image = to_image(np.ascontiguousarray(stored)).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return model.eval().trunk(image)
