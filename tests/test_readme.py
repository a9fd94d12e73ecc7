"""What the README says is true: its Python runs, its commands and files exist."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vesica.cli import app
from vesica.losses import parse_loss
from vesica.plan import Cell

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_python_blocks_run(block: str) -> None:
    names: dict[str, object] = {}
    exec(block, names)  # our own README
    if "plan" in names:
        cells = names["plan"]()  # type: ignore[operator]
        assert cells
        assert all(isinstance(cell, Cell) for cell in cells)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 2


def test_the_named_losses_exist() -> None:
    losses, *_ = re.findall(r"`--losses (\S+)`", README)  # the others are of the user's own
    assert len([parse_loss(loss) for loss in losses.split(",")]) > 3


def test_the_named_options_exist() -> None:
    shown = "".join(
        CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        for command in ("check", "compare", "paper", "predict", "export", "report")
    )
    for option in set(re.findall(r"(--[a-z][a-z-]+)", README)) - {"--no-deps"}:  # pip's
        assert option in shown, option


def test_the_named_files_exist() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
    tree = README.split("## The tree")[1].split("```")[1]
    for name in re.findall(r"\b([a-z_]+\.py)\b", tree):
        assert list((ROOT / "src").rglob(name)), name
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text()
