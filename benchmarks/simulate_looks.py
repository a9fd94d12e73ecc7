"""How often does adding seeds until the verdict is clear go wrong? Prints Markdown tables.

    python benchmarks/simulate_looks.py [replicates | --quick]

Data sets of a known truth, as in `simulate_verdict.py`, are looked at with 3, 5, 8, 12 and 20
seeds and judged by the code of `vesica.statistics`, beside an interval of 95 % at every look, and
one whose two terms both have the share of the seeds. "Missed" counts the data sets in which the
interval of any look misses the true mean: no verdict is wrong more often.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t
from simulate_verdict import (
    ALPHA,
    NORMAL,
    SKEWED,
    UNIT_AND_RESIDUAL,
    Draw,
    effect_sds,
    simulate,
)

from vesica.statistics import MARGIN, MIN_SEEDS, Shares, compare, limit_of_images, shares_at, spent
from vesica.statistics.interval import MeanSquares, half_width, mean_squares, skewness_factor

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rule = Callable[[MeanSquares, Sequence[int]], Array]
Seen = dict[int, tuple[Array, MeanSquares]]
Effects = tuple[tuple[Draw, Draw], tuple[float, float, float]]

NUM_REPLICATES = 10_000
QUICK = 500
CHUNK = 500
LOOKS = (3, 5, 8, 12, 20)
OTHER_LOOKS = (tuple(range(3, 21)), (3, 20), (3, 6, 12, 24), (5, 10, 20, 40), (20,))
NUM_UNITS = (15, 60, 300)
SEED_RATIOS = (0.0, 0.3, 1.0, 3.0, 10.0, 100.0)
FAILS = 0.1
NUM_STARTED = 36
"""Pairs of runs from which 20 that trained are taken, where one run in ten fails."""


def shared(squares: MeanSquares, earlier: Sequence[int]) -> Array:
    """The interval of a look, as `compare` has it."""
    return half_width(squares, ALPHA, shares_at(squares.num_seeds, earlier))


def alone(squares: MeanSquares, earlier: Sequence[int]) -> Array:
    """An interval that knows of no other look."""
    return half_width(squares, ALPHA)


def both_spend(squares: MeanSquares, earlier: Sequence[int]) -> Array:
    """Both terms have the share of the seeds."""
    share = shares_at(squares.num_seeds, earlier).seed
    return half_width(squares, ALPHA, Shares(share, share))


RULES = (shared, alone, both_spend)


def chunks(num_replicates: int) -> Iterator[int]:
    """Sizes of a few data sets at a time, so that memory stays small."""
    for start in range(0, num_replicates, CHUNK):
        yield min(CHUNK, num_replicates - start)


def see(difference: Array, looks: Sequence[int]) -> Seen:
    """What is seen with so many seeds: means and mean squares."""
    tables = {num: difference[:, :num] for num in looks}
    return {num: (seen.mean(axis=(1, 2)), mean_squares(seen)) for num, seen in tables.items()}


def missed(seen: Seen, looks: Sequence[int], rule: Rule, mean: float = 0.0) -> Flags:
    """Whether any look up to each one has an interval below, or above, the true mean.

    Returns:
        Shape (looks, 2, replicates).
    """
    found = []
    for i, num in enumerate(looks):
        centre, squares = seen[num]
        half = rule(squares, looks[:i])
        found.append([centre + half < mean, centre - half > mean])
    return np.asarray(np.logical_or.accumulate(np.array(found), axis=0))


def within(seen: Seen, looks: Sequence[int]) -> Flags:
    """Whether any look up to each one has its interval within the margin.

    Returns:
        Shape (looks, replicates).
    """
    ends = []
    for i, num in enumerate(looks):
        centre, squares = seen[num]
        ends.append(np.abs(centre) + shared(squares, looks[:i]))
    return np.asarray(np.logical_or.accumulate(np.array(ends) <= MARGIN, axis=0))


def worst_rates(
    rng: np.random.Generator,
    shapes: Sequence[tuple[Draw, Draw]],
    shape: tuple[int, int],
    cases: Sequence[tuple[Sequence[int], Rule]],
) -> Array:
    """Share of data sets missed at any look, on any side and on the worse one, for each case.

    The highest over all ratios of seed noise to image noise and all sizes of the residual.

    Args:
        rng: Source of randomness.
        shapes: What effects are drawn from.
        shape: Replicates and units.
        cases: The looks, and the intervals seen there.

    Returns:
        Shape (cases, 2).
    """
    num_replicates, num_units = shape
    numbers = sorted({num for looks, _ in cases for num in looks})
    worst = np.zeros((len(cases), 2))
    for draws, ratio, sizes in product(shapes, SEED_RATIOS, UNIT_AND_RESIDUAL):
        sds = effect_sds(MIN_SEEDS, num_units, ratio, sizes)
        counts = np.zeros((len(cases), 3))
        for size in chunks(num_replicates):
            seen = see(simulate(rng, draws, (size, numbers[-1], num_units), sds), numbers)
            for i, (looks, rule) in enumerate(cases):
                below, above = missed(seen, looks, rule)[-1]
                counts[i] += (below | above).sum(), below.sum(), above.sum()
        rates = counts / num_replicates
        worst = np.maximum(worst, np.stack([rates[:, 0], rates[:, 1:].max(axis=1)], axis=1))
    return worst


def relative_width(num: int, share: float) -> float:
    """Width of a term of one number of seeds or units at a share of alpha, beside all of it."""

    def width(alpha: float) -> float:
        return float(student_t.isf(alpha / 2, num - 1) * skewness_factor(num, alpha) ** 0.5)

    return width(ALPHA * share) / width(ALPHA)


def print_shares() -> None:
    """What a look costs: alpha, and the width of each term beside that of a single look."""
    print("| seeds | alpha of this look | spent | width where seeds are all | images are all |")
    print("|" + "---:|" * 5)
    for i, num in enumerate(LOOKS):
        shares = shares_at(num, LOOKS[:i])
        widths = f"{relative_width(num, shares.seed):.2f} | {relative_width(60, shares.unit):.2f}"
        alphas = f"{ALPHA * shares.seed:.4f} | {ALPHA * spent(num):.4f}"
        print(f"| {num} | {alphas} | {widths} |")


def print_misses(rng: np.random.Generator, num_replicates: int) -> None:
    """The highest rates of missing the true mean at any look."""
    print("\nMissed at any look of 3, 5, 8, 12, 20: the highest rate over ratios of seed noise to")
    print("image noise, 0 to 100 at 3 seeds, and sizes of the residual. One side: `equivalent` at")
    print("the edge of the margin. Vesica / 95 % at every look / both terms at the seeds' share.\n")
    print("| images | normal | normal, one side | skewed | skewed, one side |")
    print("|" + "---:|" * 5)
    cases: list[tuple[Sequence[int], Rule]] = [(LOOKS, rule) for rule in RULES]
    for num_units in NUM_UNITS:
        rates = [
            worst_rates(rng, shapes, (num_replicates, num_units), cases).T
            for shapes in ((NORMAL,), SKEWED)
        ]
        cells = [" / ".join(f"{x:.3f}" for x in row) for row in np.concatenate(rates)]
        print(f"| {num_units} | " + " | ".join(cells) + " |", flush=True)
    print("\nVesica's rate at other looks, 60 images.\n")
    print("| looks | normal | skewed |\n| --- | ---: | ---: |")
    cases = [(looks, shared) for looks in OTHER_LOOKS]
    normal, skewed = (
        worst_rates(rng, shapes, (num_replicates, 60), cases)[:, 0]
        for shapes in ((NORMAL,), SKEWED)
    )
    for i, looks in enumerate(OTHER_LOOKS):
        name = "every number, 3 to 20" if len(looks) > 9 else ", ".join(map(str, looks))
        print(f"| {name} | {normal[i]:.3f} | {skewed[i]:.3f} |")


def print_power(rng: np.random.Generator, num_replicates: int) -> None:
    """How often a true difference has been found at each look."""
    print(
        "\nFound by 3 / 5 / 8 / 12 / 20 seeds, and seeds used up to 20: normal effects, 60 images,"
    )
    print("true differences in standard errors of 3 seeds; in brackets, 3 seeds and no other.\n")
    print("| ratio at 3 seeds | residual | 2 | 3 | 4 | 6 |\n|" + "---:|" * 6)
    for ratio, sizes in product((0.0, 1.0, 10.0), UNIT_AND_RESIDUAL[:2]):
        sds, cells = effect_sds(MIN_SEEDS, 60, ratio, sizes), []
        for errors in (2, 3, 4, 6):
            shift = errors * (1 + ratio) ** 0.5
            found, once = np.zeros(len(LOOKS)), 0
            for size in chunks(num_replicates):
                seen = see(shift + simulate(rng, NORMAL, (size, LOOKS[-1], 60), sds), LOOKS)
                found += missed(seen, LOOKS, shared).any(axis=1).sum(axis=1)
                once += missed(seen, LOOKS[:1], alone).any(axis=1).sum()
            by_look = found / num_replicates
            used = LOOKS[0] + np.dot(np.diff(LOOKS), 1 - by_look[:-1])
            shown = " / ".join(f"{share:.2f}" for share in by_look)
            cells.append(f"{shown}; {used:.1f} [{once / num_replicates:.2f}]")
        print(f"| {ratio:g} | {sizes[1]} | " + " | ".join(cells) + " |", flush=True)


def simulate_failures(
    rng: np.random.Generator, effects: Effects, shape: tuple[int, int], loss: str
) -> tuple[Array, Array]:
    """Differences where one run in ten fails, and how low each seed's validation score is.

    A failed run scores 0.3 to 0.6 less on every test image, and as much less on validation, give
    or take 0.02. The lower run of a seed counts. Standard errors of 1 are made ones of 0.01.

    Args:
        rng: Source of randomness.
        effects: Shapes and sizes of what varies among runs that trained.
        shape: Replicates and units.
        loss: Whose runs fail: "one" or "both".
    """
    started = (shape[0], NUM_STARTED)
    drops = [
        rng.uniform(0.3, 0.6, started) * (rng.random(started) < FAILS)
        for _ in range(2 if loss == "both" else 1)
    ]
    lows = [drop + 0.02 * rng.standard_normal(started) for drop in drops]
    shift = drops[-1] - drops[0] if loss == "both" else -drops[0]
    difference = 0.01 * simulate(rng, effects[0], (*started, shape[1]), effects[1])
    return difference + shift[:, :, None], np.max(lows, axis=0)


def that_trained(difference: Array, low: Array, limit: float) -> Array:
    """The first 20 seeds of which no run's validation score is so low."""
    first = np.argsort(low > limit, axis=1, kind="stable")[:, : LOOKS[-1], None]
    return np.take_along_axis(difference, first, axis=1)


def print_failures(rng: np.random.Generator, num_replicates: int) -> None:
    """Rates where one run in ten fails, with and without the rule that drops its seed."""
    print("\nOne run in ten fails; 60 images; missed at 3 / by 20 seeds, the highest rate over")
    print(
        "shapes, ratios and residuals. All seeds kept: the mean of all runs; else that of runs that"
    )
    print("trained. Dropped: seeds with a run whose validation score is so far below the usual.\n")
    print("| runs that fail | all seeds kept | dropped from 0.2 | from 0.35 |")
    print("| --- | ---: | ---: | ---: |")
    for loss in ("one", "both"):
        means = (-FAILS * 0.45 if loss == "one" else 0.0, 0.0, 0.0)
        every = []
        for draws, ratio, sizes in product((NORMAL, *SKEWED), (0.0, 1.0, 10.0), UNIT_AND_RESIDUAL):
            effects = draws, effect_sds(MIN_SEEDS, 60, ratio, sizes)
            counts = np.zeros((3, len(LOOKS)))
            for size in chunks(num_replicates):
                difference, low = simulate_failures(rng, effects, (size, 60), loss)
                for i, limit in enumerate((np.inf, 0.2, 0.35)):
                    seen = see(that_trained(difference, low, limit), LOOKS)
                    is_missed = missed(seen, LOOKS, shared, means[i])
                    counts[i] += is_missed.any(axis=1).sum(axis=1)
            every.append(counts / num_replicates)
        cells = [f"{row[0]:.3f} / {row[-1]:.3f}" for row in np.max(every, axis=0)]
        print(f"| of {loss} | " + " | ".join(cells) + " |", flush=True)


def print_limits(rng: np.random.Generator, num_replicates: int) -> None:
    """When the images are said to allow no verdict, does none come?"""
    print("\nHow often no number of seeds is said to be enough at 3, and at 5 seeds; in brackets,")
    print("how often a verdict comes all the same, by 20 and by 60 seeds, of all data sets. Margin")
    print("0.005, residuals of 0.02, normal effects.\n")
    print("| images | image noise | seed noise | mean | at 3 seeds | at 5 seeds |")
    print("|" + "---:|" * 6)
    looks = (*LOOKS, 40, 60)
    noises = ((60, 0.03, 0.0), (60, 0.03, 0.005), (200, 0.05, 0.002), (600, 0.03, 0.0))
    for (num_units, unit, seed), mean in product(noises, (0.0, 0.005, 0.01)):
        counts = np.zeros((2, 3))
        for _ in range(num_replicates):
            table = mean + simulate(rng, NORMAL, (1, looks[-1], num_units), (seed, unit, 0.02))[0]
            seen = see(table[None], looks)
            is_decided = (missed(seen, looks, shared).any(axis=1) | within(seen, looks))[:, 0]
            for i in (0, 1):
                found = compare(table[: looks[i]], earlier=looks[:i])
                if not is_decided[i] and limit_of_images(found).is_final:
                    counts[i] += 1, is_decided[LOOKS.index(20)], is_decided[-1]
        cells = [f"{n:.2f} ({a:.3f}, {b:.3f})" for n, a, b in counts / num_replicates]
        row = f"{num_units} | {unit} | {seed} | {mean}"
        print(f"| {row} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    asked = sys.argv[1] if len(sys.argv) > 1 else str(NUM_REPLICATES)
    num_replicates = QUICK if asked == "--quick" else int(asked)
    generator = np.random.default_rng(0)
    print_shares()
    print_misses(generator, num_replicates)
    print_power(generator, num_replicates)
    print_failures(generator, num_replicates)
    print_limits(generator, num_replicates // 10)
