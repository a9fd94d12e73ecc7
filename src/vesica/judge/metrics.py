"""Metrics of the user's own: functions of masks, asked of what a run keeps; nothing trains anew."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vesica import spelling
from vesica.data.library import Library
from vesica.errors import DataError
from vesica.judge.setting import Setting
from vesica.plan import Cell
from vesica.results import EndedCell, read_masks
from vesica.spelling import Spelled


def read_metrics(texts: Sequence[str]) -> list[Spelled]:
    """Read the names of a user's metrics, `file.py:function` with options.

    Raises:
        ValueError: If one is no name of a function.
    """
    return [spelling.read(text, {}, "metric") for text in texts]


def score_own(
    setting: Setting, library: Library, metrics: Sequence[Spelled]
) -> dict[str, dict[str, float]]:
    """Mean over seeds and test masks of each metric, by loss.

    A metric takes predicted and true masks, bool of shape (masks, height, width), and gives a
    number for each, NaN where it has none.

    Raises:
        DataError: If the images or masks cannot be had, or a function gives something else.
    """
    if not metrics:
        return {}
    truths = {
        cell.data.fold: _read_truth(cell, library)
        for cell in {cell.data.fold: cell for cell in setting.cells}.values()
    }
    found: dict[str, dict[str, float]] = {}
    for loss in setting.losses:
        scored = [ended for ended in setting.of(loss) if ended.result.has_scores]
        if scored:
            found[loss] = {
                spelling.shown(str(metric)): float(
                    np.nanmean(
                        np.concatenate(
                            [_score(metric, e, truths[e.cell.data.fold]) for e in scored]
                        )
                    )
                )
                for metric in metrics
            }
    return found


def _read_truth(cell: Cell, library: Library) -> NDArray[np.bool_]:
    rows = list(library.split(cell.data).test)
    masks = library.arrays(cell.data, cell.size).masks[rows]
    truth: NDArray[np.bool_] = masks.reshape(-1, cell.size, cell.size)
    return truth


def _score(metric: Spelled, ended: EndedCell, truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    masks = read_masks(ended.folder / "masks.npz", truth.shape)
    preds = np.stack([masks[row] for row in range(len(truth))])
    try:
        values = np.asarray(metric.call({}, preds, truth), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{metric.name}: gives no numbers ({error})") from None
    if values.shape != (len(truth),) or np.isinf(values).any() or np.isnan(values).all():
        raise DataError(
            f"{metric.name}: gives an array of shape {values.shape}; expected a finite number for "
            f"each of {len(truth)} masks, shape ({len(truth)},)"
        )
    return values
