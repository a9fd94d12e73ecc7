"""Run a function in several processes that know of each other (gloo)."""

import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from vesica.accel import FASTER
from vesica.losses import LOSSES, LossModule


def run_processes(function: Callable[..., Any], inputs: Sequence[Any], folder: Path) -> list[Any]:
    """What the function returns in each process, for an input of its own."""
    folder.mkdir(exist_ok=True)
    args = (function, list(inputs), str(folder))
    multiprocessing.spawn(_run, args, nprocs=len(inputs))  # type: ignore[no-untyped-call]
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(len(inputs))]


def _run(rank: int, function: Callable[..., Any], inputs: list[Any], folder: str) -> None:
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", meeting, rank=rank, world_size=len(inputs))
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(function(inputs[rank])))
    dist.barrier()  # one that leaves early may abort another that still talks to it
    dist.destroy_process_group()
    os._exit(0)  # all is written; PyTorch, ending in order, at times aborted


SPELLINGS = [name for name in LOSSES if "lovasz" not in name] + [
    "lovasz_hinge:bits=16",
    "lovasz_softmax:bits=16",
    "lovasz_hinge:bits=16:empty=formula",
    "iou:empty=skip",
    "0.3bce+0.7iou",
]


def train_step(rows: list[int]) -> dict[str, tuple[float, list[float]]]:
    """Loss and gradient of a small network on some images, for every loss over the world."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((5, 2, 6, 6), generator=generator, dtype=torch.float64)
    target = (torch.rand((5, 6, 6), generator=generator) < 0.4).double()
    valid = torch.rand((5, 6, 6), generator=generator) < 0.8
    found = {}
    for spelling in SPELLINGS:
        torch.manual_seed(1)
        model: nn.Module = nn.Conv2d(2, 1, 3, padding=1).double()
        if dist.is_initialized():
            model = DistributedDataParallel(model)
        module = LossModule(spelling, pool="world")
        value = module(model(images[rows]), target[rows], valid[rows])
        value.backward()
        grads = [grad for p in model.parameters() if (grad := p.grad) is not None]
        found[spelling] = float(value.detach()), torch.cat([g.flatten() for g in grads]).tolist()
    return found


def plain_step(rows: list[int]) -> dict[str, tuple[float, list[float]]]:
    """`train_step` by the plain ways alone."""
    FASTER.clear()
    return train_step(rows)


def plain_lopsided_step(rows: list[int]) -> dict[str, float]:
    """`lopsided_step` by the plain ways alone."""
    FASTER.clear()
    return lopsided_step(rows)


def lopsided_step(rows: list[int]) -> dict[str, float]:
    """Loss of some images over the world, where the last two of five have no foreground.

    Pixels are ignored in the first three alone, and who has none of those passes no `valid`.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((5, 3, 6, 6), generator=generator, dtype=torch.float64)
    classes = torch.randint(0, 3, (5, 6, 6), generator=generator)
    valid = torch.rand((5, 6, 6), generator=generator) < 0.8
    classes[3:], valid[3:] = 0, True
    mask = valid[rows] if 0 in rows else None
    found = {}
    for spelling in SPELLINGS:
        module = LossModule(spelling, pool="world")
        found[spelling] = float(module(logits[rows, 0], classes[rows] > 0, mask))
        module = LossModule(spelling, pool="world", softmax=True)
        found[f"{spelling}, softmax"] = float(module(logits[rows], classes[rows], mask))
    return found
