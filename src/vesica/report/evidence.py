"""Two losses set against each other: seed by seed and test image by test image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vesica.judge import Setting, difference_of
from vesica.report import figures, plots
from vesica.report.sentences import say_needs, say_tests
from vesica.results import Comparison, Unjudged
from vesica.spelling import shown
from vesica.words import MINUS, say_list

MAX_ALL_PAIRS = 3
"""Losses; with more, only the first is set against each other one image by image."""

EXTREME_SHARE = 0.05
"""Of the test units, at least one: those without which the mean is shown too."""

SMALLEST_SHOWN = 0.05
"""In points: what is smaller reads as zero."""


@dataclass(frozen=True)
class Evidence:
    """The differences between two losses, on the seeds that both have."""

    name: str
    note: str
    seeds_plot: Markup
    units_plot: Markup
    scatter: Markup | None
    counts: str
    tests: str


def say_versus(pair: Comparison | Unjudged) -> str:
    """Which loss is subtracted from which."""
    return f"{shown(pair.challenger)} minus {shown(pair.baseline)}"


def show_evidence(
    pair: Comparison | Unjudged, setting: Setting, anchors: Mapping[str, str]
) -> Evidence | None:
    """The differences of a pair, and a point for each test image; None without common seeds.

    Args:
        pair: Judged or not.
        setting: Which has both losses.
        anchors: Of the test images that have a picture, by name.
    """
    seeds = sorted(set(setting.seeds_of(pair.challenger)) & set(setting.seeds_of(pair.baseline)))
    if not seeds or setting.scores is None:
        return None
    difference = difference_of((setting, pair.challenger), (setting, pair.baseline), seeds)
    by_unit = 100 * difference.mean(axis=0)
    units = "test images" if len(by_unit) == setting.num_images else "groups of test images"
    is_judged = isinstance(pair, Comparison)
    tests = [say_tests(pair), say_needs(pair)] if isinstance(pair, Comparison) else []
    counted = np.flatnonzero(setting.scores.counted)
    old, new = (
        setting.iou(loss, seeds).mean(axis=0)[counted] for loss in (pair.baseline, pair.challenger)
    )
    is_drawn = pair.baseline == setting.losses[0] or len(setting.losses) <= MAX_ALL_PAIRS
    losses, labels = (shown(pair.baseline), shown(pair.challenger)), setting.labels
    names = [labels[row] for row in counted]
    scatter = plots.draw_scatter((old, new), losses, names, anchors) if is_drawn else None
    return Evidence(
        name=say_versus(pair),
        note="" if is_judged else _describe_part(seeds),
        seeds_plot=figures.draw_seeds(difference, seeds, pair),
        units_plot=figures.draw_units(difference, pair, units),
        scatter=scatter,
        counts=f"{_count_sides(by_unit, pair, units)} {_describe_extremes(by_unit)}",
        tests=" ".join(filter(None, tests)),
    )


def _describe_part(seeds: Sequence[int]) -> str:
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"Only {word} {say_list(seeds)} so far: not all runs are there, and no verdict."


def _count_sides(by_unit: NDArray[np.float64], pair: Comparison | Unjudged, units: str) -> str:
    text = f"{shown(pair.challenger)} is ahead on {np.sum(by_unit > 0)} of {len(by_unit)} {units}, "
    text += f"{shown(pair.baseline)} on {np.sum(by_unit < 0)}"
    level = np.sum(by_unit == 0)
    be = "is" if level == 1 else "are"
    return f"{text}; {level} {be} level." if level else f"{text}."


def _describe_extremes(by_unit: NDArray[np.float64]) -> str:
    """The mean without the units that carry most of it; nothing about a mean of nothing."""
    num = max(1, int(EXTREME_SHARE * len(by_unit)))
    mean = float(by_unit.mean())
    if len(by_unit) <= num or abs(mean) < SMALLEST_SHOWN:
        return ""
    rest = np.sign(mean) * np.sort(np.sign(mean) * by_unit)[:-num]
    those = f"the {num} that count" if num > 1 else "the one that counts"
    text = f"Without {those} most, the mean of {mean:+.1f} points would be {rest.mean():+.1f}."
    return text.replace("-", MINUS)
