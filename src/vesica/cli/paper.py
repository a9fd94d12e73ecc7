"""`vesica paper`: the paper's tables and what holds of them."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def paper(
    published: Annotated[
        bool, typer.Option("--published", help="The published tables and their analysis alone.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for what-holds.md, what-holds.html, published.json, published.csv.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print published.json on standard output.")
    ] = False,
) -> None:
    """The paper's tables, its statistics recomputed, and which of its sentences hold.

    Example: vesica paper --published
    """
    from vesica.cli.tables import section_blocks
    from vesica.published import analyse
    from vesica.report.published import published_sections, write_published

    if not published:
        raise typer.BadParameter("pass --published")
    document = analyse()
    console = Console(stderr=as_json, highlight=False)
    if not as_json:
        for block in section_blocks(published_sections(document)):
            console.print(block, end="\n\n")
    if out is not None:
        for path in write_published(out.expanduser(), document):
            console.print(f"Written: {path}", markup=False)
    if as_json:
        print(json.dumps(document, indent=2, allow_nan=False))
