"""The Lovasz-softmax loss: Berman's algorithm class by class, smp's, numerics and extremes."""

import warnings

import numpy as np
import pytest
import reference
import torch
from test_losses import draw
from torch import Tensor

from vesica.losses import (
    LossModule,
    LovaszSoftmaxLoss,
    lovasz_hinge_loss,
    lovasz_softmax_loss,
)
from vesica.losses.rows import Pool

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # smp's own
    import segmentation_models_pytorch as smp


def draw_classes(num: int = 5) -> tuple[Tensor, Tensor]:
    """Scores of 4 classes, of which some images have two and none has the last."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn((num, 4, 6, 7), generator=generator, dtype=torch.float64)
    classes = torch.randint(0, 3, (num, 6, 7), generator=generator)
    classes[1] = classes[1].clamp_max(1)
    return logits, classes


def by_berman(logits: Tensor, classes: Tensor) -> float:
    """Algorithm 1 of each class present, at |1[class] - softmax|, and their mean; one image."""
    probs = logits.softmax(dim=0).numpy().reshape(len(logits), -1)
    flat = classes.numpy().ravel()
    present = [c for c in range(len(logits)) if (flat == c).any()]
    values = [reference.lovasz_softmax(probs[c], (flat == c).astype(float)) for c in present]
    return sum(values) / len(present)


def value_and_gradient(loss: object, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    assert callable(loss)
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, target)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), gradient


@pytest.mark.parametrize("pool", ["image", "batch"])
def test_softmax_is_bermans_over_the_classes_present(pool: Pool) -> None:
    logits, classes = draw_classes()
    value = LovaszSoftmaxLoss(softmax=True, pool=pool, reduction="none")(logits, classes)
    if pool == "batch":
        logits = logits.movedim(1, 0).reshape(1, 4, 5 * 6, 7)
        classes = classes.reshape(1, 5 * 6, 7)
    expected = [by_berman(*pair) for pair in zip(logits, classes, strict=True)]
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("ignore_index", [None, 2])
def test_softmax_is_smps(per_image: bool, ignore_index: int | None) -> None:
    logits, classes = draw_classes()
    logits = logits.float()
    theirs = smp.losses.LovaszLoss("multiclass", per_image=per_image, ignore_index=ignore_index)
    ours = LovaszSoftmaxLoss(
        softmax=True, pool="image" if per_image else "batch", ignore_index=ignore_index
    )
    mine = value_and_gradient(ours, logits, classes)
    for one, other in zip(mine, value_and_gradient(theirs, logits, classes), strict=True):
        torch.testing.assert_close(one, other.to(one.dtype), rtol=1e-4, atol=1e-7)
    assert mine[1].abs().max() > 1e-4


def test_by_hand() -> None:
    # Errors 1/2 on the foreground and 1/4 on the background: 1/2 (1) + 1/4 (0), as all is lost
    # with the first pixel; with 3/4 on the background first: 3/4 (1 - 1/2) + 1/2 (1/2).
    target, logit = torch.tensor([[1, 0]]), float(torch.tensor(3.0).log())
    for score, expected in ((-logit, 1 / 2), (logit, 3 / 4 * 1 / 2 + 1 / 2 * 1 / 2)):
        value = lovasz_softmax_loss(torch.tensor([[0.0, score]]), target)
        assert value.item() == pytest.approx(expected)


def test_certain_masks_cost_one_minus_iou() -> None:
    target = draw((4, 20, 20))[1]
    mask = draw((4, 20, 20), seed=3)[1]
    value = lovasz_softmax_loss(torch.inf * (2 * mask - 1), target)
    intersection, union = (mask * target).sum((1, 2)), (mask + target - mask * target).sum((1, 2))
    torch.testing.assert_close(value, 1 - intersection / union)


def test_gradient_of_a_confident_mistake_is_not_lost() -> None:
    for logit, dtype in ((25.0, torch.float32), (60.0, torch.float32), (40.0, torch.bfloat16)):
        logits, target = torch.tensor([[logit, 1.0, -2.0, -3]]), torch.tensor([[0, 1, 1, 0]])
        exact = value_and_gradient(lovasz_softmax_loss, logits.double(), target)[1]
        found = value_and_gradient(lovasz_softmax_loss, logits.to(dtype), target)[1]
        assert exact[0, 0] > 0
        rtol = 1e-5 if dtype == torch.float32 else 1e-2
        torch.testing.assert_close(found.double(), exact, rtol=rtol, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_ranked_in_float32(dtype: torch.dtype) -> None:
    logits, target = draw((4, 256, 256), dtype=torch.float32)
    logits[0, 0] = 6e4
    logits = (4 * logits.clamp(-1e4, 1e4)).to(dtype)
    value, gradient = value_and_gradient(lovasz_softmax_loss, logits, target)
    exact = value_and_gradient(lovasz_softmax_loss, logits.double(), target)
    torch.testing.assert_close(value.double(), exact[0], rtol=1e-5, atol=1e-6)
    assert gradient.dtype == dtype
    total = exact[1].abs().sum()
    assert (gradient.double() - exact[1]).abs().sum() < (
        1e-2 if dtype != torch.float16 else 0.1
    ) * total


def test_buckets_keep_their_bound() -> None:
    logits, target = draw((6, 60, 60), dtype=torch.float32)
    exact = lovasz_softmax_loss(logits.double(), target)
    for bits in (12, 16):
        coarse = lovasz_softmax_loss(logits, target, bits=bits).double()
        assert (exact - coarse >= -1e-6).all()
        assert (exact - coarse <= exact / 2 ** (bits - 8) + 1e-6).all()
    with pytest.raises(ValueError, match="whole number from 10 to 22"):
        lovasz_softmax_loss(logits, target, bits=3)
    with pytest.raises(ValueError, match="bits=16"):
        lovasz_softmax_loss(logits, target, pool="world")


def test_is_the_hinge_at_shifted_probabilities() -> None:
    logits, target = draw()
    shifted = logits.sigmoid() - (1 - target)
    torch.testing.assert_close(
        lovasz_softmax_loss(logits, target), lovasz_hinge_loss(shifted, target)
    )
    module = LossModule("0.5ce+0.5lovasz_softmax", softmax=True)
    assert module(*draw_classes()) > 0
