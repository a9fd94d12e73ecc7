"""What there is to know of each image and mask before anything trains."""

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from vesica.data.measure import ridge_widths
from vesica.data.sample import Dataset, Pixels, Sample
from vesica.errors import DataError
from vesica.metrics.objects import EIGHT

NUM_THREADS = 2

SMALL_PX = 16
"""Side of the grey copy by which near-duplicates are told."""

NEAR_BITS = 4
"""Of 64: how far the signs of the brightness steps of near-duplicates may differ."""

NEAR_LEVELS = 4.0
"""Of 255: how far their small copies may differ on average."""

NUM_MEASURED = 100
"""Masks whose width is measured, which takes longer than all the rest."""

ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Facts:
    """One image with its mask.

    Attributes:
        row: Its place in `Dataset.samples`.
        width, height: In pixels, of the image.
        mode: As its file has it: RGB, L (grey), RGBA, ...; "" where that is not known.
        density: Share of foreground, in [0, 1], of the pixels that count.
        shares: The same of every class.
        object_px: Pixels across (the root of the area) of each object.
        thickness_px: Mean width of the foreground along its middle; None where it was not measured,
            or there is none.
        steps: The signs of 64 steps of brightness, as bits.
        small: Grey copy, shape (SMALL_PX, SMALL_PX).
        mask_sum: Masks that are the same have the same.
        around: Share of the pixels along the image's border that is foreground.
    """

    row: int
    width: int
    height: int
    mode: str
    density: float
    shares: NDArray[np.float64]
    object_px: NDArray[np.float64]
    thickness_px: float | None
    steps: np.uint64
    small: NDArray[np.uint8]
    mask_sum: int
    around: float


@dataclass(frozen=True)
class Gathered:
    """A data set and what was read of it."""

    dataset: Dataset
    facts: list[Facts]
    problems: list[str]


def gather_facts(
    dataset: Dataset, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[Facts], list[str]]:
    """Read every sample of a data set once.

    Returns:
        What was read, in the order of the samples, and what is wrong with the others.
    """
    facts: list[Facts] = []
    problems: list[str] = []
    num = len(dataset.samples)
    every = -(-num // NUM_MEASURED)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for start in range(0, num, ROWS_AT_ONCE):
            rows = range(start, min(num, start + ROWS_AT_ONCE))
            read = pool.map(lambda row: _facts(dataset, row, row % every == 0), rows)
            for row, found in zip(rows, read, strict=True):
                facts += [found] if isinstance(found, Facts) else []
                problems += [found] if isinstance(found, str) else []
                progress(row + 1, num)
    return facts, problems


def find_similar(facts: Sequence[Facts]) -> list[tuple[int, int]]:
    """Pairs of images that look nearly the same, as places in `facts`, the first one first.

    Their steps of brightness agree in all but 4 of 64 places, and their small grey copies differ by
    less than 4 of 255 levels on average.
    """
    steps = np.array([fact.steps for fact in facts], dtype=np.uint64)
    small = np.array([fact.small for fact in facts], dtype=np.int16)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(steps), ROWS_AT_ONCE):
        distance = np.bitwise_count(steps[start : start + ROWS_AT_ONCE, None] ^ steps[None])
        first, second = np.nonzero(distance <= NEAR_BITS)
        first = first + start
        first, second = first[first < second], second[first < second]
        gap = np.abs(small[first] - small[second]).mean(axis=(1, 2))
        near = gap <= NEAR_LEVELS
        pairs += zip(first[near].tolist(), second[near].tolist(), strict=True)
    return pairs


def _facts(dataset: Dataset, row: int, is_measured: bool) -> Facts | str:
    sample = dataset.samples[row]
    try:
        image, masks, valid = dataset.load(sample)
    except DataError as problem:
        return str(problem)
    mask = np.asarray(dataset.things(masks).any(axis=0))
    counted = mask.size if valid is None else int(valid.sum())
    labels, num = ndimage.label(mask, EIGHT)
    areas = np.bincount(labels.ravel(), minlength=num + 1)[1:]
    steps, small = _look(image)
    return Facts(
        row,
        image.shape[1],
        image.shape[0],
        _mode(sample),
        float(mask.sum() / counted),
        masks.sum(axis=(1, 2)) / counted,
        np.sqrt(areas),
        float(ridge_widths(mask).mean()) if num and is_measured else None,
        steps,
        small,
        zlib.crc32(np.packbits(masks).tobytes(), sum(masks.shape)),
        float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()),
    )


def _look(image: Pixels) -> tuple[np.uint64, NDArray[np.uint8]]:
    grey = Image.fromarray(image).convert("L")
    small = np.asarray(grey.resize((SMALL_PX, SMALL_PX), Image.Resampling.BOX))
    nine = np.asarray(grey.resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    bits = np.packbits(np.diff(nine, axis=1) > 0)
    return bits.view(np.uint64)[0], small


def _mode(sample: Sample) -> str:
    """Known to the header of the file, where the sample has a file that Pillow opens."""
    if not sample.files:
        return ""
    try:
        with Image.open(sample.files[0]) as image:
            return str(image.mode)
    except OSError:
        return ""


def guess_groups(names: Sequence[str]) -> tuple[str, int] | None:
    """An expression that finds groups in names which suggest them, and how many groups.

    Names suggest groups where what stands before their last number is the same for several of them
    but not for all: `patient3_slice12`, `0006R0_f01230`.
    """
    best: tuple[str, int] | None = None
    for expression, cut in SHAPES:
        groups: defaultdict[str, int] = defaultdict(int)
        for name in names:
            groups[cut(name)] += 1
        num = len(groups)
        if 2 <= num <= len(names) / 2 and min(groups.values()) >= 2 and "" not in groups:
            best = (expression, num) if best is None or num > best[1] else best
    return best


def _before(separator: str) -> Callable[[str], str]:
    return lambda name: name.rsplit("/", 1)[-1].partition(separator)[0]


SHAPES: tuple[tuple[str, Callable[[str], str]], ...] = (
    (r"([^/_]+)_[^/]*$", _before("_")),
    (r"([^/-]+)-[^/]*$", _before("-")),
    (r"^(.+)/", lambda name: name.rpartition("/")[0]),
)
"""Ways in which names carry a group: an expression for `--group`, and what it finds."""
