"""A loss of the user's own: a function that is held to what every loss keeps to."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_losses import draw
from torch import Tensor

from vesica.errors import DataError
from vesica.losses import LossModule, as_loss, iou_loss, parse_loss, softmax_loss

SOURCE = """
import torch

def mean_error(logits, target, *, power: float = 1.0):
    return (logits.sigmoid() - target).abs().pow(power).flatten(1).mean(1)

def scalar(logits, target):
    return logits.mean()

def per_pixel(logits, target):
    return logits.sigmoid()

def integers(logits, target):
    return torch.ones(len(logits), dtype=torch.int64)

def detached(logits, target):
    return logits.detach().flatten(1).mean(1)

def number(logits, target):
    return 1.0

def broken(logits, target):
    return logits["x"]

def needs(logits, target, *, power: float):
    return (logits * power).flatten(1).mean(1)
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(SOURCE)
    return str(tmp_path / "mine.py")


def here(logits: Tensor, target: Tensor) -> Tensor:
    return (logits - target).square().flatten(1).mean(1)


def test_it_is_a_loss_like_any_other(mine: str) -> None:
    logits, target = draw((4, 3, 6, 7), dtype=torch.float32)
    loss = parse_loss(f"2{mine}:mean_error:power=2+iou")
    error = (logits.sigmoid() - target).square()
    expected = 2 * error.flatten(1).mean(1) + iou_loss(logits, target)
    torch.testing.assert_close(loss(logits, target.bool()), expected)
    in_channels = loss(logits, target, channels=True)
    expected = 2 * error.flatten(2).mean(2) + iou_loss(logits, target, channels=True)
    torch.testing.assert_close(in_channels, expected)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        again = logits.to(dtype).requires_grad_()
        value = loss(again, target)
        assert value.dtype == torch.promote_types(dtype, torch.float32)
        (gradient,) = torch.autograd.grad(value.sum(), again)
        assert gradient.dtype == dtype
    classes = torch.randint(0, 3, (4, 6, 7), generator=torch.Generator().manual_seed(0))
    assert softmax_loss(loss, logits, classes).shape == (4,)
    assert LossModule(f"{mine}:mean_error")(logits, target).shape == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scalar", r"must return one number per image.*float32 of shape \(\)"),
        ("per_pixel", r"float32 of shape \(2, 8, 8\)"),
        ("integers", r"int64 of shape \(2,\)"),
        ("detached", "can be differentiated by the logits; this one cannot"),
        ("number", "it returns float"),
        ("broken", "mine.py:broken: .*; mend the function"),
        ("needs", "mine.py:needs needs power="),
        ("absent", "no function 'absent'"),
        ("mean_error:strength=2", "no parameter 'strength'"),
    ],
)
def test_what_does_not_keep_to_it_is_one_sentence(mine: str, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_loss(f"iou+{mine}:{name}")
    assert "\n" not in str(caught.value)
    if ":" not in name and name not in ("needs", "absent"):
        assert isinstance(caught.value, DataError)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"valid": torch.ones(6, 7, 9)}, "knows nothing of ignored pixels"),
        ({"pool": "batch"}, "knows nothing of pool='batch'"),
        ({"pool": "world"}, "knows nothing of pool='world'"),
    ],
)
def test_it_knows_of_images_alone(mine: str, over: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_loss(f"{mine}:mean_error")(*draw(), **over)


def test_its_target_is_checked(mine: str) -> None:
    logits, target = draw()
    with pytest.raises(ValueError, match="a loss needs 0 to 1"):
        parse_loss(f"{mine}:mean_error")(logits, 255 * target)


def test_functions_are_losses() -> None:
    logits, target = draw()
    torch.testing.assert_close(LossModule(here)(logits, target), here(logits, target).mean())
    assert str(as_loss(here)).startswith("test_loss_own.py@")
    assert str(as_loss(iou_loss)) == "iou"
    once = as_loss(lambda logits, target: (logits - target).flatten(1).mean(1))
    assert parse_loss(str(once)) == once


def test_a_weight_is_no_part_of_a_files_name(tmp_path: Path) -> None:
    (tmp_path / "3d.py").write_text(SOURCE)
    for name in (f"0.5{tmp_path}/3d.py:mean_error", f"{tmp_path}/3d.py:mean_error"):
        with pytest.raises(ValueError, match="begin its name with a letter: digits are a weight"):
            parse_loss(name)
