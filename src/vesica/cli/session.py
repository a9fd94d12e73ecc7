"""What every command that trains does: check, say the cost, run with progress, judge, report."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from vesica.judge import read_metrics, say_short
from vesica.naming import name_cells
from vesica.plan import Cell
from vesica.plans.defaults import Defaults
from vesica.run import Ready, Run
from vesica.spelling import shown
from vesica.until import Until, is_open, read_duration, say_likely
from vesica.words import FIRST_LOOK, count_of, say_about, say_bytes, say_hours, split_names

FASTER = {"size": "a smaller --size", "steps": "fewer --steps", "scale": "--scale lite"}
SMALLER = {
    "batch": "a smaller --batch",
    "size": "a smaller --size",
    "width": "a smaller --width",
    "scale": "--scale lite",
}
"""What makes a plan take less time, and less memory, by the option of the command."""

LONG_HOURS, LARGE_PX = 1.0, 128
"""A plan that takes longer than this, at more pixels than this, is told of a shorter one."""


def execute(
    plan: Callable[[int], list[Cell]],
    run: Run,
    *,
    margin: float | None,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
    numbers: Sequence[int] = (0,),
    budget: str | None = None,
    metrics: str | None = None,
    chosen: Defaults | None = None,
    said: Sequence[str] = (),
    log: Sequence[str] = (),
    levers: Sequence[str] = (),
) -> None:
    """Run a plan and print the verdict; with `as_json` everything else goes to stderr.

    Args:
        plan: From a number of seeds to cells.
        run: Where.
        numbers: Of seeds, which are looked at one after another until the verdict is clear.
        budget: As a user wrote it.
        chosen: What was chosen for the user, and why.
        said: The same in sentences, where it differs from data set to data set.
        margin, jobs, dry_run, as_json, metrics, log: The options of these names.
        levers: Options of the command by which its user can make it cheaper.
    """
    from vesica.entry import check_folder
    from vesica.errors import Stopped
    from vesica.files import quoted
    from vesica.loggers import Logs, check_loggers
    from vesica.progress import Display

    check_folder(run.folder, run.analysis.kind)
    console = Console(stderr=as_json, highlight=False, emoji=False)
    share = None if margin is None else margin / 100
    asked = split_names(metrics)
    read_metrics(asked)  # before anything trains
    loggers = split_names(",".join(log))
    check_loggers(loggers)
    budget_h = None if budget is None else read_duration(budget)
    looks = Until(plan, numbers, budget_h, advice=_say_levers(levers, FASTER))
    if chosen is not None:
        looks.cheaper, run.choices = chosen.fit, chosen.choices
    with Display(console) as display, _asking_to_stop(console) as should_stop:

        def preparing(what: str, done: int, total: int) -> None:
            display.preparing(what, done, total)
            if should_stop():
                raise Stopped

        logs = Logs(run.folder, loggers, lambda text: console.print(escape(text), style="yellow"))

        def prepare(cells: Sequence[Cell]) -> Ready:
            return run.prepare(cells, jobs=jobs, margin=share, progress=preparing)

        try:
            for index, ready in enumerate(looks.over(run, prepare)):
                if not index:
                    print_cost(console, run, ready, levers)
                    for line in chosen.lines(ready.hours) if chosen else said:
                        console.print(f"  {escape(line)}", style="dim")
                if dry_run:
                    return
                watcher = display.watcher(should_stop, name_cells(ready.cells))
                run.train(ready, logs.beside(watcher))
                with display.busy("judging"):
                    run.judge(share, asked)
                if len(numbers) > 1:
                    _print_look(console, run, numbers[index])
        except Stopped:
            out = escape(quoted(run.folder))
            console.print(f"Stopped. Run the same command with [bold]--out {out}[/] to go on.")
            raise typer.Exit(130) from None
    conclude(console, run, as_json=as_json)
    if looks.why_ended:
        console.print(escape(looks.why_ended))
    if chosen is not None and chosen.is_quick:
        console.print(FIRST_LOOK)
    if run.findings.num_failed:
        raise typer.Exit(1)


def _print_look(console: Console, run: Run, num_seeds: int) -> None:
    """What a look has shown, and what is likely to come."""
    for group in run.findings.groups:
        for pair in group.comparisons:
            label = f"{group.label}: " if group.label else ""
            console.print(f"[bold]{num_seeds} seeds:[/] {escape(label + say_short(pair))}")
    if any(map(is_open, run.findings.groups)) and (likely := say_likely(run.findings)):
        console.print(f"  {likely}", style="dim")


def conclude(console: Console, run: Run, *, as_json: bool) -> None:
    """Write the report of a judged run, and print what it found: by its plan's own analysis,
    where it has one."""
    from vesica.cli.tables import section_blocks

    with console.status("writing the report"):
        page = run.report()
    document = run.findings.model_dump(mode="json", by_alias=True)
    summary = run.summarise()
    if summary is None:
        print_results(console, run, page)
    else:
        for block in section_blocks(summary.sections):
            console.print(block, end="\n\n")
        console.print(f"Written: {escape(', '.join(map(str, summary.files(run.folder))))}")
        console.print(f"Report: {escape(str(page))}")
        document |= {run.analysis.kind: summary.document}
    if run.findings.damage:
        console.print(escape(run.findings.damage), style="yellow", soft_wrap=True)
    if as_json:
        print(json.dumps(document, indent=2))


def print_cost(console: Console, run: Run, ready: Ready, levers: Sequence[str]) -> None:
    """What will run and what it takes."""
    from vesica.estimate import installed_memory
    from vesica.statistics import MIN_SEEDS

    cells, cost, num_jobs = ready.cells, ready.cost, ready.num_jobs
    losses = list(dict.fromkeys(cell.loss_name for cell in cells))
    num_seeds = len({cell.seed for cell in cells})
    first, sizes = cells[0], [cell.size for cell in cells]
    models = dict.fromkeys((shown(cell.model), cell.weights_name) for cell in cells)
    networks = " and ".join(f"{model} (weights {weights})" for model, weights in models)
    console.print(
        f"[bold]{count_of(len(cells), 'cell')}[/]: {escape(', '.join(losses))} with "
        f"{count_of(num_seeds, 'seed')}; {escape(networks)}, {_say_sizes(sizes)} pixels, at "
        f"most {count_of(first.recipe.max_epochs, 'epoch')}, {first.recipe.precision}"
    )
    for note in ready.notes:
        console.print(f"  {escape(note)}", style="yellow" if note.startswith("Warning") else "dim")
    if num_seeds < MIN_SEEDS:
        console.print(f"  Below {MIN_SEEDS} seeds there will be no verdict.", style="yellow")
    elif ready.hours:
        hours = say_about(ready.hours)
        console.print(f"  First verdict in {hours}, with {num_seeds} seeds.", style="bold")
    gain = cost.gain if num_jobs > 1 else 1.0
    beside = f" with {num_jobs} cells side by side" if num_jobs > 1 else ""
    most = say_hours(cost.hours_most / gain)
    at_most = f", at most {most} if no cell stops early" if most != say_hours(ready.hours) else ""
    console.print(
        f"Estimated: {say_hours(ready.hours)}{beside}{at_most}; "
        f"{say_bytes(num_jobs * cost.memory_bytes)} memory, {say_bytes(cost.disk_bytes)} disk. "
        f"Results go to {escape(str(run.folder))}"
    )
    if cost.note:
        console.print(f"  {escape(cost.note)}", style="dim")
    if cost.memory_bytes > (owned := installed_memory()):
        advice = _say_levers(levers, SMALLER)
        said = f": pass {advice}" if advice else ", which is too little"
        console.print(f"[red]This machine has {owned / 1e9:.1f} GB of memory{said}.[/]")
    faster = _say_levers(levers, FASTER)
    if cost.hours > LONG_HOURS and max(sizes) > LARGE_PX and faster:
        console.print(f"That is long: [bold]{faster}[/] gives a first answer sooner.")


def _say_levers(levers: Sequence[str], words: Mapping[str, str]) -> str:
    return " or ".join(said for name, said in words.items() if name in levers)


def _say_sizes(sizes: Sequence[int]) -> str:
    """Of squares."""
    least, most = min(sizes), max(sizes)
    return f"{least}x{least}" + (f" to {most}x{most}" if most > least else "")


def print_results(console: Console, run: Run, page: Path) -> None:
    """Verdict, tables, and where the report is."""
    from vesica.cli.tables import results_tables

    for table in results_tables(run.judged):
        console.print(table)
    console.print()
    for group in run.findings.groups:
        for warning in group.warnings:
            console.print(escape(warning), style="bold red")
        for sentence in (*group.sentences, *group.class_sentences):
            console.print(escape(sentence), style="bold")
        if group.rising:
            console.print(escape(group.rising), style="yellow")
        for advice in group.advice:  # unwrapped, as its command is to be copied
            console.print(escape(advice.replace("`", "")), soft_wrap=True)
    console.print(f"\nReport: {escape(str(page))}")


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
