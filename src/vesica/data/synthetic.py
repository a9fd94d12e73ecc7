"""Generated faces: heads, drawn from a seed, before backgrounds full of skin-coloured objects.

The data set that is always there. Skin colour does not find these faces and neither does a guess
at the middle of the frame: panels, balls and arms have the colours and the shading of the faces,
and heads vary in place, size and tilt. What a network has to learn is what a head looks like.
"""

import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from vesica.data import faces, heads
from vesica.data.faces import draw_face
from vesica.data.heads import BACKGROUND, FACE, HAIR
from vesica.data.sample import Dataset, Mask, Pixels, Sample

TARGETS = {"face": (FACE,), "face+hair": (FACE, HAIR)}
CLASSES = {"background": BACKGROUND, "face": FACE, "hair": HAIR}


def open_faces(
    num_images: int = 1000,
    *,
    size_px: int = 128,
    seed: int = 0,
    density: float = 0.2,
    target: str = "face",
    classes: bool = False,
) -> Dataset:
    """Open a set of generated faces; each is drawn when it is read.

    An image depends on the seed, its own number, the size and the density only: a larger set
    begins with the images of the smaller one.

    Args:
        num_images: Number of images, at most a million.
        size_px: Height and width.
        seed: Another seed gives other images.
        density: Expected fraction of the pixels that are face; scales the heads.
        target: "face" or "face+hair".
        classes: In place of a target, background, face and hair.

    Raises:
        ValueError: If an argument is out of its range.
    """
    _check(num_images, size_px, seed, density, target)
    names = (f"face_{index:06d}" for index in range(num_images))
    return Dataset(
        format="faces",
        target=";".join(CLASSES) if classes else target,
        samples=tuple(Sample(name, group=name) for name in names),
        read=partial(
            _read, size_px=size_px, seed=seed, density=density, target=None if classes else target
        ),
        fingerprint=fingerprint_drawing(
            (heads.__file__, faces.__file__), num_images, size_px, seed, density
        ),
        notes=(f"Generated images of {size_px} x {size_px} pixels, seed {seed}, no photographs.",),
        classes=tuple(CLASSES) if classes else (),
        is_exclusive=classes,
    )


def open_generated(
    *,
    num: int = 500,
    size: int = 128,
    seed: int = 0,
    density: float = 0.2,
    target: str = "face",
    classes: bool = False,
) -> Dataset:
    """The generated faces with the options of their spelling, `generated:num=500:size=128`."""
    return open_faces(num, size_px=size, seed=seed, density=density, target=target, classes=classes)


def _check(num_images: int, size_px: int, seed: int, density: float, target: str) -> None:
    if not 1 <= num_images <= 1_000_000:
        raise ValueError(f"num_images is {num_images}; ask for 1 to 1000000 images.")
    if not 16 <= size_px <= 8192:
        raise ValueError(f"size_px is {size_px}; a face needs 16 to 8192 pixels.")
    # Beyond 32 bits a seed takes two words, and (seed, index) could meet another pair.
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; choose a whole number from 0 to {2**32 - 1}.")
    if not 0.02 <= density <= 0.6:
        raise ValueError(f"density is {density}; choose a fraction from 0.02 to 0.6.")
    if target not in TARGETS:
        raise ValueError(f"target is {target!r}; choose one of {', '.join(TARGETS)}.")


def _read(
    sample: Sample, *, size_px: int, seed: int, density: float, target: str | None
) -> tuple[Pixels, Mask]:
    index = int(sample.name.removeprefix("face_"))
    image, classes = draw_face(np.random.default_rng([seed, index]), size_px, density)
    if target is None:
        return image, np.stack([classes == label for label in CLASSES.values()])
    return image, np.isin(classes, TARGETS[target])


def fingerprint_drawing(files: Iterable[str], *parameters: object) -> str:
    """Digest of the parameters, of the files that draw, and of a few random numbers.

    Numpy may change its streams from one version to another. The numbers tell when it has; its
    version would call the data new at every release, and pixels may differ in a last bit between
    processors.
    """
    digest = hashlib.sha256(repr(parameters).encode())
    for file in files:
        digest.update(Path(file).read_bytes())
    rng = np.random.default_rng([0, 0])
    digest.update(
        repr((rng.random(), rng.uniform(-1, 1), rng.integers(9), rng.choice(9, 3))).encode()
    )
    digest.update(rng.standard_normal(4, np.float32).tobytes())
    return digest.hexdigest()
