"""What the pages about losses say is true, and the scripts that make them run."""

import importlib.util
import json
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from test_losses import draw
from torch import Tensor

from vesica.losses import LOSSES, LossModule, iou_loss, parse_loss

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")


def load(name: str) -> ModuleType:
    """A script of `benchmarks/`."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")  # the peers' own
def test_switched_losses_have_the_same_values() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)  # our own page
    logits, target = draw((4, 1, 16, 16), dtype=torch.float32)
    assert len(names["switches"]) == 7
    for old, new in names["switches"]:
        assert_same(old, new, logits, target)
    scores, classes = 2 * draw((4, 3, 16, 16), dtype=torch.float32)[0], torch.arange(256) % 3
    classes = classes[torch.randperm(256, generator=torch.Generator().manual_seed(0))]
    classes = classes.view(1, 1, 16, 16).repeat(4, 1, 1, 1)
    assert len(names["class_switches"]) == 6
    for old, new in names["class_switches"]:
        assert_same(old, new, scores, classes)
    classes[:, :, 3] = 255
    for old, new in names["index_switches"]:
        assert_same(old, new, scores, classes[:, 0])


def test_loss_of_ones_own_is_one_file(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(\"\"\"mine.py.*?)```", PAGE, flags=re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(code)
    logits, target = draw()
    spelling = f"{path}:log_iou:smooth=2"
    module = LossModule(f"0.5iou+0.5{spelling}")
    log_iou = -(1 - iou_loss(logits, target, smooth=2)).log()
    expected = 0.5 * (iou_loss(logits, target) + log_iou)
    torch.testing.assert_close(module(logits, target), expected.mean())
    assert "mine.py@" in str(module.loss)
    assert str(tmp_path) not in str(module.loss)
    again = parse_loss(str(module.loss))
    assert again == module.loss
    torch.testing.assert_close(again(logits, target), expected)


def assert_same(old: Any, new: Any, logits: Tensor, target: Tensor) -> None:
    """Value and gradient, up to the other library's constants against 0/0."""
    values = []
    for loss in (old, new):
        again = logits.clone().requires_grad_()
        value = loss(again, target)
        values.append((value.detach(), torch.autograd.grad(value, again)[0]))
    torch.testing.assert_close(values[1][0], values[0][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(values[1][1], values[0][1], rtol=1e-3, atol=1e-6)
    assert values[1][1].abs().max() > 1e-5


def test_page_about_metrics_runs_and_names_what_there_is() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(block, names)  # our own page
    summary = names["summary"]
    assert summary["iou_per_image"] == names["per_image"].mean()
    assert summary["iou_pooled"] == names["pooled"]
    assert summary["num_empty"] == 1
    assert summary["iou_soft"] < names["without"]["iou_soft"] - 0.1
    assert names["names"] == [f"image {row}" for row in range(4)]
    assert names["scores"].summary() == pytest.approx(summary)
    stated: set[str] = set()
    for row in re.findall(r"^\| (`\w.*?) \| ", page, flags=re.MULTILINE):
        for name in re.findall(r"`(\w+…?)`", row):
            both = [name.replace("…", end) for end in ("per_image", "pooled")]
            stated |= set(both if "…" in name else [name])
    assert stated == set(summary)


def test_page_names_every_loss_and_what_it_says_exists() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)`, `(\w+)` \|", PAGE, flags=re.MULTILINE)
    assert [name for name, _, _ in rows] == list(LOSSES)
    module = sys.modules["vesica.losses"]
    for name, function, cls in rows:
        assert LOSSES[name] is getattr(module, function)
        assert issubclass(getattr(module, cls), torch.nn.Module)


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_links_of_pages_lead_somewhere(page: str) -> None:
    path = ROOT / "docs" / page
    for link in re.findall(r"\]\(([^)#:]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


def test_page_about_peers_is_what_its_script_makes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = load("compare_with_peers")
        made = script.make_page()
    committed = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")

    def first_two(page: str) -> list[list[str]]:
        return [line.split("|")[1:3] for line in page.splitlines() if line.startswith("|")]

    questions = [script.IOU_QUESTIONS, script.LOVASZ_QUESTIONS]
    assert len(first_two(made)) == sum(len(asked) + 2 for asked in questions) + 4 + 2
    for ours in ("JaccardLoss` | `iou:smooth=2`", "DiceLoss` | `dice:smooth=4`"):
        assert f"| smp `{ours} |" in made
        assert f"| smp `{ours} |" in committed
    for ours in ("(jaccard=True)` | `iou:smooth=1`", "` | `dice:smooth=2`"):
        assert f"| MONAI `DiceLoss{ours} |" in made
        assert f"| MONAI `DiceLoss{ours} |" in committed
    (soft,) = (line for line in committed.splitlines() if "Soft targets: the value of" in line)
    assert soft.split(" | ")[1:4] == ["IoULoss", "JaccardMetricLoss", "IoULoss"]
    for row, seen in zip(first_two(made), first_two(committed), strict=True):
        assert row[0] == seen[0]
        assert "~~" not in row[1], f"Vesica is wrong: {row}"
        assert "~~" not in seen[1]


def test_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = load("bench_losses")
        compiled = ("vesica iou, compiled", "five lines, compiled")
        steps = {n: s for n, s in script.candidates().items() if n not in compiled}
        monkeypatch.setattr(script, "candidates", lambda: steps)
        target = tmp_path / "losses.json"
        monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--json", str(target)])
        try:
            script.main()
        finally:
            torch.set_num_threads(threads)
    document = json.loads(target.read_text())
    assert {case["size"] for case in document["cases"]} == {"4x64x64", "2x96x96", "1x128x128"}
    assert {case["dtype"] for case in document["cases"]} == {"float32", "bfloat16"}
    assert all(case["time_ms"] > 0 for case in document["cases"])
    assert document["versions"].keys() >= {"torch", "monai", "kornia"}


def test_gradient_pictures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("draw_gradients")
    page = tmp_path / "page.md"
    monkeypatch.setattr(sys, "argv", ["draw", str(page)])
    script.main()
    committed = (ROOT / "docs" / "what-each-loss-sees.md").read_text(encoding="utf-8")
    assert re.sub(r"[\d.e+-]+", "", page.read_text()) == re.sub(r"[\d.e+-]+", "", committed)
    assert len(list((tmp_path / "images").glob("gradients-*.png"))) == 4
