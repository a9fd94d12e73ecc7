"""Seeds added until the verdict is clear: what each look costs, and how often it goes wrong."""

import json
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as student_t
from simulate_looks import (
    LOOKS,
    Flags,
    Rule,
    alone,
    missed,
    see,
    shared,
    simulate_failures,
    that_trained,
    within,
)
from simulate_verdict import NORMAL, SKEWED, Draw, effect_sds, exponential, normal, simulate

from vesica.statistics import (
    MARGIN,
    Comparison,
    compare,
    equivalence_p_value,
    limit_of_images,
    share_interval,
    shares_at,
    spent,
)
from vesica.statistics.interval import Array, half_width, mean_squares, skewness_factor
from vesica.statistics.looks import ONCE, Shares

Case = tuple[int, tuple[Draw, Draw], float, tuple[float, float]]
# Units; shapes of seed effects and of the others; variance of the mean of 3 seeds from seeds, where
# units and residuals give 1; sizes of unit effects and residuals.
HARDEST: list[Case] = [
    (15, (exponential, exponential), 0.0, (1.0, 0.3)),
    (60, (exponential, normal), 100.0, (0.0, 1.0)),
    (60, (exponential, exponential), 10.0, (0.0, 1.0)),
    (60, NORMAL, 0.0, (1.0, 0.3)),
    (60, SKEWED[4], 1.0, (1.0, 3.0)),
]
NUM_REPLICATES = 2000


def not_above(rate: float) -> float:
    """What a rate of so many replicates exceeds with a probability of 0.001."""
    return rate + 3.1 * float(np.sqrt(rate * (1 - rate) / NUM_REPLICATES))


def drawn(case: Case, num_seeds: int, num: int = NUM_REPLICATES, random_state: int = 0) -> Array:
    num_units, draws, ratio, sizes = case
    rng = np.random.default_rng(random_state)
    sds = effect_sds(3, num_units, ratio, sizes)
    return simulate(rng, draws, (num, num_seeds, num_units), sds)


def table(num_seeds: int = 5, num_units: int = 40, mean: float = 0.0, seed: int = 0) -> Array:
    sds = (0.01, 0.03, 0.01)
    drawn = simulate(np.random.default_rng(seed), NORMAL, (1, num_seeds, num_units), sds)
    return np.asarray(mean + drawn[0])


def missed_at_any_look(difference: Array, rule: Rule) -> Flags:
    return np.asarray(missed(see(difference, LOOKS), LOOKS, rule).any(axis=1))


def test_spending_worked_by_hand() -> None:
    assert spent(3) == pytest.approx(7 / 8 - 9 / 24)
    assert spent(3) == pytest.approx(1 / 2)
    assert spent(5) == pytest.approx(13 / 20)
    # Left after 3 seeds: 7/8 - 1/2. Of 4 seeds 1/4 are new, and of 12 seeds 3/4.
    assert shares_at(3) == Shares(seed=1 / 2, unit=3 / 4)
    assert shares_at(4, [3]).seed == pytest.approx(3 / 8 * 1 / 2)
    assert shares_at(12, [3]).seed == pytest.approx(3 / 8 * (3 / 4) ** 0.5)
    # Left after 6 seeds: 9/8/6 = 3/16. Of 8 seeds 1/4 are new.
    assert shares_at(8, [3, 6]).seed == pytest.approx(3 / 16 * 1 / 2)


def test_spending_grows_and_stays_below_alpha() -> None:
    parts = [spent(num) for num in (0, 2, 3, 4, 5, 8, 12, 20, 100, 10**9)]
    assert parts[:2] == [0, 0]
    assert all(before < after for before, after in pairwise(parts[1:]))
    assert parts[-1] <= 7 / 8


@given(st.lists(st.integers(3, 60), min_size=1, unique=True).map(sorted))
def test_each_look_has_a_part_of_what_is_left(looks: list[int]) -> None:
    shares = [shares_at(num, looks[:i]) for i, num in enumerate(looks)]
    left = [1 / 2, *(7 / 8 - spent(num) for num in looks)]
    assert all(0 < share.seed <= most for share, most in zip(shares, left, strict=False))
    assert {share.unit for share in shares} == {3 / 4}


def test_two_looks_never_have_more_than_is_spent() -> None:
    last = [shares_at(num, [3]).seed for num in (4, 5, 8, 20, 10**6)]
    assert last == sorted(last)
    assert 1 / 2 + last[-1] == pytest.approx(7 / 8)
    assert {shares_at(num).seed for num in (3, 5, 20)} == {1 / 2}


def test_looking_again_costs_nothing_and_shows_the_same() -> None:
    first = compare(table()[:3], earlier=())
    assert compare(table()[:3], earlier=[3]) == first
    assert compare(table()[:3], earlier=[3, 5, 8]) == first
    assert shares_at(5, [3, 5, 8]) == shares_at(5, [3]) == shares_at(5, [3, 3])
    assert shares_at(8, [3, 5, 8, 5]) == shares_at(8, [3, 5])


def test_a_look_at_fewer_seeds_than_before_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at 4 seeds after one at 5.*\(3, 5\)"):
        shares_at(4, [3, 5])
    with pytest.raises(ValueError, match="after one at 5"):
        compare(table(4), earlier=[5])


def test_two_seeds_spend_nothing() -> None:
    assert shares_at(3, [1, 2]) == shares_at(3) == shares_at(2)
    found = compare(table(2), earlier=())
    assert found.verdict == "undecided"
    assert compare(table(3), earlier=[2]) == compare(table(3), earlier=())


def test_one_planned_look_is_as_before() -> None:
    found = compare(table())
    assert found.high is not None
    assert found.high - found.mean == float(half_width(mean_squares(table()), 1 - 0.95, ONCE))


def test_every_share_widens_the_interval() -> None:
    squares = mean_squares(table())
    once = half_width(squares, 0.05)
    assert half_width(squares, 0.05, Shares(0.5, 1)) > once
    assert half_width(squares, 0.05, Shares(1, 0.75)) > once
    assert half_width(squares, 0.05, shares_at(5, [3])) > half_width(squares, 0.05, shares_at(5))
    assert half_width(squares, 0.05, shares_at(5, [4])) > half_width(
        squares, 0.05, shares_at(5, [3])
    )


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.1, 0.1), st.integers(3, 8), st.integers(0, 1000))
def test_interval_and_p_value_of_a_look_agree(mean: float, num_seeds: int, seed: int) -> None:
    earlier = [3] if num_seeds > 3 else []
    found = compare(table(num_seeds, 20, mean, seed), earlier=earlier)
    assert found.p_value is not None
    assert 0 < found.p_value <= 1
    assert found.excludes_zero == (found.p_value < 1 - found.level)
    assert json.loads(json.dumps(asdict(found))) == asdict(found)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 9), st.floats(0, 0.05), st.floats(1e-10, 0.9))
def test_a_smaller_alpha_is_never_narrower(
    seed: int, num_seeds: int, seed_sd: float, alpha: float
) -> None:
    sds = (seed_sd, 0.01, 0.05)
    drawn = simulate(np.random.default_rng(seed), NORMAL, (50, num_seeds, 20), sds)
    squares = mean_squares(drawn)
    for shares in (ONCE, shares_at(num_seeds)):
        wide, narrow = (half_width(squares, each, shares) for each in (alpha, 1.1 * alpha))
        assert (wide >= narrow).all()


@pytest.mark.parametrize("case", HARDEST, ids=range(len(HARDEST)))
def test_no_look_finds_a_difference_where_there_is_none(case: Case) -> None:
    rates = missed_at_any_look(drawn(case, LOOKS[-1]), shared).mean(axis=1)
    assert rates[-1] <= not_above(0.05)
    assert (np.diff(rates) >= 0).all()


def test_looks_that_do_not_share_find_differences_where_there_are_none() -> None:
    seeds_only = drawn(HARDEST[1], LOOKS[-1])
    assert missed_at_any_look(seeds_only, alone)[-1].mean() > 0.15


def test_the_edge_of_the_margin_is_rarely_called_equivalent() -> None:
    # So little noise that two intervals fit into the margin; skewed to one side.
    noise = 0.001 * drawn((15, SKEWED[0], 1.0, (1.0, 0.3)), LOOKS[-1])
    assert within(see(noise, LOOKS), LOOKS)[-1].mean() > 0.5
    edges = [within(see(edge + noise, LOOKS), LOOKS)[-1].mean() for edge in (-MARGIN, MARGIN)]
    assert 0 < max(edges) <= not_above(0.05)


def test_compare_judges_as_the_simulation_does() -> None:
    means = np.linspace(-0.06, 0.06, 30)[:, None, None]
    tables = means + 0.01 * drawn((15, NORMAL, 1.0, (1.0, 0.3)), 5, 30)
    centre, squares = see(tables, (5,))[5]
    excludes_zero = np.abs(centre) > shared(squares, (3,))
    found = [compare(each, earlier=[3]).excludes_zero for each in tables]
    assert found == list(excludes_zero)
    assert 0 < sum(found) < 30


@pytest.mark.parametrize("num_pairs", [6, 45])
def test_many_pairs_at_three_seeds_keep_their_level(num_pairs: int) -> None:
    # What the residual takes off the seeds' term must not be all of it, whatever alpha is.
    alpha, num = 0.05 / num_pairs, 20_000
    difference = drawn((15, (exponential, exponential), 10.0, (0.0, 1.0)), 3, num)
    squares, mean = mean_squares(difference), np.abs(difference.mean(axis=(1, 2)))
    for shares in (ONCE, shares_at(3)):
        rate = (mean > half_width(squares, alpha, shares)).mean()
        assert rate <= 1.35 * alpha + 3.1 * (alpha / num) ** 0.5


@pytest.mark.parametrize("loss", ["one", "both"])
def test_dropping_seeds_that_failed_keeps_the_level(loss: str) -> None:
    effects = (exponential, exponential), effect_sds(3, 20, 10.0, (0.0, 1.0))
    rng, rates = np.random.default_rng(0), []
    for _ in range(4):
        difference, low = simulate_failures(rng, effects, (NUM_REPLICATES // 4, 20), loss)
        trained = that_trained(difference, low, 0.2)
        rates.append(missed_at_any_look(trained, shared)[-1].mean())
    assert np.mean(rates) <= not_above(0.05)


def test_simulated_failures_are_one_in_ten() -> None:
    effects, rng = (NORMAL, (0.0, 0.0, 0.0)), np.random.default_rng(0)
    difference, low = simulate_failures(rng, effects, (2000, 2), "one")
    assert (difference[:, :, 0] < -0.29).mean() == pytest.approx(0.1, abs=0.01)
    assert difference[low > 0.2].max() < -0.29
    assert (that_trained(difference, low, 0.2) == 0).mean() > 0.999
    assert (that_trained(difference, low, np.inf) == difference[:, :20]).all()
    difference, _ = simulate_failures(rng, effects, (2000, 2), "both")
    assert (difference[:, :, 0] != 0).mean() == pytest.approx(1 - 0.9**2, abs=0.01)


@pytest.mark.parametrize(("failed", "runs"), [(0, 6), (1, 6), (3, 40), (6, 6)])
def test_share_of_failures_equals_scipy(failed: int, runs: int) -> None:
    for level in (0.95, 0.8):
        exact = binomtest(failed, runs).proportion_ci(level, method="exact")
        assert share_interval(failed, runs, level=level) == pytest.approx((exact.low, exact.high))


def test_share_of_failures_worked_by_hand() -> None:
    # None of one: (1 - p) = 1/40 at the upper end.
    assert share_interval(0, 1) == pytest.approx((0, 1 - 1 / 40))


@pytest.mark.parametrize("numbers", [(1, 0), (3, 2), (-1, 2)])
def test_no_part_of_runs(numbers: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="runs failed"):
        share_interval(*numbers)


def undecided(mean: float, margin: float = MARGIN, seed_sd: float = 0.0) -> Comparison:
    found = compare(table(5, 60), margin=margin)
    return replace(found, mean=mean, seed_sd=seed_sd, unit_sd=0.03, residual_sd=0.0)


def test_limit_of_images_worked_by_hand() -> None:
    limit = limit_of_images(undecided(0.0))
    alpha = 0.05 * 3 / 4
    t_unit = student_t.isf(alpha / 2, 59)
    half = t_unit * (skewness_factor(60, alpha) * 0.03**2 / 60) ** 0.5
    assert limit.half_width == pytest.approx(half)
    assert 0.008 < half < 0.0095
    assert limit.num_units is not None
    for num, is_enough in ((limit.num_units, True), (limit.num_units - 1, False)):
        width = student_t.isf(alpha / 2, num - 1) * (skewness_factor(num, alpha) / num) ** 0.5
        assert (width * 0.03 <= MARGIN / 2) == is_enough


@pytest.mark.parametrize(
    ("mean", "margin", "seed_sd", "is_final"),
    [
        (0.0, 0.005, 0.0, True),  # too wide for the margin
        (-0.004, 0.005, 0.0, True),
        (0.004, 0.005, 0.01, False),  # nobody knows yet how large the difference is
        (0.012, 0.005, 0.0, False),  # excludes 0 in the end
        (0.006, 0.012, 0.0, True),  # neither inside the margin nor beyond 0
        (0.001, 0.012, 0.0, False),  # equivalent in the end
        (0.006, 0.02, 0.0, False),  # two intervals fit into the margin
    ],
)
def test_limit_is_final_where_nothing_can_come(
    mean: float, margin: float, seed_sd: float, is_final: bool
) -> None:
    assert limit_of_images(undecided(mean, margin, seed_sd)).is_final == is_final


def test_no_number_of_images_decides_without_a_margin() -> None:
    assert limit_of_images(undecided(0.0, margin=0.0)).num_units is None


def test_images_without_noise_have_no_limit() -> None:
    found = replace(undecided(0.0, seed_sd=0.01), unit_sd=0.0)
    limit = limit_of_images(found)
    assert (limit.half_width, limit.is_final, limit.num_units) == (0.0, False, 15)


def test_one_seed_has_no_limit() -> None:
    with pytest.raises(ValueError, match="shows no noise"):
        limit_of_images(compare(table(1)))


def test_what_is_called_final_stays_undecided() -> None:
    tables = simulate(np.random.default_rng(0), NORMAL, (300, 20, 60), (0.002, 0.03, 0.01))
    seen = see(tables, LOOKS)
    is_decided = missed(seen, LOOKS, shared).any(axis=1) | within(seen, LOOKS)
    is_final = [limit_of_images(compare(each[:3], earlier=())).is_final for each in tables]
    called = np.array(is_final) & ~is_decided[0]
    assert called.sum() > 100
    assert is_decided[-1][called].mean() < 0.03


@pytest.mark.parametrize("earlier", [None, (), (3,)])
def test_equivalence_agrees_with_the_interval(earlier: tuple[int, ...] | None) -> None:
    p = equivalence_p_value(table(), margin=0.08, earlier=earlier)
    assert 0 < p < 0.3
    for level, verdict in ((1 - 2 * p - 1e-6, "equivalent"), (1 - 2 * p + 1e-6, "undecided")):
        assert compare(table(), margin=0.08, level=level, earlier=earlier).verdict == verdict
