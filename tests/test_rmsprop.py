"""The blockwise optimiser is PyTorch's, to the same bits."""

import pytest
import torch
from torch import nn

from vesica.accel import rmsprop
from vesica.accel.rmsprop import BlockwiseRMSprop


@pytest.mark.parametrize("block", [7, 2**18])
def test_it_equals_rmsprop(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmsprop, "BLOCK_SIZE", block)
    torch.manual_seed(0)
    shapes = (5, 3, 2, 2), (11,), (4, 4)
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    ours.append(nn.Parameter(torch.randn(2, 3, 5, 4).permute(3, 2, 0, 1)))  # taps outermost
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    ours.append(nn.Parameter(torch.ones(2)))  # never gets a gradient
    one = BlockwiseRMSprop(ours, lr=0.01, alpha=0.9, eps=1e-7)
    other = torch.optim.RMSprop(theirs, lr=0.01, alpha=0.9, eps=1e-7)
    for _ in range(3):
        for mine, yours in zip(ours, theirs, strict=False):
            yours.grad = torch.randn(yours.shape)
            mine.grad = yours.grad.clone()
        one.step()
        other.step()
    for mine, yours in zip(ours, theirs, strict=False):
        assert torch.equal(mine, yours)
    assert torch.equal(ours[-1], torch.ones(2))
    saved, expected = one.state_dict()["state"], other.state_dict()["state"]
    assert saved.keys() == expected.keys()
    for index, values in expected.items():
        assert values.keys() == saved[index].keys()
        assert all(torch.equal(values[name], saved[index][name]) for name in values)


def test_a_state_can_be_loaded() -> None:
    torch.manual_seed(0)
    going_on = nn.Parameter(torch.randn(2, 3, 5, 4).permute(3, 2, 0, 1))
    going_on.grad = torch.randn(4, 5, 2, 3)
    first = BlockwiseRMSprop([going_on], lr=0.1)
    first.step()
    stopped = nn.Parameter(going_on.detach().clone())
    stopped.grad = going_on.grad
    second = BlockwiseRMSprop([stopped], lr=0.1)
    state = first.state_dict()
    state["state"][0] = {name: t.contiguous().clone() for name, t in state["state"][0].items()}
    second.load_state_dict(state)
    first.step()
    second.step()
    assert torch.equal(going_on, stopped)
    assert float(second.state[stopped]["step"]) == 2
