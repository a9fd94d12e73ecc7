"""Vesica: which loss to train a segmentation network with, and whether that is more than luck.

`compare`, `load`, `open_run` and `Run` are the whole use from Python (`docs/python.md`); they are
loaded when they are first asked for, so that `vesica.losses` needs nothing but torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vesica.api import compare
    from vesica.model import load
    from vesica.run import Run, open_run

__version__ = "0.1.0"
__all__ = ["Run", "compare", "load", "open_run"]

FILES = {
    "Run": "vesica.run",
    "open_run": "vesica.run",
    "compare": "vesica.api",
    "load": "vesica.model",
}


def __getattr__(name: str) -> Any:
    if name not in FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return vars(import_module(FILES[name]))[name]
