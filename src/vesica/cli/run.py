"""`vesica run`, `vesica status` and `vesica report`: plans and the folders they leave."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from vesica.cli import paper
from vesica.cli.options import Cache, DryRun, Jobs, Json, Log, Margin, Metrics, Out
from vesica.errors import DataError

if TYPE_CHECKING:
    from vesica.report.summary import Analysis
    from vesica.run import Run

Folder = Annotated[Path, typer.Argument(help="A run's folder.")]


def run(
    plan: Annotated[
        str,
        typer.Argument(
            help="demo; sparsity [DATA]; sparsity-classes DATA; a Python file that defines "
            "plan() -> list[vesica.plan.Cell]; or a run's folder, to go on with it."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Argument(help="Images, for a plan that takes them.", show_default=False),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Runs per loss of such a plan. [default: 3]", show_default=False
        ),
    ] = None,
    foreground: Annotated[
        list[str] | None,
        typer.Option(
            help="What of the masks is foreground; again for every class: earring=15.",
            show_default=False,
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Let a run's own copies of users' files be run."),
    ] = False,
    out: Out = None,
    cache: Cache = None,
    margin: Margin = 0.5,
    jobs: Jobs = None,
    log: Log = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run a plan: any list of cells, not only losses against each other."""
    from vesica.cli.session import execute
    from vesica.plans import ask_plan
    from vesica.report.sparsity import ANALYSES
    from vesica.report.summary import PLAIN
    from vesica.run import name_run, run_in

    folder = Path(plan).expanduser()
    if (folder / "plan.json").is_file():
        if data or seeds or foreground:
            raise DataError(f"{plan}: a run goes on as it was begun; leave out all but its folder")
        kept = run_in(folder, cache)
        cells, analysis = list(kept.cells), _analysis_of(kept)
        found = run_in(out or folder, cache, analysis=analysis)
        if trust:
            kept.trust(cells)
    elif trust:
        raise DataError(f"--trust is for the folder of a run, which {plan} is not; leave it out")
    else:
        cells = ask_plan(plan, data or (), seeds, foreground or ())
        name = name_run(data[0], plan) if data else folder.stem
        found = run_in(out, cache, name, ANALYSES.get(plan, PLAIN))
    execute(
        lambda _: cells,
        found,
        margin=margin,
        jobs=jobs,
        dry_run=dry_run,
        as_json=as_json,
        log=log or (),
    )


def status(run: Folder) -> None:
    """Which cells of a run have finished, collapsed or failed, and which are still to do."""
    from vesica.run import name_cells, run_in

    console = Console(highlight=False, emoji=False)
    cells = run_in(run, None).status()
    names = name_cells([cell for cell, _ in cells])
    for cell, found in cells:
        state = "to do" if found is None else found.result.status
        line = f"{cell.folder or cell.key}  {state:9}  {names[cell.key]}"
        if found is not None and found.result.has_scores:
            line += f": test IoU {found.result.iou_per_image:.3f}"
        if found is not None and found.result.reason:
            line += f" - {found.result.reason}"
        console.print(escape(line))
    done = sum(found is not None for _, found in cells)
    console.print(f"{done} of {len(cells)} cells have a result.")


def report(
    run: Folder,
    cache: Cache = None,
    margin: Annotated[
        float | None,
        typer.Option(help="In points of IoU. [default: as before]", min=0, show_default=False),
    ] = None,
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
    from vesica.cli.session import conclude, split_names
    from vesica.run import run_in

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
    from vesica.report import fairness, learning_curve, sparsity
    from vesica.report.summary import PLAIN

    kind = run.plan.kind
    known: dict[str, Callable[[], Analysis]] = {
        "": lambda: PLAIN,
        "fairness": lambda: fairness.ANALYSIS,
        "learning-curve": lambda: learning_curve.ANALYSIS,
        "paper": paper.analysis,
        "sparsity": lambda: sparsity.ANALYSES[kind],
        "sparsity-classes": lambda: sparsity.ANALYSES[kind],
    }
    if kind not in known:
        raise DataError(
            f"{run.folder / 'plan.json'}: a run of the kind {kind!r}, which this version does not "
            "know; use the version that wrote it"
        )
    return known[kind]()
