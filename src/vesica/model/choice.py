"""Which of a run's networks to use: those of the better loss that are best on validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vesica.errors import DataError
from vesica.files import quoted
from vesica.judge import Setting, read_settings
from vesica.results import Comparison, EndedCell, GroupFindings, read_findings, read_plan
from vesica.spelling import shown
from vesica.words import count_of


@dataclass(frozen=True)
class Asked:
    """What a user wants of a run; the rest is chosen.

    Attributes:
        loss: In its spelling.
        seed: Of the loss.
        cell: The first digits of a cell's key: this cell and no other.
        average: Whether all seeds' probabilities are averaged.
    """

    loss: str | None = None
    seed: int | None = None
    cell: str | None = None
    average: bool = False

    def __post_init__(self) -> None:
        if self.cell is not None and (self.loss, self.seed, self.average) != (None, None, False):
            raise ValueError("--cell names one network: leave out --loss, --seed and --average")
        if self.average and self.seed is not None:
            raise ValueError("--average takes all seeds: leave out --seed")


@dataclass(frozen=True)
class Choice:
    """The runs whose networks are averaged, and why these, in a sentence.

    Attributes:
        peers: All runs of the loss that have learned something.
    """

    members: tuple[EndedCell, ...]
    why: str
    peers: tuple[EndedCell, ...] = ()


def choose(run: Path, asked: Asked) -> Choice:
    """Choose among a run's networks.

    Raises:
        DataError: If the folder is no run, or has no such network yet.
    """
    settings = read_settings(run, read_plan(run).cells)
    if asked.cell is not None:
        return _named(run, settings, asked.cell)
    settings = [s for s in settings if any(found.result.has_scores for found in s.ended.values())]
    if not settings:
        raise DataError(
            f"{run}: no cell of this run has scores yet; go on with: vesica run {quoted(run)}"
        )
    if len(settings) > 1:
        labels = "; ".join(shown(setting.label) for setting in settings[:5])
        raise DataError(
            f"{run}: {len(settings)} settings ({labels}), none of which is the one to use; pass "
            f"--cell KEY of the one that you want: vesica status {quoted(run)} lists them"
        )
    setting = settings[0]
    loss, why = (
        (_spelled(run, setting, asked.loss), "as asked")
        if asked.loss
        else _better(setting, _group(run, setting))
    )
    seeds = _seeds(run, setting, loss, asked)
    members = tuple(found for seed in seeds for found in setting.runs_of(loss, seed))
    which = f"{count_of(len(seeds), 'seed')} averaged" if asked.average else f"seed {seeds[0]}"
    if not asked.average and asked.seed is None:
        which += ", the best on validation"
    if len(setting.folds) > 1:
        which += f", the average of the networks of {len(setting.folds)} folds"
    if num_waiting := _num_waiting(setting, loss):  # one of these might be the better one
        which += f"; without {count_of(num_waiting, 'run')} of it still to train"
    trained = setting.trained_seeds_of(loss)
    peers = tuple(found for seed in trained for found in setting.runs_of(loss, seed))
    return Choice(members, f"{shown(loss)}, {why}; {which}.", peers)


def _named(run: Path, settings: Sequence[Setting], key: str) -> Choice:
    cells = [found for setting in settings for found in setting.ended.values()]
    matching = [found for found in cells if found.folder.name.startswith(key)]
    if len(matching) != 1 or not key:
        problem = f"{len(matching)} cells with a result begin" if key else "no key"
        raise DataError(
            f"--cell {key}: {problem} so; vesica status {quoted(run)} lists the keys of its cells"
        )
    (found,) = matching
    if not found.result.has_scores:
        raise DataError(f"--cell {key}: this cell failed ({found.result.reason}); name another")
    name = f"{found.cell.loss_name}, seed {found.cell.seed}"
    fold = "" if found.cell.data.fold is None else f", fold {found.cell.data.fold}"
    return Choice((found,), f"{name}{fold}, as asked.")


def _group(run: Path, setting: Setting) -> GroupFindings | None:
    findings = read_findings(run)
    groups = findings.groups if findings else ()
    return next((group for group in groups if group.label == setting.label), None)


def _better(setting: Setting, group: GroupFindings | None) -> tuple[str, str]:
    """The loss that no other is better than, by the verdicts; else the baseline. And why."""
    pairs = [c for c in group.comparisons if isinstance(c, Comparison)] if group else []
    chosen = baseline = setting.losses[0]
    beaten: list[str] = []
    while chosen not in beaten:
        gains = {new: gain for new, old, gain in map(_winner, pairs) if old == chosen}
        beaten.append(chosen)
        chosen = max(gains, key=gains.__getitem__, default=chosen)
    if chosen != baseline:
        worse = [old for new, old, _ in map(_winner, pairs) if new == chosen and old is not None]
        return chosen, f"better than {' and '.join(map(shown, worse))} by the verdict"
    if len(setting.losses) == 1:
        return baseline, "the only loss"
    if not pairs:
        return baseline, "the baseline, as there is no verdict yet"
    if {c.verdict for c in pairs if c.baseline == baseline} == {"worse"}:
        return baseline, "better than the other losses by the verdict"
    return baseline, "the baseline, as no other loss is shown to be better"


def _winner(pair: Comparison) -> tuple[str, str | None, float]:
    """The better loss, the worse one, and by how much; no worse one where that is not clear."""
    if pair.verdict == "better":
        return pair.challenger, pair.baseline, pair.mean
    if pair.verdict == "worse":
        return pair.baseline, pair.challenger, -pair.mean
    return pair.baseline, None, 0.0


def _spelled(run: Path, setting: Setting, loss: str) -> str:
    for known in setting.losses:
        if loss in (known, shown(known)):
            return known
    raise DataError(f"--loss {loss}: not in {run}; it has: {', '.join(map(shown, setting.losses))}")


def _seeds(run: Path, setting: Setting, loss: str, asked: Asked) -> Sequence[int]:
    """Those to use, of the ones that have learned something in every fold."""
    trained = setting.trained_seeds_of(loss)
    if not trained:
        num_waiting = _num_waiting(setting, loss)
        reason = (
            f"{count_of(num_waiting, 'cell')} of it still to train: vesica run {quoted(run)}"
            if num_waiting
            else "all its runs failed, or are no better than a constant mask; pass another --loss"
        )
        raise DataError(f"{run}: no seed of {shown(loss)} can be used: {reason}")
    if asked.average:
        return trained
    if asked.seed is not None:
        if asked.seed not in trained:
            raise DataError(
                f"--seed {asked.seed}: no network of {shown(loss)} that has learned something; "
                f"seeds that have: {', '.join(map(str, trained))}"
            )
        return (asked.seed,)
    return (max(trained, key=lambda seed: _validation(setting.runs_of(loss, seed))),)


def _num_waiting(setting: Setting, loss: str) -> int:
    return sum(cell.loss == loss for cell in setting.waiting)


def _validation(runs: Sequence[EndedCell]) -> float:
    return float(np.mean([found.result.val_iou_per_image or 0.0 for found in runs]))
