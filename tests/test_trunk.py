from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import tiny

from vesica import trunk
from vesica.models import FCN
from vesica.shapes import Features
from vesica.trunk import BLOCK, Inputs, compute_features, to_image, trunk_key

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
) -> NDArray[np.float32]:
    (features,) = compute_features(
        model, images, np.array(rows), folder, device=CPU, precision=precision
    )
    return features


def test_rows_are_what_the_trunk_gives(
    model: FCN, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    features = compute(model, images, list(range(NUM)), tmp_path)
    with torch.inference_mode():
        (expected,) = model.trunk(to_image(images))
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_only_what_is_needed_is_computed_and_never_twice(
    model: FCN, images: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    run = trunk._run_trunk

    def count(model: FCN, stored: NDArray[np.uint8], *rest: Any) -> Features:
        calls.append(len(stored))
        return run(model, stored, *rest)

    monkeypatch.setattr(trunk, "_run_trunk", count)
    compute(model, images, [0, BLOCK - 1, 2 * BLOCK], tmp_path)
    assert calls == [1, BLOCK, BLOCK]  # one image to learn the shape, then two of four blocks
    done = np.load(tmp_path / "done.npy")
    assert done.sum() == 2 * BLOCK
    calls.clear()
    compute(model, images, list(range(NUM)), tmp_path)
    assert calls == [BLOCK, 5]


def test_the_order_of_asking_changes_no_bit(
    model: FCN, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    whole = compute(model, images, list(range(NUM)), tmp_path / "whole")
    compute(model, images, [40], tmp_path / "parts")
    compute(model, images, [3, 17], tmp_path / "parts")
    parts = compute(model, images, list(range(NUM)), tmp_path / "parts")
    np.testing.assert_array_equal(whole, parts)


def test_a_stop_loses_only_the_block_under_way(
    model: FCN, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_features(
            model,
            images,
            np.arange(NUM),
            tmp_path,
            device=CPU,
            precision="fp32",
            progress=stop,
        )
    assert np.load(tmp_path / "done.npy").sum() == 2 * BLOCK
    whole = compute(model, images, list(range(NUM)), tmp_path / "whole")
    np.testing.assert_array_equal(compute(model, images, list(range(NUM)), tmp_path), whole)


@pytest.mark.parametrize("name", ["0.npy", "done.npy"])
@pytest.mark.parametrize("length", [0, 100, None])
def test_a_damaged_store_is_computed_anew(
    name: str, length: int | None, model: FCN, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    whole = np.array(compute(model, images, list(range(NUM)), tmp_path))
    if length is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:length])
    np.testing.assert_array_equal(compute(model, images, list(range(NUM)), tmp_path), whole)


def test_bfloat16_is_stored_in_half_the_space(
    model: FCN, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    exact = compute(model, images, [0], tmp_path / "fp32")
    stored = compute(model, images, [0], tmp_path / "bf16", "bf16")
    assert stored.nbytes * 2 == exact.nbytes
    inputs = Inputs((stored,), np.zeros((NUM, 64, 64), bool))
    (features,), _ = inputs.batch(np.array([0, 1]), CPU)
    assert features.dtype == torch.bfloat16
    np.testing.assert_allclose(features.float()[0], exact[0], rtol=0.02, atol=0.02)


def test_an_unfrozen_network_takes_the_images(images: NDArray[np.uint8]) -> None:
    inputs = Inputs((images,), np.zeros((NUM, 64, 64), bool))
    (image,), target = inputs.batch(np.array([2, 0]), CPU)
    assert image.shape == (2, 3, 64, 64)
    assert target.shape == (2, 64, 64)
    assert float(image[0, 1, 5, 7]) == pytest.approx(images[2, 5, 7, 1] / 255)


def test_every_part_of_the_key_matters() -> None:
    base = ("data", "weights", "bfcn32s", 224, "fp32")
    keys = {trunk_key(*base)}
    for index, other in enumerate(("data2", "weights2", "fcresnet", 128, "bf16")):
        keys.add(trunk_key(*(*base[:index], other, *base[index + 1 :])))  # type: ignore[arg-type]
    assert len(keys) == 6
