"""What the cells of a plan share: images, splits, pretrained weights, trunk features."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from vesica.data.library import Library, Progress
from vesica.losses import parse_loss
from vesica.networks import FCN, MODELS, Weights, build_model, load_weights
from vesica.plan import Cell, replace
from vesica.trunk import Images, Inputs, Stored, compute_features, mirror, trunk_key


@dataclass
class Materials:
    """Opens each thing once and keeps it for the next cell.

    Attributes:
        cache: Folder of decoded images and trunk features.
        progress: Told of long preparations.
        library: The images.
    """

    cache: Path
    progress: Progress = lambda what, done, total: None
    _weights: dict[tuple[str, str], Weights] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.library = Library(self.cache, self.progress)

    def weights(self, cell: Cell) -> Weights:
        """The pretrained encoder."""
        key = (cell.weights, cell.model)
        if key not in self._weights:
            self._weights[key] = load_weights(*key)
        return self._weights[key]

    def model(self, cell: Cell) -> FCN:
        """The network as the cell's training finds it."""
        return build_model(
            cell.model,
            self.weights(cell),
            width=cell.width,
            dropout=cell.recipe.dropout,
            freeze=cell.recipe.freeze == "paper",
            init=cell.recipe.init,
            seed=cell.seed,
        )

    def inputs(self, cell: Cell, model: FCN, fabric: Fabric) -> Inputs:
        """What the cell's head trains on; computes what the cache does not have."""
        arrays, rows = self.library.arrays(cell.data, cell.size), self.library.rows(cell.data)
        images, mirrored = arrays.images, mirror(arrays.images)
        if model.num_frozen == 0:
            return Inputs((Images(images),), arrays.masks, (Images(mirrored),))
        features = self._features(cell, model, fabric, images, rows.all)
        if not cell.recipe.flip:
            return Inputs(features, arrays.masks)
        of_mirrored = self._features(cell, model, fabric, mirrored, rows.train, is_mirrored=True)
        return Inputs(features, arrays.masks, of_mirrored)

    def prepare(self, cells: Sequence[Cell]) -> None:
        """Compute what several processes will read."""
        folders: set[tuple[Path, bool]] = set()
        for cell in cells:
            wanted = self.features_folder(cell), cell.recipe.flip
            if cell.recipe.freeze == "paper" and wanted not in folders:
                folders.add(wanted)
                self.inputs(cell, self.model(cell), make_fabric(cell.recipe.precision))

    def _features(
        self,
        cell: Cell,
        model: FCN,
        fabric: Fabric,
        images: NDArray[np.uint8],
        rows: NDArray[np.int64],
        *,
        is_mirrored: bool = False,
    ) -> tuple[Stored, ...]:
        what = "frozen layers" + (" of mirror images" if is_mirrored else "")
        return compute_features(
            model.to(fabric.device),
            images,
            rows,
            self.features_folder(cell, is_mirrored=is_mirrored),
            device=fabric.device,
            precision=cell.recipe.precision,
            about={
                "what": what,
                "data": cell.data.name,
                "model": cell.model,
                "weights": cell.weights.partition(":")[0],
                "size_px": cell.size,
                "precision": cell.recipe.precision,
            },
            progress=lambda *n: self.progress(f"computing {what}", *n),
            waiting=lambda: self.progress("waiting for another process to compute them", 0, 1),
        )

    def features_folder(self, cell: Cell, *, is_mirrored: bool = False) -> Path:
        """Where the trunk's output for the cell's images is kept."""
        key = trunk_key(
            cell.data.fingerprint,
            cell.weights_digest,
            cell.model,
            cell.size,
            cell.recipe.precision,
            is_mirrored,
        )
        return self.cache / "features" / key

    def describe(self, cells: Sequence[Cell]) -> list[str]:
        """What a user should know of the images of these cells, a sentence each."""
        images = {(cell.data.model_dump_json(), cell.size): cell for cell in cells}
        sentences = [
            sentence
            for cell in images.values()
            for sentence in self.library.describe(cell.data, cell.size)
        ]
        return list(dict.fromkeys(sentences))

    def resolve(self, cell: Cell) -> Cell:
        """The cell with everything filled in that its result depends on.

        Raises:
            ValueError: If its loss or model does not exist.
            DataError: If its data or weights cannot be had, or do not fit.
        """
        if cell.model not in MODELS:
            raise ValueError(f"unknown model {cell.model!r}; there are: {', '.join(MODELS)}")
        loss = str(parse_loss(cell.loss))
        data = self.library.resolve(cell.data)
        digest = self.weights(cell).digest
        freeze = cell.recipe.freeze
        if freeze == "auto":
            freeze = "paper" if digest else "none"
        return replace(
            cell,
            loss=loss,
            format=data.format,
            target=data.target,
            fingerprint=data.fingerprint,
            weights_digest=digest,
            freeze=freeze,
            precision=resolve_precision(cell.recipe.precision),
        )


def resolve_precision(precision: str) -> str:
    """Turn "auto" into bf16 where the machine multiplies bfloat16 in hardware, else fp32."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if has_bf16 else "fp32"


def make_fabric(precision: str, device: str = "auto") -> Fabric:
    """One device, and the arithmetic that a cell's precision asks for."""
    name = {"fp32": "32-true", "bf16": "bf16-mixed"}[precision]
    # It announces the precision, which Vesica prints itself; it sets its level when imported.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(accelerator=device, devices=1, precision=name)  # type: ignore[arg-type]
