"""Eight sets of very different density, each in the layout in which it is passed around.

For `vesica compare benchmarks/sets.py:cracks` and plans; a file of one's own is written alike. The
sets lie side by side in the folder that the environment variable VESICA_SETS names: helen,
celebamask, cracks, weeds, chest, polyps, horses, flood.

`val` and `test` are the shares of the images that validate and test where these are to be others
than usual, as in choosing a recipe. Without `val` a set is divided as it says itself, or by Vesica.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vesica.data import Dataset
from vesica.errors import DataError

HALF = 127
"""Masks in grey ramps, as JPEG makes them, are foreground above it."""

Shares = tuple[float, float]
Parts = Sequence[str | None] | None


def eyes(*, val: float = 0.0, test: float = 0.1) -> Dataset:
    """HELEN's eyes, half a percent of the pixels; divided as HELEN is."""
    root = _root("helen")
    names = _names(root / "images")
    lines = (root / "testing.txt").read_text().splitlines()
    tested = {line.split(",")[1].strip() for line in lines}
    own: Parts = ["test" if name in tested else None for name in names]

    def files(name: str) -> list[Path]:
        labels = [root / "labels" / name / f"{name}_lbl{part:02}.png" for part in (4, 5)]
        return [root / "images" / f"{name}.jpg", *labels]

    def mask(labels: list[Path]) -> np.ndarray:
        return sum(_grey(label).astype(int) for label in labels) > HALF

    return _of("eyes", names, files, mask, (val, test), own)


def brows(*, val: float = 0.0, test: float = 0.1) -> Dataset:
    """The brows of CelebAMask-HQ, index 6 and 7."""
    folders = "celebamask/images", "celebamask/labels"
    return _pairs("brows", folders, lambda m: np.isin(m, (6, 7)), (val, test))


def cracks(*, val: float = 0.0, test: float = 0.1) -> Dataset:
    """Cracks in pavement: `x.jpg` beside `x_mask.png`."""
    root = _root("cracks")
    names = [name for name in _names(root) if not name.endswith("_mask")]

    def files(name: str) -> list[Path]:
        return [root / f"{name}.jpg", root / f"{name}_mask.png"]

    return _of("cracks", names, files, lambda masks: _grey(masks[0]) > HALF, (val, test))


def weeds(*, val: float = 0.0, test: float = 0.1) -> Dataset:
    """Weeds among crops, red in the annotation."""
    root = _root("weeds")
    names = [name.removesuffix("_image") for name in _names(root / "images")]

    def files(name: str) -> list[Path]:
        mask = root / "annotations" / f"{name}_annotation.png"
        return [root / "images" / f"{name}_image.jpg", mask]

    return _of("weeds", names, files, lambda masks: _rgb(masks[0])[..., 0] > HALF, (val, test))


def heart(*, val: float = 0.0, test: float = 0.1) -> Dataset:
    """The heart in chest radiographs, mask value 250."""
    return _pairs("heart", ("chest/images", "chest/masks"), lambda m: m == 250, (val, test))


def polyps(*, val: float = 0.0, test: float = 0.1) -> Dataset:
    """Polyps in endoscopy, masks as JPEG."""
    return _pairs("polyps", ("polyps/images", "polyps/masks"), lambda m: m > HALF, (val, test))


def horses(*, val: float = 0.0, test: float = 0.1) -> Dataset:
    """Horses, masks as JPEG, some of them a pixel off in size."""
    return _pairs("horses", ("horses/rgb", "horses/figure_ground"), lambda m: m > HALF, (val, test))


def flood(*, val: float = 0.0, test: float = 0.1) -> Dataset:
    """Flooded areas from the air."""
    return _pairs("flood", ("flood/Image", "flood/Mask"), lambda m: m > HALF, (val, test))


def _pairs(
    target: str,
    folders: tuple[str, str],
    is_foreground: Callable[[np.ndarray], np.ndarray],
    shares: Shares,
) -> Dataset:
    """A folder of images and one of masks, of the same names."""
    places = [_root(folder) for folder in folders]
    suffixes = [next(place.iterdir()).suffix for place in places]

    def files(name: str) -> list[Path]:
        return [place / f"{name}{suffix}" for place, suffix in zip(places, suffixes, strict=True)]

    names = _names(places[0])
    return _of(target, names, files, lambda masks: is_foreground(_grey(masks[0])), shares)


def _of(
    target: str,
    names: list[str],
    files: Callable[[str], list[Path]],
    mask: Callable[[list[Path]], np.ndarray],
    shares: Shares,
    own: Parts = None,
) -> Dataset:
    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        image, *masks = files(name)
        pixels, found = _rgb(image), mask(masks)
        if found.shape != pixels.shape[:2]:
            size = pixels.shape[1::-1]
            found = np.array(Image.fromarray(found).resize(size, Image.Resampling.NEAREST))
        return pixels, found

    parts = _parts(names, *shares) if shares[0] else own
    return Dataset.of(
        names, read, files=[files(name) for name in names], parts=parts, target=target
    )


def _parts(names: list[str], val: float, test: float) -> list[str]:
    """By a hash of the names."""
    digests = {name: hashlib.sha256(name.encode()).digest() for name in names}
    order = sorted(names, key=digests.__getitem__)
    num_test, num_val = round(test * len(names)), round(val * len(names))
    parts = dict.fromkeys(order[:num_test], "test")
    parts |= dict.fromkeys(order[num_test : num_test + num_val], "val")
    return [parts.get(name, "train") for name in names]


def _root(folder: str) -> Path:
    given = os.environ.get("VESICA_SETS")
    if not given:
        raise DataError("say in VESICA_SETS which folder has the sets")
    return Path(given).expanduser() / folder


def _names(folder: Path) -> list[str]:
    return sorted({file.stem for file in folder.iterdir() if not file.name.startswith(".")})


def _rgb(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def _grey(file: Path) -> np.ndarray:
    """Indices of a palette as they are, else brightness."""
    with Image.open(file) as image:
        return np.array(image if image.mode in ("P", "L") else image.convert("L"))
