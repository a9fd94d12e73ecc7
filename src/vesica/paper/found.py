"""What our own runs say of the paper's sentences."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import Any

import numpy as np

from vesica.paper.published import FOREGROUND, LOSSES, ROWS, Row
from vesica.statistics import holm
from vesica.words import count_of, say_list

COLUMNS = (
    *("kind", "name", "size", "target", "num_seeds", "verdict"),
    *("mean", "low", "high", "p_value", "soft", "accuracy_bce", "accuracy_iou"),
    *("iou_bce", "iou_iou", "soft_bce", "soft_iou", "epochs_bce", "epochs_iou"),
)
"""Of `found.csv`: differences are IoU loss minus BCE loss in points; `soft` is of soft IoU."""

SLOPE_COLUMNS = (
    *("name", "num_seeds", "verdict", "slope", "low", "high"),
    *("densest", "densest_mean", "sparsest", "sparsest_mean"),
)
"""Of `slopes.csv`: points for each tenfold lower density, and the differences at both ends."""

CLASS_COLUMNS = (
    *("name", "num_seeds", "level", "verdict", "mean", "low", "high"),
    *("class_name", "share", "class_verdict", "class_mean", "iou_ce", "iou_iou"),
)
"""Of `classes.csv`, a row for each class: its share of the pixels, IoU loss minus cross-entropy in
points, of the mean over all classes of the set and of the class, and the IoU of the class."""

NEAR = 2.0
"""Points of IoU."""

DRAWN = 1.0
"""Points of IoU below which a loss does not draw a class."""

SLOPE_WORDS = {
    "better": "IoU loss gains",
    "worse": "BCE loss gains",
    "equivalent": "it hardly moves",
    "undecided": "undecided",
}


@dataclass(frozen=True)
class Found:
    """IoU loss against BCE loss in a set-up of ours; differences in points.

    Attributes:
        kind: "faces", a set-up of the paper on a smaller scale; "full", at the paper's size;
            "averaged", the same trainings by the average of their weights; "networks", one of
            several on the same faces; or "sets".
        mean, low, high: Of masks, with the interval over seeds and test images; no interval of a
            single seed.
        p_value: Of that difference by itself.
        soft: Of soft IoU.
        accuracy_bce, accuracy_iou, iou_bce, iou_iou: Of masks, in points.
        soft_bce, soft_iou: Soft IoU, in points.
        epochs_bce, epochs_iou: After which the paper's rule ended training; None where it did not.
    """

    kind: str
    name: str
    size: str
    target: str
    num_seeds: int
    verdict: str
    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    soft: float
    accuracy_bce: float
    accuracy_iou: float
    iou_bce: float
    iou_iou: float
    soft_bce: float
    soft_iou: float
    epochs_bce: float | None
    epochs_iou: float | None

    @property
    def accuracy(self) -> float:
        """The difference of accuracies."""
        return self.accuracy_iou - self.accuracy_bce

    @property
    def published(self) -> Row:
        """The paper's row of this set-up, of BFCN-32s."""
        return next(
            row
            for row in ROWS
            if row.network == "BFCN-32s"
            and self.name.startswith(row.data)
            and (row.size, FOREGROUND[row.hair]) == (self.size, self.target)
        )

    def is_near(self, reading: str) -> bool:
        """Whether both losses are within `NEAR` of the published IoU, as "iou" or "soft"."""
        return all(
            abs(getattr(self, f"{reading}_{loss}") - getattr(self.published.iou, loss) / 10) <= NEAR
            for loss in LOSSES
        )

    @property
    def set_up(self) -> str:
        """One of the paper's."""
        return f"{self.name}, {self.size}, {'hair' if '+' in self.target else 'no hair'}"

    @property
    def label(self) -> str:
        """What a reader calls it."""
        scale = {"full": "full size: ", "averaged": "full size, averaged: "}.get(self.kind, "")
        return self.name if self.kind in ("sets", "networks") else f"{scale}{self.set_up}"


@dataclass(frozen=True)
class Slope:
    """How IoU loss minus BCE moves as background alone is added.

    Attributes:
        name: Of the objects.
        slope, low, high: Points for each tenfold lower density, with the interval.
        densest, sparsest: Shares of foreground.
        densest_mean, sparsest_mean: The differences there, in points.
    """

    name: str
    num_seeds: int
    verdict: str
    slope: float
    low: float
    high: float
    densest: float
    densest_mean: float
    sparsest: float
    sparsest_mean: float

    def __str__(self) -> str:
        return (
            f"{self.name}, {self.densest_mean:+.1f} at {self.densest:.2g} and "
            f"{self.sparsest_mean:+.1f} at {self.sparsest:.2g}, {self.slope:+.1f} for each tenfold "
            f"lower density ({self.low:+.1f} to {self.high:+.1f}; {SLOPE_WORDS[self.verdict]})"
        )


@dataclass(frozen=True)
class OneClass:
    """IoU loss against cross-entropy on one class of a set, both on softmax; differences in points.

    Attributes:
        name: Of the set.
        level: Of the intervals, which is higher where there are more losses.
        verdict, mean, low, high: Of the mean over its classes.
        share: Of the pixels.
        class_verdict, class_mean: Of this class.
        iou_ce, iou_iou: Of this class.
    """

    name: str
    num_seeds: int
    level: float
    verdict: str
    mean: float
    low: float
    high: float
    class_name: str
    share: float
    class_verdict: str
    class_mean: float
    iou_ce: float
    iou_iou: float


def read_slopes() -> list[Slope]:
    """Every set of objects that was laid on growing canvases."""
    return [
        Slope(**{name: _read(name, row[name]) for name in SLOPE_COLUMNS})
        for row in _rows("slopes.csv")
    ]


def read_classes() -> list[OneClass]:
    """Every class of every set that was run with several."""
    return [
        OneClass(**{name: _read(name, row[name]) for name in CLASS_COLUMNS})
        for row in _rows("classes.csv")
    ]


def _rows(file: str) -> Iterable[dict[str, str]]:
    text = resources.files("vesica.paper").joinpath(file).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())


def _read(name: str, value: str) -> Any:
    if name in ("name", "verdict", "class_name", "class_verdict"):
        return value
    return int(value) if name == "num_seeds" else float(value)


def say_classes(found: Sequence[OneClass]) -> str:
    """Of each set the mean over its classes, those with most and fewest pixels, those where the
    difference is least and most, and those that one loss does not draw, or both."""
    said = []
    for name, group in groupby(found, key=lambda one: one.name):
        classes = sorted(group, key=lambda one: -one.share)
        drawn = [one for one in classes if max(one.iou_ce, one.iou_iou) >= DRAWN]
        first, last = drawn[0], drawn[-1]
        least, *_, most = sorted(drawn, key=lambda one: one.class_mean)
        num_decided = sum(one.class_verdict != "undecided" for one in drawn)
        said.append(
            f"{name}, {first.mean:+.1f} ({100 * first.level:.3g} % interval {first.low:+.1f} to "
            f"{first.high:+.1f}, {first.verdict}), {num_decided} of {len(drawn)} classes decided, "
            f"{first.class_mean:+.1f} on {first.class_name} ({100 * first.share:.2g} % of pixels, "
            f"the most) and {last.class_mean:+.1f} on {last.class_name} "
            f"({100 * last.share:.2g} %, the fewest), from {least.class_mean:+.1f} on "
            f"{least.class_name} to {most.class_mean:+.1f} on {most.class_name}{_drawn(classes)}"
        )
    return "; ".join(said)


def _drawn(classes: Sequence[OneClass]) -> str:
    """Which classes only one loss draws, or neither."""
    by_drawing: dict[tuple[bool, bool], list[str]] = {}
    for one in classes:
        draws = one.iou_ce >= DRAWN, one.iou_iou >= DRAWN
        by_drawing.setdefault(draws, []).append(one.class_name)
    said = (
        ("only IoU loss draws", by_drawing.get((False, True))),
        ("only cross-entropy draws", by_drawing.get((True, False))),
        ("neither draws", by_drawing.get((False, False))),
    )
    return "".join(f", {what} {say_list(names)}" for what, names in said if names)


def read_found() -> list[Found]:
    """Every set-up that was run."""
    return [_parse(row) for row in _rows("found.csv")]


def _parse(row: dict[str, str]) -> Found:
    words = ("kind", "name", "size", "target", "verdict")
    values: dict[str, Any] = {
        name: float(row[name]) if row[name] else None for name in COLUMNS if name not in words
    }
    values |= {name: row[name] for name in words}
    return Found(**values | {"num_seeds": int(row["num_seeds"])})


def facts(found: list[Found]) -> dict[str, Any]:
    """The values that `found.toml` names."""
    faces = [f for f in found if f.kind == "faces"]
    means, soft, accuracy = (
        np.array([getattr(f, name) for f in faces]) for name in ("mean", "soft", "accuracy")
    )
    pairs = _sizes_of(faces)
    lost = [
        getattr(big, name) - getattr(small, name)
        for big, small in pairs
        for name in ("iou_bce", "iou_iou")
    ]
    sets = sorted((f for f in found if f.kind == "sets"), key=lambda f: -f.mean)
    networks = [f for f in found if f.kind == "networks"]
    return {
        "num": len(faces),
        "num_decided": sum(f.verdict != "undecided" for f in faces),
        "mask_wins": int((means > 0).sum()),
        "num_multiple": int((means >= 2).sum()),
        "mask_low": means.min(),
        "mask_high": means.max(),
        "soft_wins": int((soft > 0).sum()),
        "soft_low": soft.min(),
        "soft_high": soft.max(),
        "full": say_full(found),
        "full_seeds": say_seeds(found),
        "full_epochs": say_epochs(found),
        "full_sizes": say_sizes(found),
        "accuracy_low": accuracy.min(),
        "accuracy_high": accuracy.max(),
        "accuracy_falls": int((accuracy < 0).sum()),
        "num_pairs": len(pairs),
        "num_changed": sum(big.mean * small.mean < 0 for big, small in pairs),
        "num_sizes": len(lost),
        "small_worse": sum(value > 0 for value in lost),
        "small_mean": float(np.mean(lost)),
        "slopes": "; ".join(map(str, read_slopes())),
        "classes": say_classes(read_classes()),
        "sets": _say_verdicts(sets),
        "networks": _say_verdicts(networks),
        "num_networks": len(networks),
        "network_p": min(holm([f.p_value for f in networks if f.p_value is not None])),
    }


def _say_verdicts(found: Sequence[Found]) -> str:
    return ", ".join(f"{f.name} {f.mean:+.1f} ({f.verdict})" for f in found)


def say_full(found: Sequence[Found]) -> str:
    """Each set-up at the paper's size: masks, the same averaged, and soft IoU."""
    averaged = {f.set_up: f.mean for f in found if f.kind == "averaged"}
    said = []
    for f in (f for f in found if f.kind == "full"):
        mean = averaged.get(f.set_up)
        by_average = "" if mean is None else f", of averaged weights {mean:+.1f}"
        said.append(f"{f.set_up} {f.mean:+.1f}{by_average}, soft {f.soft:+.1f}")
    return "; ".join(said)


def say_sizes(found: Sequence[Found]) -> str:
    """At the paper's size, what training on fewer images costs each loss."""
    return "; ".join(
        f"{big.name}, {'hair' if '+' in big.target else 'no hair'}, IoU loss "
        f"{small.iou_iou - big.iou_iou:+.1f}, BCE {small.iou_bce - big.iou_bce:+.1f}"
        for big, small in _sizes_of([f for f in found if f.kind == "full"])
    )


def _sizes_of(found: Sequence[Found]) -> list[tuple[Found, Found]]:
    """Big and small of each data set and target that has both."""
    by_place = {(f.name, f.target, f.size): f for f in found}
    return [
        (by_place[name, target, "big"], small)
        for (name, target, size), small in by_place.items()
        if size == "small" and (name, target, "big") in by_place
    ]


def say_seeds(found: Sequence[Found]) -> str:
    """How many there are of each set-up at the paper's size."""
    nums = sorted({f.num_seeds for f in found if f.kind == "full"})
    return count_of(nums[0], "seed") if len(nums) == 1 else f"{nums[0]} to {nums[-1]} seeds"


def say_epochs(found: Sequence[Found]) -> str:
    """Of each set-up that converged at the paper's size, when the paper's rule ended training."""
    return "; ".join(
        f"{f.set_up}, IoU loss after {f.epochs_iou:.0f}, BCE after {f.epochs_bce:.0f}"
        for f in found
        if f.kind == "full" and f.epochs_iou is not None and f.epochs_bce is not None
    )
