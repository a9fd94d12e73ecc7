"""Labels to look at: test images whose runs agree with each other and disagree with the mask.

All runs together say of each pixel that it is foreground (all draw it), background (none does), or
that they do not know. Of all masks that fit this, the one that is nearest to the label is the most
that can be said for the label; where even that one is far from it, either all networks fail in
the same way, or the label is wrong. Which one, a look tells.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesica.judge.images import Mask, ScoredImages, Votes
from vesica.judge.setting import Setting

MIN_RUNS = 2
"""One run agrees with itself, which says nothing."""


@dataclass(frozen=True)
class Patch:
    """The largest connected part of what all runs say against a label, in shares of the sides.

    Attributes:
        is_missing: All runs draw what the label lacks; else none draws what it has.
        share: Of the image's pixels.
    """

    is_missing: bool
    share: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Doubt:
    """A label, and what the runs say against it.

    Attributes:
        place: Of the image among the test images.
        name: Of the image.
        doubt: 1 minus the IoU of the label with the mask nearest to it that all runs allow.
        iou: Of the runs' own masks with it, the mean.
        patch: None where there is no pixel of it.
    """

    place: int
    name: str
    doubt: float
    iou: float
    patch: Patch | None


def find_doubts(setting: Setting, images: ScoredImages, votes: Votes) -> list[Doubt]:
    """Every test image, the most doubtful label first; none where too few runs can agree."""
    if votes.num_runs < MIN_RUNS or setting.scores is None:
        return []
    iou = np.nanmean(setting.scores.iou["half"], axis=(0, 1))
    found = []
    for place, name in enumerate(setting.labels):
        every, any_, truth = votes.every[place], votes.any[place], images.truth(place)
        doubt, against = doubt_of(truth, every, any_), contradicted(truth, every, any_)
        found.append(
            (against.sum(), Doubt(place, name, doubt, float(iou[place]), _patch(against, truth)))
        )
    return [doubt for _, doubt in sorted(found, key=lambda f: (-f[1].doubt, -f[0], f[1].place))]


def doubt_of(truth: Mask, every: Mask, any_: Mask) -> float:
    """1 minus the IoU of a label with the nearest mask between two others, one within the other.

    Args:
        truth: The label.
        every: What all runs draw.
        any_: What one of them draws at least.
    """
    # The nearest mask follows the label wherever the runs leave it open.
    union = int((truth | every).sum())
    return 1 - int((truth & any_).sum()) / union if union else 0.0


def contradicted(truth: Mask, every: Mask, any_: Mask) -> Mask:
    """Pixels of which all runs say the same and the label says the opposite."""
    against: Mask = (every & ~truth) | (truth & ~any_)
    return against


def _patch(against: Mask, truth: Mask) -> Patch | None:
    largest: tuple[int, NDArray[np.bool_] | None] = 0, None
    for part in (against & ~truth, against & truth):
        labels, num = ndimage.label(part)
        if num:
            sizes = np.bincount(labels.ravel())[1:]
            if sizes.max() > largest[0]:
                largest = int(sizes.max()), labels == 1 + int(sizes.argmax())
    if (patch := largest[1]) is None:
        return None
    height, width = patch.shape
    ys, xs = np.flatnonzero(patch.any(axis=1)), np.flatnonzero(patch.any(axis=0))
    return Patch(
        is_missing=not truth[patch].any(),
        share=float(patch.mean()),
        left=float(xs[0] / width),
        top=float(ys[0] / height),
        right=float((xs[-1] + 1) / width),
        bottom=float((ys[-1] + 1) / height),
    )
