"""What the runs that make a model say about it: threshold, temperature, what to expect."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica import metrics
from vesica.files import damaged, is_there, was_written
from vesica.judge.histograms import HISTOGRAMS, histograms_of
from vesica.metrics.decision import BIN_PROBS
from vesica.metrics.threshold import NUM_BINS
from vesica.model.traits import Expected
from vesica.results import EndedCell, TestScores, read_masks, read_scores
from vesica.statistics import expect_of_new, limit_of_new

SURE_BELOW, SURE_FROM = 1 / NUM_BINS, 1 - 1 / NUM_BINS
"""Probabilities out here count as 0 and 1: an image has so many background pixels that each one's
rest of doubt would outweigh a thin object."""

Row = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """From probabilities to masks.

    Attributes:
        threshold: Of the probabilities after tempering.
        raw_threshold: Of a network's own, a multiple of 1/256.
        temperature: What logits are divided by.
    """

    threshold: float
    raw_threshold: float
    temperature: float


@dataclass(frozen=True)
class _Tested:
    """Test images of a fold under one network; a row for each class of each image, NaN where a
    class does not count."""

    scores: TestScores
    iou: Row
    confidence: Row | None
    is_empty: NDArray[np.bool_]


def learn(
    members: Sequence[EndedCell], peers: Sequence[EndedCell] = ()
) -> tuple[Decision, Expected]:
    """Threshold and temperature from validation images, what to expect from test images.

    The validation histograms of all members count together. An image that several members tested
    (seeds) has the mean of its scores; folds test each image once, by a network that was not
    trained on it.

    Args:
        members: The runs whose networks are averaged.
        peers: All runs of their loss that have learned something: how much seeds disagree.

    Raises:
        DataError: If scores are missing or damaged.
    """
    scores = [read_scores(found) for found in members]
    kept = [histograms_of(found, own) for found, own in zip(members, scores, strict=True)]
    histograms = [pair for pair in kept if not isinstance(pair, str)]
    for found, pair in zip(members, kept, strict=True):
        if isinstance(pair, str) and was_written(path := found.folder / HISTOGRAMS):
            raise damaged(path) if is_there(path) else damaged(path, FileNotFoundError())
    if len(histograms) < len(members):  # runs of earlier versions
        decision = Decision(metrics.THRESHOLD, metrics.THRESHOLD, 1.0)
        tested = [_by_counts(own, members[0].cell.empty) for own in scores]
    else:
        decision = decide(np.concatenate([val for val, _ in histograms]), members[0].cell.empty)
        if members[0].cell.data.classes:  # each pixel's class has no threshold
            half = metrics.THRESHOLD
            decision = replace(decision, threshold=half, raw_threshold=half)
        test = [test for _, test in histograms]
        empty = members[0].cell.empty
        tested = [_by_histograms(*pair, decision, empty) for pair in zip(scores, test, strict=True)]
    expected = _expect(members, tested)
    return decision, expected.model_copy(update={"unusual_above": _disagreement_limit(peers)})


def decide(val: NDArray[np.integer], empty: metrics.Empty = "score") -> Decision:
    """Threshold and temperature that suit validation images."""
    raw = metrics.tune_threshold(val, empty)
    temperature = metrics.fit_temperature_to_histograms(val)
    return Decision(float(metrics.temper(raw, temperature)), raw, temperature)


def confidence_of(histograms: NDArray[np.integer], decision: Decision) -> Row:
    """The IoU that a network itself expects of its masks: E[I] / E[U] by its tempered
    probabilities; NaN where the mask is empty.

    On test images it finds the worst tenth far better than the mean entropy, and about as well as
    the disagreement of seeds, which alone knows images of another kind: see the log.
    """
    num = histograms.sum(axis=1).astype(np.float64)
    probs = metrics.temper(BIN_PROBS, decision.temperature)
    probs[BIN_PROBS < SURE_BELOW], probs[BIN_PROBS > SURE_FROM] = 0.0, 1.0
    is_kept = np.arange(NUM_BINS) >= round(decision.raw_threshold * NUM_BINS)
    inside = num[:, is_kept] @ probs[is_kept]
    union = num[:, is_kept].sum(axis=1) + num[:, ~is_kept] @ probs[~is_kept]
    is_empty = num[:, is_kept].sum(axis=1) == 0
    confidence: Row = np.divide(inside, union, out=np.full(len(num), np.nan), where=~is_empty)
    return confidence


def _by_histograms(
    scores: TestScores, test: NDArray[np.integer], decision: Decision, empty: metrics.Empty
) -> _Tested:
    counts = metrics.counts_at(test, decision.raw_threshold)
    is_empty = counts.tp + counts.fp == 0
    return _Tested(scores, metrics.iou(counts, empty), confidence_of(test, decision), is_empty)


def _by_counts(scores: TestScores, empty: metrics.Empty) -> _Tested:
    counts = scores.counts
    return _Tested(scores, metrics.iou(counts, empty), None, counts.tp + counts.fp == 0)


def _expect(members: Sequence[EndedCell], tested: Sequence[_Tested]) -> Expected:
    num_classes = members[0].result.num_classes
    emptied = np.concatenate([own.iou[own.is_empty] for own in tested])
    emptied = emptied[~np.isnan(emptied)]
    empty_iou = float(emptied.mean()) if len(emptied) else 0.0
    by_fold: dict[int, list[_Tested]] = {}
    for found, own in zip(members, tested, strict=True):
        by_fold.setdefault(found.cell.data.fold or 0, []).append(own)
    iou = np.concatenate([np.mean([own.iou for own in fold], axis=0) for fold in by_fold.values()])
    iou = metrics.of_images(iou, num_classes)
    groups = _numbered([fold[0].scores for fold in by_fold.values()], num_classes)
    is_known = ~np.isnan(iou)
    known: dict[str, Any] = vars(expect_of_new(iou[is_known], _renumbered(groups[is_known])))
    unusual = None
    if all(own.confidence is not None for own in tested):
        confidence = np.concatenate(
            [
                np.mean([_filled(own.confidence, empty_iou) for own in fold], axis=0)
                for fold in by_fold.values()
            ]
        )
        limit = limit_of_new(-metrics.of_images(confidence, num_classes), groups)
        unusual = None if limit is None else -limit
    return Expected(**known, unusual_below=unusual, empty_iou=empty_iou)


def _numbered(scores: Sequence[TestScores], num_classes: int) -> NDArray[np.intp]:
    """The group of each image, fold by fold; a group is in one fold alone."""
    return _renumbered(np.array([g for own in scores for g in own.groups[::num_classes]]))


def _renumbered(groups: NDArray[Any]) -> NDArray[np.intp]:
    return np.asarray(np.unique(groups, return_inverse=True)[1])


def _disagreement_limit(peers: Sequence[EndedCell]) -> float | None:
    """What a tenth of new images have more of; None where no two seeds' masks are kept, or too few
    images were tested."""
    by_fold: dict[int, list[EndedCell]] = {}
    for found in peers:
        if is_there(found.folder / "masks.npz"):
            by_fold.setdefault(found.cell.data.fold or 0, []).append(found)
    folds = [fold for fold in by_fold.values() if len(fold) > 1]
    if not folds:
        return None
    values = [
        np.mean([_disagreement(*pair) for pair in itertools.combinations(fold, 2)], axis=0)
        for fold in folds
    ]
    scores = [read_scores(fold[0]) for fold in folds]
    return limit_of_new(np.concatenate(values), _numbered(scores, folds[0][0].result.num_classes))


def _disagreement(one: EndedCell, other: EndedCell) -> Row:
    """1 - IoU of two networks' masks at 1/2; a mean over an image's classes."""
    num, side = one.result.num_rows, one.cell.size
    first, second = (read_masks(f.folder / "masks.npz", (num, side, side)) for f in (one, other))
    rows = []
    for row in range(num):
        union = np.count_nonzero(first[row] | second[row])
        inside = np.count_nonzero(first[row] & second[row])
        rows.append(1 - inside / union if union else 0.0)
    by_image: Row = np.array(rows).reshape(-1, one.result.num_classes)
    return np.asarray(by_image.mean(axis=1))


def _filled(confidence: Row | None, empty_iou: float) -> Row:
    assert confidence is not None
    return np.where(np.isnan(confidence), empty_iou, confidence)
