"""What the paper's analysis leaves out: shared images, ties, effect sizes, several metrics."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesica.published.recomputed import as_in_the_paper
from vesica.published.tables import METRICS, Metric, Row, differences, rows
from vesica.statistics import (
    across_data_sets,
    holm,
    leave_one_out,
    paired_t,
    sign_flip,
    sign_test,
    signed_rank,
)

LEVELS: dict[str, Callable[[Row], tuple[object, ...]]] = {
    "pair": lambda row: (row.setup,),
    "data set x network x hair": lambda row: (row.data, row.network, row.hair),
    "data set x network": lambda row: (row.data, row.network),
    "data set x hair": lambda row: (row.data, row.hair),
    "data set": lambda row: (row.data,),
}
"""What counts once, from fine to coarse. All set-ups of a data set share their test images."""


def cluster_sums(metric: Metric, key: Callable[[Row], tuple[object, ...]]) -> NDArray[np.int64]:
    """Differences added within clusters, which all have the same size."""
    sums: dict[tuple[object, ...], int] = {}
    for row in rows():
        sums[key(row)] = sums.get(key(row), 0) + row.pair(metric).difference
    return np.array(list(sums.values()), dtype=np.int64)


def clusters(metric: Metric) -> list[dict[str, Any]]:
    """The t-test and the exact sign-flip test of the cluster means, from fine to coarse."""
    found = []
    for name, key in LEVELS.items():
        sums = cluster_sums(metric, key)
        test = paired_t(sums * len(sums) / len(rows()))
        found.append(
            {
                "counts_once": name,
                "num": len(sums),
                "test": asdict(test),
                "p_sign_flip": sign_flip(sums),
                "p_sign_flip_smallest": 2.0 ** (1 - len(sums)),
            }
        )
    return found


def by_metric(metric: Metric) -> dict[str, Any]:
    """Everything about one metric; IoU and accuracy in thousandths, epochs in epochs."""
    chosen = differences(metric)
    without = leave_one_out(chosen)
    by_data_set = cluster_sums(metric, LEVELS["data set"])
    return {
        "test": asdict(as_in_the_paper()[metric]),
        "median": float(np.median(chosen)),
        "signed_rank": asdict(signed_rank(chosen)),
        "num_tied": _num_tied(chosen),
        "p_sign_flip": sign_flip(chosen),
        "p_sign": sign_test(chosen),
        "leave_one_out": [
            {"without": row.setup, "mean": test.mean, "p_two_sided": test.p_two_sided}
            for row, test in zip(rows(), without, strict=True)
        ],
        "clusters": clusters(metric),
        "across_data_sets": asdict(across_data_sets(by_data_set * len(by_data_set) / len(rows()))),
    }


def unseen() -> dict[str, Any]:
    """All metrics, and their p-values adjusted for being three."""
    found: dict[str, Any] = {metric: by_metric(metric) for metric in METRICS}
    adjusted = holm([found[metric]["test"]["p_two_sided"] for metric in METRICS])
    for metric, p in zip(METRICS, adjusted, strict=True):
        found[metric]["p_holm"] = p
    return found


def _num_tied(chosen: NDArray[np.int64]) -> int:
    """Differences that share their size with another one, or are 0."""
    sizes, counts = np.unique(np.abs(chosen), return_counts=True)
    return int(counts[(counts > 1) | (sizes == 0)].sum())
