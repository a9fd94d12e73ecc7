"""Every engine by its name, and how one is run in a process of its own.

Loads neither PyTorch nor Keras: a process begins with its parent's peak of memory.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1]

TENSORFLOW = {
    "KERAS_BACKEND": "tensorflow",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # TensorFlow 2.21 aborts in its convolutions with it
}
ONEDNN = TENSORFLOW | {"TF_ENABLE_ONEDNN_OPTS": "1"}  # which works with jit_compile=True
TORCH = {"KERAS_BACKEND": "torch"}
THREADS = {
    "OMP_NUM_THREADS": "2",
    "TF_NUM_INTRAOP_THREADS": "2",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
}


@dataclass(frozen=True)
class Engine:
    """One row of the table.

    Attributes:
        module: A file of `engines/`.
        flags: Its switches.
        environment: What must be set before its process starts.
        batch: Images per step.
    """

    module: str
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    batch: int = 100


ENGINES: dict[str, Engine] = {
    "keras-tensorflow": Engine("keras_engine", (), TENSORFLOW, 50),
    "keras-tensorflow-jit": Engine("keras_engine", ("--jit",), ONEDNN, 50),
    "keras-torch": Engine("keras_engine", (), TORCH, 50),
    "pytorch": Engine("plain_torch", batch=50),
    "vesica-without-cache": Engine("vesica_engine", ("--without-cache",)),
    "vesica-without-spectral": Engine("vesica_engine", ("--without-spectral",)),
    "vesica-without-bf16": Engine("vesica_engine", ("--without-bf16",)),
    "vesica": Engine("vesica_engine"),
}

TRIES: dict[str, Engine] = {
    "keras-tensorflow-jit, bfloat16": Engine("keras_engine", ("--jit", "--bf16"), ONEDNN, 50),
    "keras-tensorflow-jit, batch 100": Engine("keras_engine", ("--jit",), ONEDNN, 100),
    "keras-tensorflow-jit, without oneDNN": Engine("keras_engine", ("--jit",), TENSORFLOW, 50),
    "keras-torch, bfloat16": Engine("keras_engine", ("--bf16",), TORCH, 20),
    "keras-torch, channels first": Engine("keras_engine", ("--channels-first",), TORCH, 20),
    "keras-torch, torch.compile": Engine("keras_engine", ("--jit",), TORCH, 20),
    "pytorch, batch 100": Engine("plain_torch", batch=100),
}
"""Other ways to run the same, once each: is there a faster one that the table leaves out?"""


@dataclass(frozen=True)
class Figures:
    """What an engine did with one network.

    Attributes:
        images_per_s: By its best step.
        median_images_per_s: By its median step.
        peak_bytes: Of the process.
        batch: Images per step.
        losses: Of the first process, the step to warm up included.
        details: What the engine reports beside.
        error: Last words of a process that failed; "" if none did.
    """

    images_per_s: float
    median_images_per_s: float
    peak_bytes: int
    batch: int
    losses: list[float] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class Failed(RuntimeError):  # noqa: N818 - it names what happened to the process
    """A process ended without an answer."""


def run_module(
    module: str, *arguments: str, environment: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run a file of `engines/` in a new process and read its last line.

    Raises:
        Failed: With its last words.
    """
    with tempfile.TemporaryDirectory() as home:
        path = os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        # A user's own keras.json would change what is measured.
        settings = {"PYTHONPATH": path, "KERAS_HOME": home, **THREADS}
        done = subprocess.run(
            [sys.executable, "-m", f"engines.{module}", *arguments],
            env={**os.environ, **settings, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        words = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise Failed(f"{module} {' '.join(arguments)}: {words[-1]}") from None
    return answer


def measure(engine: Engine, network: str, sizes: list[str], steps: int) -> Figures:
    """One process of an engine."""
    try:
        found = run_module(
            engine.module,
            f"--network={network}",
            *sizes,
            f"--batch={engine.batch}",
            f"--steps={steps}",
            *engine.flags,
            environment=engine.environment,
        )
    except Failed as failed:
        return Figures(0.0, 0.0, 0, engine.batch, error=str(failed))
    times_s, losses, peak = (found.pop(key) for key in ("times_s", "losses", "peak_bytes"))
    details = found | {"times_s": times_s}
    return Figures(
        engine.batch / min(times_s),
        engine.batch / statistics.median(times_s),
        peak,
        engine.batch,
        losses,
        details,
    )


def join(rounds: list[Figures]) -> Figures:
    """All rounds of one engine; a failed round is left out where another did not fail."""
    good = [figures for figures in rounds if not figures.error]
    if not good:
        return rounds[0]
    times_s = [time_s for figures in good for time_s in figures.details["times_s"]]
    counted = [
        key for key in good[0].details if key.endswith("_per_image") and key[0] in "tf"
    ]  # of those that are measured once per process, the best
    best = {key: min(figures.details[key] for figures in good) for key in counted}
    return Figures(
        good[0].batch / min(times_s),
        good[0].batch / statistics.median(times_s),
        max(figures.peak_bytes for figures in good),
        good[0].batch,
        good[0].losses,
        good[0].details | best | {"times_s": times_s},
    )
