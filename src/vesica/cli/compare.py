"""`vesica demo` and `vesica compare`: from images to a verdict."""

from typing import Annotated, Any

import typer

from vesica.cli.options import (
    RECIPE,
    Cache,
    DryRun,
    Jobs,
    Json,
    Margin,
    Metrics,
    Out,
    refuse_given,
    with_fields,
)


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
    from vesica.cli.session import execute
    from vesica.plans.demo import demo as demo_plan
    from vesica.run import run_in

    execute(
        demo_plan(seeds),
        run_in(out, cache, "demo"),
        margin=margin,
        jobs=jobs,
        dry_run=dry_run,
        as_json=as_json,
    )


@with_fields
def compare(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="LFW Part Labels, HELEN, or a folder with images/ and masks/ paired by name; "
            "`generated` is the embedded set; FILE.py:FUNCTION opens your own."
        ),
    ],
    losses: Annotated[
        str,
        typer.Option(
            help="Losses to compare, by comma: [weight]name[:key=value]...[+...]; a name may be "
            "FILE.py:FUNCTION."
        ),
    ] = "bce,iou",
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Runs per loss; below 3 there is no verdict.")
    ] = 3,
    fairness: Annotated[
        bool,
        typer.Option(
            "--fairness",
            help="Is it only the recipe? 12 recipes for each loss and seed: learning rates 3e-5, "
            "1e-4, 3e-4, 1e-3, and the epoch best by loss, best by IoU, or last; in place of "
            "--lr, --monitor and --keep.",
        ),
    ] = False,
    flip: Annotated[
        bool,
        typer.Option(
            "--flip",
            help="Mirror half of the training images: --augment flip.",
            rich_help_panel=RECIPE,
        ),
    ] = False,
    out: Out = None,
    margin: Margin = 0.5,
    metrics: Metrics = None,
    cache: Cache = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Which loss should I train with on my images, and is the difference more than luck?

    Example: vesica compare photos/ --weights hed --size 128 --model bfcn32s:width=512
    """
    from vesica.cli.session import execute
    from vesica.plan import across, cell_of
    from vesica.plans.fairness import fairness as fairness_plan
    from vesica.report.fairness import ANALYSIS
    from vesica.report.summary import PLAIN
    from vesica.run import run_in

    if fairness:
        refuse_given(context, ("lr", "monitor", "keep"), "--fairness tries several of each")
    if flip:
        refuse_given(context, ("augment",), "--flip is --augment flip")
        fields["augment"] = "flip"
    base, names = cell_of(data, fields), losses.split(",")
    # Seeds vary slowest, so that every pair of losses is complete as early as possible.
    cells = across(base, seed=range(seeds), loss=names)
    if fairness:
        cells = fairness_plan(base, losses=names, seeds=seeds)
    name = base.data.name.replace(":", "-") + ("-fairness" if fairness else "")
    execute(
        cells,
        run_in(out, cache, name, ANALYSIS if fairness else PLAIN),
        margin=margin,
        jobs=jobs,
        dry_run=dry_run,
        as_json=as_json,
        metrics=metrics,
    )
