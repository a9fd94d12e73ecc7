"""On a GPU as on the CPU: losses, networks, training. Skipped where there is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TINY

from vesica.cell import run_cell
from vesica.losses import LOSSES, parse_loss, reduce_values
from vesica.materials import Materials
from vesica.networks import Weights, build_network
from vesica.plan import Cell, Recipe, Source, replace
from vesica.results import CellResult

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")

BINARY = [name for name in LOSSES if name not in ("ce", "softmax_focal")]


def value_and_gradient(name: str, device: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Any:
    generator = torch.Generator().manual_seed(0)
    logits = (4 * torch.randn(shape, generator=generator)).to(device, dtype).requires_grad_()
    target = (torch.rand(shape, generator=generator) < 0.2).to(device)
    values = parse_loss(name).values(logits, target, channels=True)
    value = reduce_values(values, None, "mean")
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach().double().cpu(), gradient.detach().double().cpu()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 1, 40, 50), (2, 1, 700, 800)])
@pytest.mark.parametrize("name", BINARY)
def test_losses_are_those_of_the_cpu(name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    ours, theirs = (value_and_gradient(name, d, dtype, shape) for d in ("cuda", "cpu"))
    rtol = 1e-4 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(ours[0], theirs[0], rtol=rtol, atol=1e-6)
    scale = float(theirs[1].abs().max())
    torch.testing.assert_close(ours[1], theirs[1], rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("model", ["bfcn32s:width=8", "fcresnet:width=8", "unet:channels=8"])
def test_networks_are_those_of_the_cpu(model: str) -> None:
    network = build_network(model, Weights("none"), 0).eval()
    with torch.no_grad():
        network.get_parameter("score.bias").add_(0.1)
        image = torch.rand(2, 3, 65, 70, generator=torch.Generator().manual_seed(0))
        expected = network(image)
        found = network.to("cuda")(image.to("cuda")).cpu()
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-3)


def cell_of(**fields: Any) -> Cell:
    base = Cell(
        data=Source(path="generated:num=60:size=64"),
        model=TINY,
        size=64,
        recipe=Recipe(max_epochs=2, batch=8),
    )
    return replace(base, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"precision": "bf16", "average": "ema"},
        {"optimizer": "adamw", "schedule": "cosine"},
        {"augment": "flip"},
        {"augment": "standard"},
        {"model": "unet:channels=8", "precision": "bf16"},
        {"loss": "lovasz_hinge"},
    ],
)
def test_a_cell_trains_and_goes_on(fields: dict[str, Any], tmp_path: Path) -> None:
    materials = Materials(tmp_path / "cache")
    result: CellResult = run_cell(
        materials.resolve(cell_of(**fields)), materials, tmp_path / "cell"
    )
    assert result.status != "failed", result.traceback
    assert "CPU" not in result.device
    assert np.isfinite(result.iou_per_image or np.nan)
