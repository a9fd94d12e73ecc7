"""`vesica demo` and `vesica compare`: from images to a verdict."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vesica.cli.options import Cache, DryRun, Jobs, Json, Margin, Out

Split = Literal["big", "small"]


def demo(
    out: Out = None,
    cache: Cache = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Runs per loss.")] = 3,
    margin: Margin = 0.5,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Ask the question on generated faces: a few minutes on two cores, nothing to download."""
    from vesica.cli.session import default_out, execute
    from vesica.plans.demo import demo as demo_plan

    execute(
        demo_plan(seeds),
        out or default_out("demo"),
        cache,
        margin=margin,
        jobs=jobs,
        dry_run=dry_run,
        as_json=as_json,
    )


def compare(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="LFW Part Labels, HELEN, or a folder with images/ and masks/ paired by name; "
            "`generated` is the embedded set, FILE.py:FUNCTION your own."
        ),
    ],
    losses: Annotated[
        str,
        typer.Option(help="Losses to compare, by comma: [weight]name[:key=value]...[+...]."),
    ] = "bce,iou",
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Runs per loss; below 3 there is no verdict.")
    ] = 3,
    out: Out = None,
    model: Annotated[
        str, typer.Option(help="bfcn32s (VGG-16) or fcresnet (ResNet-50).")
    ] = "bfcn32s",
    size: Annotated[int, typer.Option(help="Images are resized to size x size pixels.")] = 224,
    width: Annotated[
        int | None, typer.Option(help="Channels of the wide layers: the paper's 4096.")
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="Pretrained encoder: torchvision, hed (VGG-16), none; NAME:PATH reads a file."
        ),
    ] = "default",
    format: Annotated[str, typer.Option(help="auto, lfw, helen or folder.")] = "auto",
    target: Annotated[
        str | None, typer.Option(help="face or face+hair, for the face sets.", show_default=False)
    ] = None,
    foreground: Annotated[
        str | None,
        typer.Option(help="Mask values that are foreground: 255, '>127'.", show_default=False),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Regular expression on an image's name; its first group names the person, "
            "patient or slide, which is never divided.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="small: as many as 1000 of a whole face set.")
    ] = "big",
    train: Annotated[
        int | None, typer.Option(help="Training images, instead of --split's.", show_default=False)
    ] = None,
    val: Annotated[
        int | None,
        typer.Option(help="Validation images, instead of --split's.", show_default=False),
    ] = None,
    split_seed: Annotated[int, typer.Option(help="Another division of a folder.")] = 0,
    epochs: Annotated[int, typer.Option(help="At most so many.")] = 1000,
    patience: Annotated[
        int, typer.Option(help="Stop after so many epochs without a better one.")
    ] = 20,
    batch: Annotated[int, typer.Option(help="Images per step.")] = 100,
    optimizer: Annotated[str, typer.Option(help="rmsprop, adamw, sgd.")] = "rmsprop",
    schedule: Annotated[str, typer.Option(help="constant, cosine.")] = "constant",
    augment: Annotated[str, typer.Option(help="none, flip, standard.")] = "none",
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    init: Annotated[
        Literal["fcn", "keras"] | None, typer.Option(help="How fresh layers start.")
    ] = None,
    freeze: Annotated[
        Literal["auto", "paper", "none"] | None,
        typer.Option(
            help="Frozen: all but the last block and the head, or nothing; auto: "
            "nothing where there are no pretrained weights."
        ),
    ] = None,
    dropout: Annotated[float | None, typer.Option(help="Behind each wide layer.")] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror half of the training images, anew each epoch.")
    ] = False,
    reduction: Annotated[
        Literal["mean", "sum"], typer.Option(help="Over a batch; the paper adds.")
    ] = "mean",
    monitor: Annotated[
        Literal["val_loss", "val_iou"], typer.Option(help="What decides which epoch is best.")
    ] = "val_loss",
    keep: Annotated[
        Literal["best", "last"], typer.Option(help="Which epoch's weights are scored.")
    ] = "best",
    precision: Annotated[
        Literal["fp32", "bf16", "auto"], typer.Option(help="auto: bf16 where the hardware has it.")
    ] = "fp32",
    fairness: Annotated[
        bool,
        typer.Option(
            "--fairness",
            help="Is it only the recipe? 12 recipes for each loss and seed: learning rates 3e-5, "
            "1e-4, 3e-4, 1e-3, and the epoch best by loss, best by IoU, or last; in place of "
            "--lr, --monitor and --keep.",
        ),
    ] = False,
    margin: Margin = 0.5,
    cache: Cache = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Which loss should I train with on my images, and is the difference more than luck?

    Example: vesica compare photos/ --weights hed --size 128 --width 512
    """
    from vesica.cli.options import refuse_given
    from vesica.cli.session import default_out, execute
    from vesica.plan import Cell, Recipe, Source, across, replace
    from vesica.plans.fairness import fairness as fairness_plan
    from vesica.report.fairness import ANALYSIS
    from vesica.report.summary import PLAIN

    if fairness:
        refuse_given(context, ("lr", "monitor", "keep"), "--fairness tries several of each")

    base = Cell(
        data=Source(
            path=data,
            format=format,
            target=target,
            foreground=foreground,
            group=group,
            split=split,
            train=train,
            val=val,
            split_seed=split_seed,
        ),
        model=model,
        size=size,
        weights=weights,
        recipe=Recipe(
            optimizer=optimizer,
            schedule=schedule,
            augment="flip" if flip else augment,
            max_epochs=epochs,
            batch=batch,
            patience=patience,
            reduction=reduction,
            monitor=monitor,
            keep=keep,
            precision=precision,
        ),
    )
    short = {"lr": lr, "width": width, "init": init, "dropout": dropout, "freeze": freeze}
    base = replace(base, **{name: value for name, value in short.items() if value is not None})
    # Seeds vary slowest, so that every pair of losses is complete as early as possible.
    cells = across(base, seed=range(seeds), loss=losses.split(","))
    name = Path(data.partition(":")[0]).resolve().name
    if fairness:
        cells = fairness_plan(base, losses=losses.split(","), seeds=seeds)
        name += "-fairness"
    execute(
        cells,
        out or default_out(name),
        cache,
        margin=margin,
        jobs=jobs,
        dry_run=dry_run,
        as_json=as_json,
        analysis=ANALYSIS if fairness else PLAIN,
    )
