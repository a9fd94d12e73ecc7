"""How often does the verdict find a difference where there is none? Prints two Markdown tables.

    python benchmarks/simulate_verdict.py [replicates]

Every data set is made of seed effects, unit effects and residuals of a known size and shape, and is
judged by the code of `vesica.statistics`, beside two other intervals: Satterthwaite's (one t
quantile; the seed mean square enlarged by (S - 1) / median of chi-square below five seeds) and a
t-test over the images, whose scores are averaged over the seeds.
"""

import sys
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
from scipy.stats import t as student_t

from vesica.statistics import LEVEL, MARGIN
from vesica.statistics.interval import MeanSquares, half_width, mean_squares

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

ALPHA = 1 - LEVEL
NUM_REPLICATES = 10_000
CHUNK = 500
NUM_SEEDS = (2, 3, 5, 10)
NUM_UNITS = (15, 60, 300)
SEED_RATIOS = (0.0, 0.3, 1.0, 3.0, 10.0)
UNIT_AND_RESIDUAL = ((1.0, 0.3), (1.0, 3.0), (0.0, 1.0))


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Mean 0, variance 1, skewness 0."""
    return rng.standard_normal(shape)


def exponential(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Mean 0, variance 1, skewness 2."""
    return rng.standard_exponential(shape) - 1


def mirrored(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Mean 0, variance 1, skewness -2."""
    return -exponential(rng, shape)


def lognormal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Mean 0, variance 1, skewness 1.75."""
    spread = np.exp(0.25)
    effect = np.exp(0.5 * rng.standard_normal(shape)) - spread**0.5
    return np.asarray(effect / np.sqrt(spread**2 - spread))


NORMAL = (normal, normal)
SKEWED = (
    (exponential, exponential),
    (exponential, mirrored),
    (exponential, normal),
    (normal, exponential),
    (lognormal, lognormal),
)


def simulate(
    rng: np.random.Generator,
    draws: tuple[Draw, Draw],
    shape: tuple[int, int, int],
    sds: tuple[float, float, float],
) -> Array:
    """Differences of true mean 0, shape (replicates, seeds, units).

    Args:
        rng: Source of randomness.
        draws: What seed effects, and unit effects and residuals, are drawn from.
        shape: Replicates, seeds, units.
        sds: Standard deviations of a seed effect, a unit effect and a residual.
    """
    num_replicates, num_seeds, num_units = shape
    draw_seed, draw_unit = draws
    seed = sds[0] * draw_seed(rng, (num_replicates, num_seeds, 1))
    unit = sds[1] * draw_unit(rng, (num_replicates, 1, num_units))
    return sds[2] * draw_unit(rng, shape) + seed + unit


def simulate_chunks(
    rng: np.random.Generator,
    draws: tuple[Draw, Draw],
    shape: tuple[int, int, int],
    sds: tuple[float, float, float],
) -> Iterator[tuple[Array, MeanSquares]]:
    """Means and mean squares, a few data sets at a time, so that memory stays small."""
    for start in range(0, shape[0], CHUNK):
        size = min(CHUNK, shape[0] - start)
        difference = simulate(rng, draws, (size, *shape[1:]), sds)
        yield difference.mean(axis=(1, 2)), mean_squares(difference)


def effect_sds(
    num_seeds: int, num_units: int, seed_ratio: float, unit_and_residual: tuple[float, float]
) -> tuple[float, float, float]:
    """Sizes of the effects, such that units and residuals give the mean a variance of 1.

    The seed effects give it a variance of `seed_ratio`.
    """
    unit, residual = unit_and_residual
    scale = (num_units / (unit**2 + residual**2 / num_seeds)) ** 0.5
    return (seed_ratio * num_seeds) ** 0.5, scale * unit, scale * residual


def satterthwaite_half_width(squares: MeanSquares, alpha: float) -> Array:
    """The interval of a single t quantile, Satterthwaite 1946."""
    df_seed, df_unit = squares.num_seeds - 1, squares.num_units - 1
    seed = squares.seed * (df_seed / chi2.median(df_seed) if squares.num_seeds < 5 else 1.0)
    numerator = np.maximum(seed + squares.unit - squares.residual, np.maximum(seed, squares.unit))
    spread = seed**2 / df_seed + squares.unit**2 / df_unit
    spread = spread + squares.residual**2 / (df_seed * df_unit)
    df = np.clip(numerator**2 / spread, min(df_seed, df_unit), max(df_seed, df_unit))
    size = squares.num_seeds * squares.num_units
    return np.asarray(student_t.isf(alpha / 2, df) * np.sqrt(numerator / size))


def image_t_test_half_width(squares: MeanSquares, alpha: float) -> Array:
    """The interval of a t-test over images; MS_unit / S is the variance of the unit means."""
    variance = squares.unit / (squares.num_seeds * squares.num_units)
    return np.asarray(student_t.isf(alpha / 2, squares.num_units - 1) * np.sqrt(variance))


METHODS = (half_width, satterthwaite_half_width, image_t_test_half_width)


def rejection_rates(
    rng: np.random.Generator,
    draws: tuple[Draw, Draw],
    shape: tuple[int, int, int],
    sds: tuple[float, float, float],
    shift: float = 0.0,
    alpha: float = ALPHA,
) -> Array:
    """Share of data sets of true mean `shift` whose interval excludes 0, for each of `METHODS`."""
    counts = np.zeros(len(METHODS))
    for mean, squares in simulate_chunks(rng, draws, shape, sds):
        counts += [(np.abs(mean + shift) > method(squares, alpha)).sum() for method in METHODS]
    return counts / shape[0]


def print_false_positives(rng: np.random.Generator, num_replicates: int) -> None:
    """The highest rate over all seed ratios and residuals, and the power at 3 standard errors."""
    print("Vesica / Satterthwaite / t-test over images. False positives: the highest rate at 95 %")
    print("over all ratios of seed noise to image noise, 0 to 10, and all sizes of the residual.")
    print("Power: with normal effects, at a true mean of 3 standard errors, by that ratio.\n")
    print("| seeds | images | normal | skewed | power, ratio 0 | ratio 1 | ratio 10 |")
    print("|" + "---:|" * 7)
    for num_seeds, num_units in product(NUM_SEEDS, NUM_UNITS):
        shape = (num_replicates, num_seeds, num_units)
        rates = [
            np.max(
                [
                    rejection_rates(rng, draws, shape, effect_sds(*shape[1:], ratio, sizes))
                    for draws, ratio, sizes in product(shapes, SEED_RATIOS, UNIT_AND_RESIDUAL)
                ],
                axis=0,
            )
            for shapes in ((NORMAL,), SKEWED)
        ]
        cells = [" / ".join(f"{rate:.3f}" for rate in by_method) for by_method in rates]
        for ratio in (0.0, 1.0, 10.0):
            sds = effect_sds(*shape[1:], ratio, UNIT_AND_RESIDUAL[0])
            power = rejection_rates(rng, NORMAL, shape, sds, shift=3 * (1 + ratio) ** 0.5)
            cells.append(" / ".join(f"{rate:.2f}" for rate in power))
        print(f"| {num_seeds} | {num_units} | " + " | ".join(cells) + " |", flush=True)


def print_power(rng: np.random.Generator, num_replicates: int) -> None:
    """What S seeds and N images can decide where effects have sizes in points of IoU."""
    print(
        "\nUnit effects and residuals of 3 points, normal: how often a true difference of 1 point"
    )
    print("is found, and how often no difference is called equivalent.\n")
    print("| seeds | images | seed noise, points | 1 point: found | 0 points: equivalent |")
    print("|" + "---:|" * 5)
    for num_seeds, num_units, points in product((3, 5, 10), (60, 300), (0.0, 0.3, 1.0)):
        shape, sds = (num_replicates, num_seeds, num_units), (points / 100, 0.03, 0.03)
        found = rejection_rates(rng, NORMAL, shape, sds, shift=0.01)[0]
        equivalent = sum(
            (np.abs(mean) + half_width(squares, ALPHA) <= MARGIN).sum()
            for mean, squares in simulate_chunks(rng, NORMAL, shape, sds)
        )
        share = equivalent / num_replicates
        print(f"| {num_seeds} | {num_units} | {points} | {found:.2f} | {share:.2f} |", flush=True)


if __name__ == "__main__":
    num_replicates = int(sys.argv[1]) if len(sys.argv) > 1 else NUM_REPLICATES
    generator = np.random.default_rng(0)
    print_false_positives(generator, num_replicates)
    print_power(generator, num_replicates)
