"""A model that onnxruntime runs; PyTorch is not loaded."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from vesica.data.sample import Pixels
from vesica.errors import DataError
from vesica.model.prediction import Answer, Model
from vesica.model.seal import check_seal
from vesica.model.traits import read_traits

INPUTS, OUTPUTS = ("image",), ("probability", "confidence", "disagreement")
"""Of a graph, by name."""

INSTALL = "pip install 'vesica[onnx]'"
MAX_FILE_BYTES = 2**31
"""No ONNX file is larger without others beside it."""


class OnnxModel(Model):
    """A model in an ONNX file that `vesica export` wrote.

    Raises:
        DataError: If it is none, or onnxruntime is missing.
    """

    def __init__(self, path: Path) -> None:
        runtime = import_runtime()
        content = _read(path)
        check_seal(path)  # a damaged graph may take the runtime down
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        try:
            self.session = runtime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            metadata = self.session.get_modelmeta().custom_metadata_map
            ends = (self.session.get_inputs(), self.session.get_outputs())
            names = [[one.name for one in found] for found in ends]
        except Exception as error:  # its own errors share no class
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{path}: not a whole ONNX file ({reason}); copy or export it again"
            ) from None
        self.traits = read_traits(metadata, str(path))
        if names != [list(INPUTS), list(OUTPUTS)]:
            taken, given = (", ".join(found[:3]) for found in names)
            raise DataError(
                f"{path}: not exported by vesica (its graph takes {taken} and gives {given}); pass "
                "a file that `vesica export` wrote"
            )
        self.digest = hashlib.sha256(content).hexdigest()[:16]

    def answer(self, image: Pixels) -> Answer:
        """As `Model.answer`."""
        batch = np.ascontiguousarray(image.transpose(2, 0, 1))[np.newaxis]
        probs, confidence, disagreement = self.session.run(None, {"image": batch})
        has_several = self.traits.num_members > 1
        return Answer(
            probs[0], float(confidence[0]), float(disagreement[0]) if has_several else None
        )


def import_runtime() -> Any:
    """Onnxruntime.

    Raises:
        DataError: If it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError(f"ONNX files need onnxruntime ({error}); run: {INSTALL}") from None
    return onnxruntime


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise DataError(f"{path}: {size:,} bytes, more than any ONNX file has")
    return path.read_bytes()
