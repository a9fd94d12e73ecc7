"""The losses as modules, over classes, over processes, beside torch alone, and beside the peers."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch
from processes import lopsided_step, plain_lopsided_step, plain_step, run_processes, train_step
from test_losses import NAMES, draw, every_loss
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from vesica import losses
from vesica.losses import LOSSES, LossModule, one_vs_rest, parse_loss, softmax_loss

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the peers' own
    import segmentation_models_pytorch as smp
    from kornia.losses import lovasz_hinge_loss as kornia_lovasz
    from monai.losses import DiceLoss as MonaiDice

MODULES = {
    "bce": losses.BCELoss,
    "focal": losses.FocalLoss,
    "iou": losses.IoULoss,
    "jaccard_distance": losses.JaccardDistanceLoss,
    "dice": losses.DiceLoss,
    "tversky": losses.TverskyLoss,
    "jaccard_metric": losses.JaccardMetricLoss,
    "lovasz_hinge": losses.LovaszHingeLoss,
    "lovasz_softmax": losses.LovaszSoftmaxLoss,
    "topk": losses.TopKLoss,
    "ce": losses.CELoss,
    "softmax_focal": losses.SoftmaxFocalLoss,
}


def test_every_loss_has_a_module() -> None:
    assert list(MODULES) == NAMES


@every_loss
def test_module_is_the_function_reduced(name: str) -> None:
    logits, target = draw()
    expected = LOSSES[name](logits, target)
    torch.testing.assert_close(MODULES[name]()(logits, target), expected.mean())
    torch.testing.assert_close(MODULES[name](reduction="sum")(logits, target), expected.sum())
    torch.testing.assert_close(MODULES[name](reduction="none")(logits, target), expected)
    assert name in repr(MODULES[name]())


@every_loss
def test_single_channel_is_squeezed(name: str) -> None:
    logits, target = draw()
    expected = MODULES[name]()(logits, target)
    valid = torch.ones_like(target)
    for one in (logits, logits.unsqueeze(1)):
        for other in (target, target.unsqueeze(1)):
            torch.testing.assert_close(MODULES[name]()(one, other), expected)
            for mask in (valid, valid.unsqueeze(1)):
                torch.testing.assert_close(MODULES[name]()(one, other, mask), expected)


def test_parameters_reach_the_function() -> None:
    logits, target = draw()
    for module, spelling in [
        (losses.IoULoss(smooth=2), "iou:smooth=2"),
        (losses.TverskyLoss(alpha=0.3, beta=0.8), "tversky:alpha=0.3:beta=0.8"),
        (losses.FocalLoss(alpha=0.4, gamma=1), "focal:alpha=0.4:gamma=1"),
        (losses.LovaszHingeLoss(bits=16), "lovasz_hinge:bits=16"),
        (losses.DiceLoss(empty="skip"), "dice:empty=skip"),
        (LossModule("0.3bce+0.7iou"), "0.3bce+0.7iou"),
    ]:
        assert str(module.loss) == spelling
        expected = parse_loss(spelling)(logits, target).mean()
        torch.testing.assert_close(module(logits, target), expected)


def test_mean_is_over_what_counts() -> None:
    logits, target = draw()
    target[1] = 0
    others = [0, 2, 3, 4, 5]
    each = LOSSES["iou"](logits, target)
    skipping = losses.IoULoss(empty="skip")(logits, target)
    torch.testing.assert_close(skipping, each[others].mean())
    valid = torch.ones_like(target)
    valid[3] = 0
    for name in NAMES:
        kept = [0, 1, 2, 4, 5]
        expected = LOSSES[name](logits[kept], target[kept]).mean()
        torch.testing.assert_close(MODULES[name]()(logits, target, valid), expected)
        nothing = MODULES[name]()(logits, target, torch.zeros_like(target))
        assert nothing == 0
    mixed = LossModule("0.3bce+0.7iou:empty=skip")(logits, target)
    bce = LOSSES["bce"](logits, target).mean()
    torch.testing.assert_close(mixed, 0.3 * bce + 0.7 * each[others].mean())


def test_skipping_over_a_pool() -> None:
    logits, target = draw()
    whole = losses.IoULoss(empty="skip", pool="batch")
    torch.testing.assert_close(
        whole(logits, target), LOSSES["iou"](logits, target, pool="batch")[0]
    )
    assert whole(logits, torch.zeros_like(target)) == 0


@pytest.mark.parametrize("options", [{}, {"bits": 16}, {"bits": 16, "pool": "world"}])
def test_batch_of_no_image_is_zero(options: dict[str, Any]) -> None:
    for empty in ("background", "skip", "formula"):
        logits = torch.zeros((0, 8, 8), requires_grad=True)
        value = losses.LovaszHingeLoss(empty=empty, **options)(logits, torch.zeros(0, 8, 8))
        assert value == 0
        value.backward()
        if "bits" not in options:
            value = losses.IoULoss(empty=empty)(logits, torch.zeros(0, 8, 8))
            assert value == 0
            value.backward()


def test_channels() -> None:
    logits, target = draw((4, 3, 5, 6))
    values = losses.IoULoss(channels=True, reduction="none")(logits, target)
    torch.testing.assert_close(values, LOSSES["iou"](logits, target, channels=True))
    torch.testing.assert_close(losses.IoULoss(channels=True)(logits, target), values.mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "avg"}, "'mean', 'sum' or 'none'"),
        ({"pool": "all"}, "'image', 'batch' or 'world'"),
        ({"channels": True, "softmax": True}, "pass one"),
        ({"empty": "one"}, "formula, skip, background"),
        ({"smooth": -1}, "^loss iou:smooth=-1: smooth=-1: expected a number of at least 0"),
        ({"smooth": True}, "smooth=True: expected a number"),
        ({"smooth": float("nan")}, "smooth=nan: expected a number of at least 0"),
    ],
)
def test_bad_options_are_refused_when_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losses.IoULoss(**options)


# Classes


def draw_classes(num_classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (4, num_classes, 6, 7)
    logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    classes = torch.randint(0, num_classes, (4, 6, 7), generator=generator)
    classes[1] = classes[1].clamp_max(num_classes - 2)
    return logits, classes


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_sigmoid_of_one_against_the_rest_is_softmax(num_classes: int) -> None:
    logits, _ = draw_classes(num_classes)
    for scale in (1, 10, 100):
        probs = one_vs_rest(scale * logits).sigmoid()
        torch.testing.assert_close(probs, (scale * logits).softmax(1))
    far = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 30.0]]).unsqueeze(2).requires_grad_()
    found = one_vs_rest(far)
    (slope,) = torch.autograd.grad(found.sum(), far)
    assert found.isfinite().all()
    torch.testing.assert_close(found[1, 2, 0], torch.tensor(30 - np.log(2)).float())
    assert slope.isfinite().all()
    assert torch.autograd.gradcheck(one_vs_rest, logits[:1, :, :2, :2].requires_grad_())


@pytest.mark.parametrize("num_classes", [2, 4])
def test_softmax_is_the_mean_over_the_classes_present(num_classes: int) -> None:
    logits, classes = draw_classes(num_classes)
    probs = logits.softmax(1).numpy()
    expected = []
    for image, index in zip(probs, classes.numpy(), strict=True):
        present = np.unique(index)
        expected.append(
            np.mean([reference.iou(image[k], (index == k).astype(float)) for k in present])
        )
    assert len(np.unique(classes[1])) == num_classes - 1
    found = softmax_loss(parse_loss("iou"), logits, classes)
    np.testing.assert_allclose(found, expected)
    for target in (classes, classes.unsqueeze(1), classes.to(torch.uint8)):
        module = losses.IoULoss(softmax=True)
        assert float(module(logits, target)) == pytest.approx(np.mean(expected))


def test_softmax_of_every_loss_trains_and_ignores() -> None:
    logits, classes = draw_classes(3)
    valid = classes != 1
    for name in NAMES:
        module = MODULES[name](softmax=True, reduction="none")
        again = logits.clone().requires_grad_()
        value = module(again, torch.where(valid, classes, 255), valid)
        assert value.shape == (4,)
        (found,) = torch.autograd.grad(value.sum(), again)
        moved = (found != 0).any(1)
        assert not moved[~valid].any()
        assert moved[valid].any()
        assert module(logits, classes, torch.zeros_like(classes)).count_nonzero() == 0


@pytest.mark.parametrize("dirt", [torch.nan, torch.inf, -torch.inf])
def test_softmax_hides_what_is_ignored(dirt: float) -> None:
    logits, classes = draw_classes(3)
    valid = torch.rand(classes.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    dirty = torch.where(valid.unsqueeze(1), logits, dirt)
    for name in NAMES:
        module = MODULES[name](softmax=True)
        expected, exact = gradient(lambda x, t, m=module: m(x, t, valid), logits, classes)
        value, found = gradient(lambda x, t, m=module: m(x, t, valid), dirty, classes)
        assert torch.equal(value, expected)
        assert torch.equal(found, exact)
        assert found.isfinite().all()
        assert found.movedim(1, -1)[~valid].count_nonzero() == 0


def test_class_that_is_only_ignored_is_not_present() -> None:
    logits, classes = draw_classes(3)
    classes[0, 0, 0] = 2
    valid = classes != 2
    found = softmax_loss(parse_loss("iou"), logits, classes, valid=valid)
    for row in range(len(logits)):
        kept = logits[row][:, valid[row]].unsqueeze(0), classes[row][valid[row]].unsqueeze(0)
        assert set(kept[1].flatten().tolist()) == {0, 1}
        expected = softmax_loss(parse_loss("iou"), *kept)[0]
        torch.testing.assert_close(found[row], expected)


def test_softmax_over_a_batch() -> None:
    logits, classes = draw_classes(3)
    whole = softmax_loss(parse_loss("iou"), logits, classes, pool="batch")
    flat = logits.movedim(1, 0).reshape(1, 3, -1), classes.reshape(1, -1)
    torch.testing.assert_close(whole, softmax_loss(parse_loss("iou"), *flat))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (torch.full((4, 6, 7), 255), "valid=classes != 255"),
        (torch.full((4, 6, 7), -1), "from -1 to -1"),
        (torch.zeros(4, 6, 7), "an integer"),
        (torch.zeros(4, 2, 6, 7, dtype=torch.int64), "an integer"),
        (torch.zeros(4, 3, 6, 7), "add up to between 0 and 0; one-hot and soft"),
        (torch.full((4, 3, 6, 7), 1 / 2), "add up to between 1.5 and 1.5"),
    ],
)
def test_bad_classes_are_refused(classes: Tensor, message: str) -> None:
    logits, _ = draw_classes(3)
    with pytest.raises(ValueError, match=message):
        softmax_loss(parse_loss("iou"), logits, classes)


# Processes


def test_two_processes_equal_one(tmp_path: Path) -> None:
    expected = train_step([0, 1, 2, 3, 4])
    for part in run_processes(train_step, [[0, 1, 2], [3, 4]], tmp_path):
        for spelling, (value, gradient) in expected.items():
            assert part[spelling][0] == pytest.approx(value, rel=1e-9), spelling
            assert part[spelling][1] == pytest.approx(gradient, rel=1e-7, abs=1e-12), spelling
            assert np.abs(gradient).max() > 1e-6


def test_processes_may_differ_in_what_they_have(tmp_path: Path) -> None:
    """One without foreground and without ignored pixels, one with both, one without images."""
    expected = lopsided_step([0, 1, 2, 3, 4])
    assert expected["iou:empty=skip"] > 0.1
    for part in run_processes(lopsided_step, [[0, 1, 2], [3, 4], []], tmp_path):
        assert part == pytest.approx(expected, rel=1e-9)


def test_processes_need_nothing_faster(tmp_path: Path) -> None:
    (expected,) = run_processes(plain_step, [[0, 1, 2, 3, 4]], tmp_path / "one")
    for part in run_processes(plain_step, [[0, 1, 2], [3, 4]], tmp_path / "two"):
        for spelling, (value, gradient) in expected.items():
            assert part[spelling][0] == pytest.approx(value, rel=1e-9), spelling
            assert part[spelling][1] == pytest.approx(gradient, rel=1e-7, abs=1e-12), spelling
    (lopsided,) = run_processes(plain_lopsided_step, [[0, 1, 2, 3, 4]], tmp_path / "three")
    for part in run_processes(plain_lopsided_step, [[0, 1, 2], [3, 4], []], tmp_path / "four"):
        assert part == pytest.approx(lopsided, rel=1e-9)


# Alone


def test_needs_torch_and_jaxtyping_alone(tmp_path: Path) -> None:
    """As after `pip install --no-deps`: nothing else that Vesica depends on can be found."""
    missing = {"numpy", "scipy", "PIL", "pydantic", "torchvision", "lightning_fabric", "typer"}
    missing |= {"rich", "matplotlib", "safetensors", "h5py", "pydantic_core", "lightning_utilities"}
    for package in Path(torch.__file__).parents[1].iterdir():
        if package.name.partition("-")[0].lower() not in {name.lower() for name in missing}:
            (tmp_path / package.name).symlink_to(package)
    (tmp_path / "vesica").symlink_to(Path(losses.__file__).parents[1])
    code = """
import importlib.util, sys, warnings
warnings.simplefilter("ignore")  # torch misses numpy
import torch
from vesica.losses import IoULoss, LovaszHingeLoss
logits = torch.randn(2, 1, 8, 8, requires_grad=True)
for module in (IoULoss(), LovaszHingeLoss(), LovaszHingeLoss(bits=16)):
    module(logits, torch.rand(2, 8, 8) < 0.5).backward()
found = [n for n in ("numpy", "pydantic", "torchvision", "scipy") if importlib.util.find_spec(n)]
print("alone", found, float(logits.grad.abs().sum()) > 0)
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout == "alone [] True\n", done.stderr


# Peers, on ordinary input, where they are right


def gradient(module: Any, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = module(logits, target)
    (found,) = torch.autograd.grad(value, logits)
    return value.detach(), found


JACCARD = smp.losses.JaccardLoss("binary", eps=0)
PEERS: dict[str, tuple[Any, Any]] = {
    "smp jaccard": (losses.IoULoss(pool="batch"), JACCARD),
    "smp dice": (losses.DiceLoss(pool="batch"), smp.losses.DiceLoss("binary", eps=0)),
    "smp tversky": (
        losses.TverskyLoss(alpha=0.3, beta=0.7, pool="batch"),
        smp.losses.TverskyLoss("binary", alpha=0.3, beta=0.7, eps=0),
    ),
    "smp lovasz": (losses.LovaszHingeLoss(), smp.losses.LovaszLoss("binary", per_image=True)),
    "monai jaccard": (
        losses.IoULoss(),
        MonaiDice(sigmoid=True, jaccard=True, smooth_nr=0, smooth_dr=0),
    ),
    "monai dice": (losses.DiceLoss(), MonaiDice(sigmoid=True, smooth_nr=0, smooth_dr=0)),
    "monai squared": (
        losses.JaccardDistanceLoss(),
        MonaiDice(sigmoid=True, jaccard=True, squared_pred=True, smooth_nr=0, smooth_dr=0),
    ),
    "kornia lovasz": (
        losses.LovaszHingeLoss(),
        lambda logits, target: kornia_lovasz(logits, target[:, 0].long()),
    ),
    "torch bce": (losses.BCELoss(), nn.BCEWithLogitsLoss()),
    "torchvision focal": (
        losses.FocalLoss(),
        lambda logits, target: sigmoid_focal_loss(logits, target, reduction="mean"),
    ),
}


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.filterwarnings("ignore")
def test_peers_agree_on_ordinary_input(name: str) -> None:
    logits, target = draw((6, 1, 16, 16), dtype=torch.float32)
    ours, theirs = (gradient(module, logits, target) for module in PEERS[name])
    torch.testing.assert_close(ours[0], theirs[0].to(ours[0].dtype), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-4, atol=1e-7)


def test_soft_metric_loss_equals_monai_away_from_p_equal_t() -> None:
    logits, target = draw((6, 1, 16, 16))
    soft = 0.7 * target + 0.1
    peer = MonaiDice(sigmoid=True, jaccard=True, soft_label=True, smooth_nr=0, smooth_dr=0)
    ours, theirs = gradient(losses.JaccardMetricLoss(), logits, soft), gradient(peer, logits, soft)
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-5, atol=1e-9)


def test_compiled_for_real() -> None:
    logits, target = draw((4, 32, 32), dtype=torch.float32)
    module = torch.compile(losses.IoULoss(), fullgraph=True)
    try:
        value, found = gradient(module, logits, target)
    except Exception as error:  # no C++ compiler
        if "compiler" not in str(error).lower():
            raise
        pytest.skip("torch.compile finds no C++ compiler")
    expected, exact = gradient(losses.IoULoss(), logits, target)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(found, exact)
    assert functional.mse_loss(found, torch.zeros_like(found)) > 0
