"""A network of a few thousand weights, in a file as a user would write it."""

import itertools
from pathlib import Path
from typing import Any

from torch import nn

from vesica.networks import FCN, Weights
from vesica.networks.fcn import NONE, Freeze, Init, start
from vesica.plan import Cell, Recipe, Source, replace


def tiny(
    *,
    weights: Weights = NONE,
    classes: int = 1,
    width: int = 8,
    init: Init = "fcn",
    dropout: float = 0.0,
    freeze: Freeze = "paper",
) -> FCN:
    """Five halvings with batch norm; the first two are frozen."""
    channels = [3, 8, 8, 8, 8, 8]
    stages = [
        nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()
        )
        for before, after in itertools.pairwise(channels)
    ]
    num_frozen = 2 if freeze == "paper" else 0
    options: Any = {"width": width, "dropout": dropout, "classes": classes}
    model = FCN(nn.Sequential(*stages), num_frozen, 8, num_wide=1, **options)
    return start(model, "tiny", weights, init)


TINY = f"{Path(__file__).resolve()}:tiny"


def tiny_cell(path: str | Path = "generated:num=60:size=64", **fields: Any) -> Cell:
    """A cell that trains in a second."""
    base = Cell(
        data=Source(path=str(path)),
        model=f"{TINY}:dropout=0.25",
        size=64,
        recipe=Recipe(max_epochs=3, batch=8, optimizer="rmsprop:lr=1e-3"),
    )
    return replace(base, **fields)
