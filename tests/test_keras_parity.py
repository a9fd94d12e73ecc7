"""Both networks in Keras 3, the paper's framework, and in plain PyTorch are Vesica's.

Here at a small size with Keras on PyTorch; `make bench-training` does the same at the paper's
sizes, on TensorFlow as well.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from engines.cases import KERAS_CASES, TOLERANCE, VESICA_CASES, compare
from engines.parity import keras_losses, make_model, vesica_losses
from engines.plain_torch import build_plain
from engines.setting import Setting, draw_batch

every_network = pytest.mark.parametrize("network", ["bfcn32s", "fcresnet"])


@pytest.fixture(autouse=True)
def _keras_on_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # a user's keras.json may say anything


def small(network: str) -> Setting:
    return Setting(network, size=64, width=32, batch=4)


@every_network
def test_first_losses_are_the_same(network: str) -> None:
    vesica = {case.name: vesica_losses(small(network), case) for case in VESICA_CASES}
    keras = {case.name: keras_losses(small(network), case) for case in KERAS_CASES}
    rows = compare(vesica, keras)
    assert len(rows) == len(VESICA_CASES)
    for row in rows:
        assert row["is_met"], row
        # The check would see nothing in losses that stay where they start.
        assert max(row["losses"]) - min(row["losses"]) > 50 * TOLERANCE


@every_network
def test_plain_network_is_vesicas(network: str) -> None:
    vesica, plain = make_model(small(network)), build_plain(network, 32)
    state = vesica.state_dict()
    frozen = plain.frozen_encoder
    frozen.load_state_dict(vesica.encoder[: vesica.num_frozen].state_dict())
    plain.trained_encoder.load_state_dict(vesica.encoder[vesica.num_frozen :].state_dict())
    for name in ("wide", "score", "upsample"):
        part = {k.removeprefix(f"{name}."): t for k, t in state.items() if k.startswith(f"{name}.")}
        plain.get_submodule(name).load_state_dict(part)
    images, _ = draw_batch(2, 64)
    image = torch.from_numpy(images).permute(0, 3, 1, 2)
    expected = vesica(image).squeeze(1)
    actual = plain.train()(image)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01
    trained = [[p.shape for p in net.parameters() if p.requires_grad] for net in (vesica, plain)]
    assert trained[0] == trained[1]


def test_weights_that_are_missing_or_left_over_are_named() -> None:
    from engines.keras_networks import build_network, copy_weights

    model = build_network("bfcn32s", 32, 8)
    state = {
        name: tensor.numpy()
        for name, tensor in make_model(Setting("bfcn32s", 32, 8, 1)).state_dict().items()
    }
    copy_weights(model, state)
    with pytest.raises(ValueError, match=r"Keras has no \['more'\]"):
        copy_weights(model, state | {"more": np.zeros(1, np.float32)})
    del state["wide.2.bias"]
    with pytest.raises(ValueError, match=r"Vesica has no \['wide.2.bias'\]"):
        copy_weights(model, state)
    with pytest.raises(ValueError, match="expected a multiple of 32"):
        build_network("bfcn32s", 33, 8)


def test_batches_differ_and_have_foreground() -> None:
    images, targets = draw_batch(8, 64)
    assert images.min() >= 0
    assert images.max() <= 1
    shares = targets.mean(axis=(1, 2))
    assert (shares > 0.01).all()
    assert shares.std() > 0.01
    others, _ = draw_batch(8, 64, seed=1)
    assert abs(np.corrcoef(images[0].ravel(), others[0].ravel())[0, 1]) < 0.5
    assert np.array_equal(draw_batch(8, 64)[0], images)
