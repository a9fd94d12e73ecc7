"""Optimisers and schedules by their names."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from vesica.optim import OPTIMIZERS, SCHEDULES, read_optimizer, read_schedule


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_downhill_by_its_rate(name: str) -> None:
    moved = []
    for lr in (1e-3, 1e-2):
        parameter = nn.Parameter(torch.ones(4))
        optimizer = read_optimizer(f"{name}:lr={lr}").call(OPTIMIZERS, [parameter])
        assert optimizer.param_groups[0]["lr"] == lr
        torch.autograd.backward(parameter.square().sum())
        optimizer.step()
        moved.append(float((1 - parameter.detach()).mean()))
    assert 0 < moved[0] < moved[1]


def test_constant_changes_no_bit() -> None:
    schedule = read_schedule("constant")
    assert all(schedule.call(SCHEDULES, epoch, 10) == 1.0 for epoch in (0, 3.7, 9.9))


def test_cosine_rises_then_falls_to_nothing() -> None:
    schedule = read_schedule("cosine:warmup=2")
    factors = [schedule.call(SCHEDULES, epoch / 10, 10) for epoch in range(101)]
    assert 0 < factors[0] < 0.01
    assert factors[20] == 1.0
    assert factors[:21] == sorted(factors[:21])
    assert factors[20:] == sorted(factors[20:], reverse=True)
    assert factors[60] == pytest.approx(0.5)  # half-way between 2 and 10
    assert factors[100] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_optimizer, "adam", "unknown optimizer 'adam'; there are: rmsprop, adamw, sgd"),
        (read_optimizer, "rmsprop:lr=0", "lr=0.* is not allowed; pass a number above zero"),
        (read_optimizer, "rmsprop:lr=-1", "is not allowed"),
        (read_optimizer, "sgd:momentum=x", "sgd:momentum=x: expected a number"),
        (read_schedule, "step", "unknown schedule 'step'; there are: constant, cosine"),
        (read_schedule, "cosine:cycles=2", "no parameter 'cycles'; it has: warmup"),
    ],
)
def test_mistakes_are_one_sentence(read: object, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(text)  # type: ignore[operator]


def test_the_table_takes_no_torch() -> None:
    check = "import sys, vesica.optim; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
