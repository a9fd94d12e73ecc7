"""Whether a loss was still learning when its steps ended: with more, the difference may be another.

A recipe of a given number of steps has no patience that would say so.
"""

import statistics
from collections.abc import Sequence

from vesica.errors import DataError
from vesica.files import is_there
from vesica.judge.setting import Setting
from vesica.results import EndedCell, read_table
from vesica.spelling import shown
from vesica.words import say_list

LAST = 4
"""The last such part of the epochs; below as many epochs there is no telling."""

RISE = 0.02
"""Of validation IoU in that part, the mean over runs. Where it was 0.012 or less, twice the steps
brought 0.023 at most and mostly nothing: docs/log.md."""


def find_rising(setting: Setting) -> dict[str, float]:
    """The losses that were still rising, each with how much validation IoU it gained at the end."""
    if setting.is_beside:  # its history is of the weights
        return {}
    if any(cell.recipe.patience or cell.recipe.keep != "last" for cell in setting.cells):
        return {}
    rises = {loss: _mean_rise(setting.of(loss)) for loss in setting.losses}
    return {loss: rise for loss, rise in rises.items() if rise > RISE}


def say_rising(rising: dict[str, float]) -> str:
    """A warning of these losses; "" of none."""
    if not rising:
        return ""
    listed = say_list([f"{shown(loss)} ({100 * rise:+.1f})" for loss, rise in rising.items()])
    return (
        "Still rising when the steps ended, by points of validation IoU in the last quarter: "
        f"{listed}. With more steps the difference may be another."
    )


def _mean_rise(runs: Sequence[EndedCell]) -> float:
    rises = [rise for found in runs if (rise := _rise(found)) is not None]
    return statistics.fmean(rises) if rises else 0.0


def _rise(found: EndedCell) -> float | None:
    """None where there is no whole history."""
    path = found.folder / "history.csv"
    if not found.result.has_scores or not is_there(path):
        return None
    try:
        ious = [float(row["val_iou"]) for row in read_table(path)]
    except (DataError, KeyError, ValueError):
        return None
    return ious[-1] - ious[-1 - len(ious) // LAST] if len(ious) >= LAST else None
