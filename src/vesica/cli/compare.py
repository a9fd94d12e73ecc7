"""`vesica demo` and `vesica compare`: from images to a verdict."""

from typing import Annotated, Any, Literal

import typer

from vesica.cli.options import (
    LEVERS,
    RECIPE,
    Budget,
    Cache,
    DryRun,
    Jobs,
    Json,
    Log,
    Margin,
    MaxSeeds,
    Metrics,
    Out,
    Quick,
    Seeds,
    Until,
    refuse_given,
    with_fields,
)
from vesica.plan import Cell
from vesica.until import MAX_SEEDS, looks_up_to
from vesica.words import split_names


def demo(
    context: typer.Context,
    out: Out = None,
    cache: Cache = None,
    seeds: Seeds = None,
    until: Until = None,
    budget: Budget = None,
    max_seeds: MaxSeeds = MAX_SEEDS,
    margin: Margin = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Ask the question on generated images: a minute or two on two cores, nothing to download."""
    from vesica.cli.session import execute
    from vesica.plans.demo import demo as demo_plan
    from vesica.run import run_in

    execute(
        demo_plan,
        run_in(out, cache, "demo", grows=True),
        numbers=numbers_of(context, seeds, until, max_seeds),
        budget=budget,
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
            help="A folder of images and masks as it comes, or a CSV of pairs; LFW Part Labels; "
            "HELEN; `generated` is the embedded set; FILE.py:FUNCTION opens your own."
        ),
    ],
    losses: Annotated[
        str | None,
        typer.Option(
            help="Losses to compare, by comma: bce,0.3bce+0.7iou,tversky:alpha=0.3; or "
            "FILE.py:FUNCTION. `vesica losses` lists them. [default: bce,iou; with --classes "
            "ce,iou]",
            show_default=False,
        ),
    ] = None,
    quick: Quick = False,
    recipe: Annotated[
        Literal["modern", "paper"] | None,
        typer.Option(
            help="modern: a light U-Net, averaged weights, the last step, so that seeds differ "
            "little. paper: its networks, sizes and early stopping. Any option below is stronger. "
            "[default: modern]",
            show_default=False,
            rich_help_panel=RECIPE,
        ),
    ] = None,
    seeds: Seeds = None,
    until: Until = None,
    budget: Budget = None,
    max_seeds: MaxSeeds = MAX_SEEDS,
    fairness: Annotated[
        bool,
        typer.Option(
            "--fairness",
            help="Is it only the recipe? 12 recipes for each loss and seed: learning rates 3e-5, "
            "1e-4, 3e-4, 1e-3, and the epoch best by loss, best by IoU, or last; in place of "
            "--lr, --monitor and --keep, beside the paper's recipe, with 3 seeds.",
            rich_help_panel=RECIPE,
        ),
    ] = False,
    learning_curve: Annotated[
        bool,
        typer.Option(
            "--learning-curve",
            help="Would more images help? Each loss on an eighth, a quarter, half and all of the "
            "training images, in place of --train, with 3 seeds.",
            rich_help_panel=RECIPE,
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
    margin: Margin = None,
    metrics: Metrics = None,
    cache: Cache = None,
    jobs: Jobs = None,
    log: Log = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Which loss should I train with on my images, and is the difference more than luck?

    Example: vesica compare photos/ --losses bce,iou,lovasz_hinge --budget 1h
    """
    from vesica.cli.session import execute
    from vesica.data.library import Library
    from vesica.naming import name_run
    from vesica.plan import seeds_and_folds
    from vesica.plans.defaults import QUICK_SEEDS, check_names, choose, default_losses
    from vesica.plans.fairness import fairness as fairness_plan
    from vesica.plans.learning_curve import count_train
    from vesica.plans.learning_curve import learning_curve as curve_plan
    from vesica.report import fairness as of_fairness
    from vesica.report import learning_curve as of_curve
    from vesica.report.summary import PLAIN
    from vesica.run import run_in

    if quick:
        refuse_given(
            context, ("recipe", "fairness", "until", "max_seeds"), "--quick is a first look"
        )
    if fairness:
        refuse_given(context, ("lr", "monitor", "keep"), "--fairness tries several of each")
        refuse_given(context, ("until", "budget", "max_seeds"), "--fairness takes --seeds")
    if learning_curve:
        refuse_given(context, ("fairness",), "--learning-curve is a plan of its own")
        refuse_given(context, ("train", "split"), "--learning-curve tries several sizes")
        refuse_given(context, ("until", "budget", "max_seeds"), "--learning-curve takes --seeds")
    if flip:
        refuse_given(context, ("augment",), "--flip is --augment flip")
        fields["augment"] = "flip"
    analysis = of_fairness.ANALYSIS if fairness else of_curve.ANALYSIS if learning_curve else PLAIN
    run = run_in(out, cache, name_run(data, analysis.kind or "quick" * quick), analysis)
    run.grows = analysis is PLAIN
    recipe = recipe or ("paper" if fairness else "modern")
    library = Library(run.cache)
    named = None if losses is None else split_names(losses)
    if named == []:
        raise ValueError("--losses is empty; name one, or two to compare them")
    check_names(data, fields, recipe, named)
    chosen = choose(data, fields, recipe, library, run.folder, quick=quick)
    num_train = count_train(chosen.base, library) if learning_curve else 0
    names = named or default_losses(chosen.base.data, library)
    few = quick or not run.grows

    def plan(num_seeds: int) -> list[Cell]:
        if fairness:
            return fairness_plan(chosen.base, losses=names, seeds=num_seeds)
        if learning_curve:
            return curve_plan(chosen.base, num_train, losses=names, seeds=num_seeds)
        return seeds_and_folds(chosen.base, num_seeds, names)

    execute(
        plan,
        run,
        chosen=chosen,
        numbers=numbers_of(context, seeds or (QUICK_SEEDS if few else None), until, max_seeds),
        budget=budget,
        margin=margin,
        jobs=jobs,
        dry_run=dry_run,
        as_json=as_json,
        metrics=metrics,
        log=log or (),
        levers=LEVERS,
    )


def numbers_of(
    context: typer.Context, seeds: int | None, until: str | None, max_seeds: int
) -> tuple[int, ...]:
    """The numbers of seeds to look at.

    Raises:
        typer.BadParameter: If both a number and a search for it are asked for.
    """
    if seeds is None:
        return looks_up_to(max_seeds)
    if until is not None:
        raise typer.BadParameter("--until decided finds the number of seeds: leave out --seeds")
    refuse_given(context, ("max_seeds",), "--seeds is the number of seeds")
    return (seeds,)
