"""What to expect of a new image: by hand, and how often it holds on scores that were held out."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student_t

from vesica import metrics
from vesica.results import EndedCell, read_cell, read_plan, read_scores
from vesica.statistics import MIN_FOR_LIMIT, expect_of_new, limit_of_new, most_beyond
from vesica.statistics.new_image import RANGE_LEVEL

CRACKS = Path(__file__).parents[1] / "docs" / "results" / "eight" / "cracks"


def alone(num: int) -> np.ndarray:
    return np.arange(num)


def test_the_range_by_hand() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1, 40) / 40)
    found = expect_of_new(scores, alone(39))
    # k = 40 * 0.05 = 2: the second smallest and the second largest.
    assert (found.least, found.most) == (2 / 40, 38 / 40)
    assert (found.num_images, found.num_units) == (39, 39)
    half = student_t.ppf(0.975, 38) * scores.std(ddof=1) / 39**0.5
    assert found.low == pytest.approx(0.5 - half)
    assert found.high == pytest.approx(0.5 + half)


def test_too_few_images_give_no_range() -> None:
    assert expect_of_new(np.linspace(0, 1, 18), alone(18)).least is None
    found = expect_of_new(np.linspace(0, 1, 19), alone(19))
    assert (found.least, found.most) == (0.0, 1.0)
    one = expect_of_new(np.array([0.5]), alone(1))
    assert (one.mean, one.low, one.high, one.least) == (0.5, None, None, None)


def test_groups_of_one_and_repeated_images() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(60)
    # A patient whose every image is there four times says no more than once.
    repeated = expect_of_new(np.repeat(scores, 4), np.repeat(alone(60), 4))
    once = expect_of_new(scores, alone(60))
    assert (repeated.least, repeated.most) == (once.least, once.most)
    assert repeated.low == pytest.approx(once.low)
    assert repeated.high == pytest.approx(once.high)


def test_the_limit_by_hand() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1, 30))
    # k = 0.9 * 30 = 27 of 29: a new value is the 28th, 29th or 30th of 30 in a tenth of the cases.
    assert limit_of_new(values, alone(29)) == 27
    assert limit_of_new(values[:9], alone(9)) == values[:9].max()  # k = 0.9 * 10
    assert limit_of_new(np.repeat(values, 4), np.repeat(alone(29), 4)) == 27


@pytest.mark.parametrize("num", [9, 13, 100])
def test_how_much_a_limit_may_leave_out(num: int) -> None:
    rng = np.random.default_rng(num)
    left_out = [
        1 - limit for _ in range(4000) if (limit := limit_of_new(rng.random(num), alone(num)))
    ]
    assert np.mean(np.array(left_out) > most_beyond(num)) == pytest.approx(0.05, abs=0.012)


def test_too_few_images_give_no_limit() -> None:
    assert limit_of_new(np.linspace(0, 1, 8), alone(8)) is None
    assert limit_of_new(np.linspace(0, 1, 40), np.repeat(alone(8), 5)) is None
    assert limit_of_new(np.linspace(0, 1, 9), alone(9)) == 1.0


@pytest.mark.parametrize("num", [MIN_FOR_LIMIT, 12, 18, 20, 53])
@pytest.mark.parametrize("kind", ["skewed", "with zeros"])
def test_at_most_a_tenth_of_new_images_is_beyond_the_limit(kind: str, num: int) -> None:
    rng = np.random.default_rng(num)
    beyond = []
    for _ in range(3000):
        values = rng.lognormal(0, 2, num + 20)
        if kind == "with zeros":
            values[rng.random(num + 20) < 0.7] = 0
        limit = limit_of_new(values[:num], alone(num))
        assert limit is not None
        beyond.append(np.mean(values[num:] > limit))
    # k of n leave out (n + 1 - k) / (n + 1), of which ties are none.
    share = ((num + 1) // 10) / (num + 1)
    assert np.mean(beyond) <= share + 0.01
    if kind == "skewed":
        assert np.mean(beyond) == pytest.approx(share, abs=0.01)


def coverage(scores: np.ndarray, seed: int, num_tries: int = 400) -> float:
    """Of one half's range, on the other half."""
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(num_tries):
        order = rng.permutation(len(scores))
        known, held_out = np.array_split(scores[order], 2)
        found = expect_of_new(known, alone(len(known)))
        assert found.least is not None
        assert found.most is not None
        shares.append(np.mean((held_out >= found.least) & (held_out <= found.most)))
    return float(np.mean(shares))


@pytest.mark.parametrize("num", [40, 78, 300])
@pytest.mark.parametrize("kind", ["uniform", "beta", "with zeros", "bimodal"])
def test_coverage_on_simulated_scores(kind: str, num: int) -> None:
    rng = np.random.default_rng(num)
    draws = {
        "uniform": rng.random(num),
        "beta": rng.beta(8, 2, num),
        "with zeros": np.where(rng.random(num) < 0.2, 0.0, rng.beta(5, 2, num)),
        "bimodal": np.where(rng.random(num) < 0.3, rng.beta(2, 8, num), rng.beta(20, 3, num)),
    }
    found = coverage(draws[kind], seed=num)
    most = 1 - 2 * ((num // 2 + 1) * (1 - RANGE_LEVEL) / 2 // 1) / (num // 2 + 1)
    assert found >= RANGE_LEVEL - 0.01
    if kind != "with zeros":  # ties only widen it
        assert found <= most + 0.01


def test_coverage_for_new_groups() -> None:
    rng = np.random.default_rng(3)
    held = []
    for _ in range(400):
        sizes = rng.integers(1, 9, 41)
        groups = np.repeat(np.arange(41), sizes)
        scores = (0.7 + 0.12 * rng.standard_normal(41))[groups]
        scores = np.clip(scores + 0.06 * rng.standard_normal(len(groups)), 0, 1)
        known = groups < 40  # the last group is new
        found = expect_of_new(scores[known], groups[known])
        assert found.least is not None
        assert found.most is not None
        held.append(np.mean((scores[~known] >= found.least) & (scores[~known] <= found.most)))
    assert np.mean(held) >= RANGE_LEVEL - 0.02


@pytest.mark.parametrize("loss", ["bce", "iou", "lovasz_hinge"])
def test_coverage_on_cracks(loss: str) -> None:
    """Per-image IoU of 377 photographs, each tested by a network of another fold."""
    ended = [read_cell(CRACKS, cell) for cell in read_plan(CRACKS).cells]
    runs = [found for found in ended if _is(found, loss)]
    scores = np.concatenate([metrics.iou(read_scores(found).counts) for found in runs if found])
    assert len(scores) == 377
    found = coverage(scores, seed=5)
    assert RANGE_LEVEL - 0.01 <= found <= RANGE_LEVEL + 0.03


def _is(found: EndedCell | None, loss: str) -> bool:
    return found is not None and (found.cell.loss_name, found.cell.seed) == (loss, 0)
