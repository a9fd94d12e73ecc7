"""What some plans are beyond a list of cells: in what they grow, and an analysis of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesica.plan import Axis, Cell
from vesica.plans import fairness, paper
from vesica.report.fairness import summarise_fairness
from vesica.report.replication import summarise_paper
from vesica.report.summary import Summary

Summarise = Callable[[Path, Sequence[Cell], float, dict[str, Any] | None], Summary]
"""From a run, its cells, the margin and what `compare_run` says (None while cells run)."""


@dataclass(frozen=True)
class Kind:
    """How a run of such a plan is treated.

    Attributes:
        grows_by: In what its folder may grow, apart from losses and seeds.
        summarise: Its analysis; None: verdicts and report say all.
        is_live: Written anew after every cell.
        shorter: Options for a first answer sooner.
    """

    grows_by: Sequence[Axis] = ()
    summarise: Summarise | None = None
    is_live: bool = False
    shorter: str = "--size 128 --width 512"


KINDS = {
    "": Kind(),
    "paper": Kind(paper.GROWS_BY, summarise_paper, is_live=True, shorter="--scale lite"),
    "fairness": Kind(fairness.GROWS_BY, summarise_fairness),
}
"""By the name that is kept in a run's `plan.json`."""
