"""A model in one file, for use without its run: safetensors, ONNX, or a page for a browser."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vesica.data.library import Library
from vesica.errors import DataError
from vesica.export.agreement import Agreement, check_agreement, images_for
from vesica.export.page import write_page
from vesica.export.runtime import find_runtime
from vesica.files import check_target, replacing
from vesica.model import Asked, Model, Traits, is_run, load
from vesica.model.network import NetworkModel
from vesica.model.of_run import load_run
from vesica.results import EndedCell

Format = Literal["safetensors", "onnx", "page"]
SUFFIXES: dict[Format, str] = {"safetensors": ".safetensors", "onnx": ".onnx", "page": ".html"}


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how its masks agree with PyTorch's."""

    path: Path
    traits: Traits
    agreement: Agreement


def export_model(
    run_or_file: Path,
    target: Path,
    kind: Format,
    asked: Asked,
    *,
    cache: Path,
    trust: bool = False,
    runtime: Path | None = None,
) -> Exported:
    """Write a model as one file, once it has given the masks there that it gives here.

    Args:
        run_or_file: A run, or a model in safetensors.
        target: The file; the one before is whole until the new one is.
        kind: Its format.
        asked: What is wanted of a run.
        cache: Of images, and of onnxruntime-web.
        trust: Let the run's own copies of users' files be run.
        runtime: Where onnxruntime-web is.

    Raises:
        DataError: If it cannot be written, something is missing, or masks differ.
    """
    check_target("--out", target, f"a file of --format {kind}", SUFFIXES[kind])
    found_runtime = find_runtime(runtime, cache) if kind == "page" else None
    model, members = _load(run_or_file, asked, trust, cache)
    with tempfile.TemporaryDirectory() as folder:
        suffix = ".safetensors" if kind == "safetensors" else ".onnx"
        draft = Path(folder) / f"model{suffix}"
        agreement = check_agreement(
            model, _write(model, draft), *images_for(members, Library(cache))
        )
        if found_runtime is not None:
            write_page(target, draft, model.traits, found_runtime)
        else:
            with replacing(target, draft.stat().st_size, has_sum=False) as path:
                path.write_bytes(draft.read_bytes())
    return Exported(target, model.traits, agreement)


def _write(model: NetworkModel, draft: Path) -> Model:
    """Write the file, and read it back as its user will."""
    if draft.suffix == ".safetensors":
        from vesica.model.whole import read_whole, write_whole

        write_whole(draft, model)
        return read_whole(draft)
    from vesica.export.graph import write_graph
    from vesica.model.onnx import OnnxModel

    write_graph(draft, model)
    return OnnxModel(draft)


def _load(
    path: Path, asked: Asked, trust: bool, cache: Path
) -> tuple[NetworkModel, tuple[EndedCell, ...]]:
    if is_run(path):
        model, choice = load_run(path, asked, trust=trust, cache=cache)
        return model, choice.members
    loaded = load(path, **vars(asked))
    if not isinstance(loaded, NetworkModel):
        raise DataError(f"{path}: an ONNX file has no layers to write; pass the run or safetensors")
    return loaded, ()
