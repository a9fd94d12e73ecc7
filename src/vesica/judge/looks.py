"""How often a run whose seeds grow was looked at: what its next interval must know.

Kept beside the run's results, as results are written anew and looks are not to be forgotten.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from vesica.errors import DataError
from vesica.files import is_there
from vesica.plan import Cell
from vesica.results import (
    Comparison,
    GroupFindings,
    Model,
    read_findings,
    read_model,
    write_model,
)
from vesica.spelling import shown
from vesica.statistics import MIN_SEEDS

LOOKS = "looks.json"


class Look(Model):
    """The looks at two losses of a setting: the numbers of seeds, in order."""

    setting: str
    baseline: str
    challenger: str
    num_seeds: tuple[int, ...] = Field(max_length=10_000)

    @classmethod
    def of(cls, setting: str, baseline: str, challenger: str, num_seeds: tuple[int, ...]) -> "Look":
        """With such fields."""
        return cls(setting=setting, baseline=baseline, challenger=challenger, num_seeds=num_seeds)

    @property
    def place(self) -> tuple[str, frozenset[str]]:
        """Of a setting, the two losses; which of them is the baseline makes no other look."""
        return self.setting, frozenset((self.baseline, self.challenger))


class Looks(Model):
    """`looks.json`: every look at a run so far.

    Attributes:
        margin: Fixed at the first; None before.
    """

    margin: float | None = Field(None, ge=0, le=1)
    pairs: tuple[Look, ...] = Field((), max_length=10_000)

    def before(self, setting: str, baseline: str, challenger: str) -> tuple[int, ...]:
        """The numbers of seeds with which two losses were looked at, in either order."""
        place = setting, frozenset((baseline, challenger))
        return next((pair.num_seeds for pair in self.pairs if pair.place == place), ())

    def fix_margin(self, run: Path, margin: float) -> float:
        """The margin, which no look after the first may change.

        Raises:
            DataError: If it is another one.
        """
        if self.margin is not None and abs(self.margin - margin) > 1e-12:
            raise DataError(
                f"{run}: was looked at with a margin of {100 * self.margin:g} points, which is "
                f"fixed since then; leave out --margin {100 * margin:g}, or begin another run"
            )
        return margin

    def after(self, groups: Sequence[GroupFindings], margin: float) -> "Looks":
        """With the looks that were just taken."""
        seen = {pair.place: pair for pair in self.pairs}
        for group in groups:
            for pair in group.comparisons:
                if isinstance(pair, Comparison) and pair.num_seeds >= MIN_SEEDS:
                    names = group.label, pair.baseline, pair.challenger
                    numbers = dict.fromkeys((*self.before(*names), pair.num_seeds))
                    look = Look.of(*names, tuple(numbers))
                    seen[look.place] = look
        return Looks(margin=margin if seen else None, pairs=tuple(seen.values()))


def read_looks(run: Path) -> Looks:
    """The looks at a run; none where it was not looked at. Where their own file is gone, what the
    results say of them: a look that is forgotten would make the next interval too narrow.

    Raises:
        DataError: If a file is damaged.
    """
    if is_there(run / LOOKS):
        return read_model(run / LOOKS, Looks)
    findings = read_findings(run)
    pairs = [
        Look.of(group.label, c.baseline, c.challenger, c.looks)
        for group in (findings.groups if findings else ())
        for c in group.comparisons
        if isinstance(c, Comparison) and c.looks and c.num_seeds >= MIN_SEEDS
    ]
    return Looks(margin=findings.margin if findings and pairs else None, pairs=tuple(pairs))


def write_looks(run: Path, looks: Looks) -> None:
    """Keep them with the run."""
    write_model(run / LOOKS, looks)


def check_looks(
    run: Path, known: Sequence[Cell], cells: Sequence[Cell], margin: float | None = None
) -> None:
    """Refuse what is fixed once a run was looked at: its intervals hold together for the pairs of
    losses that there were, and its verdicts are about one margin.

    Raises:
        DataError: If there are other losses, or the margin is another one.
    """
    if not known:
        return
    looks = read_looks(run)
    if margin is not None:
        looks.fix_margin(run, margin)
    new = {cell.loss for cell in cells} - {cell.loss for cell in known}
    if new and looks.pairs:
        raise DataError(
            f"{run}: was looked at already, and its losses are fixed since then; pass another "
            f"--out to compare {', '.join(sorted(map(shown, new)))}, too"
        )
