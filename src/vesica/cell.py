"""One cell, from its settings to its folder; the result file is written last."""

import traceback
from collections.abc import Callable
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from vesica import metrics, provenance
from vesica.checkpoint import remove_checkpoint, write_tensors
from vesica.data.arrays import Arrays
from vesica.data.library import Rows
from vesica.errors import Stopped
from vesica.evaluate import by_class, count_probabilities, score
from vesica.files import check, damaged, write_json
from vesica.locks import locked
from vesica.losses import parse_loss
from vesica.materials import Materials, make_fabric
from vesica.networks import Network
from vesica.plan import Cell
from vesica.results import (
    SCHEMA,
    CellResult,
    Status,
    TestScores,
    WeightsName,
    write_histograms,
    write_masks,
    write_model,
    write_scores,
    write_table,
)
from vesica.train import Diverged, Epoch, Fit, State, fit

MAX_TRACEBACK = 20_000
"""Characters; its end says most."""

OnStep = Callable[[State, int], None]


def run_cell(
    cell: Cell,
    materials: Materials,
    folder: Path,
    *,
    on_step: OnStep = lambda state, num_steps: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> CellResult:
    """Train and score a resolved cell, going on from its checkpoint if it has one.

    Returns:
        The content of `result.json`. A run that diverged, or for which memory did not suffice,
        is a result too: its status is "failed" and its reason says why.

    Raises:
        Stopped: If `should_stop` said so.
        DataError: If the images or weights cannot be had.
    """

    def waiting() -> None:
        if should_stop():
            raise Stopped

    with locked(folder, waiting):  # by a process whose parent was killed, for some seconds
        return _run(cell, materials, folder, on_step, should_stop)


def _run(
    cell: Cell,
    materials: Materials,
    folder: Path,
    on_step: OnStep,
    should_stop: Callable[[], bool],
) -> CellResult:
    fabric = make_fabric(cell.recipe.precision)
    write_json(folder / "cell.json", cell.model_dump(mode="json"))
    checkpoint = folder / "checkpoint.safetensors"
    network, rows = materials.network(cell), materials.library.rows(cell.data)
    shown = materials.rows(cell)
    inputs = materials.inputs(cell, network, fabric)
    try:
        fitted = fit(
            network,
            parse_loss(cell.loss),
            inputs,
            shown.train,
            shown.val,
            recipe=cell.recipe,
            seed=cell.stream,
            fabric=fabric,
            checkpoint=checkpoint,
            on_step=on_step,
            should_stop=should_stop,
        )
        truths = materials.truths(cell)
        val = count_probabilities(network, inputs, rows.val, fabric, cell.recipe.batch, truths)
        test, preds = score(network, inputs, rows.test, fabric, cell.recipe.batch, truths)
    except Diverged as error:
        result = _result(cell, fabric, status="failed", reason=str(error))
        remove_checkpoint(checkpoint)
    except (MemoryError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        details = traceback.format_exc()
        result = _result(
            cell, fabric, status="failed", reason=reason, traceback=details[-MAX_TRACEBACK:]
        )
    else:
        _write_files(folder, cell, network, fitted, val, test, preds, materials, rows)
        summary = {**_outcome(fitted), **_summary(cell, fitted, val, test)}
        summary |= {"num_train": len(rows.train), "num_val": len(rows.val)}
        summary |= {
            "num_test": len(rows.test),
            "num_images": len(materials.library.dataset(cell.data).samples),
        }
        summary |= {"num_classes": inputs.masks.shape[1]}
        result = _result(cell, fabric, **summary)
    write_model(folder / "result.json", result)
    if result.has_scores:  # what memory did not suffice for may go on later
        remove_checkpoint(checkpoint)
    return result


def load_trained(cell: Cell, materials: Materials, folder: Path) -> Network:
    """The network of a cell that has ended, with its trained tensors, in evaluation mode.

    Raises:
        DataError: If its file is missing or damaged, or its pretrained weights cannot be had.
    """
    network = materials.network(cell)
    path = folder / "model.safetensors"
    try:
        check(path)
        network.load_state_dict(load_file(path), strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise damaged(path, error) from None
    network.eval()
    return network


def _outcome(fitted: Fit) -> dict[str, Any]:
    if not fitted.is_collapsed:
        return {"status": "finished", "reason": ""}
    reason = f"at epoch {fitted.kept} every validation image was predicted as one class"
    return {"status": "collapsed", "reason": reason}


def _summary(
    cell: Cell, fitted: Fit, val: NDArray[np.int32], test: metrics.Scores
) -> dict[str, Any]:
    num_classes = max(1, len(cell.data.class_names))
    half = metrics.counts_at(val, metrics.THRESHOLD)

    def mean_iou(counts: metrics.Counts) -> float:
        return metrics.mean_of_images(metrics.iou(counts, cell.empty), num_classes)

    return {
        "epochs": len(fitted.history),
        "kept_epoch": fitted.kept,
        "ended_by": fitted.ended_by,
        "notes": fitted.notes,
        "train_time_s": round(sum(row.time_s for row in fitted.history), 1),
        "val_iou_per_image": mean_iou(half),
        **test.summary(cell.empty, num_classes),
        # Each pixel's class has no threshold.
        **({} if cell.data.classes else _tuned(val, test, mean_iou, num_classes)),
        "num_empty": test.counts.num_empty,
    }


def _tuned(
    val: NDArray[np.int32],
    test: metrics.Scores,
    mean_iou: Callable[[metrics.Counts], float],
    num_classes: int,
) -> dict[str, float]:
    """Tuned on validation images alone, and asked of the test images afterwards."""
    threshold = metrics.tune_threshold(val)
    tuned = metrics.counts_at(test.histograms, threshold)
    return {
        "threshold_tuned": threshold,
        "iou_per_image_tuned": mean_iou(tuned),
        "iou_pooled_tuned": float(metrics.iou(tuned.pooled(num_classes)).mean()),
    }


def _result(
    cell: Cell, fabric: Fabric, *, status: Status, reason: str, **summary: Any
) -> CellResult:
    return CellResult(
        schema_number=SCHEMA,
        status=status,
        reason=reason,
        **summary,
        loss=cell.loss,
        seed=cell.seed,
        weights=WeightsName(name=cell.weights_name, digest=cell.weights_digest),
        data_fingerprint=cell.data.fingerprint,
        precision=cell.recipe.precision,
        device=provenance.device_name(fabric.device),
        versions=provenance.versions(),
        command=provenance.command_line(),
    )


def _write_files(
    folder: Path,
    cell: Cell,
    network: Network,
    fitted: Fit,
    val: NDArray[np.int32],
    test: metrics.Scores,
    preds: NDArray[np.bool_],
    materials: Materials,
    rows: Rows,
) -> None:
    arrays = materials.library.arrays(cell.data, cell.size)
    write_table(
        folder / "history.csv", [f.name for f in fields(Epoch)], map(astuple, fitted.history)
    )
    write_scores(folder / "scores.csv", _test_scores(arrays, rows, test))
    write_histograms(folder / "histograms.npz", val=val, test=test.histograms)
    write_masks(folder / "masks.npz", by_class(preds))  # rows as in scores.csv
    metadata = {
        "model": cell.model,
        "weights": cell.weights_name,
        "weights_digest": cell.weights_digest,
    }
    write_tensors(folder / "model.safetensors", dict(network.trained_state()), metadata)


def _test_scores(arrays: Arrays, rows: Rows, test: metrics.Scores) -> TestScores:
    num_classes = arrays.masks.shape[1]

    def pick(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(values[row] for row in np.repeat(rows.test, num_classes))

    more = {f"boundary_{name}": values for name, values in vars(test.boundary).items()}
    more |= {name: getattr(test, name) for name in metrics.VALUES if name != "iou_soft"}
    return TestScores(pick(arrays.names), pick(arrays.groups), test.counts, test.iou_soft, more)
