"""Differences between rows of the tables: networks, sizes, hair."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesica.published.tables import LOSSES, Metric, Row, differences, rows, values
from vesica.statistics import MARGIN, holm, paired_t

FACTORS: dict[str, Callable[[Row], str]] = {
    "network": lambda row: row.network,
    "data": lambda row: row.data,
    "size": lambda row: row.size,
    "target": lambda row: "hair" if row.hair else "no hair",
}


@dataclass(frozen=True)
class Category:
    """Eight set-ups that share one value of a factor; IoU, in points.

    Attributes:
        factor: A key of `FACTORS`.
        name: The value.
        mean: Of the differences between the losses.
        low: Lower end of the t interval at 95 %; None where all differences are the same.
        high: Upper end.
        p: Two-sided paired t-test, all eight as independent.
        p_holm: Adjusted for as many categories as have a test.
    """

    factor: str
    name: str
    mean: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class Sparsity:
    """Advantage without hair minus advantage with hair, in points of IoU.

    Attributes:
        mean: Over the eight pairs of set-ups.
        low: Lower end of the t interval at 95 %.
        high: Upper end.
        p: Two-sided paired t-test.
        by_data: The mean of each data set.
        by_setup: All eight.
    """

    mean: float
    low: float
    high: float
    p: float
    by_data: dict[str, float]
    by_setup: list[float]

    @property
    def is_shown(self) -> bool:
        """Independence is shown if no effect beyond the margin is compatible with the tables."""
        return max(-self.low, self.high) <= 100 * MARGIN

    @property
    def words(self) -> str:
        """The figures in a sentence."""
        parts = ", ".join(f"{name} {mean:+.1f}" for name, mean in self.by_data.items())
        return (
            f"Without hair, where less is foreground, the advantage differs by {self.mean:+.1f} "
            f"points (95 % interval {self.low:+.1f} to {self.high:+.1f}, p = {self.p:.2f}): no "
            f"dependence is shown, and no independence either. {parts}; single pairs from "
            f"{min(self.by_setup):+.1f} to {max(self.by_setup):+.1f}."
        )


def matching(factor: str, value: str, chosen: Sequence[Row] | None = None) -> list[Row]:
    """The rows with this value; of two values of a factor, they come in the same order."""
    named = rows() if chosen is None else chosen
    return [row for row in named if FACTORS[factor](row) == value]


def between_networks(metric: Metric) -> NDArray[np.int64]:
    """BFCN-32s minus FCResNet, both losses."""
    return _between("network", "BFCN-32s", "FCResNet", metric)


def big_minus_small(metric: Metric) -> NDArray[np.int64]:
    """All training images minus 1000, both losses."""
    return _between("size", "big", "small", metric)


def error_ratio_of_networks() -> float:
    """Wrong pixels of FCResNet over those of BFCN-32s."""
    wrong = {
        name: sum(
            int((1000 - values("accuracy", loss, matching("network", name))).sum())
            for loss in LOSSES
        )
        for name in ("BFCN-32s", "FCResNet")
    }
    return wrong["FCResNet"] / wrong["BFCN-32s"]


def changes_with_size(metric: Metric) -> list[str]:
    """Set-ups in which the better loss differs between big and small."""
    return [
        f"{big.network}, {big.data}, {FACTORS['target'](big)} ({_say(big, metric)} on big, "
        f"{_say(small, metric)} on small)"
        for big, small in zip(matching("size", "big"), matching("size", "small"), strict=True)
        if np.sign(big.pair(metric).difference) != np.sign(small.pair(metric).difference)
    ]


def mean_by(factor: str, value: str) -> float:
    """The mean advantage of IoU loss on IoU, in points."""
    return float(differences("iou", matching(factor, value)).mean() / 10)


def categories(chosen: Sequence[Row] | None = None) -> list[Category]:
    """The paper's t-test within each category of two set-ups or more."""
    every = rows() if chosen is None else chosen
    named = [(f, v) for f, key in FACTORS.items() for v in dict.fromkeys(map(key, every))]
    named = [name for name in named if len(matching(*name, every)) > 1]
    tests = [paired_t(differences("iou", matching(*name, every)) / 10) for name in named]
    known = [test.p_two_sided for test in tests if test.p_two_sided is not None]
    adjusted = iter(holm(known))
    return [
        Category(factor, value, test.mean, None, None, None, None)
        if test.p_two_sided is None
        else Category(
            factor, value, test.mean, test.low, test.high, test.p_two_sided, next(adjusted)
        )
        for (factor, value), test in zip(named, tests, strict=True)
    ]


def sparsity() -> Sparsity:
    """Whether the advantage depends on hair being foreground."""
    without, with_hair = matching("target", "no hair"), matching("target", "hair")
    chosen = (differences("iou", without) - differences("iou", with_hair)) / 10
    test = paired_t(chosen)
    assert test.p_two_sided is not None
    by_data = {
        name: float(
            np.mean([d for d, row in zip(chosen, without, strict=True) if row.data == name])
        )
        for name in ("LFW", "HELEN")
    }
    return Sparsity(
        test.mean, test.low, test.high, test.p_two_sided, by_data, [float(d) for d in chosen]
    )


def _between(factor: str, first: str, second: str, metric: Metric) -> NDArray[np.int64]:
    return np.concatenate(
        [
            values(metric, loss, matching(factor, first))
            - values(metric, loss, matching(factor, second))
            for loss in LOSSES
        ]
    )


def _say(row: Row, metric: Metric) -> str:
    difference = row.pair(metric).difference
    return f"{difference:+d}" if metric == "epochs" else f"{difference / 10:+.1f}"
