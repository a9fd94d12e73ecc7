"""`vesica losses`, `vesica models`, `vesica formats`: what exists, a line each."""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

FOR_ALL = re.compile(r", (one value )?per image(?=:)")


def losses() -> None:
    """List the losses, with the options of each."""
    from vesica.losses import LOSSES
    from vesica.spelling import options_of

    rows = {
        name: (first_line(function), ", ".join(options_of(function)))
        for name, function in LOSSES.items()
    }
    _print(rows, "options", "0.3bce+0.7iou is a sum; FILE.py:FUNCTION is a loss of your own.")


def models() -> None:
    """List the networks, with the pretrained weights of each."""
    from vesica.networks import FITTING, NETWORKS

    rows = {
        name: (first_line(function), ", ".join(FITTING.get(name, {})))
        for name, function in NETWORKS.items()
    }
    _print(rows, "weights", "FILE.py:FUNCTION is a network of your own.")


def formats() -> None:
    """List the layouts in which a folder of images and masks is recognised."""
    from vesica.data import DATA, DATASETS, DERIVED

    rows = {name: (found.layout, ", ".join(found.targets)) for name, found in DATASETS.items()}
    rows |= {name: (first_line(function), "") for name, function in {**DATA, **DERIVED}.items()}
    _print(rows, "targets", "FILE.py:FUNCTION is a data set of your own.")


def first_line(function: Callable[..., Any]) -> str:
    """What a function's docstring begins with, without what goes for all losses."""
    while isinstance(function, partial):
        function = function.func
    return FOR_ALL.sub("", (inspect.getdoc(function) or "").partition("\n")[0])


def _print(rows: Mapping[str, tuple[str, str]], last: str, below: str) -> None:
    console = Console(highlight=False, emoji=False)
    table = Table("name", "what", last, box=None, pad_edge=False)
    for (what, more), alike in groupby(rows, rows.__getitem__):  # what is alike is one row
        table.add_row(escape(", ".join(alike)), escape(what.replace("`", "")), escape(more))
    console.print(table)
    console.print(f"\n{below}")
