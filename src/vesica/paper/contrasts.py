"""Networks, data sets, sizes and hair against each other, and what counts once: shared images."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica.paper.published import LOSSES, METRICS, ROWS, Metric, Row, differences, values
from vesica.statistics import holm, paired_t, sign_flip, sign_test, signed_rank

FACTORS = ("network", "data", "size", "target")

LEVELS = {
    "pair": ("setup",),
    "data set x network x hair": ("data", "network", "hair"),
    "data set x network": ("data", "network"),
    "data set x hair": ("data", "hair"),
    "data set": ("data",),
}
"""What counts once, from fine to coarse. All set-ups of a data set share their test images."""

MIN_DATA_SETS = 6
"""With five, the smallest two-sided value of an exact signed-rank test is 2/32, above 0.05."""


@dataclass(frozen=True)
class Category:
    """Set-ups that share one value of a factor: the paper's t-test of their IoU, in points.

    Attributes:
        factor: One of `FACTORS`.
        name: The value.
        mean: Of the differences between the losses.
        low: Lower end of the t interval at 95 %; None where all differences are the same.
        high: Upper end.
        p: Two-sided paired t-test, all as independent.
        p_holm: Adjusted for as many categories as have a test.
    """

    factor: str
    name: str
    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None


def split(factor: str, rows: Sequence[Row] = ROWS) -> dict[str, list[Row]]:
    """The rows of each value of a factor, in the tables' order: two values have theirs alike."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(getattr(row, factor), []).append(row)
    return found


def first_minus_second(factor: str, metric: Metric) -> NDArray[np.int64]:
    """BFCN-32s minus FCResNet, or big minus small: of every pair of set-ups, with both losses."""
    first, second = split(factor).values()
    return np.concatenate(
        [values(metric, loss, first) - values(metric, loss, second) for loss in LOSSES]
    )


def changes_with_size(metric: Metric) -> list[str]:
    """Set-ups in which the better loss differs between big and small."""
    found = []
    for big, small in zip(*split("size").values(), strict=True):
        on_big, on_small = (row.of(metric).difference for row in (big, small))
        if np.sign(on_big) != np.sign(on_small):
            name = f"{big.network}, {big.data}, {big.target}"
            found.append(f"{name} ({on_big / 10:+.1f} on big, {on_small / 10:+.1f} on small)")
    return found


def categories(rows: Sequence[Row] = ROWS) -> list[Category]:
    """The paper's t-test within each category of two set-ups or more."""
    named = [
        (factor, name, paired_t(differences("iou", members) / 10))
        for factor in FACTORS
        for name, members in split(factor, rows).items()
        if len(members) > 1
    ]
    adjusted = iter(holm([t.p_two_sided for *_, t in named if t.p_two_sided is not None]))
    return [
        Category(factor, name, t.mean)
        if t.p_two_sided is None
        else Category(factor, name, t.mean, t.low, t.high, t.p_two_sided, next(adjusted))
        for factor, name, t in named
    ]


def sparsity() -> dict[str, Any]:
    """Advantage without hair minus advantage with hair, in points of IoU, over eight pairs.

    `low`, `high` and `p` are those of the paired t-test, the interval at 95 %.
    """
    with_hair, without = split("target").values()
    chosen = (differences("iou", without) - differences("iou", with_hair)) / 10
    test = paired_t(chosen)
    by_data: dict[str, list[float]] = {}
    for row, difference in zip(without, chosen, strict=True):
        by_data.setdefault(row.data, []).append(difference)
    return {
        "mean": test.mean,
        "low": test.low,
        "high": test.high,
        "p": test.p_two_sided,
        "by_data": {name: float(np.mean(found)) for name, found in by_data.items()},
        "by_setup": chosen.tolist(),
    }


def cluster_sums(
    metric: Metric, level: str, rows: Sequence[Row] = ROWS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Differences added within what a level counts once, and how many each cluster has."""
    found: dict[object, list[int]] = {}
    for row in rows:
        found.setdefault(attrgetter(*LEVELS[level])(row), []).append(row.of(metric).difference)
    return np.array([sum(v) for v in found.values()]), np.array([len(v) for v in found.values()])


def clusters(metric: Metric, rows: Sequence[Row] = ROWS) -> list[dict[str, Any]]:
    """The t-test and the exact sign-flip test of the cluster means, from fine to coarse.

    A level that has one cluster is left out.
    """
    found = []
    for name in LEVELS:
        sums, sizes = cluster_sums(metric, name, rows)
        if len(sums) < 2:
            continue
        # Whole numbers for clusters of any size: means times what all sizes divide.
        common = math.lcm(*map(int, sizes))
        found.append(
            {
                "counts_once": name,
                "num": len(sums),
                "test": asdict(paired_t(sums / sizes)),
                "p_sign_flip": sign_flip(sums * (common // sizes)),
                "p_sign_flip_smallest": 2.0 ** (1 - len(sums)),
            }
        )
    return found


def by_metric(metric: Metric, rows: Sequence[Row] = ROWS) -> dict[str, Any]:
    """Everything about one metric; IoU and accuracy in thousandths, epochs in epochs."""
    every = differences(metric, rows)
    sizes, counts = np.unique(np.abs(every), return_counts=True)
    sums, num_setups = cluster_sums(metric, "data set", rows)
    return {
        "test": asdict(paired_t(every)),
        "median": float(np.median(every)),
        "signed_rank": asdict(signed_rank(every)),
        "num_tied": int(counts[(counts > 1) | (sizes == 0)].sum()),
        "p_sign_flip": sign_flip(every),
        "p_sign": sign_test(every),
        "leave_one_out": [
            {"without": row.setup, "mean": test.mean, "p_two_sided": test.p_two_sided}
            for index, row in enumerate(rows)
            for test in [paired_t(np.delete(every, index))]
        ],
        "clusters": clusters(metric, rows),
        # The claim is about data sets in general; the grid has two at most (Demsar 2006, JMLR 7).
        "across_data_sets": {
            "reason": f"too few data sets to generalise: fewer than {MIN_DATA_SETS}",
            "num": len(sums),
            "mean": float((sums / num_setups).mean()),
            "test": None,
        },
    }


def all_metrics(
    rows: Sequence[Row] = ROWS, metrics: Sequence[Metric] = METRICS
) -> dict[str, dict[str, Any]]:
    """Every metric, and their p-values adjusted for being several.

    Args:
        rows: Three set-ups or more; by default the published ones.
        metrics: Those that are known of the set-ups, and not level in all of them.
    """
    found = {metric: by_metric(metric, rows) for metric in metrics}
    p = {metric: found[metric]["test"]["p_two_sided"] for metric in metrics}
    tested = [metric for metric in metrics if p[metric] is not None]
    adjusted = dict(zip(tested, holm([p[metric] for metric in tested]), strict=True))
    return {
        metric: all_of_it | {"p_holm": adjusted.get(metric), "num_holm": len(tested)}
        for metric, all_of_it in found.items()
    }
