"""Two losses of one setting, judged: verdict, further tests, other decisions, and the sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica import statistics
from vesica.judge.histograms import DECISIONS, HALF, SOFT
from vesica.judge.scores import Place
from vesica.judge.sentences import say_failures
from vesica.judge.setting import Setting, difference_of, fold_of_units
from vesica.results import (
    Calibration,
    CellName,
    Comparison,
    Decision,
    EndedCell,
    FailedCell,
    Failures,
    Interval,
    Needs,
    SoftMeans,
    Unjudged,
)
from vesica.spelling import shown
from vesica.words import count_of

NOTHING_LEARNED = "no better than a constant mask on validation images, at any threshold"


def judge_pair(
    setting: Setting,
    losses: tuple[str, str],
    margin: float,
    num_pairs: int,
    earlier: Sequence[int] | None = None,
) -> Comparison | Unjudged:
    """The verdict on two losses, or why there is none.

    It is about runs that trained: a seed with which either loss has learned nothing, by validation
    images alone, is left out for both, and each loss's share of such runs stands beside it.

    Args:
        setting: Which has both.
        losses: Baseline and challenger.
        margin: Differences smaller than this do not matter, a fraction.
        num_pairs: Of the setting, whose intervals hold together.
        earlier: Where seeds are added until the verdict is clear, the numbers of them that were
            looked at before; None where their number was fixed.
    """
    ended = [found for loss in losses for found in setting.of(loss)]
    num_waiting = sum(cell.loss in losses for cell in setting.waiting)
    seeds, unpaired, dropped = _pair_seeds(setting, losses)
    failures = tuple(_count_failures(setting, loss) for loss in losses)
    reason = ""
    if num_waiting:
        reason = f"{count_of(num_waiting, 'run')} not finished"
    elif setting.scores is not None and not setting.scores.num_images:
        reason = "no test image has it"
    elif not seeds and dropped:
        reason = f"there is no seed with which both trained ({say_failures(failures)})"
    elif not seeds:
        reason = "no seed has both losses"
    elif setting.cells[0].data.classes and not _is_drawn(setting, losses, seeds):
        reason = "neither loss draws any of it, with any seed"
    head: dict[str, Any] = {
        "baseline": losses[0],
        "challenger": losses[1],
        "collapsed": tuple(
            CellName(loss=found.cell.loss, seed=found.cell.seed)
            for found in ended
            if found.result.status == "collapsed"
        ),
        "failed": tuple(
            FailedCell(loss=f.cell.loss, seed=f.cell.seed, reason=_why_failed(setting, f))
            for f in ended
            if _why_failed(setting, f)
        ),
        "failures": failures,
        "num_missing": num_waiting,
        "num_pairs": num_pairs,
    }
    if reason:
        return Unjudged(**head, reason=reason)
    # Bonferroni: with several losses, all intervals of a setting hold together.
    level = 1 - (1 - statistics.LEVEL) / num_pairs
    difference = difference_of((setting, losses[1]), (setting, losses[0]), seeds)
    fold = fold_of_units(setting)
    found = statistics.compare(difference, fold, margin=margin, level=level, earlier=earlier)
    judged = asdict(found) | _ask_further(difference, fold, found, earlier)
    judged |= _interval(found).model_dump()
    if found.verdict != "undecided" and (by := by_the_threshold(setting, losses, seeds)):
        judged |= {"verdict": "undecided", "reason": by}
    elif found.verdict == "undecided" and (limit := judged.get("limit")) and limit.is_final:
        judged["reason"] = _say_limit(limit, found.num_units)
    return Comparison(
        **head,
        **judged,
        unpaired_seeds=unpaired,
        dropped_seeds=dropped,
        looks=None if earlier is None else tuple(dict.fromkeys((*earlier, found.num_seeds))),
        num_folds=len(setting.folds),
        num_images=setting.num_images,
        **compare_decisions(setting, losses, seeds, level, earlier),
    )


def _interval(found: statistics.Comparison, most: float = 1.0) -> Interval:
    return Interval(mean=found.mean, low=found.low, high=found.high).within(-most, most)


def _pair_seeds(
    setting: Setting, losses: tuple[str, str]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Seeds with which both trained; those that one alone has; those with which one failed."""
    old, new = ({found.cell.seed for found in setting.of(loss)} for loss in losses)
    trained = set.intersection(*(set(setting.trained_seeds_of(loss)) for loss in losses))
    return tuple(sorted(trained)), tuple(sorted(old ^ new)), tuple(sorted(old & new - trained))


def _is_drawn(setting: Setting, losses: tuple[str, str], seeds: Sequence[int]) -> bool:
    """Whether any mask of a class is right in a pixel; where none is, equal scores say nothing."""
    return any(np.nan_to_num(setting.iou(loss, seeds)).any() for loss in losses)


def _why_failed(setting: Setting, found: EndedCell) -> str:
    """Why a run is left out; "" if it is not."""
    if not found.result.has_scores:
        return found.result.reason
    untrained = setting.scores.untrained if setting.scores else frozenset()
    return NOTHING_LEARNED if Place.of(found.cell) in untrained else ""


def _count_failures(setting: Setting, loss: str) -> Failures:
    """A seed's run has failed where any fold of it has."""
    seeds = {found.cell.seed for found in setting.of(loss)}
    num_failed = len(setting.failed_seeds_of(loss))
    low, high = statistics.share_interval(num_failed, len(seeds)) if seeds else (0.0, 1.0)
    return Failures(loss=loss, num_failed=num_failed, num_runs=len(seeds), low=low, high=high)


def by_the_threshold(setting: Setting, losses: tuple[str, str], seeds: Sequence[int]) -> str:
    """Why a verdict on masks at 1/2 is none: runs that draw nothing there have learned all the
    same, as masks at the threshold tuned on validation images show."""
    for loss in losses:
        runs = [setting.runs_of(loss, seed) for seed in seeds]
        num = sum(any(f.result.status == "collapsed" for f in folds) for folds in runs)
        if num:
            return (
                f"by the threshold: at 1/2 {shown(loss)} predicts one class in {num} of "
                f"{count_of(len(seeds), 'run')}, and not at the threshold tuned on validation"
            )
    return ""


def _say_limit(limit: statistics.Limit, num_units: int) -> str:
    enough = f"; {limit.num_units:,} would do" if limit.num_units else ""
    return f"{num_units:,} test images or groups allow no verdict, however many seeds{enough}"


def _ask_further(
    difference: NDArray[np.float64],
    fold: NDArray[np.intp] | None,
    found: statistics.Comparison,
    earlier: Sequence[int] | None,
) -> dict[str, Any]:
    """Whether the difference is within the margin, and what would find one that is as large.

    Seeds and test images are asked for at the margin, never at the difference observed.
    """
    if found.p_value is None or found.num_seeds < statistics.MIN_SEEDS:
        return {}
    within = statistics.equivalence_p_value(difference, fold, margin=found.margin, earlier=earlier)
    further: dict[str, Any] = {"p_value_equivalence": within}
    if not found.margin:  # nothing finds a difference of nothing
        return further
    if earlier is not None:
        further["limit"] = statistics.limit_of_images(found)
        if fold is None and found.verdict == "undecided":
            further["likely_seeds"] = statistics.seeds_likely(found)
    if fold is None:  # power knows of no folds
        asked = {"margin": found.margin, "level": found.level}
        noise = statistics.Noise.of(found)
        further["needs"] = Needs(
            power=statistics.POWER,
            seeds=statistics.seeds_needed(noise, found.num_units, **asked),
            images=statistics.images_needed(noise, found.num_seeds, **asked),
        )
    return further


def adjust(comparisons: Sequence[Comparison | Unjudged]) -> list[Comparison | Unjudged]:
    """With Holm's p-values over all pairs of a setting; a pair without a test counts as p = 1."""
    values = [c.p_value if isinstance(c, Comparison) else None for c in comparisons]
    adjusted = statistics.holm([1.0 if value is None else value for value in values])
    return [
        c if value is None else c.model_copy(update={"p_value_holm": holm})
        for c, value, holm in zip(comparisons, values, adjusted, strict=True)
    ]


# Other decisions


def compare_decisions(
    setting: Setting,
    losses: tuple[str, str],
    seeds: Sequence[int],
    level: float,
    earlier: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Two losses under every decision, and their soft IoU beside that of their masks.

    Args:
        setting: Which has both.
        losses: Baseline and challenger.
        seeds: Which both have.
        level: Of every interval by itself.
        earlier: As in `judge_pair`.
    """
    old, new = losses
    assert setting.scores is not None
    is_exclusive = setting.cells[0].data.classes  # each pixel's class has no threshold
    calibration, fold = setting.scores.calibration, fold_of_units(setting)
    places = [
        Place(loss, seed, fold) for loss in losses for seed in seeds for fold in setting.folds
    ]
    without = {
        setting.ended[place].folder.name: reason
        for place, reason in setting.scores.without.items()
        if place in places
    }

    def around(difference: NDArray[np.float64], most: float = 1.0) -> Interval:
        """No verdict: there is one for each pair, on masks at 1/2."""
        found = statistics.compare(difference, fold, level=level, earlier=earlier)
        return _interval(found, most)

    def interval(new_decision: str, old_decision: str) -> Interval:
        difference = setting.by_unit(new, seeds, new_decision)
        return around(difference - setting.by_unit(old, seeds, old_decision))

    def means(name: str) -> dict[str, Any]:
        return {
            "decision": name,
            "baseline_iou": setting.mean_iou(old, seeds, name),
            "challenger_iou": setting.mean_iou(new, seeds, name),
            "difference": interval(name, name),
        }

    soft, half = (
        setting.by_unit(new, seeds, name) - setting.by_unit(old, seeds, name)
        for name in (SOFT, HALF)
    )
    return {
        "decisions": tuple(
            Decision(
                **means(name),
                difference_left=interval(HALF, name),
                difference_gained=interval(name, HALF),
            )
            for name in DECISIONS
            if name == HALF or not (without or is_exclusive)
        ),
        "soft": SoftMeans(**means(SOFT), not_in_masks=around(soft - half, 2.0)),
        "calibration": ()
        if without or is_exclusive
        else tuple(_mean_of([calibration[p] for p in places if p.loss == loss]) for loss in losses),
        "decisions_note": _say_missing(without, len(places)),
    }


def _mean_of(found: Sequence[Calibration]) -> Calibration:
    return Calibration(
        loss=found[0].loss,
        temperature=float(np.mean([c.temperature for c in found])),
        calibration_error=float(np.mean([c.calibration_error for c in found])),
        calibration_error_tempered=float(np.mean([c.calibration_error_tempered for c in found])),
    )


def _say_missing(without: Mapping[str, str], num_cells: int) -> str:
    """Why decisions are missing, by the folders of the cells that lack histograms."""
    if not without:
        return ""
    folder, reason = next(iter(without.items()))
    more = f" and {len(without) - 1} more" if len(without) > 1 else ""
    return (
        f"Only threshold 1/2 is shown: {len(without)} of {num_cells} runs have no histograms.npz "
        f"that belongs to their scores ({reason}). For the other decisions, "
        f"delete cells/{folder}{more} and run `vesica run` on the folder."
    )
