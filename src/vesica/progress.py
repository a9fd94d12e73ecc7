"""Live progress: one line for what is being prepared or trained, one line per finished cell."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from vesica.plan import Cell
from vesica.results import CellResult
from vesica.sweep import Watcher
from vesica.train import State
from vesica.words import count_of

PLAIN_EVERY_S = 30.0
"""Where there is no terminal, a line about the cell under way every so many seconds."""


class Display:
    """Shows a sweep on a console; a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self.labels: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.said_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.progress.stop()

    def preparing(self, what: str, done: int, total: int) -> None:
        """Show a preparation; `Materials` calls this."""
        self._show("", what, done, total, f"{done}/{total}")

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Show that something is under way of which nobody knows how far it is."""
        task = self.progress.add_task(what, total=None, detail="")
        try:
            yield
        finally:
            self.progress.remove_task(task)

    def watcher(self, should_stop: Callable[[], bool], names: dict[str, str]) -> Watcher:
        """What a sweep tells, shown here.

        Args:
            should_stop: Asked after each step.
            names: What cells are called, by key.
        """
        self.names = names
        return Watcher(self._on_cell, self._on_step, self._on_result, should_stop)

    def _on_cell(self, number: int, total: int, cell: Cell) -> None:
        self._remove("")  # preparations are over
        self.labels[cell.key] = escape(f"[{number}/{total}] {self.names[cell.key]}")
        self._show(cell.key, self.labels[cell.key], 0, 1, "starting")

    def _on_step(self, cell: Cell, state: State, num_steps: int) -> None:
        limit = cell.recipe.max_epochs
        detail = f"epoch {min(state.epoch + 1, limit)}"
        if state.history:
            last = state.history[-1]
            detail += f", val IoU {last.val_iou:.3f}, best epoch {state.kept}"
            detail += " [red]all one class[/]" if last.is_one_class else ""
        done = state.epoch * num_steps + state.step
        self._show(cell.key, self.labels[cell.key], done, limit * num_steps, detail)

    def _on_result(self, cell: Cell, result: CellResult) -> None:
        self._remove(cell.key)
        name = escape(self.names[cell.key])
        if result.status == "failed":
            self.console.print(f"[red]{name}: failed[/] - {escape(result.reason)}")
            return
        text = f"{name}: test IoU {result.iou_per_image:.3f} after "
        text += count_of(result.epochs, "epoch")
        if result.status == "collapsed":
            text += f" - [red]collapsed[/]: {result.reason}"
        self.console.print(f"{text} ({result.train_time_s:.0f} s)")
        for note in result.notes:
            self.console.print(f"[yellow]{name}:[/] {escape(note)}")

    def _show(self, key: str, what: str, done: int, total: int, detail: str) -> None:
        """A line for each cell under way; "" is the preparation's."""
        if not self.console.is_terminal:
            now = time.monotonic()
            if now - self.said_at.setdefault(key, now) > PLAIN_EVERY_S:
                self.said_at[key] = now
                self.console.print(f"{what}: {detail}")
            return
        if key not in self.tasks:
            self.tasks[key] = self.progress.add_task(what, total=total, detail=detail)
        self.progress.update(
            self.tasks[key], description=what, completed=done, total=total, detail=detail
        )

    def _remove(self, key: str) -> None:
        if key in self.tasks:
            self.progress.remove_task(self.tasks.pop(key))
