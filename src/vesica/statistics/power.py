"""How many seeds or test images a verdict needs.

Power is asked for a true difference of the margin, the smallest that matters, never for the
difference observed: power at that is the p-value in other words (Hoenig and Heisey 2001, The
American Statistician 55, 19-24).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student_t

from vesica.statistics.interval import MeanSquares, half_width, skewness_factor
from vesica.statistics.looks import LOOKS, MIN_SEEDS, UNIT_SHARE, shares_at
from vesica.statistics.verdict import LEVEL, MARGIN, MIN_UNITS, Comparison

POWER = 0.8
NUM_DRAWS = 4000
UNLIMITED = 10**6
"""Seeds or units so many that more would change nothing."""


def reach(num_seeds: int, num_pairs: int = 1) -> float:
    """Standard errors that an interval reaches to either side, where seeds are all that varies.

    Args:
        num_seeds: Two or more.
        num_pairs: Comparisons whose intervals hold together.
    """
    alpha = (1 - LEVEL) / num_pairs
    t_seed = student_t.isf(alpha / 2, num_seeds - 1)
    return float(t_seed * skewness_factor(num_seeds, alpha) ** 0.5)


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the difference, in the unit of the scores.

    Attributes:
        seed_sd: From seed to seed.
        unit_sd: From test image (or group) to test image.
        residual_sd: Beyond both.
    """

    seed_sd: float
    unit_sd: float
    residual_sd: float

    @classmethod
    def of(cls, found: Comparison) -> "Noise":
        """As a comparison estimated it; with few seeds, `seed_sd` may be off by a factor of 2.

        Raises:
            ValueError: If the comparison has no estimate.
        """
        if found.seed_sd is None or found.unit_sd is None or found.residual_sd is None:
            raise ValueError("one seed or one image shows no noise; run two seeds or more")
        return cls(found.seed_sd, found.unit_sd, found.residual_sd)


@dataclass(frozen=True)
class Need:
    """How many are needed, or why no number is enough.

    Attributes:
        num: The smallest number that has the power; None if none has.
        power: At that number; at an unlimited one where `num` is None.
        reason: Why no number is enough; "" if one is.
    """

    num: int | None
    power: float
    reason: str


@dataclass(frozen=True)
class Limit:
    """What the interval of a comparison tends to as seeds are added on the same test images.

    Attributes:
        half_width: Half of its width, in the unit of the scores.
        is_final: No verdict can come, however many seeds are added.
        num_units: The smallest number of test images (or groups) with which enough seeds decide,
            whatever the true difference is; None if none does, as with a margin of 0.
    """

    half_width: float
    is_final: bool
    num_units: int | None


def power_at(
    noise: Noise, num_seeds: int, num_units: int, *, margin: float = MARGIN, level: float = LEVEL
) -> float:
    """The probability that the interval excludes 0 where the true difference is the margin.

    With normal effects the mean squares are independent of the mean and of each other, each a
    chi-square variable: they are drawn, and the mean's normal probability is exact. The draws are
    the same in every call.

    Args:
        noise: How much differences vary.
        num_seeds: Two or more.
        num_units: Two or more.
        margin: The true difference, a fraction.
        level: Of the interval.
    """
    seed, unit, residual = noise.seed_sd**2, noise.unit_sd**2, noise.residual_sd**2
    df_seed, df_unit = num_seeds - 1, num_units - 1
    rng = np.random.default_rng(0)

    def draw(expected: float, df: int) -> NDArray[np.float64]:
        return np.asarray(expected * rng.chisquare(df, NUM_DRAWS) / df)

    squares = MeanSquares(
        seed=draw(residual + num_units * seed, df_seed),
        unit=draw(residual + num_seeds * unit, df_unit),
        residual=draw(residual, df_seed * df_unit),
        num_seeds=num_seeds,
        num_units=num_units,
    )
    error = (seed / num_seeds + unit / num_units + residual / (num_seeds * num_units)) ** 0.5
    half = half_width(squares, 1 - level)
    if error == 0:
        return float(margin > 0)
    return float(np.mean(norm.sf((half - margin) / error) + norm.cdf((-half - margin) / error)))


def seeds_needed(
    noise: Noise,
    num_units: int,
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    power: float = POWER,
) -> Need:
    """Seeds per loss that find a difference of the margin with this power, on these test images."""
    return _search(
        lambda num: power_at(noise, num, num_units, margin=margin, level=level),
        MIN_SEEDS,
        power,
        f"no number of seeds is enough: {num_units} test images vary too much among themselves",
    )


def images_needed(
    noise: Noise,
    num_seeds: int,
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    power: float = POWER,
) -> Need:
    """Test images (or groups) that find a difference of the margin, with so many seeds."""
    return _search(
        lambda num: power_at(noise, num_seeds, num, margin=margin, level=level),
        MIN_UNITS,
        power,
        f"no number of test images is enough: {num_seeds} seeds vary too much among themselves",
    )


def limit_of_images(found: Comparison) -> Limit:
    """Do the test images forbid a verdict, however many seeds are added until it is clear?

    With unlimited seeds the mean is m, the mean difference on these very images, and half of the
    interval is `h = t_N sqrt(a_N) unit_sd / sqrt(N)` (see `half_width`): what it says of other
    images. It decides `equivalent` if |m| <= margin - h, else `better` or `worse` if |m| > h. So an
    m with margin - h < |m| <= h is never decided, and where h is at most half of the margin there
    is no such m. Nobody knows m yet: it lies in a t interval of 95 % in which seeds alone vary, and
    the limit is final where no m of that interval is ever decided.

    Said of an undecided comparison. Wrong where that interval misses m, or `unit_sd` is too large
    by luck. In simulation (`docs/log.md`), of those called final at 3 seeds, 0.5 % are decided by
    20 seeds all the same, and up to a tenth where the true difference is just above h.

    Args:
        found: With three seeds or more; its margin and level are those of the limit.

    Raises:
        ValueError: If the comparison has no estimate.
    """
    noise = Noise.of(found)
    alpha, margin, num_seeds = 1 - found.level, found.margin, found.num_seeds
    half = limit_at(found.num_units, noise.unit_sd, alpha)
    variance = noise.seed_sd**2 + noise.residual_sd**2 / found.num_units
    reach = student_t.isf((1 - LEVEL) / 2, num_seeds - 1) * (variance / num_seeds) ** 0.5
    nearest, farthest = max(abs(found.mean) - reach, 0), abs(found.mean) + reach
    return Limit(
        half_width=half,
        is_final=bool(farthest <= half and (half > margin or nearest > margin - half)),
        num_units=_smallest(
            lambda num: limit_at(num, noise.unit_sd, alpha) <= margin / 2, MIN_UNITS
        ),
    )


def limit_at(num_units: int, unit_sd: float, alpha: float) -> float:
    """Half of the interval's width on so many test images (or groups), with unlimited seeds.

    Args:
        num_units: Two or more.
        unit_sd: From test image to test image, of the difference.
        alpha: 1 - level.
    """
    alpha = alpha * UNIT_SHARE
    t_unit = student_t.isf(alpha / 2, num_units - 1)
    return float(t_unit * (skewness_factor(num_units, alpha) / num_units) ** 0.5 * unit_sd)


def seeds_likely(found: Comparison, numbers: Sequence[int] = LOOKS) -> int | None:
    """The first of these numbers of seeds whose interval would decide, if nothing else changed.

    A guess: the mean and the three variances stay as they were seen.

    Args:
        found: Undecided.
        numbers: Of seeds, from the smallest; those up to the ones that were seen are looks already.

    Returns:
        None if none of them would.

    Raises:
        ValueError: If the comparison has no estimate.
    """
    noise = Noise.of(found)
    seed, unit, residual = noise.seed_sd**2, noise.unit_sd**2, noise.residual_sd**2
    for number in (n for n in numbers if n > found.num_seeds):
        squares = MeanSquares(
            seed=np.asarray(residual + found.num_units * seed),
            unit=np.asarray(residual + number * unit),
            residual=np.asarray(residual),
            num_seeds=number,
            num_units=found.num_units,
        )
        shares = shares_at(number, [n for n in numbers if n < number])
        half = float(half_width(squares, 1 - found.level, shares))
        if abs(found.mean) > half or abs(found.mean) + half <= found.margin:
            return number
    return None


def _search(power_of: Callable[[int], float], least: int, power: float, reason: str) -> Need:
    """The smallest number with the power."""
    num = _smallest(lambda num: power_of(num) >= power, least)
    if num is None:
        return Need(None, power_of(UNLIMITED), reason)
    return Need(num, power_of(num), "")


def _smallest(is_enough: Callable[[int], bool], least: int) -> int | None:
    """The smallest number that is enough: doubled until it is, then halved in between."""
    if not is_enough(UNLIMITED):
        return None
    low, high = least - 1, least
    while not is_enough(high):
        low, high = high, min(2 * high, UNLIMITED)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
