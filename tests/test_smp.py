"""Networks of segmentation-models-pytorch by name, with random weights: nothing is downloaded."""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch
import torch
from safetensors.torch import save_file
from tiny import tiny_cell
from torch import Tensor

from vesica.cell import run_cell
from vesica.errors import DataError
from vesica.features import compute_features, to_image
from vesica.materials import Materials
from vesica.networks import (
    NETWORKS,
    Network,
    Weights,
    build_network,
    default_weights,
    load_weights,
    read_network,
)
from vesica.networks.smp import ARCHITECTURES, preprocessing
from vesica.provenance import versions

NONE = Weights("none")
UNET = "smp:unet:encoder=resnet18"
SOME = [
    (UNET, 1),
    ("smp:unet:encoder=mit_b0", 1),
    ("smp:pspnet:encoder=resnet18", 8),
    ("smp:deeplabv3plus:encoder=resnet18", 4),
    ("smp:segformer:encoder=resnet18", 4),
    ("smp:dpt:encoder=tu-vit_tiny_patch16_224", 2),
]

some_models = pytest.mark.parametrize("name", [name for name, _ in SOME])


@cache
def shared(name: str, freeze: bool = True) -> Network:
    """A network that no test may change."""
    return build_network(f"{name}:freeze={'encoder' if freeze else 'none'}", NONE, 0).eval()


def encoder_of(network: Network) -> dict[str, Tensor]:
    state = network.state_dict()
    return {k.removeprefix("net.encoder."): t for k, t in state.items() if "net.encoder" in k}


def write_encoder(path: Path, name: str = UNET, more: dict[str, Tensor] | None = None) -> Path:
    save_file(encoder_of(build_network(name, NONE, 5)) | (more or {}), path)
    return path


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def refusal(spelling: str, network: str = UNET) -> str:
    """The one sentence that refuses these weights."""
    with pytest.raises(DataError) as caught:
        load_weights(spelling, network)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Names


def test_every_architecture_of_the_library_has_a_name() -> None:
    assert set(ARCHITECTURES) == set(segmentation_models_pytorch.MODEL_ARCHITECTURES_MAPPING)
    assert {f"smp:{name}" for name in ARCHITECTURES} < set(NETWORKS)
    assert {default_weights(f"smp:{name}") for name in ARCHITECTURES} == {"smp"}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("smp:unet", "smp:unet"),
        ("smp:unet:encoder=resnet34:freeze=none", "smp:unet"),
        ("smp:fpn:freeze=encoder:encoder=mit_b0", "smp:fpn:encoder=mit_b0:freeze=encoder"),
        ("smp:dpt:encoder=tu-vit_base_patch16_224.augreg_in21k", "smp:dpt"),
        ("smp:pan:encoder=efficientnet-b0", "smp:pan:encoder=efficientnet-b0"),
    ],
)
def test_names_with_their_options_read_back(text: str, canonical: str) -> None:
    spelled = read_network(text)
    assert str(spelled) == canonical
    assert read_network(canonical) == spelled
    cell = tiny_cell(model=text)
    assert cell.network_name == canonical.partition(":encoder")[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smp:nope", "unknown model 'smp:nope'; there are: bfcn32s, .*smp:unet, .*FILE.py"),
        ("smp", "unknown model 'smp'; there are"),
        ("smp:encoder=resnet18", "unknown model 'smp'; there are"),
        ("smp:unet:width=3", "model 'smp:unet' has no parameter 'width'; it has: encoder, freeze"),
        ("smp:unet:encoder", "'encoder' has no value"),
        ("smp:unet:freeze=paper", "smp:unet:freeze=paper: expected one of: none, encoder"),
        ("bfcn32s:unet", "model 'bfcn32s' has no parameter 'unet'"),
    ],
)
def test_unknown_names_say_what_exists(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_network(text)


@pytest.mark.parametrize("encoder", ["resnet43", "tu-resnet43", "resnet34.a1_in1k", "x"])
def test_unknown_encoders_say_the_closest(encoder: str) -> None:
    for action in (build_network, load_weights):
        given: list[Any] = [f"smp:unet:encoder={encoder}", NONE, 0]
        with pytest.raises(ValueError, match="the closest of") as caught:
            action(*(given if action is build_network else ["smp", given[0]]))
        assert f"unknown encoder {encoder!r}" in str(caught.value)
        assert "https://smp.readthedocs.io" in str(caught.value)
        assert encoder == "x" or "resnet34" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("smp:linknet:encoder=mit_b0", "not supported for Linknet"),
        ("smp:deeplabv3:encoder=vgg11", "do not support dilated mode"),
        ("smp:dpt:encoder=resnet18", "must start with 'tu-'"),
    ],
)
def test_encoders_that_do_not_fit(name: str, reason: str) -> None:
    with pytest.raises(DataError, match="cannot have the encoder") as caught:
        build_network(name, NONE, 0)
    assert reason in str(caught.value)
    assert str(caught.value).endswith("pass another encoder")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    assert str(read_network(UNET)) == UNET
    with pytest.raises(DataError, match=r"run: pip install 'vesica\[smp\]'"):
        build_network(UNET, NONE, 0)
    assert "pip install 'vesica[smp]'" in refusal("smp")


def test_results_say_which_library() -> None:
    assert versions().keys() >= {"segmentation-models-pytorch", "timm"}


# The protocol


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_have_the_size_of_the_image(architecture: str) -> None:
    encoder = "tu-vit_tiny_patch16_224" if architecture == "dpt" else "resnet18"
    with torch.device("meta"):
        network = NETWORKS[f"smp:{architecture}"](encoder=encoder).eval()
        assert network(torch.empty(2, 3, 130, 101)).shape == (2, 1, 130, 101)


@pytest.mark.parametrize(("name", "stride"), SOME)
def test_frozen_kept_or_not_the_logits_are_the_same(name: str, stride: int, tmp_path: Path) -> None:
    frozen, whole = shared(name), shared(name, False)
    assert frozen.stride == whole.stride == stride
    stored = np.random.default_rng(0).integers(0, 256, (3, 50, 64, 3), np.uint8)
    rows, image = np.arange(3), to_image(stored)
    kept = compute_features(
        frozen, stored, rows, tmp_path / "f", device=torch.device("cpu"), precision="fp32"
    )
    assert len(kept) > 1
    assert whole.features(image) == (image,)
    with torch.inference_mode():
        logits = whole(image)
        assert logits.shape == (3, 1, 50, 64)
        assert logits.std() > 0
        torch.testing.assert_close(frozen(image), logits)
        of_kept = frozen.head(tuple(maps.rows(rows) for maps in kept), (50, 64))
        torch.testing.assert_close(of_kept, logits, rtol=1e-4, atol=1e-4)


@some_models
def test_they_are_the_librarys(name: str) -> None:
    # The library's own forward pass, of an image that needs no border.
    network, image = shared(name), noise(2, 3, 64, 96)
    net: Any = network.get_submodule("net")
    with torch.inference_mode():
        expected = net(network.get_submodule("normalise")(image))
        torch.testing.assert_close(network(image), expected)


@pytest.mark.parametrize("freeze", ["encoder", "none"])
def test_a_step_changes_what_trains_and_nothing_else(freeze: str) -> None:
    network = build_network(f"{UNET}:freeze={freeze}", NONE, 0).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    torch.autograd.backward((network(noise(2, 3, 64, 64)) * noise(2, 1, 64, 64)).mean())
    optimizer.step()
    after = network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == set(network.trained_state())
    assert any("encoder" in name for name in moved) == (freeze == "none")
    assert not any("normalise" in name for name in moved)


@pytest.mark.parametrize("name", ["smp:deeplabv3:encoder=resnet18", "smp:unet:encoder=resnet18"])
def test_a_batch_of_one_image_trains(name: str) -> None:
    network = build_network(name, NONE, 0).train()
    torch.autograd.backward(network(noise(1, 3, 32, 32)).sum())
    assert all(module.training for module in network.get_submodule("net").modules())


def test_seed_decides_the_tensors() -> None:
    before = torch.manual_seed(1).get_state()
    again = build_network(f"{UNET}:freeze=encoder", NONE, 0).state_dict()
    other = build_network(UNET, NONE, 1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, again[key]) for key, tensor in shared(UNET).state_dict().items())
    assert not torch.equal(other["net.encoder.conv1.weight"], again["net.encoder.conv1.weight"])


@pytest.mark.parametrize(
    ("encoder", "mean", "std"),
    [
        ("dpn68", (0.4863, 0.4588, 0.4078), (0.2348, 0.2348, 0.2348)),
        ("xception", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("tu-vit_tiny_patch16_224", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("tu-resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_normalisation_is_the_encoders(
    encoder: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    found = preprocessing(encoder)
    assert found["mean"] == pytest.approx(mean, abs=1e-4)
    assert found["std"] == pytest.approx(std, abs=1e-4)


def test_normalisation_is_imagenets_by_default() -> None:
    assert preprocessing("resnet18") == preprocessing("timm-efficientnet-b0") == {}
    state = shared(UNET).state_dict()
    torch.testing.assert_close(
        state["normalise.mean"][:, 0, 0], torch.tensor([0.485, 0.456, 0.406])
    )


# Pretrained weights


def test_a_files_tensors_are_the_encoders(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoder.safetensors")
    weights = load_weights(f"smp:{path}", UNET)
    state = encoder_of(build_network(UNET, NONE, 5))
    assert weights.name == "smp"
    assert weights.digest == Weights("smp", state).digest
    networks = [build_network(UNET, weights, seed) for seed in (0, 1)]
    for network in networks:
        found = encoder_of(network)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)
    heads = [net.state_dict()["net.segmentation_head.0.weight"] for net in networks]
    assert not torch.equal(*heads)


def test_digest_is_that_of_the_encoder_alone(tmp_path: Path) -> None:
    plain = write_encoder(tmp_path / "a.safetensors")
    classifier = {"fc.weight": torch.ones(2, 512), "fc.bias": torch.ones(2)}
    whole = write_encoder(tmp_path / "b.safetensors", more=classifier)
    fpn = "smp:fpn:encoder=resnet18"
    found = [load_weights(f"smp:{path}", name) for path in (plain, whole) for name in (UNET, fpn)]
    assert len({weights.digest for weights in found}) == 1


def of_a_hub(repo: str, filename: str, revision: str, path: Path) -> str:
    """A hub that has the encoder of `write_encoder`."""
    assert repo == "smp-hub/resnet18.imagenet"
    assert len(revision) == 40
    if filename == "config.json":
        (path / filename).write_text(json.dumps({"mean": [0] * 3, "std": [1] * 3}))
        return str(path / filename)
    return str(write_encoder(path / filename))


def test_the_librarys_weights_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        segmentation_models_pytorch.encoders,
        "hf_hub_download",
        lambda repo, filename, revision: of_a_hub(repo, filename, revision, tmp_path),
    )
    found = load_weights("smp", UNET)
    assert found.digest == load_weights(f"smp:{tmp_path / 'model.safetensors'}", UNET).digest


def test_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **more: object) -> None:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(segmentation_models_pytorch.encoders, "hf_hub_download", refuse)
    message = refusal("smp")
    assert "weights 'smp' of resnet18 could not be downloaded (ConnectionError: no route" in message
    assert message.endswith(
        "pass smp:PATH with a safetensors file of the encoder's state dict, or --weights none"
    )


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    assert "no such file" in refusal(f"smp:{tmp_path / 'none'}")
    larger = write_encoder(tmp_path / "34.safetensors", "smp:unet:encoder=resnet34")
    message = refusal(f"smp:{larger}")
    assert f"weights '{larger}' do not fit {UNET}: Unexpected key" in message
    assert len(message) < 600
    damaged = write_encoder(
        tmp_path / "nan.safetensors", more={"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}
    )
    assert f"weights {damaged}: conv1.weight has NaN or infinite values" in refusal(
        f"smp:{damaged}"
    )
    pickled = tmp_path / "a.pth"
    torch.save({}, pickled)
    assert "not a safetensors file" in refusal(f"smp:{pickled}")


def test_weights_of_other_networks() -> None:
    message = refusal("hed")
    assert message == "weights 'hed' do not fit smp:unet; use one of: none, smp"
    assert refusal("smp", "bfcn32s").endswith("use one of: none, torchvision, hed")
    assert "there are: none, torchvision, hed, lite0, smp" in refusal("imagenet")


# In a run


def test_a_file_of_weights_is_part_of_the_cell(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoder.safetensors")
    materials = Materials(tmp_path / "cache")
    cell = materials.resolve(tiny_cell(model=f"{UNET}:freeze=encoder", weights=f"smp:{path}"))
    assert (cell.weights, cell.weights_name) == (f"smp:{path}", "smp")
    assert cell.weights_digest == load_weights(f"smp:{path}", UNET).digest
    assert cell.model == f"{UNET}:freeze=encoder"
    again = materials.resolve(cell)
    assert again.key == cell.key
    others = [
        materials.resolve(cell.model_copy(update={"seed": 1})),
        materials.resolve(cell.model_copy(update={"model": "smp:fpn:" + cell.model[9:]})),
    ]
    folders = [materials.features_folder(each) for each in (cell, *others)]
    assert folders[0] == folders[1] != folders[2]


@pytest.mark.parametrize("name", ["smp:pspnet", "smp:deeplabv3plus"])
@pytest.mark.parametrize("freeze", ["encoder", "none"])
def test_a_cell_runs_whatever_is_left_for_the_last_batch(
    name: str, freeze: str, tmp_path: Path
) -> None:
    materials = Materials(tmp_path / "cache")
    cell = tiny_cell(model=f"{name}:encoder=resnet18:freeze={freeze}", weights="none", size=32)
    resolved = materials.resolve(cell)
    num_train = len(materials.library.rows(resolved.data).train)
    recipe = resolved.recipe.model_copy(update={"max_epochs": 1, "batch": num_train - 1})
    resolved = resolved.model_copy(update={"recipe": recipe})
    materials.check(resolved)
    result = run_cell(resolved, materials, tmp_path / "cell")
    assert result.has_scores
    assert (tmp_path / "cache" / "features").exists() == (freeze == "encoder")


def test_a_size_that_is_too_small_is_one_sentence(tmp_path: Path) -> None:
    materials = Materials(tmp_path)
    cell = materials.resolve(tiny_cell(model="smp:pan:encoder=resnet18", weights="none", size=64))
    with pytest.raises(DataError, match="fails on an image of 64x64 pixels") as caught:
        materials.check(cell)
    assert str(caught.value).startswith("smp:pan:encoder=resnet18: ")
    assert str(caught.value).endswith("pass another encoder, or another --size")
