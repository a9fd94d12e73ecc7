"""The command line: one file per group of commands, no logic. Importing it imports no torch."""

from typing import Annotated

import typer

from vesica import __version__
from vesica.cli import cache, check, compare, export, lists, paper, predict, run

app = typer.Typer(
    name="vesica",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Which loss should I train my segmentation network with, by how much is it better, "
        "and is that more than luck?\n\n"
        "Start with **vesica demo**, then **vesica compare DATA** on your own images: "
        "a folder with `images/` and `masks/`, paired by name. "
        "Run the same command again after a stop: it goes on where it was."
    ),
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


app.command("demo")(compare.demo)
app.command("compare")(compare.compare)
app.command("check")(check.check)
app.command("run")(run.run)
app.command("predict")(predict.predict)
app.command("export")(export.export)
app.command("paper")(paper.paper)
app.command("status")(run.status)
app.command("report")(run.report)
app.command("cache")(cache.list_cache)
app.command("losses")(lists.losses)
app.command("models")(lists.models)
app.command("formats")(lists.formats)
