"""What all masks of a set hold, and how its images are stored: looked at once, before a reading."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesica.data.pixels import about_file, blaming, load, show
from vesica.data.sample import stamp
from vesica.data.stored import Colours, Stored, read_stored
from vesica.errors import DataError

NUM_THREADS = 2
MAX_KEPT = 256
"""Different values of a mask that are kept, the most frequent ones."""

ORIENTATION = 0x0112
TURNED_BY_A_QUARTER = (5, 6, 7, 8)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Look:
    """What one mask holds.

    Attributes:
        name: What messages call it.
        kind: As of `Stored`.
        shape: Height and width.
        white: As of `Stored`.
        values: Sorted; of a mask with more than `MAX_KEPT`, the most frequent.
        counts: Pixels of each.
        colours: What is shown of each; None where there are none.
        num_values: How many there are, with those that are not kept.
        is_lossy: As of `Stored`.
        has_alpha: Whether its alpha channel differs from pixel to pixel.
        has_nan: Whether some pixels hold no number.
    """

    name: str
    kind: Literal["grey", "palette", "colour"]
    shape: tuple[int, int]
    white: int
    values: NDArray[Any]
    counts: NDArray[np.int64]
    colours: Colours | None
    num_values: int
    is_lossy: bool
    has_alpha: bool
    has_nan: bool

    @classmethod
    def of(cls, name: str, stored: Stored) -> "Look":
        """Count what a mask holds."""
        values, counts = _count(stored.values)
        num_values, has_nan = len(values), values.dtype.kind == "f" and bool(np.isnan(values).any())
        if num_values > MAX_KEPT:
            kept = np.sort(np.argsort(counts, kind="stable")[-MAX_KEPT:])
            values, counts = values[kept], counts[kept]
        return cls(
            name,
            stored.kind,
            stored.shape,
            stored.white,
            values,
            counts,
            stored.colours_of(values),
            num_values,
            stored.is_lossy,
            stored.alpha is not None and bool(np.ptp(stored.alpha)),
            has_nan,
        )


@dataclass(frozen=True)
class ImageLook:
    """How one image is stored.

    Attributes:
        name: What messages call it.
        shape: Height and width as they are shown, or as stored.
        stored_shape: Height and width of the stored pixels.
        is_turned: Whether its EXIF orientation turns or mirrors it.
        largest: Its largest value, where it has 16 bits.
    """

    name: str
    shape: tuple[int, int]
    stored_shape: tuple[int, int]
    is_turned: bool = False
    largest: int | None = None


@dataclass(frozen=True)
class Survey:
    """All masks and images of a set that can be read, in pairs, and what cannot."""

    masks: tuple[Look, ...]
    images: tuple[ImageLook, ...]
    problems: tuple[str, ...]


_surveys: dict[bytes, Survey] = {}
"""What this process has looked at, by what the system says of the files."""


def survey(
    root: Path, pairs: Sequence[tuple[Path, Path]], progress: Progress = lambda done, total: None
) -> Survey:
    """Look at every image and every mask; those that have not changed are not read again.

    Args:
        root: The data set's folder.
        pairs: An image and its mask each.
        progress: Called with the pairs that are done and their total.
    """
    listed = [tuple(map(stamp, pair)) for pair in pairs]
    key = hashlib.sha256(repr((str(root), listed)).encode()).digest()
    if key not in _surveys:
        _surveys[key] = _survey(root, pairs, progress)
    return _surveys[key]


def _survey(root: Path, pairs: Sequence[tuple[Path, Path]], progress: Progress) -> Survey:
    masks, images, problems = [], [], []
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        found: Iterable[tuple[ImageLook, Look] | DataError]
        found = pool.map(lambda pair: _look(root, *pair), pairs)
        for done, result in enumerate(found, start=1):
            progress(done, len(pairs))
            if isinstance(result, DataError):
                problems.append(str(result))
            else:
                images.append(result[0])
                masks.append(result[1])
    return Survey(tuple(masks), tuple(images), tuple(problems))


def _look(root: Path, image: Path, mask: Path) -> tuple[ImageLook, Look] | DataError:
    try:
        return _look_at_image(root, image), Look.of(show(root, mask), read_stored(root, mask))
    except DataError as problem:
        return problem


def _look_at_image(root: Path, file: Path) -> ImageLook:
    """From its header alone, unless it has 16 bits."""
    with blaming(root, file):
        with Image.open(file) as image:
            stored = image.height, image.width
            orientation = _orientation(image)
            about = about_file(file, image)
            is_deep = about.bits > 8 and image.mode != "F"
        shape = stored[::-1] if orientation in TURNED_BY_A_QUARTER else stored
        largest = None
        if is_deep:
            values = about.mend(np.asarray(load(root, file)[0]))
            # Of colours, Pillow gives the upper 8 bits.
            largest = int(values.max()) * (256 if values.dtype == np.uint8 else 1)
        return ImageLook(show(root, file), shape, stored, orientation not in (0, 1), largest)


def _orientation(image: Image.Image) -> int:
    # Of a PNG, Pillow would decode all to look for it behind the pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    found = image.getexif().get(ORIENTATION, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _count(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    if values.dtype == np.uint8:  # many times faster than the sort of np.unique
        counts = np.bincount(values.ravel(), minlength=256)
        found = np.flatnonzero(counts)
        return found.astype(np.uint8), counts[found]
    found, counts = np.unique(values, return_counts=True)
    return found, counts.astype(np.int64)
