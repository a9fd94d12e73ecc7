"""A training run on disk: one safetensors file, so that nothing in it can run code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vesica.errors import DataError
from vesica.files import replacing
from vesica.networks import FCN


def save_checkpoint(
    path: Path,
    state: dict[str, Any],
    model: FCN,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
) -> None:
    """Write everything that going on needs; replaces the one before, whole or not at all.

    Args:
        path: The file.
        state: JSON-ready progress (Python's JSON keeps every bit of a float).
        model: Its trained tensors are kept.
        optimizer: Its state per parameter is kept; its options come from the recipe.
        best: Trained tensors of the best epoch so far; may be empty.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.trained_state().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as beside:
        save_file(cpu, beside, {"state": json.dumps(state)})


def load_checkpoint(
    path: Path, model: FCN, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Put model and optimizer where they were; returns the progress and the best tensors.

    Raises:
        DataError: If the file is damaged.
    """
    try:
        return _load(path, model, optimizer)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(
            f"{path}: damaged ({error}); delete it and run the same command again"
        ) from None


def _load(
    path: Path, model: FCN, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    trained: dict[str, Tensor] = {}
    best: dict[str, Tensor] = {}
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
                (trained if kind == "model" else best)[name] = tensor
    model.load_state_dict(trained, strict=False)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": per_parameter, "param_groups": groups})
    return state, best
