"""The eight sets of docs/results/eight: a table, the difference against density, the data-set test.

    python benchmarks/eight_sets.py docs/results/eight docs/images/eight-sets.png

Reads what `vesica compare` left of each set; prints the table as Markdown, and draws the curve.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from vesica import statistics
from vesica.judge import Setting, judge_pair, read_settings
from vesica.results import Comparison, GroupFindings, read_findings, read_plan
from vesica.statistics import MARGIN
from vesica.statistics.looks import LOOKS
from vesica.statistics.paired import paired_t, sign_flip, sign_test

mpl.use("Agg")

TICKS = (0.5, 1, 2, 5, 10, 20, 50)
MINUS = "\N{MINUS SIGN}"
PAIRS = (("bce", "iou"), ("bce", "lovasz_hinge"), ("iou", "lovasz_hinge"))
NAMES = {"bce": "BCE", "iou": "IoU loss", "lovasz_hinge": "Lovasz hinge"}


@dataclass(frozen=True)
class SetOfImages:
    """One of the sets.

    Attributes:
        density: Share of foreground of the test images' pixels.
    """

    name: str
    density: float
    setting: Setting
    group: GroupFindings

    def pair(self, old: str, new: str) -> Comparison:
        """The verdict on two losses."""
        (found,) = (c for c in self.group.comparisons if (c.baseline, c.challenger) == (old, new))
        assert isinstance(found, Comparison)
        return found


def read_set(run: Path) -> SetOfImages:
    """What a run's folder says."""
    (setting,) = read_settings(run, read_plan(run).cells)
    findings = read_findings(run)
    assert findings is not None
    assert setting.scores is not None
    return SetOfImages(run.name, float(setting.scores.shares[0]), setting, findings.groups[0])


def say(found: Comparison) -> str:
    """Difference, interval, verdict, and of an undecided one what limits it."""
    assert found.low is not None
    assert found.high is not None
    text = f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    if found.verdict == "undecided" and found.limit is not None:
        limit = "images" if found.limit.is_final else "seeds"
        return f"{text}, undecided: {limit}".replace("-", MINUS)
    return f"{text}, {found.verdict}".replace("-", MINUS)


def print_table(sets: list[SetOfImages]) -> None:
    """A row for each set, from the sparsest."""
    heads = [f"{NAMES[new]} - {NAMES[old]}" for old, new in PAIRS]
    print("| set | foreground | test images | seeds |", " | ".join(heads), "|")
    print("| --- | ---: | ---: | ---: |" + " ---: |" * len(PAIRS))
    for one in sets:
        pairs = [one.pair(*pair) for pair in PAIRS]
        folds = f", in {pairs[0].num_folds} folds" if pairs[0].num_folds > 1 else ""
        cells = [one.name, f"{100 * one.density:.2g} %", f"{pairs[0].num_images}{folds}"]
        print("|", " | ".join([*cells, str(pairs[0].num_seeds), *map(say, pairs)]), "|")


def print_tests(sets: list[SetOfImages]) -> None:
    """Over data sets: each counts once, whatever its images."""
    for old, new in PAIRS:
        means = np.array([100 * one.pair(old, new).mean for one in sets])
        t = paired_t(means)
        flipped = sign_flip([round(1000 * mean) for mean in means])
        num = sum(one.pair(old, new).verdict != "undecided" for one in sets)
        test = f"{t.low:+.2f} to {t.high:+.2f}; p = {t.p_two_sided:.3f} (t)"
        test += f", {flipped:.3f} (signs flipped), {sign_test(means):.3f} (sign test)"
        decided = f"{num} of {len(sets)} decided; mean over sets {means.mean():+.2f}"
        print(f"{NAMES[new]} - {NAMES[old]}: {decided}, 95 % interval {test}")
    densities = np.log10([one.density for one in sets])
    for old, new in PAIRS:
        means = np.array([one.pair(old, new).mean for one in sets])
        slope = 100 * np.polyfit(densities, means, 1)[0]
        print(f"{NAMES[new]} - {NAMES[old]}: {slope:+.2f} points per tenfold density")


def print_ways(sets: list[SetOfImages]) -> None:
    """IoU loss and BCE by the same cells, had less been asked of them."""
    print("| set | as run | two losses alone | and all seeds planned | and margin 1 point |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for one in sets:
        looks = [num for num in LOOKS if num < len(one.setting.seeds)]
        ways = [(MARGIN, len(PAIRS), looks), (MARGIN, 1, looks), (MARGIN, 1, None), (0.01, 1, None)]
        found = [judge_pair(one.setting, ("bce", "iou"), *way) for way in ways]
        texts = [say(c) if isinstance(c, Comparison) else c.reason for c in found]
        print("|", " | ".join([one.name, *texts]), "|")


def draw(sets: list[SetOfImages], target: Path) -> None:
    """The difference of IoU loss and BCE against density."""
    figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    axes.axhspan(-0.5, 0.5, color="0.92")
    axes.axhline(0, color="0.4", linewidth=0.8)
    for one in sets:
        found = one.pair("bce", "iou")
        assert found.low is not None
        assert found.high is not None
        is_decided = found.verdict != "undecided"
        axes.errorbar(
            [100 * one.density],
            [100 * found.mean],
            [[100 * (found.mean - found.low)], [100 * (found.high - found.mean)]],
            fmt="o",
            color="#1f5fa8",
            markerfacecolor="#1f5fa8" if is_decided else "white",
            capsize=3,
        )
        place = (100 * one.density, 100 * found.high)
        axes.annotate(one.name, place, (0, 4), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, map(str, TICKS))
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.25, 65)
    axes.set_xlabel("foreground, % of pixels")
    axes.set_ylabel("IoU loss minus BCE, points")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=150)


def main() -> None:
    """Print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    runs = sorted(path.parent for path in args.runs.glob("*/plan.json"))
    sets = sorted((read_set(run) for run in runs), key=lambda one: one.density)
    print_table(sets)
    print(f"\nIntervals: {100 * (1 - (1 - statistics.LEVEL) / len(PAIRS)):.1f} % each.\n")
    print_tests(sets)
    print()
    print_ways(sets)
    draw(sets, args.picture)


if __name__ == "__main__":
    main()
