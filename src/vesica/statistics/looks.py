"""Looking more than once: what part of alpha an interval has when seeds are added until it decides.

Intervals of 95 % at every look miss at one of them far more often than in 5 % of cases. Here all
looks share one alpha: their intervals hold the true mean, all at once, with the probability asked
for, however many looks there are and whenever one stops. No number of seeds is planned beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import beta

MIN_SEEDS = 3
LOOKS = (3, 5, 8, 12, 20)
"""Numbers of seeds that are looked at, where nobody says otherwise."""

SPENT_AT_MOST = 7 / 8
SPENT_LATER = 9 / 8
UNIT_SHARE = 3 / 4


@dataclass(frozen=True)
class Shares:
    """The parts of alpha at which the two terms of an interval take their t quantiles.

    Attributes:
        seed: For the mean square of seeds.
        unit: For that of units (test images, or groups of them).
    """

    seed: float
    unit: float


ONCE = Shares(seed=1.0, unit=1.0)
"""Of a look that was planned as the only one."""


def spent(num_seeds: int) -> float:
    """Part of alpha that looks at up to so many seeds use together: `7/8 - 9/8 / num_seeds`.

    1/2 at 3 seeds, and never above 7/8: the rest is for skewed effects, with which an interval may
    miss more often than alpha says. Before 3 seeds there is no verdict, and nothing is spent.

    Source:
        Lan and DeMets 1983, Biometrika 70, 659-663, for spending by a function of how much has been
        seen, with looks at any time. This function is our own.
    """
    return SPENT_AT_MOST - SPENT_LATER / num_seeds if num_seeds >= MIN_SEEDS else 0.0


def shares_at(num_seeds: int, earlier: Sequence[int] = ()) -> Shares:
    """The shares of alpha of a look at paired seeds, after earlier looks at fewer of them.

    The seeds' share is 1/2 at the first look. At n seeds, after m at the look before, it is
    `(7/8 - spent(m)) sqrt(1 - m / n)`: what was left, all of it if nearly all seeds are new, less
    if most were seen before. Most errors of a look shortly after another are that one's errors, so
    that shares may add up to more than what is spent. A look at as many seeds as an earlier one has
    that one's share: whoever looks twice at the same runs sees the same interval.

    The units' share is 3/4 at every look. All looks see the same test images, which are as kind or
    as unkind each time, so that errors of the images hardly add up from look to look.

    Assumes that seeds are only added: each look sees all seeds of those before it.

    Args:
        num_seeds: Seen now.
        earlier: The numbers seen before, in the order of looking; may include `num_seeds`.

    Raises:
        ValueError: If an earlier look saw more seeds, and none saw as many.

    Source:
        Lan and DeMets find the nominal alpha of a look from the joint distribution of all looks.
        The square root is fitted to what they would find for exponential seeds, and all shares are
        checked by simulation: `benchmarks/simulate_looks.py`.
    """
    num_seen = max(num_seeds, MIN_SEEDS)  # two seeds get the interval of three, but no verdict
    before = [num for num in dict.fromkeys(earlier) if num >= MIN_SEEDS]
    if num_seen in before:
        before = before[: before.index(num_seen)]
    if not before:
        return Shares(seed=spent(MIN_SEEDS), unit=UNIT_SHARE)
    last = max(before)
    if last > num_seen:
        raise ValueError(
            f"a look at {num_seeds} seeds after one at {last}, expected more seeds than before or "
            f"as many as at an earlier look ({', '.join(map(str, before))})"
        )
    left = SPENT_AT_MOST - spent(last)
    return Shares(seed=left * (1 - last / num_seen) ** 0.5, unit=UNIT_SHARE)


def share_interval(num_failed: int, num_runs: int, *, level: float = 0.95) -> tuple[float, float]:
    """Of all runs that one might train, the fraction that fails, as an interval.

    It holds the true fraction with a probability of `level` or more, at any number of runs, when
    runs fail independently of each other.

    Args:
        num_failed: Runs that failed.
        num_runs: All runs, 1 or more.
        level: Of the interval.

    Raises:
        ValueError: If the numbers are no part and a whole.

    Source:
        Clopper and Pearson 1934, Biometrika 26, 404-413.
    """
    if not 0 <= num_failed <= num_runs or num_runs < 1:
        raise ValueError(f"{num_failed} of {num_runs} runs failed, expected a part of 1 or more")
    tail, num_good = (1 - level) / 2, num_runs - num_failed
    low = float(beta.ppf(tail, num_failed, num_good + 1)) if num_failed else 0.0
    high = float(beta.isf(tail, num_failed + 1, num_good)) if num_good else 1.0
    return low, high
