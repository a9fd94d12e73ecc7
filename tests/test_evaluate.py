import numpy as np
import pytest
import torch
from tiny import tiny

from vesica import metrics
from vesica.evaluate import score, to_preds, to_probs, validate
from vesica.features import Images, Inputs
from vesica.losses import parse_loss
from vesica.materials import make_fabric
from vesica.metrics.threshold import NUM_BINS
from vesica.networks import FCN
from vesica.networks.fcn import initialise_output

NUM = 11
ROWS = np.array([9, 2, 3, 4, 7, 8, 10])


@pytest.fixture
def model() -> FCN:
    torch.manual_seed(0)
    model = tiny(freeze="none")
    initialise_output(model)
    with torch.no_grad():  # scores of both signs, which differ from image to image
        model.score.weight.copy_(torch.linspace(-300, 300, 8).view(1, 8, 1, 1))
    return model


@pytest.fixture
def inputs() -> Inputs:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (NUM, 64, 64, 3), dtype=np.uint8)
    return Inputs((Images(images),), (rng.random((NUM, 64, 64)) < rng.random((NUM, 1, 1)))[:, None])


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_scores_are_those_of_the_images_one_by_one(batch: int, model: FCN, inputs: Inputs) -> None:
    scores, preds = score(model, inputs, ROWS, make_fabric("fp32", "cpu"), batch)
    for number, row in enumerate(ROWS):
        (image,), *_ = inputs.batch(np.array([row]), torch.device("cpu"))
        with torch.inference_mode():
            probs = torch.sigmoid(model.eval()(image))[0].numpy()
        truth = inputs.masks[row]
        pred = probs >= 0.5
        assert scores.counts.tp[number] == pytest.approx((pred & truth).sum(), abs=2)
        soft = (probs * truth).sum() / (probs + truth - probs * truth).sum()
        assert (preds[number] == pred).mean() > 0.999
        assert scores.iou_soft[number] == pytest.approx(soft, rel=1e-4)


def test_histograms_hold_every_pixel_and_give_the_counts_back(model: FCN, inputs: Inputs) -> None:
    scores, preds = score(model, inputs, ROWS, make_fabric("fp32", "cpu"), 4)
    assert scores.histograms.shape == (len(ROWS), 2, NUM_BINS)
    assert np.all(scores.histograms.sum(axis=(1, 2)) == 64 * 64)
    above = scores.histograms[:, :, NUM_BINS // 2 :].sum(axis=2)
    np.testing.assert_array_equal(above[:, 1], scores.counts.tp)
    np.testing.assert_array_equal(above[:, 0], scores.counts.fp)
    np.testing.assert_array_equal(preds.sum(axis=(1, 2, 3)), above.sum(axis=1))
    assert len(np.unique(scores.counts.tp)) > 3, "the images must differ for this to mean much"


def test_half_is_foreground() -> None:
    logits = torch.tensor([-30.0, -1e-3, 0.0, 1e-3, 30.0])
    assert to_preds(to_probs(logits)).tolist() == [False, False, True, True, True]


def test_validation_judges_loss_and_hard_iou(model: FCN, inputs: Inputs) -> None:
    loss, fabric = parse_loss("0.3bce+0.7iou"), make_fabric("fp32", "cpu")
    judged = validate(model, inputs, ROWS, loss, fabric, 3)
    (images,), target, _ = inputs.batch(ROWS, torch.device("cpu"))
    with torch.inference_mode():
        logits = model.eval()(images)
    assert judged.loss == pytest.approx(float(loss(logits, target).mean()), rel=1e-5)
    counts = metrics.count_pixels((logits >= 0).numpy(), target.numpy())
    assert judged.iou == pytest.approx(float(metrics.iou(counts).mean()), abs=1e-3)
    assert not judged.is_one_class


@pytest.mark.parametrize("bias", [-50.0, 50.0])
def test_one_class_is_noticed(bias: float, model: FCN, inputs: Inputs) -> None:
    torch.nn.init.constant_(model.upsample.bias, bias)  # type: ignore[arg-type]
    torch.nn.init.zeros_(model.score.weight)
    fabric = make_fabric("fp32", "cpu")
    assert validate(model, inputs, ROWS, parse_loss("bce"), fabric, 3).is_one_class
