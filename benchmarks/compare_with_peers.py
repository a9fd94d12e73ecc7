"""Where the losses of other libraries differ, and who is right.

    python benchmarks/compare_with_peers.py docs/peers.md

Asks every library the same questions and writes the answers as a page. Right is what a float64
formula or a limit says, and stands beside each question.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from vesica.losses import IoULoss, JaccardMetricLoss, LossModule, LovaszHingeLoss

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import segmentation_models_pytorch as smp
    from kornia.losses import lovasz_hinge_loss as kornia_lovasz
    from monai.losses import DiceLoss as MonaiDice
    from monai.losses import MaskedDiceLoss

Loss = Callable[..., Tensor]
Answer = tuple[str, bool]
"""What came out, in words, and whether it is right."""


@dataclass(frozen=True)
class Question:
    """One row of a table.

    Attributes:
        text: What is asked.
        right: The right answer, and why.
        ask: Puts it to one loss.
    """

    text: str
    right: str
    ask: Callable[[Loss], Answer]


IOU: dict[str, Loss] = {
    "Vesica": IoULoss(),
    "smp": smp.losses.JaccardLoss("binary"),
    "MONAI": MonaiDice(sigmoid=True, jaccard=True),
}
LOVASZ: dict[str, Loss] = {
    "Vesica": LovaszHingeLoss(),
    "smp": smp.losses.LovaszLoss("binary", per_image=True),
    "kornia": lambda logits, target: kornia_lovasz(logits, target[:, 0].long()),
}


def gradient(loss: Loss, logits: Tensor, target: Tensor) -> tuple[float, Tensor]:
    """Value and derivative by the logits."""
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, target)
    (found,) = torch.autograd.grad(value, logits)
    return float(value.detach()), found


def exact_iou(logits: Tensor, target: Tensor) -> tuple[float, Tensor]:
    """The formula of one image in float64, its derivative by s(x) s(-x)."""
    x, t = logits.double(), target.double()
    p = x.sigmoid()
    inside, union = (p * t).sum(), (p + t - p * t).sum()
    slope = (-union * t + inside * (1 - t)) / union**2
    return float(1 - inside / union), slope * x.sigmoid() * (-x).sigmoid()


def scene(size_px: int, *, is_trained: bool) -> tuple[Tensor, Tensor]:
    """One image with a blob, and logits that know it, or do not."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((1, 1, 8, 8), generator=generator)
    target = (functional.interpolate(coarse, (size_px, size_px), mode="bilinear") > 0.4).float()
    noise = torch.randn(target.shape, generator=generator)
    return (4 * (2 * target - 1) + 2 * noise if is_trained else 0.05 * noise), target


def ask_empty_all_found(loss: Loss) -> Answer:
    logits = torch.full((1, 1, 8, 8), 4.0)
    value, found = gradient(loss, logits, torch.zeros_like(logits))
    pushed = float((found > 0).float().mean())
    return f"{value:.2f}, {pushed:.0%} of the pixels pushed down", pushed == 1


def ask_empty_none_found(loss: Loss) -> Answer:
    logits = torch.full((1, 1, 8, 8), -1e4)
    value, found = gradient(loss, logits, torch.zeros_like(logits))
    is_finite = bool(found.isfinite().all()) and value == value
    return f"{value:.2g}", is_finite and value < 1e-3


def ask_half_precision(loss: Loss) -> Answer:
    logits, target = scene(1024, is_trained=True)
    value, found = gradient(loss, logits.half(), target.half())
    exact, _ = exact_iou(logits.half(), target)
    is_right = abs(value - exact) < 1e-3 and bool(found.isfinite().all())
    return f"{value:.4f}", is_right


def ask_confident(dtype: torch.dtype, logit: float) -> Callable[[Loss], Answer]:
    def ask(loss: Loss) -> Answer:
        logits = torch.tensor([[[[logit, 3.0, -2.0, 1.0]]]]).to(dtype)
        target = torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]]]).to(dtype)
        found = gradient(loss, logits, target)[1].flatten()[0].double()
        exact = exact_iou(logits, target)[1].flatten()[0]
        return f"{float(found):.1e}", bool((found - exact).abs() < 0.02 * exact)

    return ask


def ask_mask_of_255(loss: Loss) -> Answer:
    logits, target = scene(64, is_trained=True)
    try:
        value, _ = gradient(loss, logits, 255 * target)
    except Exception as error:
        return f"{type(error).__name__}", isinstance(error, ValueError)
    return f"{value:.3g}", False


def ask_bool(loss: Loss) -> Answer:
    logits, target = scene(64, is_trained=True)
    expected = gradient(loss, logits, target)[0]
    try:
        value = gradient(loss, logits, target.bool())[0]
    except Exception as error:
        return f"{type(error).__name__}", False
    return "same" if abs(value - expected) < 1e-6 else f"{value:.3f}", abs(value - expected) < 1e-6


def ask_ignored(loss: Loss) -> Answer:
    logits, target = scene(64, is_trained=True)
    valid = torch.ones_like(target)
    valid[..., :10] = 0
    expected = gradient(loss, logits[..., 10:], target[..., 10:])[0]
    logits[..., :10] = torch.nan
    if isinstance(loss, IoULoss):
        value = float(loss(logits, target, valid))
    elif isinstance(loss, MonaiDice):
        value = float(MaskedDiceLoss(sigmoid=True, jaccard=True)(logits, target, valid))
    else:
        return "no such argument", False
    return f"{value:.4f}", abs(value - expected) < 1e-5


def ask_image_or_batch(loss: Loss) -> Answer:
    logits, target = (torch.cat([part, part.roll(300) ** 3]) for part in scene(64, is_trained=True))
    target[1] = 0
    target[1, ..., :3, :3] = 1
    per_image = sum(exact_iou(logits[i], target[i])[0] for i in (0, 1)) / 2
    pooled = exact_iou(logits, target)[0]
    value = gradient(loss, logits, target)[0]
    return ("per image" if abs(value - per_image) < abs(value - pooled) else "batch as one"), True


def ask_soft(loss: Loss) -> Answer:
    """Put it to the library's loss for soft labels."""
    for_soft: dict[Loss, Loss] = {
        IOU["Vesica"]: JaccardMetricLoss(),
        IOU["smp"]: IOU["smp"],
        IOU["MONAI"]: MonaiDice(sigmoid=True, jaccard=True, soft_label=True),
    }
    logits = torch.tensor([[[[0.0, 2.0, -1.0]]]])
    target = torch.tensor([[[[0.5, 0.3, 0.9]]]])
    found = float(gradient(for_soft[loss], logits, target)[1].flatten()[0])
    return f"{found:.2g}", found == 0


def ask_soft_kind(loss: Loss) -> Answer:
    logits, target = scene(64, is_trained=True)
    soft = 0.7 * target + 0.1
    value = gradient(loss, logits, soft)[0]
    ours = {"IoULoss": IoULoss(pool="batch"), "JaccardMetricLoss": JaccardMetricLoss(pool="batch")}
    names = [n for n, other in ours.items() if abs(float(other(logits, soft)) - value) < 1e-5]
    return " and ".join(names), bool(names)


def smooth_rows() -> list[str]:
    """What `smooth` of ours gives the value of theirs with `smooth=2`."""
    monai = partial(MonaiDice, sigmoid=True, smooth_nr=2, smooth_dr=2)
    peers: list[tuple[str, Loss, str]] = [
        ("smp `JaccardLoss`", smp.losses.JaccardLoss("binary", smooth=2), "iou"),
        ("smp `DiceLoss`", smp.losses.DiceLoss("binary", smooth=2), "dice"),
        ("MONAI `DiceLoss(jaccard=True)`", monai(jaccard=True), "iou"),
        ("MONAI `DiceLoss`", monai(), "dice"),
    ]
    logits, target = scene(16, is_trained=False)
    lines = ["| with `smooth=2` (MONAI: both) | Vesica, the same value |", "| --- | --- |"]
    for name, loss, ours in peers:
        theirs = float(loss(logits, target))
        spellings = [f"{ours}:smooth={smooth}" for smooth in (0.5, 1, 2, 4, 8)]
        same = [s for s in spellings if abs(LossModule(s)(logits, target) - theirs) < 1e-6]
        lines.append(f"| {name} | {' or '.join(f'`{spelling}`' for spelling in same)} |")
    return lines


def exact_lovasz(logits: Tensor, target: Tensor) -> Tensor:
    """The derivative by the paper's subtraction, which float64 has digits enough for."""
    side = 1 - 2 * target.double().view(-1)
    margins = logits.double().view(-1) * side
    order = margins.argsort(descending=True)
    label = target.view(-1)[order].double()
    jaccard = 1 - (label.sum() - label.cumsum(0)) / (label.sum() + (1 - label).cumsum(0))
    slope = torch.zeros_like(margins)
    slope[order] = torch.diff(jaccard, prepend=jaccard.new_zeros(1))
    return (slope * side * (margins > -1)).view_as(logits)


def ask_cancellation(*, is_trained: bool) -> Callable[[Loss], Answer]:
    def ask(loss: Loss) -> Answer:
        logits, target = scene(1024, is_trained=is_trained)
        exact = exact_lovasz(logits, target)
        found = gradient(loss, logits, target)[1].double()
        error = float((found - exact).norm() / exact.norm())
        return f"{error:.0e}", error < 1e-5

    return ask


def ask_lovasz_empty(loss: Loss) -> Answer:
    logits = torch.linspace(1, 4, 64).view(1, 1, 8, 8)
    value, found = gradient(loss, logits, torch.zeros_like(logits))
    return f"{value:.2f}, {int((found > 0).sum())} of 64 pixels pushed down", bool(
        (found > 0).all()
    )


def ask_lovasz_half(loss: Loss) -> Answer:
    logits, target = scene(1024, is_trained=True)
    exact = gradient(LovaszHingeLoss(), logits.half().double(), target)[0]
    try:
        value = gradient(loss, logits.half(), target.half())[0]
    except Exception as error:
        return f"{type(error).__name__}", False
    return f"{value:.4f}", abs(value - exact) < 1e-3 * exact


IOU_QUESTIONS = [
    Question(
        "Empty target, all predicted foreground: value; gradient",
        "every pixel pushed down: all of them are wrong",
        ask_empty_all_found,
    ),
    Question(
        "Empty target, logits -1e4: value", "0 or near it: all is right", ask_empty_none_found
    ),
    Question(
        "1024x1024 in float16: value",
        f"{exact_iou(*[part.half() for part in scene(1024, is_trained=True)])[0]:.4f} in float64; "
        "a sum past 65504 is infinite",
        ask_half_precision,
    ),
    Question(
        "Confident false positive, bfloat16, logit 10: gradient",
        "positive, as s(x) s(-x) is; p (1 - p) rounds to 0",
        ask_confident(torch.bfloat16, 10.0),
    ),
    Question(
        "Confident false positive, float32, logit 20: gradient",
        "positive, as above",
        ask_confident(torch.float32, 20.0),
    ),
    Question("Mask of 0 and 255: value", "an error: no loss is below 0", ask_mask_of_255),
    Question("Bool target", "the value of the same mask as floats", ask_bool),
    Question(
        "NaN logits under ignored pixels: value",
        "that of the image without them",
        ask_ignored,
    ),
    Question(
        "Soft target, a pixel at p = t beside wrong ones: gradient there",
        "0: moving it either way makes the loss larger",
        ask_soft,
    ),
    Question(
        "Soft targets: the value of", "a convention; only the second is 0 at p = t", ask_soft_kind
    ),
    Question("Two images by default", "a convention, not an error", ask_image_or_batch),
]
LOVASZ_QUESTIONS = [
    Question(
        "Float32 gradient at 1024x1024, trained-like: relative L2 error",
        "below 1e-5: J[k] - J[k-1] cancels, 1/U and I/(U(U+1)) do not",
        ask_cancellation(is_trained=True),
    ),
    Question("The same, initial logits", "as above", ask_cancellation(is_trained=False)),
    Question(
        "Empty target, all predicted foreground: value; gradient",
        "every pixel pushed down: all of them are wrong (Berman's formula: the worst one alone)",
        ask_lovasz_empty,
    ),
    Question("1024x1024 in float16: value", "as in float64", ask_lovasz_half),
    Question("Mask of 0 and 255: value", "an error", ask_mask_of_255),
    Question("Bool target", "the value of the same mask as floats", ask_bool),
]


def table(losses: dict[str, Loss], questions: list[Question]) -> list[str]:
    """Markdown; a wrong answer is crossed out."""
    lines = [
        f"| | {' | '.join(losses)} | right, and why |",
        "| --- |" + " --- |" * (len(losses) + 1),
    ]
    for question in questions:
        answers = [question.ask(loss) for loss in losses.values()]
        cells = [text if is_right else f"~~{text}~~" for text, is_right in answers]
        lines.append(f"| {question.text} | {' | '.join(cells)} | {question.right} |")
    return lines


def make_page() -> str:
    """The whole page."""
    names = ("segmentation-models-pytorch", "monai", "kornia", "torch")
    return "\n".join(
        [
            "# Where other libraries differ, and who is right",
            "",
            "The same questions to each library, in the set-up that its users have; what is wrong "
            "is crossed out. `make peers` asks them and writes this page. "
            + ", ".join(f"{name} {version(name).partition('+')[0]}" for name in names)
            + ".",
            "",
            "## Soft IoU (smp `JaccardLoss`, MONAI `DiceLoss(jaccard=True)`)",
            "",
            *table(IOU, IOU_QUESTIONS),
            "",
            "## What `smooth` adds to",
            "",
            "Vesica adds it to numerator and denominator as its formula is printed: I / U of IoU, "
            "2 I / (sum(p) + sum(t)) of Dice. smp's Dice counts it twice, MONAI's Jaccard by half.",
            "",
            *smooth_rows(),
            "",
            "## Lovasz hinge (smp `LovaszLoss`, kornia `lovasz_hinge_loss`)",
            "",
            *table(LOVASZ, LOVASZ_QUESTIONS),
            "",
            "On ordinary input, where none of this matters, all of them agree: a test compares "
            "values and gradients.",
            "",
        ]
    )


def main() -> None:
    """Ask, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    page = parser.parse_args().page
    warnings.simplefilter("ignore")  # the peers' own
    page.write_text(make_page(), encoding="utf-8")
    print(page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
