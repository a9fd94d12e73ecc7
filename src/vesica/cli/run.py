"""`vesica run`, `vesica status` and `vesica report`: plans and the folders they leave."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from vesica.cli import paper
from vesica.cli.options import (
    LEVERS,
    Cache,
    DryRun,
    Jobs,
    Json,
    Log,
    Margin,
    Metrics,
    Out,
    refuse_given,
    with_fields,
)
from vesica.errors import DataError
from vesica.words import split_names

if TYPE_CHECKING:
    from vesica.report.summary import Analysis
    from vesica.run import Run

Folder = Annotated[Path, typer.Argument(help="A run's folder.")]

REFUSED = {
    "losses": ("networks", "trust"),
    "architectures": ("model", "trust"),
    "sparsity": ("networks", "trust", "losses", "size", "score_at", "long_side", "classes"),
    "sparsity-classes": ("networks", "trust", "losses", "score_at", "classes"),
}
"""Options that have no effect on a plan."""


@with_fields
def run(
    context: typer.Context,
    plan: Annotated[
        str,
        typer.Argument(
            help="losses, architectures, sparsity or sparsity-classes, on DATA; demo; a Python "
            "file that defines plan() -> list[vesica.plan.Cell]; or a run's folder, to go on with "
            "it."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Argument(
            help="Data sets, each as for vesica compare, several of losses and architectures; "
            "options hold for all of them, and more can be added later with the same --out. "
            "[default: generated ones]",
            show_default=False,
        ),
    ] = None,
    losses: Annotated[
        str | None,
        typer.Option(
            help="By comma, the baseline first. [default: losses all, architectures bce,iou]",
            show_default=False,
        ),
    ] = None,
    networks: Annotated[
        str | None,
        typer.Option(
            help="Of architectures, by comma. [default: "
            "bfcn32s,bfcn16s,bfcn8s,segnet,fcresnet,unet]",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Runs of each; below 3 there is no verdict.")
    ] = 3,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Let a run's own copies of users' files be run."),
    ] = False,
    out: Out = None,
    cache: Cache = None,
    margin: Margin = None,
    jobs: Jobs = None,
    log: Log = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Run a plan: any list of cells, not only losses against each other.

    Losses: bce and what is said to be better, against each other on every data set. Architectures:
    bce and iou on every network and data set; --weights hed,lite0 are several, each network takes
    the first that fit it; --width goes to the networks that have one. Sparsity: bce and iou on the
    same objects with more and more background. Sparsity-classes: on classes of index masks, which
    --foreground 'skin=1;earring=15' names.

    Examples: vesica run losses photos/ scans/ --dry-run, vesica run plan.py
    """
    from vesica.cli.session import execute
    from vesica.data.library import Library
    from vesica.naming import name_run
    from vesica.plans import check_plan, load_plan
    from vesica.plans.over_data import OVER_DATA, cells_over_data
    from vesica.run import run_in

    folder, said = Path(plan).expanduser(), list[str]()
    is_run = (folder / "plan.json").is_file()
    if not is_run:
        check_plan(plan)
    if plan not in OVER_DATA:
        own = ("losses", "networks", "seeds", *fields)
        refuse_given(context, own, f"{plan} says itself what is run")
        if data:
            raise typer.BadParameter(f"{plan} has its own data: leave out {' '.join(data)}")
    if plan in OVER_DATA:
        refuse_given(context, REFUSED[plan], f"{plan} takes no such option")
        name = name_run(data[0], plan) if data and data[0] else plan
        found = run_in(out, cache, name, _analysis_of_kind(plan))
        cells, said = cells_over_data(
            plan,
            data or (),
            fields,
            Library(found.cache),
            names=split_names(losses),
            networks=split_names(networks),
            seeds=seeds,
        )
    elif is_run:
        kept = run_in(folder, cache)
        cells, analysis = list(kept.cells), _analysis_of(kept)
        found = run_in(out or folder, cache, analysis=analysis)
        if trust:
            kept.trust(cells)
    elif trust:
        raise DataError(f"--trust is for the folder of a run, which {plan} is not; leave it out")
    else:
        cells, found = load_plan(plan), run_in(out, cache, folder.stem)
    execute(
        lambda _: cells,
        found,
        margin=margin,
        jobs=jobs,
        dry_run=dry_run,
        as_json=as_json,
        said=said,
        log=log or (),
        levers=[name for name in LEVERS if plan in OVER_DATA and name not in REFUSED[plan]],
    )


def status(run: Folder) -> None:
    """Which cells of a run have finished, collapsed or failed, and which are still to do."""
    from vesica.files import WEIGHTS, is_there
    from vesica.naming import name_cells
    from vesica.run import run_in
    from vesica.words import count_of

    console = Console(highlight=False, emoji=False)
    cells = run_in(run, None).status()
    names = name_cells([cell for cell, _ in cells])
    num_without = 0
    for cell, found in cells:
        state = "to do" if found is None else found.result.status
        line = f"{cell.folder or cell.key}  {state:9}  {names[cell.key]}"
        if found is not None and found.result.has_scores:
            line += f": test IoU {found.result.iou_per_image:.3f}"
            if not is_there(found.folder / WEIGHTS):
                line, num_without = f"{line}, weights missing", num_without + 1
        if found is not None and found.result.reason:
            line += f" - {found.result.reason}"
        console.print(escape(line))
    done = sum(found is not None for _, found in cells)
    console.print(f"{done} of {len(cells)} cells have a result.")
    if num_without:
        console.print(
            f"{count_of(num_without, 'cell')} without {WEIGHTS}: judged all the same, but no model "
            "to predict with."
        )


def report(
    run: Folder,
    cache: Cache = None,
    margin: Margin = None,
    metrics: Metrics = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Write a table of test images whose labels all runs contradict, worst first: "
            "labels.csv.",
            show_default=False,
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Let the run's own copies of users' files be run."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge what a run has so far and write its report again; trains nothing."""
    from vesica.cli.session import conclude
    from vesica.files import expand
    from vesica.report.labels import check_labels
    from vesica.run import run_in

    if labels is not None:
        check_labels("--labels", expand(labels))
    found = run_in(run, cache)
    found.analysis = _analysis_of(found)
    if trust:
        found.trust(found.cells)
    found.judge(None if margin is None else margin / 100, split_names(metrics))
    console = Console(stderr=as_json, highlight=False, emoji=False)
    conclude(console, found, as_json=as_json)
    if labels is not None:
        num = found.labels(labels)
        console.print(f"Labels: {escape(str(labels))}, {num} test images, the most doubtful first")


def _analysis_of(run: "Run") -> "Analysis":
    """What a run's plan is beyond a list of cells.

    Raises:
        DataError: If this version does not know it.
    """
    try:
        return _analysis_of_kind(run.plan.kind)
    except KeyError:
        raise DataError(
            f"{run.folder / 'plan.json'}: a run of the kind {run.plan.kind!r}, which this version "
            "does not know; use the version that wrote it"
        ) from None


def _analysis_of_kind(kind: str) -> "Analysis":
    from vesica.report import fairness, learning_curve, sparsity, standings_page
    from vesica.report.summary import PLAIN

    known: dict[str, Callable[[], Analysis]] = {
        "": lambda: PLAIN,
        "fairness": lambda: fairness.ANALYSIS,
        "learning-curve": lambda: learning_curve.ANALYSIS,
        "losses": lambda: standings_page.OF_LOSSES,
        "architectures": lambda: standings_page.OF_ARCHITECTURES,
        "sparsity": lambda: sparsity.ANALYSES[kind],
        "sparsity-classes": lambda: sparsity.ANALYSES[kind],
        "paper": paper.analysis,
    }
    return known[kind]()
