"""One cell, from its settings to its folder; the result file is written last."""

import traceback
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vesica import metrics, provenance
from vesica.checkpoint import remove_checkpoint, write_tensors
from vesica.data.arrays import Arrays
from vesica.data.library import Rows
from vesica.errors import Stopped
from vesica.evaluate import by_class, count_probabilities, score, validate
from vesica.features import Inputs
from vesica.files import WEIGHTS, check, damaged, write_json
from vesica.locks import locked
from vesica.losses import parse_loss
from vesica.materials import Materials, make_fabric
from vesica.networks import Network
from vesica.plan import Cell
from vesica.results import (
    BESIDE,
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
    network, shown = materials.network(cell), materials.rows(cell)
    inputs = materials.inputs(cell, network, fabric)
    scorer = _Scorer(cell, network, inputs, materials, fabric)
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
        chosen, beside = scorer.score(fitted), scorer.score_beside(fitted)
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
        if beside is not None:
            write_model(folder / BESIDE / "result.json", scorer.write(folder / BESIDE, beside))
        result = scorer.write(folder, chosen)
    write_model(folder / "result.json", result)
    if result.has_scores:  # what memory did not suffice for may go on later
        remove_checkpoint(checkpoint)
    return result


@dataclass(frozen=True)
class _Scored:
    """Trained tensors, how they came about, and what they say of validation and test images."""

    tensors: dict[str, Tensor]
    fitted: Fit
    val: NDArray[np.int32]
    test: metrics.Scores
    preds: NDArray[np.bool_]


@dataclass(frozen=True)
class _Scorer:
    """Scores the network of a cell as it is, and writes what was scored."""

    cell: Cell
    network: Network
    inputs: Inputs
    materials: Materials
    fabric: Fabric

    def score(self, fitted: Fit) -> _Scored:
        """Score the chosen weights."""
        rows = self.materials.library.rows(self.cell.data)
        truths, batch = self.materials.truths(self.cell), self.cell.recipe.batch
        asked = self.network, self.inputs
        val = count_probabilities(*asked, rows.val, self.fabric, batch, truths)
        test, preds = score(*asked, rows.test, self.fabric, batch, truths)
        tensors = {name: t.clone() for name, t in self.network.trained_state().items()}
        return _Scored(tensors, fitted, val, test, preds)

    def score_beside(self, fitted: Fit) -> _Scored | None:
        """Score the average that is kept beside them, as it was where training ended."""
        if not fitted.beside:
            return None
        self.network.load_state_dict(dict(fitted.beside), strict=False)
        judged = validate(
            self.network,
            self.inputs,
            self.materials.rows(self.cell).val,
            parse_loss(self.cell.loss),
            self.fabric,
            self.cell.recipe.batch,
        )
        last = replace(
            fitted.history[-1],
            val_loss=judged.loss,
            val_iou=judged.iou,
            is_one_class=judged.is_one_class,
        )
        history = [*fitted.history[:-1], last]
        return self.score(replace(fitted, history=history, kept=len(history)))

    def write(self, folder: Path, scored: _Scored) -> CellResult:
        """Write all but the result, and give that."""
        cell, library = self.cell, self.materials.library
        rows, arrays = library.rows(cell.data), library.arrays(cell.data, cell.size)
        header = [f.name for f in fields(Epoch)]
        write_table(folder / "history.csv", header, map(astuple, scored.fitted.history))
        scores = _test_scores(arrays, rows, scored.test, cell.data.class_names)
        write_scores(folder / "scores.csv", scores)
        write_histograms(folder / "histograms.npz", val=scored.val, test=scored.test.histograms)
        write_masks(folder / "masks.npz", by_class(scored.preds))  # rows as in scores.csv
        metadata = {
            "model": cell.model,
            "weights": cell.weights_name,
            "weights_digest": cell.weights_digest,
        }
        write_tensors(folder / WEIGHTS, scored.tensors, metadata)
        return _result(
            cell,
            self.fabric,
            **_outcome(scored.fitted),
            **_summary(cell, scored.fitted, scored.val, scored.test),
            num_train=len(rows.train),
            num_val=len(rows.val),
            num_test=len(rows.test),
            num_images=len(library.dataset(cell.data).samples),
            num_classes=arrays.masks.shape[1],
        )


def load_trained(cell: Cell, materials: Materials, folder: Path) -> Network:
    """The network of a cell that has ended, with its trained tensors, in evaluation mode.

    Raises:
        DataError: If its file is missing or damaged, or its pretrained weights cannot be had.
    """
    network = materials.network(cell)
    path = folder / WEIGHTS
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
    tuned = metrics.tune_threshold(val, cell.empty)

    def mean_iou(counts: metrics.Counts) -> float:
        return metrics.mean_of_images(metrics.iou(counts, cell.empty), num_classes)

    return {
        "epochs": len(fitted.history),
        "kept_epoch": fitted.kept,
        "ended_by": fitted.ended_by,
        "notes": fitted.notes,
        "train_time_s": round(sum(row.time_s for row in fitted.history), 1),
        "val_iou_per_image": mean_iou(half),
        **test.summary(cell.empty, num_classes, is_exclusive=cell.data.classes),
        # Each pixel's class has no threshold.
        **({} if cell.data.classes else _at_threshold(tuned, test, mean_iou, num_classes)),
        "num_empty": test.counts.num_empty,
    }


def _at_threshold(
    threshold: float,
    test: metrics.Scores,
    mean_iou: Callable[[metrics.Counts], float],
    num_classes: int,
) -> dict[str, float]:
    """Tuned on validation images alone, and asked of the test images afterwards."""
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


def _test_scores(
    arrays: Arrays, rows: Rows, test: metrics.Scores, classes: tuple[str, ...]
) -> TestScores:
    num_classes = arrays.masks.shape[1]

    def pick(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(values[row] for row in np.repeat(rows.test, num_classes))

    more = {f"boundary_{name}": values for name, values in vars(test.boundary).items()}
    more |= {name: getattr(test, name) for name in metrics.VALUES if name != "iou_soft"}
    if num_classes > 1:
        names = classes or tuple(str(number) for number in range(1, num_classes + 1))
        more["class"] = np.array(names * len(rows.test))
    return TestScores(pick(arrays.names), pick(arrays.groups), test.counts, test.iou_soft, more)
