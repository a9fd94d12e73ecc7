"""What the cells of a plan share: images, splits, pretrained weights, trunk features."""

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from vesica import spelling
from vesica.data.arrays import Arrays
from vesica.data.augment import MIRRORS, augment, read_augmentation
from vesica.data.library import MAP_STRIDES, Library, Progress, Rows
from vesica.data.source import Source
from vesica.data.tiles import Pieces
from vesica.evaluate import Truths
from vesica.features import (
    Images,
    Inputs,
    InStep,
    Stored,
    compute_features,
    features_key,
    frozen_digest,
    is_frozen,
    mirror,
)
from vesica.losses import parse_loss
from vesica.networks import (
    NETWORKS,
    OF_THE_CELL,
    Network,
    Weights,
    build_network,
    check_network,
    default_weights,
    is_foreign,
    load_weights,
    read_network,
)
from vesica.optim import (
    average_share,
    rate_factor,
    read_average,
    read_optimizer,
    read_schedule,
)
from vesica.plan import Cell, replace
from vesica.shapes import Features, ImageBatch
from vesica.spelling import Spelled, split_path


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
    _weights: dict[tuple[Any, ...], Weights] = field(default_factory=dict)
    _frozen: dict[tuple[str, str, int], str] = field(default_factory=dict)
    _strides: dict[str, int] = field(default_factory=dict)
    _checked: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.library = Library(self.cache, self.progress)

    def weights(self, cell: Cell) -> Weights:
        """The pretrained encoder."""
        network = read_network(cell.model)
        name = default_weights(network.name) if cell.weights == "default" else cell.weights
        key = (name, network.name, dict(network.options).get("encoder"))
        if key not in self._weights:
            self._weights[key] = load_weights(name, network)
        return self._weights[key]

    def network(self, cell: Cell) -> Network:
        """The network as the cell's training finds it."""
        network = build_network(
            read_network(cell.model),
            self.weights(cell),
            cell.stream,
            max(1, len(cell.data.class_names)),
        )
        self._strides[cell.model] = network.stride
        return network

    def inputs(self, cell: Cell, network: Network, fabric: Fabric) -> Inputs:
        """What the cell's head trains on; computes what the cache does not have."""
        arrays, pieces = self._shown(cell)
        images, rows = arrays.images, self.rows(cell)
        augmentation = read_augmentation(cell.recipe.augment)
        in_step = None
        if augmentation.name not in MIRRORS:
            in_step = InStep(augmentation, images, _encoder(network, fabric))
        is_flipped = augmentation.name == "flip"
        features: tuple[Stored | Images, ...] = (Images(images),)
        mirrored: tuple[Stored | Images, ...] = (Images(mirror(images)),) if is_flipped else ()
        if is_frozen(network):
            seen = rows.all if in_step is None else np.sort(np.concatenate([rows.val, rows.test]))
            features = self._features(cell, network, fabric, images, seen)
            if is_flipped:
                mirrored = self._features(
                    cell, network, fabric, mirror(images), rows.train, is_mirrored=True
                )
        is_exclusive = self.library.dataset(cell.data).is_exclusive
        return Inputs(
            features,
            arrays.masks,
            mirrored,
            in_step,
            arrays.valid,
            pieces,
            is_exclusive,
            cell.empty,
        )

    def rows(self, cell: Cell) -> Rows:
        """Those of `inputs` that a network is shown: of images, or of their pieces."""
        return self.library.shown_rows(cell.data, cell.size, cell.long_side)

    def shown(self, cell: Cell) -> Arrays:
        """The images that a network is shown, or their pieces."""
        return self._shown(cell)[0]

    def _shown(self, cell: Cell) -> tuple[Arrays, Pieces | None]:
        if cell.long_side:
            return self.library.pieces(cell.data, cell.size, cell.long_side)
        return self.library.arrays(cell.data, cell.size), None

    def truths(self, cell: Cell) -> Truths | None:
        """Masks at their own size, where the cell is scored at that, as pieces are; else None."""
        if cell.score_at == "network" and not cell.long_side:
            return None
        return partial(self.library.truth, cell.data)

    def prepare(self, cells: Sequence[Cell]) -> None:
        """Compute what several processes will read."""
        folders: set[tuple[Path, str]] = set()
        for cell in cells:
            wanted = self.features_folder(cell), cell.recipe.augment
            if self.frozen(cell) and wanted not in folders:
                folders.add(wanted)
                self.inputs(cell, self.network(cell), make_fabric(cell.recipe.precision))

    def _features(
        self,
        cell: Cell,
        network: Network,
        fabric: Fabric,
        images: NDArray[np.uint8],
        rows: NDArray[np.int64],
        *,
        is_mirrored: bool = False,
    ) -> tuple[Stored, ...]:
        what = "frozen layers" + (" of mirror images" if is_mirrored else "")
        return compute_features(
            network.to(fabric.device),
            images,
            rows,
            self.features_folder(cell, is_mirrored=is_mirrored),
            device=fabric.device,
            precision=cell.recipe.precision,
            about={
                "what": what,
                "data": cell.data.name,
                "model": read_network(cell.model).name,
                "weights": cell.weights_name,
                "size_px": cell.size,
                "precision": cell.recipe.precision,
            },
            progress=lambda *n: self.progress(f"computing {what}", *n),
            waiting=lambda: self.progress("waiting for another process to compute them", 0, 1),
        )

    def frozen(self, cell: Cell) -> str:
        """Digest of the cell's frozen tensors; "" where there are none."""
        # Pretrained layers are the same for every seed.
        key = (cell.model, cell.weights, -1 if self.weights(cell).state else cell.stream)
        if key not in self._frozen:
            self._frozen[key] = frozen_digest(self.network(cell))
        return self._frozen[key]

    def features_folder(self, cell: Cell, *, is_mirrored: bool = False) -> Path:
        """Where the frozen layers' output for the cell's images is kept."""
        spelled = read_network(cell.model)
        key = features_key(
            cell.data.fingerprint,
            self.frozen(cell),
            str(spelled) if is_foreign(spelled) else spelled.name,
            cell.size,
            cell.recipe.precision,
            is_mirrored,
            cell.long_side,
        )
        return self.cache / "features" / key

    def describe(self, cells: Sequence[Cell]) -> list[str]:
        """What a user should know of the images of these cells, a sentence each."""
        images: dict[tuple[str, int, int], Cell] = {}
        for cell in cells:  # of all folds the first speaks
            data = cell.data.model_dump_json(exclude={"fold"})
            images.setdefault((data, cell.size, cell.long_side), cell)
        sentences = [
            sentence
            for cell in images.values()
            for sentence in self.library.describe(
                cell.data,
                cell.size,
                self._strides.get(cell.model) or MAP_STRIDES.get(cell.network_name, 1),
                cell.long_side,
            )
        ]
        return list(dict.fromkeys(sentences))

    def resolve(self, cell: Cell) -> Cell:
        """The cell with everything filled in that its result depends on.

        Raises:
            ValueError: If a name or an option does not exist.
            DataError: If its data, weights or a user's file cannot be had, or do not fit.
        """
        cell = spell(cell)
        data, weights = self.library.resolve(cell.data), self.weights(cell)
        path = split_path(cell.weights)[1]
        resolved = replace(
            cell,
            model=str(_without_default_freeze(read_network(cell.model), weights)),
            weights=f"{weights.name}:{path}" if path else weights.name,
            weights_digest=weights.digest,
            **self._epochs(cell, data),
            precision=resolve_precision(cell.recipe.precision),
        ).model_copy(update={"data": data})
        beside = resolved.recipe.beside
        if beside == resolved.recipe.average != "none" and resolved.recipe.keep == "last":
            raise ValueError(
                f"beside {beside}: is what is scored already; leave it out, or pass --average none"
            )
        return resolved.model_copy(update={"absent": resolved.empty})

    def _epochs(self, cell: Cell, data: Source) -> dict[str, int]:
        """As many as make the steps that are asked for."""
        if not cell.recipe.steps:
            return {}
        rows = self.library.shown_rows(data, cell.size, cell.long_side)
        per_epoch = math.ceil(len(rows.train) / cell.recipe.batch)
        return {"max_epochs": math.ceil(cell.recipe.steps / per_epoch), "steps": 0}

    def check(self, cell: Cell) -> None:
        """Open what a resolved cell needs, and try a foreign network.

        Raises:
            DataError: If something cannot be had, or does not fit.
        """
        dataset = self.library.dataset(cell.data)
        self.library.split(cell.data)
        num_classes = self.library.arrays(cell.data, cell.size).masks.shape[1]
        if dataset.has_void and (own := parse_loss(cell.loss).own):
            raise ValueError(
                f"{own[0]} is a function of logits and target alone, and some pixels of these "
                "masks are void: compare losses of the table, or leave out --ignore"
            )
        network = read_network(cell.model)
        if is_foreign(network) and (cell.model, cell.size) not in self._checked:
            name = network.name if network.digest else str(network)
            check_network(self.network(cell), name, cell.size, num_classes)
            self._checked.add((cell.model, cell.size))
        rate_factor(read_schedule(cell.recipe.schedule), 0.0, cell.recipe.max_epochs)
        for average in (cell.recipe.average, cell.recipe.beside):
            average_share(read_average(average), 1, cell.recipe.max_epochs)
        image = torch.zeros(3, cell.size, cell.size, dtype=torch.uint8)
        mask = torch.zeros(num_classes, cell.size, cell.size, dtype=torch.bool)
        augment(read_augmentation(cell.recipe.augment), image, mask, cell.stream, 0, 0)


def spell(cell: Cell) -> Cell:
    """The cell with each of its names in the one spelling that it has; opens no data.

    Raises:
        ValueError: If a name or an option does not exist.
        DataError: If a user's file cannot be had.
    """
    recipe = cell.recipe
    return replace(
        cell,
        model=str(read_network(cell.model)),
        loss=str(parse_loss(cell.loss)),
        optimizer=str(read_optimizer(recipe.optimizer)),
        schedule=str(read_schedule(recipe.schedule)),
        average=str(read_average(recipe.average)),
        beside=str(read_average(recipe.beside)),
        augment=str(read_augmentation(recipe.augment)),
    )


def _without_default_freeze(network: Spelled, weights: Weights) -> Spelled:
    """What "auto" would do anyway is not spelled: it is the same network."""
    known = {} if network.digest else spelling.options_of(network.function(NETWORKS), OF_THE_CELL)
    if "freeze" not in known or known["freeze"].default != "auto":
        return network
    options = tuple(
        (name, value)
        for name, value in network.options
        if name != "freeze" or (value != "none") != bool(weights.state)
    )
    return dataclasses.replace(network, options=options)


def _encoder(network: Network, fabric: Fabric) -> Callable[[ImageBatch], Features]:
    """The frozen layers as a training step runs them, where no cache can serve."""

    @torch.no_grad()
    def encode(image: ImageBatch) -> Features:
        with fabric.autocast():
            return network.features(image)

    return encode


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
