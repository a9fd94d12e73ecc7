"""Every network by its name, and how one is built, with which weights, from which seed."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from vesica import spelling
from vesica.errors import DataError
from vesica.networks.fcn import FCN, bfcn, fcresnet
from vesica.networks.protocol import Network, Whole, let_norms_rest
from vesica.networks.segnet import segnet
from vesica.networks.smp import ARCHITECTURES, load_smp, smp_network
from vesica.networks.unet import unet
from vesica.networks.weights import WEIGHTS, Pretrained, Weights
from vesica.spelling import Spelled, split_path

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "bfcn32s": partial(bfcn, 32),
    "bfcn16s": partial(bfcn, 16),
    "bfcn8s": partial(bfcn, 8),
    "fcresnet": partial(fcresnet, 32),
    "fcresnet16s": partial(fcresnet, 16),
    "fcresnet8s": partial(fcresnet, 8),
    "segnet": segnet,
    "unet": unet,
    **{f"smp:{name}": partial(smp_network, name, encoder=e) for name, e in ARCHITECTURES.items()},
}

FITTING: dict[str, Mapping[str, Pretrained]] = {
    **dict.fromkeys(["bfcn32s", "bfcn16s", "bfcn8s", "segnet"], WEIGHTS["vgg16"]),
    **dict.fromkeys(["fcresnet", "fcresnet16s", "fcresnet8s"], WEIGHTS["resnet50"]),
    "unet": WEIGHTS["lite0"],
    **{
        f"smp:{name}": {"smp": Pretrained(partial(load_smp, name, encoder=encoder))}
        for name, encoder in ARCHITECTURES.items()
    },
}
"""The weights that fit a network, by its name and theirs; it starts from the first unless told."""

OF_THE_CELL = ("weights", "classes")
"""Parameters that a network's name does not spell."""

__all__ = [
    "FCN",
    "FITTING",
    "NETWORKS",
    "Network",
    "Weights",
    "Whole",
    "build_network",
    "check_network",
    "check_weights",
    "default_weights",
    "is_foreign",
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
    return next(iter(FITTING.get(name, {})), "none")


def is_foreign(network: Spelled) -> bool:
    """Whether it is a user's own or another library's.

    Such a one is tried on an image before it trains, and what its frozen layers compute depends on
    its options too.
    """
    return bool(network.digest) or network.name.startswith("smp:")


def check_weights(text: str) -> None:
    """Refuse what is neither `none`, `NAME` nor `NAME:PATH`, whether they can be had or not.

    Raises:
        DataError: With the names that there are.
    """
    name, path = split_path(text)
    known = dict.fromkeys(known for fitting in FITTING.values() for known in fitting)
    if name not in known and (name != "none" or path is not None):
        listed = ", ".join(["none", *known])
        raise DataError(f"unknown weights {text!r}; there are: {listed} (NAME or NAME:PATH)")


def load_weights(text: str, network: Spelled | str) -> Weights:
    """Read `none`, `NAME` or `NAME:PATH` for a network.

    Raises:
        DataError: If the weights do not exist for that network or cannot be read.
    """
    network = read_network(network) if isinstance(network, str) else network
    name, path = split_path(text)
    if name == "none" and path is None:
        return Weights("none")
    check_weights(text)
    fitting = FITTING.get(network.name, {})
    if name not in fitting:
        listed = ", ".join(["none", *fitting])
        raise DataError(f"weights {name!r} do not fit {network.name}; use one of: {listed}")
    encoder = {key: value for key, value in network.options if key == "encoder"}
    return Weights(name, fitting[name].load(path, **encoder), fitting[name].normalise)


def build_network(
    network: Spelled | str, weights: Weights, seed: int, num_classes: int = 1
) -> Network:
    """A network with its pretrained encoder and fresh everything else; same seed, same tensors.

    A function of the user's own draws and loads its tensors itself; nothing is drawn over.

    Raises:
        DataError: If the weights do not fit, or a user's function fails or gives no module.
    """
    network = read_network(network) if isinstance(network, str) else network
    is_known = network.name in NETWORKS
    given = {"weights": weights, "classes": num_classes} if is_known else {}
    if weights.state and not is_known:
        raise DataError(f"{network.name}: takes no --weights; load them in the function")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = network.call(NETWORKS, **given)
    if not isinstance(made, nn.Module):
        raise DataError(f"{network.name}: gives {type(made).__name__}, expected a torch.nn.Module")
    built = made if isinstance(made, Network) else Whole(made)
    let_norms_rest(built)
    built.freeze()
    return built


def check_network(network: Network, name: str, size_px: int, num_classes: int) -> None:
    """Try a foreign network on one image.

    Raises:
        DataError: If it fails, or its logits have another shape than (1, classes, height, width).
    """
    shape = (1, num_classes, size_px, size_px)
    image = torch.zeros(1, 3, size_px, size_px)
    try:
        with torch.inference_mode():
            logits = network.eval()(image)
    except (Exception, SystemExit) as error:
        mend = (
            "pass another encoder, or" if name.startswith("smp:") else "mend the network, or pass"
        )
        raise DataError(
            f"{name}: fails on an image of {size_px}x{size_px} pixels "
            f"({spelling.own.say_error(error)}); {mend} another --size"
        ) from None
    found = tuple(getattr(logits, "shape", ()))
    if found != shape:
        raise DataError(
            f"{name}: gives {found or type(logits).__name__} for an image of shape "
            f"{tuple(image.shape)}; expected logits of shape {shape}, a map for each class"
        )
