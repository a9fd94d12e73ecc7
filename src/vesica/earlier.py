"""Cells as earlier versions wrote them, told in today's words.

Schema 1 had the networks' options and the learning rate as fields of their own. A cell of it keeps
its folder, which is called by the key that it had then.
"""

from typing import Any

from vesica.plan import digest_of
from vesica.spelling import set_option, split_path

DEFAULTS_1 = {"width": 4096, "init": "fcn", "dropout": 0.0, "lr": 1e-4}
"""What schema 1's names do not spell."""


def cell_of_schema_1(raw: dict[str, Any]) -> dict[str, Any]:
    """The fields of a resolved cell of schema 1, as `Cell` takes them.

    Raises:
        KeyError: If a field is missing.
    """
    old, recipe = dict(raw), dict(raw["recipe"])
    model = old["model"]
    auto = "paper" if old["weights_digest"] else "none"
    options = {name: recipe.pop(name) for name in ("dropout", "freeze", "init")}
    for name, value in (options | {"width": old.pop("width")}).items():
        if value != DEFAULTS_1.get(name, auto):
            model = set_option(model, name, value)
    lr = recipe.pop("lr")
    recipe["optimizer"] = "rmsprop" if lr == DEFAULTS_1["lr"] else set_option("rmsprop", "lr", lr)
    recipe["augment"] = "flip" if recipe.pop("flip", False) else "none"
    return old | {"model": model, "recipe": recipe, "folder": key_of_schema_1(raw)}


def key_of_schema_1(raw: dict[str, Any]) -> str:
    """What the cell's folder is called."""
    fields = dict(raw, data=dict(raw["data"]), weights=split_path(raw["weights"])[0])
    del fields["data"]["path"]
    return digest_of(fields)
