"""True masks at their own size, which every cell is scored with: read once, and kept as bits."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vesica.data.arrays import Truth
from vesica.data.sample import Dataset

MAX_BYTES = 256_000_000
"""Of all that are kept; the others are read again."""


@dataclass(frozen=True)
class _Bits:
    shape: tuple[int, ...]
    masks: NDArray[np.uint8]
    valid: NDArray[np.uint8] | None


@dataclass
class Truths:
    """Of the images of any number of data sets."""

    num_bytes: int = 0
    _kept: dict[tuple[int, int], _Bits] = field(default_factory=dict)

    def of(self, dataset: Dataset, row: int) -> Truth:
        """Masks of an image; the data set must outlive this.

        Raises:
            DataError: If they cannot be read.
        """
        known = self._kept.get((id(dataset), row))
        if known is not None:
            valid = None if known.valid is None else _unpack(known.valid, known.shape[1:])
            return _unpack(known.masks, known.shape), valid
        _, masks, valid = dataset.load(dataset.samples[row])
        size = math.prod(masks.shape) // 8 + (0 if valid is None else valid.size // 8)
        if self.num_bytes + size <= MAX_BYTES:
            self.num_bytes += size
            bits = None if valid is None else np.packbits(valid)
            self._kept[id(dataset), row] = _Bits(masks.shape, np.packbits(masks), bits)
        return masks, valid


def _unpack(bits: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.unpackbits(bits, count=math.prod(shape)).view(np.bool_).reshape(shape)
