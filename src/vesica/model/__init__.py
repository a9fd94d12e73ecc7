"""The model in use: from a run, or from a file that `vesica export` wrote. Needs no torch itself.

`load` gives a `Model`, whose `predict` takes an image and gives its mask.
"""

from pathlib import Path

from vesica.errors import DataError
from vesica.files import PLAN, expand
from vesica.model.choice import Asked
from vesica.model.images import BLACK
from vesica.model.prediction import Model, Prediction, tiled
from vesica.model.traits import Expected, Traits, say_expected, say_limit, say_unmarked

__all__ = [
    "BLACK",
    "Asked",
    "Expected",
    "Model",
    "Prediction",
    "Traits",
    "is_run",
    "load",
    "say_expected",
    "say_limit",
    "say_unmarked",
    "tiled",
]


def is_run(path: Path) -> bool:
    """Whether a path is a run's folder, and not a file."""
    return path.is_dir() and (path / PLAN).exists()


def load(
    run_or_file: str | Path,
    *,
    loss: str | None = None,
    seed: int | None = None,
    cell: str | None = None,
    average: bool = False,
    trust: bool = False,
    cache: str | Path | None = None,
) -> Model:
    """The trained model of a run, or of a file that `vesica export` wrote.

    Of a run it is the loss that the verdict finds better, or the baseline where it finds none; of
    that loss the seed that is best on validation images; with folds the average of their networks.

    Args:
        run_or_file: A run's folder, a .safetensors or an .onnx file.
        loss: Another loss of the run.
        seed: Another seed.
        cell: One network by the first digits of its cell's key.
        average: Average the probabilities of all seeds.
        trust: Let the run's own copies of users' files be run.
        cache: Folder that the run's images are cached in.

    Raises:
        DataError: If there is no such model.
        ValueError: If options contradict each other.

    Example:
        >>> import numpy as np, vesica
        >>> model = vesica.load("run")
        >>> found = model.predict(np.zeros((48, 80, 3), np.uint8))
        >>> found.mask.shape, found.mask.dtype, found.probs.dtype
        ((48, 80), dtype('bool'), dtype('float32'))
    """
    path, asked = expand(run_or_file), Asked(loss, seed, cell, average)
    if is_run(path):
        from vesica.model.of_run import load_run

        return load_run(path, asked, trust=trust, cache=cache)[0]
    if asked != Asked():
        raise DataError(f"{path}: one model, and no run: leave out --loss, --seed and the like")
    if not path.is_file() or path.suffix not in (".safetensors", ".onnx"):
        found = "a folder without plan.json" if path.is_dir() else "no model"
        found = found if path.exists() else "no such file or folder"
        raise DataError(
            f"{path}: {found}; pass a run's folder, or a .safetensors or .onnx file that `vesica "
            "export` wrote"
        )
    if path.suffix == ".onnx":
        from vesica.model.onnx import OnnxModel

        return OnnxModel(path)
    from vesica.model.whole import read_whole

    return read_whole(path)
