"""What a cell is unless something else is said: the modern recipe and the paper's."""

from collections.abc import Mapping
from typing import Any

from vesica import spelling
from vesica.data.source import Source
from vesica.plan import OPTION_NAMES, Cell, replace

RECIPES: dict[str, dict[str, Any]] = {
    "modern": {
        "model": "unet",
        "size": 128,
        "score_at": "original",
        "folds": None,
        "optimizer": "adamw",
        "average": "ema:decay=0.99",
        "steps": 400,
        "max_epochs": None,
        "batch": 16,
        "patience": 0,
        "keep": "last",
        "precision": "auto",
    },
    "paper": {},
}
"""What a cell is unless something else is said, by fields named as in `across`; the paper's recipe
is the fields' own defaults. None: what follows from another field. How the modern one was chosen:
`docs/recipes.md`."""

RATES = {
    "unet": 3e-3,
    "unet:freeze=none": 1e-3,
    **dict.fromkeys(("bfcn32s", "bfcn16s", "bfcn8s"), 1e-4),
    **dict.fromkeys(("fcresnet", "fcresnet16s", "fcresnet8s"), 1e-4),
}
"""Of the modern recipe's optimiser, by the network; else the optimiser's own. Measured where all
layers of `unet` train: `docs/recipes.md`."""


def cell_of(path: str, fields: Mapping[str, Any], recipe: str = "paper") -> Cell:
    """A cell of these images with fields by the names that users know; None is the recipe's.

    Raises:
        ValueError: If there is no such recipe or field, or values are not allowed.
    """
    if recipe not in RECIPES:
        raise ValueError(f"no recipe {recipe!r}; there are: {', '.join(RECIPES)}")
    names = {option: name for name, option in OPTION_NAMES.items()}
    given = {names.get(name, name): value for name, value in fields.items() if value is not None}
    whole = {name: v for name, v in RECIPES[recipe].items() if v is not None} | given
    if "max_epochs" in given:
        if given.get("steps"):
            raise ValueError(
                "--steps and --epochs both say how long to train: leave one of them out"
            )
        whole["steps"] = 0
    if recipe == "modern" and not {"lr", "optimizer"} & given.keys():
        rate = rate_of(whole["model"], whole.get("freeze"))
        whole |= {} if rate is None else {"lr": rate}
    return replace(Cell(data=Source(path=path)), **whole)


def rate_of(model: str, freeze: str | None = None) -> float | None:
    """The rate that the modern recipe gives a network; None is the optimiser's own.

    Args:
        model: In its spelling.
        freeze: Where it is given apart from that.
    """
    name = spelling.without_options(model)
    frozen = freeze or spelling.get_option(model, "freeze")
    return RATES.get(f"{name}:freeze={frozen}", RATES.get(name))
