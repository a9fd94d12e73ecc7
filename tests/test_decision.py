"""The mask of the largest expected IoU, against all masks; temperatures, against the truth."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from vesica.metrics import bin_probabilities, calibration_error, count_pixels, histogram, iou
from vesica.metrics.decision import (
    expected_iou_counts,
    expected_iou_masks,
    expected_iou_threshold,
    fit_temperature,
    fit_temperature_to_histograms,
    negative_log_likelihood,
    temper,
)


def draw_probs(num_images: int = 30, num_pixels: int = 9, seed: int = 0) -> NDArray[np.float64]:
    """Images of all densities, some certain and some not."""
    rng = np.random.default_rng(seed)
    centre, spread = rng.normal(0, 2, (num_images, 1)), rng.uniform(0.2, 4, (num_images, 1))
    return np.asarray(expit(centre + spread * rng.standard_normal((num_images, num_pixels))))


def ratio(probs: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """E[I] / E[U], by its definition."""
    union = mask.sum() + probs[~mask].sum()
    return float(probs[mask].sum() / union) if union else 0.0


def all_masks(num_pixels: int) -> NDArray[np.bool_]:
    return np.array(list(product([False, True], repeat=num_pixels)))


def test_drawn_probabilities_have_spread() -> None:
    probs = draw_probs()
    assert probs.mean(axis=1).min() < 0.1
    assert probs.mean(axis=1).max() > 0.9
    kept = expected_iou_masks(probs).sum(axis=1)
    assert len(set(kept.tolist())) > 4
    assert ((expected_iou_masks(probs) != (probs > 0.5)).any(axis=1)).sum() > 5


@pytest.mark.parametrize("seed", range(3))
def test_no_mask_of_a_tiny_image_has_a_larger_ratio(seed: int) -> None:
    probs, masks = draw_probs(seed=seed), all_masks(9)
    chosen, thresholds = expected_iou_masks(probs), expected_iou_threshold(probs)
    for image, mask, threshold in zip(probs, chosen, thresholds, strict=True):
        best = max(ratio(image, other) for other in masks)
        assert ratio(image, mask) == pytest.approx(best, abs=1e-12)
        assert threshold == pytest.approx(best / (1 + best))


def test_ratio_is_near_the_expected_iou() -> None:
    # All 2^8 truths of 8 independent pixels: the mask's true expected IoU is close to the best.
    masks = all_masks(8)
    for image in draw_probs(8, 8):
        chance = np.where(masks, image, 1 - image).prod(axis=1)

        def expected(mask: NDArray[np.bool_], chance: NDArray[np.float64] = chance) -> float:
            union = (masks | mask).sum(axis=1)
            both = (masks & mask).sum(axis=1)
            value = np.divide(both, union, out=np.ones(len(masks)), where=union > 0)
            return float(chance @ value)

        chosen = expected_iou_masks(image[None])[0]
        best = max(expected(mask) for mask in masks if mask.any())
        assert expected(chosen) > best - 0.05


def test_threshold_by_hand() -> None:
    # Keep 0.8 only: 0.8 / (1 + 0.3) = 8/13; both: 1.1 / 2 = 0.55. J = 8/13, threshold 8/21.
    assert expected_iou_threshold(np.array([[0.8, 0.3]]))[0] == pytest.approx(8 / 21)
    # Two at 0.4: one 0.4 / 1.4, both 0.8 / 2 = 0.4, which is better; threshold 0.4 / 1.4.
    assert expected_iou_masks(np.array([[0.4, 0.4]])).tolist() == [[True, True]]


def test_certain_pixels_stay_and_empty_images_stay_empty() -> None:
    probs = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert expected_iou_masks(probs).tolist() == [[False, True, True], [False] * 3]
    assert expected_iou_threshold(probs) == pytest.approx([0.5, 0.0])


def test_threshold_is_at_most_one_half() -> None:
    assert (expected_iou_threshold(draw_probs(200, 50)) <= 0.5).all()


def test_images_are_decided_one_by_one_in_any_shape() -> None:
    probs = draw_probs(10, 24)
    together = expected_iou_masks(probs.reshape(10, 4, 6)).reshape(10, 24)
    alone = [expected_iou_masks(image[None])[0] for image in probs]
    assert together.tolist() == [mask.tolist() for mask in alone]
    assert expected_iou_masks(probs.astype(np.float32)).tolist() == together.tolist()


def draw_scene(
    num_images: int, temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Logits that are `temperature` times too large, and truths drawn from the right ones."""
    rng = np.random.default_rng(0)
    right = rng.normal(-1, 2, (num_images, 32, 32)) + rng.normal(0, 1, (num_images, 1, 1))
    return temperature * right, rng.random(right.shape) < expit(right)


def test_decision_raises_iou_of_calibrated_probabilities() -> None:
    logits, truth = draw_scene(60, 1.0)
    probs = expit(logits)
    plain = iou(count_pixels(probs > 0.5, truth))
    chosen = iou(count_pixels(expected_iou_masks(probs), truth))
    assert (chosen - plain).mean() > 0.01
    # And no other threshold is clearly better.
    others = [iou(count_pixels(probs > t, truth)).mean() for t in np.linspace(0.05, 0.95, 19)]
    assert chosen.mean() > max(others) - 0.002


def test_histograms_give_nearly_the_same_decision() -> None:
    logits, truth = draw_scene(20, 1.0)
    probs = expit(logits).astype(np.float32)
    counts, thresholds = expected_iou_counts(histogram(probs, truth))
    exact = expected_iou_threshold(probs)
    assert np.abs(thresholds - exact).max() < 1.01 / 256
    for image in range(20):
        hard = count_pixels(probs[image : image + 1] >= thresholds[image], truth[image : image + 1])
        assert (counts.tp[image], counts.fp[image]) == (hard.tp[0], hard.fp[0])
        assert (counts.fn[image], counts.tn[image]) == (hard.fn[0], hard.tn[0])


def test_tempering_moves_the_decision() -> None:
    logits, truth = draw_scene(20, 1.0)
    histograms = histogram(expit(logits).astype(np.float32), truth)
    _, raw = expected_iou_counts(histograms)
    _, sharp = expected_iou_counts(histograms, temperature=0.25)
    assert (sharp > raw).all(), "the surer, the nearer to 1/2"


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_fitted_temperature_is_the_one_that_spoilt_the_logits(temperature: float) -> None:
    logits, truth = draw_scene(60, temperature)
    found = fit_temperature(logits, truth)
    assert found == pytest.approx(temperature, rel=0.03)
    expected = minimize_scalar(
        lambda t: negative_log_likelihood(logits, truth, t), bounds=(0.05, 20), method="bounded"
    )
    assert found == pytest.approx(expected.x, rel=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.5])
def test_temperature_from_histograms_is_close(temperature: float) -> None:
    logits, truth = draw_scene(60, temperature)
    found = fit_temperature_to_histograms(histogram(expit(logits).astype(np.float32), truth))
    assert found == pytest.approx(temperature, rel=0.05)


def test_temperature_mends_calibration() -> None:
    logits, truth = draw_scene(60, 2.5)
    probs = expit(logits).astype(np.float32)
    mended = temper(probs.astype(np.float64), fit_temperature(logits, truth)).astype(np.float32)
    before, after = (
        float(calibration_error(bin_probabilities(p, truth).pooled())[0]) for p in (probs, mended)
    )
    assert before > 0.05
    assert after < before / 5
    assert np.array_equal(mended > 0.5, probs > 0.5), "masks stay"


def test_perfect_and_hopeless_masks_reach_the_ends() -> None:
    truth = np.array([True, True, False])
    scores = np.array([4.0, 2.0, -3.0])
    assert fit_temperature(scores, truth) == 0.05
    assert fit_temperature(-scores, truth) == 20.0


def test_temper_equals_its_formula() -> None:
    probs = np.linspace(0.01, 0.99, 50)
    assert temper(probs, 1.0) == pytest.approx(probs)
    assert temper(probs, 2.5) == pytest.approx(expit(logit(probs) / 2.5))
    assert temper([0.0, 1.0], 3.0).tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="temperature is 0"):
        temper(probs, 0)


def test_likelihood_by_hand() -> None:
    # Logits 0 and ln 3: -ln(1/2) and -ln(3/4) for foreground, mean of ln 2 and ln 4/3.
    found = negative_log_likelihood(np.array([0.0, np.log(3)]), np.array([True, True]))
    assert found == pytest.approx((np.log(2) + np.log(4 / 3)) / 2)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\), truth \(2,\)"):
        fit_temperature(np.zeros(3), np.zeros(2, dtype=bool))
