"""Every loss of `LOSSES` against its slow formula and against what any such loss must keep to."""

import re
from collections.abc import Callable
from math import isinf, log

import numpy as np
import pytest
import reference
import torch
from torch import Tensor
from torch.nn import functional

from vesica.losses import (
    LOSSES,
    bce_loss,
    dice_loss,
    iou_loss,
    tversky_loss,
)
from vesica.spelling import options_of

NAMES = list(LOSSES)
HALF = [torch.float16, torch.bfloat16]
SHAPE = (6, 7, 9)

every_loss = pytest.mark.parametrize("name", NAMES)


def parameters(name: str) -> dict[str, float]:
    """Numbers that a loss takes and their defaults; `bits` is tested with the ranking."""
    found = options_of(LOSSES[name]).values()
    return {p.name: p.default for p in found if p.name not in ("empty", "bits")}


WITH_PARAMETER = [(name, key) for name in NAMES for key in parameters(name)]
SOFT = [name for name in NAMES if name != "focal" and "lovasz" not in name]


def largest(name: str) -> float:
    """The upper end of the range that a loss's docstring states."""
    stated = re.search(r"Loss in \[0, (\w+)[\])]", LOSSES[name].__doc__ or "")
    assert stated, f"{name}: the docstring states no range 'Loss in [0, ...]'"
    return float(stated[1])


def draw(
    shape: tuple[int, ...] = SHAPE, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Logits and masks; each image has a density of its own, and both classes."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    density = torch.linspace(0.1, 0.9, shape[0]).view(-1, *[1] * (len(shape) - 1))
    target = torch.rand(shape, generator=generator) < density
    return logits.to(dtype), target.to(dtype)


def value_and_gradient(name: str, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = LOSSES[name](logits, target)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), gradient


# The batches themselves


def test_drawn_batches_have_spread() -> None:
    logits, target = draw((64, 16, 16))
    probs, density = logits.sigmoid(), target.mean((1, 2))
    assert probs.min() < 0.01
    assert probs.max() > 0.99
    assert 0.2 < probs.std() < 0.4
    assert density.min() < 0.2
    assert density.max() > 0.8
    assert density.std() > 0.2
    for images in (logits, target):
        assert len(torch.unique(images.flatten(1), dim=0)) == 64
    assert torch.unique(target).tolist() == [0, 1]
    both = torch.stack([logits.flatten(), target.flatten()])
    assert torch.corrcoef(both)[0, 1].abs() < 0.03
    assert not torch.equal(logits, draw((64, 16, 16), seed=1)[0])


def test_small_batch_has_both_classes_in_every_image() -> None:
    _, target = draw()
    assert target.flatten(1).amin(1).tolist() == [0] * SHAPE[0]
    assert target.flatten(1).amax(1).tolist() == [1] * SHAPE[0]


# The formulas


def test_every_loss_has_a_slow_formula() -> None:
    assert list(reference.REFERENCES) == NAMES


@every_loss
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_equals_slow_formula(name: str, dtype: torch.dtype, rtol: float) -> None:
    logits, target = draw(dtype=dtype)
    expected = reference.losses(name, logits.double().numpy(), target.double().numpy())
    actual = LOSSES[name](logits, target)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual.double(), expected, rtol=rtol)
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize(("name", "key"), WITH_PARAMETER)
def test_equals_slow_formula_with_a_parameter(name: str, key: str) -> None:
    logits, target = draw()
    for value in (0.25, 1.0) if key == "share" else (0.0, 0.25, 1.0):
        expected = reference.losses(name, logits.numpy(), target.numpy(), **{key: value})
        np.testing.assert_allclose(
            LOSSES[name](logits, target, **{key: value}), expected, rtol=1e-12
        )


@pytest.mark.parametrize(("name", "key"), WITH_PARAMETER)
def test_every_parameter_matters(name: str, key: str) -> None:
    logits, target = draw((6, 32, 32))
    default = LOSSES[name](logits, target)
    changed = LOSSES[name](logits, target, **{key: parameters(name)[key] + 0.25})
    assert (changed - default).abs().min() > 1e-5


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # Certain masks {0, 1} against {1, 2}: they share one pixel of three.
        (iou_loss, 1 - 1 / 3),
        (dice_loss, 1 - 2 / 4),
        (tversky_loss, 1 - 1 / (1 + 1 / 2 + 1 / 2)),
    ],
)
def test_region_losses_by_hand(loss: Callable[..., Tensor], expected: float) -> None:
    logits = torch.tensor([[1e4, 1e4, -1e4, -1e4]])
    target = torch.tensor([[0, 1, 1, 0]])
    assert loss(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_soft_losses_by_hand() -> None:
    # p = (3/4, 1/4), t = (1, 0): I = 3/4, U = 1 + 1/4.
    logits, target = torch.tensor([[log(3), -log(3)]]), torch.tensor([[1, 0]])
    assert iou_loss(logits, target).item() == pytest.approx(1 - (3 / 4) / (5 / 4))
    assert iou_loss(logits, target, smooth=1).item() == pytest.approx(1 - (7 / 4) / (9 / 4))
    assert dice_loss(logits, target).item() == pytest.approx(1 - (2 * 3 / 4) / (1 + 1))
    assert bce_loss(logits, target).item() == pytest.approx(-log(3 / 4))
    # p = (3/4, 1/4, 1/2), t = (1, 1, 0): I = 1, FP = 1/2, FN = 1.
    logits, target = torch.tensor([[log(3), -log(3), 0.0]]), torch.tensor([[1, 1, 0]])
    assert tversky_loss(logits, target, alpha=1, beta=0).item() == pytest.approx(1 - 1 / 1.5)
    assert tversky_loss(logits, target, alpha=0, beta=1).item() == pytest.approx(1 - 1 / 2)


def test_iou_gradient_is_equation_6() -> None:
    logits, target = draw()
    _, gradient = value_and_gradient("iou", logits, target)
    probs = reference.sigmoid(logits.numpy())
    by_probs = np.stack(
        [reference.iou_gradient(p, t) for p, t in zip(probs, target.numpy(), strict=True)]
    )
    np.testing.assert_allclose(gradient, by_probs * probs * (1 - probs), rtol=1e-10)
    assert np.ptp(by_probs) > 0.01


def test_bce_equals_torch() -> None:
    logits, target = draw()
    expected = [
        functional.binary_cross_entropy_with_logits(*pair)
        for pair in zip(logits, target, strict=True)
    ]
    torch.testing.assert_close(bce_loss(logits, target), torch.stack(expected))


def test_tversky_contains_dice_and_iou() -> None:
    logits, target = draw()
    for smooth in (0.0, 2.0):
        as_dice = tversky_loss(logits, target, alpha=0.5, beta=0.5, smooth=smooth / 2)
        torch.testing.assert_close(as_dice, dice_loss(logits, target, smooth=smooth))
        as_iou = tversky_loss(logits, target, alpha=1, beta=1, smooth=smooth)
        torch.testing.assert_close(as_iou, iou_loss(logits, target, smooth=smooth))


# What every loss keeps to


@every_loss
def test_range_is_the_stated_one(name: str) -> None:
    top = largest(name)
    for seed in range(20):
        logits, target = draw((8, 16, 16), seed, torch.float32)
        for scale in (0.1, 1.0, 10.0, 1000.0):
            value = LOSSES[name](scale * logits, target)
            assert value.min() >= -1e-6
            assert value.max() <= top + 1e-6
    right, wrong = 50 * (2 * target - 1), 50 * (1 - 2 * target)
    assert LOSSES[name](right, target).max() < 1e-4
    assert LOSSES[name](wrong, target).min() > (10 if isinf(top) else 0.999 * top)


@every_loss
def test_batch_equals_its_images_one_by_one(name: str) -> None:
    logits, target = draw()
    value, gradient = value_and_gradient(name, logits, target)
    assert value.shape == (SHAPE[0],)
    for index in range(SHAPE[0]):
        one = slice(index, index + 1)
        alone, alone_gradient = value_and_gradient(name, logits[one], target[one])
        torch.testing.assert_close(value[one], alone)
        torch.testing.assert_close(gradient[one], alone_gradient)


@every_loss
def test_order_of_pixels_does_not_matter(name: str) -> None:
    logits, target = draw()
    order = torch.randperm(7 * 9, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(order, order.sort().values)
    shuffled = LOSSES[name](logits.flatten(1)[:, order], target.flatten(1)[:, order])
    torch.testing.assert_close(shuffled, LOSSES[name](logits, target))
    only_logits = LOSSES[name](logits.flatten(1)[:, order], target.flatten(1))
    assert (only_logits - shuffled).abs().max() > 1e-3


@every_loss
@pytest.mark.parametrize("shape", [(3, 20), (3, 4, 5), (3, 1, 4, 5), (3, 2, 2, 5)])
def test_any_number_of_axes(name: str, shape: tuple[int, ...]) -> None:
    logits, target = draw((3, 20))
    expected = LOSSES[name](logits, target)
    torch.testing.assert_close(LOSSES[name](logits.view(shape), target.view(shape)), expected)


@every_loss
def test_memory_layout_does_not_matter(name: str) -> None:
    logits, target = draw((4, 3, 8, 10))
    value, gradient = value_and_gradient(name, logits, target)
    channels_last = logits.to(memory_format=torch.channels_last)
    transposed = logits.transpose(2, 3).contiguous().transpose(2, 3)
    strided = torch.stack([logits, -logits], dim=-1)[..., 0]
    for other in (channels_last, transposed, strided):
        assert not other.is_contiguous()
        assert torch.equal(other, logits)
        other_value, other_gradient = value_and_gradient(name, other, target)
        torch.testing.assert_close(other_value, value)
        torch.testing.assert_close(other_gradient, gradient)
    sliding = target[:1].expand(4, -1, -1, -1)
    torch.testing.assert_close(
        LOSSES[name](logits, sliding), LOSSES[name](logits, sliding.contiguous())
    )


@every_loss
def test_gradient_is_the_values(name: str) -> None:
    logits, target = draw((2, 3, 3))
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, target), logits.requires_grad_())


@pytest.mark.parametrize("name", SOFT)
def test_soft_targets_have_a_gradient(name: str) -> None:
    logits, target = draw((2, 3, 3))
    soft = 0.8 * target + 0.1
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, soft), logits.requires_grad_())


@every_loss
@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64, *HALF, torch.float32])
def test_kind_of_target_does_not_matter(name: str, kind: torch.dtype) -> None:
    logits, target = draw(dtype=torch.float32)
    assert torch.equal(LOSSES[name](logits, target.to(kind)), LOSSES[name](logits, target))


@every_loss
@pytest.mark.parametrize(
    ("given", "returned"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_value_has_float32_or_wider(name: str, given: torch.dtype, returned: torch.dtype) -> None:
    logits, target = draw(dtype=given)
    for kind in (torch.bool, torch.float32, given):
        value, gradient = value_and_gradient(name, logits, target.to(kind))
        assert value.dtype == returned
        assert gradient.dtype == given


@every_loss
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 4, 1), (1, 4, 3), (2, 12), (2, 1, 4, 3)])
def test_other_shape_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape") as caught:
        LOSSES[name](torch.zeros(2, 4, 3), torch.zeros(shape))
    assert "(2, 4, 3)" in str(caught.value)
    assert str(shape) in str(caught.value)


# Extremes


@every_loss
@pytest.mark.parametrize("fill", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-1e4, -1.0, 0.0, 1.0, 1e4])
def test_empty_and_full_targets(name: str, fill: float, logit: float) -> None:
    logits, target = torch.full((2, 5, 5), logit), torch.full((2, 5, 5), fill)
    value, gradient = value_and_gradient(name, logits, target)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
    assert value.min() >= 0
    if fill:
        # A higher logit is never worse where all is foreground.
        assert gradient.max() <= 0


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_large_images_stay_finite(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn((3, 1024, 1024), generator=generator)
    logits.view(-1)[::7] = 1e4
    logits.view(-1)[::11] = -1e4
    logits = logits.to(dtype)
    target = torch.zeros_like(logits, dtype=torch.bool)
    target[1] = True
    target[2, 100:700, 300:900] = True
    value, gradient = value_and_gradient(name, logits, target)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
    assert gradient[2].count_nonzero() > 0
    torch.testing.assert_close(
        value.double(), LOSSES[name](logits.double(), target), rtol=1e-4, atol=1e-5
    )
