"""`vesica predict`: masks of new images."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from vesica.cli.options import Cache

PLAIN_EVERY_S = 30.0
"""Where there is no terminal, a line every so many seconds."""

MAX_SHOWN = 20

RunOrModel = Annotated[
    Path,
    typer.Argument(help="A run's folder, or a model of `vesica export`: .safetensors or .onnx."),
]
Loss = Annotated[
    str | None,
    typer.Option(
        help="Of a run: this loss. [default: the better one by the verdict, else the baseline]",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="Of a run: this seed. [default: the best on validation images]", show_default=False
    ),
]
Average = Annotated[
    bool, typer.Option("--average", help="Of a run: average the probabilities of all seeds.")
]
CellKey = Annotated[
    str | None,
    typer.Option(
        "--cell", help="Of a run: one network, by its key in `vesica status`.", show_default=False
    ),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Let a run's own copies of users' files be run.")
]


def predict(
    model: RunOrModel,
    images: Annotated[
        list[str], typer.Argument(help="Folders, files, or globs such as 'a/*.jpg'.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for masks/ and predictions.csv.", show_default=False)
    ],
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write them, as 16-bit PNG.")
    ] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Draw each mask on its image.")
    ] = False,
    tiles: Annotated[
        int | None,
        typer.Option(
            min=32,
            help="Where images show more than those of training at the same scale: cut them into "
            "overlapping squares of so many pixels, which look like them.",
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
    """Masks of new images, by the network that a run has found to be the better one.

    Example: vesica predict runs/photos-2026-01-31 new/ --out masks --overlay
    """
    from vesica.data.pixels import show
    from vesica.errors import printable
    from vesica.model import BLACK, load, say_expected, say_limit, say_unmarked
    from vesica.predict import plan_job, predict_folder
    from vesica.words import count_of, say_first

    console = Console(highlight=False, emoji=False)

    def say(text: str, style: str | None = None) -> None:
        console.print(escape(printable(text)), style=style)

    job = plan_job(images, out, probabilities=probabilities, overlays=overlay, tile_px=tiles)
    loaded = load(model, loss=loss, seed=seed, cell=cell, average=average, trust=trust, cache=cache)
    say(f"Model: {loaded.traits.why or loaded.traits.network}")
    with _Display(console) as display:
        try:
            outcome = predict_folder(loaded, job, display.show)
        except KeyboardInterrupt:
            say("Stopped. The same command goes on.")
            raise typer.Exit(130) from None
    done = f"Masks of {count_of(len(outcome.predicted), 'image')} written"
    done += f"; of {len(outcome.skipped)} they were there" * bool(outcome.skipped)
    say(f"{done}: {job.out}")
    say(say_expected(loaded.traits))
    if unmarked := say_unmarked(loaded.traits):
        say(unmarked)
    num_there = len(outcome.predicted) + len(outcome.skipped)
    if strange := len({*outcome.unusual} - {*outcome.black}):
        say(
            f"{strange} of {num_there} images are unlike those of training, or "
            "harder than nine in ten of the test images: look at those with `yes` under unusual in "
            f"predictions.csv. {say_limit(loaded.traits)}",
            "yellow",
        )
    if job.masks:
        say(
            f"{len(job.masks)} of {len(job.images)} images look like masks, such as "
            f"{show(job.root, job.masks[0])}: they have the names of images beside their folder. "
            "If they are, pass the images' folder alone.",
            "yellow",
        )
    if outcome.whole:
        say(
            f"{len(outcome.whole)} of {num_there} images are no larger than a tile of "
            f"{tiles} pixels and were predicted whole, as without --tiles.",
            "yellow",
        )
    if outcome.black:
        say(
            f"{count_of(len(outcome.black), 'image')} as good as black, as the network sees them "
            f"(no value above {BLACK - 1} of 255), such as {outcome.black[0]}; their masks mean "
            "little. Images of 12 bits in files of 16 look so: save them with 8 bits.",
            "yellow",
        )
    if loaded.traits.num_members == 1 and not unmarked:
        say(
            "One network alone does not know images of another kind: with several (--average, or "
            "folds) those on which they disagree are marked.",
            "dim",
        )
    if job.passed_over:
        names = say_first([show(job.root, file) for file in job.passed_over])
        say(f"{count_of(len(job.passed_over), 'file')} passed over as no images: {names}", "dim")
    for line in outcome.unreadable[:MAX_SHOWN]:
        say(f"Left out: {line}", "red")
    if len(outcome.unreadable) > MAX_SHOWN:
        say(f"... and {len(outcome.unreadable) - MAX_SHOWN} more", "red")
    if outcome.unreadable:
        raise typer.Exit(1)


class _Display:
    """A bar on a terminal, else a line now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("predicting", total=None)
        self.said_at = time.monotonic()

    def __enter__(self) -> "_Display":
        self.bar.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.bar.stop()

    def show(self, done: int, total: int) -> None:
        """As `predict_folder` tells."""
        self.bar.update(self.task, completed=done, total=total)
        if not self.console.is_terminal and time.monotonic() - self.said_at > PLAIN_EVERY_S:
            self.said_at = time.monotonic()
            self.console.print(f"predicting: {done}/{total}")
