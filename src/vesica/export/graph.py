"""A model as an ONNX graph: from uint8 images of any number and size to probabilities."""

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from vesica.errors import DataError
from vesica.files import replacing
from vesica.model.network import NetworkModel
from vesica.model.onnx import INPUTS, INSTALL, OUTPUTS
from vesica.model.seal import seal
from vesica.own import say_error

OPSET = 18
MAX_BYTES = 2**31 - 2**20
"""Protocol buffers end here."""

EXAMPLE = (2, 3, 96, 112)
"""Of an image that the graph is traced with; no side of it is kept."""


def write_graph(target: Path, model: NetworkModel) -> None:
    """Write a model as ONNX: input `image`, outputs `probability`, `confidence` and
    `disagreement`.

    Raises:
        DataError: If onnx is missing, or the model has layers that ONNX has not, is too large, or
            predicts in pieces.
    """
    if model.traits.long_side_px:
        raise DataError(
            "a model of crops predicts images in pieces, which one graph does not hold; pass "
            "--format safetensors"
        )
    onnx = _import_onnx()
    num_bytes = sum(tensor.nbytes for tensor in model.pipeline.state_dict().values())
    if num_bytes > MAX_BYTES:
        raise DataError(
            f"{num_bytes / 1e9:.1f} GB of tensors are more than an ONNX file holds; pass --cell "
            "for one network, or --format safetensors"
        )
    proto = _trace(model)
    onnx.helper.set_model_props(proto, model.traits.to_metadata())
    proto.producer_name = "vesica"
    content = proto.SerializeToString()
    with replacing(target, len(content), has_sum=False) as path:
        path.write_bytes(content)
        seal(path)


def _trace(model: NetworkModel) -> Any:
    pipeline = model.pipeline.cpu()
    sizes = {0: "batch", 2: "height", 3: "width"}
    dynamic = {place: torch.export.Dim(name) for place, name in sizes.items()}
    image = torch.zeros(EXAMPLE, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the exporter's own
            program = torch.onnx.export(
                pipeline,
                (image,),
                dynamo=True,
                dynamic_shapes={"image": dynamic},
                input_names=list(INPUTS),
                output_names=list(OUTPUTS),
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter raises what it likes, for layers that it lacks
        raise DataError(
            f"{model.traits.network}: cannot be written as ONNX ({say_error(error)[:300]}); pass "
            "--format safetensors"
        ) from None
    finally:
        pipeline.to(model.device)
    assert program is not None
    return program.model_proto


def _import_onnx() -> Any:
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise DataError(f"--format onnx needs onnx ({error}); run: {INSTALL}") from None
    return onnx
