"""A run as an object: its cells and results, its training, its verdict and report.

Opening, judging and reporting take no torch; training and the trained networks do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesica.cache import default_cache
from vesica.data.library import Library, Progress
from vesica.errors import DataError
from vesica.files import expand
from vesica.judge import Judgement, check_looks, judge_run, read_metrics
from vesica.naming import default_out
from vesica.plan import Cell
from vesica.report import write_labels, write_report
from vesica.report.notebook import to_notebook
from vesica.report.summary import PLAIN, Analysis, Summary
from vesica.results import CellResult, EndedCell, Findings, RunPlan, read_cell, read_plan

if TYPE_CHECKING:
    from vesica.estimate import Cost
    from vesica.materials import Materials
    from vesica.networks import Network
    from vesica.sweep import Watcher

MAX_DECODED_BYTES = 2**31
"""What judging decodes anew: the run may be a stranger's, and training says what it takes."""


@dataclass(frozen=True)
class Ready:
    """A plan that was checked whole: what training it takes.

    Attributes:
        cells: Resolved.
        cost: Of those without a result.
        num_jobs: Cells that train side by side.
        notes: What a user should know of the images, a sentence each.
    """

    cells: tuple[Cell, ...]
    cost: "Cost"
    num_jobs: int
    notes: tuple[str, ...]
    materials: "Materials"

    @property
    def hours(self) -> float:
        """That the training will probably take."""
        return self.cost.hours / (self.cost.gain if self.num_jobs > 1 else 1.0)

    def without(self, settings: Sequence[Mapping[str, Any]]) -> "Ready":
        """The same without the cells of some settings."""
        return replace(self, cells=tuple(c for c in self.cells if c.setting() not in settings))


@dataclass
class Run:
    """A run's folder; nothing is read before it is asked for.

    Attributes:
        folder: Where it is or will be.
        cache: Folder of decoded images and frozen layers' output.
        analysis: What its plan is beyond a list of cells.
        library: Whose data sets are open; None: none are yet.
        grows: Whether seeds may be added until the verdict is clear, so that each look counts.
        choices: Fields that were chosen for the user, to be kept with a new run.
        note: Of the user, to be kept with it.
    """

    folder: Path
    cache: Path = field(default_factory=default_cache)
    analysis: Analysis = PLAIN
    library: Library | None = field(default=None, repr=False)
    grows: bool = False
    choices: Mapping[str, str | int | None] = field(default_factory=dict)
    note: str = ""
    _judged: Judgement | None = field(default=None, repr=False)

    @property
    def plan(self) -> RunPlan:
        """What it was begun with.

        Raises:
            DataError: If the folder is no run.
        """
        return read_plan(self.folder)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, with a result or not."""
        return self.plan.cells

    def status(self) -> list[tuple[Cell, EndedCell | None]]:
        """Every cell with its result, or None while it has none."""
        return [(cell, read_cell(self.folder, cell)) for cell in self.cells]

    def results(self) -> list[EndedCell]:
        """The cells that have ended."""
        return [found for _, found in self.status() if found is not None]

    def prepare(
        self,
        cells: Sequence[Cell],
        *,
        jobs: int | None = None,
        margin: float | None = None,
        progress: Progress = lambda what, done, total: None,
    ) -> Ready:
        """Check a plan whole, and measure what it takes, before its first cell trains.

        Args:
            cells: As people write them.
            jobs: Cells trained side by side; None: as before, or what is faster here.
            margin: As `judge` will be given it.
            progress: Told of long preparations.

        Raises:
            ValueError: If a name or an option does not exist.
            DataError: If something cannot be had, does not fit the run, or the disk is too small.
        """
        from vesica.entry import check_folder, check_run, make_folder
        from vesica.estimate import check_disk, choose_jobs, estimate
        from vesica.materials import Materials
        from vesica.sweep import check_plan

        check_folder(self.folder)
        make_folder(self.cache, "--cache")
        materials = Materials(self.cache, progress)
        resolved = check_plan(cells, materials)
        known = check_run(self.folder, resolved, self.analysis.grows_by)
        check_looks(self.folder, known, resolved, margin)
        cost = estimate(resolved, self.folder, materials)
        # As before, as another number of threads gives other roundings.
        num_jobs = jobs or (self.plan.jobs if known else None) or choose_jobs(cost, len(resolved))
        check_disk(cost, self.folder, self.cache)
        notes = tuple(materials.describe(resolved))
        return Ready(tuple(resolved), cost, num_jobs, notes, materials)

    def train(self, ready: Ready, watcher: "Watcher | None" = None) -> None:
        """Run the cells that have no result yet.

        Args:
            ready: What `prepare` gave.
            watcher: Told how it goes.

        Raises:
            Stopped: If the watcher said so; the run goes on when it is trained again.
            DataError: If another process works on the run, or the disk is full.
        """
        from vesica.entry import enter_run, working_on
        from vesica.sweep import Watcher, run_cells

        watcher = watcher or Watcher()
        with working_on(self.folder):
            kind, grows_by = self.analysis.kind, self.analysis.grows_by
            everything = enter_run(
                self.folder,
                ready.cells,
                ready.num_jobs,
                kind,
                grows_by,
                self.grows,
                self.choices,
                self.note,
            )
            keys = {cell.key for cell in ready.cells}
            cells = [cell for cell in everything if cell.key in keys]

            trained: set[str] = set()

            def on_cell(number: int, total: int, cell: Cell) -> None:
                trained.add(cell.key)
                watcher.on_cell(number, total, cell)

            def on_result(cell: Cell, result: CellResult) -> None:
                watcher.on_result(cell, result)
                if cell.key in trained:
                    self._fill(everything)

            self._fill(everything)
            told = replace(watcher, on_cell=on_cell, on_result=on_result)
            run_cells(cells, self.folder, ready.materials, told, ready.num_jobs)
        self.library, self._judged = ready.materials.library, None

    def judge(self, margin: float | None = None, metrics: Sequence[str] = ()) -> Judgement:
        """Judge what is there; writes `results.json` and `results.csv`.

        Args:
            margin: Differences of per-image IoU smaller than this do not matter, a fraction; None:
                as when the run was judged last.
            metrics: Names of the user's own, asked of the masks that the run keeps.
        """
        library = self.library or Library(self.cache, max_bytes=MAX_DECODED_BYTES)
        self.library, self._judged = (
            library,
            judge_run(self.folder, library, margin, read_metrics(metrics)),
        )
        return self._judged

    @property
    def judged(self) -> Judgement:
        """The run with all that was read to judge it; judges it where that was not done yet."""
        return self._judged or self.judge()

    def report(self) -> Path:
        """Write `report.html`: one file that needs no other."""
        return write_report(self.judged)

    def labels(self, target: str | Path) -> int:
        """Write a table of test images, those whose labels all runs contradict most first.

        Returns:
            How many there are.

        Raises:
            DataError: If the images or the runs' masks cannot be had, too few runs agree, or the
                file's name is no table's.
        """
        return write_labels(self.judged, expand(target))

    @property
    def findings(self) -> Findings:
        """All that the run says, as in `results.json`."""
        return self.judged.findings

    @property
    def verdict(self) -> str:
        """Every verdict in a sentence."""
        return self.findings.verdict

    def table(self) -> Any:
        """A row for each cell with its settings and scores: a pandas DataFrame if there is pandas.

        Returns:
            The DataFrame, or a list of dicts.
        """
        rows = [
            {"loss": found.cell.loss_name, "seed": found.cell.seed}
            | found.result.model_dump(exclude={"loss", "seed", "versions", "weights", "traceback"})
            for found in self.results()
        ]
        try:
            import pandas  # type: ignore[import-untyped, unused-ignore]
        except ModuleNotFoundError:
            return rows
        return pandas.DataFrame(rows)

    def best(self, loss: str, *, trust: bool = False) -> "Network":
        """The network of a loss that was best on validation images, trained, ready to predict.

        Args:
            loss: In its spelling.
            trust: Let the run's own copies of users' files be run, if this process has not named
                them.

        Raises:
            DataError: If no run of that loss has scores, or its weights cannot be had.
        """
        from vesica.cell import load_trained
        from vesica.materials import Materials

        ended = [
            found
            for found in self.results()
            if found.result.has_scores and loss in (found.cell.loss, found.cell.loss_name)
        ]
        if not ended:
            known = ", ".join(dict.fromkeys(cell.loss_name for cell in self.cells))
            raise DataError(f"{self.folder}: no run of {loss!r} has scores; it has: {known}")
        found = max(ended, key=lambda found: found.result.val_iou_per_image or 0.0)
        if trust:
            self.trust([found.cell])
        return load_trained(found.cell, Materials(self.cache), found.folder)

    def trust(self, cells: Sequence[Cell]) -> None:
        """Let the run's own copies of these cells' users' files be run.

        Raises:
            DataError: If a copy is missing, or is not what the run was made with.
        """
        from vesica.entry import trust_copies

        trust_copies(self.folder, cells)

    def _repr_html_(self) -> str:
        """The verdict and the forest plot, as a notebook shows them."""
        return to_notebook(self.judged)

    def summarise(self) -> Summary | None:
        """Write what the plan's own analysis finds; None where it has none."""
        if self.analysis.summarise is None:
            return None
        summary = self.analysis.summarise(self.folder, self.judged.plan.cells, self.judged)
        summary.write(self.folder)
        return summary

    def _fill(self, cells: Sequence[Cell]) -> None:
        if self.analysis.is_live and self.analysis.summarise:
            self.analysis.summarise(self.folder, cells, None).write(self.folder)


def open_run(folder: str | Path, cache: str | Path | None = None) -> Run:
    """A run that is there.

    Raises:
        DataError: If the folder is no run.
    """
    run = run_in(folder, cache)
    _ = run.plan
    return run


def run_in(
    out: str | Path | None,
    cache: str | Path | None,
    name: str = "",
    analysis: Analysis = PLAIN,
    *,
    grows: bool = False,
) -> Run:
    """A run in a folder, or in `runs/` under a name; the cache is the user's unless it is said."""
    folder = expand(out) if out else default_out(name)
    return Run(folder, expand(cache) if cache else default_cache(), analysis, grows=grows)
