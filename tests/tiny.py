"""A network of a few thousand weights for tests of everything around networks."""

import itertools
from pathlib import Path
from typing import Any

from torch import nn

from vesica.networks import FCN, MODELS
from vesica.plan import Cell, Recipe, Source


def tiny(*, width: int = 8, dropout: float = 0.0, freeze: bool = True) -> FCN:
    """Five halvings with batch norm; the first two are the trunk."""
    channels = [3, 8, 8, 8, 8, 8]
    stages = [
        nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()
        )
        for before, after in itertools.pairwise(channels)
    ]
    return FCN(
        nn.Sequential(*stages), 2 if freeze else 0, 8, width=width, num_wide=1, dropout=dropout
    )


MODELS["tiny"] = tiny


def tiny_cell(path: str | Path = "generated:num=60:size=64", **recipe: Any) -> Cell:
    """A cell that trains in a second."""
    defaults: dict[str, Any] = {
        "max_epochs": 3,
        "batch": 8,
        "lr": 1e-3,
        "freeze": "paper",
        "dropout": 0.25,
    }
    return Cell(
        data=Source(path=str(path)),
        model="tiny",
        size=64,
        width=8,
        weights="none",
        recipe=Recipe(**defaults | recipe),
    )
