"""Cross-entropy of the worst pixels: against full sorting, over masks, ties and extremes."""

from fractions import Fraction
from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import draw
from torch import Tensor
from torch.nn import functional

from vesica.losses import TopKLoss, bce_loss, dice_loss, parse_loss, topk_loss


def by_sorting(logits: Tensor, target: Tensor, valid: Tensor, share: str) -> Tensor:
    """Each image alone: its counted pixels, all sorted, in float64."""
    values = []
    for row, truth, counted in zip(logits.double(), target.double(), valid, strict=True):
        costs = functional.binary_cross_entropy_with_logits(row, truth, reduction="none")
        costs = costs[counted].sort(descending=True).values
        values.append(costs[: ceil(Fraction(share) * len(costs))].mean())
    return torch.stack(values)


def gradient_of(value: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(value.sum(), logits)[0]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.sampled_from(["0.001", "0.07", "0.1", "0.3", "0.7", "1"]),
    st.booleans(),
)
def test_equals_full_sorting(seed: int, share: str, is_soft: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn((5, 100), generator=generator, dtype=torch.float64)
    target = torch.rand((5, 100), generator=generator, dtype=torch.float64)
    target = target if is_soft else (target < 0.3).double()
    # From all pixels to a few: each image has its own number.
    valid = torch.rand((5, 100), generator=generator) < torch.tensor([[2], [1], [0.6], [0.2], [0]])
    valid[4, :3] = True
    logits.requires_grad_()
    value = topk_loss(logits, target, share=float(share), valid=valid)
    expected = by_sorting(logits, target, valid, share)
    torch.testing.assert_close(value, expected)
    found = gradient_of(value, logits)
    torch.testing.assert_close(found, gradient_of(expected, logits))
    num_worst = [ceil(Fraction(share) * int(n)) for n in valid.sum(dim=1)]
    assert found.count_nonzero(dim=1).tolist() == num_worst


def test_by_hand() -> None:
    # Costs at p = 1/2 are log 2; the one pixel that is wrong costs log 4 at p = 3/4.
    logits, target = torch.zeros(1, 10), torch.zeros(1, 10)
    logits[0, 4] = torch.tensor(3.0).log()
    assert topk_loss(logits, target).item() == pytest.approx(torch.tensor(4.0).log().item())
    mean = (torch.tensor(4.0).log() + torch.tensor(2.0).log()) / 2
    assert topk_loss(logits, target, share=0.2).item() == pytest.approx(mean.item())
    assert topk_loss(logits, target, share=0.11).item() == pytest.approx(mean.item())


@pytest.mark.parametrize("pool", ["image", "batch"])
def test_share_of_one_is_bce(pool: str) -> None:
    logits, target = draw()
    valid = torch.rand(target.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    logits.requires_grad_()
    for mask in (None, valid):
        value = topk_loss(logits, target, share=1, valid=mask, pool=pool)  # type: ignore[arg-type]
        expected = bce_loss(logits, target, valid=mask, pool=pool)  # type: ignore[arg-type]
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(gradient_of(value, logits), gradient_of(expected, logits))


def test_ties_are_counted_once() -> None:
    logits, target = torch.zeros(2, 100, requires_grad=True), torch.zeros(2, 100)
    value = topk_loss(logits, target, share=0.07)  # 7 pixels, although 0.07 * 100 > 7
    assert value.tolist() == pytest.approx([torch.tensor(2.0).log().item()] * 2)
    found = gradient_of(value, logits)
    assert found.count_nonzero(dim=1).tolist() == [7, 7]
    torch.testing.assert_close(found.sum(dim=1), torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_adds_up_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 20 * torch.randn((2, 512, 512), generator=generator)
    logits[0, 0], logits[1, 1] = 6e4, -6e4
    logits = logits.to(dtype).requires_grad_()
    target = torch.rand((2, 512, 512), generator=generator) < 0.3
    value = topk_loss(logits, target)
    valid = torch.ones_like(target)
    torch.testing.assert_close(
        value.double(), by_sorting(logits.detach(), target, valid, "0.1"), rtol=1e-4, atol=0
    )
    assert gradient_of(value, logits).isfinite().all()


def test_infinite_logits() -> None:
    target = torch.tensor([[1, 0, 1, 0]])
    right = torch.tensor([[torch.inf, -torch.inf, 0.5, -1]], requires_grad=True)
    value = topk_loss(right, target, share=1)
    torch.testing.assert_close(value, bce_loss(right, target))
    wrong = torch.tensor([[-torch.inf, -1, 1, -1]], requires_grad=True)
    value = topk_loss(wrong, target, share=0.5)
    assert value.tolist() == [torch.inf]
    assert gradient_of(value, wrong).isfinite().all()
    assert topk_loss(torch.full((1, 4), torch.nan), target).isnan().all()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_share_is_checked(share: float) -> None:
    with pytest.raises(ValueError, match=r"share=.*expected a number"):
        topk_loss(torch.zeros(1, 4), torch.ones(1, 4), share=share)
    with pytest.raises(ValueError, match="share="):
        parse_loss(f"topk:share={share}")


def test_sum_with_dice_is_both() -> None:
    logits, target = draw()
    both = parse_loss("dice+topk:share=0.2")(logits, target)
    torch.testing.assert_close(
        both, dice_loss(logits, target) + topk_loss(logits, target, share=0.2)
    )
    assert str(TopKLoss(share=0.2).loss) == "topk:share=0.2"
