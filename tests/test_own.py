"""Whatever has a name can be the user's own: from a file, by command line, plan and Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_cell

from vesica import own
from vesica.errors import DataError
from vesica.files import read_json
from vesica.materials import Materials, make_fabric
from vesica.networks import Network, Weights, build_network
from vesica.plan import replace
from vesica.results import read_findings, read_plan
from vesica.run import Run

OWN = Path(__file__).parent / "own"
MINE, UNET = OWN / "mine.py", OWN / "unet.py"


def vesica(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    cache = str(folder / "cache")
    command = [sys.executable, "-m", "vesica", *map(str, arguments), "--cache", cache]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of everything, in two processes."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MINE.read_text())
    options = {
        "losses": "bce,mine.py:squared:power=3,0.5mine.py:squared+iou",
        "model": "mine.py:net:width=4",
        "optimizer": "mine.py:adam:lr=0.01",
        "schedule": "mine.py:halving",
        "augment": "mine.py:dark",
        "size": 48,
        "batch": 8,
        "epochs": 2,
        "seeds": 1,
        "folds": 0,
        "jobs": 2,
        "metrics": "mine.py:area,mine.py:area:power=2",
        "out": "run",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    done = vesica("compare", "mine.py:discs:num=60", *words, folder=folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "mine.py:squared:power=3" in done.stdout
    assert "@" not in done.stdout
    return folder


def test_one_of_everything_with_two_processes(run: Path) -> None:
    cells = read_plan(run / "run").cells
    assert len(cells) == 3
    for cell in cells:
        assert set(cell.files().values()) == {"mine.py"}
        result = read_json(run / "run" / "cells" / cell.key / "result.json")
        assert result["status"] in ("finished", "collapsed")


def test_a_metric_is_asked_of_the_masks(run: Path) -> None:
    findings = read_findings(run / "run")
    assert findings is not None
    (group,) = findings.groups
    for row in group.losses:
        assert set(row.own) == {"mine.py:area", "mine.py:area:power=2"}
        assert 0 <= row.own["mine.py:area:power=2"] <= row.own["mine.py:area"] <= 1


BAD_METRICS = """
def short(pred, truth):
    return [1.0]

def broken(pred, truth):
    return 1 / 0

def words(pred, truth):
    return ["a"] * len(pred)
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", r"short: gives an array of shape \(1,\); expected a finite number for each of"),
        ("broken", "broken: ZeroDivisionError"),
        ("words", "words: gives no numbers"),
        ("none", "no function 'none'; it has: short, broken, words"),
    ],
)
def test_a_metric_that_does_not_fit_is_one_sentence(name: str, message: str, run: Path) -> None:
    (run / "bad.py").write_text(BAD_METRICS)
    own.name_file(run / "mine.py")  # as a command that names the data set does
    with pytest.raises(DataError, match=message):
        Run(run / "run", run / "cache").judge(metrics=[f"{run / 'bad.py'}:{name}"])


def test_the_run_keeps_a_copy_of_the_file(run: Path) -> None:
    """To the byte, or its digest would be another's."""
    copies = list((run / "run" / "code").rglob("*.py"))
    assert [copy.read_bytes() for copy in copies] == [MINE.read_bytes()]


def test_status_and_report_run_no_users_file(run: Path) -> None:
    bomb = 'raise SystemExit("ran")\n'
    for copy in (run / "run" / "code").rglob("*.py"):
        copy.write_text(bomb)
    hidden = (run / "mine.py").read_text()
    (run / "mine.py").write_text(bomb)
    try:
        for command in ("status", "report"):
            words = [command, "run"] + (["--cache", "cache"] if command == "report" else [])
            done = subprocess.run(
                [sys.executable, "-m", "vesica", *words],
                capture_output=True,
                text=True,
                check=False,
                cwd=run,
            )
            assert done.returncode == 0, done.stderr
            assert "ran" not in done.stdout + done.stderr.replace("trained", "")
    finally:
        (run / "mine.py").write_text(hidden)


def test_a_runs_own_copy_runs_only_if_it_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.read_text())
    words = ["generated:num=40:size=48", "--losses", "mine.py:squared", "--size", 48, "--epochs", 1]
    words += ["--model", f"{MINE}:net", "--seeds", 1, "--batch", 8, "--out", "run", "--jobs", 1]
    words += ["--folds", 0]
    assert vesica("compare", *words, folder=tmp_path).returncode == 0
    (result,) = (tmp_path / "run" / "cells").glob("*/result.json")
    result.unlink()
    (tmp_path / "mine.py").unlink()
    unasked = vesica("run", "run", folder=tmp_path)
    assert unasked.returncode == 2
    assert "none is run unasked; name it, or pass --trust" in unasked.stderr
    trusted = vesica("run", "run", "--trust", folder=tmp_path)
    assert trusted.returncode == 0, trusted.stderr
    assert result.exists()
    (copy,) = (tmp_path / "run" / "code").rglob("mine.py")
    copy.write_text("raise SystemExit('ran')\n")
    changed = vesica("run", "run", "--trust", folder=tmp_path)
    assert (changed.returncode, "ran" in changed.stderr) == (2, False)
    assert "not the file that the run was made with" in changed.stderr


def test_a_finished_run_is_skipped_and_a_changed_file_trains_anew(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.read_text())
    words = ["generated:num=40:size=48", "--losses", "mine.py:squared", "--size", 48, "--epochs", 1]
    words += ["--model", f"{MINE}:net", "--seeds", 1, "--batch", 8, "--out", "run", "--jobs", 1]
    words += ["--folds", 0]
    assert vesica("compare", *words, folder=tmp_path).returncode == 0
    again = vesica("compare", *words, folder=tmp_path)
    assert "(0 s)" not in again.stdout or again.returncode == 0
    assert len(list((tmp_path / "run" / "cells").iterdir())) == 1
    (tmp_path / "mine.py").write_text(
        MINE.read_text().replace("power: float = 2.0", "power: float = 1")
    )
    assert vesica("compare", *words, folder=tmp_path).returncode == 0
    assert len(list((tmp_path / "run" / "cells").iterdir())) == 2


BAD = """
def none(parameters, *, lr: float = 1.0):
    return None

def words(epoch, max_epochs):
    return "x"

def negative(epoch, max_epochs):
    return -1.0
"""


@pytest.mark.parametrize(
    ("field", "name", "message"),
    [
        ("schedule", "words", "words: gives 'x' at epoch 0; expected a finite number"),
        ("schedule", "negative", "negative: gives -1.0"),
        ("optimizer", "none", "none: gives NoneType, expected a torch.optim.Optimizer"),
    ],
)
def test_what_trains_is_checked_before_it_trains(
    field: str, name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    cell = replace(tiny_cell(), **{field: f"{tmp_path / 'bad.py'}:{name}"})
    with pytest.raises(DataError, match=message):
        Run(tmp_path / "run", tmp_path / "cache").prepare([cell], jobs=1)
    assert not (tmp_path / "run").exists()


# segmentation-models-pytorch


def test_smps_unet_takes_a_short_file() -> None:
    lines = [line for line in UNET.read_text().splitlines() if line.strip()]
    assert len(lines) <= 15


@pytest.mark.parametrize("freeze", ["true", "false"])
def test_smps_unet_trains_frozen_and_not(freeze: str, tmp_path: Path) -> None:
    materials = Materials(tmp_path)
    cell = materials.resolve(tiny_cell(model=f"{UNET}:unet:freeze={freeze}", max_epochs=1))
    materials.check(cell)
    network = materials.network(cell)
    inputs = materials.inputs(cell, network, make_fabric("fp32", "cpu"))
    features, target, _ = inputs.batch(np.arange(2), torch.device("cpu"))
    assert target.shape == (2, 1, 64, 64)
    is_frozen = freeze == "true"
    assert len(features) == (6 if is_frozen else 1)  # the image and five skips
    assert (tmp_path / "features").exists() == is_frozen
    assert any("encoder" in name for name in network.trained_state()) != is_frozen
    with torch.inference_mode():
        cached = network.eval().head(features, inputs.size)
        image = torch.from_numpy(materials.library.arrays(cell.data, 64).images[:2].copy())
        whole = network(image.permute(0, 3, 1, 2).float() / 255)
    assert cached.shape == (2, 1, 64, 64)
    torch.testing.assert_close(cached, whole, rtol=1e-4, atol=1e-4)


def test_a_step_moves_the_head_alone(tmp_path: Path) -> None:
    network = build_network(f"{UNET}:unet", Weights("none"), seed=0).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(torch.rand(2, 3, 64, 64)).mean().backward()
    optimizer.step()
    after = network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any("encoder" in name for name in moved)
    assert moved <= set(network.trained_state())


PRETRAINED = """
import torch
from torch import nn

def net():
    module = nn.Conv2d(3, 1, 1)
    nn.init.constant_(module.weight, 0.25)
    return module
"""


def test_nothing_redraws_what_a_users_function_loaded(tmp_path: Path) -> None:
    (tmp_path / "pre.py").write_text(PRETRAINED)
    network = build_network(f"{tmp_path / 'pre.py'}:net", Weights("none"), seed=3)
    assert all(bool((p == 0.25).all()) for n, p in network.named_parameters() if "weight" in n)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "net: gives int, expected a torch.nn.Module"),
        ("return nn.Conv2d(3, 2, 1)", r"gives \(1, 2, 64, 64\).*expected logits of shape"),
        ("return nn.Conv2d(3, 1, 3)", r"gives \(1, 1, 62, 62\) for an image of \(1, 3, 64, 64\)"),
        ("return nn.Conv2d(4, 1, 1)", "fails on an image of 64x64 pixels"),
        ("raise KeyError('weights.pt')", "KeyError: 'weights.pt'; mend the function"),
    ],
)
def test_a_network_that_does_not_fit_is_one_sentence(
    body: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(f"from torch import nn\n\ndef net():\n    {body}\n")
    materials = Materials(tmp_path / "cache")
    with pytest.raises(DataError, match=message):
        materials.check(materials.resolve(tiny_cell(model=f"{tmp_path / 'bad.py'}:net")))


def test_weights_are_for_networks_that_take_them(tmp_path: Path) -> None:
    materials = Materials(tmp_path)
    with pytest.raises(DataError, match="weights 'hed' do not fit"):
        materials.resolve(tiny_cell(model=f"{MINE}:net", weights="hed"))


AUGMENTED = """
def grow(image, mask, generator):
    return image[:, :-1], mask

def broken(image, mask, generator):
    return 1 / 0

def single(image, mask, generator):
    return image
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("grow", "gives as image what is"),
        ("broken", "ZeroDivisionError"),
        ("single", r"expected \(image, mask\)"),
    ],
)
def test_an_augmentation_that_does_not_fit_is_one_sentence(
    name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(AUGMENTED)
    materials = Materials(tmp_path / "cache")
    cell = materials.resolve(tiny_cell(augment=f"{tmp_path / 'bad.py'}:{name}"))
    network = materials.network(cell)
    inputs = materials.inputs(cell, network, make_fabric("fp32", "cpu"))
    with pytest.raises(DataError, match=message):
        inputs.training_batch(np.arange(2), 0, 0, torch.device("cpu"))


@pytest.mark.parametrize("augment", ["standard", f"{MINE}:dark"])
def test_an_augmentation_is_drawn_from_seed_epoch_and_image_alone(
    augment: str, tmp_path: Path
) -> None:
    materials = Materials(tmp_path)
    cell = materials.resolve(tiny_cell(augment=augment))
    network = materials.network(cell)
    inputs = materials.inputs(cell, network, make_fabric("fp32", "cpu"))
    cpu = torch.device("cpu")

    def drawn(rows: list[int], seed: int = 0, epoch: int = 0) -> torch.Tensor:
        return inputs.training_batch(np.array(rows), seed, epoch, cpu)[0][0]

    together = drawn([3, 5, 9])
    torch.manual_seed(99)  # what others draw does not matter
    torch.testing.assert_close(together[1], drawn([5])[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together[2], drawn([9, 3])[0], rtol=1e-4, atol=1e-4)
    for other in (drawn([3, 5, 9], seed=1), drawn([3, 5, 9], epoch=1)):
        assert not torch.allclose(together, other, atol=1e-3)


def test_every_network_of_the_protocol_is_told_apart_from_a_plain_module() -> None:
    plain = build_network(f"{MINE}:net", Weights("none"), seed=0)
    own = build_network(f"{UNET}:unet", Weights("none"), seed=0)
    assert isinstance(plain, Network)
    assert isinstance(own, Network)
    assert not list(plain.frozen())
    assert replace(tiny_cell(), model=f"{MINE}:net:width=3").network_name == "mine.py:net"
