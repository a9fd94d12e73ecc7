"""What TensorBoard and MLflow are told is what the run keeps, once, whatever happened meanwhile."""

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from test_cli import TINY, Terminal, vesica  # noqa: F401 - a fixture

from vesica import loggers
from vesica.api import compare
from vesica.errors import Stopped
from vesica.loggers import CURVES, LOGGERS, CellLog, Logger, Logs
from vesica.plan import Cell, across
from vesica.results import METRICS, CellResult, read_table
from vesica.run import Run, run_in
from vesica.sweep import Watcher

pytestmark = pytest.mark.filterwarnings("ignore")  # the other programs' own

Curve = list[tuple[int, float]]
"""Epochs and values, in the order in which they were written."""


def read_tensorboard(run: Path, cell: Cell) -> tuple[dict[str, Curve], dict[str, Any]]:
    """A cell's curves and settings, by TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    (folder,) = (run / "tensorboard").glob(f"*-{cell.key}")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    curves = {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    settings = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return curves, {name: str(value) for name, value in settings.items()}


def read_mlflow(run: Path, cell: Cell) -> tuple[dict[str, Curve], dict[str, Any]]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{run.resolve()}/mlflow.db")
    experiment = client.get_experiment_by_name(run.name)
    assert experiment is not None
    query = f"tags.`vesica.cell` = '{cell.key}'"
    (found,) = client.search_runs([experiment.experiment_id], query)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == loggers.name_of(cell)
    curves = {
        name: [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, name)]
        for name in found.data.metrics
    }
    return curves, found.data.params


READERS = {"tensorboard": read_tensorboard, "mlflow": read_mlflow}


def assert_told(run: Run, name: str) -> None:
    """Everything that the run keeps, in its order, and nothing twice."""
    for found in run.results():
        curves, settings = READERS[name](run.folder, found.cell)
        rows = read_table(found.folder / "history.csv")
        for curve in CURVES:
            steps, values = zip(*curves[curve], strict=True)
            assert steps == tuple(range(1, len(rows) + 1))
            assert values == pytest.approx([float(row[curve]) for row in rows])
        for metric in METRICS:
            ((step, value),) = curves[f"test/{metric}"]
            assert step == len(rows)
            assert value == pytest.approx(found.result[metric])
        assert found.cell.loss in settings["loss"]
        assert "8" in settings["batch"]
        assert not {"fingerprint", "weights_digest"} & settings.keys()


def cells(**fields: Any) -> list[Cell]:
    return across(tiny.tiny_cell(**fields), loss=["bce", "iou"])


def train(run: Run, names: list[str], stop: Callable[[], bool] = lambda: False) -> list[str]:
    said: list[str] = []
    ready = run.prepare(cells(), jobs=1)
    run.train(ready, Logs(run.folder, names, said.append).beside(Watcher(should_stop=stop)))
    return said


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_logger_is_told_what_the_run_keeps(
    jobs: int,
    vesica: Terminal,  # noqa: F811
) -> None:
    base = ["compare", "generated:num=60:size=64", *TINY, "--epochs", 2, "--seeds", 1]
    base += ["--jobs", jobs, "--out", "run", "--log", "tensorboard", "--log", "mlflow"]
    code, out, err = vesica(*base)
    assert (code, err) == (0, "")
    assert "takes no more" not in out
    for _ in range(2):
        for name in LOGGERS:
            assert_told(run_in("run", None), name)
        assert vesica(*base)[0] == 0  # it goes on, and there is nothing to do


@pytest.mark.parametrize("name", LOGGERS)
def test_run_that_was_stopped_tells_nothing_twice(name: str, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", tmp_path / "cache")
    for num_steps in (9, 20):
        count = itertools.count(1)
        with pytest.raises(Stopped):
            train(run, [name], lambda: next(count) >= num_steps)  # noqa: B023 - called before the next
    assert train(run, [name]) == []
    assert_told(run, name)


def test_mlflow_keeps_what_a_killed_run_has_to_train_again(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", tmp_path / "cache")
    (cell, _) = run.prepare(cells()).cells
    run.folder.mkdir()
    values = dict.fromkeys(CURVES, 0.5)
    for epochs in ([1, 2, 3], [2, 3, 4]):
        log = loggers.mlflow(run.folder, cell)
        for epoch in epochs:
            log.add(values, epoch)
        log.end({"test/iou_per_image": 0.5}, 4)
    curves, _ = read_mlflow(run.folder, cell)
    assert curves["val_iou"] == [(epoch, 0.5) for epoch in (1, 2, 3, 4)]
    assert curves["test/iou_per_image"] == [(4, 0.5)]
    assert loggers.mlflow(run.folder, cell).num_epochs == 4


@pytest.mark.parametrize("name", LOGGERS)
def test_run_that_has_ended_is_told_later(name: str, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", tmp_path / "cache")
    train(run, [])
    before = [found.cell.key for found in run.results()]
    assert train(run, [name]) == []
    assert_told(run, name)
    assert [found.cell.key for found in run.results()] == before


def test_logger_that_fails_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    def open(run: Path, cell: Cell) -> CellLog:
        def add(values: Any, epoch: int) -> None:
            told.append(epoch)
            if epoch == 2:
                raise ConnectionError("the server\nis gone")

        return CellLog(0, add, lambda scores, epoch: None)

    monkeypatch.setitem(LOGGERS, "mlflow", Logger(open, ()))
    run = run_in(tmp_path / "run", tmp_path / "cache")
    (said,) = train(run, ["mlflow", "tensorboard"])
    assert said.startswith(
        "Warning: mlflow takes no more (ConnectionError: the server is gone). Training goes on"
    )
    assert told == [1, 2]
    assert_told(run, "tensorboard")


def test_failed_cell_has_no_scores_and_may_be_tried_again(tmp_path: Path) -> None:
    ends: list[Any] = []
    log = CellLog(0, lambda values, epoch: None, lambda scores, epoch: ends.append(dict(scores)))
    (cell, _) = cells()
    cell = cell.model_copy(update={"data": cell.data.model_copy(update={"fingerprint": "x"})})
    logs = Logs(tmp_path, ["tensorboard"], ends.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LOGGERS, "tensorboard", Logger(lambda run, cell: log, ()))
        on_result = logs.beside(Watcher()).on_result
        scores = dict.fromkeys(METRICS, 0.5)
        on_result(cell, CellResult(status="failed", reason="no number"))
        on_result(cell, CellResult.model_validate({"status": "finished", **scores}))
        on_result(cell, CellResult.model_validate({"status": "finished", **scores}))
    assert ends == [{}, {f"test/{name}": 0.5 for name in METRICS}]


def test_unknown_and_missing_loggers_are_refused_before_training(
    vesica: Terminal,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = ["compare", "generated:num=60:size=64", *TINY, "--out", "run", "--log"]
    code, _, err = vesica(*base, "tensorboard,wandb")
    assert (code, "--log 'wandb': no such logger; pass tensorboard or mlflow" in err) == (2, True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, err = vesica(*base, "mlflow")
    assert code == 2
    assert (
        "--log mlflow needs mlflow and sqlalchemy and alembic; run: pip install 'vesica[mlflow]'"
        in " ".join(err.split())
    )
    assert not Path("run").exists()


def test_compare_in_python_takes_loggers(tmp_path: Path) -> None:
    base: dict[str, Any] = {"model": tiny.TINY, "size": 64, "epochs": 1, "seeds": 1, "folds": 0}
    base |= {"out": tmp_path / "run", "cache": tmp_path / "cache", "jobs": 1, "quiet": True}
    run = compare("generated:num=60:size=64", **base, batch=8, log=["tensorboard"])
    assert_told(run, "tensorboard")
