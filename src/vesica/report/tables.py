"""The report's tables: every cell of them as text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vesica.plan import Cell, flatten
from vesica.results import EndedCell
from vesica.words import MISSING

METRICS = {
    "iou_per_image": "IoU per image",
    "iou_pooled": "IoU pooled",
    "iou_soft": "IoU soft",
    "accuracy": "accuracy",
}
MORE_METRICS = {
    "iou_per_image_tuned": "IoU, tuned threshold",
    "threshold_tuned": "threshold",
    "dice_per_image": "Dice",
    "precision_per_image": "precision",
    "recall_per_image": "recall",
    "boundary_iou_per_image": "boundary IoU",
    "hd95_px": "HD95, px",
    "calibration_error_pooled": "calibration error",
}


@dataclass(frozen=True)
class CellRow:
    """One training run, in words."""

    loss: str
    seed: int
    status: str
    reason: str
    epochs: str
    time: str
    iou: str
    folder: str


@dataclass(frozen=True)
class SettingRow:
    """A field of the setting: one value if all settings share it, else one each."""

    name: str
    values: list[str]


def score_rows(group: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Per loss: its name; then scores, epochs and runs."""
    return [
        (row["loss"], [*(_with_sd(row, name) for name in METRICS), _epochs(row), _runs(row)])
        for row in group["losses"]
    ]


def more_rows(group: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Per loss, then per mask without a network: its name, then the further metrics."""
    losses = [
        (row["loss"], [_with_sd(row, name) for name in MORE_METRICS]) for row in group["losses"]
    ]
    return losses + baseline_rows(group, MORE_METRICS)


def baseline_rows(
    group: dict[str, Any], names: Iterable[str] = METRICS
) -> list[tuple[str, list[str]]]:
    """The masks without a network: name and scores."""
    names = list(names)
    return [
        (name, [_say_number(scores.get(metric)) for metric in names])
        for name, scores in group["baselines"].items()
    ]


def cell_rows(cells: Sequence[Cell], results: Sequence[EndedCell]) -> list[CellRow]:
    """What became of each cell."""
    found = {result.cell.key: result for result in results}
    return [_cell_row(cell, found.get(cell.key)) for cell in cells]


def _cell_row(cell: Cell, found: EndedCell | None) -> CellRow:
    result = found.result if found else None
    epochs = time = iou = MISSING
    if result and result.has_scores:
        limit = ", the limit" if result.ended_by == "epochs" else ""
        epochs = f"{result.epochs}{limit}; kept {result.kept_epoch}"
        time = say_time(result.train_time_s)
        iou = f"{result.iou_per_image:.3f}"
    return CellRow(
        loss=cell.loss,
        seed=cell.seed,
        status=result.status if result else "unfinished",
        reason=result.reason if result else "",
        epochs=epochs,
        time=time,
        iou=iou,
        folder=f"cells/{cell.key}",
    )


def setting_rows(settings: Sequence[dict[str, Any]]) -> list[SettingRow]:
    """Every field that loss and seed do not vary, recipe included."""
    flat = [flatten(setting) for setting in settings]
    rows = []
    for name in flat[0]:
        values = [_say(setting[name]) for setting in flat]
        rows.append(SettingRow(name, values[:1] if len(set(values)) == 1 else values))
    return rows


def say_time(time_s: float) -> str:
    """Seconds as one would say them."""
    if time_s < 100:
        return f"{time_s:.0f} s"
    return f"{time_s / 60:.0f} min" if time_s < 6000 else f"{time_s / 3600:.1f} h"


def say_list(values: Sequence[object]) -> str:
    """Words with commas and an "and"."""
    words = [str(value) for value in values]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def _say(value: Any) -> str:
    return MISSING if value in (None, "") else str(value)


def _with_sd(row: dict[str, Any], name: str) -> str:
    value, sd = row.get(name), row.get(f"{name}_sd")
    return _say_number(value) + (f" ± {sd:.3f}" if sd is not None else "")


def _say_number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _epochs(row: dict[str, Any]) -> str:
    if row["epochs"] is None:
        return MISSING
    # A run ended by the limit had not converged: its number of epochs is only a lower bound.
    return f"{'≥ ' if row['num_censored'] else ''}{row['epochs']:.0f}"


def _runs(row: dict[str, Any]) -> str:
    troubles = ("collapsed", "failed")
    extra = [f"{row[f'num_{word}']} {word}" for word in troubles if row[f"num_{word}"]]
    return ", ".join([str(row["num_seeds"]), *extra])
