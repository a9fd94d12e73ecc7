"""Every network by its name, and how one is built, with which weights, from which seed."""

from collections.abc import Callable

import torch

from vesica.errors import DataError
from vesica.networks.fcn import (
    FCN,
    Normalise,
    bfcn32s,
    fcresnet,
    initialise,
    initialise_output,
)
from vesica.networks.weights import Weights, load_weights

MODELS: dict[str, Callable[..., FCN]] = {
    "bfcn32s": bfcn32s,
    "fcresnet": fcresnet,
}

__all__ = ["FCN", "MODELS", "Weights", "build_model", "load_weights"]


def build_model(
    name: str,
    weights: Weights,
    *,
    width: int = 4096,
    dropout: float = 0.0,
    freeze: bool = True,
    init: str = "fcn",
    seed: int = 0,
) -> FCN:
    """A network with its pretrained encoder and fresh everything else; same seed, same tensors.

    Raises:
        DataError: If the weights do not fit the encoder.
    """
    # The layers' own first draw is thrown away; the fork keeps it off the global random state.
    with torch.random.fork_rng(devices=[]):
        model = MODELS[name](width=width, dropout=dropout, freeze=freeze)
    initialise(model, init, torch.Generator().manual_seed(seed))
    if init == "fcn":
        initialise_output(model)
    model.normalise = Normalise(**weights.normalise)
    if weights.state:
        try:
            model.encoder.load_state_dict(weights.state)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise DataError(f"weights {weights.name!r} do not fit {name}: {first}") from None
    return model
