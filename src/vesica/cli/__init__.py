"""The command line: one file per group of commands, no logic. Importing it imports no torch."""

import typer

from vesica.cli import compare, run

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
app.command("demo")(compare.demo)
app.command("compare")(compare.compare)
app.command("run")(run.run)
app.command("status")(run.status)
app.command("report")(run.report)
