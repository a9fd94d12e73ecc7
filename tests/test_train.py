import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY, tiny_cell

from vesica import train
from vesica.cell import run_cell
from vesica.errors import Stopped
from vesica.features import Images, Inputs, mirror
from vesica.losses import parse_loss
from vesica.materials import Materials, make_fabric
from vesica.networks import FCN
from vesica.plan import Cell, Recipe, replace
from vesica.results import CellResult, read_model, read_table
from vesica.shapes import Features, LogitMaps
from vesica.train import Epoch, State, best_epoch, epoch_order, has_converged, is_best


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return Materials(tmp_path_factory.mktemp("cache"))


def run(cell: Cell, materials: Materials, folder: Path) -> CellResult:
    return run_cell(materials.resolve(cell), materials, folder)


def history(folder: Path) -> list[dict[str, str]]:
    """Everything but the time."""
    rows = read_table(folder / "history.csv")
    return [{name: value for name, value in row.items() if name != "time_s"} for row in rows]


def assert_same_outcome(one: Path, other: Path) -> None:
    assert history(one) == history(other)
    assert (one / "scores.csv").read_bytes() == (other / "scores.csv").read_bytes()
    tensors, others = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_same_seed_same_run(materials: Materials, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(tiny_cell(), materials, tmp_path / name)
    assert_same_outcome(tmp_path / "one", tmp_path / "two")


class Uncached(FCN):
    """Runs its frozen layers in every step, as others do."""

    def head(self, features: Features, size: tuple[int, int]) -> LogitMaps:
        (image,) = features
        with torch.no_grad():
            maps = self.features(image)
        return super().head(maps, size)


@pytest.mark.parametrize(
    "model", [TINY, "bfcn32s:freeze=paper:width=8", "fcresnet:freeze=paper:width=8"]
)
@pytest.mark.parametrize("augment", ["none", "flip"])
def test_the_trunks_store_changes_nothing(
    model: str, augment: str, materials: Materials, tmp_path: Path
) -> None:
    # At a higher rate, the last bits that blocks and batches round differently grow too much.
    fields: dict[str, Any] = {"augment": augment, "model": model, "weights": "none", "lr": 1e-4}
    cell = materials.resolve(tiny_cell(**fields))
    rows, fabric = materials.library.rows(cell.data), make_fabric("fp32", "cpu")
    arrays = materials.library.arrays(cell.data, 64)
    images, masks = arrays.images, arrays.masks
    histories = []
    for is_cached in (True, False):
        network = materials.network(cell)
        if is_cached:
            inputs = materials.inputs(cell, network, fabric)
        else:
            network.__class__ = Uncached
            of_mirrored = (Images(mirror(images)),) if augment == "flip" else ()
            inputs = Inputs((Images(images),), masks, of_mirrored)
        done = train.fit(
            network,
            parse_loss("iou"),
            inputs,
            rows.train,
            rows.val,
            recipe=cell.recipe,
            seed=0,
            fabric=fabric,
            checkpoint=tmp_path / f"{is_cached}.safetensors",
        )
        histories.append([(row.train_loss, row.val_loss, row.val_iou) for row in done.history])
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-3, atol=1e-4)


def test_another_seed_is_another_run(materials: Materials, tmp_path: Path) -> None:
    run(tiny_cell(), materials, tmp_path / "one")
    run(replace(tiny_cell(), seed=1), materials, tmp_path / "two")
    assert history(tmp_path / "one") != history(tmp_path / "two")


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 3e-3},
        {"batch": 5},
        {"reduction": "sum"},
        {"dropout": 0.0},
        {"init": "keras"},
        {"freeze": "none"},
        {"precision": "bf16"},
        {"augment": "flip"},
        {"augment": "standard"},
        {"optimizer": "adamw"},
        {"schedule": "cosine"},
        {"loss": "bce"},
        {"width": 4},
    ],
)
def test_every_setting_changes_the_history(
    change: dict[str, object], materials: Materials, tmp_path: Path
) -> None:
    cell = tiny_cell(max_epochs=2)
    run(cell, materials, tmp_path / "before")
    run(replace(cell, **change), materials, tmp_path / "after")
    assert history(tmp_path / "before") != history(tmp_path / "after")


@pytest.mark.parametrize(
    "fields",
    [{}, {"optimizer": "adamw:lr=1e-3", "schedule": "cosine:warmup=1", "augment": "standard"}],
    ids=["default", "others"],
)
def test_stopping_after_any_step_changes_nothing(
    fields: dict[str, str], materials: Materials, tmp_path: Path
) -> None:
    cell = materials.resolve(tiny_cell(max_epochs=2, batch=16, **fields))
    run_cell(cell, materials, tmp_path / "whole")
    torch.manual_seed(1234)  # what the process has drawn before does not matter either
    num_stops = 0
    while True:
        try:
            run_cell(cell, materials, tmp_path / "stopped", should_stop=lambda: True)
        except Stopped:
            num_stops += 1
            assert (tmp_path / "stopped" / "checkpoint.safetensors").exists()
            assert not (tmp_path / "stopped" / "result.json").exists()
        else:
            break
    num_train = len(materials.library.rows(cell.data).train)
    assert num_stops == 2 * -(-num_train // 16)
    assert not (tmp_path / "stopped" / "checkpoint.safetensors").exists()
    assert_same_outcome(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("num_damaged", [1, 2])
@pytest.mark.parametrize("place", [0.001, 0.3, 0.999])
def test_a_damaged_checkpoint_falls_back_and_says_so(
    place: float, num_damaged: int, materials: Materials, tmp_path: Path
) -> None:
    cell = materials.resolve(tiny_cell(max_epochs=2, batch=16))
    run_cell(cell, materials, tmp_path / "whole")
    folder, seen = tmp_path / "damaged", []
    for _ in range(3):
        with pytest.raises(Stopped):
            run_cell(cell, materials, folder, should_stop=lambda: True)
    for file in sorted(folder.glob("checkpoint*"), reverse=True)[:num_damaged]:
        data = bytearray(file.read_bytes())
        data[int(place * len(data))] ^= 4
        file.write_bytes(data)
    result = run_cell(cell, materials, folder, on_step=lambda state, _: seen.append(state.step))
    assert seen[0] == (3 if num_damaged == 1 else 1)
    (note,) = result.notes
    assert "checkpoint.safetensors: damaged" in note
    assert ("the checkpoint before it" if num_damaged == 1 else "began at the start") in note
    assert list(folder.glob("checkpoint*")) == []
    assert_same_outcome(tmp_path / "whole", folder)


def run_and_count(cell: Cell, cache: Path, folder: Path, steps: Any) -> None:
    """What is killed: a fresh process that writes a checkpoint after every step."""
    train.CHECKPOINT_EVERY_S = 0.0
    materials = Materials(cache)

    def count(state: State, num_steps: int) -> None:
        steps.value += 1

    run_cell(materials.resolve(cell), materials, folder, on_step=count)


def test_killed_at_any_moment_it_ends_with_the_same_bits(
    materials: Materials, tmp_path: Path
) -> None:
    cell = tiny_cell(max_epochs=4)
    run(cell, materials, tmp_path / "whole")
    # Forked, because importing torch anew would take most of the test's time.
    context = multiprocessing.get_context("fork")
    rng = np.random.default_rng()
    num_kills = int(os.environ.get("VESICA_KILLS", "5"))
    for kill in range(num_kills + 1):
        steps = context.Value("i", 0)
        arguments = (cell, tmp_path / "cache", tmp_path / "killed", steps)
        process = context.Process(target=run_and_count, args=arguments)
        process.start()
        if kill < num_kills:
            while steps.value < 28 / (num_kills + 1) and process.is_alive():
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        process.join()
    assert process.exitcode == 0
    assert_same_outcome(tmp_path / "whole", tmp_path / "killed")


def test_losses_of_one_seed_start_alike_and_see_the_same_batches(materials: Materials) -> None:
    cell = materials.resolve(tiny_cell())
    one, other = (
        materials.network(replace(cell, loss=loss)).state_dict() for loss in ("bce", "iou")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    np.testing.assert_array_equal(epoch_order(50, 3, 4), epoch_order(50, 3, 4))
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_a_diverged_run_is_a_failed_result(materials: Materials, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def lost(logits, target):\n    return (logits * float('nan')).mean(dim=(1, 2))\n"
    )
    result = run(tiny_cell(loss=f"{file}:lost"), materials, tmp_path)
    assert result.status == "failed"
    assert "not finite in epoch" in str(result.reason)
    assert read_model(tmp_path / "result.json", CellResult) == result
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_run_that_predicts_one_class_is_named(materials: Materials, tmp_path: Path) -> None:
    # So small a rate moves nothing: the zero score layer keeps every probability at 1/2.
    result = run(tiny_cell(lr=1e-30, max_epochs=1), materials, tmp_path)
    assert result.status == "collapsed"
    assert result.reason == "at epoch 1 every validation image was predicted as one class"
    assert history(tmp_path)[0]["is_one_class"] == "True"


def test_training_learns(materials: Materials, tmp_path: Path) -> None:
    result = run(tiny_cell(max_epochs=20, dropout=0.0, lr=1e-2), materials, tmp_path)
    rows = history(tmp_path)
    assert float(rows[-1]["train_loss"]) < 0.8 * float(rows[0]["train_loss"])
    assert result.status == "finished"


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("monitor", ["val_loss", "val_iou"])
def test_the_kept_epoch_is_scored(
    keep: str, monitor: str, materials: Materials, tmp_path: Path
) -> None:
    cell = tiny_cell(max_epochs=4, lr=2e-2, keep=keep, monitor=monitor)
    result = run(cell, materials, tmp_path)
    rows = history(tmp_path)
    sign = 1 if monitor == "val_loss" else -1
    best = min(range(4), key=lambda epoch: sign * float(rows[epoch][monitor])) + 1
    assert result.kept_epoch == (best if keep == "best" else 4)
    kept = rows[int(str(result.kept_epoch)) - 1]
    assert float(kept["val_iou"]) == pytest.approx(result.val_iou_per_image)


def rows_of(*val_losses: float) -> list[Epoch]:
    return [Epoch(n + 1, 0.0, value, 0.0, False, 0.0) for n, value in enumerate(val_losses)]


def test_convergence_is_patience_epochs_without_a_better_one() -> None:
    recipe = Recipe(patience=2)
    assert not has_converged([], recipe)
    assert not has_converged(rows_of(3, 2, 2.5), recipe)
    assert has_converged(rows_of(3, 2, 2.5, 2.5), recipe)
    assert has_converged(rows_of(3, 2, 2, 2), recipe), "an equal epoch is no better one"
    assert not has_converged(rows_of(3, 2, 2.5, 1.9), recipe)
    assert best_epoch(rows_of(3, 2, 2, 4), "val_loss") == 2
    assert is_best(rows_of(3), "val_loss")
    assert not is_best(rows_of(3, 3), "val_loss")


def test_ended_by_says_whether_the_run_converged(materials: Materials, tmp_path: Path) -> None:
    short = run(tiny_cell(max_epochs=2), materials, tmp_path / "short")
    assert (short.ended_by, short.epochs) == ("epochs", 2)
    # Nothing moves, so no epoch is better than the first one.
    still = run(tiny_cell(lr=1e-30, max_epochs=9, patience=2), materials, tmp_path / "still")
    assert (still.ended_by, still.epochs) == ("patience", 3)


def test_frozen_layers_do_not_move(materials: Materials) -> None:
    cell = materials.resolve(tiny_cell())
    model = materials.network(cell)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rows = materials.library.rows(cell.data)
    fabric = make_fabric("fp32")
    inputs = materials.inputs(cell, model, fabric)
    train.fit(
        model,
        parse_loss("iou"),
        inputs,
        rows.train,
        rows.val,
        recipe=cell.recipe,
        seed=0,
        fabric=fabric,
        checkpoint=Path("/nonexistent"),
    )
    after = model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any(name.startswith(("encoder.0.", "encoder.1.", "normalise.")) for name in moved)
    assert any(name.endswith("running_mean") for name in moved)
