"""The average of the weights: by hand, batch norm's statistics too, and it changes no step."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_judge import fabricate, ious
from test_train import assert_same_outcome, history, run
from tiny import tiny_cell
from torch import nn

from vesica.average import Average
from vesica.cell import run_cell
from vesica.errors import DataError, Stopped
from vesica.files import write_json
from vesica.judge import find_rising, read_settings
from vesica.materials import Materials
from vesica.networks import Whole
from vesica.optim import average_share, read_average
from vesica.plan import Cell, across, replace
from vesica.results import (
    BESIDE,
    CellResult,
    RunPlan,
    cell_folder,
    read_table,
    write_model,
    write_table,
)
from vesica.results.folder import read_model
from vesica.run import Run

EVERY = ["ema", "ema:decay=0.5", "swa", "swa:start=0.5"]


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return Materials(tmp_path_factory.mktemp("cache"))


def shares(text: str, num_steps: int) -> list[float]:
    return [average_share(read_average(text), step, num_steps) for step in range(1, num_steps + 1)]


def weight_of_each(text: str, num_steps: int) -> list[float]:
    """What each step's weights count in the end, the initial ones first."""
    counts = [1.0]
    for share in shares(text, num_steps):
        counts = [(1 - share) * count for count in counts] + [share]
    return counts


def test_ema_by_hand() -> None:
    """Decay min(0.97, (1 + k)/(10 + k)) after k = 0, 1, 2 steps: shares 9/10, 9/11, 9/12."""
    assert shares("ema", 3) == pytest.approx([9 / 10, 9 / 11, 9 / 12])
    assert shares("ema", 400)[-1] == pytest.approx(0.03)


def test_swa_is_a_plain_mean_of_the_last_quarter() -> None:
    assert weight_of_each("swa", 8) == pytest.approx([0] * 7 + [1 / 2, 1 / 2])
    assert weight_of_each("swa:start=0", 4) == pytest.approx([0] + [1 / 4] * 4)


@pytest.mark.parametrize("text", EVERY)
def test_what_counts_adds_to_one(text: str) -> None:
    assert sum(weight_of_each(text, 50)) == pytest.approx(1)


def test_every_tensor_is_averaged_batch_norms_too() -> None:
    network = Whole(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)))
    average = Average(network, "ema:decay=0.5", 4)
    states = [{k: v.clone() for k, v in network.trained_state().items()}]
    for step in range(1, 5):
        network.train()
        network(torch.randn(4, 3, 8, 8))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update(step)
        states.append({k: v.clone() for k, v in network.trained_state().items()})
    counts = weight_of_each("ema:decay=0.5", 4)
    for name, tensor in average.tensors.items():
        if tensor.is_floating_point():
            expected = sum(c * s[name].double() for c, s in zip(counts, states, strict=True))
            torch.testing.assert_close(tensor.double(), expected, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(tensor, states[-1][name])
    assert any(name.endswith("running_var") for name in average.tensors)


def test_it_is_applied_and_taken_off_again() -> None:
    network = Whole(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)))
    average = Average(network, "ema", 10)
    with torch.no_grad():
        next(network.parameters()).add_(1)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with average.applied():
        assert not torch.equal(network.state_dict()["module.0.weight"], before["module.0.weight"])
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_averaging_changes_no_step(materials: Materials, tmp_path: Path) -> None:
    """The training losses are the same; what is validated and kept is another thing."""
    for average in ("none", "ema"):
        run(tiny_cell(average=average), materials, tmp_path / average)
    plain, averaged = (history(tmp_path / name) for name in ("none", "ema"))
    assert [row["train_loss"] for row in plain] == [row["train_loss"] for row in averaged]
    assert [row["val_loss"] for row in plain] != [row["val_loss"] for row in averaged]


@pytest.mark.parametrize("text", ["ema:decay=0.9", "swa:start=0.2"])
def test_resumed_equals_uninterrupted(text: str, materials: Materials, tmp_path: Path) -> None:
    cell = materials.resolve(tiny_cell(average=text, keep="last", patience=0))
    run_cell(cell, materials, tmp_path / "whole")
    steps = itertools.count(1)
    with pytest.raises(Stopped):
        run_cell(cell, materials, tmp_path / "parts", should_stop=lambda: next(steps) == 8)
    run_cell(cell, materials, tmp_path / "parts")
    assert_same_outcome(tmp_path / "whole", tmp_path / "parts")


def test_what_is_kept_is_the_average(materials: Materials, tmp_path: Path) -> None:
    """A mean of all steps of a training that goes nowhere is where it began, nearly."""
    cell = tiny_cell(average="swa:start=0", lr=1e-4, keep="last", max_epochs=1)
    run(cell, materials, tmp_path / "averaged")
    run(tiny_cell(lr=1e-4, keep="last", max_epochs=1), materials, tmp_path / "plain")
    start = materials.network(materials.resolve(cell)).trained_state()

    def distance(folder: str) -> float:
        found = load_file(tmp_path / folder / "model.safetensors")
        return sum(float((t - start[k]).square().sum()) for k, t in found.items() if "weight" in k)

    assert 0 < distance("averaged") < 0.6 * distance("plain")


def test_steps_fill_in_the_epochs(materials: Materials) -> None:
    """48 training images in batches of 8 are 6 steps: 20 steps are 4 epochs."""
    cell = materials.resolve(tiny_cell(steps=20))
    num_train = len(materials.library.split(cell.data).train)
    per_epoch = -(-num_train // 8)
    assert (cell.recipe.max_epochs, cell.recipe.steps) == (-(-20 // per_epoch), 0)
    assert cell.key == materials.resolve(tiny_cell(max_epochs=cell.recipe.max_epochs)).key


def test_a_patience_of_zero_never_ends(materials: Materials, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"max_epochs": 6, "lr": 1e-8}  # nothing gets better
    stopped = run(tiny_cell(**fields, patience=1), materials, tmp_path / "one")
    whole = run(tiny_cell(**fields, patience=0), materials, tmp_path / "zero")
    assert (whole.epochs, whole.ended_by) == (6, "epochs")
    assert stopped.epochs <= 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mean", "unknown average 'mean'; there are: none, ema, swa"),
        ("ema:decay=1", "pass a share below 1"),
        ("ema:decay=-1", "pass a share below 1"),
        ("ema:half=3", "no parameter 'half'"),
    ],
)
def test_a_wrong_name_is_refused(text: str, message: str, materials: Materials) -> None:
    with pytest.raises(ValueError, match=message):
        materials.resolve(tiny_cell(average=text))


def test_a_users_own(materials: Materials, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def half(step, num_steps):\n    return 0.5\n\ndef much(step, n):\n    return 2\n"
    )
    cell: Cell = tiny_cell(average=f"{file}:half")
    assert run(cell, materials, tmp_path / "cell").status != "failed"
    with pytest.raises(DataError, match="gives 2 at step 1; expected a share above 0"):
        materials.check(materials.resolve(tiny_cell(average=f"{file}:much")))


# Beside the weights that are chosen


def test_beside_changes_nothing_and_is_the_average_at_the_end(
    materials: Materials, tmp_path: Path
) -> None:
    base = tiny_cell(max_epochs=4, patience=2, lr=3e-2)
    plain = run(base, materials, tmp_path / "plain")
    beside = run(replace(base, beside="ema:decay=0.5"), materials, tmp_path / "beside")
    assert_same_outcome(tmp_path / "plain", tmp_path / "beside")
    assert plain.iou_per_image == beside.iou_per_image
    # The same average where it is what is kept, of as many epochs.
    kept = {"patience": 0, "keep": "last", "max_epochs": beside.epochs}
    alone = run(replace(base, average="ema:decay=0.5", **kept), materials, tmp_path / "alone")
    inner = tmp_path / "beside" / "beside"
    found, expected = (load_file(f / "model.safetensors") for f in (inner, tmp_path / "alone"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    judged = read_model(inner / "result.json", CellResult)
    assert judged.iou_per_image == alone.iou_per_image
    assert judged.kept_epoch == beside.epochs
    assert history(inner)[-1]["val_iou"] == history(tmp_path / "alone")[-1]["val_iou"]


def test_beside_what_is_scored_already_is_refused(materials: Materials) -> None:
    cell = tiny_cell(average="ema", beside="ema", keep="last")
    with pytest.raises(ValueError, match="is what is scored already"):
        materials.resolve(cell)


def test_beside_goes_on_where_it_was(materials: Materials, tmp_path: Path) -> None:
    cell = materials.resolve(tiny_cell(beside="ema:decay=0.9"))
    run_cell(cell, materials, tmp_path / "whole")
    steps = itertools.count(1)
    with pytest.raises(Stopped):
        run_cell(cell, materials, tmp_path / "parts", should_stop=lambda: next(steps) == 8)
    run_cell(cell, materials, tmp_path / "parts")
    assert_same_outcome(tmp_path / "whole" / "beside", tmp_path / "parts" / "beside")


def resolved(cell: Cell) -> Cell:
    return replace(cell, fingerprint="0" * 64, target="face", format="faces")


def test_a_run_that_failed_has_no_average_and_is_waited_for_no_more(tmp_path: Path) -> None:
    cell = resolved(tiny_cell(beside="ema"))
    folder = cell_folder(tmp_path, cell)
    write_json(folder / "result.json", {"status": "failed", "reason": "not finite", "epochs": 1})
    for is_beside in (False, True):
        (setting,) = read_settings(tmp_path, [cell], is_beside=is_beside)
        assert not setting.waiting
        assert [found.result.status for found in setting.ended.values()] == ["failed"]


def test_an_average_that_is_gone_is_said(tmp_path: Path) -> None:
    cell = resolved(tiny_cell(beside="ema"))
    folder = fabricate(tmp_path, cell, ious(0)).folder
    write_model(tmp_path / "plan.json", RunPlan(cells=(cell,)))
    with pytest.raises(DataError, match=rf"{BESIDE}/result.json: is missing; delete {folder} and"):
        read_settings(tmp_path, [cell], is_beside=True)


@pytest.mark.parametrize("field", ["average", "beside"])
def test_swa_with_patience_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="pass --patience 0"):
        tiny_cell(**{field: "swa:start=0.5"}, patience=2)
    assert tiny_cell(**{field: "swa"}, patience=0)
    assert tiny_cell(**{field: "swa"}, patience=3)  # of three epochs


def test_an_average_is_not_called_rising_by_the_history_of_the_weights(tmp_path: Path) -> None:
    cell = resolved(tiny_cell(beside="ema", patience=0, keep="last"))
    folder = fabricate(tmp_path, cell, ious(0)).folder
    write_table(folder / "history.csv", ["val_iou"], [[0.1 * number] for number in range(8)])
    shutil.copytree(folder, folder / BESIDE)
    raw, averaged = (read_settings(tmp_path, [cell], is_beside=b)[0] for b in (False, True))
    assert list(find_rising(raw)) == [cell.loss]
    assert not find_rising(averaged)


def test_beside_has_a_verdict_of_its_own(tmp_path: Path) -> None:
    base = tiny_cell(beside="ema:decay=0.5", max_epochs=2)
    found = Run(tmp_path / "run", tmp_path / "cache")
    found.train(found.prepare(across(base, seed=range(2), loss=["bce", "iou"]), jobs=1))
    found.judge(0.005)
    raw, averaged = found.findings.groups
    assert (raw.label, averaged.label) == ("", "ema:decay=0.5 beside")
    assert raw.advice
    assert not averaged.advice
    assert found.findings.num_results == len(read_table(tmp_path / "run" / "results.csv")) == 4
    assert raw.losses[0].iou_soft != averaged.losses[0].iou_soft
    assert "ema:decay=0.5 beside" in found.report().read_text()
    assert len(read_settings(tmp_path / "run", found.cells)) == 1  # what a model is chosen of
