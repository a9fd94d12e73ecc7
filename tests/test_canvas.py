"""`canvas:side=...`: the same objects and the same pixels, with more or less background around."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from vesica.data import open_dataset
from vesica.data.canvas import AREA_LIMITS, cut_out, on_canvas, side_at, sides_of
from vesica.data.library import Library
from vesica.data.sample import Dataset, Loaded
from vesica.data.source import Source
from vesica.errors import DataError

SIDES = (26, 45, 82, 141, 258)
NUM = 16


@pytest.fixture(scope="module")
def canvases() -> dict[int, list[Loaded]]:
    sets = {side: open_dataset(f"canvas:side={side}:num={NUM}") for side in SIDES}
    return {side: [found.load(s) for s in found.samples] for side, found in sets.items()}


def find(small: NDArray[np.uint8], large: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Every place at which an image lies in another, pixel by pixel."""
    side, room = len(small), len(large) - len(small)
    places = np.argwhere((large[: room + 1, : room + 1] == small[0, 0]).all(-1))
    found = ((int(y), int(x)) for y, x in places)
    return [(y, x) for y, x in found if (large[y : y + side, x : x + side] == small).all()]


def two_blobs(name: str, colour: tuple[int, int, int] = (200, 40, 40)) -> Dataset:
    """An image with a disc of radius 20, a smaller one, and a background of another colour."""
    rows, cols = np.mgrid[:100, :120]
    large = (rows - 40) ** 2 + (cols - 50) ** 2 <= 20**2
    small = (rows - 80) ** 2 + (cols - 100) ** 2 <= 5**2
    mask = large | small
    image = np.where(mask[..., None], np.array(colour), np.array((0, 0, 255))).astype(np.uint8)
    return Dataset.of([name], lambda _: (image, mask))


def test_the_sides_are_those_of_the_densities() -> None:
    assert tuple(side_at(d, 200) for d in (0.30, 0.10, 0.03, 0.01, 0.003)) == SIDES
    assert sides_of(200) == (26, 260)


def test_only_background_is_added(canvases: dict[int, list[Loaded]]) -> None:
    for number in range(NUM):
        for inner, outer in itertools.pairwise(SIDES):
            small, large = canvases[inner][number], canvases[outer][number]
            ((y, x),) = find(small.image, large.image)
            window = slice(y, y + inner), slice(x, x + inner)
            np.testing.assert_array_equal(small.mask[0], large.mask[0][window])
            outside = large.mask[0].copy()
            outside[window] = False
            assert not outside.any()


def test_an_object_is_one_and_has_its_area_at_every_side(
    canvases: dict[int, list[Loaded]],
) -> None:
    for side in SIDES:
        areas = [int(found.mask.sum()) for found in canvases[side]]
        assert all(AREA_LIMITS[0] <= area / 200 <= AREA_LIMITS[1] for area in areas)
        assert abs(np.mean(areas) / 200 - 1) < 0.05
        assert all(ndimage.label(f.mask[0], np.ones((3, 3)))[1] == 1 for f in canvases[side])
        assert all(found.image.shape == (side, side, 3) for found in canvases[side])


def test_objects_lie_anywhere_and_at_the_same_share_of_the_room() -> None:
    sides = (26, 141, 258)
    inner = two_blobs("image")
    shares = []
    for seed in range(25):
        spans = []
        for side in sides:
            made = on_canvas(inner, side=side, seed=seed)
            mask = made.load(made.samples[0]).mask[0]
            rows, cols = ndimage.find_objects(mask.astype(int))[0]
            spans.append([rows.start / (side - 16), cols.start / (side - 16)])
        np.testing.assert_allclose(spans[1], spans[2], atol=0.03)
        shares.append(spans[2])
    spread = np.array(shares)
    assert (spread.min(0) < 0.15).all()
    assert (spread.max(0) > 0.85).all()
    assert abs(np.corrcoef(spread.T)[0, 1]) < 0.4


def test_the_largest_object_comes_without_its_old_background() -> None:
    inner = two_blobs("image")
    cut = cut_out(inner.load(inner.samples[0]), 200)
    assert cut is not None
    assert cut.cover.sum() == pytest.approx(200, rel=0.02)
    diameter = 2 * np.sqrt(200 / np.pi)
    assert (cut.cover.sum(0) > 0.5).sum() == pytest.approx(diameter, abs=1.5)
    inside = cut.cover > 0
    colours = np.array((200, 40, 40)) / 255
    np.testing.assert_allclose(
        cut.colours[inside], np.broadcast_to(colours, (inside.sum(), 3)), atol=1e-3
    )


def test_background_is_drawn_anew_for_every_image_and_seed() -> None:
    images = []
    for name, seed in (("a", 0), ("b", 0), ("a", 1), ("a", 0)):
        made = on_canvas(two_blobs(name), side=60, seed=seed)
        images.append(made.load(made.samples[0]).image)
    np.testing.assert_array_equal(images[0], images[3])
    assert (images[0] != images[1]).mean() > 0.5
    assert (images[0] != images[2]).mean() > 0.5


def test_every_option_and_the_inner_set_are_in_the_fingerprint() -> None:
    inner, other = two_blobs("a"), two_blobs("a", (40, 200, 40))
    made = [
        on_canvas(inner),
        on_canvas(inner, side=81),
        on_canvas(inner, area=201),
        on_canvas(inner, seed=1),
        on_canvas(other),
    ]
    assert len({found.fingerprint for found in made}) == len(made)
    assert on_canvas(two_blobs("a")).fingerprint == made[0].fingerprint


def write_folder(folder: Path) -> Path:
    """Six images of one object each: four discs, a line, and a dot; values 0 and 3 of an index,
    and a 7 in the corner of three of them."""
    rows, cols = np.mgrid[:80, :80]
    disc = (rows - 40) ** 2 + (cols - 40) ** 2
    shapes = [disc <= r**2 for r in (12, 15, 18, 21)]
    shapes += [abs(rows - 40) <= 2, disc <= 3**2]
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, shape in enumerate(shapes):
        mask = np.where(shape, 3, 0).astype(np.uint8)
        mask[:2, :2] = 7 if number % 2 else 0
        image = rng.integers(0, 255, (80, 80, 3), np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return folder


def test_objects_of_a_folder_keep_its_options(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    path = f"canvas:side=40:of={folder}"
    found = open_dataset(path, foreground="disc=3", group=r"^(\d)")
    assert [sample.name for sample in found.samples] == ["0", "1", "2", "3"]
    assert found.target == "disc=3"
    assert "1 image whose object is longer than 26 pixels" in found.notes[-1]
    assert "1 image without an object of 200 pixels" in found.notes[-1]
    source = Library().resolve(Source(path=path, foreground="disc=3"))
    assert (source.format, source.foreground, source.target) == ("canvas", "disc=3", None)
    again = open_dataset(path, format=source.format, foreground=source.foreground)
    assert again.fingerprint == source.fingerprint
    with pytest.raises(DataError, match="No image is left: left out 6 images without an object"):
        open_dataset(path, foreground="7")
    with pytest.raises(DataError, match="--foreground"):
        open_dataset(path)


def test_only_images_with_the_target_are_present(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    corners = open_dataset(f"present:of={folder}", foreground="corner=7")
    assert [sample.name for sample in corners.samples] == ["1", "3", "5"]
    assert corners.notes[-1] == "Left out: 3 images without foreground."
    assert corners.target == "corner=7"
    discs = open_dataset(f"present:of={folder}", foreground="3")
    assert len(discs.samples) == 6
    assert discs.fingerprint != corners.fingerprint


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("canvas:side=25", "side=25: objects of 200 pixels lie on canvases of 26 to 260"),
        ("canvas:area=9", "area=9: an object takes 16"),
        ("canvas:seed=-1", "seed=-1"),
        ("canvas:sides=40", "it has: side, area, num, seed"),
        ("canvas:of=nowhere", "nowhere: no such folder"),
        ("present:side=3", "no parameter 'side'"),
    ],
)
def test_mistakes_are_named(path: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_dataset(path)


def test_a_layout_is_recognised_and_not_given() -> None:
    with pytest.raises(DataError, match="--format makes no sense for canvas"):
        open_dataset("canvas:num=1", format="folder")
