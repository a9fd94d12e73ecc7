from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import tiny

from vesica.cache import BLOCK
from vesica.data.augment import are_mirrored
from vesica.features import (
    Images,
    Inputs,
    Stored,
    compute_features,
    features_key,
    frozen_digest,
    mirror,
    to_image,
)
from vesica.networks import FCN

CPU = torch.device("cpu")
NUM = 3 * BLOCK + 5


@pytest.fixture
def model() -> FCN:
    torch.manual_seed(0)
    return tiny().eval()


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (NUM, 64, 64, 3), dtype=np.uint8)


def compute(
    model: FCN, images: NDArray[np.uint8], rows: list[int], folder: Path, precision: str = "fp32"
) -> Stored:
    (features,) = compute_features(
        model, images, np.array(rows), folder, device=CPU, precision=precision
    )
    return features


def test_rows_are_what_the_frozen_layers_give(
    model: FCN, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    features = compute(model, images, list(range(NUM)), tmp_path)
    with torch.inference_mode():
        (expected,) = model.features(to_image(images))
    torch.testing.assert_close(features.rows(np.arange(NUM)), expected)


def test_the_order_of_asking_changes_no_bit(
    model: FCN, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    whole = compute(model, images, list(range(NUM)), tmp_path / "whole")
    compute(model, images, [40], tmp_path / "parts")
    compute(model, images, [3, 17], tmp_path / "parts")
    parts = compute(model, images, list(range(NUM)), tmp_path / "parts")
    np.testing.assert_array_equal(whole.values, parts.values)


def test_bfloat16_is_stored_in_half_the_space(
    model: FCN, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    exact = compute(model, images, [0], tmp_path / "fp32")
    stored = compute(model, images, [0], tmp_path / "bf16", "bf16")
    assert stored.values.nbytes * 2 == exact.values.nbytes
    inputs = Inputs((stored,), np.zeros((NUM, 1, 64, 64), bool))
    (features,), *_ = inputs.batch(np.array([0, 1]), CPU)
    assert features.dtype == torch.bfloat16
    torch.testing.assert_close(
        features.float()[:1], exact.rows(np.array([0])), rtol=0.02, atol=0.02
    )


def test_an_unfrozen_network_takes_the_images(images: NDArray[np.uint8]) -> None:
    inputs = Inputs((Images(images),), np.zeros((NUM, 1, 64, 64), bool))
    (image,), target, _ = inputs.batch(np.array([2, 0]), CPU)
    assert image.shape == (2, 3, 64, 64)
    assert target.shape == (2, 1, 64, 64)
    assert float(image[0, 1, 5, 7]) == pytest.approx(images[2, 5, 7, 1] / 255)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_mirrored_row_is_the_mirror_image(
    freeze: bool, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    model = tiny(freeze="paper" if freeze else "none").eval()
    masks = np.random.default_rng(1).random((NUM, 1, 64, 64)) < 0.3
    if freeze:
        both = [
            compute_features(model, i, np.arange(NUM), f, device=CPU, precision="fp32")
            for i, f in ((images, tmp_path / "a"), (mirror(images), tmp_path / "b"))
        ]
        inputs = Inputs(both[0], masks, both[1])
    else:
        inputs = Inputs((Images(images),), masks, (Images(mirror(images)),))
    rows = np.array([5, 0, 9, 3, 7])
    is_mirrored = are_mirrored(rows, 0, 2)
    assert 0 < is_mirrored.sum() < len(rows)
    features, target, _ = inputs.training_batch(rows, 0, 2, CPU)
    image = to_image(images[rows])
    image[is_mirrored] = image[is_mirrored].flip(-1)
    with torch.inference_mode():
        torch.testing.assert_close(model.head(features, (64, 64)), model(image))
    expected = masks[rows]
    expected[is_mirrored] = expected[is_mirrored][..., ::-1]
    np.testing.assert_array_equal(target, expected)


def test_every_part_of_the_key_matters() -> None:
    base = ("data", "weights", "bfcn32s", 224, "fp32", False)
    keys = {features_key(*base)}
    for index, other in enumerate(("data2", "weights2", "fcresnet", 128, "bf16", True)):
        keys.add(features_key(*(*base[:index], other, *base[index + 1 :])))  # type: ignore[arg-type]
    assert len(keys) == 7


def test_the_digest_is_of_what_is_frozen() -> None:
    one, other = tiny(), tiny()
    assert frozen_digest(one) == frozen_digest(other) != ""
    with torch.no_grad():
        other.score.weight += 1
    assert frozen_digest(one) == frozen_digest(other)
    next(other.encoder.parameters()).data += 1
    assert frozen_digest(one) != frozen_digest(other)
    assert frozen_digest(tiny(freeze="none")) == ""
