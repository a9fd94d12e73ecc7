"""What all losses share: valid pixels, pools, channels, empty targets, precision, transforms."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from test_losses import NAMES, SOFT, draw, every_loss
from torch import Tensor

from vesica.accel import pixels
from vesica.losses import LOSSES, iou_loss, jaccard_metric_loss, parse_loss, tversky_loss

REGION = ["iou", "jaccard_distance", "dice", "tversky", "jaccard_metric"]
WITH_EMPTY = [*REGION, "lovasz_hinge", "lovasz_softmax"]
VARIANTS: dict[str, Callable[..., Tensor]] = {
    **LOSSES,
    "tversky:alpha=0.3:beta=0.9": functools.partial(LOSSES["tversky"], alpha=0.3, beta=0.9),
    **{f"{name}:empty=skip": functools.partial(LOSSES[name], empty="skip") for name in WITH_EMPTY},
    **{
        f"{name}:empty=formula": functools.partial(LOSSES[name], empty="formula")
        for name in WITH_EMPTY
    },
    "iou:empty=formula:smooth=1": functools.partial(iou_loss, empty="formula", smooth=1.0),
    "tversky:alpha=0:beta=1": functools.partial(tversky_loss, alpha=0.0, beta=1.0),
    "lovasz_hinge:bits=16": functools.partial(LOSSES["lovasz_hinge"], bits=16),
    "lovasz_softmax:bits=16": functools.partial(LOSSES["lovasz_softmax"], bits=16),
}
every_variant = pytest.mark.parametrize("name", VARIANTS)


def judge(name: str, logits: Tensor, target: Tensor, **common: Any) -> tuple[Tensor, Tensor]:
    """Values and the gradient of their sum."""
    logits = logits.detach().clone().requires_grad_()
    value = VARIANTS[name](logits, target, **common)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), gradient


def draw_with_empty(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A batch in which one image has no foreground and one has nothing else."""
    logits, target = draw(seed=seed, dtype=dtype)
    target[1], target[4] = 0, 1
    return logits, target


# Targets


@every_loss
@pytest.mark.parametrize("wrong", [255, 2])
@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.float32, torch.float16])
def test_mask_of_255_is_refused(name: str, wrong: int, kind: torch.dtype) -> None:
    logits, target = draw(dtype=torch.float32)
    with pytest.raises(ValueError, match=f"values from 0 to {wrong}; a loss needs 0 to 1"):
        LOSSES[name](logits, (wrong * target).to(kind))


@every_loss
@pytest.mark.parametrize("wrong", [-1.0, 1.001, float("nan"), float("inf")])
def test_other_values_are_refused_unless_ignored(name: str, wrong: float) -> None:
    logits, target = draw(dtype=torch.float32)
    expected = judge(name, logits, target, valid=torch.ones_like(target).index_fill(1, at(3), 0))
    target[:, 3] = wrong
    with pytest.raises(ValueError, match="a loss needs 0 to 1"):
        LOSSES[name](logits, target)
    valid = torch.ones_like(target).index_fill(1, at(3), 0)
    for actual, other in zip(judge(name, logits, target, valid=valid), expected, strict=True):
        assert torch.equal(actual, other)


def at(place: int) -> Tensor:
    return torch.tensor([place])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SOFT])
def test_soft_target_is_refused_where_undefined(name: str) -> None:
    logits, target = draw(dtype=torch.float32)
    target[0, 0, 0] = 0.5
    with pytest.raises(ValueError, match="between 0 and 1, for which this loss is not defined"):
        LOSSES[name](logits, target)


@every_loss
def test_logits_are_floating_point(name: str) -> None:
    with pytest.raises(ValueError, match="int64 of shape"):
        LOSSES[name](torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3))


# Valid pixels


@every_variant
def test_ignored_pixels_are_as_if_not_there(name: str) -> None:
    logits, target = draw_with_empty()
    kept = torch.arange(9) % 3 != 1
    valid = kept.expand_as(target)
    value, gradient = judge(name, logits[..., kept], target[..., kept])
    dirty, dirty_target = logits.clone(), target.clone()
    dirty[..., ~kept], dirty_target[..., ~kept] = torch.nan, torch.nan
    for kind in (torch.bool, torch.uint8, torch.float32):
        actual, actual_gradient = judge(name, dirty, dirty_target, valid=valid.to(kind))
        torch.testing.assert_close(actual, value)
        torch.testing.assert_close(actual_gradient[..., kept], gradient)
        assert actual_gradient[..., ~kept].count_nonzero() == 0
    assert (value - judge(name, logits, target)[0]).abs().max() > 1e-3


@every_variant
@pytest.mark.parametrize("pool", ["image", "batch"])
def test_all_ignored_is_zero(name: str, pool: str) -> None:
    logits, target = draw_with_empty()
    value, gradient = judge(name, logits, target, valid=torch.zeros_like(target), pool=pool)
    assert value.count_nonzero() == 0
    assert gradient.count_nonzero() == 0


@every_variant
@pytest.mark.parametrize("shape", [(2, 0), (0, 5), (0, 3, 4)])
def test_no_pixels_is_zero(name: str, shape: tuple[int, ...]) -> None:
    pools = ["image", "batch"] + ["world"] * ("lovasz" not in name or "bits" in name)
    for pool in pools:
        logits = torch.zeros(shape, requires_grad=True)
        value = VARIANTS[name](logits, torch.zeros(shape), pool=pool)
        assert value.tolist() == [0] * (shape[0] if pool == "image" else 1)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert gradient.shape == shape


@pytest.mark.parametrize(
    ("name", "key", "wrong"),
    [
        *((name, "smooth", wrong) for name in REGION for wrong in (-1.0, float("nan"))),
        ("iou", "smooth", float("inf")),
        ("tversky", "alpha", -1.0),
        ("tversky", "beta", float("nan")),
        ("focal", "gamma", -1.0),
        ("focal", "alpha", -0.5),
        ("focal", "alpha", 2.0),
    ],
)
def test_parameters_are_checked_wherever_they_come_in(name: str, key: str, wrong: float) -> None:
    """By the function; the spelling and the modules ask it before they take an image."""
    message = f"{key}={wrong:g}: expected a number"
    with pytest.raises(ValueError, match=message):
        LOSSES[name](torch.zeros(1, 4), torch.ones(1, 4), **{key: wrong})
    with pytest.raises(ValueError, match=message):
        parse_loss(f"{name}:{key}={wrong:g}")


@every_loss
def test_valid_has_the_shape_of_the_target(name: str) -> None:
    with pytest.raises(ValueError, match=r"valid has shape \(2, 3\)"):
        LOSSES[name](torch.zeros(2, 4), torch.zeros(2, 4), valid=torch.ones(2, 3))


# Channels and pools


@every_variant
def test_channels_are_independent_labels(name: str) -> None:
    logits, target = draw((4, 3, 5, 6))
    valid = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(0)) < 0.7
    value = VARIANTS[name](logits, target, channels=True, valid=valid)
    assert value.shape == (4, 3)
    for channel in range(3):
        expected = VARIANTS[name](logits[:, channel], target[:, channel], valid=valid)
        torch.testing.assert_close(value[:, channel], expected)
    for same in (valid.unsqueeze(1), valid.unsqueeze(1).expand_as(target)):
        assert torch.equal(value, VARIANTS[name](logits, target, channels=True, valid=same))


@every_variant
def test_batch_pool_is_the_loss_of_one_large_image(name: str) -> None:
    logits, target = draw_with_empty()
    valid = torch.rand(target.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    for mask in (None, valid):
        flat = None if mask is None else mask.view(1, -1)
        expected, gradient = judge(name, logits.view(1, -1), target.view(1, -1), valid=flat)
        value, actual = judge(name, logits, target, valid=mask, pool="batch")
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(actual.view(1, -1), gradient)
        assert value.shape == (1,)
    stacked = VARIANTS[name](
        logits.view(3, 2, -1), target.view(3, 2, -1), channels=True, pool="batch"
    )
    assert stacked.shape == (1, 2)
    for channel in range(2):
        alone = VARIANTS[name](
            logits.view(3, 2, -1)[:, channel], target.view(3, 2, -1)[:, channel], pool="batch"
        )
        torch.testing.assert_close(stacked[:, channel], alone)


@every_loss
def test_unknown_pool_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="'image', 'batch' or 'world'"):
        LOSSES[name](torch.zeros(2, 4), torch.zeros(2, 4), pool="all")


# Empty targets


@pytest.mark.parametrize("name", WITH_EMPTY)
def test_background_policy_is_the_loss_of_the_background(name: str) -> None:
    logits, _ = draw(dtype=torch.float64)
    none = torch.zeros_like(logits)
    value, gradient = judge(name, logits, none)
    torch.testing.assert_close(value, LOSSES[name](-logits, 1 - none))
    if name == "lovasz_hinge":
        torch.testing.assert_close(value, (1 + logits).relu().flatten(1).mean(1))
    else:
        assert gradient.min() > 0
    if name in ("iou", "jaccard_metric", "lovasz_softmax"):
        torch.testing.assert_close(value, logits.sigmoid().flatten(1).mean(1))


def test_background_policy_keeps_the_weight_of_false_positives() -> None:
    logits, _ = draw()
    none = torch.zeros_like(logits)
    value = LOSSES["tversky"](logits, none, alpha=0.3, beta=0.9)
    torch.testing.assert_close(value, LOSSES["tversky"](-logits, 1 - none, alpha=0.9, beta=0.3))


def test_false_positives_without_weight_cost_nothing() -> None:
    logits, _ = draw()
    value, gradient = judge("tversky:alpha=0:beta=1", logits, torch.zeros_like(logits))
    assert value.count_nonzero() == 0
    assert gradient.count_nonzero() == 0
    assert "With alpha = 0 a false positive costs\n    nothing" in (tversky_loss.__doc__ or "")


def test_smooth_formula_pushes_an_empty_image_down() -> None:
    logits, _ = draw()
    value, gradient = judge("iou:empty=formula:smooth=1", logits, torch.zeros_like(logits))
    torch.testing.assert_close(value, 1 - 1 / (logits.sigmoid().flatten(1).sum(1) + 1))
    assert gradient.min() > 0


@pytest.mark.parametrize("name", WITH_EMPTY)
def test_skip_policy_is_zero_without_gradient(name: str) -> None:
    logits, target = draw_with_empty()
    value, gradient = judge(f"{name}:empty=skip", logits, target)
    assert value[1] == 0
    assert gradient[1].count_nonzero() == 0
    assert value.count_nonzero() == len(value) - 1


@pytest.mark.parametrize("name", REGION)
@pytest.mark.parametrize("logit", [-1e4, -60.0, 0.0, 60.0, 1e4])
def test_formula_policy_is_one_without_gradient(name: str, logit: float) -> None:
    value, gradient = judge(f"{name}:empty=formula", torch.full((1, 9), logit), torch.zeros(1, 9))
    assert value.tolist() == [1]
    assert gradient.count_nonzero() == 0


def test_formula_policy_of_the_ranking_is_the_largest_error() -> None:
    logits, target = draw()
    value, gradient = judge("lovasz_hinge:empty=formula", logits, torch.zeros_like(target))
    torch.testing.assert_close(value, 1 + logits.flatten(1).amax(1))
    assert gradient.flatten(1).count_nonzero(1).tolist() == [1] * len(value)


@pytest.mark.parametrize("name", WITH_EMPTY)
def test_policy_touches_empty_images_only(name: str) -> None:
    logits, target = draw()
    for policy in ("skip", "formula"):
        other = judge(f"{name}:empty={policy}", logits, target)
        for one, two in zip(judge(name, logits, target), other, strict=True):
            assert torch.equal(one, two)


def test_unknown_policy_is_refused() -> None:
    for name in WITH_EMPTY:
        with pytest.raises(ValueError, match="formula, skip, background"):
            LOSSES[name](torch.zeros(2, 4), torch.zeros(2, 4), empty="one")


# Precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("logit", [20.0, 50.0, 80.0])
@pytest.mark.parametrize("name", ["iou", "dice", "tversky", "jaccard_distance", "jaccard_metric"])
def test_confident_false_positive_has_a_gradient(
    name: str, logit: float, dtype: torch.dtype
) -> None:
    logits = torch.tensor([[logit, 3.0, -2.0, 1.0]])
    target = torch.tensor([[0, 1, 1, 0]])
    exact = judge(name, logits.double(), target)[1]
    rel = 1e-5 if dtype == torch.float32 else 1e-2
    assert exact[0, 0] > 0
    for gradient in (judge(name, logits.to(dtype), target)[1], twice(name, logits, target, dtype)):
        torch.testing.assert_close(gradient.double(), exact, rtol=rel, atol=0)


def twice(name: str, logits: Tensor, target: Tensor, dtype: torch.dtype) -> Tensor:
    """The gradient as it is made where it will be differentiated again."""
    logits = logits.to(dtype).requires_grad_()
    value = LOSSES[name](logits, target).sum()
    (gradient,) = torch.autograd.grad(value, logits, create_graph=True)
    return gradient.detach()


def test_float16_gradient_needs_a_scaled_loss() -> None:
    logits = torch.full((1, 1024, 1024), -4.0, dtype=torch.float16, requires_grad=True)
    value = iou_loss(logits, torch.zeros_like(logits)).sum()
    (plain,) = torch.autograd.grad(value, logits, retain_graph=True)
    (scaled,) = torch.autograd.grad(2.0**16 * value, logits)
    assert plain.count_nonzero() == 0
    assert scaled.min() > 0


# The metric loss at p == t


def test_metric_loss_equals_iou_on_hard_targets() -> None:
    logits, target = draw()
    for scale in (1, 10, 1000):
        value, gradient = judge("jaccard_metric", (scale * logits).float(), target)
        expected, by_iou = judge("iou", (scale * logits).float(), target)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(gradient, by_iou, rtol=1e-4, atol=1e-12)


def test_metric_loss_is_least_at_a_soft_target() -> None:
    logits, _ = draw(dtype=torch.float64)
    value, gradient = judge("jaccard_metric", logits, logits.sigmoid())
    assert value.count_nonzero() == 0
    assert gradient.count_nonzero() == 0
    for step in (-0.1, 0.1):
        assert LOSSES["jaccard_metric"](logits + step, logits.sigmoid()).min() > 1e-3
    assert iou_loss(logits + 0.1, logits.sigmoid()).max() < iou_loss(logits, logits.sigmoid()).max()


def test_pixel_at_its_soft_target_has_no_gradient_beside_wrong_ones() -> None:
    logits = torch.tensor([[0.0, 2.0, -1.0]], dtype=torch.float64)
    target = torch.tensor([[0.5, 0.3, 0.9]], dtype=torch.float64)
    _, gradient = judge("jaccard_metric", logits, target)
    assert gradient[0, 0] == 0
    assert gradient.sign().tolist() == [[0, 1, -1]]
    assert twice("jaccard_metric", logits, target, torch.float64)[0, 0] == 0


# Blocks and transforms


@every_variant
@pytest.mark.parametrize("size", [1, 7, 63, 100, 200])
def test_blocks_do_not_matter(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target = draw_with_empty()
    valid = torch.rand(target.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    expected = judge(name, logits, target), judge(name, logits, target, valid=valid, pool="batch")
    monkeypatch.setattr(pixels, "BLOCK_SIZE", size)
    actual = judge(name, logits, target), judge(name, logits, target, valid=valid, pool="batch")
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one[0], other[0])
        torch.testing.assert_close(one[1], other[1])


@every_variant
def test_gradient_that_is_differentiated_again_is_the_same(name: str) -> None:
    logits, target = draw_with_empty()
    expected = judge(name, logits, target)[1]
    again = logits.clone().requires_grad_()
    value = VARIANTS[name](again, target).sum()
    (gradient,) = torch.autograd.grad(value, again, create_graph=True)
    torch.testing.assert_close(gradient.detach(), expected)
    (kept,) = torch.autograd.grad(VARIANTS[name](again, target).sum(), again, retain_graph=True)
    assert torch.equal(kept, expected)


@pytest.mark.parametrize("name", [name for name in VARIANTS if "bits" not in name])
@pytest.mark.parametrize("pool", ["image", "batch"])
def test_first_and_second_derivative(name: str, pool: str) -> None:
    logits, target = draw((3, 3, 4))
    target[0] = 0
    valid = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) < 0.8

    def loss(logits: Tensor) -> Tensor:
        return VARIANTS[name](logits, target, valid=valid, pool=pool)

    assert torch.autograd.gradcheck(loss, logits.requires_grad_())
    assert torch.autograd.gradgradcheck(loss, logits)


@every_variant
def test_second_derivative_by_transforms_is_the_same(name: str) -> None:
    logits, target = draw((2, 2, 3))
    target[0] = 0

    def loss(logits: Tensor) -> Tensor:
        return VARIANTS[name](logits, target).sum()

    expected = torch.autograd.functional.hessian(loss, logits)  # type: ignore[no-untyped-call]
    twice = torch.func.jacrev(torch.func.jacrev(loss))
    torch.testing.assert_close(twice(logits), expected)
    if "lovasz" not in name and name != "bce":
        assert expected.abs().max() > 1e-4


@every_variant
def test_compiled_is_the_same(name: str) -> None:
    torch._dynamo.reset()
    logits, target = draw_with_empty()
    valid = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) < 0.8
    compiled = torch.compile(VARIANTS[name], fullgraph=True, backend="aot_eager")
    expected, gradient = judge(name, logits, target, valid=valid)
    again = logits.clone().requires_grad_()
    value = compiled(again, target, valid=valid)
    rtol = 1 / 200 if "bits" in name else 1e-7  # compiled, it ranks exactly
    torch.testing.assert_close(value, expected, rtol=rtol, atol=1e-12)
    (actual,) = torch.autograd.grad(value.sum(), again)
    if "bits" not in name and "lovasz_hinge:empty" not in name:
        torch.testing.assert_close(actual, gradient)
    with pytest.raises(Exception, match="shape"):
        compiled(logits, target[:, :2], valid=valid)
    compiled(logits, 255 * target, valid=valid)  # only shapes are checked


@every_variant
def test_vmap_is_the_same(name: str) -> None:
    logits, target = draw_with_empty()
    many = torch.stack([logits, -logits, 0.1 * logits])
    masks = torch.stack([target, 1 - target, target])
    expected = torch.stack(
        [VARIANTS[name](one, mask) for one, mask in zip(many, masks, strict=True)]
    )
    torch.testing.assert_close(torch.vmap(VARIANTS[name])(many, masks), expected)
    moved = torch.vmap(VARIANTS[name], in_dims=(2, None))(many.movedim(0, 2), target)
    torch.testing.assert_close(moved, torch.stack([VARIANTS[name](one, target) for one in many]))


@every_variant
def test_gradient_per_member_is_the_same(name: str) -> None:
    logits, target = draw_with_empty()
    gradient = torch.func.grad(lambda logits, target: VARIANTS[name](logits, target).sum())
    torch.testing.assert_close(gradient(logits, target), judge(name, logits, target)[1])
    many, masks = torch.stack([logits, -logits]), torch.stack([target, 1 - target])
    per_member = torch.vmap(gradient)(many, masks)
    for one, two, actual in zip(many, masks, per_member, strict=True):
        torch.testing.assert_close(actual, judge(name, one, two)[1])


@every_loss
def test_autocast_changes_nothing(name: str) -> None:
    logits, target = draw(dtype=torch.float32)
    expected = judge(name, logits, target)
    with torch.autocast("cpu", torch.bfloat16):
        actual = judge(name, logits, target)
    for one, two in zip(actual, expected, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, two)


@every_loss
def test_the_right_way_is_never_worse(name: str) -> None:
    logits, target = draw()
    value = LOSSES[name](logits, target)
    for step in (0.01, 1.0, 10.0):
        better = LOSSES[name](logits + step * (2 * target - 1), target)
        assert (better <= value + 1e-12).all()


def test_soft_reference_of_the_metric_loss() -> None:
    logits, target = draw()
    soft = 0.6 * target + 0.2 * target.roll(1)
    expected = reference.losses("jaccard_metric", logits.numpy(), soft.numpy())
    torch.testing.assert_close(jaccard_metric_loss(logits, soft), torch.from_numpy(expected))


def test_minus_zero_is_a_target_and_hides_nothing() -> None:
    logits, target = torch.zeros(2, 3), torch.tensor([[-0.0, 1, 0], [1, -0.0, 1]])
    torch.testing.assert_close(iou_loss(logits, target), iou_loss(logits, target.abs()))
    for wrong in (-1.0, 1.5, float("nan")):
        target[0, 1] = wrong
        with pytest.raises(ValueError, match="needs 0 to 1"):
            iou_loss(logits, target)
