"""Reader of labelme's JSON: a file of shapes beside each image."""

import base64
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vesica.data.annotated import Labelled, Region, make_dataset
from vesica.data.label_files import ImageFiles, find_files, holds_words, part_of, read_json
from vesica.data.pixels import read_image, show
from vesica.data.polygons import Circle, Outline, Polygons, check_near, is_number, read_ring
from vesica.data.sample import Dataset, Mask
from vesica.errors import DataError

KEYS = ("shapes", "imagePath")
NUM_TRIED = 100
"""Files that are looked at before a folder is taken for one without labelme's."""

Corners = list[list[float]]


def recognise(path: Path) -> bool:
    """Whether a JSON file with shapes and the path of an image lies anywhere below."""
    files = find_files(path, {".json"})
    return any(holds_words(file, KEYS) for file in itertools.islice(files, NUM_TRIED))


def open_labelme(path: Path, target: str | None, *, group: str | None = None) -> Dataset:
    """Images with labelme's JSON; the copy of the image that it may hold is not used.

    Args:
        path: The folder with JSON files and images, at any depth.
        target: A label, several joined by "+", or "all"; None: the only one.
        group: Regular expression on a sample's name that finds its group.

    Raises:
        DataError: If files do not fit together; one error lists all problems.
    """
    images = ImageFiles(path)
    problems: list[str] = []
    labelled: list[Labelled] = []
    for file in find_files(path, {".json"}):
        try:
            content = read_json(path, file)
            if all(key in content for key in KEYS):
                labelled.append(_read_image(path, file, content, images))
        except DataError as error:
            problems.append(str(error))
    return make_dataset(
        path,
        "labelme",
        target,
        labelled,
        (region.category for image in labelled for region in image.regions),
        problems=problems,
        notes=images.without((image.image for image in labelled), "have no JSON file: left out"),
        group=group,
    )


def _read_image(root: Path, file: Path, content: dict[str, Any], images: ImageFiles) -> Labelled:
    name = show(root, file)
    part = part_of(show(root, file.parent))
    try:
        image = images.find(str(content["imagePath"]), file.parent, part)
    except ValueError as error:
        beside = [i for i in images.files if i.with_suffix("") == file.with_suffix("")]
        if len(beside) != 1:  # the image may have been renamed together with its labels
            raise DataError(f"{name}: {error}.") from None
        image = beside[0]
    if not isinstance(content["shapes"], list):
        raise DataError(f"{name}: shapes is no list. Save it again with labelme.")
    size = _size(root, image, content)
    regions = []
    for index, shape in enumerate(content["shapes"]):
        where = f"{name}: shapes[{index}]"
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
            raise DataError(f"{where}: no label. Name it in labelme, or remove it.")
        regions.append(Region(shape["label"], partial(_outline, shape, size, where)))
    return Labelled(image, name, tuple(regions), part, size, (file,))


def _size(root: Path, image: Path, content: dict[str, Any]) -> tuple[int, int]:
    """Width and height that the shapes were drawn in; earlier versions of labelme kept none."""
    width, height = content.get("imageWidth"), content.get("imageHeight")
    if isinstance(width, int) and isinstance(height, int):
        return width, height
    pixels = read_image(root, image)
    return pixels.shape[1], pixels.shape[0]


def _outline(shape: dict[str, Any], size: tuple[int, int], where: str) -> Outline:
    kind, points = shape.get("shape_type") or "polygon", shape.get("points")
    try:
        if not isinstance(points, list) or not all(map(_is_point, points)):
            raise ValueError("the points are no list of x and y")
        if kind not in SHAPES:
            known = ", ".join(SHAPES)
            raise ValueError(f"a {str(kind)[:40]} has no area that is known, expected {known}")
        return SHAPES[kind](shape, points, size)
    except ValueError as error:
        raise DataError(f"{where}: {error}. Draw it again, or remove it.") from None


def _polygon(shape: dict[str, Any], points: Corners, size: tuple[int, int]) -> Outline:
    return Polygons((check_near(read_ring(list(itertools.chain(*points))), *size),))


def _rectangle(shape: dict[str, Any], points: Corners, size: tuple[int, int]) -> Outline:
    if len(points) == 2:
        (left, top), (right, bottom) = points
        points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return _polygon(shape, points, size)


def _circle(shape: dict[str, Any], points: Corners, size: tuple[int, int]) -> Outline:
    """A circle by its centre and any point on it."""
    if len(points) != 2:
        raise ValueError(f"{len(points)} points of a circle, expected its centre and one on it")
    (x, y), on_it = points
    return Circle(x, y, math.dist((x, y), on_it))


@dataclass(frozen=True)
class Stamp:
    """A small mask with its upper left pixel at a place in the image."""

    left: int
    top: int
    pixels: Mask

    def fill(self, height: int, width: int) -> Mask:
        """Its pixels in an image of this size; what lies outside the image is cut off."""
        mask = np.zeros((height, width), np.bool_)
        rows, columns = np.nonzero(self.pixels)
        rows, columns = rows + self.top, columns + self.left
        is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        mask[rows[is_inside], columns[is_inside]] = True
        return mask


def _stamp(shape: dict[str, Any], points: Corners, size: tuple[int, int]) -> Outline:
    """What labelme's model has drawn: a PNG in the text, at the first of its two points."""
    try:
        with Image.open(BytesIO(base64.b64decode(shape.get("mask") or ""))) as image:
            if image.width > size[0] + 1 or image.height > size[1] + 1:
                raise ValueError("larger than its image")
            pixels = np.asarray(image.convert("L")) > 0
    except Exception as error:  # decoders let anything through
        raise ValueError(f"its mask cannot be read ({error})") from None
    if not points:
        raise ValueError("a mask without a place")
    return Stamp(round(points[0][0]), round(points[0][1]), pixels)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


SHAPES: dict[str, Callable[[dict[str, Any], Corners, tuple[int, int]], Outline]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "oriented_rectangle": _polygon,
    "circle": _circle,
    "mask": _stamp,
}
"""Shapes that have an area, by labelme's names."""
