"""What is only faster can go: any file, with or without its lines in the table."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vesica
from vesica.accel import FASTER, faster

ROOT = Path(vesica.__file__).parent
FILES = sorted(path.stem for path in (ROOT / "accel").glob("*.py") if path.stem != "__init__")

CHECKS = """
import sys
import torch
from vesica.accel import faster
from vesica.losses import LOSSES, parse_loss
from vesica.networks import NETWORKS

torch.manual_seed(0)
found = {}
for shape in ((4, 9, 11), (2, 300, 400)):
    logits, target = 3 * torch.randn(shape), torch.rand(shape) < 0.4
    target[1], valid = False, torch.rand(shape) < 0.8
    for name in (*LOSSES, "lovasz_hinge:bits=16", "iou:empty=formula:smooth=1"):
        for over in ({}, {"valid": valid}, {"pool": "batch"}, {"channels": True}):
            again = logits.clone().requires_grad_()
            value = parse_loss(name)(again, target, **over)
            (gradient,) = torch.autograd.grad(value.sum(), again)
            found[f"{name} {shape} {list(over)}"] = value.detach(), gradient
model = NETWORKS["bfcn32s"](width=8)
image, parameters = torch.rand(1, 3, 40, 48), [p for p in model.parameters() if p.requires_grad]
optimizer = faster("rmsprop", torch.optim.RMSprop)(parameters, lr=1e-3, alpha=0.9, eps=1e-7)
with torch.no_grad():
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.copy_(torch.randn(p.shape, generator=generator) / p[:1].numel() ** 0.5)
for step in range(2):
    optimizer.zero_grad()
    logits = model(image)
    logits.square().mean().backward()
    optimizer.step()
    found[f"network {step}"] = logits.detach(), parameters[-6].detach().contiguous().clone()
faster("memory", lambda: None)()
faster("give_back", lambda: None)()
torch.save(found, sys.argv[1])
"""


def run_checks(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What the package in a folder computes."""
    target = folder / "found.pt"
    done = subprocess.run(
        [sys.executable, "-c", CHECKS, str(target)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = torch.load(target)
    return found


def copy_package(folder: Path) -> Path:
    shutil.copytree(ROOT, folder / "vesica", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "vesica" / "accel"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("whole")
    copy_package(folder)
    return run_checks(folder)


def test_every_file_is_in_the_table() -> None:
    assert {way.split(":")[0].rpartition(".")[2] for way in FASTER.values()} == set(FILES)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("has_lines", [True, False])
def test_without_any_file_everything_works(
    file: str,
    has_lines: bool,
    tmp_path: Path,
    whole: dict[str, tuple[torch.Tensor, torch.Tensor]],
) -> None:
    accel = copy_package(tmp_path)
    (accel / f"{file}.py").unlink()
    if not has_lines:
        table = accel / "__init__.py"
        lines = table.read_text().splitlines(keepends=True)
        table.write_text("".join(line for line in lines if f"accel.{file}:" not in line))
    found = run_checks(tmp_path)
    assert found.keys() == whole.keys()
    for name, tensors in found.items():
        rtol, atol = 1e-4, 1e-6
        if "bits" in name:  # without buckets, errors are ranked exactly
            rtol, atol = 1 / 128, 2e-3
        elif "network" in name:  # a logit near 0 has the error of those around it, near 1
            atol = 1e-5
        for one, other in zip(tensors, whole[name], strict=True):
            torch.testing.assert_close(one, other, rtol=rtol, atol=atol, msg=name)


def test_an_import_that_fails_otherwise_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FASTER, "memory", "no_such_package.at_all:function")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        faster("memory", lambda: None)
    assert faster("nothing", 3) == 3


KEEPS = """
import os
import torch
from pathlib import Path
from vesica.accel.memory import give_memory_back, keep_memory

def in_use():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

keep_memory()
before = in_use()
tensors = [torch.ones(2**22) for _ in range(16)]  # 16 MB each
last = torch.ones(8)
del tensors
kept = in_use() - before
give_memory_back()
print(kept, in_use() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's memory is Linux's")
def test_memory_is_kept_until_it_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KEEPS],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT.parent), "OMP_NUM_THREADS": "1"},
    )
    kept, rest = map(float, done.stdout.split())
    assert kept > 200
    assert rest < 50
