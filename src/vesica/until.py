"""Seeds until the verdict is clear: which numbers of them are looked at, and when that ends."""

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from vesica.errors import DataError
from vesica.plan import Cell
from vesica.results import Comparison, Findings, GroupFindings
from vesica.run import Ready, Run
from vesica.statistics import LOOKS, MIN_UNITS
from vesica.words import count_of, say_about, say_time

MAX_SEEDS = LOOKS[-1]
HOURS = {"h": 1.0, "m": 1 / 60, "min": 1 / 60, "s": 1 / 3600}
DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) ?(h|min|m|s)", re.ASCII)


@dataclass
class Until:
    """The looks at a run that grows, one after another.

    Attributes:
        plan: From a number of seeds to the cells.
        numbers: Of seeds, from the smallest; one number is a plan with so many.
        budget_h: Hours that the training may take; None: no limit.
        cheaper: Told the hours of the first look and the budget, where it does not reach; may
            change what `plan` gives, and says whether it has.
        advice: Options that make it cheaper, in words; "" where there are none.
        why_ended: Filled in when it has ended before the verdict was clear.
    """

    plan: Callable[[int], list[Cell]]
    numbers: Sequence[int]
    budget_h: float | None = None
    cheaper: Callable[[float, float], bool] = lambda hours, budget_h: False
    advice: str = ""
    why_ended: str = field(default="", init=False)

    def over(self, run: Run, prepare: Callable[[list[Cell]], Ready]) -> Iterator[Ready]:
        """What to train before each look; between two of them the caller trains it and judges.

        What is settled gets no more seeds.

        Raises:
            DataError: If the budget does not reach for the first look.
        """
        started, has_trained = time.monotonic(), False
        seen: set[str] = set()
        for index, number in enumerate(self.numbers):
            ready = prepare(self.plan(number))
            budget_h = math.inf if self.budget_h is None or index else self.budget_h
            if ready.hours > budget_h and self.cheaper(ready.hours, budget_h):
                ready = prepare(self.plan(number))
            if index:
                ready = ready.without([g.setting for g in run.findings.groups if not is_open(g)])
            passed, hours = (time.monotonic() - started) / 3600, ready.hours
            new = {cell.key for cell in ready.cells} - seen
            if has_trained:  # what training really took says more than the estimate
                hours = passed / len(seen) * len(new)
            if self.budget_h is not None and passed + hours > self.budget_h:
                if not index:
                    also = f", or {self.advice}" if self.advice else ""
                    raise DataError(
                        f"{count_of(number, 'seed')} take {say_about(hours)}, more than "
                        f"--budget {say_time(3600 * self.budget_h)}; pass a larger one{also}"
                    )
                self.why_ended = (
                    f"Ended at {count_of(self.numbers[index - 1], 'seed')}: {number} would take "
                    f"{say_about(hours)} more, which is beyond the budget."
                )
                return
            yield ready
            seen |= new
            has_trained |= ready.cost.hours > 0
            if not any(is_open(group) for group in run.findings.groups):
                return
        if len(self.numbers) > 1:
            self.why_ended = f"Ended at the most seeds allowed, {self.numbers[-1]}."


def looks_up_to(max_seeds: int) -> tuple[int, ...]:
    """The numbers of seeds that are looked at, the largest last."""
    return (*(number for number in LOOKS if number < max_seeds), max_seeds)


def is_open(group: GroupFindings) -> bool:
    """Whether more seeds can settle any comparison of a setting that is not settled yet."""
    return any(pair.verdict == "undecided" and _can_settle(pair) for pair in group.comparisons)


def _can_settle(pair: object) -> bool:
    if not isinstance(pair, Comparison):
        return True
    is_final = pair.limit is not None and pair.limit.is_final
    has_enough = pair.num_units >= MIN_UNITS
    return has_enough and not is_final and not pair.reason.startswith("by the threshold")


def say_likely(findings: Findings) -> str:
    """How many seeds will probably settle what is open; "" where that is not known."""
    pairs = [pair for group in findings.groups for pair in group.comparisons]
    still = [pair for pair in pairs if pair.verdict == "undecided" and _can_settle(pair)]
    found = [pair.likely_seeds if isinstance(pair, Comparison) else None for pair in still]
    known = [number for number in found if number is not None]
    return (
        f"Probably settled with {max(known)} seeds." if known and len(known) == len(found) else ""
    )


def read_duration(text: str) -> float:
    """Hours of `2h`, `90m` or `30s`.

    Raises:
        ValueError: If it is no such text.
    """
    found = DURATION.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise ValueError(f"--budget {text[:40]!r}: expected a time such as 2h, 90m or 30s")
    return float(found[1]) * HOURS[found[2]]
