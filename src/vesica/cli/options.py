"""Options that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[
    Path | None,
    typer.Option(help="The run's folder. [default: runs/DATA-DATE]", show_default=False),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder for decoded images and frozen layers' output, shared by all runs. "
        "[default: $VESICA_CACHE, or the user's cache folder]",
        show_default=False,
    ),
]
Margin = Annotated[
    float,
    typer.Option(help="Differences smaller than this do not matter, in points of IoU.", min=0),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=64,
        help="Cells trained side by side. [default: as many as cores where that is faster]",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, print the cost, stop.")]
Json = Annotated[bool, typer.Option("--json", help="Print results.json on standard output.")]


def refuse_given(context: typer.Context, names: Sequence[str], reason: str) -> None:
    """Refuse options that would have no effect.

    Raises:
        typer.BadParameter: If a user gave one of them.
    """
    given = [
        f"--{name.replace('_', '-')}"
        for name in names
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise typer.BadParameter(f"{reason}: leave out {', '.join(given)}")
