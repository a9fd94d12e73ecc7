"""The test images of a setting: all that the page has room for, and doubtful labels."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vesica.data.library import Library, object_size
from vesica.errors import DataError
from vesica.judge import (
    MIN_RUNS,
    Doubt,
    ScoredImages,
    Setting,
    Votes,
    contradicted,
    find_doubts,
    open_images,
    read_votes,
)
from vesica.report import svg
from vesica.report.photos import OUTLINE_PX, PHOTO_PX, draw_area, draw_outline, draw_photo
from vesica.spelling import shown
from vesica.words import count_of

MAX_BYTES = 14_000_000
"""Of all pictures of a page."""

MAX_PICTURES = 1000
NUM_FIRST = 24
"""Shown in the usual size; where there are more, all are drawn smaller."""

SMALL_PX = 144
NUM_DOUBTS = 12


@dataclass(frozen=True)
class Picture:
    """One test image.

    Attributes:
        anchor: Names it in the page.
        scores: Pairs of a loss and its per-image IoU.
        spread: The largest difference between these.
        density: Share of foreground.
        object_px: Pixels across of the object that a median foreground pixel is in; 0: none.
    """

    anchor: str
    name: str
    note: str
    scores: list[tuple[str, float]]
    drawing: Markup
    spread: float
    density: float
    object_px: float


@dataclass(frozen=True)
class Filter:
    """What the pictures can be divided by: names of the parts, and each picture's part."""

    name: str
    parts: list[str]
    part: list[int]


@dataclass(frozen=True)
class Gallery:
    """The pictures of a group.

    Attributes:
        losses: Whose predictions are outlined, with their place in the group.
        seed: Whose runs they are.
        why_none: A sentence where there are no pictures.
    """

    losses: list[tuple[int, str]]
    seed: int | None
    num_test: int
    pictures: list[Picture]
    filters: list[Filter]
    why_none: str = ""


@dataclass(frozen=True)
class DoubtfulLabels:
    """Labels to look at.

    Attributes:
        pictures: The most doubtful, with what is said of each.
        why_none: A sentence where there are none.
    """

    pictures: list[tuple[Doubt, str, Markup]]
    num_test: int
    num_runs: int
    why_none: str = ""


@dataclass(frozen=True)
class Seen:
    """What can be shown of a setting's test images; or why nothing can."""

    images: ScoredImages | None = None
    votes: Votes | None = None
    why_none: str = ""


def look_at(setting: Setting, library: Library) -> Seen:
    """Open the test images and read what the runs drew."""
    if setting.scores is None or not any(map(setting.seeds_of, setting.losses)):
        return Seen(why_none="No run of this setting has predictions yet.")
    try:
        return Seen(open_images(setting, library), read_votes(setting))
    except (DataError, OSError) as error:
        return Seen(why_none=f"The test images cannot be shown: {error}")


# The gallery


def make_gallery(setting: Setting, seen: Seen, anchor: str, max_bytes: int) -> Gallery:
    """Draw the test images, those on which the losses differ most first."""
    images, votes = seen.images, seen.votes
    if images is None or votes is None or setting.scores is None:
        return Gallery([], None, 0, [], [], seen.why_none)
    order = rank_images(np.array([setting.iou(loss, [votes.seed])[0] for loss in votes.of]))
    order = order[setting.scores.counted[order]]
    photo_px = PHOTO_PX if len(order) <= 2 * NUM_FIRST else SMALL_PX
    pictures: list[Picture] = []
    num_bytes = 0
    for place in order[:MAX_PICTURES].tolist():
        picture = _draw_picture(setting, images, votes, place, f"{anchor}-image-{place}", photo_px)
        num_bytes += len(picture.drawing)
        if pictures and num_bytes > max_bytes:
            break
        pictures.append(picture)
    losses = [(setting.losses.index(loss), shown(loss)) for loss in votes.of]
    filters = [
        _divide("foreground", [100 * p.density for p in pictures], " %"),
        _divide("object size", [p.object_px for p in pictures], " px"),
    ]
    useful = [found for found in filters if len(found.parts) > 1]
    return Gallery(losses, votes.seed, len(order), pictures, useful)


def rank_images(iou: NDArray[np.float64]) -> NDArray[np.intp]:
    """Largest disagreement first; a loss alone disagrees with the truth.

    Args:
        iou: Per-image IoU, shape (losses, images).
    """
    return np.argsort(-_spread(iou), kind="stable")


def _spread(iou: NDArray[np.float64]) -> NDArray[np.float64]:
    spread: NDArray[np.float64] = np.ptp(iou, axis=0) if len(iou) > 1 else 1 - iou[0]
    return spread


def _draw_picture(
    setting: Setting, images: ScoredImages, votes: Votes, place: int, anchor: str, photo_px: int
) -> Picture:
    assert setting.scores is not None
    truth, name = images.truth(place), setting.labels[place]
    iou = np.array([[setting.iou(loss, [votes.seed])[0, place]] for loss in votes.of])
    scores = [(shown(loss), float(value)) for loss, (value,) in zip(votes.of, iou, strict=True)]
    outline_px = OUTLINE_PX if photo_px == PHOTO_PX else SMALL_PX
    layers = [draw_outline(truth, "truth", "truth", outline_px)]
    for loss, drawn in votes.of.items():
        look = svg.look(setting.losses.index(loss))
        layers += [draw_outline(drawn[place], look, shown(loss), outline_px)]
    said = ", ".join(f"{loss} {value:.3f}" for loss, value in scores)
    alt = f"{name}: outlines of truth and predictions; IoU {said}"
    return Picture(
        anchor=anchor,
        name=name,
        note="" if truth.any() else "no foreground in truth",
        scores=scores,
        drawing=draw_photo(alt, images.image(place), layers, photo_px),
        spread=float(_spread(iou)[0]),
        density=float(truth.mean()),
        object_px=object_size(truth[None]) if truth.any() else 0.0,
    )


def _divide(name: str, values: Sequence[float], unit: str) -> Filter:
    """Thirds of the values above zero, and those of zero."""
    array = np.array(values)
    above = array[array > 0]
    edges = np.unique(np.quantile(above, [1 / 3, 2 / 3])) if len(above) else np.array([])
    said = [f"{edge:.2g}" if edge < 100 else f"{edge:.0f}" for edge in edges]
    parts = [f"up to {said[0]}{unit}"] if said else []
    parts += [f"{low} to {high}{unit}" for low, high in itertools.pairwise(said)]
    parts += [f"above {said[-1]}{unit}"] if said else []
    part = np.where(array > 0, np.searchsorted(edges, array), len(parts))
    named = [*parts, "none"]
    used = np.unique(part).tolist()
    return Filter(name, [named[n] for n in used], [used.index(n) for n in part.tolist()])


# Labels


def show_doubts(setting: Setting, seen: Seen) -> DoubtfulLabels:
    """The labels that all runs contradict most."""
    images, votes = seen.images, seen.votes
    if images is None or votes is None:
        return DoubtfulLabels([], 0, 0, seen.why_none)
    if votes.num_runs < MIN_RUNS:
        runs = count_of(votes.num_runs, "run")
        why = f"It takes {MIN_RUNS} runs that agree; {runs} of this setting learned something."
        return DoubtfulLabels([], len(images), votes.num_runs, why)
    doubts = find_doubts(setting, images, votes)
    worst = [doubt for doubt in doubts[:NUM_DOUBTS] if doubt.patch]
    pictures = [(d, say_patch(d), _draw_doubt(d, images, votes)) for d in worst]
    why = "" if worst else "No label is contradicted by all runs."
    return DoubtfulLabels(pictures, len(images), votes.num_runs, why)


def say_patch(doubt: Doubt) -> str:
    """What all runs say against a label."""
    patch = doubt.patch
    if patch is None:
        return ""
    says = "drawn by all runs, not in the mask"
    if not patch.is_missing:
        says = "in the mask, drawn by none"
    return f"{100 * patch.share:.2g} % of the image {says}"


def _draw_doubt(doubt: Doubt, images: ScoredImages, votes: Votes) -> Markup:
    truth, every = images.truth(doubt.place), votes.every[doubt.place]
    against = contradicted(truth, every, votes.any[doubt.place])
    layers = [
        draw_area(against, "all runs say the opposite"),
        draw_outline(truth, "truth", "mask"),
        draw_outline(every, "all-runs", "drawn by all runs"),
    ]
    alt = f"{doubt.name}: {say_patch(doubt)}"
    return draw_photo(alt, images.image(doubt.place), layers)
