"""What happens in a run, told to other programs too: TensorBoard and MLflow.

A logger is told what the run keeps anyway, by the process that shows the progress. It is no part of
a cell's identity, and it may come later: a run that goes on, or has ended, tells what is missing.
"""

import importlib.util
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vesica.errors import DataError
from vesica.plan import Cell, flatten
from vesica.results import METRICS, CellResult, cell_folder, read_table
from vesica.spelling import shown
from vesica.sweep import Watcher
from vesica.train import State

CURVES = ("train_loss", "val_loss", "val_iou")
"""Of every epoch, as in `history.csv`."""

SCORES = tuple(f"test/{name}" for name in METRICS)

Values = Mapping[str, float]


@dataclass(frozen=True)
class CellLog:
    """One cell as a logger keeps it.

    Attributes:
        num_epochs: How many epochs it holds already.
        add: Adds values of the curves at an epoch, counted from 1.
        end: Adds the final scores, none of a failed cell, with the number of epochs.
    """

    num_epochs: int
    add: Callable[[Values, int], None]
    end: Callable[[Values, int], None]


def tensorboard(run: Path, cell: Cell) -> CellLog:
    """Events in the run's folder `tensorboard`; those of a cell that goes on are written anew."""
    from torch.utils.tensorboard.summary import hparams, scalar
    from torch.utils.tensorboard.writer import FileWriter

    folder = run / "tensorboard" / f"{re.sub('[^a-zA-Z0-9.+=]+', '-', name_of(cell))}-{cell.key}"
    for events in folder.glob("events.out.tfevents.*"):
        events.unlink()
    writer = FileWriter(str(folder))
    begins, settings, ends = hparams(settings_of(cell), dict.fromkeys(SCORES, 0.0))
    writer.add_summary(begins)
    writer.add_summary(settings)

    def add(values: Values, epoch: int) -> None:
        for name, value in values.items():
            writer.add_summary(scalar(name, value), epoch)
        writer.flush()

    def end(scores: Values, epoch: int) -> None:
        add(scores, epoch)
        writer.add_summary(ends)
        writer.close()

    return CellLog(0, add, end)


def mlflow(run: Path, cell: Cell) -> CellLog:
    """A run of the experiment that has this run's name, where MLFLOW_TRACKING_URI says; else in
    the run's own `mlflow.db`."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient, is_tracking_uri_set
    from mlflow.entities import Metric, Param

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    client = MlflowClient(None if is_tracking_uri_set() else f"sqlite:///{run.resolve()}/mlflow.db")
    found = client.get_experiment_by_name(run.resolve().name)
    experiment = found.experiment_id if found else client.create_experiment(run.resolve().name)
    known = client.search_runs([experiment], f"tags.`vesica.cell` = '{cell.key}'", max_results=1)
    if known:
        id = known[0].info.run_id
    else:
        tags = {"vesica.cell": cell.key}
        id = client.create_run(experiment, tags=tags, run_name=name_of(cell)).info.run_id
        params = [Param(name, str(value)) for name, value in settings_of(cell).items()]
        client.log_batch(id, params=params)
    last = {
        name: max((metric.step for metric in client.get_metric_history(id, name)), default=0)
        for name in CURVES
    }
    written = set(known[0].data.metrics) if known else set()

    def add(values: Values, epoch: int) -> None:
        now = int(1000 * time.time())
        new = [
            Metric(name, value, now, epoch)
            for name, value in values.items()
            if epoch > last.get(name, 0) and name not in written - {*CURVES}
        ]
        client.log_batch(id, metrics=new)

    def end(scores: Values, epoch: int) -> None:
        add(scores, epoch)
        client.set_terminated(id, "FINISHED" if scores else "FAILED")

    if not known or known[0].info.status != "FINISHED":
        client.update_run(id, "RUNNING")
    return CellLog(min(last.values()), add, end)


@dataclass(frozen=True)
class Logger:
    """Another program: what opens a cell in it, and the modules that this needs."""

    open: Callable[[Path, Cell], CellLog]
    needs: tuple[str, ...]


LOGGERS = {
    "tensorboard": Logger(tensorboard, ("tensorboard",)),
    "mlflow": Logger(mlflow, ("mlflow", "sqlalchemy", "alembic")),
}
"""By the name that a user gives, which is that of the extra too."""


def check_loggers(names: Sequence[str]) -> None:
    """Refuse loggers that are not known or not installed, before anything trains.

    Raises:
        DataError: With what to install.
    """
    for name in names:
        if name not in LOGGERS:
            raise DataError(f"--log {name[:40]!r}: no such logger; pass {' or '.join(LOGGERS)}")
        missing = [need for need in LOGGERS[name].needs if importlib.util.find_spec(need) is None]
        if missing:
            raise DataError(
                f"--log {name} needs {' and '.join(missing)}; run: pip install 'vesica[{name}]'"
            )


@dataclass
class Logs:
    """The loggers of a run, while it trains.

    Attributes:
        run: Its folder.
        names: Keys of `LOGGERS`; one that fails is left out from then on.
        say: Told of a failure, in a sentence.
    """

    run: Path
    names: list[str]
    say: Callable[[str], None]
    _open: dict[str, dict[str, CellLog]] = field(default_factory=dict)
    _num_told: dict[str, int] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)

    def beside(self, watcher: Watcher) -> Watcher:
        """The watcher, with the loggers told as well."""

        def on_step(cell: Cell, state: State, num_steps: int) -> None:
            watcher.on_step(cell, state, num_steps)
            if len(state.history) > self._num_told.get(cell.key, -1):
                rows = [{name: getattr(row, name) for name in CURVES} for row in state.history]
                self._tell(cell, rows)

        def on_result(cell: Cell, result: CellResult) -> None:
            watcher.on_result(cell, result)
            if cell.key not in self._ended:  # at an earlier look
                self._tell(cell, self._history(cell), result)

        return replace(watcher, on_step=on_step, on_result=on_result) if self.names else watcher

    def _history(self, cell: Cell) -> list[Values]:
        """All epochs of a cell that has ended; none where it failed."""
        file = cell_folder(self.run, cell) / "history.csv"
        rows = read_table(file) if file.is_file() else []
        return [{name: float(row[name]) for name in CURVES} for row in rows]

    def _tell(self, cell: Cell, rows: Sequence[Values], result: CellResult | None = None) -> None:
        for name in list(self.names):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # what its own libraries will drop some day
                    self._tell_one(name, cell, rows, result)
            except Exception as error:  # a server that is gone must not end a training
                self.names.remove(name)
                reason = " ".join(str(error).split())[:300]
                self.say(
                    f"Warning: {name} takes no more ({type(error).__name__}: {reason}). Training "
                    "goes on without it; the same command, run again, tells it what is missing."
                )
        self._num_told[cell.key] = len(rows)
        if result is not None:
            self._open.pop(cell.key, None)
            self._num_told.pop(cell.key)
            if result.has_scores:  # one that failed may be tried again
                self._ended.add(cell.key)

    def _tell_one(
        self, name: str, cell: Cell, rows: Sequence[Values], result: CellResult | None
    ) -> None:
        logs = self._open.setdefault(cell.key, {})
        if name not in logs:
            logs[name] = LOGGERS[name].open(self.run, cell)
        start = max(logs[name].num_epochs, self._num_told.get(cell.key, 0))
        for epoch, row in enumerate(rows[start:], start + 1):
            logs[name].add(row, epoch)
        if result is not None:
            logs[name].end(scores_of(result), result.epochs)


def name_of(cell: Cell) -> str:
    """What a cell is called among those of its run, whatever else is in it."""
    fold = "" if cell.data.fold is None else f", fold {cell.data.fold}"
    return f"{cell.loss_name}, seed {cell.seed}{fold}"


def settings_of(cell: Cell) -> dict[str, str | int | float | bool]:
    """A cell's settings as hyper-parameters, without digests."""
    fields = flatten(cell.identity())
    del fields["fingerprint"], fields["weights_digest"]
    return {
        name: value if isinstance(value, (int, float)) else shown(str(value))
        for name, value in fields.items()
        if value is not None
    }


def scores_of(result: CellResult) -> dict[str, float]:
    """The final scores; none of a failed cell."""
    if not result.has_scores:
        return {}
    scores = zip(SCORES, map(result.__getitem__, METRICS), strict=True)
    return {name: value for name, value in scores if value is not None}
