"""A model in one safetensors file: every tensor of every member, and its traits as metadata."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vesica import spelling
from vesica.errors import DataError
from vesica.features import is_frozen
from vesica.files import replacing
from vesica.model.network import NetworkModel
from vesica.model.seal import check_seal, seal
from vesica.model.traits import Traits, read_traits
from vesica.networks import (
    NETWORKS,
    OF_THE_CELL,
    Network,
    Weights,
    build_network,
    read_network,
)
from vesica.networks.weights import check_tensor

State = dict[str, Tensor]


def write_whole(target: Path, model: NetworkModel) -> None:
    """Write a model that needs no run and no pretrained weights.

    Raises:
        DataError: If its network is a function of the user's own, or the disk is full.
    """
    if spelling.is_own(model.traits.network):
        raise DataError(
            f"{spelling.shown(model.traits.network)}: a network of your own cannot be built from a "
            "file of tensors alone; pass --format onnx, which holds what it computes"
        )
    tensors = {name: tensor.cpu() for name, tensor in _join(model.members)}
    num_bytes = sum(tensor.nbytes for tensor in tensors.values())
    with replacing(target, num_bytes, has_sum=False) as path:
        save_file(tensors, path, model.traits.to_metadata())
        seal(path)


def read_whole(path: Path) -> NetworkModel:
    """Read what `write_whole` wrote.

    Raises:
        DataError: If it is damaged, of another kind, or its tensors do not fit its network.
    """
    check_seal(path)
    try:
        with safe_open(path, framework="pt") as file:
            traits = read_traits(file.metadata(), str(path))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path}: not a whole safetensors file ({error}); copy or export it again"
        ) from None
    try:
        if spelling.is_own(traits.network):
            raise ValueError("names a file of code")
        states = [_state_of(tensors, member) for member in range(traits.num_members)]
        with torch.device("meta"):  # what a name asks for may be larger than the file
            _check_shapes(_build(traits), states, path)
        members = [_restore(traits, state) for state in states]
    except DataError:
        raise
    except (ValueError, RuntimeError) as error:
        raise DataError(
            f"{path}: its tensors do not fit its network {traits.network[:60]} "
            f"({' '.join(str(error).split())[:200]}); export the model again"
        ) from None
    return NetworkModel(members, traits)


def frozen_as_built(name: str, network: Network) -> str:
    """A network's spelling, with what it freezes said: without pretrained weights, that which is
    frozen "auto" would train, and could not be shared by several members."""
    spelled = read_network(name)
    if spelled.digest or not is_frozen(network):
        return name
    known = spelling.options_of(spelled.function(NETWORKS), OF_THE_CELL)
    if "freeze" not in known or spelling.get_option(name, "freeze"):
        return name
    kinds = known["freeze"].annotation
    values = get_args(kinds) if get_origin(kinds) is Literal else ()
    (value,) = (value for value in values if value not in ("auto", "none"))
    return spelling.set_option(name, "freeze", value)


def _join(members: Sequence[Network]) -> Iterator[tuple[str, Tensor]]:
    """Tensors by member; those that are the first one's are not repeated."""
    first = members[0].state_dict()
    for member, network in enumerate(members):
        for name, tensor in network.state_dict().items():
            if member == 0 or not torch.equal(tensor, first[name]):
                yield f"{member}.{name}", tensor.contiguous()


def _state_of(tensors: Mapping[str, Tensor], member: int) -> State:
    def own(number: int) -> State:
        prefix = f"{number}."
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    return own(0) | own(member)


def _check_shapes(network: Network, states: Sequence[State], path: Path) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for state in states:
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if found != wanted:
            names = sorted(found.items() ^ wanted.items())
            raise ValueError(f"{names[0][0]} is missing, too much or of another shape")
        for name, tensor in state.items():
            if tensor.is_floating_point():
                check_tensor(path, name, tensor)


def _build(traits: Traits) -> Network:
    return build_network(traits.network, Weights("none"), 0, len(traits.classes))


def _restore(traits: Traits, state: State) -> Network:
    network = _build(traits)
    network.load_state_dict(state)
    network.eval()
    return network
