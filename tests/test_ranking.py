"""The Lovasz hinge loss: exact gradients, slices, buckets and their bound."""

import os

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import draw
from torch import Tensor
from torch.nn import functional

from vesica.accel import lovasz, pixels
from vesica.losses import lovasz_hinge_loss


def scene(size_px: int, *, is_trained: bool, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A blob of about a quarter of the image, and logits that know it or do not."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((1, 1, 8, 8), generator=generator)
    field = functional.interpolate(coarse, size=(size_px, size_px), mode="bicubic")[:, 0]
    target = field > field.quantile(0.75) if size_px < 2048 else field > 0.5
    noise = torch.randn((1, size_px, size_px), generator=generator)
    if not is_trained:
        return 0.05 * noise, target
    return 4 * (2 * target.float() - 1) + 2 * noise, target


def gradient_of(logits: Tensor, target: Tensor, bits: int = 0) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = lovasz_hinge_loss(logits, target, bits=bits)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), gradient


def by_subtraction(logits: Tensor, target: Tensor) -> Tensor:
    """The gradient as others compute it, in the logits' type: J[k] - J[k - 1]."""
    side = 1 - 2 * target.to(logits.dtype).view(-1)
    margins = logits.view(-1) * side
    order = margins.argsort(descending=True)
    label = target.view(-1)[order].to(logits.dtype)
    union = label.sum() + (1 - label).cumsum(0)
    jaccard = 1 - (label.sum() - label.cumsum(0)) / union
    jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
    slope = torch.zeros_like(margins)
    slope[order] = jaccard
    return (slope * side * (margins > -1)).view_as(logits)


def error_of(gradient: Tensor, exact: Tensor) -> float:
    """Relative error in the L2 norm."""
    return float((gradient.double() - exact).norm() / exact.norm())


def test_scenes_are_what_they_are_called() -> None:
    for is_trained, least, most in ((True, 0.005, 0.15), (False, 0.99, 1)):
        logits, target = scene(256, is_trained=is_trained)
        wrong = ((1 - logits * (2 * target.float() - 1)) > 0).float().mean()
        assert least < wrong <= most
        assert 0.2 < target.float().mean() < 0.3


def test_gradient_equals_the_slow_formula() -> None:
    logits, target = draw()
    _, gradient = gradient_of(logits, target)
    pairs = zip(logits.numpy(), target.numpy(), strict=True)
    expected = np.stack([reference.lovasz_gradient(*pair) for pair in pairs])
    np.testing.assert_allclose(gradient, expected, atol=1e-12)
    assert np.count_nonzero(expected) > 20


@pytest.mark.parametrize("is_trained", [True, False])
@pytest.mark.parametrize("size_px", [256, 1024, 4096])
def test_float32_gradient_does_not_cancel(size_px: int, is_trained: bool) -> None:
    if size_px == 4096 and not os.environ.get("VESICA_FULL"):
        pytest.skip("a minute and 4 GB; `make test-full` runs it")
    logits, target = scene(size_px, is_trained=is_trained)
    # Float64 has digits enough for the formula of the paper.
    exact = by_subtraction(logits.double(), target)
    assert error_of(gradient_of(logits, target)[1], exact) < 1e-5
    # What is left is the order of equal errors, of which any is right.
    assert error_of(gradient_of(logits, target)[1], gradient_of(logits.double(), target)[1]) < 1e-7


@pytest.mark.parametrize("is_trained", [True, False])
def test_compiled_gradient_does_not_cancel(is_trained: bool) -> None:
    torch._dynamo.reset()
    logits, target = scene(512, is_trained=is_trained)
    exact = by_subtraction(logits.double(), target)
    assert error_of(by_subtraction(logits, target), exact) > 1e-3
    logits.requires_grad_()
    value = torch.compile(lovasz_hinge_loss, fullgraph=True, backend="eager")(logits, target)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert error_of(gradient, exact) < 1e-5


def test_the_usual_way_does_cancel() -> None:
    logits, target = scene(1024, is_trained=False)
    exact = by_subtraction(logits.double(), target)
    assert error_of(by_subtraction(logits, target), exact) > 1e-3


@pytest.mark.parametrize("most", [1, 10, 50, 300])
def test_slices_do_not_matter(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target = (torch.cat([part, -part]) for part in draw((6, 20, 20)))
    target = target.abs()
    for scale in (1, 0.01):
        expected = gradient_of(scale * logits, target)
        with monkeypatch.context() as patch:
            patch.setattr(lovasz, "MAX_SORTED", most)
            actual = gradient_of(scale * logits, target)
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_equal_logits_share_the_whole_loss() -> None:
    for logit in (0.0, 0.7, -0.7):
        logits, target = torch.full((1, 10, 10), logit), torch.zeros(1, 10, 10)
        target[0, :3] = 1
        value, gradient = gradient_of(logits, target)
        # All errors of a class are equal: the extension at two levels, by hand.
        high, low = 1 + abs(logit), 1 - abs(logit)
        # Background first: 70 of 100 pixels. Foreground first: nothing is left to share.
        share = 0.7 if logit > 0 else 1.0
        expected = high * share + low * (1 - share)
        assert value.item() == pytest.approx(expected, rel=1e-5)
        assert gradient.abs().sum().item() == pytest.approx(1, rel=1e-5)


def test_right_beyond_the_margin_is_zero() -> None:
    target = draw()[1]
    value, gradient = gradient_of(1.5 * (2 * target - 1), target)
    assert value.count_nonzero() == 0
    assert gradient.count_nonzero() == 0


@pytest.mark.parametrize("bits", [0, 16])
def test_no_number_is_not_hidden(bits: int) -> None:
    logits, target = draw(dtype=torch.float32)
    logits[2, 0, 0] = torch.nan
    value, _ = gradient_of(logits, target, bits)
    assert value.isnan().tolist() == [False, False, True, False, False, False]


# Buckets


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.floats(1e-3, 1e3),
    st.floats(0, 1),
    st.sampled_from([10, 12, 16, 19]),
)
def test_buckets_keep_their_bound(seed: int, scale: float, density: float, bits: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn((4, 300), generator=generator)
    target = torch.rand((4, 300), generator=generator) < density
    exact = lovasz_hinge_loss(logits.double(), target)
    coarse = lovasz_hinge_loss(logits, target, bits=bits).double()
    rounding = 1e-5 * exact + 1e-7
    assert (coarse <= exact + rounding).all()
    assert (exact - coarse <= exact / 2 ** (bits - 8) + rounding).all()


@pytest.mark.parametrize(("bits", "most"), [(10, 0.5), (16, 0.02), (19, 0.005)])
@pytest.mark.parametrize("is_trained", [True, False])
def test_gradient_of_buckets_is_close(bits: int, most: float, is_trained: bool) -> None:
    logits, target = scene(512, is_trained=is_trained)
    exact = gradient_of(logits.double(), target)[1]
    coarse = gradient_of(logits, target, bits)[1]
    assert error_of(coarse, exact) < most
    side = 1 - 2 * target.double()
    assert (coarse * side).min() >= 0
    # What all pixels add to `1 - IoU` is 1, in any order.
    everything = torch.full_like(logits, 0.0), target
    assert (gradient_of(*everything, bits)[1] * side).sum().item() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("logit", [1 - 1e-9, 1 - 1e-7, 1 - 1e-5])
def test_errors_that_float32_cannot_hold_count_as_zero(logit: float) -> None:
    logits, target = torch.tensor([[logit, 2, 2]], dtype=torch.float64), torch.ones(1, 3)
    exact = float(lovasz_hinge_loss(logits, target))
    coarse = float(lovasz_hinge_loss(logits, target, bits=16))
    assert exact == pytest.approx((1 - logit) / 3)
    assert -(2**-24) * exact <= exact - coarse <= exact / 2**8 + 2**-24 / 3
    assert (coarse == 0) == (logit == 1 - 1e-9)


@pytest.mark.parametrize(("is_trained", "stated"), [(True, 0.0001), (False, 0.016)])
def test_gradient_of_16_bits_is_as_good_as_the_page_says(is_trained: bool, stated: float) -> None:
    logits, target = scene(512, is_trained=is_trained)
    exact = gradient_of(logits.double(), target)[1]
    found = error_of(gradient_of(logits, target, 16)[1], exact)
    assert found == pytest.approx(stated, rel=0.3)


@pytest.mark.parametrize("bits", [-1, 1, 9, 23, 16.5, float("nan"), float("inf")])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="whole number from 10 to 22"):
        lovasz_hinge_loss(torch.zeros(1, 4), torch.zeros(1, 4), bits=bits)


def test_exact_order_over_processes_is_refused() -> None:
    with pytest.raises(ValueError, match="bits=16"):
        lovasz_hinge_loss(torch.zeros(1, 4), torch.zeros(1, 4), pool="world")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bits", [0, 16])
def test_blocks_do_not_matter(
    dtype: torch.dtype, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((23, 70), generator=generator).to(dtype).requires_grad_()
    target = torch.rand((23, 70), generator=generator) < 0.3
    whole = lovasz_hinge_loss(logits, target, bits=bits)
    (gradient,) = torch.autograd.grad(whole.sum(), logits)
    for size in (64, 256, 1024):
        monkeypatch.setattr(pixels, "BLOCK_SIZE", size)
        loss = lovasz_hinge_loss(logits, target, bits=bits)
        torch.testing.assert_close(loss, whole)
        if dtype == torch.float32:  # bfloat16 has ties, which may be sorted either way
            torch.testing.assert_close(torch.autograd.grad(loss.sum(), logits)[0], gradient)
