"""What losses are given: subclasses, tensors without numbers, infinite logits, and confidence."""

import functools
import warnings
from typing import Any

import pytest
import torch
from test_losses import draw, every_loss, largest
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.two_tensor import TwoTensor
from torchvision import tv_tensors

from vesica.losses import LOSSES, LossModule, bce_loss, focal_loss, softmax_loss, tversky_loss
from vesica.losses.table import parse_loss

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MONAI's own
    from monai.data import MetaTensor

REGION = ["iou", "jaccard_distance", "dice", "tversky", "jaccard_metric"]
KINDS = {
    "MetaTensor": MetaTensor,
    "Image": tv_tensors.Image,
    "Mask": tv_tensors.Mask,
    "TwoTensor": lambda tensor: TwoTensor(tensor, tensor.clone()),
}
WAYS: dict[str, dict[str, Any]] = {
    "image": {},
    "batch": {"pool": "batch"},
    "channels": {"channels": True},
    "softmax": {"softmax": True},
}


def judge(module: LossModule, *args: Tensor) -> tuple[Tensor, Tensor]:
    logits = args[0].detach().clone().requires_grad_()
    value = module(logits, *args[1:])
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def inputs(way: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    logits, target = draw((4, 3, 6, 7), dtype=dtype)
    target[1] = 0
    valid = torch.rand((4, 3, 6, 7), generator=torch.Generator().manual_seed(0)) < 0.8
    if way == "softmax":
        return logits, target.sum(1).long().clamp_max(2), valid[:, 0].contiguous()
    return logits, target, valid


@every_loss
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_subclasses_of_tensors_are_tensors(name: str, way: str, kind: str) -> None:
    module, given = LossModule(name, **WAYS[way]), inputs(way)
    for num in (1, 2, 3):
        expected = judge(module, *given[:2], *([given[2]] if num == 3 else []))
        args = [KINDS[kind](t) if i < num else t for i, t in enumerate(given[: max(2, num)])]
        value, gradient = judge(module, *args)
        for one, other in zip((value, gradient), expected, strict=True):
            plain = one.a if isinstance(one, TwoTensor) else one.as_subclass(Tensor)
            torch.testing.assert_close(plain, other)
        assert kind == "TwoTensor" or type(value) is Tensor


@every_loss
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_without_numbers_have_a_loss_of_the_right_shape(
    name: str, way: str, dtype: torch.dtype
) -> None:
    module = LossModule(name, reduction="none", **WAYS[way])
    expected = module(*inputs(way, dtype))
    on_meta = [tensor.to("meta") for tensor in inputs(way, dtype)]
    on_meta[0].requires_grad_()
    value = module(*on_meta)
    value.sum().backward()
    assert on_meta[0].grad is not None
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(tensor) for tensor in inputs(way, dtype)]
        fake = module(*fakes)
        assert module(fakes[0], fakes[1]).shape == fake.shape
    for found in (value, fake):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


@every_loss
@pytest.mark.parametrize("way", WAYS)
def test_modules_can_be_mapped(name: str, way: str) -> None:
    module, (logits, target, valid) = LossModule(name, **WAYS[way]), inputs(way)
    many = torch.stack([logits, -logits, 0.1 * logits])
    masks = torch.stack([target, target.roll(1, 0), target])
    for args, dims in (((), (0, 0)), ((valid,), (0, 0, None))):
        expected = [judge(module, x, t, *args) for x, t in zip(many, masks, strict=True)]
        value = torch.vmap(module, dims)(many, masks, *args)
        torch.testing.assert_close(value, torch.stack([v for v, _ in expected]))
        gradient = torch.vmap(torch.func.grad(module), dims)(many, masks, *args)
        torch.testing.assert_close(gradient, torch.stack([g for _, g in expected]))
    if way == "softmax":
        with pytest.raises(ValueError, match="from 0 to 255"):
            torch.vmap(module)(many, masks.index_fill(0, torch.tensor([1]), 255))


# Infinite logits


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("is_again", [False, True])
def test_infinite_logits_that_are_right_cost_nothing(
    name: str, dtype: torch.dtype, is_again: bool
) -> None:
    target = draw()[1]
    logits = (torch.inf * (2 * target - 1)).to(dtype).requires_grad_()
    value = LOSSES[name](logits, target)
    (gradient,) = torch.autograd.grad(value.sum(), logits, create_graph=is_again)
    assert value.tolist() == [0] * len(value)
    assert gradient.count_nonzero() == 0


@every_loss
@pytest.mark.parametrize("is_again", [False, True])
@pytest.mark.parametrize("share", [0.02, 1.0])
def test_infinite_logits_that_are_wrong_cost_as_much_as_can_be(
    name: str, is_again: bool, share: float
) -> None:
    logits, target = draw()
    is_wrong = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) < share
    is_wrong[:, 0, :2] = True
    logits = torch.where(is_wrong, torch.inf * (1 - 2 * target), logits).requires_grad_()
    value = LOSSES[name](logits, target)
    (gradient,) = torch.autograd.grad(value.sum(), logits, create_graph=is_again)
    assert gradient.isfinite().all()
    if largest(name) == 1:
        assert value.max() <= 1
        assert share < 1 or value.min() == 1
    else:
        assert value.isposinf().all()
    others = LOSSES[name](logits.detach().clamp(-1e4, 1e4), target)
    if largest(name) == 1:
        torch.testing.assert_close(value, others)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_infinite_logits_at_every_weight(alpha: float, gamma: float) -> None:
    loss = functools.partial(focal_loss, alpha=alpha, gamma=gamma)
    for is_again in (False, True):
        for logit, label, is_costly in (
            (torch.inf, 1.0, False),
            (-torch.inf, 0.0, False),
            (torch.inf, 0.0, alpha < 1),
            (-torch.inf, 1.0, alpha > 0),
        ):
            logits = torch.tensor([[logit, 0.5]], requires_grad=True)
            target = torch.tensor([[label, 1.0]])
            value = loss(logits, target)
            (gradient,) = torch.autograd.grad(value.sum(), logits, create_graph=is_again)
            assert gradient.isfinite().all()
            assert bool(value.isinf()) == is_costly
            assert not value.isnan()


def test_soft_target_is_infinitely_far_from_infinite_logits() -> None:
    for logit in (torch.inf, -torch.inf):
        assert bce_loss(torch.tensor([[logit]]), torch.tensor([[0.3]])).tolist() == [torch.inf]


@every_loss
def test_classes_that_cannot_be_are_no_reason_for_nan(name: str) -> None:
    logits, classes = draw((4, 3, 6, 7))[0], torch.arange(42).view(1, 6, 7).repeat(4, 1, 1) % 2
    logits[:, 2] = -torch.inf
    logits[:, 0, 0] = torch.inf
    logits.requires_grad_()
    value = softmax_loss(parse_loss(name), logits, classes)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert not value.isnan().any()
    assert gradient.isfinite().all()
    logits = torch.inf * (2.0 * torch.nn.functional.one_hot(classes, 3).movedim(-1, 1) - 1)
    assert softmax_loss(parse_loss(name), logits, classes).count_nonzero() == 0


# Confidence


@pytest.mark.parametrize("name", REGION)
@pytest.mark.parametrize("logit", [4.0, 8.0, 12.0, 16.0, 20.0, 40.0])
@pytest.mark.parametrize("is_soft", [False, True])
def test_a_million_confident_pixels_keep_their_digits(
    name: str, logit: float, is_soft: bool
) -> None:
    target = torch.zeros(3, 1024, 1024)
    target[0, 200:800, 300:900], target[2] = 1, 1  # and one image without foreground
    noise = torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
    logits = (2 * target - 1) * (logit + noise)
    if is_soft:  # one pixel, to which the prediction comes close
        target[0, 0, 0], logits[0, 0, 0] = 0.75, torch.tensor(3.0).log()
    atol = 1e-12 if is_soft else 0  # the logit of that pixel is rounded, too
    value = LOSSES[name](logits, target)
    exact = LOSSES[name](logits.double(), target)
    assert value.min() >= 0
    torch.testing.assert_close(value.double(), exact, rtol=2e-6, atol=atol)
    compiled = torch.compile(LOSSES[name], backend="eager")(logits, target)
    torch.testing.assert_close(compiled.double(), exact, rtol=2e-6, atol=atol)
    # By the error itself, where all of a hard target is right: (1 - p) / p on foreground alone.
    if name in ("iou", "jaccard_metric") and not is_soft:
        miss = torch.sigmoid(-logits[2].double())
        torch.testing.assert_close(exact[2], miss.mean())


@every_loss
def test_the_default_type_changes_nothing(name: str) -> None:
    numbers = {"tversky": {"alpha": 0.3, "beta": 0.9}, "focal": {"alpha": 0.3}}.get(name, {})
    logits, target = draw()
    target[1] = 0
    expected = LOSSES[name](logits, target, **numbers)
    before = torch.get_default_dtype()
    for default in (torch.float64, torch.float16):
        torch.set_default_dtype(default)
        try:
            found = LOSSES[name](logits, target, **numbers)
            narrow = LOSSES[name](logits.float(), target, **numbers)
        finally:
            torch.set_default_dtype(before)
        assert torch.equal(found, expected)
        assert narrow.dtype == torch.float32


def test_tversky_is_exact_in_float64() -> None:
    logits, target = draw()
    tp, fp, fn = (
        (one * other).flatten(1).sum(1)
        for one, other in (
            (logits.sigmoid(), target),
            (logits.sigmoid(), 1 - target),
            (1 - logits.sigmoid(), target),
        )
    )
    expected = 1 - tp / (tp + 0.3 * fp + 0.9 * fn)
    value = tversky_loss(logits, target, alpha=0.3, beta=0.9)
    torch.testing.assert_close(value, expected, rtol=1e-13, atol=0)
