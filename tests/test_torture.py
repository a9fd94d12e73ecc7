"""Killed, damaged and without room on the disk, a run ends with the same figures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torture

from vesica.files import damaged

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "torture.py"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find processes")
def test_nothing_is_lost_different_silent_orphaned_or_left_over() -> None:
    full = [] if os.environ.get("VESICA_FULL") else ["--short", "--kills", "2", "--flips", "4"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *full], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "| **all** |" in done.stdout


@pytest.mark.parametrize("name", ["plan.json", "sums.json", "cells/a/model.safetensors"])
@pytest.mark.parametrize("has_ended", [False, True])
def test_the_trials_delete_what_a_sentence_says(tmp_path: Path, name: str, has_ended: bool) -> None:
    cell = tmp_path / "cells" / "a"
    cell.mkdir(parents=True)
    for kept in (tmp_path / "plan.json", *[cell / "result.json"] * has_ended):
        kept.touch()
    advice = torture.ADVICE.search(f"Error: {damaged(tmp_path / name)}")
    assert advice is not None
    assert advice[1] == str(tmp_path / name)
    assert advice[2] == (str(cell) if has_ended and "cells" in name else "it")
