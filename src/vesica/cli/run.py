"""`vesica run`, `vesica status` and `vesica report`: plans and the folders they leave."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from vesica.cli import paper
from vesica.cli.options import Cache, DryRun, Jobs, Json, Margin, Out
from vesica.errors import DataError

if TYPE_CHECKING:
    from vesica.report.summary import Analysis

Run = Annotated[Path, typer.Argument(help="A run's folder.")]


def run(
    plan: Annotated[
        str,
        typer.Argument(
            help="demo, a Python file that defines plan() -> list[vesica.plan.Cell], or a run's "
            "folder, to go on with it."
        ),
    ],
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Let a run's own copies of users' files be run."),
    ] = False,
    out: Out = None,
    cache: Cache = None,
    margin: Margin = 0.5,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run a plan: any list of cells, not only losses against each other."""
    from vesica.cli.session import default_out, execute
    from vesica.plans import load_plan
    from vesica.report.summary import PLAIN
    from vesica.results import read_plan

    folder, analysis = Path(plan).expanduser(), PLAIN
    if (folder / "plan.json").is_file():
        cells, analysis, out = list(read_plan(folder).cells), _analysis_of(folder), out or folder
        if trust:
            from vesica.sweep import trust_copies

            trust_copies(folder, cells)
    elif trust:
        raise DataError(f"--trust is for the folder of a run, which {plan} is not; leave it out")
    else:
        cells = load_plan(plan)
    execute(
        cells,
        out or default_out(Path(plan).stem),
        cache,
        analysis=analysis,
        margin=margin,
        jobs=jobs,
        dry_run=dry_run,
        as_json=as_json,
    )


def status(run: Run) -> None:
    """Which cells of a run have finished, collapsed or failed, and which are still to do."""
    from vesica.cli.session import name_cells
    from vesica.results import read_cell, read_plan

    console = Console(highlight=False)
    cells = read_plan(run).cells
    names = name_cells(cells)
    for cell in cells:
        found = read_cell(run, cell)
        state = "to do" if found is None else found.result.status
        line = f"{cell.key}  {state:9}  {names[cell.key]}"
        if found is not None and found.result.has_scores:
            line += f": test IoU {found.result.iou_per_image:.3f}"
        if found is not None and found.result.reason:
            line += f" - {found.result.reason}"
        console.print(escape(line))
    done = sum(read_cell(run, cell) is not None for cell in cells)
    console.print(f"{done} of {len(cells)} cells have a result.")


def report(
    run: Run,
    cache: Cache = None,
    margin: Annotated[
        float | None,
        typer.Option(help="In points of IoU. [default: as before]", min=0, show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge what a run has so far and write its report again; trains nothing."""
    from vesica.cli.session import judge

    judge(run, cache, _analysis_of(run), margin=margin, as_json=as_json)


def _analysis_of(run: Path) -> "Analysis":
    """What a run's plan is beyond a list of cells.

    Raises:
        DataError: If this version does not know it.
    """
    from vesica.report import fairness
    from vesica.report.summary import PLAIN
    from vesica.results import read_plan

    kind = read_plan(run).kind
    known = {
        "": lambda: PLAIN,
        "fairness": lambda: fairness.ANALYSIS,
        "paper": paper.analysis,
    }
    if kind not in known:
        raise DataError(
            f"{run / 'plan.json'}: a run of the kind {kind!r}, which this version does not know; "
            "use the version that wrote it"
        )
    return known[kind]()
