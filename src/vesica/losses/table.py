"""Every loss by its name, and the spelling `[weight]name[:key=value]...[+...]`."""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from vesica.losses.pixel import bce_loss, focal_loss
from vesica.losses.pooling import weights_of
from vesica.losses.ranking import lovasz_hinge_loss
from vesica.losses.region import (
    dice_loss,
    iou_loss,
    jaccard_distance_loss,
    jaccard_metric_loss,
    tversky_loss,
)
from vesica.losses.rows import Empty, Pool
from vesica.shapes import Logits, PerImage, Target, Valid

LossFunction = Callable[..., PerImage]

LOSSES: dict[str, LossFunction] = {
    "bce": bce_loss,
    "focal": focal_loss,
    "iou": iou_loss,
    "jaccard_distance": jaccard_distance_loss,
    "dice": dice_loss,
    "tversky": tversky_loss,
    "jaccard_metric": jaccard_metric_loss,
    "lovasz_hinge": lovasz_hinge_loss,
}

COMMON = ("valid", "channels", "pool")
"""Arguments that every loss has: they say what it is taken over, and are no part of its name."""

_TERM = re.compile(
    r"(?P<weight>\d*\.?\d+(?:e-?\d+)?)?(?P<name>[a-z][a-z_0-9]*)(?P<params>(?::.*)?)"
)


@dataclass(frozen=True, order=True)
class Term:
    """One named loss with those parameters that differ from their defaults, and its weight."""

    name: str
    params: tuple[tuple[str, float | str], ...] = ()
    weight: float = 1.0

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else _spell(self.weight)
        return weight + self.name + "".join(f":{key}={_spell(value)}" for key, value in self.params)

    @property
    def empty(self) -> Empty | None:
        """Its policy for images without foreground; None where it needs none."""
        chosen: Empty | None = (parameters_of(self.name) | dict(self.params)).get("empty")
        return chosen


@dataclass(frozen=True)
class Loss:
    """A weighted sum of losses as frozen data; `str` gives its one canonical spelling."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.terms))

    def __call__(
        self,
        logits: Logits,
        target: Target,
        *,
        valid: Valid | None = None,
        channels: bool = False,
        pool: Pool = "image",
    ) -> PerImage:
        """Value per image, as each loss of the sum gives it."""
        return self.values(logits, target, valid=valid, channels=channels, pool=pool).sum(dim=0)

    def check(self) -> None:
        """Raise now what a term would raise at its first image: parameters that it refuses."""
        self(torch.zeros(1, 1), torch.zeros(1, 1))

    def values(self, logits: Logits, target: Target, **common: Any) -> Tensor:
        """Weighted value of each term, shape (terms, batch, ...)."""
        return torch.stack(
            [
                term.weight * LOSSES[term.name](logits, target, **dict(term.params), **common)
                for term in self.terms
            ]
        )

    def weights(
        self,
        target: Target,
        *,
        valid: Valid | None = None,
        channels: bool = False,
        pool: Pool = "image",
    ) -> Tensor | None:
        """What each of `values` counts in a mean, same shape; None where all of them count."""
        may_skip = valid is not None or any(term.empty == "skip" for term in self.terms)
        if not may_skip and pool != "world":  # where another process may have valid pixels
            return None
        return torch.stack(
            [
                weights_of(target, empty=term.empty, valid=valid, channels=channels, pool=pool)
                for term in self.terms
            ]
        )


def parse_loss(spelling: str) -> Loss:
    """Read a loss from its spelling, e.g. `iou`, `0.3bce+0.7iou` or `tversky:alpha=0.3`.

    Raises:
        ValueError: If a name or key is unknown (the message lists those that exist), a number
            cannot be read, a parameter is not allowed, or a weight is not above zero.
    """
    terms = sorted(_parse_term(part.strip(), spelling) for part in spelling.split("+"))
    named = [(term.name, term.params) for term in terms]
    if len(set(named)) < len(named):
        raise ValueError(f"loss {spelling!r} has the same term twice; give it one weight instead")
    loss = Loss(tuple(terms))
    loss.check()
    return loss


def _parse_term(text: str, spelling: str) -> Term:
    match = _TERM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"cannot read {text!r} in loss {spelling!r}; write [weight]name[:key=value]..., "
            f"joined by '+', with a name of: {', '.join(LOSSES)}"
        )
    name = match["name"]
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}; there are: {', '.join(LOSSES)}")
    weight = float(match["weight"] or 1)
    if not 0 < weight < math.inf:
        raise ValueError(f"the weight of {name!r} in loss {spelling!r} must be above zero, finite")
    return make_term(name, _parse_params(name, match["params"]), weight)


def parameters_of(name: str) -> dict[str, Any]:
    """A loss's own parameters and their defaults."""
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(LOSSES[name]).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in COMMON
    }


def make_term(name: str, params: dict[str, float | str], weight: float = 1.0) -> Term:
    """A term without those parameters that have their default value."""
    defaults = parameters_of(name)
    changed = {key: value for key, value in params.items() if value != defaults[key]}
    return Term(name, tuple(sorted(changed.items())), weight)


def _parse_params(name: str, text: str) -> dict[str, float | str]:
    defaults = parameters_of(name)
    params: dict[str, float | str] = {}
    for pair in text.split(":")[1:]:
        key, _, value = pair.partition("=")
        if key not in defaults:
            known = ", ".join(defaults) or "none"
            raise ValueError(f"loss {name!r} has no parameter {key!r}; it has: {known}")
        if key in params:
            raise ValueError(f"loss {name!r} is given {key!r} twice; give it once")
        params[key] = _choice(name, value) if key == "empty" else _number(name, key, value)
    return params


def _spell(value: float | str) -> str:
    """A word as it is; of a number the shortest spelling that reads back, without a plus sign."""
    if isinstance(value, str):
        return value
    return repr(float(value)).removesuffix(".0").replace("e+", "e")


def _choice(name: str, value: str) -> str:
    if value not in get_args(Empty):
        raise ValueError(f"{name}:empty={value}: expected one of: {', '.join(get_args(Empty))}")
    return value


def _number(name: str, key: str, value: str) -> float:
    """A finite number, of which the loss itself says whether it is allowed."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name}:{key}={value}: expected a number of at least 0")
    return number
