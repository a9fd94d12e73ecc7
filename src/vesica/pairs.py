"""Two losses of one setting, judged: verdict, further tests, decisions. Needs no torch."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica import metrics, statistics
from vesica.decisions import compare_decisions
from vesica.plan import Cell
from vesica.results import EndedCell, read_scores
from vesica.words import count_of


def difference_of(
    challenger: Sequence[EndedCell], baseline: Sequence[EndedCell]
) -> NDArray[np.float64]:
    """Per-image IoU of one loss minus another's, shape (seeds, units).

    A unit is a group of test images (a person, patient or slide), or an image where no group is
    known. Cells of the same seed are subtracted.
    """
    return _unit_scores(challenger) - _unit_scores(baseline)


def _unit_scores(results: Sequence[EndedCell]) -> NDArray[np.float64]:
    rows = []
    for found in sorted(results, key=lambda found: found.cell.seed):
        scores = read_scores(found)
        rows.append(scores.by_unit(metrics.iou(scores.counts)))
    return np.array(rows)


def judge_pair(
    baseline: list[EndedCell],
    challenger: list[EndedCell],
    losses: tuple[str, str],
    missing: list[Cell],
    margin: float,
    num_pairs: int,
) -> dict[str, Any]:
    """The verdict on a pair, or why there is none.

    Args:
        baseline: What is there of the first loss.
        challenger: What is there of the other one.
        losses: Their spellings.
        missing: Cells of the setting without a result.
        margin: Differences smaller than this do not matter, a fraction.
        num_pairs: Of the setting, whose intervals hold together.
    """
    failed = [f for f in (*baseline, *challenger) if not f.result.has_scores]
    collapsed = [f for f in (*baseline, *challenger) if f.result.status == "collapsed"]
    waiting = [cell for cell in missing if cell.loss in losses]
    head = {
        "baseline": losses[0],
        "challenger": losses[1],
        "metric": "iou_per_image",
        "collapsed": [{"loss": f.cell.loss, "seed": f.cell.seed} for f in collapsed],
        "failed": [
            {"loss": f.cell.loss, "seed": f.cell.seed, "reason": f.result.reason} for f in failed
        ],
        "num_missing": len(waiting),
    }
    if failed:
        return head | {"verdict": "undecided", "reason": f"{count_of(len(failed), 'run')} failed"}
    if waiting:
        reason = f"{count_of(len(waiting), 'run')} not finished"
        return head | {"verdict": "undecided", "reason": reason}
    # Bonferroni: with several losses, all intervals of a setting hold together.
    level = 1 - (1 - statistics.LEVEL) / num_pairs
    seeds = {f.cell.seed for f in baseline} & {f.cell.seed for f in challenger}
    if not seeds:
        return head | {"verdict": "undecided", "reason": "no seed has both losses"}
    head["unpaired_seeds"] = sorted({f.cell.seed for f in (*baseline, *challenger)} - seeds)
    baseline = [f for f in baseline if f.cell.seed in seeds]
    challenger = [f for f in challenger if f.cell.seed in seeds]
    difference = difference_of(challenger, baseline)
    head["num_images"] = challenger[0].result.num_test
    found = statistics.compare(difference, margin=margin, level=level)
    judged = head | asdict(found) | _ask_further(difference, found)
    for side in (baseline, challenger):
        # That a loss failed altogether with this recipe does not make the other one better.
        if judged["verdict"] != "undecided" and all(f.result.status == "collapsed" for f in side):
            reason = f"every run of {side[0].cell.loss} collapsed to one class"
            judged |= {"verdict": "undecided", "reason": reason}
    return judged | compare_decisions(baseline, challenger, level)


def _ask_further(difference: NDArray[np.float64], found: statistics.Comparison) -> dict[str, Any]:
    """Whether the difference is within the margin, and what would find one that is as large.

    Seeds and test images are asked for at the margin, never at the difference observed.
    """
    if found.p_value is None or found.num_seeds < statistics.MIN_SEEDS:
        return {"p_value_equivalence": None, "needs": None}
    asked = {"margin": found.margin, "level": found.level}
    within = statistics.equivalence_p_value(difference, margin=found.margin)
    if not found.margin:  # nothing finds a difference of nothing
        return {"p_value_equivalence": within, "needs": None}
    noise = statistics.Noise.of(found)
    needs = {
        "power": statistics.POWER,
        "seeds": asdict(statistics.seeds_needed(noise, found.num_units, **asked)),
        "images": asdict(statistics.images_needed(noise, found.num_seeds, **asked)),
    }
    return {"p_value_equivalence": within, "needs": needs}


def adjust(comparisons: Sequence[dict[str, Any]]) -> None:
    """Holm's p-values over all pairs of a setting; a pair without a test counts as p = 1."""
    values = [1.0 if (p := c.get("p_value")) is None else p for c in comparisons]
    for comparison, adjusted in zip(comparisons, statistics.holm(values), strict=True):
        comparison["num_pairs"] = len(comparisons)
        if comparison.get("p_value") is not None:
            comparison["p_value_holm"] = adjusted


def say_pair(comparison: dict[str, Any], where: str) -> str:
    """The verdict in a sentence, with what must be known of it."""
    old, new = comparison["baseline"], comparison["challenger"]
    verdict, reason = comparison["verdict"], comparison["reason"]
    if "mean" not in comparison:
        return f"Undecided on {where}, {new} against {old}: {reason}."
    opening = {
        "undecided": f"Undecided on {where}: {new} minus {old} is",
        "equivalent": f"On {where}, {new} and {old} are equivalent: {new} minus {old} is",
    }.get(verdict, f"On {where}, {new} is {verdict} than {old}:")
    text = f"{opening} {_figures(comparison)}, for this training set and split"
    text += f"; {reason}." if reason else "."
    if comparison["unpaired_seeds"]:
        text += f" Left out, for lack of a partner: seeds {comparison['unpaired_seeds']}."
    if comparison["collapsed"]:
        cells = ", ".join(f"{c['loss']} seed {c['seed']}" for c in comparison["collapsed"])
        text += f" Counted in, though collapsed to one class: {cells}."
    return text


def _figures(comparison: dict[str, Any]) -> str:
    text = f"{100 * comparison['mean']:+.1f} points of per-image IoU"
    num_images, num_units = comparison["num_images"], comparison["num_units"]
    within = f"{count_of(comparison['num_seeds'], 'seed')}, {count_of(num_images, 'test image')}"
    if num_units < num_images:
        within += f" in {count_of(num_units, 'group')}"
    if comparison["low"] is None:
        return f"{text} ({within})"
    low, high = 100 * comparison["low"], 100 * comparison["high"]
    return (
        f"{text} ({100 * comparison['level']:.3g} % interval {low:+.1f} to {high:+.1f}; {within})"
    )
