"""The same object on a growing canvas: what is added is background, and nothing else changes.

Density is all in which two such sets differ, so a difference between them is about density. Classes
of one set differ in shape, size, place and look as well.
"""

import hashlib
import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from vesica.data import heads
from vesica.data.sample import Dataset, Loaded, Mask, Pixels, Sample
from vesica.data.selected import select
from vesica.data.synthetic import fingerprint_drawing

DENSEST = 0.3
"""Share of the smallest canvas that an object fills."""
GROWTH = 10
"""Sides of the smallest canvas that the largest has."""

AREA_LIMITS = (0.8, 1.25)
"""What may become of an object's area where it is made smaller, in parts of what is asked for."""
RIM_PX = 1
"""Around an object, for its soft outline."""
OVALS = 0.6
"""In the background, for each of the smallest canvases that it holds."""
NOISE = 0.015

Colours = NDArray[np.float32]
"""Red, green and blue in [0, 1], shape (height, width, 3)."""


class CutOut(NamedTuple):
    """An object without its background.

    Attributes:
        colours: Shape (height, width, 3).
        cover: Share of each pixel that the object covers, shape (height, width).
    """

    colours: Colours
    cover: NDArray[np.float32]


def on_canvas(
    inner: Dataset, *, side: int = 82, area: int = 200, num: int = 0, seed: int = 0
) -> Dataset:
    """The objects of a set (of=PATH; generated faces), of 200 pixels each, on a canvas of any side.

    Of each image the largest connected object is cut out by its mask, made smaller until it has
    `area` pixels, and laid on one large drawn background: a textured gradient with ovals in the
    object's colours. A canvas is a part of that picture, never resized, and each lies within the
    larger ones. Where the object lies in it is random, and the same share of the free space at
    every side. An object that its own image cuts off keeps the straight edge.

    Left out are images whose object is smaller than `area`, longer than the smallest canvas, or so
    thin that it does not keep its area; which they are does not depend on `side`.

    Args:
        inner: Whose objects are cut out.
        side: Of the canvas, in pixels: from sqrt(area / 0.3) to ten times that.
        area: Of the object, in pixels.
        num: Images, the first by their names; 0: all.
        seed: Another seed draws other backgrounds and places.

    Raises:
        ValueError: If an argument is out of its range.
        DataError: If no object can be cut out, or images cannot be read.
    """
    if inner.is_exclusive:
        raise ValueError(
            "a canvas has one object: leave out --classes, and name it by --foreground"
        )
    if not 16 <= area <= 10_000:
        raise ValueError(f"area={area}: an object takes 16 to 10000 pixels")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed}: choose a whole number from 0 to {2**32 - 1}")
    smallest, largest = sides_of(area)
    if not smallest <= side <= largest:
        raise ValueError(
            f"side={side}: objects of {area} pixels lie on canvases of {smallest} to {largest}"
        )
    kept, notes = select(inner, f"canvas of {area}", partial(_why_not, area=area), num)
    of_name = {sample.name: sample for sample in kept}

    def read(sample: Sample) -> tuple[Pixels, Mask]:
        return draw_canvas(inner.load(of_name[sample.name]), sample.name, side, area, seed)

    names = tuple(of_name)
    parameters = (side, area, seed, inner.fingerprint, inner.target, names)
    return Dataset(
        format="canvas",
        target=inner.target,
        samples=tuple(Sample(s.name, s.group, (), s.part) for s in kept),
        read=read,
        fingerprint=fingerprint_drawing((__file__, heads.__file__), *parameters),
        notes=(
            f"Objects of {area} pixels ({inner.target}, {inner.format}), cut out and laid on drawn "
            f"backgrounds of {side} x {side} pixels.",
            *notes,
        ),
    )


def sides_of(area: int) -> tuple[int, int]:
    """The smallest and the largest canvas for objects of so many pixels."""
    smallest = side_at(DENSEST, area)
    return smallest, GROWTH * smallest


def side_at(density: float, area: int) -> int:
    """The side of the canvas of which an object of so many pixels is that share."""
    return round(math.sqrt(area / density))


def draw_canvas(loaded: Loaded, name: str, side: int, area: int, seed: int) -> tuple[Pixels, Mask]:
    """Image and mask of one canvas: a part of the largest one, which `name` and `seed` decide."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], np.uint32)
    rng = np.random.default_rng([seed, *words.tolist()])
    cut = cut_out(loaded, area)
    assert cut is not None  # others were left out
    _, largest = sides_of(area)
    free = rng.random(2)
    rows, cols = _place(cut, free, largest)
    shown = cut.cover[..., None]
    colour = (cut.colours * shown).sum((0, 1)) / shown.sum()
    picture = draw_background(rng, largest, area, colour)
    picture[rows, cols] += shown * (cut.colours - picture[rows, cols])
    picture += rng.normal(0, NOISE, picture.shape).astype(np.float32)
    mask = np.zeros((largest, largest), np.bool_)
    mask[rows, cols] = cut.cover >= 0.5
    inside_rows, inside_cols = _place(cut, free, side)
    top, left = rows.start - inside_rows.start, cols.start - inside_cols.start
    window = slice(top, top + side), slice(left, left + side)
    image = np.clip(255 * picture[window] + 0.5, 0, 255).astype(np.uint8)
    return image, np.ascontiguousarray(mask[window])


def _place(cut: CutOut, free: NDArray[np.float64], side: int) -> tuple[slice, slice]:
    """Rows and columns of the object in a canvas: `free` of the space that it leaves lies before
    it. From side to side the start never grows by more than the side, so that canvases nest."""
    starts = [
        int(share * (side - length)) for share, length in zip(free, cut.cover.shape, strict=True)
    ]
    rows, cols = (slice(s, s + n) for s, n in zip(starts, cut.cover.shape, strict=True))
    return rows, cols


def cut_out(loaded: Loaded, area: int) -> CutOut | None:
    """The largest object of an image, with so many pixels; None where it has fewer.

    Colours are means over the object's own pixels: none of its old background comes along.
    """
    labels, _ = ndimage.label(loaded.mask.any(axis=0), np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    if not len(sizes) or sizes.max() < area:
        return None
    number = int(sizes.argmax()) + 1
    window = ndimage.find_objects(labels)[number - 1]
    own = (labels[window] == number).astype(np.float32)
    shrink = math.sqrt(area / own.sum())
    cover = _shrink(own, shrink)
    seen = np.maximum(cover, 1e-6)[..., None]
    image = loaded.image[window].astype(np.float32) / 255
    planes = [_shrink(own * image[..., channel], shrink) for channel in range(3)]
    return CutOut(np.clip(np.stack(planes, axis=-1) / seen, 0, 1), cover)


def _shrink(plane: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Means over areas, exactly at the scale, with a rim of `RIM_PX` or a little more."""
    height, width = (math.ceil(length * scale) + 2 * RIM_PX for length in plane.shape)
    room = math.ceil((1 + 2 * RIM_PX) / scale) + 1
    padded = np.pad(plane, room)
    top, left = (
        room - (new / scale - old) / 2
        for new, old in zip((height, width), plane.shape, strict=True)
    )
    box = left, top, left + width / scale, top + height / scale
    made = Image.fromarray(padded).resize((width, height), Image.Resampling.BOX, box=box)
    return np.asarray(made, np.float32)


def _why_not(loaded: Loaded, area: int) -> str:
    """Why an image is left out; "" if it is not."""
    cut = cut_out(loaded, area)
    if cut is None:
        return f"without an object of {area} pixels"
    smallest, _ = sides_of(area)
    if max(cut.cover.shape) > smallest:
        return f"whose object is longer than {smallest} pixels"
    low, high = AREA_LIMITS
    num_pixels = int((cut.cover >= 0.5).sum())
    return "" if low * area <= num_pixels <= high * area else "whose object is too thin"


def draw_background(rng: Generator, side: int, area: int, colour: Colours) -> Colours:
    """A gradient of two colours with two textures, and ovals of which half have the object's
    colours: as many in a small part as in any other."""
    half = math.sqrt(area / math.pi)
    start, end = rng.random((2, 3), np.float32)
    line = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = math.cos(angle) * line + math.sin(angle) * line[:, None]
    coarse, fine = (heads.texture(rng, side, max(1, int(side / half / f))) for f in (1, 0.5))
    blend = np.clip(0.5 + slope + 0.4 * coarse, 0, 1)[..., None]
    picture: Colours = (start + blend * (end - start)) * (1 + 0.15 * fine[..., None])
    picture = picture.astype(np.float32)
    for number in range(round(OVALS * GROWTH**2)):
        own = colour if number % 2 else rng.random(3, np.float32)
        varied = np.clip(own + rng.normal(0, 0.04, 3), 0.03, 1).astype(np.float32)
        _paint_oval(rng, picture, half, varied)
    return picture


def _paint_oval(rng: Generator, picture: Colours, half: float, colour: Colours) -> None:
    y, x = rng.uniform(0, len(picture), 2)
    a, b = half * rng.uniform(0.5, 1.2, 2)
    tilt, light = rng.uniform(0, 2 * np.pi, 2)
    reach = max(a, b) + 2
    window = tuple(
        slice(max(0, int(place - reach)), min(len(picture), int(place + reach) + 1))
        for place in (y, x)
    )
    rows, cols = (np.arange(part.start, part.stop, dtype=np.float32) + 0.5 for part in window)
    dy, dx = (rows - y)[:, None], cols - x
    u, v = math.cos(tilt) * dx + math.sin(tilt) * dy, math.cos(tilt) * dy - math.sin(tilt) * dx
    cover = np.clip(0.5 - heads.ellipse(u, v, a, b), 0, 1)[..., None]
    shade = 0.85 + 0.25 * (math.cos(light) * u + math.sin(light) * v)[..., None] / reach
    part = picture[window]
    part += (cover * (colour * shade - part)).astype(np.float32)
