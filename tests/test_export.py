"""`vesica export`: files that need no run, and give the masks that PyTorch gives."""

import base64
import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import CHROMIUM, opened
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import TINY
from trained import faces, folded_run, trained_run
from typer.testing import CliRunner

import vesica
from vesica.cache import default_cache
from vesica.cli import app
from vesica.errors import DataError
from vesica.export import SUFFIXES, export_model
from vesica.export.agreement import check_agreement, images_for
from vesica.export.graph import write_graph
from vesica.export.runtime import PACKAGE, SCRIPT, WASM, find_runtime
from vesica.model import Asked
from vesica.model.images import BLACK
from vesica.model.network import NetworkModel
from vesica.model.of_run import load_run
from vesica.model.whole import read_whole, write_whole

RUNTIME = default_cache() / "runtime" / f"{PACKAGE.replace('@', '-')}.tgz"


def load(**options: Any) -> NetworkModel:
    run, cache = trained_run()
    return load_run(run, Asked(**options), cache=cache)[0]


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_graph(path, load(loss="bce", average=True))
    return path


# safetensors


@pytest.mark.parametrize("options", [{}, {"loss": "bce", "average": True}])
def test_a_whole_file_gives_the_same_masks(tmp_path: Path, options: dict[str, Any]) -> None:
    model = load(**options)
    write_whole(tmp_path / "model.safetensors", model)
    again = vesica.load(tmp_path / "model.safetensors")
    assert isinstance(again, NetworkModel)
    assert (again.traits, again.digest) == (model.traits, model.digest)
    assert again.pipeline.is_shared == model.pipeline.is_shared
    for image in faces(3):
        found, expected = again.predict(image), model.predict(image)
        np.testing.assert_array_equal(found.probs, expected.probs)
        assert found.confidence == expected.confidence


def test_folds_are_in_one_file(tmp_path: Path) -> None:
    run, cache = folded_run()
    model, choice = load_run(run, Asked(), cache=cache)
    assert len(choice.members) == 2
    write_whole(tmp_path / "model.safetensors", model)
    image = faces(1)[0]
    found = vesica.load(tmp_path / "model.safetensors").predict(image)
    np.testing.assert_array_equal(found.probs, model.predict(image).probs)


def test_frozen_layers_of_several_members_are_written_once(tmp_path: Path) -> None:
    for name, options in (("one", {"seed": 0}), ("two", {"average": True})):
        write_whole(tmp_path / f"{name}.safetensors", load(loss="bce", **options))
    one, two = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("one", "two"))
    trained = sum(t.nbytes for t in load(seed=0).members[0].trained_state().values())
    assert two - one < 1.2 * trained + 20_000


def test_no_pretrained_weights_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()
    write_whole(tmp_path / "model.safetensors", model)

    def missing(*_: object) -> None:
        raise AssertionError("pretrained weights were asked for")

    monkeypatch.setattr("vesica.networks.weights._read_lite0", missing)
    image = faces(1)[0]
    found = vesica.load(tmp_path / "model.safetensors").predict(image)
    assert np.array_equal(found.mask, model.predict(image).mask)


def test_the_header_says_what_a_stranger_must_know(tmp_path: Path) -> None:
    write_whole(tmp_path / "model.safetensors", load())
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        metadata = file.metadata()
    traits = json.loads(metadata["vesica"])
    assert {"network", "size_px", "preprocessing", "threshold", "temperature"} <= traits.keys()
    assert {"classes", "licence", "versions", "fingerprint", "command"} <= traits.keys()
    assert metadata["classes"] == "face"
    assert "Apache-2.0" in metadata["licence"]


def damage(path: Path, change: Callable[[dict[str, Any], dict[str, str]], None]) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    del metadata["sha256"]  # who means harm writes another one
    tensors = dict(load_file(path))
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def grow(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    metadata["vesica"] = (
        metadata["vesica"]
        .replace("unet:", "bfcn32s:width=65536,")
        .replace("freeze=encoder", "freeze=paper")
    )


def steal(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    metadata["vesica"] = metadata["vesica"].replace(
        '"network":"unet:freeze=encoder"', '"network":"evil.py@0123456789ab:net"'
    )


def lose(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    del tensors["0.score.weight"]


def spoil(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    tensors["0.score.weight"][:] = torch.nan


def blank(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    metadata["vesica"] = "{}"


def strip(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    del metadata["vesica"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (grow, r"its tensors do not fit its network bfcn32s:width=65536"),
        (steal, r"names a file of code"),
        (lose, r"0?\.?score.weight is missing"),
        (spoil, r"score.weight has NaN or infinite values"),
        (
            blank,
            r"not exported by vesica, .* lacks network, num_members, size_px, .* pass a run",
        ),
        (strip, r"not exported by vesica, .* 'vesica' is missing\); pass a run's folder"),
    ],
)
def test_damaged_and_hostile_files(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "model.safetensors"
    write_whole(path, load())
    damage(path, change)
    with pytest.raises(DataError, match=message):
        read_whole(path)


def test_truncated_files(tmp_path: Path, onnx_file: Path) -> None:
    write_whole(tmp_path / "model.safetensors", load())
    for path in (tmp_path / "model.safetensors", onnx_file):
        content = path.read_bytes()
        for num in (0, 5, 1000, len(content) // 2):
            cut = tmp_path / f"cut{path.suffix}"
            cut.write_bytes(content[:num])
            with pytest.raises(DataError, match=r"cut\.\w+: not a whole"):
                vesica.load(cut)


def test_one_changed_bit_is_noticed(tmp_path: Path, onnx_file: Path) -> None:
    """In metadata, graph and tensors: no format has a sum of its own."""
    write_whole(tmp_path / "model.safetensors", load())
    for path in (tmp_path / "model.safetensors", onnx_file):
        whole = path.read_bytes()
        threshold, mark = whole.index(b'"threshold":') + 15, whole.index(b"vesica-sha256:")
        places = [threshold, mark, mark + 30, *range(9999, len(whole), len(whole) // 7)]
        for place in (*places, len(whole) - 1):
            content = bytearray(whole)
            content[place] ^= 1
            changed = tmp_path / f"changed{path.suffix}"
            changed.write_bytes(content)
            with pytest.raises(DataError, match=r"changed\.\w+: not a whole file, as its"):
                vesica.load(changed)


def test_files_of_earlier_versions_have_no_digest(tmp_path: Path, onnx_file: Path) -> None:
    import onnx

    path = tmp_path / "model.safetensors"
    write_whole(path, load())
    digest = vesica.load(path).digest
    damage(path, lambda tensors, metadata: None)
    assert vesica.load(path).digest == digest
    proto = onnx.load(onnx_file)
    kept = [entry for entry in proto.metadata_props if entry.key != "sha256"]
    assert len(kept) == len(proto.metadata_props) - 1
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    onnx.save(proto, tmp_path / "model.onnx")
    assert vesica.load(tmp_path / "model.onnx").traits == vesica.load(onnx_file).traits


def test_a_runs_own_tensors_are_no_model() -> None:
    run, _ = trained_run()
    path = next((run / "cells").glob("*/model.safetensors"))
    with pytest.raises(DataError, match="has a run's trained tensors alone; pass the run's folder"):
        vesica.load(path)


def test_a_network_of_ones_own_needs_its_code(tmp_path: Path) -> None:
    run = vesica.compare(
        "generated:num=40:size=48",
        ["bce"],
        model=TINY,
        size=64,
        epochs=1,
        batch=8,
        seeds=1,
        folds=0,
        out=tmp_path / "run",
        cache=tmp_path / "cache",
        quiet=True,
    )
    key = run.cells[0].key
    model = load_run(tmp_path / "run", Asked(cell=key), cache=tmp_path / "cache")[0]
    with pytest.raises(DataError, match=r"tiny.py:tiny: a network of your own .* --format onnx"):
        write_whole(tmp_path / "model.safetensors", model)
    assert not (tmp_path / "model.safetensors").exists()


# ONNX


KNOWN = {
    "network": "unet",
    "num_members": 1,
    "size_px": 32,
    "temperature": 1,
    "threshold": 0.5,
    "classes": ["a"],
}


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({}, "its metadata 'vesica' is missing"),
        ({"author": "x"}, "is missing"),
        ({"vesica": "yes"}, "is no JSON"),
        ({"vesica": ""}, "is no JSON"),
        ({"vesica": "[" * 100_000}, "is no JSON"),
        ({"vesica": "[1]"}, "is no JSON object"),
        (
            {"vesica": "{}"},
            "lacks network, num_members, size_px, temperature, threshold, classes",
        ),
        (
            {"vesica": json.dumps(KNOWN | {"size_px": "big"})},
            "has an unknown value of size_px",
        ),
        ({"vesica": json.dumps(KNOWN | {"schema": 2})}, "has an unknown value of schema"),
        ({"vesica": json.dumps(KNOWN)}, "its graph takes x and gives y"),
    ],
)
def test_graphs_of_other_origin_are_one_sentence(
    metadata: dict[str, str], problem: str, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in "xy"
    ]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "other", ends[:1], ends[1:])
    opset = onnx.helper.make_opsetid("", 18)
    proto = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    onnx.helper.set_model_props(proto, metadata)
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(DataError) as error:
        vesica.load(tmp_path / "other.onnx")
    text = str(error.value)
    assert text.startswith(f"{tmp_path / 'other.onnx'}: not exported by vesica")
    assert problem in text
    assert "pydantic" not in text
    assert "\n" not in text


def test_the_graph_takes_any_number_and_size(onnx_file: Path) -> None:
    from vesica.model.onnx import OnnxModel

    model, graph = load(loss="bce", average=True), OnnxModel(onnx_file)
    assert graph.traits == model.traits
    for height, width in ((64, 64), (90, 150), (33, 200), (300, 260)):
        images = np.stack(faces(2, height, width))
        probs, confidence, disagreement = graph.session.run(
            None, {"image": images.transpose(0, 3, 1, 2)}
        )
        assert probs.shape == (2, 1, height, width)
        for row, image in enumerate(images):
            expected = model.predict(image)
            mask = probs[row, 0] >= np.float32(model.traits.threshold)
            assert (mask == expected.mask).mean() > 0.999
            assert confidence[row] == pytest.approx(expected.confidence, abs=0.01)
            assert expected.disagreement is not None
            assert disagreement[row] == pytest.approx(expected.disagreement, abs=0.01)
            assert np.array_equal(graph.predict(image).mask, mask)


def test_the_graphs_metadata(onnx_file: Path) -> None:
    import onnx

    proto = onnx.load(onnx_file)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata["classes"] == "face"
    assert float(metadata["threshold"]) == load(loss="bce", average=True).traits.threshold
    onnx.checker.check_model(proto)


def test_without_the_extra_it_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DataError, match=r"need onnxruntime .*; run: pip install 'vesica\[onnx\]'"):
        vesica.load(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(DataError, match=r"--format onnx needs onnx .*pip install 'vesica\[onnx\]'"):
        write_graph(tmp_path / "other.onnx", load())


def test_other_masks_are_not_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose threshold went wrong."""
    run, cache = trained_run()
    right = read_whole

    def wrong(path: Path) -> NetworkModel:
        model = right(path)
        model.traits = model.traits.model_copy(update={"threshold": 0.9})
        return model

    monkeypatch.setattr("vesica.model.whole.read_whole", wrong)
    target = tmp_path / "model.safetensors"
    with pytest.raises(DataError, match=r"gives other masks than PyTorch: .*; it was not written"):
        export_model(run, target, "safetensors", Asked(), cache=cache)
    assert not target.exists()


def test_agreement_is_asked_of_the_test_images() -> None:
    from vesica.data.library import Library

    run, cache = trained_run()
    model, choice = load_run(run, Asked(), cache=cache)
    images, what = images_for(choice.members, Library(cache))
    found = check_agreement(model, model, images, what)
    assert (found.what, found.num_images) == ("test images", choice.members[0].result.num_test)
    assert str(found).startswith("100.0000 % of the pixels of")
    others, what = images_for((), Library(cache))
    assert what == "generated images"
    assert len({image.shape for image in others}) == 4


def test_where_the_images_are_gone_it_is_asked_of_generated_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cache = trained_run()

    def gone(*_: object) -> None:
        raise DataError("photos/: no such folder; check the path\nor pass --images")

    monkeypatch.setattr("vesica.data.library.Library.dataset", gone)
    target = tmp_path / "model.safetensors"
    done = run_export(run, "--format", "safetensors", "--out", target, "--cache", cache)
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Checked")]
    assert line == (
        "Checked against PyTorch: 100.0000 % of the pixels of 8 generated images (the run's own "
        "are not there as they were) are equal (100.000 % in the worst one)."
    )


# The command


def run_export(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_the_command(tmp_path: Path) -> None:
    run, cache = trained_run()
    target = tmp_path / "model.safetensors"
    done = run_export(run, "--format", "safetensors", "--out", target, "--cache", cache)
    assert done.exit_code == 0, done.output
    assert "Checked against PyTorch: 100.0000 % of the pixels of" in done.stdout
    assert "test images are equal" in done.stdout
    assert "Licence notes: encoder: EfficientNet-Lite0" in done.stdout
    again = run_export(target, "--format", "safetensors", "--out", tmp_path / "b.safetensors")
    assert "generated images are equal" in again.stdout
    assert vesica.load(target).digest == vesica.load(tmp_path / "b.safetensors").digest


def test_mistakes_of_the_command(tmp_path: Path, onnx_file: Path) -> None:
    run, cache = trained_run()
    for target, message in (
        (tmp_path, "is a folder; pass a name that ends in .safetensors"),
        (
            tmp_path / "model.onnx",
            "expected a file of --format safetensors; pass a name that ends in .safetensors",
        ),
    ):
        with pytest.raises(DataError, match=message):
            export_model(run, target, "safetensors", Asked(), cache=cache)
    with pytest.raises(DataError, match="an ONNX file has no layers to write"):
        export_model(onnx_file, tmp_path / "a.onnx", "onnx", Asked(), cache=cache)
    with pytest.raises(DataError, match="one model, and no run: leave out --loss"):
        export_model(onnx_file, tmp_path / "a.onnx", "onnx", Asked(loss="bce"), cache=cache)


# The page


def pack(path: Path, script: bytes, wasm: bytes) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in ((SCRIPT, script), (WASM, wasm)):
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_runtimes_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"no such file or folder; fetch it with `npm pack"):
        find_runtime(tmp_path / "nowhere.tgz", tmp_path)
    (tmp_path / "text.tgz").write_text("no tarball")
    with pytest.raises(DataError, match="no tarball of npm"):
        find_runtime(tmp_path / "text.tgz", tmp_path)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=f"has no dist/{SCRIPT}"):
        find_runtime(tmp_path / "bare", tmp_path)
    pack(tmp_path / "other.tgz", b"/* something else */", b"\0asm")
    with pytest.raises(DataError, match="is not onnxruntime-web's"):
        find_runtime(tmp_path / "other.tgz", tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(DataError, match=r"there is no npm here; fetch it with `npm pack"):
        find_runtime(None, tmp_path)


def test_a_runtime_from_a_tarball_or_a_folder(tmp_path: Path) -> None:
    script = b"/*! ONNX Runtime Web v1.2.3 */\nrun();\n//# sourceMappingURL=x.map\n"
    pack(tmp_path / "r.tgz", script, b"\0asmcode")
    found = find_runtime(tmp_path / "r.tgz", tmp_path)
    assert found.version == "ONNX Runtime Web 1.2.3, MIT, Microsoft Corporation"
    assert "sourceMappingURL" not in found.script
    with tarfile.open(tmp_path / "r.tgz") as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    for folder in ("unpacked", "unpacked/package", "unpacked/package/dist"):
        assert find_runtime(tmp_path / folder, tmp_path) == found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    if not RUNTIME.is_file():
        pytest.skip(f"onnxruntime-web is not in the cache: put `npm pack {PACKAGE}` at {RUNTIME}")
    pytest.importorskip("onnxscript")
    run, cache = trained_run()
    target = tmp_path_factory.mktemp("page") / "model.html"
    export_model(run, target, "page", Asked(), cache=cache, runtime=RUNTIME)
    return target


READ_SAVED = """fetch(window.saved[0]).then(r => r.blob()).then(blob => new Promise(done => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.readAsDataURL(blob);
}))"""

DROP = """(() => {
  const bytes = Uint8Array.from(atob('%s'), c => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], '%s', {type: 'image/png'}));
  document.getElementById('drop').dispatchEvent(
    new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
})()"""


def test_a_dropped_image_gives_pytorchs_mask(page: Path, tmp_path: Path) -> None:
    image, model = faces(1, 120, 170)[0], load()
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    expected = model.predict(image)
    status = "document.getElementById('status').textContent"
    with opened(page, tmp_path / "profile") as tab:
        tab.wait(f"{status} == 'Ready.'")
        tab.run(
            "window.saved = []; HTMLAnchorElement.prototype.click = function() "
            "{ window.saved.push(this.href); }; 0"
        )
        tab.run(DROP % (base64.b64encode(content.getvalue()).decode(), "a<b>.png"))
        tab.wait("!document.getElementById('found').hidden")
        assert tab.run(status) == "a<b>.png: 170 x 120 pixels."
        tab.run("document.getElementById('save').click()")
        tab.wait("window.saved.length > 0")
        saved = base64.b64decode(tab.run(READ_SAVED).partition(",")[2])
        mask = np.asarray(Image.open(io.BytesIO(saved)).convert("L")) > 127
        assert mask.shape == expected.mask.shape
        assert (mask == expected.mask).mean() >= 0.999
        # A higher threshold keeps less.
        share = "parseFloat(document.getElementById('summary').textContent)"
        before = tab.run(share)
        tab.run(
            "const t = document.getElementById('threshold'); t.value = 0.9; "
            "t.dispatchEvent(new Event('input'))"
        )
        assert tab.run(share) < before
        tab.run(DROP % (base64.b64encode(b"nonsense").decode(), "b.png"))
        tab.wait(f"{status} == 'b.png is no image that this browser can read.'")
        assert tab.run("document.getElementById('found').hidden"), "of the image before"
        tab.run("window.saved = []; document.getElementById('save').click()")
        assert tab.run("window.saved.length") == 0
        assert tab.errors == []
        assert {url.partition(":")[0] for url in tab.requests} <= {"file", "blob", "data"}
        assert sum(url.startswith("file:") for url in tab.requests) == 1


@pytest.mark.parametrize(("value", "is_black"), [(BLACK - 1, True), (BLACK, False)])
def test_an_image_that_is_as_good_as_black_is_said(
    page: Path, tmp_path: Path, value: int, is_black: bool
) -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:50, 30:70, 1] = value
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    assert load().predict(image).is_black == is_black
    with opened(page, tmp_path / "profile") as tab:
        tab.wait("!document.getElementById('file').disabled")
        tab.run(DROP % (base64.b64encode(content.getvalue()).decode(), "dark.png"))
        tab.wait("!document.getElementById('found').hidden")
        said = tab.run("document.getElementById('summary').textContent")
        assert ("as good as black (no value above 16 of 255)" in said) == is_black
        name = tab.run("document.getElementById('summary').className")
        assert name == "warn" or not is_black


def test_the_folder_of_an_export_holds_the_file_alone(
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    run, cache = trained_run()
    script = b"/*! ONNX Runtime Web v1.2.3 */\n"
    pack(tmp_path / "runtime.tgz", script, b"\0asm")
    for kind, suffix in SUFFIXES.items():
        target = tmp_path / kind / f"model{suffix}"
        export_model(run, target, kind, Asked(), cache=cache, runtime=tmp_path / "runtime.tgz")
        assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_file_may_be_chosen_instead(page: Path, tmp_path: Path) -> None:
    Image.fromarray(faces(1, 60, 80)[0]).save(tmp_path / "face.jpg")
    with opened(page, tmp_path / "profile") as tab:
        tab.wait("!document.getElementById('file').disabled")
        tab.choose_file("#file", tmp_path / "face.jpg")
        tab.wait("!document.getElementById('found').hidden")
        assert tab.run("document.getElementById('picture').width") == 80
        assert tab.errors == []
