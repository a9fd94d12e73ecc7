"""Draw what each loss sees: the gradient that it sends to each pixel of one prediction.

    python benchmarks/draw_gradients.py docs/what-each-loss-sees.md

Writes the page and, beside it in `images/`, a picture for each object.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from vesica.losses import LOSSES, parse_loss

mpl.use("Agg")

SIZE_PX = 96
OF_CLASSES = ("ce", "softmax_focal")
"""For two classes the first is bce, and the second focal without alpha."""

COLUMNS = [*(name for name in LOSSES if name not in OF_CLASSES), "iou:empty=formula"]


@dataclass(frozen=True)
class Scene:
    """One object and one prediction of it.

    Attributes:
        name: Of the picture.
        what: The object, in words.
        truth: Its mask.
        logits: The prediction.
    """

    name: str
    what: str
    truth: NDArray[np.bool_]
    logits: NDArray[np.float32]


def scenes() -> list[Scene]:
    """A large, a thin, a tiny and an empty object, each with the same kinds of mistakes."""
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    large = ((x - 44) / 30) ** 2 + ((y - 50) / 36) ** 2 < 1
    thin = np.abs(y - 52 - 22 * np.sin(x / 16)) < 1.8
    tiny = (x - 40) ** 2 + (y - 44) ** 2 < 3.2**2
    none = np.zeros_like(large)
    return [
        Scene("large", "a large object", large, predict(large)),
        Scene("thin", "a thin object", thin, predict(thin)),
        Scene("tiny", "a tiny object", tiny, predict(tiny)),
        Scene("empty", "no object at all", none, predict(none)),
    ]


def predict(truth: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mostly right; misses a part, finds something in the corner, unsure at the edges."""
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    found = truth & ~((x > 38) & (y < 44))
    found = found | ((x - 80) ** 2 + (y - 16) ** 2 < 7**2)
    distance = ndimage.distance_transform_edt(found) - ndimage.distance_transform_edt(~found)
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=truth.shape), 2)
    return (6 * np.tanh(distance / 4) + 4 * noise).astype(np.float32)


def gradient(loss: str, scene: Scene) -> NDArray[np.float32]:
    """Of the loss by each logit, shape (height, width)."""
    logits = torch.from_numpy(scene.logits[None]).requires_grad_()
    value = parse_loss(loss)(logits, torch.from_numpy(scene.truth[None]))
    (found,) = torch.autograd.grad(value.sum(), logits)
    result: NDArray[np.float32] = found[0].numpy()
    return result


def shares(scene: Scene, found: NDArray[np.float32]) -> dict[str, float]:
    """How much of the gradient's absolute sum goes to each kind of pixel, and how much there is."""
    pred, size = scene.logits > 0, np.abs(found)
    total = float(size.sum())
    kinds = {
        "missed": scene.truth & ~pred,
        "too much": ~scene.truth & pred,
        "right, foreground": scene.truth & pred,
        "right, background": ~scene.truth & ~pred,
    }
    parts = {
        kind: float(size[where].sum()) / total if total else 0 for kind, where in kinds.items()
    }
    return {"sum": total, **parts}


def draw(scene: Scene, target: Path) -> None:
    """One picture: the prediction, then each loss's gradient, scaled to its own largest value."""
    num_columns = (len(COLUMNS) + 2) // 2
    size = (2.2 * num_columns, 5.0)
    figure, axes = plt.subplots(2, num_columns, figsize=size, layout="constrained")
    first, *others = axes.ravel()
    for unused in others[len(COLUMNS) :]:
        unused.remove()
    first.imshow(1 / (1 + np.exp(-scene.logits)), cmap="gray", vmin=0, vmax=1)
    first.set_title("prediction, true outline", fontsize=9)
    for axis, loss in zip(others, COLUMNS, strict=False):
        found = gradient(loss, scene)
        limit = float(np.abs(found).max()) or 1
        # The root shows what is small beside the largest; its sign stays.
        shown = np.sign(found) * np.sqrt(np.abs(found) / limit)
        axis.imshow(-shown, cmap="RdBu_r", vmin=-1, vmax=1)
        axis.set_title(f"{loss}\nlargest {np.abs(found).max():.1e}", fontsize=9)
    for axis in figure.axes:
        axis.set_xticks([])
        axis.set_yticks([])
        if scene.truth.any():
            axis.contour(scene.truth, [0.5], colors="#2ca02c", linewidths=0.8)
    figure.savefig(target, dpi=90, metadata={"Software": None})
    plt.close(figure)


def section(scene: Scene) -> str:
    """The picture with its numbers."""
    rows = []
    for loss in COLUMNS:
        found = shares(scene, gradient(loss, scene))
        cells = [f"{100 * found[kind]:.0f} %" for kind in list(found)[1:]]
        rows.append(f"| `{loss}` | {found['sum']:.1e} | {' | '.join(cells)} |")
    return "\n".join(
        [
            f"## {scene.what.capitalize()}",
            "",
            f"{scene.truth.mean():.1%} of the pixels are foreground.",
            "",
            f"![Gradients of every loss for {scene.what}](images/gradients-{scene.name}.png)",
            "",
            "| loss | sum of sizes | missed | too much | right, foreground | right, background |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )


INTRODUCTION = """# What each loss sees

The gradient that each loss sends to each pixel of one and the same prediction. Red: the loss wants
a higher score there; blue: a lower one; white: it does not care. The green line is the true
outline. Every prediction makes the same mistakes: it misses the object's upper right part, finds
something in the corner where nothing is, and is unsure along the edges. Colours show the square
root, each picture scaled to its own largest value, which stands above it. The tables say how the
absolute gradient is divided among four kinds of pixels.

`make pictures` draws this page.
"""

SUMMARY = """## What to take from it

- **`bce`** divides every image's gradient by the number of its pixels, so the smaller the object,
  the less of the gradient is about it: the sum of sizes falls with the wrong pixels' share.
- **`focal`** sends nearly all of it to wrong pixels, to one of the background three times as much
  as to one of the foreground that is as wrong (alpha is 1/4), and less in all.
- **`iou`**, **`dice`** and **`tversky`** multiply by s(x) s(-x): a pixel that is wrong and sure of
  it (the middle of the missed part, or of the false find) gets little, the unsure edges most. They
  divide by the object's area, so that a tiny object's gradient is as large as a large one's.
- **`jaccard_distance`** (squares) adds another factor p to a false find's gradient;
  **`jaccard_metric`** equals `iou` where masks are hard, and differs where labels are soft.
- **`lovasz_hinge`** looks at wrong pixels and those within the margin alone, most at the worst.
- **`lovasz_softmax`** ranks the pixels likewise and multiplies by s(x) s(-x), as `iou` does.
- **`topk`** is `bce` of the worst tenth of the pixels: ten times as much for each of them, nothing
  for the others. Where less than a tenth is wrong, pixels that are right are among them.
- **No object:** as the formula says (`iou:empty=formula`), IoU has no gradient at all, and whatever
  a network finds there stays. Vesica's default, `empty=background`, judges such an image by the
  IoU of its background.
"""


def main() -> None:
    """Write the page and its pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    page = parser.parse_args().page
    images = page.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    found = scenes()
    for scene in found:
        draw(scene, images / f"gradients-{scene.name}.png")
    text = "\n".join([INTRODUCTION, *map(section, found), SUMMARY])
    page.write_text(text, encoding="utf-8")
    print(f"{page}: {len(found)} objects, {len(COLUMNS)} losses")


if __name__ == "__main__":
    main()
