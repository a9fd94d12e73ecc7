"""Figures 1 to 6 of the paper: one test image, its labels, and what both losses make of it."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from vesica import metrics
from vesica.data.library import Library
from vesica.data.sample import Mask, Pixels
from vesica.errors import DataError
from vesica.plan import Cell, replace
from vesica.plans.paper import loss_of
from vesica.published.tables import LOSSES, Loss
from vesica.replication import NETWORKS, folder_name
from vesica.report import svg
from vesica.report.pictures import photo_uri
from vesica.report.sections import Pictures, Section
from vesica.results import CellResult, read_cell, read_masks, read_test_scores

TITLE = "Figures 1 to 6"
PREFERRED = ("bfcn32s", "lfw", "face", "big")
"""Network, layout and target of the paper's examples; which split they are of, it does not say."""

HAIR, FACE, BACKGROUND = (255, 0, 0), (0, 255, 0), (0, 0, 255)
"""The colours of LFW's labels."""

Pair = dict[Loss, CellResult]
Item = tuple[str, str, Markup]


def example_section(run: Path, cells: Sequence[Cell]) -> Section | None:
    """The six figures from the run's own images; None while no pair of cells has both losses.

    The test image is the one whose per-image IoU, mean of both losses, is the median: neither the
    best nor the worst, and nobody's choice.
    """
    pair = _choose_pair(run, cells)
    if pair is None:
        return None
    cell = pair["iou"].cell
    try:
        pictures = _draw(pair)
    except (DataError, OSError, ValueError, KeyError, BadZipFile) as error:
        return Section(TITLE, [f"The test images cannot be shown: {error}"])
    hair = "hair" if cell.data.target == "face+hair" else "no hair"
    opening = (
        f"{NETWORKS[cell.model]} on {folder_name([cell])}, {cell.data.split}, {hair}, seed "
        f"{cell.seed}: the test image of median IoU, mean of both losses. The paper's are of "
        "BFCN-32s on LFW without hair, and it does not say how it chose them."
    )
    return Section(TITLE, [opening, pictures])


def _choose_pair(run: Path, cells: Sequence[Cell]) -> Pair | None:
    """The pair nearest to the paper's examples, of the lowest seed."""
    pairs: dict[str, Pair] = {}
    for cell in cells:
        found = read_cell(run, cell)
        if found is not None and found.has_scores:
            key = f"{cell.setting()} {cell.seed}"
            pairs.setdefault(key, {})["bce" if loss_of(cell) == "bce" else "iou"] = found
    whole = [pair for pair in pairs.values() if len(pair) == len(LOSSES)]
    return min(whole, key=lambda pair: _distance(pair["iou"].cell), default=None)


def _distance(cell: Cell) -> tuple[int | bool, ...]:
    fields = cell.model, cell.data.format, cell.data.target, cell.data.split
    return (*(a != b for a, b in zip(fields, PREFERRED, strict=True)), cell.seed)


def _draw(pair: Pair) -> Pictures:
    scores = {loss: read_test_scores(found) for loss, found in pair.items()}
    iou = {loss: metrics.iou(scores[loss].counts) for loss in LOSSES}
    mean = np.mean(list(iou.values()), axis=0)
    place = int(np.argsort(mean, kind="stable")[len(mean) // 2])
    name = scores["iou"].names[place]
    image, face, whole = _read_labels(pair["iou"].cell, name)
    items = [
        _figure("1: input", f"test image {name}", photo_uri(image), image),
        _label("2: label in three classes", "hair red, face green", _colour(face, whole)),
        _label("3: label with hair", "foreground white", whole),
        _label("4: label without hair", "foreground white", face),
    ]
    for number, loss in enumerate(LOSSES, start=5):
        output = read_masks(pair[loss].folder / "masks.npz")[place]
        said = f"IoU of this mask {iou[loss][place]:.3f}"
        items.append(_label(f"{number}: trained with {loss}", said, output))
    return Pictures(items)


def _read_labels(cell: Cell, name: str) -> tuple[Pixels, Mask, Mask]:
    """Pixels, face, and face with hair of one image, as they are on the disk."""
    masks = []
    for target in ("face", "face+hair"):
        dataset = Library().dataset(replace(cell, target=target).data)
        sample = next((sample for sample in dataset.samples if sample.name == name), None)
        if sample is None:
            raise DataError(f"{cell.data.path}: no image {name}")
        image, mask = dataset.read(sample)
        masks.append(mask)
    return image, masks[0], masks[1]


def _colour(face: Mask, whole: Mask) -> Pixels:
    label = np.empty((*face.shape, 3), dtype=np.uint8)
    label[:] = BACKGROUND
    label[whole] = HAIR
    label[face] = FACE
    return label


def _label(title: str, said: str, pixels: Pixels | Mask) -> Item:
    """Enlarged without smoothing: its pixels are to be seen."""
    return _figure(title, said, _png_uri(pixels), pixels, style="image-rendering: pixelated")


def _figure(title: str, said: str, href: str, pixels: Pixels | Mask, **attributes: str) -> Item:
    height, width = pixels.shape[:2]
    inner = svg.tag("image", href=href, width=width, height=height, **attributes)
    drawing = svg.drawing(f"Figure {title}", width, height, inner, class_="photo")
    return f"Figure {title}", said, drawing


def _png_uri(pixels: NDArray[np.uint8] | Mask) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
