"""Two losses of one setting, judged: verdict, further tests, other decisions, and the sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica import statistics
from vesica.judge.setting import DECISIONS, HALF, SOFT, Setting, difference_of
from vesica.results import (
    Calibration,
    CellName,
    Comparison,
    Decision,
    FailedCell,
    Interval,
    Needs,
    SoftMeans,
    Unjudged,
)
from vesica.spelling import shown
from vesica.words import count_of


def judge_pair(
    setting: Setting, losses: tuple[str, str], margin: float, num_pairs: int
) -> Comparison | Unjudged:
    """The verdict on two losses, or why there is none.

    Args:
        setting: Which has both.
        losses: Baseline and challenger.
        margin: Differences smaller than this do not matter, a fraction.
        num_pairs: Of the setting, whose intervals hold together.
    """
    ended = [found for loss in losses for found in setting.of(loss)]
    failed = [found for found in ended if not found.result.has_scores]
    num_waiting = sum(cell.loss in losses for cell in setting.waiting)
    seeds, unpaired = _pair_seeds(setting, losses)
    reason = ""
    if failed:
        reason = f"{count_of(len(failed), 'run')} failed"
    elif num_waiting:
        reason = f"{count_of(num_waiting, 'run')} not finished"
    elif not seeds:
        reason = "no seed has both losses"
    head: dict[str, Any] = {
        "baseline": losses[0],
        "challenger": losses[1],
        "collapsed": tuple(
            CellName(loss=found.cell.loss, seed=found.cell.seed)
            for found in ended
            if found.result.status == "collapsed"
        ),
        "failed": tuple(
            FailedCell(loss=f.cell.loss, seed=f.cell.seed, reason=f.result.reason) for f in failed
        ),
        "num_missing": num_waiting,
        "num_pairs": num_pairs,
    }
    if reason:
        return Unjudged(**head, reason=reason)
    # Bonferroni: with several losses, all intervals of a setting hold together.
    level = 1 - (1 - statistics.LEVEL) / num_pairs
    difference = difference_of((setting, losses[1]), (setting, losses[0]), seeds)
    found = statistics.compare(difference, margin=margin, level=level)
    judged = asdict(found) | _ask_further(difference, found)
    collapsed = _all_collapsed(setting, losses, seeds)
    if collapsed and found.verdict != "undecided":
        # That a loss failed altogether with this recipe does not make the other one better.
        reason = f"every run of {shown(collapsed)} collapsed to one class"
        judged |= {"verdict": "undecided", "reason": reason}
    return Comparison(
        **head,
        **judged,
        unpaired_seeds=unpaired,
        num_images=setting.num_images,
        **compare_decisions(setting, losses, seeds, level),
    )


def _pair_seeds(
    setting: Setting, losses: tuple[str, str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Seeds that both losses have, and those of one alone."""
    old, new = (set(setting.seeds_of(loss)) for loss in losses)
    return tuple(sorted(old & new)), tuple(sorted(old ^ new))


def _all_collapsed(setting: Setting, losses: tuple[str, str], seeds: Sequence[int]) -> str:
    """The loss of which every run collapsed; "" if neither did."""
    for loss in losses:
        if all(setting.ended[loss, seed].result.status == "collapsed" for seed in seeds):
            return loss
    return ""


def _ask_further(difference: NDArray[np.float64], found: statistics.Comparison) -> dict[str, Any]:
    """Whether the difference is within the margin, and what would find one that is as large.

    Seeds and test images are asked for at the margin, never at the difference observed.
    """
    if found.p_value is None or found.num_seeds < statistics.MIN_SEEDS:
        return {}
    asked = {"margin": found.margin, "level": found.level}
    within = statistics.equivalence_p_value(difference, margin=found.margin)
    if not found.margin:  # nothing finds a difference of nothing
        return {"p_value_equivalence": within}
    noise = statistics.Noise.of(found)
    needs = Needs(
        power=statistics.POWER,
        seeds=statistics.seeds_needed(noise, found.num_units, **asked),
        images=statistics.images_needed(noise, found.num_seeds, **asked),
    )
    return {"p_value_equivalence": within, "needs": needs}


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
    setting: Setting, losses: tuple[str, str], seeds: Sequence[int], level: float
) -> dict[str, Any]:
    """Two losses under every decision, and their soft IoU beside that of their masks.

    Args:
        setting: Which has both.
        losses: Baseline and challenger.
        seeds: Which both have.
        level: Of every interval by itself.
    """
    old, new = losses
    assert setting.scores is not None
    calibration = setting.scores.calibration
    places = [(loss, seed) for loss in losses for seed in seeds]
    without = {
        setting.ended[place].folder.name: reason
        for place, reason in setting.scores.without.items()
        if place in places
    }

    def interval(new_decision: str, old_decision: str) -> Interval:
        difference = setting.by_unit(new, seeds, new_decision)
        return _interval(difference - setting.by_unit(old, seeds, old_decision), level)

    def means(name: str) -> dict[str, Any]:
        return {
            "decision": name,
            "baseline_iou": float(np.mean(setting.iou(old, seeds, name))),
            "challenger_iou": float(np.mean(setting.iou(new, seeds, name))),
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
            if name == HALF or not without
        ),
        "soft": SoftMeans(**means(SOFT), not_in_masks=_interval(soft - half, level)),
        "calibration": ()
        if without
        else tuple(_mean_of([calibration[loss, seed] for seed in seeds]) for loss in losses),
        "decisions_note": _say_missing(without, len(places)),
    }


def _interval(difference: NDArray[np.float64], level: float) -> Interval:
    """No verdict: there is one for each pair, on masks at 1/2."""
    found = statistics.compare(difference, level=level)
    return Interval(mean=found.mean, low=found.low, high=found.high)


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
        f"delete cells/{folder}{more} and run the same command again."
    )


# In words


def say_pair(comparison: Comparison | Unjudged, where: str) -> str:
    """The verdict in a sentence, with what must be known of it."""
    old, new = shown(comparison.baseline), shown(comparison.challenger)
    if isinstance(comparison, Unjudged):
        return f"Undecided on {where}, {new} against {old}: {comparison.reason}."
    opening = {
        "undecided": f"Undecided on {where}: {new} minus {old} is",
        "equivalent": f"On {where}, {new} and {old} are equivalent: {new} minus {old} is",
    }.get(comparison.verdict, f"On {where}, {new} is {comparison.verdict} than {old}:")
    text = f"{opening} {_figures(comparison)}, for this training set and split"
    text += f"; {comparison.reason}." if comparison.reason else "."
    if comparison.unpaired_seeds:
        text += f" Left out, for lack of a partner: seeds {list(comparison.unpaired_seeds)}."
    if comparison.collapsed:
        cells = ", ".join(f"{shown(cell.loss)} seed {cell.seed}" for cell in comparison.collapsed)
        text += f" Counted in, though collapsed to one class: {cells}."
    return text


def _figures(found: Comparison) -> str:
    text = f"{100 * found.mean:+.1f} points of per-image IoU"
    within = f"{count_of(found.num_seeds, 'seed')}, {count_of(found.num_images, 'test image')}"
    if found.num_units < found.num_images:
        within += f" in {count_of(found.num_units, 'group')}"
    if found.low is None or found.high is None:
        return f"{text} ({within})"
    interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
    return f"{text} ({100 * found.level:.3g} % interval {interval}; {within})"
