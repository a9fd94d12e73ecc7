"""Metrics against torchmetrics and scikit-learn, and the policy for images without foreground."""

import numpy as np
import pytest
import reference
import torch
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)
from torchmetrics.functional.classification import (
    binary_accuracy,
    binary_f1_score,
    binary_jaccard_index,
    binary_precision,
    binary_recall,
)

from vesica import metrics
from vesica.metrics import Counts, count_pixels

Masks = NDArray[np.bool_]


def draw(num_images: int = 40, size_px: int = 12, seed: int = 0) -> tuple[Masks, Masks]:
    """Predictions and truths of all densities; some predictions are mostly right, some not."""
    rng = np.random.default_rng(seed)
    column = (num_images, 1, 1)
    density = rng.uniform(0.05, 0.95, column)
    truth, other = rng.random((2, num_images, size_px, size_px)) < density
    return np.where(rng.random(truth.shape) < rng.random(column), other, truth), truth


def test_drawn_masks_have_spread() -> None:
    pred, truth = draw()
    for masks in (pred, truth):
        density = masks.mean((1, 2))
        assert density.min() < 0.2
        assert density.max() > 0.8
        assert density.std() > 0.15
        assert len(np.unique(masks.reshape(len(masks), -1), axis=0)) == len(masks)
    per_image = metrics.iou(count_pixels(pred, truth))
    assert per_image.min() < 0.3
    assert per_image.max() > 0.9
    assert not np.array_equal(truth, draw(seed=1)[1])


@pytest.mark.parametrize("seed", range(3))
def test_per_image_equals_scikit_learn(seed: int) -> None:
    pred, truth = draw(seed=seed)
    counts = count_pixels(pred, truth)
    flat = [(t.ravel(), p.ravel()) for t, p in zip(truth, pred, strict=True)]
    for actual, expected in [
        (metrics.iou(counts), [jaccard_score(*pair) for pair in flat]),
        (metrics.dice(counts), [f1_score(*pair) for pair in flat]),
        (metrics.accuracy(counts), [accuracy_score(*pair) for pair in flat]),
        (metrics.precision(counts), [precision_score(*pair) for pair in flat]),
        (metrics.recall(counts), [recall_score(*pair) for pair in flat]),
    ]:
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_per_image_equals_torchmetrics() -> None:
    pred, truth = draw()
    counts = count_pixels(pred, truth)
    masks = torch.from_numpy(pred).int(), torch.from_numpy(truth).int()
    jaccards = [binary_jaccard_index(*pair) for pair in zip(*masks, strict=True)]
    for actual, expected in [
        (metrics.iou(counts), torch.stack(jaccards)),
        (metrics.dice(counts), binary_f1_score(*masks, multidim_average="samplewise")),
        (metrics.accuracy(counts), binary_accuracy(*masks, multidim_average="samplewise")),
        (metrics.precision(counts), binary_precision(*masks, multidim_average="samplewise")),
        (metrics.recall(counts), binary_recall(*masks, multidim_average="samplewise")),
    ]:
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_pooled_equals_both_libraries() -> None:
    pred, truth = draw()
    counts = count_pixels(pred, truth).pooled()
    masks = torch.from_numpy(pred).int(), torch.from_numpy(truth).int()
    flat = truth.ravel(), pred.ravel()
    for actual, by_torchmetrics, by_scikit_learn in [
        (metrics.iou(counts), binary_jaccard_index(*masks), jaccard_score(*flat)),
        (metrics.dice(counts), binary_f1_score(*masks), f1_score(*flat)),
        (metrics.accuracy(counts), binary_accuracy(*masks), accuracy_score(*flat)),
        (metrics.precision(counts), binary_precision(*masks), precision_score(*flat)),
        (metrics.recall(counts), binary_recall(*masks), recall_score(*flat)),
    ]:
        assert actual.shape == (1,)
        assert actual[0] == pytest.approx(by_scikit_learn, rel=1e-12)
        assert actual[0] == pytest.approx(float(by_torchmetrics), rel=1e-6)


def test_pooled_is_not_the_mean_per_image() -> None:
    counts = count_pixels(*draw())
    assert abs(metrics.iou(counts).mean() - metrics.iou(counts.pooled())[0]) > 0.01


def test_by_hand() -> None:
    pred = np.array([[True, True, False, False], [True, False, False, False]])
    truth = np.array([[False, True, True, False], [True, True, True, True]])
    counts = count_pixels(pred, truth)
    assert [n.tolist() for n in (counts.tp, counts.fp, counts.fn, counts.tn)] == [
        [1, 1],
        [1, 0],
        [1, 3],
        [1, 0],
    ]
    assert metrics.iou(counts).tolist() == [1 / 3, 1 / 4]
    assert metrics.dice(counts).tolist() == [2 / 4, 2 / 5]
    assert metrics.accuracy(counts).tolist() == [2 / 4, 1 / 4]
    assert metrics.iou(counts.pooled()).tolist() == [2 / 7]
    assert metrics.dice(counts.pooled()).tolist() == [4 / 9]
    assert metrics.accuracy(counts.pooled()).tolist() == [3 / 8]


def test_counts_add_up() -> None:
    pred, truth = draw()
    counts = count_pixels(pred, truth)
    np.testing.assert_array_equal(counts.tp + counts.fp + counts.fn + counts.tn, 12 * 12)
    np.testing.assert_array_equal(counts.tp + counts.fn, truth.sum((1, 2)))
    np.testing.assert_array_equal(counts.tp + counts.fp, pred.sum((1, 2)))
    pooled = counts.pooled()
    assert pooled.tp + pooled.fp + pooled.fn + pooled.tn == truth.size
    for name in ("tp", "fp", "fn", "tn"):
        assert getattr(counts, name).dtype == np.int64
        assert getattr(pooled, name).tolist() == [getattr(counts, name).sum()]


def test_counts_hold_many_pixels() -> None:
    big = np.array([3_000_000_000])
    counts = Counts(big, big, big, big).pooled()
    assert metrics.iou(counts)[0] == pytest.approx(1 / 3)
    assert metrics.dice(counts)[0] == pytest.approx(1 / 2)


def test_images_without_foreground() -> None:
    truth = np.zeros((3, 4), dtype=bool)
    truth[2] = True
    pred = np.array([[False] * 4, [False, False, False, True], [False] * 4])
    counts = count_pixels(pred, truth)
    assert counts.num_empty == 2
    assert metrics.iou(counts).tolist() == [1, 0, 0]
    assert metrics.dice(counts).tolist() == [1, 0, 0]
    assert metrics.accuracy(counts).tolist() == [1, 3 / 4, 0]
    assert metrics.precision(counts).tolist() == [1, 0, 0]
    assert metrics.recall(counts).tolist() == [1, 0, 0]
    assert metrics.iou_soft(pred.astype(np.float32), truth).tolist() == [1, 0, 0]
    for metric in (metrics.iou, metrics.dice, metrics.precision, metrics.recall):
        np.testing.assert_array_equal(metric(counts, "skip"), [np.nan, np.nan, 0])
    assert count_pixels(pred[:2], truth[:2]).pooled().num_empty == 1


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        count_pixels(np.zeros((2, 3), dtype=bool), np.zeros((2, 4), dtype=bool))


def test_soft_iou_of_hard_probabilities_is_iou() -> None:
    pred, truth = draw()
    soft = metrics.iou_soft(pred.astype(np.float32), truth)
    np.testing.assert_allclose(soft, metrics.iou(count_pixels(pred, truth)), rtol=1e-12)


def test_soft_iou_is_equation_3() -> None:
    _, truth = draw()
    probs = np.random.default_rng(1).random(truth.shape, dtype=np.float32)
    expected = [
        1 - reference.iou(p.astype(np.float64), t.astype(np.float64))
        for p, t in zip(probs, truth, strict=True)
    ]
    assert np.ptp(expected) > 0.2
    np.testing.assert_allclose(metrics.iou_soft(probs, truth), expected, rtol=1e-12)
