"""Killed, damaged and without room on the disk, a run ends with the same figures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "torture.py"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find processes")
def test_nothing_is_lost_different_silent_orphaned_or_left_over() -> None:
    full = [] if os.environ.get("VESICA_FULL") else ["--short", "--kills", "2", "--flips", "4"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *full], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "| **all** |" in done.stdout
