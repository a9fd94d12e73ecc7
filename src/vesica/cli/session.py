"""What every command that trains does: check, say the cost, run with progress, judge, report."""

import glob
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from vesica.judge import Judgement
from vesica.plan import Cell, flatten
from vesica.report.summary import PLAIN, Analysis
from vesica.spelling import shown

LONG_HOURS = 1.0

MAX_DECODED_BYTES = 2**31
"""What a report decodes anew: its run may be a stranger's, and training says what it takes."""


def default_out(name: str) -> Path:
    """`runs/<data>-<date>`, or an interrupted one of an earlier day, to go on with it."""
    from vesica.results import read_cell, read_plan

    today = Path("runs") / f"{name}-{date.today():%Y-%m-%d}"
    earlier = sorted(Path("runs").glob(f"{glob.escape(name)}-????-??-??"))
    if today.exists() or not earlier or not (earlier[-1] / "plan.json").exists():
        return today
    last = earlier[-1]
    is_interrupted = any(read_cell(last, cell) is None for cell in read_plan(last).cells)
    return last if is_interrupted else today


def execute(
    cells: Sequence[Cell],
    out: Path,
    cache: Path | None,
    *,
    margin: float,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
    analysis: Analysis = PLAIN,
) -> None:
    """Run a plan's cells and print the verdict; with `as_json` everything else goes to stderr.

    `analysis` is what the plan is beyond a list of cells.
    """
    console = Console(stderr=as_json, highlight=False)
    from vesica.cache import default_cache
    from vesica.cli.progress import Display
    from vesica.errors import Stopped
    from vesica.estimate import check_disk, choose_jobs, estimate
    from vesica.judge import judge_run
    from vesica.materials import Materials
    from vesica.report import write_report
    from vesica.results import read_plan
    from vesica.sweep import (
        check_folder,
        check_plan,
        check_run,
        enter_run,
        make_folder,
        run_cells,
        working_on,
    )

    out, cache = out.expanduser(), (cache or default_cache()).expanduser()
    check_folder(out)
    make_folder(cache, "--cache")
    with (
        Display(console) as display,
        _asking_to_stop(console) as should_stop,
        ExitStack() as until_the_end,
    ):

        def preparing(what: str, done: int, total: int) -> None:
            display.preparing(what, done, total)
            if should_stop():
                raise Stopped

        materials = Materials(cache, preparing)
        try:
            resolved = check_plan(cells, materials)
            check_run(out, resolved, analysis.grows_by)
            cost = estimate(resolved, out, materials)
            # As before, as another number of threads gives other roundings.
            known_jobs = read_plan(out).jobs if (out / "plan.json").exists() else None
            num_jobs = jobs or known_jobs or choose_jobs(cost, len(resolved))
            print_cost(console, resolved, cost, out, materials.describe(resolved), num_jobs)
            if cost.hours > LONG_HOURS and _is_large(resolved[0]):
                console.print(
                    f"That is long: [bold]{analysis.shorter}[/] gives a first answer sooner."
                )
            check_disk(cost, out, cache)
            if dry_run:
                return
            until_the_end.enter_context(working_on(out))
            everything = enter_run(out, resolved, num_jobs, analysis.kind, analysis.grows_by)
            keys = {cell.key for cell in resolved}
            resolved = [cell for cell in everything if cell.key in keys]

            def fill() -> None:
                if analysis.is_live and analysis.summarise:
                    analysis.summarise(out, everything, None).write(out)

            fill()
            watcher = display.watcher(should_stop, name_cells(resolved), fill)
            run_cells(resolved, out, materials, watcher, num_jobs)
        except Stopped:
            console.print(
                f"Stopped. Run the same command with [bold]--out {escape(str(out))}[/] to go on."
            )
            raise typer.Exit(130) from None
        judged = judge_run(out, materials.library, margin / 100)
        page = write_report(judged)
    _conclude(console, analysis, judged, page, as_json=as_json)
    if judged.findings.num_failed:
        raise typer.Exit(1)


def judge(
    run: Path, cache: Path | None, analysis: Analysis, *, margin: float | None, as_json: bool
) -> None:
    """Judge what a run has so far, without training; needs no torch."""
    from vesica.cache import default_cache
    from vesica.data.library import Library
    from vesica.judge import judge_run
    from vesica.report import write_report

    library = Library((cache or default_cache()).expanduser(), max_bytes=MAX_DECODED_BYTES)
    judged = judge_run(run, library, None if margin is None else margin / 100)
    page = write_report(judged)
    _conclude(Console(stderr=as_json, highlight=False), analysis, judged, page, as_json=as_json)


def _conclude(
    console: Console, analysis: Analysis, judged: Judgement, page: Path, *, as_json: bool
) -> None:
    """Print what a run found: by its plan's own analysis, where it has one."""
    from vesica.cli.tables import section_blocks

    document = judged.findings.model_dump(mode="json", by_alias=True)
    if analysis.summarise is None:
        print_results(console, judged, page)
    else:
        summary = analysis.summarise(judged.run, judged.plan.cells, judged)
        summary.write(judged.run)
        for block in section_blocks(summary.sections):
            console.print(block, end="\n\n")
        console.print(f"Written: {escape(', '.join(map(str, summary.files(judged.run))))}")
        console.print(f"Report: {escape(str(page))}")
        document |= {analysis.kind: summary.document}
    if as_json:
        print(json.dumps(document, indent=2))


def print_cost(
    console: Console,
    cells: Sequence[Cell],
    cost: Any,
    out: Path,
    notes: Sequence[str],
    num_jobs: int,
) -> None:
    """What will run and what it takes."""
    from vesica.estimate import installed_memory
    from vesica.statistics import MIN_SEEDS

    losses = list(dict.fromkeys(cell.loss_name for cell in cells))
    num_seeds = len({cell.seed for cell in cells})
    seeds = f"{num_seeds} seed{'' if num_seeds == 1 else 's'}"
    first = cells[0]
    models = dict.fromkeys((shown(cell.model), cell.weights_name) for cell in cells)
    networks = " and ".join(f"{model} (weights {weights})" for model, weights in models)
    console.print(
        f"[bold]{len(cells)} cells[/]: {escape(', '.join(losses))} with {seeds}; "
        f"{escape(networks)}, {first.size}x{first.size} pixels, at most "
        f"{first.recipe.max_epochs} epoch{'s' * (first.recipe.max_epochs > 1)}, "
        f"{first.recipe.precision}"
    )
    for note in notes:
        console.print(f"  {escape(note)}", style="yellow" if note.startswith("Warning") else "dim")
    if num_seeds < MIN_SEEDS:
        console.print(f"  Below {MIN_SEEDS} seeds there will be no verdict.", style="yellow")
    gain = cost.gain if num_jobs > 1 else 1.0
    beside = f" with {num_jobs} cells side by side" if num_jobs > 1 else ""
    console.print(
        f"Estimated: {_hours(cost.hours / gain)}{beside}, at most "
        f"{_hours(cost.hours_most / gain)} if no cell stops early; "
        f"{num_jobs * cost.memory_bytes / 1e9:.1f} GB memory, {cost.disk_bytes / 1e9:.2f} GB disk. "
        f"Results go to {escape(str(out))}"
    )
    if cost.memory_bytes > (owned := installed_memory()):
        console.print(
            f"[red]This machine has {owned / 1e9:.1f} GB of memory:[/] pass a smaller --batch, "
            "--size or --width."
        )


def print_results(console: Console, judged: Judgement, page: Path) -> None:
    """Verdict, tables, and where the report is."""
    from vesica.cli.tables import results_tables

    for table in results_tables(judged):
        console.print(table)
    console.print()
    for group in judged.findings.groups:
        for sentence in group.sentences:
            console.print(escape(sentence), style="bold")
    console.print(f"\nReport: {escape(str(page))}")


def _is_large(cell: Cell) -> bool:
    return cell.size > 128


def name_cells(cells: Sequence[Cell]) -> dict[str, str]:
    """What each cell is called, by its key: its loss, its seed, and what else varies."""
    flat = {cell.key: flatten(cell.setting()) for cell in cells}
    varying = [
        name
        for name in ("model", "format", "target", "split", "optimizer", "monitor", "keep", "size")
        if len({fields[name] for fields in flat.values()}) > 1
    ]
    return {
        cell.key: ", ".join(
            [
                cell.loss_name,
                f"seed {cell.seed}",
                *(shown(str(flat[cell.key][name])) for name in varying),
            ]
        )
        for cell in cells
    }


def _hours(hours: float) -> str:
    if 0 < hours < 1 / 60:
        return "less than a minute"
    return f"{hours * 60:.0f} min" if hours < 1.5 else f"{hours:.1f} h"


@contextmanager
def _asking_to_stop(console: Console) -> Iterator[Any]:
    """The first Ctrl-C asks to stop after the step under way; the second one stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            sys.exit(130)
        asked.set()
        console.print("Stopping after this step; Ctrl-C again stops at once.")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
