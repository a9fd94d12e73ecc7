"""Every network by its name, and how one is built, with which weights, from which seed."""

from collections.abc import Callable

import torch
from torch import nn

from vesica import spelling
from vesica.errors import DataError
from vesica.networks.fcn import FCN, bfcn32s, fcresnet
from vesica.networks.protocol import Network, Whole
from vesica.networks.unet import unet
from vesica.networks.weights import WEIGHTS, Weights, load_weights
from vesica.spelling import Spelled

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "bfcn32s": bfcn32s,
    "fcresnet": fcresnet,
    "unet": unet,
}

OF_THE_CELL = ("weights",)
"""Parameters that a network's name does not spell."""

__all__ = [
    "FCN",
    "NETWORKS",
    "Network",
    "Weights",
    "Whole",
    "build_network",
    "check_network",
    "default_weights",
    "load_weights",
    "read_network",
]


def read_network(text: str) -> Spelled:
    """Read a network's name and options.

    Raises:
        ValueError: If there is no such network or option; the message lists those that exist.
    """
    return spelling.read(text, NETWORKS, "model", common=OF_THE_CELL)


def default_weights(name: str) -> str:
    """What a network starts from unless it is said; "none" where it has no pretrained weights."""
    return next((weights for weights, by_network in WEIGHTS.items() if name in by_network), "none")


def build_network(network: Spelled | str, weights: Weights, seed: int) -> Network:
    """A network with its pretrained encoder and fresh everything else; same seed, same tensors.

    A function of the user's own draws and loads its tensors itself; nothing is drawn over.

    Raises:
        DataError: If the weights do not fit, or a user's function fails or gives no module.
    """
    network = read_network(network) if isinstance(network, str) else network
    given = {"weights": weights} if network.name in NETWORKS else {}
    if weights.state and not given:
        raise DataError(f"{network.name}: takes no --weights; load them in the function")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = network.call(NETWORKS, **given)
    if not isinstance(made, nn.Module):
        raise DataError(f"{network.name}: gives {type(made).__name__}, expected a torch.nn.Module")
    built = made if isinstance(made, Network) else Whole(made)
    built.freeze()
    return built


def check_network(network: Network, name: str, size_px: int, num_classes: int) -> None:
    """Try a network of the user's own on one image.

    Raises:
        DataError: If it fails, or its logits have another shape than (1, classes, height, width).
    """
    shape = (1, num_classes, size_px, size_px)
    image = torch.zeros(1, 3, size_px, size_px)
    try:
        with torch.inference_mode():
            logits = network.eval()(image)
    except (Exception, SystemExit) as error:
        raise DataError(
            f"{name}: fails on an image of {size_px}x{size_px} pixels "
            f"({spelling.own.say_error(error)}); mend the network, or pass another --size"
        ) from None
    found = tuple(getattr(logits, "shape", ()))
    if found != shape:
        raise DataError(
            f"{name}: gives {found or type(logits).__name__} for an image of shape "
            f"{tuple(image.shape)}; expected logits of shape {shape}, a map for each class"
        )
