"""The losses on several networks: does what is found on one hold on another?"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vesica.networks import FITTING, NETWORKS, OF_THE_CELL, check_weights, read_network
from vesica.plan import Cell, replace, seeds_and_folds
from vesica.recipes import RECIPES, rate_of
from vesica.spelling import options_of, split_path

COMPARED = ("bfcn32s", "bfcn16s", "bfcn8s", "segnet", "fcresnet", "unet")
LOSSES = ("bce", "iou")


def architectures(
    bases: Iterable[Cell],
    *,
    networks: Sequence[str] = COMPARED,
    losses: Sequence[str] = LOSSES,
    seeds: int = 3,
    weights: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    has_rate: bool = False,
) -> list[Cell]:
    """Every loss with every network on every data set; all else is the same for all networks.

    Args:
        bases: A cell of each data set.
        networks: By their names, with options or without.
        losses: In their spellings; the first is the baseline.
        seeds: Runs of each.
        weights: Each network starts from the first of them that fit it, else from none; where there
            are none at all, from its default.
        options: Of those networks that have such.
        has_rate: The optimiser of the cells is to be kept; else each network has its own rate.

    Raises:
        ValueError: If there is no such network, or weights or an option fit none.
        DataError: If there are no weights of such a name.
    """
    check_networks(networks, weights, options or {})
    return [
        cell
        for base in bases
        for network in networks
        for cell in seeds_and_folds(
            replace(
                base,
                model=network,
                weights=weights_of(network, weights),
                **_options_of(network, options or {}),
                **({} if has_rate else _rate_of(network, (options or {}).get("freeze"))),
            ),
            seeds,
            losses,
        )
    ]


def check_networks(
    networks: Sequence[str], weights: Sequence[str], options: Iterable[str] = ()
) -> None:
    """Refuse names that do not exist, and what no network has a use for; opens no data.

    Raises:
        ValueError: If there is no such network, or weights or an option fit none.
        DataError: If there are no weights of such a name.
    """
    for text in weights:
        check_weights(text)
    fitting = {name for network in networks for name in FITTING.get(read_network(network).name, {})}
    for text in weights:
        if split_path(text)[0] not in {"none", *fitting}:
            raise ValueError(f"weights {text} fit none of {', '.join(networks)}; leave them out")
    for name in options:
        if not any(_options_of(network, {name: None}) for network in networks):
            raise ValueError(f"{name}: none of {', '.join(networks)} has it; leave it out")


def weights_of(network: str, wanted: Sequence[str]) -> str:
    """The first weights that fit a network; "none" where none does."""
    if not wanted:
        return "default"
    fitting = FITTING.get(read_network(network).name, {})
    return next((text for text in wanted if split_path(text)[0] in fitting), "none")


def _options_of(network: str, options: Mapping[str, Any]) -> dict[str, Any]:
    spelled = read_network(network)
    known = options_of(spelled.function(NETWORKS), OF_THE_CELL)
    return {name: value for name, value in options.items() if name in known}


def _rate_of(network: str, freeze: str | None) -> dict[str, Any]:
    rate = rate_of(network, freeze)
    return {"optimizer": RECIPES["modern"]["optimizer"]} | ({} if rate is None else {"lr": rate})
