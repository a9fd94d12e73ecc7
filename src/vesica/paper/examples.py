"""Figures 1 to 6 of the paper: one test image, its labels, and what both losses make of it."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from PIL import Image

from vesica.data.library import Library
from vesica.data.sample import Mask, Pixels
from vesica.errors import DataError
from vesica.judge import Judgement, Setting
from vesica.paper.grid import named
from vesica.paper.published import LOSSES, Loss
from vesica.paper.replication import NETWORKS
from vesica.plan import Cell, replace
from vesica.report import svg
from vesica.report.photos import photo_uri
from vesica.report.sections import Pictures, Section
from vesica.results import EndedCell, read_masks

TITLE = "Figures 1 to 6"
PREFERRED = ("bfcn32s", "lfw", "face", "big")
"""Network, layout and target of the paper's examples; which split they are of, it does not say."""

HAIR, FACE, BACKGROUND = (255, 0, 0), (0, 255, 0), (0, 0, 255)
"""The colours of LFW's labels."""


def examples_section(judged: Judgement) -> Section | None:
    """The six figures from the run's own images; None while no set-up has both losses.

    The test image is the one whose per-image IoU, mean of both losses, is the median: neither the
    best nor the worst, and nobody's choice.
    """
    found = _choose(judged.of_weights)
    if found is None:
        return None
    setting, by_loss = found
    cell = by_loss["iou"].cell
    try:
        pictures = _draw(setting, by_loss, judged.library)
    except (DataError, OSError) as error:
        return Section(TITLE, [f"The test images cannot be shown: {error}"])
    hair = "hair" if cell.data.target == "face+hair" else "no hair"
    opening = (
        f"{NETWORKS[cell.network_name]} on {cell.data.name}, {cell.data.split}, {hair}, seed "
        f"{cell.seed}: the test image of median IoU, mean of both losses. The paper's are of "
        "BFCN-32s on LFW without hair, and it does not say how it chose them."
    )
    return Section(TITLE, [opening, pictures])


def _choose(settings: Sequence[Setting]) -> tuple[Setting, dict[Loss, EndedCell]] | None:
    """Both losses of the set-up nearest to the paper's examples, of the lowest seed."""
    whole = []
    for setting in settings:
        for seed in setting.seeds:
            by_loss = {
                named(found.cell.loss): found
                for found in setting.ended.values()
                if found.cell.seed == seed and found.result.has_scores
            }
            if len(by_loss) == len(LOSSES):
                whole.append((setting, by_loss))
    return min(whole, key=lambda pair: _distance(pair[1]["iou"].cell), default=None)


def _distance(cell: Cell) -> tuple[int | bool, ...]:
    fields = cell.network_name, cell.data.format, cell.data.target, cell.data.split
    return (*(a != b for a, b in zip(fields, PREFERRED, strict=True)), cell.seed)


def _draw(setting: Setting, by_loss: dict[Loss, EndedCell], library: Library) -> Pictures:
    assert setting.scores is not None
    iou = {
        loss: setting.iou(found.cell.loss, [found.cell.seed])[0] for loss, found in by_loss.items()
    }
    mean = np.mean([iou[loss] for loss in LOSSES], axis=0)
    place = int(np.argsort(mean, kind="stable")[len(mean) // 2])
    name = setting.scores.names[place]
    image, face, whole = _read_labels(by_loss["iou"].cell, name, library)
    colours = np.where(whole[..., None], HAIR, BACKGROUND).astype(np.uint8)
    colours[face] = FACE
    items = [
        _figure("1: input", f"test image {name}", photo_uri(image), image),
        _label("2: label in three classes", "hair red, face green", colours),
        _label("3: label with hair", "foreground white", whole),
        _label("4: label without hair", "foreground white", face),
    ]
    for number, loss in enumerate(LOSSES, start=5):
        size = by_loss[loss].cell.size
        masks = by_loss[loss].folder / "masks.npz"
        output = read_masks(masks, (len(mean), size, size))[place]
        said = f"IoU of this mask {iou[loss][place]:.3f}"
        items.append(_label(f"{number}: trained with {loss}", said, output))
    return Pictures(items)


def _read_labels(cell: Cell, name: str, library: Library) -> tuple[Pixels, Mask, Mask]:
    """Pixels, face, and face with hair of one image, as they are on the disk."""
    masks = []
    for target in ("face", "face+hair"):
        dataset = library.dataset(replace(cell, target=target).data)
        sample = next((sample for sample in dataset.samples if sample.name == name), None)
        if sample is None:
            raise DataError(f"{cell.data.path}: no image {name}")
        image, mask, *_ = dataset.read(sample)
        masks.append(mask)
    return image, masks[0], masks[1]


def _label(title: str, said: str, pixels: Pixels | Mask) -> tuple[str, str, Markup]:
    """Enlarged without smoothing: its pixels are to be seen."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    uri = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return _figure(title, said, uri, pixels, style="image-rendering: pixelated")


def _figure(
    title: str, said: str, href: str, pixels: Pixels | Mask, **attributes: str
) -> tuple[str, str, Markup]:
    height, width = pixels.shape[:2]
    inner = svg.tag("image", href=href, width=width, height=height, **attributes)
    drawing = svg.drawing(f"Figure {title}", width, height, inner, class_="photo")
    return f"Figure {title}", said, drawing
