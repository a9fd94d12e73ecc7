"""Large images in pieces: crops to train on, overlapping tiles to score and predict.

An image is resized so that its longer side has so many pixels, its shape kept. Crops for training
are drawn once, by the image's name: half of them around pixels of the foreground, so that small
objects are seen. Tiles lie in a grid and overlap; what is predicted for them is blended.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesica import spelling
from vesica.cache import fill
from vesica.data.arrays import LAYOUT_VERSION, NUM_THREADS, Arrays, row_type, shrink
from vesica.data.sample import Dataset, Loaded
from vesica.errors import DataError, join_lines
from vesica.files import read_json, write_json

OVERLAP = 0.25
"""Of two tiles that lie side by side, at least."""

MIN_CROPS = 4
"""Of an image for training; large ones have as many as tiles."""

Place = tuple[int, int]
"""Upper left corner of a piece, in pixels from the top and from the left."""


@dataclass(frozen=True)
class Pieces:
    """Where the pieces of each image lie; rows count through all images.

    Attributes:
        sizes: Height and width of each image when its pieces are cut.
        tiles: Of each image the places of its grid.
        crops: Of each image the places of its crops.
    """

    sizes: tuple[tuple[int, int], ...]
    tiles: tuple[tuple[Place, ...], ...]
    crops: tuple[tuple[Place, ...], ...]

    @property
    def num_rows(self) -> int:
        """Of all images."""
        return sum(map(len, self.tiles)) + sum(map(len, self.crops))

    def starts(self) -> NDArray[np.int64]:
        """The first row of each image, and the number of rows at the end."""
        each = [len(t) + len(c) for t, c in zip(self.tiles, self.crops, strict=True)]
        return np.concatenate([[0], np.cumsum(each)]).astype(np.int64)

    def tile_rows(self, images: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the tiles of some images, image by image."""
        return self._rows(images, [range(len(tiles)) for tiles in self.tiles])

    def crop_rows(self, images: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of their crops."""
        both = zip(self.tiles, self.crops, strict=True)
        return self._rows(images, [range(len(t), len(t) + len(c)) for t, c in both])

    def _rows(
        self, images: Sequence[int] | NDArray[np.int64], within: Sequence[range]
    ) -> NDArray[np.int64]:
        starts = self.starts()
        rows = [starts[image] + np.array(within[image], dtype=np.int64) for image in images]
        return np.concatenate([*rows, np.zeros(0, dtype=np.int64)])


def load_pieces(
    dataset: Dataset,
    size_px: int,
    long_side_px: int,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    waiting: Callable[[], None] = lambda: None,
) -> tuple[Arrays, Pieces]:
    """Cut every image into pieces of size_px x size_px, from the cache where that was done before.

    Args:
        dataset: What to cut.
        size_px: Side of the square pieces.
        long_side_px: Of the resized images; the shorter one has at least `size_px`.
        cache: Folder for the arrays.
        progress: Called with the blocks that are done and their total.
        waiting: Called again and again while another process cuts them.

    Raises:
        DataError: If samples cannot be read, in one list.
    """
    folder = cache / "arrays" / _key(dataset, size_px, long_side_px)
    pieces = _read_pieces(folder, len(dataset.samples))
    if pieces is None:
        pieces = _lay_out(dataset, size_px, long_side_px)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "pieces.json", vars(pieces))
    starts = pieces.starts()

    def cut(span: slice) -> dict[str, NDArray[np.generic]]:
        first, last = span.start, min(span.stop, pieces.num_rows)
        images = range(
            int(np.searchsorted(starts, first, "right")) - 1, int(np.searchsorted(starts, last))
        )
        found = [
            piece
            for image in images
            for row, piece in enumerate(
                _cut(dataset, image, pieces, size_px), start=int(starts[image])
            )
            if first <= row < last
        ]
        fields = map(np.stack, zip(*found, strict=True))
        return dict(zip(row_type(dataset, (size_px, size_px)).names or (), fields, strict=True))

    rows = fill(
        folder,
        pieces.num_rows,
        np.arange(pieces.num_rows),
        cut,
        row=lambda: row_type(dataset, (size_px, size_px)),
        about={
            "what": "pieces of images",
            "format": spelling.shown(dataset.format),
            "target": dataset.target,
            "size": f"{pieces.num_rows} of {size_px}x{size_px} of {long_side_px}",
        },
        progress=progress,
        waiting=waiting,
    )
    owners = np.repeat(np.arange(len(dataset.samples)), np.diff(starts))
    samples = [dataset.samples[owner] for owner in owners]
    return (
        Arrays(
            tuple(sample.name for sample in samples),
            tuple(sample.group for sample in samples),
            rows["image"],
            rows["mask"],
            rows["valid"] if dataset.has_void else None,
        ),
        pieces,
    )


def scaled_size(height: int, width: int, size_px: int, long_side_px: int) -> tuple[int, int]:
    """Height and width of an image when its pieces are cut."""
    factor = max(long_side_px / max(height, width), size_px / min(height, width))
    return max(size_px, round(height * factor)), max(size_px, round(width * factor))


def grid(length: int, size_px: int) -> list[int]:
    """Where tiles begin along a side, evenly, with the overlap at least."""
    step = size_px * (1 - OVERLAP)
    num = 1 + int(np.ceil((length - size_px) / step))
    return [int(start) for start in np.linspace(0, length - size_px, num).round()]


def blend(size_px: int) -> NDArray[np.float32]:
    """What a tile's pixels count where tiles overlap: less towards its border, never 0."""
    ramp = np.minimum(np.arange(1, size_px + 1), np.arange(size_px, 0, -1))
    ramp = np.minimum(ramp / (OVERLAP * size_px), 1)
    return np.outer(ramp, ramp).astype(np.float32)


def _lay_out(dataset: Dataset, size_px: int, long_side_px: int) -> Pieces:
    problems: list[str] = []

    def one(row: int) -> tuple[tuple[int, int], tuple[Place, ...], tuple[Place, ...]] | None:
        sample = dataset.samples[row]
        try:
            mask = dataset.load(sample).mask.any(axis=0)
        except DataError as problem:
            problems.append(str(problem))
            return None
        height, width = scaled_size(mask.shape[0], mask.shape[1], size_px, long_side_px)
        tiles = tuple((y, x) for y in grid(height, size_px) for x in grid(width, size_px))
        seed = int.from_bytes(hashlib.sha256(sample.name.encode()).digest()[:8])
        small = shrink(np.asarray(mask), (width, height))
        num = max(MIN_CROPS, len(tiles))
        return (height, width), tiles, tuple(_draw_crops(small, size_px, num, seed))

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        found = list(pool.map(one, range(len(dataset.samples))))
    if problems:
        raise DataError(join_lines(problems))
    whole = [place for place in found if place is not None]
    sizes, tiles, crops = zip(*whole, strict=True)
    return Pieces(sizes, tiles, crops)


def _draw_crops(mask: NDArray[np.bool_], size_px: int, num: int, seed: int) -> list[Place]:
    """Half of them around a pixel of the foreground, where there is any; the others anywhere."""
    rng = np.random.default_rng(seed)
    last = np.array(mask.shape) - size_px
    places = rng.integers(0, last + 1, (num, 2))
    pixels = np.argwhere(mask)
    if len(pixels):
        half = -(-num // 2)
        chosen = pixels[rng.integers(0, len(pixels), half)]
        shift = rng.integers(0, size_px, (half, 2))
        places[:half] = np.clip(chosen - shift, 0, last)
    return [(int(y), int(x)) for y, x in places]


def _cut(
    dataset: Dataset, image: int, pieces: Pieces, size_px: int
) -> list[tuple[NDArray[Any], ...]]:
    """The pieces of one image, tiles first."""
    height, width = pieces.sizes[image]
    found = _resize(dataset.load(dataset.samples[image]), (width, height))
    maps = [found.image, found.mask, *(() if found.valid is None else (found.valid,))]
    return [
        tuple(_at(values, y, x, size_px) for values in maps)
        for y, x in (*pieces.tiles[image], *pieces.crops[image])
    ]


def _at(values: NDArray[Any], y: int, x: int, size_px: int) -> NDArray[Any]:
    """A piece of an image (height, width, 3), of masks (classes, height, width) or of a map."""
    down, across = slice(y, y + size_px), slice(x, x + size_px)
    if values.ndim == 3 and values.dtype == np.bool_:
        return values[:, down, across]
    return values[down, across]


def _resize(found: Loaded, size: tuple[int, int]) -> Loaded:
    image = Image.fromarray(found.image).resize(size, Image.Resampling.BILINEAR)
    masks = np.stack([shrink(of_class, size) for of_class in found.mask])
    valid = None if found.valid is None else shrink(found.valid, size)
    return Loaded(np.asarray(image), masks, valid)


def _key(dataset: Dataset, size_px: int, long_side_px: int) -> str:
    parts = (LAYOUT_VERSION, "pieces", dataset.fingerprint, dataset.format, dataset.target)
    text = "\0".join(map(str, (*parts, size_px, long_side_px, OVERLAP, MIN_CROPS)))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_pieces(folder: Path, num_images: int) -> Pieces | None:
    """What was laid out before; None where it is not there, or is damaged."""
    try:
        found = read_json(folder / "pieces.json")
        pieces = Pieces(*(tuple(map(_tuples, found[name])) for name in ("sizes", "tiles", "crops")))
        return pieces if len(pieces.sizes) == num_images else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tuples(values: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(v) if isinstance(v, list) else v for v in values)
