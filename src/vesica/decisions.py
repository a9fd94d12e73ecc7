"""Is a difference between two losses one of their masks, or only of threshold or probabilities?

A threshold of 1/2 is one decision of many that the same probabilities allow. What is left of a
difference under others is again a paired difference with an interval. Needs no torch.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vesica import metrics, statistics
from vesica.metrics.calibration import NUM_BINS
from vesica.metrics.decision import BIN_PROBS
from vesica.results import EndedCell, TestScores, read_histograms, read_scores

Histograms = NDArray[np.integer]
PerImage = NDArray[np.float64]

DECISIONS: dict[str, Callable[[Histograms, Histograms], metrics.Counts]] = {
    "half": lambda val, test: metrics.counts_at(test, metrics.THRESHOLD),
    "tuned": lambda val, test: metrics.counts_at(test, metrics.tune_threshold(val)),
    "expected_iou": lambda val, test: metrics.expected_iou_counts(test)[0],
    "expected_iou_tempered": lambda val, test: metrics.expected_iou_counts(
        test, temperature=metrics.fit_temperature_to_histograms(val)
    )[0],
}
"""From the histograms of validation and test images to the counts of the test images' masks."""


@dataclass(frozen=True)
class _Decided:
    """One cell.

    Attributes:
        found: What was run.
        scores: Its `scores.csv`.
        iou: Per image, by decision; of the probabilities themselves for "soft".
        calibration: Empty without histograms.
    """

    found: EndedCell
    scores: TestScores
    iou: dict[str, PerImage]
    calibration: dict[str, float]


def compare_decisions(
    baseline: Sequence[EndedCell], challenger: Sequence[EndedCell], level: float
) -> dict[str, Any]:
    """Compare two losses under every decision, and their soft IoU with that of their masks.

    Args:
        baseline: Its cells.
        challenger: Cells with the same seeds.
        level: Of every interval by itself.

    Returns:
        `decisions`: for each, the mean per-image IoU of both losses, the `difference` challenger
        minus baseline with both so decided; `difference_left`, where the challenger stays at 1/2:
        what the baseline lacks if it alone is given the better decision; and `difference_gained`,
        where the baseline stays there. `soft`: the same for soft IoU; `not_in_masks` is the soft
        difference minus that of the masks at 1/2.
        `calibration`: of both losses, means over seeds. `decisions_note`: why some decisions
        are missing, or "".
    """
    cells = [
        [_decide(found) for found in sorted(side, key=lambda found: found.cell.seed)]
        for side in (baseline, challenger)
    ]
    old, new = cells
    without = [cell.found for cell in (*old, *new) if not cell.calibration]
    soft_only = _difference(new, "soft", old, "soft") - _difference(new, "half", old, "half")
    return {
        "decisions": [
            _means(old, new, name, level)
            | {
                "difference_left": _interval(_difference(new, "half", old, name), level),
                "difference_gained": _interval(_difference(new, name, old, "half"), level),
            }
            for name in DECISIONS
            if name == "half" or not without
        ],
        "soft": _means(old, new, "soft", level) | {"not_in_masks": _interval(soft_only, level)},
        "calibration": [
            {"loss": side[0].found.cell.loss} | _mean_calibration(side)
            for side in cells
            if not without
        ],
        "decisions_note": _say_missing(without, len(old) + len(new)),
    }


def _decide(found: EndedCell) -> _Decided:
    scores = read_scores(found)
    iou = {"half": metrics.iou(scores.counts), "soft": scores.iou_soft}
    histograms = _read_histograms(found, scores)
    if histograms is None:
        return _Decided(found, scores, iou, {})
    val, test = histograms
    iou |= {name: metrics.iou(decide(val, test)) for name, decide in DECISIONS.items()}
    temperature = metrics.fit_temperature_to_histograms(val)
    calibration = {
        "temperature": temperature,
        "calibration_error": calibration_error_of(test),
        "calibration_error_tempered": calibration_error_of(test, temperature=temperature),
    }
    return _Decided(found, scores, iou, calibration)


def _read_histograms(found: EndedCell, scores: TestScores) -> tuple[Histograms, Histograms] | None:
    """Of validation and test images; None where there are none that belong to the scores."""
    try:
        parts = read_histograms(found.folder / "histograms.npz", len(scores.names))
        val, test = parts["val"], parts["test"]
        counts = metrics.counts_at(test, metrics.THRESHOLD)
    except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile, zlib.error):
        return None
    is_same = np.array_equal(counts.tp, scores.counts.tp)
    return (val, test) if is_same and np.array_equal(counts.fp, scores.counts.fp) else None


def calibration_error_of(histograms: Histograms, *, temperature: float = 1.0) -> float:
    """Pooled calibration error in 15 bins, of logits divided by a temperature.

    A histogram's bin counts as its middle: raw, this is within 1/512 of the mean probability of
    each, and as the 15 bins do not begin where the 256 do, a few pixels may change theirs.

    Args:
        histograms: As `metrics.histogram` makes them.
        temperature: Fitted on other images.
    """
    negative, positive = np.asarray(np.sum(histograms, axis=0, dtype=np.int64))
    probs = metrics.temper(BIN_PROBS, temperature)
    count, prob_sum, positives = np.zeros((3, 1, NUM_BINS))
    place = np.minimum((probs * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    np.add.at(count[0], place, negative + positive)
    np.add.at(prob_sum[0], place, (negative + positive) * probs)
    np.add.at(positives[0], place, positive)
    reliability = metrics.Reliability(count.astype(np.int64), prob_sum, positives.astype(np.int64))
    return float(metrics.calibration_error(reliability)[0])


def _means(
    old: Sequence[_Decided], new: Sequence[_Decided], name: str, level: float
) -> dict[str, Any]:
    return {
        "decision": name,
        "baseline_iou": float(np.mean([cell.iou[name] for cell in old])),
        "challenger_iou": float(np.mean([cell.iou[name] for cell in new])),
        "difference": _interval(_difference(new, name, old, name), level),
    }


def _difference(
    new: Sequence[_Decided], new_name: str, old: Sequence[_Decided], old_name: str
) -> NDArray[np.float64]:
    """Shape (seeds, units), as `statistics.compare` takes it."""
    return np.array(
        [
            a.scores.by_unit(a.iou[new_name]) - b.scores.by_unit(b.iou[old_name])
            for a, b in zip(new, old, strict=True)
        ]
    )


def _interval(difference: NDArray[np.float64], level: float) -> dict[str, float | None]:
    """No verdict: there is one for each pair, on masks at 1/2."""
    found = statistics.compare(difference, level=level)
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _mean_calibration(cells: Sequence[_Decided]) -> dict[str, float]:
    return {
        name: float(np.mean([cell.calibration[name] for cell in cells]))
        for name in cells[0].calibration
    }


def _say_missing(without: Sequence[EndedCell], num_cells: int) -> str:
    if not without:
        return ""
    more = f" and {len(without) - 1} more" if len(without) > 1 else ""
    return (
        f"Only threshold 1/2 is shown: {len(without)} of {num_cells} runs have no histograms.npz "
        "that belongs to their scores (earlier versions wrote none). For the other decisions, "
        f"delete cells/{without[0].folder.name}{more} and run the same command again."
    )
