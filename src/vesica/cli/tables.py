"""Results as tables in a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from vesica.report.decisions import say_left
from vesica.report.needs import say_all_needs
from vesica.report.sections import BOLD, Grid, Section
from vesica.report.tables import METRICS, baseline_rows, score_rows


def results_tables(document: dict[str, Any]) -> Iterator[Table]:
    """One table per setting of a run."""
    for group in document["groups"]:
        setting = group["setting"]
        name = ", ".join(filter(None, [group["data"], group["label"]]))
        scored = f"test images at {setting['size']}x{setting['size']}, weights {setting['weights']}"
        table = Table(
            title=escape(f"{name}: {scored}"), title_justify="left", caption_justify="left"
        )
        table.add_column("trained with")
        for heading in (*METRICS.values(), "epochs", "runs"):
            table.add_column(heading, justify="right")
        for loss, cells in score_rows(group):
            table.add_row(loss, *cells)
        for name, cells in baseline_rows(group):
            table.add_row(name, *cells, "", "", style="dim")
        below = [_say_tuned(group), say_left(group), say_all_needs(group)]
        table.caption = escape("\n".join(filter(None, below)))
        yield table


def _say_tuned(group: dict[str, Any]) -> str:
    """IoU where the threshold is not 1/2."""
    found = [
        f"{row['loss']} {row['iou_per_image_tuned']:.3f} (at {row['threshold_tuned']:.2f})"
        for row in group["losses"]
        if row.get("iou_per_image_tuned") is not None
    ]
    return f"IoU per image, threshold tuned on validation: {', '.join(found)}" if found else ""


def section_blocks(sections: Sequence[Section]) -> Iterator[str | Table]:
    """Headings, paragraphs and tables, in rich's markup."""
    for section in sections:
        if section.title:
            yield f"[bold underline]{escape(section.title)}[/]"
        for block in section.blocks:
            yield _grid(block) if isinstance(block, Grid) else _mark(str(block))


def _grid(grid: Grid) -> Table:
    table = Table(title=escape(grid.title) or None, title_justify="left", show_lines=False)
    for column, heading in enumerate(grid.header):
        justify: JustifyMethod = "right" if grid.is_number(column) else "left"
        table.add_column(escape(heading), justify=justify, overflow="fold")
    for row in grid.rows:
        table.add_row(*map(_mark, row))
    return table


def _mark(text: str) -> str:
    return BOLD.sub(r"[bold]\1[/]", escape(text))
