"""Masks that are matrices: NumPy's `.npy`, and MATLAB's `.mat` of every version."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica.data.pixels import show
from vesica.errors import DataError

MATRIX_SUFFIXES = frozenset({".npy", ".mat"})
HDF5_MARK = b"\x89HDF"
AT_OF_HDF5 = 512
"""MATLAB writes a header of its own before the HDF5 file."""


def read_matrix(root: Path, file: Path) -> NDArray[Any]:
    """The one matrix of a file: numbers of shape (height, width), or colours (height, width, 3).

    Raises:
        DataError: If there is none, or more than one.
    """
    if file.suffix.lower() == ".npy":
        found = {"it": np.load(file, allow_pickle=False)}
    else:
        found = dict(_variables(root, file))
    fitting = {
        name: shaped for name, value in found.items() if (shaped := _shaped(value)) is not None
    }
    if len(fitting) != 1:
        held = "; ".join(f"{name} {_describe(value)}" for name, value in found.items()) or "nothing"
        how_many = "no mask" if not fitting else f"{len(fitting)} that could be the mask"
        raise DataError(
            f"{show(root, file)}: {how_many}, which is one matrix of numbers (height, width)."
            f" It holds {held}. Save each mask as PNG, or alone in its file."
        )
    return next(iter(fitting.values()))


def _shaped(value: Any) -> NDArray[Any] | None:
    """The value as a mask; None where it is something else."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return None
    if value.dtype.kind == "f" and value.dtype.itemsize < 4:
        value = value.astype(np.float32)
    value = value.squeeze() if value.ndim > 2 else value
    is_colour = value.ndim == 3 and value.shape[2] == 3 and value.dtype == np.uint8
    return value if (value.ndim == 2 or is_colour) and min(value.shape[:2]) > 1 else None


def _variables(root: Path, file: Path) -> Iterator[tuple[str, Any]]:
    with file.open("rb") as opened:
        start = opened.read(AT_OF_HDF5 + len(HDF5_MARK))
    if HDF5_MARK in (start[: len(HDF5_MARK)], start[AT_OF_HDF5:]):
        yield from _variables_of_hdf5(file)
        return
    import scipy.io  # takes a while, and few need it

    for name, value in scipy.io.loadmat(file).items():
        if not name.startswith("__"):
            if name == "groundTruth":
                _refuse_groups(root, file, value)
            yield name, value


def _variables_of_hdf5(file: Path) -> Iterator[tuple[str, Any]]:
    import h5py

    with h5py.File(file, "r") as opened:
        for name, item in opened.items():
            if name.startswith("#"):
                continue
            if not isinstance(item, h5py.Dataset):
                yield name, item.name
                continue
            value = item[()]
            is_logical = item.attrs.get("MATLAB_class") == b"logical"
            # MATLAB's matrices lie column by column.
            yield name, value.T.astype(bool) if is_logical else value.T


def _refuse_groups(root: Path, file: Path, value: NDArray[Any]) -> None:
    """Say what the files of BSDS are, of which people take the folder for masks."""
    raise DataError(
        f"{show(root, file)}: groundTruth of {value.size} people, as in BSDS: each drew regions and"
        " outlines, and no object. Save the one that you mean as a PNG mask."
    )


def _describe(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return "a group"
    kind = "struct" if value.dtype.names else value.dtype.name
    return f"{kind} {' x '.join(map(str, value.shape))}"
