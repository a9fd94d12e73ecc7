"""A loss against itself: how often does a verdict find a difference where there is none?

    VESICA_SETS=DIR vesica run benchmarks/aa_study.py --out RUN
    VESICA_SETS=DIR python benchmarks/aa_study.py RUN

The first command trains one loss with many seeds on three sets of different density (a plan like
any other; it goes on where it stopped). The second draws seeds against other seeds, so that only
luck differs, and counts the intervals that exclude zero, the usual tests over images beside them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from vesica import statistics
from vesica.data.library import Library
from vesica.judge import read_settings
from vesica.plan import Cell, Recipe, Source, across
from vesica.run import open_run
from vesica.statistics import LOOKS

Array = NDArray[np.float64]

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


Tests = dict[str, Callable[[Array], bool]]
"""Each tells of differences, shape (seeds, units), whether it finds one."""

TESTS: Tests = {
    "verdict's interval": lambda d: _excludes_zero(statistics.compare(d)),
    "interval of a first look": lambda d: _excludes_zero(statistics.compare(d, earlier=())),
    "t-test over images": lambda d: statistics.paired_t(d.mean(axis=0)).p_two_sided < 0.05,
    "Wilcoxon over images": lambda d: wilcoxon(d.mean(axis=0)).pvalue < 0.05,
}


def _excludes_zero(found: statistics.Comparison) -> bool:
    return found.excludes_zero


def draws(iou: Array, num: int, rng: np.random.Generator) -> Array:
    """Differences of so many seeds minus so many others, all of them drawn without replacement."""
    chosen = rng.permutation(len(iou))[: 2 * num]
    difference: Array = iou[chosen[:num]] - iou[chosen[num:]]
    return difference


def looked_at(iou: Array, rng: np.random.Generator) -> bool:
    """Whether any look of a growing number of seeds finds a difference."""
    most = max(n for n in LOOKS if 2 * n <= len(iou))
    difference, earlier = draws(iou, most, rng), []
    for num in (n for n in LOOKS if n <= most):
        if statistics.compare(difference[:num], earlier=earlier).excludes_zero:
            return True
        earlier.append(num)
    return False


def shares(iou: Array, rng: np.random.Generator, num_draws: int) -> dict[str, float]:
    """Of all draws, those in which each test finds a difference."""
    found = {
        f"{name}, {num} against {num}": np.mean(
            [test(draws(iou, num, rng)) for _ in range(num_draws)]
        )
        for num in (3, 5)
        for name, test in TESTS.items()
    }
    found["until decided, up to 20"] = np.mean([looked_at(iou, rng) for _ in range(num_draws)])
    return {name: float(share) for name, share in found.items()}


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


def power(iou: Array, rng: np.random.Generator, num_draws: int) -> dict[str, float]:
    """With an effect planted in every image: the share that finds it, and that holds it.

    An image's effect is normal, mean 1 point, SD 2 points: images differ in what a loss gains.
    """
    found, held = [], []
    for _ in range(num_draws):
        difference = draws(iou, 5, rng)
        planted = 0.01 + 0.02 * rng.standard_normal(difference.shape[1])
        judged = statistics.compare(difference + planted)
        found.append(judged.excludes_zero)
        held.append(judged.low <= 0.01 <= judged.high)
    return {"found": float(np.mean(found)), "held": float(np.mean(held))}


def main(run: Path, num_draws: int = 1000, num_resamples: int = 40) -> None:
    """Print a row for each set and test; fail if a verdict's rate is above 5 % beyond luck."""
    print("| set | density | seeds | SD of a seed | test | finds a difference | 95 % interval |")
    print("| --- | ---: | ---: | ---: | --- | ---: | --- |")
    failed = []
    for setting in read_settings(run, open_run(run).cells):
        iou, cell = setting.by_unit("iou", setting.seeds_of("iou")), setting.cells[0]
        rates = shares(iou, np.random.default_rng(0), num_draws)
        intervals = bootstrap(iou, num_draws // 5, num_resamples)
        density = Library().arrays(cell.data, cell.size).masks.mean()
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
            f"| {planted['found']:.3f} | held in {planted['held']:.3f} |"
        )
    if failed:
        sys.exit("Above 5 %: " + "; ".join(failed))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
