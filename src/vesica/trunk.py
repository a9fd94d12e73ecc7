"""The frozen layers' output, computed once per image and shared by every cell.

One folder of plain files per key: `<tensor>.npy` holds a row per sample, `done.npy` says which
rows are there. Only the rows that a cell needs are computed; the rest of a file stays empty.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesica.files import replacing
from vesica.models import FCN
from vesica.plan import digest_of
from vesica.shapes import Features, ImageBatch

BLOCK = 16
"""Rows computed together. Blocks start at fixed rows, so that a row's value never depends on
which rows were asked for, or on where an earlier computation was stopped."""


@dataclass(frozen=True)
class Inputs:
    """What a head trains on: one row per sample of the data set.

    Attributes:
        features: The trunk's tensors, mapped from disk; or, where nothing is frozen, the images
            as stored (uint8, rows x height x width x 3).
        masks: Shape (rows, height, width), bool.
    """

    features: tuple[NDArray[Any], ...]
    masks: NDArray[np.bool_]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of masks and images."""
        height, width = self.masks.shape[1:]
        return height, width

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Features, Tensor]:
        """What `head` takes for these samples, and their masks, on a device."""
        tensors = tuple(_to_tensor(stored[rows]).to(device) for stored in self.features)
        return tensors, torch.from_numpy(self.masks[rows]).to(device)


def to_image(stored: NDArray[np.uint8]) -> ImageBatch:
    """Turn stored images (batch, height, width, 3) into RGB in [0, 1], channels first."""
    # torch.tensor copies: what is mapped from disk is read-only, which torch does not know.
    return torch.tensor(stored).permute(0, 3, 1, 2).contiguous().float() / 255


def trunk_key(cell_data: str, weights_digest: str, model: str, size_px: int, precision: str) -> str:
    """Names the folder of one trunk's features: everything that they depend on."""
    return digest_of(["trunk", 1, cell_data, weights_digest, model, size_px, precision])


def compute_features(
    model: FCN,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    folder: Path,
    *,
    device: torch.device,
    precision: str,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[Any], ...]:
    """Fill in the missing rows among `rows` and return the mapped files.

    Args:
        model: Only its trunk is used.
        images: All samples as stored.
        rows: The samples that will be needed.
        folder: Where the files are or will be.
        device: Computes the trunk.
        precision: "fp32" or "bf16", of the computation and of the files.
        progress: Called with the number of blocks done and to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stores = _open_stores(model, images, folder, device, precision)
    done = np.lib.format.open_memmap(folder / "done.npy", mode="r+")
    blocks = [b for b in np.unique(rows // BLOCK) if not done[b * BLOCK : (b + 1) * BLOCK].all()]
    for number, block in enumerate(blocks):
        span = slice(block * BLOCK, (block + 1) * BLOCK)
        for store, tensor in zip(
            stores, _run_trunk(model, images[span], device, precision), strict=True
        ):
            store[span] = _to_stored(tensor)
            store.flush()
        done[span] = True  # after the rows are on the disk, never before
        if progress is not None:
            progress(number + 1, len(blocks))
    done.flush()
    return tuple(np.load(path, mmap_mode="r") for path in _store_paths(folder, len(stores)))


def _open_stores(
    model: FCN, images: NDArray[np.uint8], folder: Path, device: torch.device, precision: str
) -> list[Any]:
    if not _is_whole(folder, len(images)):
        for path in folder.glob("*.npy"):
            path.unlink()
        tensors = _run_trunk(model, images[:1], device, precision)
        for path, tensor in zip(_store_paths(folder, len(tensors)), tensors, strict=True):
            row = _to_stored(tensor)
            _create(path, (len(images), *row.shape[1:]), row.dtype)
        _create(folder / "done.npy", (len(images),), np.dtype(bool))  # last: the others exist
    num = len(list(folder.glob("[0-9].npy")))
    return [np.lib.format.open_memmap(path, mode="r+") for path in _store_paths(folder, num)]


def _is_whole(folder: Path, num_rows: int) -> bool:
    """Whether all files are there in full; a short one would be extended with zeros."""
    try:
        files = [folder / "done.npy", *_store_paths(folder, len(list(folder.glob("[0-9].npy"))))]
        return len(files) > 1 and all(
            len(np.load(file, mmap_mode="r")) == num_rows for file in files
        )
    except (OSError, ValueError, EOFError):
        return False


def _store_paths(folder: Path, num: int) -> list[Path]:
    return [folder / f"{index}.npy" for index in range(num)]


def _create(target: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    with replacing(target) as path:
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


@torch.inference_mode()
def _run_trunk(
    model: FCN, stored: NDArray[np.uint8], device: torch.device, precision: str
) -> Features:
    image = to_image(stored).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return model.eval().trunk(image)


def _to_stored(tensor: Tensor) -> NDArray[Any]:
    """As NumPy keeps it: bfloat16, which NumPy lacks, as its bits in uint16."""
    tensor = tensor.cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.uint16)
    return tensor.numpy()


def _to_tensor(rows: NDArray[Any]) -> Tensor:
    if rows.dtype == np.uint8:
        return to_image(rows)
    tensor = torch.from_numpy(rows)
    return tensor.view(torch.bfloat16) if rows.dtype == np.uint16 else tensor
