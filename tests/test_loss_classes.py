"""Several classes: cross-entropy, class weights, ignored indices, one-hot and soft targets."""

import warnings
from typing import Any

import pytest
import torch
from test_losses import SOFT, every_loss
from torch import Tensor, nn
from torch.nn import functional

from vesica.losses import LossModule, class_values, parse_loss, softmax_loss

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MONAI's own
    from monai.losses import DiceCELoss, FocalLoss

WEIGHT = [0.5, 2.0, 1.0]


def draw_classes(num: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn((num, 3, 6, 7), generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 3, (num, 6, 7), generator=generator)


def one_hot(classes: Tensor) -> Tensor:
    return functional.one_hot(classes, 3).movedim(-1, 1)


def both(one: Any, other: Any, logits: Tensor) -> None:
    """Same values and gradients."""
    found = []
    for loss in (one, other):
        again = logits.detach().clone().requires_grad_()
        value = loss(again)
        found.append((value.detach(), torch.autograd.grad(value.sum(), again)[0]))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs.to(mine.dtype), rtol=1e-5, atol=1e-9)
    assert found[0][1].abs().max() > 1e-4


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("ignore_index", [None, 255, 1])
def test_ce_is_torchs_cross_entropy(weight: list[float] | None, ignore_index: int | None) -> None:
    logits, classes = draw_classes()
    if ignore_index == 255:
        classes[:, 2] = 255
    index = -100 if ignore_index is None else ignore_index
    theirs = nn.CrossEntropyLoss(
        None if weight is None else torch.tensor(weight, dtype=torch.float64), ignore_index=index
    )
    ours = LossModule("ce", softmax=True, pool="batch", weight=weight, ignore_index=ignore_index)
    both(lambda x: ours(x, classes), lambda x: theirs(x, classes), logits)


def test_ce_of_soft_targets_is_torchs() -> None:
    logits, classes = draw_classes()
    soft = 0.8 * one_hot(classes) + 0.2 / 3
    ours = LossModule("ce", softmax=True)
    both(lambda x: ours(x, soft), lambda x: functional.cross_entropy(x, soft), logits)
    smooth = nn.CrossEntropyLoss(label_smoothing=0.2)
    both(lambda x: ours(x, soft), lambda x: smooth(x, classes), logits)


@pytest.mark.filterwarnings("ignore")
def test_dice_and_ce_are_monais_dice_ce() -> None:
    logits, classes = draw_classes()
    assert all(len(image.unique()) == 3 for image in classes)
    theirs = DiceCELoss(softmax=True, to_onehot_y=True, smooth_nr=0, smooth_dr=0)
    ours = LossModule("dice+ce", softmax=True)
    both(lambda x: ours(x, classes), lambda x: theirs(x, classes.unsqueeze(1)), logits)
    target = (classes > 0).unsqueeze(1)
    binary = DiceCELoss(sigmoid=True, smooth_nr=0, smooth_dr=0)
    label = LossModule("dice+ce")
    both(lambda x: label(x, target), lambda x: binary(x, target.double()), logits[:, :1])


@pytest.mark.filterwarnings("ignore")
def test_softmax_focal_is_monais() -> None:
    logits, classes = draw_classes()
    for gamma in (0.5, 2.0):
        theirs = FocalLoss(gamma=gamma, use_softmax=True, reduction="sum", to_onehot_y=True)
        ours = LossModule(f"softmax_focal:gamma={gamma}", softmax=True)
        both(
            lambda x, ours=ours: ours(x, classes),
            lambda x, theirs=theirs: theirs(x, classes.unsqueeze(1)) / len(x),
            logits,
        )
    ce, focal = (LossModule(n, softmax=True) for n in ("ce", "softmax_focal:gamma=0"))
    both(lambda x: ce(x, classes), lambda x: focal(x, classes), logits)


def test_two_classes_are_the_binary_loss() -> None:
    logits, classes = draw_classes()
    two = torch.stack([torch.zeros_like(logits[:, 0]), logits[:, 0]], dim=1)
    for name in ("ce", "softmax_focal", "softmax_focal:gamma=1"):
        label = parse_loss(name)(logits[:, 0], classes > 0)
        torch.testing.assert_close(softmax_loss(parse_loss(name), two, (classes > 0).long()), label)


@every_loss
@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.uint8, torch.float32])
def test_one_hot_targets_are_classes(name: str, kind: torch.dtype) -> None:
    logits, classes = draw_classes()
    valid = torch.rand(classes.shape, generator=torch.Generator().manual_seed(1)) < 0.8
    module = LossModule(f"{name}+0.5bce" if name != "bce" else name, softmax=True)
    for mask in (None, valid):
        expected = module(logits, classes, mask)
        torch.testing.assert_close(module(logits, one_hot(classes).to(kind), mask), expected)


@pytest.mark.parametrize("name", SOFT)
def test_soft_targets_have_a_gradient(name: str) -> None:
    logits, classes = draw_classes(2)
    soft = 0.7 * one_hot(classes) + 0.1
    loss = parse_loss(name)
    again = logits[:, :, :2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: softmax_loss(loss, x, soft[:, :, :2, :2]), again)
    dirty = torch.where(classes.unsqueeze(1) == 0, torch.nan, soft)
    value = softmax_loss(loss, logits, dirty, valid=classes != 0)
    assert value.isfinite().all()


@every_loss
@pytest.mark.parametrize("way", ["image", "channels", "softmax"])
def test_ignore_index_is_valid(name: str, way: str) -> None:
    logits, classes = draw_classes()
    options: dict[str, Any] = {} if way == "image" else {way: True}
    target = {"image": (classes > 0).long(), "softmax": classes}.get(way, one_hot(classes))
    where = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) < 0.2
    scores = logits[:, :1] if way == "image" else logits
    ignoring = LossModule(name, ignore_index=255, **options)
    expected = LossModule(name, **options)(scores, target, ~where)
    marked = target.masked_fill(where, 255)
    torch.testing.assert_close(ignoring(scores, marked), expected)
    if way != "softmax":
        torch.testing.assert_close(ignoring(scores, marked.float()), expected)
    others = torch.rand(target.shape, generator=torch.Generator().manual_seed(2)) < 0.8
    torch.testing.assert_close(
        ignoring(scores, marked, others),
        LossModule(name, **options)(scores, target, others & ~where),
    )
    assert ignoring(scores, target.fill_(255)) == 0
    with pytest.raises(ValueError, match="255"):
        LossModule(name, **options)(scores, marked)


@every_loss
@pytest.mark.parametrize("way", ["channels", "softmax"])
def test_weights_are_of_classes(name: str, way: str) -> None:
    logits, classes = draw_classes()
    target = classes if way == "softmax" else one_hot(classes)
    options: dict[str, Any] = {way: True}
    each = LossModule(name, reduction="classes", **options)(logits, target)
    assert each.shape == (4, 3)
    counts = torch.ones(4, 3, dtype=torch.float64)
    if way == "softmax":
        values, (counts,) = class_values(parse_loss(name), logits, target)
        assert torch.equal(values[0], each)
    plain, weighed = (LossModule(name, weight=w, **options) for w in (None, WEIGHT))
    same = LossModule(name, weight=torch.tensor([3.0, 3.0, 3.0]), **options)
    torch.testing.assert_close(same(logits, target), plain(logits, target))
    shares = counts * torch.tensor(WEIGHT)
    expected = ((each * shares).sum(1) / shares.sum(1)).mean()
    torch.testing.assert_close(weighed(logits, target), expected)
    alone = LossModule(name, weight=[0, 1, 0], reduction="none", **options)(logits, target)
    assert torch.equal(alone, each[:, 1]) if way == "softmax" else alone[:, 0].count_nonzero() == 0
    assert "weight" not in weighed.state_dict()
    assert "weight=[0.5, 2.0, 1.0]" in repr(weighed)


def test_values_of_classes() -> None:
    logits, classes = draw_classes()
    classes[1] = classes[1].clamp_max(1)
    each = LossModule("dice", softmax=True, reduction="classes")(logits, classes)
    assert (each == 0).nonzero().tolist() == [[1, 2]]
    nll = functional.cross_entropy(logits, classes, reduction="none")
    of_class = LossModule("ce", softmax=True, reduction="classes")(logits, classes)
    torch.testing.assert_close(of_class[0, 1], nll[0][classes[0] == 1].mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": [1.0, 2.0]}, "pass softmax=True or channels=True"),
        ({"reduction": "classes"}, "pass softmax=True or channels=True"),
        ({"softmax": True, "weight": [1.0, -1.0, 1.0]}, r"weight\[1\]=-1: expected a number"),
        ({"softmax": True, "weight": [0.0, 0.0, 0.0]}, "at least one of them above 0"),
        ({"channels": True, "weight": [[1.0, 1.0, 1.0]]}, "one number per class"),
        ({"softmax": True, "weight": [float("nan")] * 3}, "expected a number"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossModule("iou", **options)


def test_what_does_not_fit_is_refused() -> None:
    logits, classes = draw_classes()
    with pytest.raises(ValueError, match="weight has 2 numbers"):
        LossModule("iou", softmax=True, weight=[1, 2])(logits, classes)
    with pytest.raises(ValueError, match="no ignore_index; pass valid"):
        LossModule("iou", softmax=True, ignore_index=255)(logits, one_hot(classes))
