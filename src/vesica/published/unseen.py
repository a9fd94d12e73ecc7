"""What the paper's analysis leaves out: shared images, ties, effect sizes, several metrics."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica.published.tables import METRICS, Metric, Row, differences, rows
from vesica.statistics import holm, paired_t, sign_flip, sign_test, signed_rank

MIN_DATA_SETS = 6
"""With five, the smallest two-sided value of an exact signed-rank test is 2/32, above 0.05."""

LEVELS: dict[str, Callable[[Row], tuple[object, ...]]] = {
    "pair": lambda row: (row.setup,),
    "data set x network x hair": lambda row: (row.data, row.network, row.hair),
    "data set x network": lambda row: (row.data, row.network),
    "data set x hair": lambda row: (row.data, row.hair),
    "data set": lambda row: (row.data,),
}
"""What counts once, from fine to coarse. All set-ups of a data set share their test images."""


def cluster_sums(
    metric: Metric, key: Callable[[Row], tuple[object, ...]], chosen: Sequence[Row] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Differences added within clusters, and how many each cluster has."""
    sums: dict[tuple[object, ...], int] = {}
    sizes: dict[tuple[object, ...], int] = {}
    for row in rows() if chosen is None else chosen:
        sums[key(row)] = sums.get(key(row), 0) + row.pair(metric).difference
        sizes[key(row)] = sizes.get(key(row), 0) + 1
    return np.array(list(sums.values())), np.array(list(sizes.values()))


def clusters(metric: Metric, chosen: Sequence[Row] | None = None) -> list[dict[str, Any]]:
    """The t-test and the exact sign-flip test of the cluster means, from fine to coarse.

    A level that has one cluster is left out.
    """
    found = []
    for name, key in LEVELS.items():
        sums, sizes = cluster_sums(metric, key, chosen)
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


def by_metric(metric: Metric, chosen: Sequence[Row] | None = None) -> dict[str, Any]:
    """Everything about one metric; IoU and accuracy in thousandths, epochs in epochs."""
    named = rows() if chosen is None else chosen
    all_differences = differences(metric, named)
    sums, sizes = cluster_sums(metric, LEVELS["data set"], named)
    return {
        "test": asdict(paired_t(all_differences)),
        "median": float(np.median(all_differences)),
        "signed_rank": asdict(signed_rank(all_differences)),
        "num_tied": _num_tied(all_differences),
        "p_sign_flip": sign_flip(all_differences),
        "p_sign": sign_test(all_differences),
        "leave_one_out": [
            {"without": row.setup, "mean": test.mean, "p_two_sided": test.p_two_sided}
            for index, row in enumerate(named)
            for test in [paired_t(np.delete(all_differences, index))]
        ],
        "clusters": clusters(metric, named),
        # The claim is about data sets in general; the grid has two at most (Demsar 2006, JMLR 7).
        "across_data_sets": {
            "reason": f"too few data sets to generalise: fewer than {MIN_DATA_SETS}",
            "num": len(sums),
            "mean": float((sums / sizes).mean()),
            "test": None,
        },
    }


def unseen(
    chosen: Sequence[Row] | None = None, metrics: Sequence[Metric] = METRICS
) -> dict[str, Any]:
    """All metrics, and their p-values adjusted for being several.

    Args:
        chosen: Three set-ups or more; by default the published ones.
        metrics: Those that are known of the set-ups, and not level in all of them.
    """
    found: dict[str, Any] = {metric: by_metric(metric, chosen) for metric in metrics}
    tested = [m for m in metrics if found[m]["test"]["p_two_sided"] is not None]
    adjusted = holm([found[metric]["test"]["p_two_sided"] for metric in tested])
    for metric in metrics:
        found[metric] |= {"p_holm": None, "num_holm": len(tested)}
    for metric, p in zip(tested, adjusted, strict=True):
        found[metric]["p_holm"] = p
    return found


def _num_tied(chosen: NDArray[np.int64]) -> int:
    """Differences that share their size with another one, or are 0."""
    sizes, counts = np.unique(np.abs(chosen), return_counts=True)
    return int(counts[(counts > 1) | (sizes == 0)].sum())
