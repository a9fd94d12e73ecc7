"""Boundaries, calibration, thresholds and tallies against MONAI, torchmetrics and slow formulas."""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from processes import run_processes
from scipy import ndimage
from torchmetrics.functional.classification import binary_calibration_error

from vesica import metrics
from vesica.cell import _summary
from vesica.data.source import Source
from vesica.evaluate import gather_tallies
from vesica.metrics import Scores, Tally
from vesica.plan import Cell
from vesica.train import Epoch, Fit

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MONAI's own
    from monai.metrics import compute_hausdorff_distance

Masks = NDArray[np.bool_]
Probs = NDArray[np.float32]


def draw_shapes(num: int = 30, size_px: int = 40, seed: int = 0) -> Masks:
    """Blobs of every size, with holes, in several pieces, cut by the image's border."""
    rng = np.random.default_rng(seed)
    shapes = []
    for _ in range(num):
        field = ndimage.gaussian_filter(rng.normal(size=(size_px, size_px)), rng.uniform(1, 5))
        shapes.append(field > np.quantile(field, rng.uniform(0.05, 0.98)))
    return np.array(shapes)


def draw_probs(num: int = 12, size_px: int = 24, seed: int = 0) -> tuple[Probs, Masks]:
    """Probabilities that are overconfident, more so in some images."""
    rng = np.random.default_rng(seed)
    truth = draw_shapes(num, size_px, seed)
    logits = (2 * truth - 1) * rng.uniform(0.5, 3, (num, 1, 1)) + 2 * rng.normal(size=truth.shape)
    return (1 / (1 + np.exp(-2 * logits))).astype(np.float32), truth


def test_drawn_shapes_have_spread() -> None:
    shapes = draw_shapes()
    density = shapes.mean((1, 2))
    assert density.min() < 0.1
    assert density.max() > 0.8
    assert sum(ndimage.label(shape)[1] > 1 for shape in shapes) > 5
    assert sum(ndimage.label(~shape)[1] > 1 for shape in shapes) > 5
    probs, truth = draw_probs()
    iou = metrics.iou(metrics.count_pixels(probs > 0.5, truth))
    assert np.ptp(iou) > 0.2


# Boundaries


def test_hausdorff_distance_equals_monai() -> None:
    pred, truth = draw_shapes(), draw_shapes(seed=1)
    pred[0] = False
    pred[0, 3, 4] = True
    truth[1] = True
    one, other = (torch.from_numpy(masks).unsqueeze(1).float() for masks in (pred, truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = compute_hausdorff_distance(one, other, include_background=True, percentile=95)
    expected = expected[:, 0]
    found = metrics.hd95(pred, truth)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(found) > 10


def test_hausdorff_distance_by_hand() -> None:
    pred, truth = np.zeros((2, 1, 10, 10), dtype=bool)
    pred[0, 2, 3], truth[0, 6, 6] = True, True
    assert metrics.hd95(pred, truth).tolist() == [5]  # 3, 4 and 5
    assert metrics.hd95(truth, truth).tolist() == [0]


def test_hausdorff_distance_of_empty_masks() -> None:
    none, some = np.zeros((1, 30, 40), dtype=bool), np.zeros((1, 30, 40), dtype=bool)
    some[0, 5, 5] = True
    assert metrics.hd95(none, none).tolist() == [0]
    assert metrics.hd95(some, none).tolist() == [50]
    assert metrics.hd95(none, some).tolist() == [50]
    assert np.isnan(metrics.hd95(some, none, empty="skip")).all()
    assert metrics.hd95(none, some, empty="skip").tolist() == [50]


def slow_band(mask: Masks, width_px: int) -> Masks:
    """Cheng et al. 2021: the mask without what is left of it after eroding it so many times."""
    square = np.ones((3, 3), dtype=bool)
    left = np.pad(mask, 1)
    for _ in range(width_px):
        left = ndimage.binary_erosion(left, square, border_value=0)
    return mask & ~left[1:-1, 1:-1]


@pytest.mark.parametrize("width_px", [1, 2, 5])
def test_boundary_iou_is_that_of_the_bands(width_px: int) -> None:
    pred, truth = draw_shapes(), draw_shapes(seed=1)
    found = metrics.iou(metrics.count_boundary(pred, truth, width_px=width_px))
    expected = []
    for one, other in zip(pred, truth, strict=True):
        bands = slow_band(one, width_px), slow_band(other, width_px)
        expected.append((bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum())
    np.testing.assert_allclose(found, expected)
    assert np.ptp(expected) > 0.05


def test_width_of_the_band_is_two_percent_of_the_diagonal() -> None:
    pred, truth = draw_shapes(5, 100), draw_shapes(5, 100, seed=1)
    found = metrics.count_boundary(pred, truth)
    expected = metrics.count_boundary(pred, truth, width_px=3)  # of 141
    np.testing.assert_array_equal(found.tp, expected.tp)
    assert (found.tp != metrics.count_boundary(pred, truth, width_px=2).tp).any()


# Calibration


def test_calibration_error_equals_torchmetrics() -> None:
    probs, truth = draw_probs()
    reliability = metrics.bin_probabilities(probs, truth)
    pairs = [
        (torch.from_numpy(p), torch.from_numpy(t).int()) for p, t in zip(probs, truth, strict=True)
    ]
    expected = [float(binary_calibration_error(*pair, n_bins=15, norm="l1")) for pair in pairs]
    np.testing.assert_allclose(metrics.calibration_error(reliability), expected, rtol=1e-5)
    assert np.ptp(expected) > 0.05
    whole = binary_calibration_error(
        torch.from_numpy(probs), torch.from_numpy(truth).int(), n_bins=15, norm="l1"
    )
    pooled = metrics.calibration_error(reliability.pooled())
    assert pooled == pytest.approx([float(whole)], rel=1e-5)


def test_a_bin_has_its_lower_end_and_the_last_one_both() -> None:
    edges = np.linspace(0, 1, 16, dtype=np.float32)
    below = np.nextafter(edges[1:], np.float32(0))
    probs = np.concatenate([edges, below])[None]
    reliability = metrics.bin_probabilities(probs, np.ones_like(probs, dtype=bool))
    assert reliability.count.tolist() == [[2] * 14 + [3]]
    assert reliability.prob_sum[0, 3] == pytest.approx(float(edges[3]) + float(below[3]))
    assert reliability.prob_sum[0, 0] == pytest.approx(float(below[0]))


def test_certain_and_right_is_calibrated() -> None:
    truth = draw_shapes()
    reliability = metrics.bin_probabilities(truth.astype(np.float32), truth)
    assert metrics.calibration_error(reliability).max() == 0
    wrong = metrics.bin_probabilities((~truth).astype(np.float32), truth)
    assert metrics.calibration_error(wrong).min() == 1


# Thresholds


def test_counts_at_a_threshold_are_those_of_the_mask() -> None:
    probs, truth = draw_probs()
    histograms = metrics.histogram(probs, truth)
    for threshold in (0.0, 1 / 256, 0.25, 0.5, 200 / 256, 1.0):
        expected = metrics.count_pixels(probs >= threshold, truth)
        found = metrics.counts_at(histograms, threshold)
        if threshold < 1:  # 1 itself lies in the last bin
            for name in ("tp", "fp", "fn", "tn"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    with pytest.raises(ValueError, match="no multiple of 1/256"):
        metrics.counts_at(histograms, 0.3)


def test_tuned_threshold_is_the_best_one() -> None:
    probs, truth = draw_probs(seed=3)
    shifted = probs**3  # whose best threshold is near an eighth
    histograms = metrics.histogram(shifted, truth)
    tuned = metrics.tune_threshold(histograms)
    means = {
        first / 256: metrics.iou(metrics.count_pixels(shifted >= first / 256, truth)).mean()
        for first in range(1, 256)
    }
    assert means[tuned] == max(means.values())
    assert tuned < 0.35
    assert means[tuned] > means[0.5] + 0.01


def test_of_equal_thresholds_the_one_nearest_to_a_half() -> None:
    truth = draw_shapes()
    histograms = metrics.histogram(np.where(truth, 0.9, 0.1).astype(np.float32), truth)
    assert metrics.tune_threshold(histograms) == 0.5


def test_no_validation_image_is_refused() -> None:
    with pytest.raises(ValueError, match="no histograms to tune"):
        metrics.tune_threshold(np.zeros((0, 2, 256), dtype=np.int64))


def test_images_that_do_not_count_have_no_say_in_the_threshold() -> None:
    histograms = np.zeros((4, 2, 256), dtype=np.int64)
    histograms[0, 1, 140], histograms[0, 0, 10] = 50, 50  # right from 11 / 256 to 140 / 256
    histograms[1:, 0, 170] = 100  # empty, and right above 170 / 256 alone
    assert metrics.tune_threshold(histograms) > 170 / 256
    assert metrics.tune_threshold(histograms, "skip") == 0.5
    assert metrics.tune_threshold(histograms[1:], "skip") == 0.5  # none counts
    with pytest.raises(ValueError, match="empty is 'drop'"):
        metrics.tune_threshold(histograms, "drop")  # type: ignore[arg-type]


def test_result_of_a_cell_is_tuned_on_validation() -> None:
    probs, truth = draw_probs(seed=3)
    val, test = Scores.of(probs**3, truth), Scores.of(probs ** (1 / 3), truth)
    fitted = Fit([Epoch(1, 0.5, 0.5, 0.5, False, 1.0)], 1, "epochs")
    summary = _summary(Cell(data=Source(path="images")), fitted, val.histograms, test)
    tuned, cheat = (metrics.tune_threshold(scores.histograms) for scores in (val, test))
    assert cheat - tuned > 0.2
    assert summary["threshold_tuned"] == tuned
    counts = metrics.count_pixels(probs ** (1 / 3) >= tuned, truth)
    assert summary["iou_per_image_tuned"] == metrics.iou(counts).mean()
    assert summary["iou_pooled_tuned"] == metrics.iou(counts.pooled())[0]
    assert summary["iou_per_image"] == metrics.iou(test.counts).mean()
    assert summary["val_iou_per_image"] == metrics.iou(val.counts).mean()


# What is handed in


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "count_pixels": lambda pred, truth: metrics.iou(metrics.count_pixels(pred, truth)),
    "count_boundary": lambda pred, truth: metrics.iou(metrics.count_boundary(pred, truth)),
    "hd95": metrics.hd95,
    "iou_soft": metrics.iou_soft,
    "bin_probabilities": lambda probs, truth: metrics.calibration_error(
        metrics.bin_probabilities(probs, truth)
    ),
    "histogram": metrics.histogram,
    "Scores.of": lambda probs, truth: list(Scores.of(probs, truth).summary().values()),
}
HARD = ("count_pixels", "count_boundary", "hd95")
every_call = pytest.mark.parametrize("name", CALLS)


def first_of(name: str) -> tuple[Any, Masks]:
    """A call's first argument, and the true masks."""
    probs, truth = draw_probs(4)
    return (probs >= 0.5 if name in HARD else probs), truth


@every_call
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.int8])
def test_masks_of_zeros_and_ones_are_masks(name: str, kind: type) -> None:
    first, truth = first_of(name)
    expected = CALLS[name](first, truth)
    np.testing.assert_array_equal(CALLS[name](first, truth.astype(kind)), expected)
    if name in HARD:
        np.testing.assert_array_equal(CALLS[name](first.astype(kind), truth), expected)


@every_call
def test_other_masks_are_refused(name: str) -> None:
    first, truth = first_of(name)
    for scale, message in ((255, "truth has values from 0 to 255"), (-1, "from -1 to 0")):
        with pytest.raises(ValueError, match=rf"{message} \(first in image 0\); expected 0 and 1"):
            CALLS[name](first, scale * truth.astype(np.int64))
    with pytest.raises(ValueError, match="truth is float32; expected a mask"):
        CALLS[name](first, truth.astype(np.float32))
    if name in HARD:
        with pytest.raises(ValueError, match="pred is float64; expected a mask"):
            CALLS[name](first * 0.7, truth)


@pytest.mark.parametrize("name", [name for name in CALLS if name not in HARD])
@pytest.mark.parametrize("wrong", [np.nan, -0.01, 1.01, np.inf])
def test_what_is_no_probability_is_refused(name: str, wrong: float) -> None:
    probs, truth = first_of(name)
    probs[2, 0, 0] = wrong
    with pytest.raises(
        ValueError, match=r"\(first in image 2\); expected 0 to 1: take the sigmoid"
    ):
        CALLS[name](probs, truth)
    with pytest.raises(ValueError, match="probs are uint8; expected floating-point"):
        CALLS[name](truth.astype(np.uint8), truth)
    if name == "histogram":
        with pytest.raises(ValueError, match="take the sigmoid"):
            metrics.expected_iou_masks(probs)


@every_call
def test_shapes_that_do_not_agree_are_refused(name: str) -> None:
    first, truth = first_of(name)
    for other in (truth[:1], truth[:, :8], truth[:, None], truth[..., :1], truth[0]):
        with pytest.raises(ValueError, match=r"has shape .* and truth .*they must agree"):
            CALLS[name](first, other)
    for part in (slice(0, 0), np.s_[:, :0]):
        with pytest.raises(ValueError, match="at least one image and one pixel"):
            CALLS[name](first[part], truth[part])
    if name in ("count_boundary", "hd95", "Scores.of"):
        with pytest.raises(ValueError, match=r"expected \(num_images, height, width\)"):
            CALLS[name](first[:, None], truth[:, None])


def test_likelihood_takes_masks_alone() -> None:
    probs, truth = draw_probs(4)
    judges: list[Callable[[Any, Any], float]]
    judges = [metrics.fit_temperature, metrics.negative_log_likelihood]
    for judge in judges:
        assert judge(probs, truth.astype(np.uint8)) == judge(probs, truth)
        with pytest.raises(ValueError, match="from 0 to 255"):
            judge(probs, np.where(truth, 255, 0).astype(np.uint8))
        with pytest.raises(ValueError, match="must agree"):
            judge(probs, truth[:1])


def test_unknown_policy_is_refused() -> None:
    probs, truth = draw_probs(4)
    scores = Scores.of(probs, truth)
    policy: Any = "bogus"
    for metric in (metrics.iou, metrics.dice, metrics.precision, metrics.recall):
        with pytest.raises(ValueError, match="empty is 'bogus'; it is one of: score, skip"):
            metric(scores.counts, policy)
    with pytest.raises(ValueError, match="empty is 'bogus'"):
        metrics.hd95(truth, truth, empty=policy)
    with pytest.raises(ValueError, match="empty is 'bogus'"):
        scores.summary(policy)


# All together


def test_summary_by_policy() -> None:
    probs, truth = draw_probs()
    probs[2], truth[2], truth[5] = 0.1, False, False
    scores = Scores.of(probs, truth)
    summary, without = scores.summary(), scores.summary("skip")
    has_any = truth.any((1, 2))
    preds = probs >= 0.5
    for name, metric in (("iou", metrics.iou), ("dice", metrics.dice)):
        each = metric(metrics.count_pixels(preds, truth))
        assert summary[f"{name}_per_image"] == pytest.approx(each.mean())
        assert without[f"{name}_per_image"] == pytest.approx(each[has_any].mean())
    assert scores.counts.num_empty == 2
    assert without["hd95_px"] == pytest.approx(metrics.hd95(preds, truth)[has_any].mean())
    assert without["iou_soft"] == pytest.approx(metrics.iou_soft(probs, truth)[has_any].mean())
    assert summary["accuracy"] == without["accuracy"]
    assert summary["num_empty"] == without["num_empty"] == 2


def test_images_of_several_sizes_pool_by_their_pixels() -> None:
    small, large = draw_probs(4), draw_probs(4, 48, seed=1)
    summary = Scores.join([Scores.of(*small), Scores.of(*large)]).summary()
    right = [((probs >= 0.5) == truth) for probs, truth in (small, large)]
    pooled = sum(r.sum() for r in right) / sum(r.size for r in right)
    assert summary["accuracy_pooled"] == pytest.approx(pooled)
    assert abs(summary["accuracy"] - pooled) > 0.005


def batches(rank: int, num_processes: int) -> list[list[int]]:
    """As a distributed sampler gives them: padded, so that all have as many, in pairs."""
    order = [*range(12), 0, 1, 2][rank::num_processes]
    return [order[start : start + 2] for start in range(0, len(order), 2)]


def tally_of(rank: int, num_processes: int) -> Tally:
    probs, truth = draw_probs()
    tally = Tally()
    for rows in batches(rank, num_processes):
        tally.update([f"image {row:02d}" for row in rows], probs[rows], truth[rows])
    return tally


def test_what_is_seen_twice_counts_once() -> None:
    probs, truth = draw_probs()
    tally = tally_of(0, 1)
    names, scores = tally.scores()
    assert names == [f"image {row:02d}" for row in range(12)]
    assert scores.summary() == pytest.approx(Scores.of(probs, truth).summary())
    tally.merge([tally_of(0, 2), tally_of(1, 2), pickle.loads(pickle.dumps(tally))])
    assert tally.scores()[1].summary() == scores.summary()


def test_same_name_with_other_scores_is_refused() -> None:
    probs, truth = draw_probs()
    tally = tally_of(0, 1)
    with pytest.raises(ValueError, match="'image 03' was scored twice with different results"):
        tally.update(["image 03"], 1 - probs[3:4], truth[3:4])


def test_a_batch_has_a_name_for_each_image() -> None:
    probs, truth = draw_probs()
    tally = Tally()
    for names in (["a", "b"], ["a", "b", "c", "d"]):
        with pytest.raises(ValueError, match=f"{len(names)} names for 3 predictions and 3 masks"):
            tally.update(names, probs[:3], truth[:3])
    with pytest.raises(ValueError, match="2 names for 2 predictions and 3 masks"):
        tally.update(["a", "b"], probs[:2], truth[:3])
    with pytest.raises(ValueError, match=r"\['a'\] in one batch more than once"):
        tally.update(["a", "b", "a"], probs[:3], truth[:3])
    with pytest.raises(ValueError, match="no image was scored"):
        tally.scores()
    tally.update([], probs[:0], truth[:0])  # as the last batch of a process may be
    tally.update(iter(["a", "b", "c"]), probs[:3], truth[:3])
    assert tally.scores()[0] == ["a", "b", "c"]


def test_processes_together_equal_one(tmp_path: Path) -> None:
    parts = [tally_of(rank, 3) for rank in range(3)]
    found = run_processes(gather_tallies, parts, tmp_path)
    expected = gather_tallies(tally_of(0, 1)).scores()
    for tally in found:
        names, scores = tally.scores()
        assert names == expected[0]
        assert scores.summary() == pytest.approx(expected[1].summary())
