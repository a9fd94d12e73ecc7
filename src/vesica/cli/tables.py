"""Results as tables in a terminal."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

COLUMNS = {
    "iou_per_image": "IoU per image",
    "iou_pooled": "IoU pooled",
    "iou_soft": "IoU soft",
    "accuracy": "accuracy",
}


def results_tables(document: dict[str, Any]) -> Iterator[Table]:
    """One table per setting of a run."""
    for group in document["groups"]:
        size = group["setting"]["size"]
        name = ", ".join(filter(None, [group["data"], group["label"]]))
        title = f"{name}: test images at {size}x{size}"
        table = Table(title=title, title_justify="left")
        table.add_column("trained with")
        for heading in (*COLUMNS.values(), "epochs", "runs"):
            table.add_column(heading, justify="right")
        for row in group["losses"]:
            cells = (_with_sd(row, name) for name in COLUMNS)
            table.add_row(row["loss"], *cells, _epochs(row), _runs(row))
        for name, scores in group["baselines"].items():
            table.add_row(name, *(f"{scores[key]:.3f}" for key in COLUMNS), "", "", style="dim")
        yield table


def _with_sd(row: dict[str, Any], name: str) -> str:
    value, sd = row[name], row[f"{name}_sd"]
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ±{sd:.3f}" if sd is not None else "")


def _epochs(row: dict[str, Any]) -> str:
    if row["epochs"] is None:
        return "-"
    # A run ended by the limit had not converged: its number of epochs is only a lower bound.
    return f"{'≥' if row['num_censored'] else ''}{row['epochs']:.0f}"


def _runs(row: dict[str, Any]) -> str:
    extra = [
        f"{row[f'num_{word}']} {word}" for word in ("collapsed", "failed") if row[f"num_{word}"]
    ]
    return ", ".join([str(row["num_seeds"]), *extra])
