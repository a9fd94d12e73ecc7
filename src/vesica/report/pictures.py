"""Test images with the outlines of the truth and of each loss's prediction."""

import base64
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from vesica.data.library import Library
from vesica.errors import DataError
from vesica.judge import Setting
from vesica.plan import Cell
from vesica.report import svg
from vesica.results import EndedCell, Masks, read_masks

MAX_PICTURES = 24
MAX_BYTES = 3_500_000
"""Of all pictures of a page."""

Corner = tuple[int, int]
"""Where four pixels meet: x and y, in pixels from the upper left."""

PHOTO_PX = 384
OUTLINE_PX = 512
"""Larger images are shown, and larger masks outlined, at about this size."""


@dataclass(frozen=True)
class Picture:
    """One test image; `scores` are pairs of a loss and its per-image IoU."""

    name: str
    note: str
    scores: list[tuple[str, float]]
    drawing: Markup


@dataclass(frozen=True)
class Gallery:
    """The pictures of a group.

    Attributes:
        losses: Whose predictions are outlined, with their place in the group.
        seed: Whose cells they are.
        why_none: A sentence where there are no pictures.
    """

    losses: list[tuple[int, str]]
    seed: int | None
    num_test: int
    pictures: list[Picture]
    why_none: str = ""


@dataclass(frozen=True)
class Panel:
    """What one loss made of the test images."""

    loss: str
    index: int
    iou: NDArray[np.float64]
    masks: Masks


def make_gallery(setting: Setting, library: Library, max_bytes: int) -> Gallery:
    """Draw the test images on which the losses differ most."""
    seed, chosen = _choose_cells(setting)
    losses = [(setting.losses.index(found.cell.loss), found.cell.loss_name) for found in chosen]
    if seed is None or setting.scores is None:
        return Gallery([], None, 0, [], "No run of this setting has predictions yet.")
    names = setting.scores.names
    try:
        panels = [
            _read_panel(found, index, setting)
            for found, (index, _) in zip(chosen, losses, strict=True)
        ]
        pictures = _draw_pictures(chosen[0].cell, names, panels, library, max_bytes)
    except (DataError, OSError) as error:
        return Gallery(losses, seed, 0, [], f"The test images cannot be shown: {error}")
    return Gallery(losses, seed, len(names), pictures)


def _choose_cells(setting: Setting) -> tuple[int | None, list[EndedCell]]:
    """The cells of the first of those seeds that have the most losses."""
    by_seed = {
        seed: [
            found
            for found in setting.ended.values()
            if found.cell.seed == seed and found.result.has_scores
        ]
        for seed in setting.seeds
    }
    seed = max(by_seed, key=lambda seed: len(by_seed[seed]))
    return (seed, by_seed[seed]) if by_seed[seed] else (None, [])


def _read_panel(found: EndedCell, index: int, setting: Setting) -> Panel:
    iou, size = setting.iou(found.cell.loss, [found.cell.seed])[0], found.cell.size
    masks = read_masks(found.folder / "masks.npz", (len(iou), size, size))
    return Panel(found.cell.loss_name, index, iou, masks)


def _draw_pictures(
    cell: Cell, names: Sequence[str], panels: Sequence[Panel], library: Library, max_bytes: int
) -> list[Picture]:
    arrays = library.arrays(cell.data, cell.size)
    row_of = {name: row for row, name in enumerate(arrays.names)}
    pictures: list[Picture] = []
    num_bytes = 0
    for place in rank_images(np.array([panel.iou for panel in panels]))[:MAX_PICTURES]:
        name = names[place]
        if name not in row_of:
            raise DataError(f"{cell.data.path}: no image {name!r}, which was scored")
        image, truths = arrays.images[row_of[name]], arrays.masks[row_of[name]]
        truth = truths[place % len(truths)]
        picture = _draw_picture(name, place, image, truth, panels)
        num_bytes += len(picture.drawing)
        if pictures and num_bytes > max_bytes:
            break
        pictures.append(picture)
    return pictures


def rank_images(iou: NDArray[np.float64]) -> NDArray[np.intp]:
    """Largest disagreement first; a loss alone disagrees with the truth.

    Args:
        iou: Per-image IoU, shape (losses, images).
    """
    gap = np.ptp(iou, axis=0) if len(iou) > 1 else 1 - iou[0]
    return np.argsort(-gap, kind="stable")


def _draw_picture(
    name: str,
    place: int,
    image: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    panels: Sequence[Panel],
) -> Picture:
    size_px = len(truth)
    scores = [(panel.loss, float(panel.iou[place])) for panel in panels]
    layers = [_draw_outline(truth, "truth", "truth")]
    layers += [
        _draw_outline(panel.masks[place], svg.look(panel.index), panel.loss) for panel in panels
    ]
    said = ", ".join(f"{loss} {iou:.3f}" for loss, iou in scores)
    photo = svg.tag("image", href=photo_uri(image), width=size_px, height=size_px)
    alt = f"{name}: outlines of truth and predictions; IoU {said}"
    drawing = svg.drawing(alt, size_px, size_px, photo, *layers, class_="photo")
    note = "" if truth.any() else "no foreground in truth"
    return Picture(name, note, scores, drawing)


def _draw_outline(mask: NDArray[np.bool_], class_: str, title: str) -> Markup:
    """A line over a dark halo, to be seen on any background."""
    path = outline(mask)
    halo = svg.tag("path", d=path, class_="halo")
    return svg.tag(
        "g",
        halo,
        svg.tag("path", svg.tag("title", title), d=path, class_="edge"),
        class_=f"outline {class_}",
    )


def outline(mask: NDArray[np.bool_]) -> str:
    """The border of a mask as an SVG path in pixels, corners cut.

    The path goes through the middles of the pixel edges between foreground and background, which
    is where marching squares puts the contour of a hard mask at 1/2.
    """
    stride = -(-len(mask) // OUTLINE_PX)
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
        loops.append("M" + "L".join(f"{x:g} {y:g}" for x, y in _turns(middles)) + "z")
    return "".join(loops)


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


def photo_uri(image: NDArray[np.uint8]) -> str:
    """A photograph as a page can hold it, no larger than it is shown."""
    photo = Image.fromarray(image)
    if len(image) > PHOTO_PX:
        photo = photo.resize((PHOTO_PX, PHOTO_PX), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
