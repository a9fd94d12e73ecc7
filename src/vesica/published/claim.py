"""One judged sentence of the paper."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vesica.published.recomputed import figures
from vesica.published.tables import Metric, differences

Status = Literal["holds", "does not hold", "not testable"]

ALPHA = 0.05


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, judged.

    Attributes:
        section: Where it stands.
        quote: Its words.
        status: Whether the tables bear it out; "not testable" is what they cannot answer.
        figures: The numbers that decide.
    """

    section: str
    quote: str
    status: Status
    figures: str


def holds(is_so: bool) -> Status:
    """The status of what the tables can answer."""
    return "holds" if is_so else "does not hold"


def stated(what: str) -> tuple[Status, str]:
    """A number of the paper: whether the tables give it, and how."""
    (found,) = (figure for figure in figures() if figure.what == what)
    unit = f" {found.unit}" if found.unit else ""
    return holds(found.agrees), f"{found.value:.4g}{unit}: {found.how}."


def count_sides(metric: Metric) -> str:
    """In how many set-ups IoU loss gives more."""
    chosen = differences(metric)
    return f"{np.sum(chosen > 0)} higher, {np.sum(chosen < 0)} lower, {np.sum(chosen == 0)} level"
