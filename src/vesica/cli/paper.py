"""`vesica paper`: the paper's grid, its tables beside ours, and what holds of them."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from vesica.cli.options import Cache, DryRun, Jobs, Margin, refuse_given

if TYPE_CHECKING:
    from vesica.report.summary import Analysis


def paper(
    context: typer.Context,
    lfw: Annotated[
        str | None, typer.Option(help="Folder of LFW Part Labels.", show_default=False)
    ] = None,
    helen: Annotated[
        str | None, typer.Option(help="Folder in HELEN's layout.", show_default=False)
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Runs per cell; below 3 there is no verdict.")
    ] = 1,
    scale: Annotated[
        Literal["full", "lite"],
        typer.Option(help="full: 224 pixels, width 4096, at most 1000 epochs; lite: 128, 512, 15."),
    ] = "full",
    only: Annotated[
        str | None,
        typer.Option(
            help="A part, by comma: lfw, helen, bfcn32s, fcresnet, big, small, hair, nohair, "
            "bce, iou. More can be added later with the same --out.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="Pretrained encoders: torchvision (ImageNet's), hed (VGG-16; FCResNet then trains "
            "from scratch), none; NAME:PATH reads a file."
        ),
    ] = "torchvision",
    recipe: Annotated[
        Literal["default", "paper"],
        typer.Option(
            help="paper: BCE summed over pixels (eq. 1), both losses over the batch, Keras' "
            "initial weights."
        ),
    ] = "default",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many, instead of the scale's.", show_default=False),
    ] = None,
    precision: Annotated[
        Literal["fp32", "bf16", "auto"], typer.Option(help="auto: bf16 where the hardware has it.")
    ] = "fp32",
    beside: Annotated[
        str,
        typer.Option(
            help="An average of the weights, such as ema, scored beside them where training ends; "
            "it changes nothing."
        ),
    ] = "none",
    note: Annotated[
        str,
        typer.Option(
            help="What the images are, where no table can tell: said above the tables.",
            show_default=False,
        ),
    ] = "",
    margin: Margin = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="The published tables and their analysis alone; trains nothing."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder [default: runs/paper-SCALE-DATE]; with --published, a folder "
            "for what-holds.md, what-holds.html, published.json, published.csv.",
            show_default=False,
        ),
    ] = None,
    cache: Cache = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print results.json, or published.json, on standard output."),
    ] = False,
) -> None:
    """The paper's 32 cells, its tables beside ours, and which of its sentences hold.

    Examples: vesica paper --published, vesica paper --lfw DIR --scale lite --weights hed
    """
    if published:
        training = [name for name in context.params if name not in ("published", "out", "as_json")]
        refuse_given(context, training, "--published trains nothing")
        _judge_published(out, as_json=as_json)
        return
    if lfw is None and helen is None:
        raise typer.BadParameter("pass --lfw DIR, --helen DIR or both, or --published")
    from vesica.cli.session import execute
    from vesica.paper.grid import grid
    from vesica.results.kept import MAX_NOTE, NOTE
    from vesica.run import run_in

    if len(note) > MAX_NOTE or not re.match(NOTE, note):
        raise typer.BadParameter(
            f"--note: one line of plain text, at most {MAX_NOTE} characters, without <>`*[]|"
        )

    cells = grid(
        lfw,
        helen,
        seeds=seeds,
        scale=scale,
        only=() if only is None else only.split(","),
        weights=weights,
        recipe=recipe,
        max_epochs=epochs,
        precision=precision,
        beside=beside,
    )
    run = run_in(out, cache, f"paper-{scale}", analysis())
    run.note = note.strip()
    execute(
        lambda _: cells,
        run,
        margin=margin,
        jobs=jobs,
        dry_run=dry_run,
        as_json=as_json,
        levers=() if scale == "lite" else ("scale",),
    )


def analysis() -> "Analysis":
    """How a run of the grid is judged, whichever command asks."""
    from vesica.paper.replication_page import ANALYSIS

    return ANALYSIS


def _judge_published(out: Path | None, *, as_json: bool) -> None:
    from vesica.cli.tables import section_blocks
    from vesica.paper.what_holds import analyse, check_folder, published_sections, write_files

    if out is not None:
        check_folder(out.expanduser())
    document = analyse()
    console = Console(stderr=as_json, highlight=False, emoji=False)
    if not as_json:
        for block in section_blocks(published_sections(document)):
            console.print(block, end="\n\n")
    if out is not None:
        for path in write_files(out.expanduser(), document):
            console.print(f"Written: {path}", markup=False)
    if as_json:
        print(json.dumps(document, indent=2, allow_nan=False))
