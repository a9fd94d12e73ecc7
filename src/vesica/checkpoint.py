"""A training run on disk: one safetensors file, so that nothing in it can run code."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vesica.files import check, replacing
from vesica.networks import Network


def save_checkpoint(
    path: Path,
    state: dict[str, Any],
    model: Network,
    optimizer: torch.optim.Optimizer,
    others: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Write everything that going on needs, whole or not at all; keeps the one before, too.

    Args:
        path: The file.
        state: JSON-ready progress (Python's JSON keeps every bit of a float).
        model: Its trained tensors are kept.
        optimizer: Its state per parameter is kept; its options come from the recipe.
        others: Further sets of the trained tensors, each under a name; may be empty.

    Raises:
        DataError: If the disk is full.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.trained_state().items()}
    for kind, kept in others.items():
        tensors |= {f"{kind}.{name}": tensor for name, tensor in kept.items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    before = one_before(path)
    before.unlink(missing_ok=True)  # there is room for two
    write_tensors(path, tensors, {"state": json.dumps(state)}, before=before)


def load_checkpoint(
    path: Path, model: Network, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]], list[str]]:
    """Put model and optimizer where they were: where the last checkpoint that is whole says.

    Returns:
        The progress (empty: begin), the further sets of tensors by their names (a set that is not
        there is empty), and a sentence about each damaged file.
    """
    notes: list[str] = []
    for file in (path, one_before(path)):
        if file.exists():
            try:
                check(file)
                return *_load(file, model, optimizer), notes
            except (SafetensorError, OSError, ValueError, KeyError, RuntimeError):
                notes.append(f"{file}: damaged; went on from the checkpoint before it")
    if notes:
        notes = [f"{path}: damaged; began at the start, as there is no other checkpoint"]
    return {}, defaultdict(dict), notes


def remove_checkpoint(path: Path) -> None:
    """Delete both files, where they are."""
    for file in (path, one_before(path)):
        file.unlink(missing_ok=True)


def one_before(path: Path) -> Path:
    """Where the checkpoint before the last one is."""
    return path.with_name(f"{path.stem}-before{path.suffix}")


def write_tensors(
    target: Path, tensors: dict[str, Tensor], metadata: dict[str, str], before: Path | None = None
) -> None:
    """Write a safetensors file, whole or not at all; `before` as in `replacing`.

    Raises:
        DataError: If the disk is full.
    """
    cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    num_bytes = sum(tensor.nbytes for tensor in cpu.values())
    with replacing(target, num_bytes, before=before) as path:
        save_file(cpu, path, metadata)


def _load(
    path: Path, model: Network, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    others: dict[str, dict[str, Tensor]] = defaultdict(dict)
    per_parameter: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        state: dict[str, Any] = json.loads(file.metadata()["state"])
        for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
            kind, _, name = key.partition(".")
            tensor = file.get_tensor(key)
            if kind == "optimizer":
                index, _, name = name.partition(".")
                per_parameter.setdefault(int(index), {})[name] = tensor
            else:
                others[kind][name] = tensor
    model.load_state_dict(others.pop("model"), strict=False)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": per_parameter, "param_groups": groups})
    return state, others
