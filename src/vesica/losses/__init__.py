"""Every loss by its name, and the spelling `[weight]name[:key=value]...[+...]`."""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from vesica.losses.pixel import bce_loss
from vesica.losses.region import dice_loss, iou_loss, tversky_loss
from vesica.shapes import Logits, PerImage, Target

LossFunction = Callable[..., PerImage]

LOSSES: dict[str, LossFunction] = {
    "bce": bce_loss,
    "iou": iou_loss,
    "dice": dice_loss,
    "tversky": tversky_loss,
}

_TERM = re.compile(
    r"(?P<weight>\d*\.?\d+(?:e-?\d+)?)?(?P<name>[a-z][a-z_0-9]*)(?P<params>(?::.*)?)"
)


@dataclass(frozen=True, order=True)
class Term:
    """One named loss with those parameters that differ from their defaults, and its weight."""

    name: str
    params: tuple[tuple[str, float], ...] = ()
    weight: float = 1.0

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else _spell(self.weight)
        return weight + self.name + "".join(f":{key}={_spell(value)}" for key, value in self.params)


@dataclass(frozen=True)
class Loss:
    """A weighted sum of losses as frozen data; `str` gives its one canonical spelling."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.terms))

    def __call__(self, logits: Logits, target: Target) -> PerImage:
        """Value per image, shape (batch,)."""
        first, *others = (
            term.weight * LOSSES[term.name](logits, target, **dict(term.params))
            for term in self.terms
        )
        return sum(others, start=first)


def parse_loss(spelling: str) -> Loss:
    """Read a loss from its spelling, e.g. `iou`, `0.3bce+0.7iou` or `tversky:alpha=0.3`.

    Raises:
        ValueError: If a name or key is unknown (the message lists those that exist), a number
            cannot be read, or a weight is not above zero.
    """
    terms = sorted(_parse_term(part.strip(), spelling) for part in spelling.split("+"))
    named = [(term.name, term.params) for term in terms]
    if len(set(named)) < len(named):
        raise ValueError(f"loss {spelling!r} has the same term twice; give it one weight instead")
    return Loss(tuple(terms))


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
    return Term(name, _parse_params(name, match["params"]), weight)


def _parse_params(name: str, text: str) -> tuple[tuple[str, float], ...]:
    defaults = {
        parameter.name: parameter.default
        for parameter in inspect.signature(LOSSES[name]).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    params: dict[str, float] = {}
    for pair in text.split(":")[1:]:
        key, _, value = pair.partition("=")
        if key not in defaults:
            known = ", ".join(defaults) or "none"
            raise ValueError(f"loss {name!r} has no parameter {key!r}; it has: {known}")
        if key in params:
            raise ValueError(f"loss {name!r} is given {key!r} twice; give it once")
        params[key] = _number(name, key, value)
    return tuple(sorted((k, v) for k, v in params.items() if v != defaults[k]))


def _spell(number: float) -> str:
    """The shortest spelling that reads back as the same number, without a plus sign."""
    return repr(float(number)).removesuffix(".0").replace("e+", "e")


def _number(name: str, key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{name}:{key}={value}: expected a number of at least 0")
    return number
