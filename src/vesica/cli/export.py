"""`vesica export`: the model of a run as one file."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from vesica.cli.options import Cache
from vesica.cli.predict import Average, CellKey, Loss, RunOrModel, Seed, Trust


def export(
    model: RunOrModel,
    format: Annotated[
        Literal["safetensors", "onnx", "page"],
        typer.Option(
            help="safetensors: every tensor, for Vesica. onnx: a graph with its preprocessing, for "
            "any runtime. page: an HTML file that predicts in a browser, without a network."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="[default: model.safetensors, model.onnx or model.html here]", show_default=False
        ),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            help="For a page: onnxruntime-web as `npm pack` gives it, or its folder. [default: npm "
            "fetches it once]",
            show_default=False,
        ),
    ] = None,
    loss: Loss = None,
    seed: Seed = None,
    average: Average = False,
    cell: CellKey = None,
    trust: Trust = False,
    cache: Cache = None,
) -> None:
    """Write the model of a run as one file that needs no other.

    Example: vesica export runs/photos-2026-01-31 --format onnx
    """
    from vesica.cache import default_cache
    from vesica.errors import printable
    from vesica.export import SUFFIXES, export_model
    from vesica.files import expand
    from vesica.model import Asked

    exported = export_model(
        expand(model),
        expand(out or f"model{SUFFIXES[format]}"),
        format,
        Asked(loss, seed, cell, average),
        cache=expand(cache) if cache else default_cache(),
        trust=trust,
        runtime=None if runtime is None else expand(runtime),
    )
    traits, size_mb = exported.traits, exported.path.stat().st_size / 1e6
    console = Console(highlight=False, emoji=False)
    for line in (
        f"Model: {traits.why or traits.network}",
        f"Checked against PyTorch: {exported.agreement}.",
        f"Licence notes: {traits.licence}.",
        f"Written: {exported.path} ({size_mb:.1f} MB)",
    ):
        console.print(escape(printable(line)), soft_wrap=True)
