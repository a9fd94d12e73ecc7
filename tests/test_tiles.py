"""Large images in pieces: every pixel is scored once, whatever the tiles, and no seam shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from test_train import assert_same_outcome
from tiny import tiny_cell

import vesica
from vesica import metrics
from vesica.cell import run_cell
from vesica.data import Dataset
from vesica.data.tiles import OVERLAP, blend, grid, load_pieces, scaled_size
from vesica.errors import DataError
from vesica.evaluate import score, stitch
from vesica.export.graph import write_graph
from vesica.features import Images, Inputs
from vesica.materials import Materials, make_fabric
from vesica.networks import Network
from vesica.plan import Cell
from vesica.results import read_table

SHAPES = [(300, 200), (150, 400), (128, 128), (64, 500), (90, 91)]


def photos(num: int = 10, *, void: bool = False, damaged: str = "") -> Dataset:
    """Small squares on images of every shape; the mask is where the red channel is high."""

    def read(name: str) -> tuple[Any, ...]:
        if name == damaged:
            raise OSError("cannot be read")
        rng = np.random.default_rng(int(name))
        height, width = SHAPES[int(name) % len(SHAPES)]
        image = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
        mask = np.zeros((height, width), bool)
        y, x = rng.integers(0, height - 12), rng.integers(0, width - 12)
        mask[y : y + 12, x : x + 12] = True
        image[mask, 0] = 200
        valid = np.ones_like(mask)
        valid[:, : width // 4] = False
        return (image, mask, valid) if void else (image, mask)

    return Dataset.of([f"{n:02}" for n in range(num)], read, has_void=void)


@given(length=st.integers(32, 2000), size=st.integers(32, 300))
def test_a_grid_covers_a_side_with_its_overlap(length: int, size: int) -> None:
    size = min(size, length)
    starts = grid(length, size)
    assert starts[0] == 0
    assert starts[-1] == length - size
    assert (np.diff(starts) <= size * (1 - OVERLAP) + 1).all()
    assert (np.diff(starts) > 0).all()


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), long_side=st.integers(64, 2000))
def test_an_image_keeps_its_shape_and_is_never_smaller_than_a_crop(
    height: int, width: int, long_side: int
) -> None:
    new = scaled_size(height, width, 64, long_side)
    assert min(new) >= 64
    assert max(new) >= long_side - 1
    if max(height, width) / min(height, width) < long_side / 64:
        assert max(new) == pytest.approx(long_side, abs=1)
        assert new[0] / new[1] == pytest.approx(height / width, rel=0.02)


def test_pieces_are_parts_of_their_image(tmp_path: Path) -> None:
    dataset = photos(void=True)
    arrays, pieces = load_pieces(dataset, 64, 256, tmp_path)
    assert pieces.num_rows == len(arrays.images) == len(arrays.names)
    assert arrays.valid is not None
    for image, sample in enumerate(dataset.samples):
        height, width = pieces.sizes[image]
        whole, (mask,), valid = dataset.load(sample)
        assert valid is not None
        large = np.asarray(
            Image.fromarray(whole).resize((width, height), Image.Resampling.BILINEAR)
        )
        small = [
            np.asarray(Image.fromarray(m).resize((width, height), Image.Resampling.NEAREST))
            for m in (mask, valid)
        ]
        rows = [*pieces.tile_rows([image]), *pieces.crop_rows([image])]
        places = (*pieces.tiles[image], *pieces.crops[image])
        for row, (y, x) in zip(rows, places, strict=True):
            part = slice(y, y + 64), slice(x, x + 64)
            assert arrays.names[row] == sample.name
            np.testing.assert_array_equal(arrays.images[row], large[part])
            np.testing.assert_array_equal(arrays.masks[row, 0], small[0][part])
            np.testing.assert_array_equal(arrays.valid[row], small[1][part])


def test_half_of_the_crops_see_the_object(tmp_path: Path) -> None:
    arrays, pieces = load_pieces(photos(), 64, 400, tmp_path)
    for image in range(10):
        crops = pieces.crop_rows([image])
        assert len(crops) >= 4
        assert len(set(pieces.crops[image])) > len(crops) / 2
        assert arrays.masks[crops].any(axis=(1, 2, 3)).mean() >= 0.5


def test_pieces_are_cut_once_and_again_if_they_are_damaged(tmp_path: Path) -> None:
    calls: list[int] = []
    dataset = photos()

    def cut() -> tuple[NDArray[np.uint8], Any]:
        calls.clear()
        arrays, pieces = load_pieces(dataset, 64, 256, tmp_path, lambda *n: calls.append(1))
        return np.array(arrays.images), pieces

    first, pieces = cut()
    assert calls
    again, same = cut()
    assert not calls
    assert same == pieces
    np.testing.assert_array_equal(first, again)
    (file,) = tmp_path.rglob("pieces.json")
    file.write_text("{")
    np.testing.assert_array_equal(first, cut()[0])


def test_images_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="03: OSError: cannot be read"):
        load_pieces(photos(damaged="03"), 64, 256, tmp_path)


@given(seed=st.integers(0, 10**6))
def test_tiles_of_a_map_are_put_together_to_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(64, 200, 2))
    whole = torch.from_numpy(rng.normal(size=(2, height, width)).astype(np.float32))
    places = [(y, x) for y in grid(height, 64) for x in grid(width, 64)]
    tiles = torch.stack([whole[:, y : y + 64, x : x + 64] for y, x in places])
    torch.testing.assert_close(stitch(tiles, places, (height, width)), whole)
    assert blend(64).min() > 0


class Red(Network):
    """Foreground where the red channel, blurred over five pixels, is high: a known answer."""

    def features(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (image,)

    def head(self, features: Any, size: tuple[int, int]) -> torch.Tensor:
        red = features[0][:, :1]
        return 20 * (torch.nn.functional.avg_pool2d(red, 5, 1, 2, count_include_pad=False) - 0.4)


def test_seams_do_not_show(tmp_path: Path) -> None:
    dataset = photos()
    arrays, pieces = load_pieces(dataset, 64, 256, tmp_path)
    inputs = Inputs((Images(arrays.images),), arrays.masks, pieces=pieces)
    network, fabric = Red(), make_fabric("fp32", "cpu")
    rows = np.arange(len(dataset.samples))

    def truths(row: int) -> tuple[NDArray[np.bool_], None]:
        size = pieces.sizes[row][::-1]
        image = Image.fromarray(dataset.load(dataset.samples[row]).image)
        whole = np.array(image.resize(size, Image.Resampling.BILINEAR))
        tensor = torch.from_numpy(whole).permute(2, 0, 1)[None].float() / 255
        return (network.head((tensor,), size)[0] >= 0).numpy(), None

    scores, preds = score(network, inputs, rows, fabric, 7, truths)
    for row in rows:
        wrong = scores.counts.fp[row] + scores.counts.fn[row]
        assert wrong <= 0.001 * np.prod(pieces.sizes[row])
    assert preds.shape == (10, 1, 64, 64)
    assert preds.any()


SLIDES = """
import numpy as np
from vesica.data import Dataset

def slides():
    def read(name):
        rng = np.random.default_rng(int(name))
        image = rng.integers(0, 60, (150, 220, 3)).astype(np.uint8)
        mask = np.zeros((150, 220), bool)
        y, x = rng.integers(0, 100), rng.integers(0, 170)
        mask[y : y + 50, x : x + 50] = True
        image[mask] = 200
        return image, mask
    return Dataset.of([f"{n:02}" for n in range(40)], read)
"""


@pytest.fixture
def slides(tmp_path: Path) -> Callable[..., Cell]:
    (tmp_path / "slides.py").write_text(SLIDES)

    def make(**fields: Any) -> Cell:
        fields = {"long_side": 220, "loss": "bce", **fields}
        return tiny_cell(f"{tmp_path}/slides.py:slides", **fields)

    return make


@pytest.mark.parametrize("augment", ["none", "flip", "standard"])
def test_a_cell_trains_on_crops_and_is_scored_on_whole_images(
    augment: str, slides: Callable[..., Cell], tmp_path: Path
) -> None:
    folders = []
    for name in ("one", "two"):
        materials = Materials(tmp_path / "cache")
        cell = materials.resolve(slides(augment=augment))
        materials.check(cell)
        run_cell(cell, materials, tmp_path / name)
        folders.append(tmp_path / name)
    assert_same_outcome(*folders)
    rows = read_table(folders[0] / "scores.csv")
    rows_of = materials.library.rows(cell.data)
    assert len(rows) == len(rows_of.test)
    for row in rows:
        assert sum(int(row[name]) for name in ("tp", "fp", "fn", "tn")) == 150 * 220


def test_steps_are_counted_by_crops(slides: Callable[..., Cell], tmp_path: Path) -> None:
    materials = Materials(tmp_path)
    cell = materials.resolve(slides(steps=100, batch=8))
    num_crops = len(materials.rows(cell).train)
    assert num_crops > 100
    assert cell.recipe.max_epochs == -(-100 // -(-num_crops // 8))
    assert cell.key != materials.resolve(slides(steps=100, batch=8, long_side=221)).key


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"long_side": 48}, "long_side 48 is below the size of a crop, 64"),
    ],
)
def test_what_does_not_go_together(
    fields: dict[str, Any], message: str, slides: Callable[..., Cell]
) -> None:
    with pytest.raises(ValueError, match=message):
        slides(**fields)


def test_a_model_of_crops_predicts_whole_images(
    slides: Callable[..., Cell], tmp_path: Path
) -> None:
    run = vesica.compare(
        slides().data.path,
        ["bce"],
        model=slides().model,
        weights="none",
        size=64,
        long_side=220,
        steps=300,
        precision="fp32",
        seeds=1,
        folds=0,
        out=tmp_path / "run",
        cache=tmp_path / "cache",
        quiet=True,
    )
    model = vesica.load(tmp_path / "run", trust=True, cache=tmp_path / "cache")
    assert model.traits.long_side_px == 220
    ended = next(iter(run.best("bce").parameters()))  # it was trained
    assert torch.isfinite(ended).all()
    materials = Materials(tmp_path / "cache")
    cell = run.cells[0]
    dataset = materials.library.dataset(cell.data)
    network = run.best("bce")
    inputs = materials.inputs(cell, network, make_fabric("fp32", "cpu"))
    rows = materials.library.rows(cell.data).test[:3]
    truths = materials.truths(cell)
    scores, _ = score(network, inputs, rows, make_fabric("fp32", "cpu"), 4, truths)
    for place, row in enumerate(rows):
        image, (mask,), _ = dataset.load(dataset.samples[row])
        found = model.predict(image)
        assert found.probs.shape == mask.shape
        at_half = found.probs >= metrics.temper(0.5, model.traits.temperature)
        assert (at_half & mask).sum() == pytest.approx(scores.counts.tp[place], abs=3)
        assert (at_half & ~mask).sum() == pytest.approx(scores.counts.fp[place], abs=30)
    with pytest.raises(DataError, match="a model of crops predicts images in pieces"):
        write_graph(tmp_path / "model.onnx", model)  # type: ignore[arg-type]
