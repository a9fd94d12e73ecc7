"""Eight sets of very different density, each in the layout in which it is passed around.

For `vesica compare benchmarks/sets.py:cracks` and plans; a file of one's own is written alike. The
sets lie side by side in the folder that the environment variable VESICA_SETS names: helen,
celebamask, cracks, weeds, chest, polyps, horses, flood.

`val` is the share of the images that validate where that is to be more than usual, as in choosing a
recipe: a tenth is then for testing. Without it the set is divided as it says itself, or by Vesica.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from vesica.data import Dataset
from vesica.errors import DataError

HALF = 127
"""Masks in grey ramps, as JPEG makes them, are foreground above it."""


def eyes(*, val: float = 0.0) -> Dataset:
    """HELEN's eyes, half a percent of the pixels; divided as HELEN is."""
    root = _root("helen")
    names = _names(root / "images")
    test = {line.split(",")[1].strip() for line in (root / "testing.txt").read_text().splitlines()}

    def files(name: str) -> list[Path]:
        parts = [root / "labels" / name / f"{name}_lbl{part:02}.png" for part in (4, 5)]
        return [root / "images" / f"{name}.jpg", *parts]

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        image, *parts = files(name)
        return _rgb(image), sum(_grey(part).astype(int) for part in parts) > HALF

    return Dataset.of(
        names,
        read,
        files=[files(name) for name in names],
        parts=_parts(names, val) or ["test" if name in test else None for name in names],
        target="eyes",
    )


def brows(*, val: float = 0.0) -> Dataset:
    """The brows of CelebAMask-HQ, index 6 and 7."""
    return _pairs(
        "celebamask", "images", "labels", lambda m: np.isin(m, (6, 7)), target="brows", val=val
    )


def cracks(*, val: float = 0.0) -> Dataset:
    """Cracks in pavement: `x.jpg` beside `x_mask.png`."""
    root = _root("cracks")
    names = [name for name in _names(root) if not name.endswith("_mask")]
    return _of(
        names, root, "{}.jpg", root, "{}_mask.png", lambda m: m > HALF, target="cracks", val=val
    )


def weeds(*, val: float = 0.0) -> Dataset:
    """Weeds among crops, red in the annotation."""
    root = _root("weeds")
    names = [name.removesuffix("_image") for name in _names(root / "images")]
    return Dataset.of(
        names,
        lambda name: (
            _rgb(root / "images" / f"{name}_image.jpg"),
            _rgb(root / "annotations" / f"{name}_annotation.png")[..., 0] > HALF,
        ),
        files=[
            [root / "images" / f"{name}_image.jpg", root / "annotations" / f"{name}_annotation.png"]
            for name in names
        ],
        parts=_parts(names, val),
        target="weeds",
    )


def heart(*, val: float = 0.0) -> Dataset:
    """The heart in chest radiographs, mask value 250."""
    return _pairs("chest", "images", "masks", lambda m: m == 250, target="heart", val=val)


def polyps(*, val: float = 0.0) -> Dataset:
    """Polyps in endoscopy, masks as JPEG."""
    return _pairs("polyps", "images", "masks", lambda m: m > HALF, target="polyps", val=val)


def horses(*, val: float = 0.0) -> Dataset:
    """Horses, masks as JPEG, some of them a pixel off in size."""
    return _pairs("horses", "rgb", "figure_ground", lambda m: m > HALF, target="horses", val=val)


def flood(*, val: float = 0.0) -> Dataset:
    """Flooded areas from the air."""
    return _pairs("flood", "Image", "Mask", lambda m: m > HALF, target="flood", val=val)


Rule = Callable[[np.ndarray], np.ndarray]


def _pairs(
    folder: str,
    images: str,
    masks: str,
    rule: Rule,
    *,
    target: str,
    val: float,
) -> Dataset:
    """A folder of images and one of masks, of the same names."""
    root = _root(folder)
    suffixes = {file.suffix for file in (root / masks).iterdir()}
    image = {file.suffix for file in (root / images).iterdir()}
    names = _names(root / images)
    return _of(
        names,
        root / images,
        "{}" + image.pop(),
        root / masks,
        "{}" + suffixes.pop(),
        rule,
        target=target,
        val=val,
    )


def _of(
    names: list[str],
    images: Path,
    image: str,
    masks: Path,
    mask: str,
    rule: Rule,
    *,
    target: str,
    val: float,
) -> Dataset:
    def files(name: str) -> list[Path]:
        return [images / image.format(name), masks / mask.format(name)]

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        pixels, found = _rgb(files(name)[0]), _grey(files(name)[1])
        if found.shape != pixels.shape[:2]:
            size = pixels.shape[1::-1]
            found = np.array(Image.fromarray(found).resize(size, Image.Resampling.NEAREST))
        return pixels, rule(found)

    return Dataset.of(
        names,
        read,
        files=[files(name) for name in names],
        parts=_parts(names, val),
        target=target,
    )


def _parts(names: list[str], val: float) -> list[str] | None:
    """A tenth to test, so many to validate, by a hash of the names; None: not asked for."""
    if not val:
        return None
    digests = {name: hashlib.sha256(name.encode()).digest() for name in names}
    order = sorted(names, key=digests.__getitem__)
    num_test, num_val = len(names) // 10, round(val * len(names))
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
