"""Do the tests beside the verdict keep what they promise? Prints Markdown tables.

    python benchmarks/simulate_statistics.py [replicates]

Every data set is drawn with a known truth and judged by the code of `vesica.statistics`.
"""

import sys
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from vesica.statistics import (
    LEVEL,
    MARGIN,
    Noise,
    equivalence_p_value,
    holm,
    images_needed,
    paired_t,
    power_at,
    seeds_needed,
    sign_flip,
    signed_rank,
)
from vesica.statistics.interval import half_width, mean_squares

Array = NDArray[np.float64]
NUM_REPLICATES = 5000
SHAPES = ("normal", "uniform", "exponential")


def draw(rng: np.random.Generator, shape: str, size: tuple[int, ...]) -> Array:
    """Mean 0, variance 1."""
    if shape == "uniform":
        return rng.uniform(-(3**0.5), 3**0.5, size)
    if shape == "exponential":
        return rng.standard_exponential(size) - 1
    return rng.standard_normal(size)


def print_paired(rng: np.random.Generator, num: int) -> None:
    """False positives of the tests of a short list, and coverage of the effect size's interval."""
    print("\nFalse positives at 5 %, and coverage of the interval of an effect size of 0.8.\n")
    print("| differences | shape | t-test | signed rank | sign flip | effect size held |")
    print("|" + "---|" * 6)
    for size, shape in product((8, 16), SHAPES):
        values = draw(rng, shape, (num, size))
        whole = np.rint(1000 * values).astype(np.int64)
        # 2^16 patterns each: a tenth of the replicates will do.
        few = whole[: max(num // (10 if size > 10 else 1), 1)]
        t = np.mean(np.asarray(ttest_1samp(values, 0, axis=1).pvalue) < 0.05)
        ranks = np.mean([signed_rank(row).p_two_sided <= 0.05 for row in few])
        flips = np.mean([sign_flip(row) <= 0.05 for row in few])
        tests = [paired_t(row + 0.8) for row in values[: num // 5]]
        held = np.mean([(x.effect_low or 0) <= 0.8 <= (x.effect_high or 0) for x in tests])
        print(f"| {size} | {shape} | {t:.3f} | {ranks:.3f} | {flips:.3f} | {held:.3f} |")


def print_holm(rng: np.random.Generator, num: int) -> None:
    """How often any of m true null hypotheses is rejected."""
    print("\nSeveral losses that do not differ: how often any is called different at 5 %.\n")
    print("| comparisons | correlation | unadjusted | Holm |")
    print("|" + "---:|" * 4)
    for tests, share in product((3, 6), (0.0, 0.5)):
        common = share**0.5 * rng.standard_normal((num, 12, 1))
        values = common + (1 - share) ** 0.5 * rng.standard_normal((num, 12, tests))
        p = np.asarray(ttest_1samp(values, 0, axis=1).pvalue)
        adjusted = np.mean([min(holm(row)) < 0.05 for row in p])
        print(f"| {tests} | {share} | {np.mean(p.min(axis=1) < 0.05):.3f} | {adjusted:.3f} |")


def draw_tables(
    rng: np.random.Generator, noise: Noise, size: tuple[int, int, int], mean: float
) -> Array:
    """Normal differences, shape (replicates, seeds, units)."""
    num, num_seeds, num_units = size
    seed = noise.seed_sd * rng.standard_normal((num, num_seeds, 1))
    unit = noise.unit_sd * rng.standard_normal((num, 1, num_units))
    return mean + seed + unit + noise.residual_sd * rng.standard_normal(size)


def print_equivalence_and_power(rng: np.random.Generator, num: int) -> None:
    """Equivalence called wrongly at the margin, and power as predicted and as it comes out."""
    print("\nA true difference of the margin: how often it is called equivalent (at most 2.5 %),")
    print("how often it is found, as predicted and as it comes out, and what 80 % would need.\n")
    print(
        "| seeds | images | seed noise | called equivalent | predicted | found | seeds | images |"
    )
    print("|" + "---:|" * 8)
    for num_seeds, num_units, points in product((3, 10), (100, 500), (0.0, 0.2, 0.5)):
        noise = Noise(points / 100, 0.02, 0.02)
        wrong, found = [], []
        for _ in range(max(num // 100, 1)):
            table = draw_tables(rng, noise, (100, num_seeds, num_units), MARGIN)
            half = half_width(mean_squares(table), 1 - LEVEL)
            found += list(np.abs(table.mean(axis=(1, 2))) > half)
            wrong += [equivalence_p_value(one) <= (1 - LEVEL) / 2 for one in table[:20]]
        predicted = power_at(noise, num_seeds, num_units)
        need = seeds_needed(noise, num_units).num, images_needed(noise, num_seeds).num
        print(
            f"| {num_seeds} | {num_units} | {points} | {np.mean(wrong):.3f} | {predicted:.2f} "
            f"| {np.mean(found):.2f} | {need[0] or 'none'} | {need[1] or 'none'} |",
            flush=True,
        )


if __name__ == "__main__":
    replicates = int(sys.argv[1]) if len(sys.argv) > 1 else NUM_REPLICATES
    generator = np.random.default_rng(0)
    print_paired(generator, replicates)
    print_holm(generator, replicates)
    print_equivalence_and_power(generator, replicates)
