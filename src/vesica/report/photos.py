"""One test image: the photograph with outlines of masks over it."""

import base64
import io
import itertools
from collections.abc import Iterable

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from vesica.report import svg

Corner = tuple[int, int]
"""Where four pixels meet: x and y, in pixels from the upper left."""

PHOTO_PX = 384
OUTLINE_PX = 512
"""Larger images are shown, and larger masks outlined, at about this size."""


def draw_photo(
    alt: str, image: NDArray[np.uint8], layers: Iterable[Markup], photo_px: int = PHOTO_PX
) -> Markup:
    """An image with drawings in pixels over it, and the text for those who cannot see them."""
    height, width = image.shape[:2]
    photo = svg.tag("image", href=photo_uri(image, photo_px), width=width, height=height)
    return svg.drawing(alt, width, height, photo, *layers, class_="photo")


def draw_outline(
    mask: NDArray[np.bool_], class_: str, title: str, outline_px: int = OUTLINE_PX
) -> Markup:
    """A line over a dark halo, to be seen on any background."""
    path = outline(mask, outline_px)
    halo = svg.tag("path", d=path, class_="halo")
    return svg.tag(
        "g",
        halo,
        svg.tag("path", svg.tag("title", title), d=path, class_="edge"),
        class_=f"outline {class_}",
    )


def draw_area(mask: NDArray[np.bool_], title: str) -> Markup:
    """A mask as a filled area."""
    return svg.tag("path", svg.tag("title", title), d=outline(mask), class_="doubted")


def outline(mask: NDArray[np.bool_], outline_px: int = OUTLINE_PX) -> str:
    """The border of a mask as an SVG path in pixels, corners cut.

    The path goes through the middles of the pixel edges between foreground and background, which
    is where marching squares puts the contour of a hard mask at 1/2.
    """
    stride = -(-max(mask.shape) // outline_px)
    following = _follow_edges(mask[::stride, ::stride])
    loops = []
    while following:
        corners = [next(iter(following))]
        while len(corners) == 1 or corners[-1] != corners[0]:
            corners.append(_take_edge(following, corners[-1]))
        middles = [
            (stride * (x1 + x2) / 2, stride * (y1 + y2) / 2)
            for (x1, y1), (x2, y2) in itertools.pairwise(corners)
        ]
        loops.append(_write_loop(_turns(middles)))
    return "".join(loops)


def _write_loop(points: list[tuple[float, float]]) -> str:
    """Steps from point to point, which take half the room of their places."""
    (x, y), steps = points[0], itertools.pairwise(points)
    moved = " ".join(f"{x2 - x1:g} {y2 - y1:g}" for (x1, y1), (x2, y2) in steps)
    return f"M{x:g} {y:g}l{moved}z"


def _follow_edges(mask: NDArray[np.bool_]) -> dict[Corner, list[Corner]]:
    """From each pixel corner along the border to the next ones, foreground on the right."""
    padded = np.pad(mask, 1).astype(np.int8)
    following: dict[Corner, list[Corner]] = {}
    down, across = np.diff(padded, axis=0)[:, 1:-1], np.diff(padded, axis=1)[1:-1]
    for y, x in np.argwhere(down).tolist():
        ends = [(x, y), (x + 1, y)][:: down[y, x]]
        following.setdefault(ends[0], []).append(ends[1])
    for y, x in np.argwhere(across).tolist():
        ends = [(x, y + 1), (x, y)][:: across[y, x]]
        following.setdefault(ends[0], []).append(ends[1])
    return following


def _take_edge(following: dict[Corner, list[Corner]], corner: Corner) -> Corner:
    """The end of an edge that starts at a corner; the edge is gone then."""
    end = following[corner].pop()
    if not following[corner]:
        del following[corner]
    return end


def _turns(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of a loop at which it turns."""
    around = zip([points[-1], *points[:-1]], points, [*points[1:], points[0]], strict=True)
    return [
        (x, y)
        for (x0, y0), (x, y), (x1, y1) in around
        if (x - x0) * (y1 - y) != (y - y0) * (x1 - x)
    ]


def photo_uri(image: NDArray[np.uint8], photo_px: int = PHOTO_PX) -> str:
    """A photograph as a page can hold it, no larger than it is shown."""
    photo = Image.fromarray(image)
    if (side := max(photo.size)) > photo_px:
        width, height = (max(1, round(length * photo_px / side)) for length in photo.size)
        photo = photo.resize((width, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=88 if photo_px >= PHOTO_PX else 75)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
