"""A run that has trained a little on generated images, for tests of what is done with it."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import vesica
from vesica.data.sample import Pixels
from vesica.data.synthetic import open_generated

DATA = "generated:num=160:size=64:density=0.3"


@functools.cache
def trained_run() -> tuple[Path, Path]:
    """The run's folder and its cache; made once a process."""
    return _compare(DATA, ["bce", "iou"], size=64, steps=40, seeds=2, folds=0)


@functools.cache
def folded_run() -> tuple[Path, Path]:
    """The same in two folds, of one loss and seed."""
    return _compare(DATA, ["bce"], size=64, steps=20, seeds=1, folds=2)


@functools.cache
def run_of_classes() -> tuple[Path, Path]:
    """The same of background, face and hair."""
    data = "generated:num=80:size=48:density=0.3"
    return _compare(data, None, classes=True, size=48, steps=40, seeds=2, folds=0)


def _compare(data: str, losses: list[str] | None, **options: Any) -> tuple[Path, Path]:
    folder = _temporary()
    run, cache = folder / "run", folder / "cache"
    vesica.compare(data, losses, out=run, cache=cache, jobs=1, quiet=True, **options)
    return run, cache


def faces(num: int, height: int = 100, width: int = 130) -> list[Pixels]:
    """Images that no run has seen, of a size of their own."""
    dataset = open_generated(num=num, size=max(height, width), seed=9, density=0.3)
    return [
        np.ascontiguousarray(dataset.load(sample)[0][:height, :width]) for sample in dataset.samples
    ]


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="vesica-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
