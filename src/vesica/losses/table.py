"""Every loss by its name, and the spelling `[weight]name[:key=value]...[+...]`."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Unpack, cast

import torch
from torch import Tensor

from vesica.losses.own import call_own
from vesica.losses.pixel import bce_loss, ce_loss, focal_loss, softmax_focal_loss
from vesica.losses.pooling import weights_of
from vesica.losses.ranking import lovasz_hinge_loss, lovasz_softmax_loss, topk_loss
from vesica.losses.region import (
    dice_loss,
    iou_loss,
    jaccard_distance_loss,
    jaccard_metric_loss,
    tversky_loss,
)
from vesica.losses.rows import MOST, Empty, Over
from vesica.shapes import Logits, PerImage, Target
from vesica.spelling import MAX_LENGTH, Spelled, name_of, options_of, read, spell

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
    "lovasz_softmax": lovasz_softmax_loss,
    "topk": topk_loss,
    "ce": ce_loss,
    "softmax_focal": softmax_focal_loss,
}

WEIGHT = re.compile(r"(\d{1,20}(\.\d{0,20})?|\.\d{1,20})(e-?\d{1,3})?", re.ASCII)
BEGIN = re.compile(r"[^\W\d]|[./~<]")
"""Of a name, or of a path; a digit would be more of the weight."""


@dataclass(frozen=True, order=True)
class Term:
    """A named loss, or a function of the user's own, with its options and its weight."""

    spelled: Spelled
    weight: float = 1.0

    def __str__(self) -> str:
        return ("" if self.weight == 1 else spell(self.weight)) + str(self.spelled)

    @property
    def empty(self) -> Empty | None:
        """Its policy for images without foreground; None where it needs none."""
        if self.spelled.digest:
            return None
        known = options_of(LOSSES[self.spelled.name])
        default = known["empty"].default if "empty" in known else None
        return cast(Empty | None, dict(self.spelled.options).get("empty", default))

    def __call__(self, logits: Logits, target: Target, **over: Unpack[Over]) -> PerImage:
        """Weighted value per image."""
        if self.spelled.digest:
            return self.weight * call_own(self.spelled, logits, target, **over)
        value: Tensor = self.spelled.call(LOSSES, logits, target, **over)
        return self.weight * value


@dataclass(frozen=True)
class Loss:
    """A weighted sum of losses as frozen data; `str` gives its one canonical spelling."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.terms))

    def __call__(self, logits: Logits, target: Target, **over: Unpack[Over]) -> PerImage:
        """Value per image, as each loss of the sum gives it."""
        return self.values(logits, target, **over).sum(dim=0)

    @property
    def own(self) -> tuple[str, ...]:
        """The terms that are functions of a user's own."""
        return tuple(term.spelled.name for term in self.terms if term.spelled.digest)

    def check(self) -> None:
        """Raise now what a term would raise at its first image: parameters that it refuses."""
        logits = torch.zeros(2, 8, 8, requires_grad=True)
        for term in self.terms:
            try:
                term(logits, torch.ones(2, 8, 8).triu())
            except ValueError as error:
                is_own = term.spelled.digest  # whose messages have its name
                raise error if is_own else ValueError(f"loss {term.spelled}: {error}") from None

    def values(self, logits: Logits, target: Target, **over: Unpack[Over]) -> Tensor:
        """Weighted value of each term, shape (terms, batch, ...)."""
        return torch.stack([term(logits, target, **over) for term in self.terms])

    def weights(self, target: Target, **over: Unpack[Over]) -> Tensor | None:
        """What each of `values` counts in a mean, same shape; None where all of them count."""
        may_skip = over.get("valid") is not None or any(t.empty == "skip" for t in self.terms)
        if not may_skip and over.get("pool") != "world":  # where another process may have pixels
            return None
        return torch.stack([weights_of(target, empty=term.empty, **over) for term in self.terms])


def as_loss(loss: Loss | LossFunction | str) -> Loss:
    """A loss, its spelling, or a function as a loss that has been checked.

    Raises:
        ValueError: As `parse_loss`.
    """
    if isinstance(loss, str):
        return parse_loss(loss)
    if not isinstance(loss, Loss):
        return parse_loss(name_of(loss, LOSSES))
    loss.check()
    return loss


def split_losses(text: str) -> list[str]:
    """Spellings of losses, separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_loss(spelling: str) -> Loss:
    """Read a loss from its spelling, e.g. `iou`, `0.3bce+0.7iou` or `tversky:alpha=0.3`.

    Raises:
        ValueError: If a name or key is unknown (the message lists those that exist), a number
            cannot be read, a parameter is not allowed, or a weight is not above zero.
    """
    if len(spelling) > MAX_LENGTH:
        raise ValueError(f"loss {spelling[:40]!r}...: {len(spelling):,} characters; shorten it")
    terms = tuple(sorted(_parse_terms(spelling)))
    if len({term.spelled for term in terms}) < len(terms):
        raise ValueError(f"loss {spelling!r} has the same term twice; give it one weight instead")
    loss = Loss(terms)
    loss.check()
    return loss


def _parse_terms(spelling: str) -> Iterator[Term]:
    for part in map(str.strip, spelling.split("+")):
        match = WEIGHT.match(part)
        name = part[match.end() :] if match else part
        if not BEGIN.match(name):
            raise ValueError(
                f"cannot read {part[:40]!r} in loss {spelling[:80]!r}; write "
                f"[weight]name[:key=value]..., joined by '+', with a name of: {', '.join(LOSSES)}"
            )
        weight = float(match[0]) if match else 1.0
        if not 0 < weight <= MOST:
            raise ValueError(
                f"the weight of {name!r} in loss {spelling!r} must be above zero, at most {MOST:g}"
            )
        spelled = read(name, LOSSES, "loss")
        if spelled.name[0] == "." or spelled.name[0].isdigit():
            raise ValueError(f"{spelled.name}: begin its name with a letter: digits are a weight")
        yield Term(spelled, weight)
