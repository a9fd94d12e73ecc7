"""Losses against a baseline on several data sets or networks: a table of each, and the ranking."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from vesica import statistics
from vesica.judge import Setting, adjust, data_name, find_rising, judge_pair
from vesica.results import Comparison, Interval, Model, Unjudged
from vesica.spelling import shown

MIN_SETS = 4
"""Data sets below which a ranking has no interval."""


class Standing(Model):
    """A loss in one setting.

    Attributes:
        iou: Per image, mean over the seeds that all losses have; a run that failed is worth 0. None
            while runs are missing, or where none has scores.
        rank: Among the losses, 1 the best, ties share; None where there is no IoU.
        difference: From the baseline, over seeds and test images, as the verdict takes it; None for
            the baseline and where there is none yet.
        p_holm: Adjusted for all losses against the baseline.
        num_failed: Runs that failed or learned nothing, which the verdict leaves out and the rank
            counts.
        rise: Of validation IoU in the last quarter of the steps, where it was still rising.
    """

    loss: str
    iou: float | None
    rank: float | None
    difference: Interval | None = None
    p_holm: float | None = None
    verdict: str
    reason: str
    num_failed: int
    rise: float | None = None


class Table(Model):
    """One setting: a data set and a network.

    Attributes:
        images: Names the images; sets that share them are one set in the ranking.
        level: Of each interval, so that those of the table hold together.
    """

    data: str
    network: str
    images: str
    level: float
    rows: tuple[Standing, ...]


class Ranked(Model):
    """A loss over all data sets.

    Attributes:
        rank: The mean, with its interval over data sets from `MIN_SETS` on.
        difference: Mean of the differences from the baseline over the data sets that have one; None
            for the baseline itself, and where none has.
        num_sets: Data sets that have one.
        p_holm: Against no difference, adjusted for all losses.
    """

    loss: str
    rank: Interval
    difference: Interval | None
    num_sets: int
    p_holm: float | None


class Standings(Model):
    """All that a run of such a plan says.

    Attributes:
        ranking: The best mean rank first; empty where no data set is complete.
        num_sets: Data sets in it.
    """

    num_cells: int
    num_results: int
    margin: float
    baseline: str
    tables: tuple[Table, ...]
    ranking: tuple[Ranked, ...]
    num_sets: int


def analyse_standings(settings: Sequence[Setting], margin: float) -> Standings:
    """Every loss against the first one in each setting, and over the data sets."""
    tables = tuple(_make_table(setting, margin) for setting in settings)
    ranks, differences = _by_set(tables)
    names = settings[0].losses
    return Standings(
        num_cells=sum(len(setting.cells) for setting in settings),
        num_results=sum(len(setting.ended) for setting in settings),
        margin=margin,
        baseline=names[0],
        tables=tables,
        ranking=tuple(rank_over_sets(names, ranks, differences)),
        num_sets=len(ranks),
    )


def _make_table(setting: Setting, margin: float) -> Table:
    baseline, *others = setting.losses
    num_pairs = max(1, len(others))
    pairs = adjust([judge_pair(setting, (baseline, loss), margin, num_pairs) for loss in others])
    ious = [_mean_iou(setting, loss) for loss in setting.losses]
    rising = find_rising(setting)
    ranks = [None] * len(ious) if None in ious else rankdata([-(iou or 0) for iou in ious]).tolist()
    rows = [
        Standing(
            loss=loss,
            iou=iou,
            rank=rank,
            num_failed=len(setting.failed_seeds_of(loss)),
            rise=rising.get(loss),
            **_against(pair),
        )
        for loss, iou, rank, pair in zip(setting.losses, ious, ranks, [None, *pairs], strict=True)
    ]
    cell = setting.cells[0]
    return Table(
        data=data_name(cell).replace(cell.data.name, cell.data.spelled, 1),
        network=shown(cell.model),
        images=cell.data.fingerprint,
        level=1 - (1 - statistics.LEVEL) / num_pairs,
        rows=tuple(rows),
    )


def _against(pair: Comparison | Unjudged | None) -> dict[str, Any]:
    """What the verdict says of a loss; nothing of the baseline."""
    if pair is None:
        return {"verdict": "", "reason": ""}
    said: dict[str, Any] = {"verdict": pair.verdict, "reason": pair.reason}
    if isinstance(pair, Comparison):
        said["difference"] = Interval(mean=pair.mean, low=pair.low, high=pair.high)
        said["p_holm"] = pair.p_value_holm
    return said


def _mean_iou(setting: Setting, loss: str) -> float | None:
    """As `Standing.iou`: a run that failed drew no masks."""
    planned = [{c.seed for c in setting.cells if c.loss == name} for name in setting.losses]
    seeds = set.intersection(*planned)
    if setting.waiting or setting.scores is None or not seeds:
        return None
    scored = sorted(seeds & set(setting.seeds_of(loss)))
    return setting.mean_iou(loss, scored) * len(scored) / len(seeds) if scored else 0.0


def _by_set(tables: Sequence[Table]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks and differences (NaN where there is none) of the complete settings, each of shape (data
    sets, losses); settings of the same images are averaged, as they are no further evidence on
    images."""
    losses = [row.loss for row in tables[0].rows]
    sets: dict[str, list[list[tuple[float, float]]]] = {}
    for table in tables:
        pairs = [
            (r.rank, r.difference.mean if r.difference else math.nan)
            for r in table.rows
            if r.rank is not None
        ]
        if len(pairs) == len(table.rows) and [row.loss for row in table.rows] == losses:
            sets.setdefault(table.images, []).append(pairs)
    means = np.array([np.mean(own, axis=0) for own in sets.values()]).reshape(-1, len(losses), 2)
    return means[..., 0], means[..., 1]


def rank_over_sets(
    names: Sequence[str], ranks: NDArray[np.float64], differences: NDArray[np.float64]
) -> list[Ranked]:
    """Mean ranks and mean differences with t-intervals over data sets, the best rank first.

    The noise of seeds is in every data set's value, so that an interval over sets holds it too.

    Args:
        names: Of the losses, the baseline first.
        ranks: Shape (data sets, losses).
        differences: From the baseline, same shape, fractions; NaN where a data set has none.
    """
    if not len(ranks):
        return []
    level = 1 - (1 - statistics.LEVEL) / max(1, len(names) - 1)
    of_loss = [column[np.isfinite(column)] for column in differences.T[1:]]
    tests = [_over_sets(values, level) for values in of_loss]
    p_values = statistics.holm([1.0 if p is None else p for _, p in tests])
    found = []
    for index, name in enumerate(names):
        rank, _ = _over_sets(ranks[:, index], statistics.LEVEL)
        assert rank is not None
        rank = rank.within(1.0, float(len(names)))
        difference, p = tests[index - 1] if index else (None, None)
        difference = difference and difference.within(-1.0, 1.0)
        adjusted = None if p is None else p_values[index - 1]
        num_sets = len(of_loss[index - 1]) if index else 0
        found.append(
            Ranked(loss=name, rank=rank, difference=difference, num_sets=num_sets, p_holm=adjusted)
        )
    return sorted(found, key=lambda ranked: ranked.rank.mean)


def _over_sets(values: NDArray[np.float64], level: float) -> tuple[Interval | None, float | None]:
    if not len(values):
        return None, None
    if len(values) < MIN_SETS:
        return Interval(mean=float(values.mean()), low=None, high=None), None
    found = statistics.paired_t(values, level=level)
    return Interval(mean=found.mean, low=found.low, high=found.high), found.p_two_sided
