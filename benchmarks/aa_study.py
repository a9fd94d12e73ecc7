"""A loss against itself: how often does a verdict find a difference where there is none?

    VESICA_SETS=DIR vesica run benchmarks/aa_study.py --out RUN
    python benchmarks/aa_study.py RUN

The first command trains one loss with many seeds on three sets of different density (a plan like
any other; it goes on where it stopped). The second draws seeds against other seeds, so that only
luck differs, and counts the intervals that exclude zero, the usual tests over images beside them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, wilcoxon

from vesica.judge import read_settings
from vesica.plan import Cell, Recipe, Source, across
from vesica.results import read_scores
from vesica.run import open_run
from vesica.statistics import LOOKS, Shares, shares_at
from vesica.statistics.interval import half_width, mean_squares
from vesica.statistics.looks import ONCE

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

ALPHA = 0.05
PLANTED = 0.01

SETS = ("cracks", "polyps", "flood")
NUM_SEEDS = 40


def plan() -> list[Cell]:
    """Small images, short trainings: what is asked is what seeds do, not how good a network is."""
    base = Cell(
        data=Source(path=""),
        model="unet",
        size=64,
        weights="lite0",
        loss="iou",
        recipe=Recipe(
            optimizer="adamw:lr=3e-3",
            average="ema:decay=0.99",
            steps=300,
            batch=16,
            patience=0,
            keep="last",
            precision="bf16",
        ),
    )
    sets = Path(__file__).resolve().parent / "sets.py"
    paths = [f"{sets}:{name}:val=0.1:test=0.4" for name in SETS]
    return across(base, seed=range(NUM_SEEDS), path=paths)


def _excludes_zero(difference: Array, shares: Shares = ONCE) -> Flags:
    """By the verdict's interval, for each table of shape (seeds, units)."""
    half = half_width(mean_squares(difference), ALPHA, shares)
    return np.asarray(np.abs(difference.mean(axis=(-2, -1))) > half)


def _t_test(difference: Array) -> Flags:
    return np.asarray(ttest_1samp(difference.mean(axis=-2), 0, axis=-1).pvalue < ALPHA)


def _wilcoxon(difference: Array) -> Flags:
    return np.asarray(wilcoxon(difference.mean(axis=-2), axis=-1).pvalue < ALPHA)


TESTS: dict[str, Callable[[Array], Flags]] = {
    "verdict's interval, one planned look": _excludes_zero,
    "t-test over images": _t_test,
    "Wilcoxon over images": _wilcoxon,
}
"""Each tells of differences, shape (draws, seeds, units), in which draws it finds one."""


def draws(iou: Array, num: int, rng: np.random.Generator, num_draws: int) -> Array:
    """Differences of so many seeds minus so many others, drawn without replacement."""
    chosen = np.array([rng.permutation(len(iou))[: 2 * num] for _ in range(num_draws)])
    difference: Array = iou[chosen[:, :num]] - iou[chosen[:, num:]]
    return difference


def _looked_at(iou: Array, rng: np.random.Generator, num_draws: int) -> Flags:
    """Whether any look of a growing number of seeds finds a difference."""
    numbers = [num for num in LOOKS if 2 * num <= len(iou)]
    difference = draws(iou, numbers[-1], rng, num_draws)
    found = [
        _excludes_zero(difference[:, :num], shares_at(num, [n for n in numbers if n < num]))
        for num in numbers
    ]
    any_look: Flags = np.any(found, axis=0)
    return any_look


def shares(iou: Array, rng: np.random.Generator, num_draws: int) -> dict[str, float]:
    """Of all draws, those in which each test finds a difference."""
    found = {
        f"{name}, {num} against {num}": float(np.mean(test(draws(iou, num, rng, num_draws))))
        for num in (3, 5)
        for name, test in TESTS.items()
    }
    return found | {"until decided": float(np.mean(_looked_at(iou, rng, num_draws)))}


def bootstrap(iou: Array, num_draws: int, num_resamples: int) -> dict[str, tuple[float, float]]:
    """Intervals of the shares over the runs that might have been trained.

    Runs are drawn with replacement; a run that is drawn twice is never set against itself: of its
    copies one stays, so that resamples have fewer seeds, as draws of 20 against 20 then have.
    """
    rng = np.random.default_rng(1)
    resampled = []
    for _ in range(num_resamples):
        rows = np.unique(rng.integers(len(iou), size=len(iou)))
        resampled.append(shares(iou[rows], rng, num_draws))
    return {
        name: tuple(np.quantile([r[name] for r in resampled], (0.025, 0.975)))
        for name in resampled[0]
    }


def power(iou: Array, rng: np.random.Generator, num_draws: int) -> tuple[float, float]:
    """With an effect planted in every image: the share of intervals that find it, and hold it.

    An image's effect is normal, mean 1 point, SD 2 points: images differ in what a loss gains.
    """
    difference = draws(iou, 5, rng, num_draws)
    planted = PLANTED + 0.02 * rng.standard_normal((num_draws, 1, iou.shape[1]))
    off = np.abs((difference + planted).mean(axis=(-2, -1)) - PLANTED)
    half = half_width(mean_squares(difference + planted), ALPHA)
    return float(np.mean(_excludes_zero(difference + planted))), float(np.mean(off <= half))


def main(run: Path, num_draws: int = 4000, num_resamples: int = 200) -> None:
    """Print a row for each set and test; fail if a verdict's rate is above 5 % beyond luck."""
    print("| set | density | seeds | SD of a seed | test | finds a difference | 95 % interval |")
    print("| --- | ---: | ---: | ---: | --- | ---: | --- |")
    failed = []
    for setting in read_settings(run, open_run(run).cells):
        iou, cell = setting.by_unit("iou", setting.seeds_of("iou")), setting.cells[0]
        rates = shares(iou, np.random.default_rng(0), num_draws)
        intervals = bootstrap(iou, num_draws // 10, num_resamples)
        counts = read_scores(setting.of("iou")[0]).counts
        density = (counts.tp + counts.fn).sum() / (cell.size**2 * len(counts.tp))
        sd = 100 * iou.mean(axis=1).std(ddof=1)
        for name, rate in rates.items():
            low, high = intervals[name]
            print(
                f"| {cell.data.target} | {density:.3f} | {len(iou)} | {sd:.2f} | {name} "
                f"| {rate:.3f} | {low:.3f} to {high:.3f} |"
            )
            if "images" not in name and low > 0.05:
                failed.append(f"{cell.data.target}, {name}: {low:.3f}")
        planted = power(iou, np.random.default_rng(2), num_draws)
        print(
            f"| {cell.data.target} | | | | planted: +1 point, SD 2 over images, 5 against 5 "
            f"| {planted[0]:.3f} | held in {planted[1]:.3f} |"
        )
    if failed:
        sys.exit("Above 5 %: " + "; ".join(failed))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
