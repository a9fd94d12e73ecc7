"""Rows of tensors in one mapped file: computed once, checked by sums, shared by processes.

A folder per key holds

- `rows.npy`: a row per sample, with a field for each tensor that is named by its place and type;
- `sums.npy`: the CRC-32 of each block of rows, or -1 where it is not there yet;
- `about.json`: what it is, for people;
- `lock`: held by the one process that computes.

Blocks start at fixed rows, so that a row's value never depends on which rows were asked for, or on
where an earlier computation was stopped. Nothing needs to reach the disk in any order: a block that
is not whole does not have its sum, and is computed again.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesica.cached import BLOCK, MISSING, locked
from vesica.files import replacing, write_json


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


def fill(
    folder: Path,
    num_rows: int,
    rows: NDArray[np.int64],
    compute: Callable[[slice], Sequence[Tensor]],
    *,
    about: dict[str, Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
    waiting: Callable[[], None] = lambda: None,
) -> tuple[Stored, ...]:
    """Compute the blocks that `rows` lie in and that are missing or damaged; map the file.

    Args:
        folder: Where the files are or will be.
        num_rows: Of the whole data set; what is not asked for takes no room on the disk.
        rows: Those that will be read.
        compute: From some neighbouring rows to their tensors, the first axis a row each.
        about: Written to `about.json`.
        progress: Called with the number of blocks done and to do.
        waiting: Called again and again while another process computes.

    Raises:
        OSError: If the disk is full, or cannot be written to.
    """
    with locked(folder, waiting):
        if not _is_whole(folder, num_rows):
            _create(folder, num_rows, compute(slice(0, 1)), about)
        stored = np.load(folder / "rows.npy", mmap_mode="r")
        sums = np.load(folder / "sums.npy")
        wanted = np.unique(np.asarray(rows) // BLOCK).tolist()
        missing = [block for block in wanted if sums[block] != _sum(stored[_span(block)])]
        for number, block in enumerate(missing, start=1):
            span = _span(block)
            data = _pack(compute(span), stored.dtype)
            _write_at(folder / "rows.npy", stored.offset + span.start * data.itemsize, data)
            sums[block] = _sum(data)
            offset = np.load(folder / "sums.npy", mmap_mode="r").offset
            _write_at(folder / "sums.npy", offset + block * sums.itemsize, sums[block : block + 1])
            progress(number, len(missing))
    return _read(stored)


def _span(block: int) -> slice:
    return slice(block * BLOCK, (block + 1) * BLOCK)


def _sum(data: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(data).tobytes())


def _is_whole(folder: Path, num_rows: int) -> bool:
    """Whether both files are there in full; a short one would be mapped past its end."""
    try:
        stored = np.load(folder / "rows.npy", mmap_mode="r")
        sums = np.load(folder / "sums.npy")
    except (OSError, ValueError, EOFError):
        return False
    return len(stored) == num_rows and len(sums) == -(-num_rows // BLOCK)


def _create(folder: Path, num_rows: int, like: Sequence[Tensor], about: dict[str, Any]) -> None:
    row = np.dtype(
        [
            (f"{place}:{_name(tensor.dtype)}", _to_numpy(tensor).dtype, tuple(tensor.shape[1:]))
            for place, tensor in enumerate(like)
        ]
    )
    (folder / "sums.npy").unlink(missing_ok=True)  # they are of the rows before
    with replacing(folder / "rows.npy") as path:
        np.lib.format.open_memmap(path, mode="w+", dtype=row, shape=(num_rows,))
    write_json(folder / "about.json", about)
    with replacing(folder / "sums.npy") as path:
        np.save(path, np.full(-(-num_rows // BLOCK), MISSING, dtype=np.int64))


def _read(stored: NDArray[Any]) -> tuple[Stored, ...]:
    names = stored.dtype.names or ()
    return tuple(Stored(stored[name], getattr(torch, name.partition(":")[2])) for name in names)


def _pack(tensors: Sequence[Tensor], row: np.dtype[Any]) -> NDArray[Any]:
    data = np.empty(len(tensors[0]), dtype=row)
    for name, tensor in zip(row.names or (), tensors, strict=True):
        data[name] = _to_numpy(tensor)
    return data


def _to_numpy(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.cpu().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _write_at(path: Path, offset: int, data: NDArray[Any]) -> None:
    # Not through a map: where the disk is full, that would end the process.
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data.tobytes())
