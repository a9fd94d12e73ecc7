"""Formats of outlines: filled to the pixel, read as people have them, refused in a sentence."""

import base64
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from test_cli import Terminal, vesica  # noqa: F401 - a fixture
from test_data import failure, save

from vesica.data import open_dataset
from vesica.data.plain_yaml import read_plain_yaml
from vesica.data.polygons import Circle, Polygons, read_runs
from vesica.data.sample import Dataset

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl")  # pycocotools' own

WIDTH, HEIGHT = 20, 12
IMAGE = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
SQUARE = [2, 3, 6, 3, 6, 8, 2, 8]
"""Columns 2 to 5 and rows 3 to 7."""


def square() -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[3:8, 2:6] = True
    return mask


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def make_coco(root: Path, name: str = "annotations.json", images: int = 3, **changes: Any) -> Path:
    """The first image has a square of crack, the second an object of another kind."""
    for number in range(images):
        save(root / "images" / f"{number}.png", IMAGE)
    entries = [
        {"id": 10 + n, "file_name": f"{n}.png", "width": WIDTH, "height": HEIGHT}
        for n in range(images)
    ]
    content = {
        "images": entries,
        "categories": [{"id": 1, "name": "crack"}],
        "annotations": [{"id": 1, "image_id": 10, "category_id": 1, "segmentation": [SQUARE]}],
    }
    write(root / name, content | changes)
    return root


def shares(points: list[int]) -> str:
    sizes = [WIDTH, HEIGHT] * (len(points) // 2)
    return " ".join(str(value / size) for value, size in zip(points, sizes, strict=True))


def make_yolo(root: Path, settings: str = "names: [crack]\n") -> Path:
    for number in range(3):
        save(root / "images" / f"{number}.png", IMAGE)
    write(root / "labels" / "0.txt", f"0 {shares(SQUARE)}\n")
    write(root / "labels" / "1.txt", "")
    if settings:
        write(root / "data.yaml", settings)
    return root


def shape(points: Any, label: str = "crack", kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind} | more


CORNERS = [[2, 3], [6, 3], [6, 8], [2, 8]]


def make_labelme(root: Path, *shapes: dict[str, Any], name: str = "0", **changes: Any) -> Path:
    save(root / f"{name}.png", IMAGE)
    content = {
        "version": "5.4.1",
        "shapes": list(shapes or [shape(CORNERS)]),
        "imagePath": f"{name}.png",
        "imageData": "AAAA",
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    write(root / f"{name}.json", content | changes)
    return root


MAKERS: dict[str, Callable[[Path], Path]] = {
    "coco": make_coco,
    "yolo": make_yolo,
    "labelme": make_labelme,
}


def masks(dataset: Dataset) -> dict[str, NDArray[np.bool_]]:
    return {sample.name: dataset.load(sample)[1][0] for sample in dataset.samples}


# Filling


def random_ring(rng: np.random.Generator) -> tuple[NDArray[np.float64], int, int]:
    """A polygon that may cross itself and leave the image."""
    height, width = rng.integers(1, 50, 2).tolist()
    low, high = (0, 1) if rng.random() < 0.5 else (-0.9, 1.9)
    ring = rng.uniform(low, high, (rng.integers(3, 12), 2)) * [width, height]
    return np.round(ring * 2) / 2 if rng.random() < 0.3 else ring, height, width


def even_odd(ring: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Slowly: is an odd number of edges above the middle of the pixel?"""
    mask = np.zeros((height, width), np.bool_)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if (x0 <= x) != (x1 <= x) and y0 + (y1 - y0) * (x - x0) / (x1 - x0) <= y:
                    mask[row, column] ^= True
    return mask


def distance_to_edges(ring: NDArray[np.float64], x: float, y: float) -> float:
    nearest = np.inf
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        along = end - start
        share = np.clip(np.dot([x, y] - start, along) / max(np.dot(along, along), 1e-12), 0, 1)
        nearest = min(nearest, float(np.hypot(*([x, y] - start - share * along))))
    return nearest


def test_polygons_are_filled_as_pycocotools_fills_them() -> None:
    rng = np.random.default_rng(0)
    filled = []
    for _ in range(500):
        ring, height, width = random_ring(rng)
        runs = coco_mask.frPyObjects([ring.ravel().tolist()], height, width)
        found = Polygons((ring,)).fill(height, width)
        np.testing.assert_array_equal(found, coco_mask.decode(runs)[..., 0])
        filled.append(found.mean())
    assert np.std(filled) > 0.1


def test_polygons_hold_the_pixels_whose_middle_they_run_around() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        ring, height, width = random_ring(rng)
        found = Polygons((ring,)).fill(height, width)
        for row, column in np.argwhere(found != even_odd(ring, height, width)):
            assert distance_to_edges(ring, column + 0.5, row + 0.5) < 0.4


def test_area_is_that_of_the_shoelace_formula() -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
        radii = rng.uniform(5, 40, 12)
        ring = 50 + radii[:, np.newaxis] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        x, y = ring.T
        area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
        perimeter = np.hypot(*(ring - np.roll(ring, -1, axis=0)).T).sum()
        assert abs(Polygons((ring,)).fill(100, 100).sum() - area) < perimeter / 2


def test_parts_of_an_object_add_up() -> None:
    rings = tuple(np.array(ring, float).reshape(-1, 2) for ring in (SQUARE, SQUARE))
    np.testing.assert_array_equal(Polygons(rings).fill(HEIGHT, WIDTH), square())


def test_circle_holds_the_middles_within_its_radius() -> None:
    mask = Circle(10, 6, 3).fill(HEIGHT, WIDTH)
    expected = [
        [np.hypot(column + 0.5 - 10, row + 0.5 - 6) <= 3 for column in range(WIDTH)]
        for row in range(HEIGHT)
    ]
    np.testing.assert_array_equal(mask, expected)
    assert abs(mask.sum() - 9 * np.pi) < 6 * np.pi / 2


def compress(counts: list[int]) -> str:
    """COCO's string, by the description of its format."""
    text = ""
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            digit, value = value & 31, value >> 5
            is_last = value == (-1 if digit & 16 else 0)
            text += chr(48 + digit + (0 if is_last else 32))
            if is_last:
                break
    return text


def decode_slowly(counts: list[int], height: int, width: int) -> list[list[bool]]:
    """Pixel by pixel, down each column."""
    mask = [[False] * width for _ in range(height)]
    place = 0
    for index, count in enumerate(counts):
        for _ in range(count):
            mask[place % height][place // height] = index % 2 == 1
            place += 1
    return mask


@pytest.mark.parametrize("is_compressed", [False, True])
def test_run_lengths_are_read_as_written(is_compressed: bool) -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        height, width = rng.integers(1, 70, 2).tolist()
        cuts = np.sort(rng.integers(0, height * width + 1, rng.integers(0, 30)))
        counts = np.diff([0, *cuts, height * width]).tolist()
        text = compress(counts)
        given = {"size": [height, width], "counts": text if is_compressed else counts}
        found = read_runs(given, "x").fill(height, width)
        assert found.tolist() == decode_slowly(counts, height, width)
        official = coco_mask.decode({"size": [height, width], "counts": text})
        np.testing.assert_array_equal(found, official)


# The three formats


def test_bounds_hold_at_the_border() -> None:
    far = np.array([[-20, -12], [40, -12], [40, 24], [-20, 24]], float)
    assert Polygons((far,)).fill(HEIGHT, WIDTH).all()
    assert not Polygons((far - 60,)).fill(HEIGHT, WIDTH).any()


@pytest.mark.parametrize("format", MAKERS)
def test_format_is_recognised_and_read(format: str, tmp_path: Path) -> None:
    dataset = open_dataset(MAKERS[format](tmp_path))
    assert (dataset.format, dataset.target) == (format, "crack")
    np.testing.assert_array_equal(masks(dataset)["0"], square())
    again = open_dataset(tmp_path, format=format, target="crack")
    assert again.fingerprint == dataset.fingerprint
    if format != "labelme":
        assert list(masks(dataset)) == ["0", "1", "2"]
        assert "2 of 3 images have no crack: their masks are empty." in dataset.notes


@pytest.mark.parametrize("format", MAKERS)
def test_fingerprint_follows_labels_and_not_the_path(format: str, tmp_path: Path) -> None:
    first, copy = (open_dataset(MAKERS[format](tmp_path / name)) for name in "ab")
    assert first.fingerprint == copy.fingerprint
    (file,) = [
        f for f in (tmp_path / "b").rglob("*") if f.name in ("annotations.json", "0.txt", "0.json")
    ]
    file.write_text(file.read_text().replace("3", "4"))
    assert open_dataset(tmp_path / "b").fingerprint != first.fingerprint


@pytest.mark.parametrize("format", MAKERS)
def test_groups_are_found_in_names(format: str, tmp_path: Path) -> None:
    dataset = open_dataset(MAKERS[format](tmp_path), group=r"\d")
    assert dataset.samples[0].group == "0"
    assert "--foreground makes no sense" in failure(open_dataset, tmp_path, foreground="255")


@pytest.mark.parametrize("format", MAKERS)
def test_missing_image_is_named(format: str, tmp_path: Path) -> None:
    root = MAKERS[format](tmp_path)
    next(root.rglob("0.png")).unlink()
    save(root / "images" / "9.png", IMAGE)
    message = failure(open_dataset, root)
    place = {"coco": "annotations.json: images[0]", "yolo": "labels/0.txt", "labelme": "0.json"}
    assert f"{place[format]}: no image" in message


@pytest.mark.parametrize("format", ["coco", "labelme"])
def test_broken_json_is_named_with_its_line(format: str, tmp_path: Path) -> None:
    root = MAKERS[format](tmp_path)
    make_labelme(root, name="whole") if format == "labelme" else make_coco(root, "whole.json")
    (file,) = [file for file in root.rglob("*.json") if file.stem != "whole"]
    text = file.read_text()
    file.write_text(text[: text.rindex('"', 0, -40)])  # cut off, as a download
    message = failure(open_dataset, root)
    assert f"{file.name}: no valid JSON (" in message
    assert "it is cut off behind line 1, column" in message


@pytest.mark.parametrize("format", ["coco", "labelme"])
def test_size_that_differs_is_named(format: str, tmp_path: Path) -> None:
    root = MAKERS[format](tmp_path)
    file = next(root.rglob("0.png"))
    for shape, remedy in (((30, 40, 3), "labelled image there"), ((20, 12, 3), "Save it turned")):
        save(file, np.zeros(shape, np.uint8))
        dataset = open_dataset(root)
        message = failure(dataset.load, dataset.samples[0])
        assert f"0.png: {shape[1]} x {shape[0]} pixels, but " in message
        assert "is for 20 x 12" in message
        assert remedy in message


@pytest.mark.parametrize("format", MAKERS)
def test_compare_says_what_it_found(
    format: str,
    vesica: Terminal,  # noqa: F811
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    if format == "coco":
        make_coco(data, images=30)
    for number in range(30):
        if format == "yolo":
            save(data / "images" / f"{number}.png", IMAGE)
            write(data / "labels" / f"{number}.txt", f"0 {shares(SQUARE)}\n")
        elif format == "labelme":
            make_labelme(data, name=str(number))
    code, out, err = vesica(
        "compare",
        data,
        "--model",
        "bfcn32s:width=8",
        "--weights",
        "none",
        "--dry-run",
        "--size",
        32,
    )
    assert (code, err) == (0, "")
    name = "0" if format == "yolo" else "crack"
    assert f"{name}, in the {format} layout: 30 images" in " ".join(out.split())


# COCO


def coco_failure(root: Path, **changes: Any) -> str:
    return failure(open_dataset, make_coco(root, **changes))


def annotation(segmentation: Any = (SQUARE,), image: Any = 10, category: Any = 1) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "segmentation": segmentation}


@pytest.mark.parametrize("num", [1, 3])
def test_coco_polygons_of_shares_are_refused_once(num: int, tmp_path: Path) -> None:
    ring = [float(text) for text in shares(SQUARE).split()]
    found = coco_failure(tmp_path, annotations=[annotation([ring])] * num)
    assert found == (
        "annotations.json: annotations: polygons of shares from 0 to 1, expected pixels. Multiply x"
        " by the image's width and y by its height."
    )


def test_coco_may_have_an_object_within_one_pixel(tmp_path: Path) -> None:
    dot = annotation([[0, 0, 1, 0, 1, 1, 0, 1]])
    root = make_coco(tmp_path, annotations=[dot, annotation(image=11)])
    assert [mask.sum() for mask in masks(open_dataset(root)).values()] == [1, 20, 0]


def test_coco_image_without_its_size_is_named(tmp_path: Path) -> None:
    file = make_coco(tmp_path, annotations=[annotation()] * 2) / "annotations.json"
    file.write_text(file.read_text().replace(f'"width": {WIDTH}, "height": {HEIGHT}', '"width": 0'))
    assert failure(open_dataset, tmp_path) == (
        "annotations.json: images[0]: no width and height in pixels, which polygons need. Add both."
    )


def test_coco_reads_run_lengths_and_names_crowds(tmp_path: Path) -> None:
    counts = coco_mask.encode(np.asfortranarray(square()).astype(np.uint8))["counts"].decode()
    plain = [2 * HEIGHT + 3, *([5, 7] * 3), 5, (WIDTH - 6) * HEIGHT + 4]
    for place, runs in (("text", counts), ("list", plain)):
        crowd = annotation({"size": [HEIGHT, WIDTH], "counts": runs}) | {"iscrowd": 1}
        dataset = open_dataset(make_coco(tmp_path / place, annotations=[crowd]))
        np.testing.assert_array_equal(masks(dataset)["0"], square())
        assert "1 crowd: foreground with" in " ".join(dataset.notes)


def test_coco_files_are_parts_of_the_split(tmp_path: Path) -> None:
    for part in ("train", "val"):
        folder = tmp_path / f"{part}2017"
        save(folder / "7.png", IMAGE)
        entry = {"id": 1, "file_name": "7.png", "width": WIDTH, "height": HEIGHT}
        content = {
            "images": [entry],
            "annotations": [annotation(image=1, category=5 if part == "val" else 3)],
            "categories": [{"id": 5 if part == "val" else 3, "name": "crack"}],
        }
        write(tmp_path / "annotations" / f"instances_{part}2017.json", content)
        write(tmp_path / "annotations" / f"person_keypoints_{part}2017.json", content)
    dataset = open_dataset(tmp_path)
    assert [(s.name, s.part) for s in dataset.samples] == [("train/7", "train"), ("val/7", "val")]
    assert all((mask == square()).all() for mask in masks(dataset).values())


def test_coco_beside_its_images_in_folders_of_parts(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        make_coco(tmp_path / part, "_annotations.coco.json", images=1)
        (tmp_path / part / "images" / "0.png").rename(tmp_path / part / "0.png")
        (tmp_path / part / "images").rmdir()
    found = {sample.name: sample.part for sample in open_dataset(tmp_path).samples}
    assert found == {"test/0": "test", "train/0": "train", "val/0": "val"}


def test_coco_paths_of_another_machine_are_found_by_their_end(tmp_path: Path) -> None:
    for folder in "ab":
        save(tmp_path / "images" / folder / "0.png", IMAGE)
    entry = {"id": 10, "width": WIDTH, "height": HEIGHT}
    for text in ("/home/me/set/b/0.png", r"C:\set\b\0.png", "../b/0.png", "b/0.png"):
        make_coco(tmp_path, images=0, images_=0)  # the list below stands in its place
        content = json.loads((tmp_path / "annotations.json").read_text())
        content |= {"images": [entry | {"file_name": text}]}
        write(tmp_path / "annotations.json", content)
        (sample,) = open_dataset(tmp_path).samples
        assert sample.files == (tmp_path / "images" / "b" / "0.png",)
    content["images"][0]["file_name"] = "0.png"
    write(tmp_path / "annotations.json", content)
    message = failure(open_dataset, tmp_path)
    assert "the image 0.png may be images/a/0.png and images/b/0.png. Name it with" in message


TWO = [{"id": 1, "name": "crack"}, {"id": 2, "name": "hole"}, {"id": 3, "name": "none"}]


def test_several_categories_are_listed_and_one_is_chosen(tmp_path: Path) -> None:
    other = [0, 0, 1, 0, 1, 1, 0, 1]
    objects = [annotation(), annotation([other]), annotation([other], 11, 2)]
    root = make_coco(tmp_path, categories=TWO, annotations=objects)
    message = failure(open_dataset, root)
    assert (
        "3 categories. Choose the foreground with --target, one, or several as --target crack+hole,"
        " or --target all: crack (2 objects in 1 image), hole (1 object in 1 image), none (0"
    ) in message
    sums = {}
    for target in ("crack", "hole", "hole+crack", "all"):
        dataset = open_dataset(root, target=target)
        sums[dataset.target] = [int(mask.sum()) for mask in masks(dataset).values()]
    assert sums == {
        "crack": [21, 0, 0],
        "hole": [0, 1, 0],
        "crack+hole": [21, 1, 0],
        "all": [21, 1, 0],
    }
    assert "'none' has no objects. Pass one of these: crack (2" in failure(
        open_dataset, root, target="none"
    )
    assert "'face' is no category. Pass" in failure(open_dataset, root, target="crack+face")


def test_category_without_objects_needs_no_choice(tmp_path: Path) -> None:
    assert open_dataset(make_coco(tmp_path, categories=TWO)).target == "crack"
    assert open_dataset(tmp_path, target="all").target == "crack"


def test_box_of_another_category_is_no_matter(tmp_path: Path) -> None:
    objects = [annotation(), annotation([], category=2)]
    root = make_coco(tmp_path, categories=TWO, annotations=objects)
    assert masks(open_dataset(root, target="crack"))["0"].sum() == 20
    assert "annotations[1]: no outline, at most a box. Draw" in failure(
        open_dataset, root, target="hole"
    )


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 1, 5, 5]], "2 points, expected at least 3"),
        ([[1, 1, 5, 5, 3]], "5 numbers are no pairs of x and y"),
        ([[1, 1, 5, 5, 3, float("nan")]], "the polygon is no list of numbers"),
        ([[1, 1, 5, 5, 3, 1000]], "the point (3, 1000) lies far outside 20 x 12 pixels"),
        ([["a"] * 6], "the polygon is no list of numbers"),
        (None, "no outline, at most a box"),
        ({"counts": [240]}, "the run lengths have no size [height, width]"),
        ({"size": [12, 20], "counts": [100, 20]}, "the runs hold 120 pixels, but 20 x 12 are"),
        ({"size": [12, 20], "counts": [250, -10]}, "the counts are neither whole numbers"),
        ({"size": [12, 20], "counts": "~~"}, "the counts are no compressed run lengths"),
        ({"size": [12, 20], "counts": "o" * 99}, "the counts are no compressed run lengths"),
        ({"size": [12, 20], "counts": "o"}, "the compressed counts end in the middle"),
    ],
)
def test_coco_outline_that_is_none_is_named(segmentation: Any, reason: str, tmp_path: Path) -> None:
    message = coco_failure(tmp_path, annotations=[annotation(), annotation(segmentation)])
    assert f"annotations.json: annotations[1]: {reason}" in message
    assert message.endswith("Draw it again, or remove it.")


def test_run_lengths_of_another_size_are_refused(tmp_path: Path) -> None:
    runs = {"size": [2, 3], "counts": [1, 5]}
    dataset = open_dataset(make_coco(tmp_path, annotations=[annotation(runs)]))
    message = failure(dataset.load, dataset.samples[0])
    assert "annotations[0]: run lengths of 3 x 2 pixels, but the image has 20 x 12" in message


def test_all_that_is_wrong_with_a_coco_file_is_one_message(tmp_path: Path) -> None:
    entries = [
        {"id": 10, "file_name": "0.png", "width": WIDTH, "height": HEIGHT},
        {"id": 10, "file_name": "1.png"},
        {"file_name": "1.png"},
        {"id": 12},
        {"id": 13, "file_name": "gone.png"},
        {"id": 14, "file_name": "0.png"},
    ]
    objects = [annotation(), annotation(image=99), annotation(category=[]), "text", annotation([])]
    make_coco(tmp_path)
    content = json.loads((tmp_path / "annotations.json").read_text())
    write(tmp_path / "annotations.json", content | {"images": entries, "annotations": objects})
    lines = failure(open_dataset, tmp_path).splitlines()
    for place, problem in (
        ("images[1] (10)", "the id of another"),
        ("images[2]", "no id"),
        ("images[3]", "no file_name"),
        ("images[4]", "no image gone.png. Add it, or remove its labels"),
        ("no category has the id of", "annotations[2] ([]), annotations[3] (None). Export"),
        ("annotations[4]", "no outline, at most a box"),
    ):
        start = f"annotations.json: {place}{':' * (place[-1] in '])')} {problem}"
        assert any(line.startswith(start) for line in lines), place
    assert any("images/0.png: is labelled by annotations.json: images[0] and" in x for x in lines)


def test_coco_objects_without_an_image_are_named_once(tmp_path: Path) -> None:
    objects = [annotation(), *(annotation(image=n) for n in range(90, 95))]
    assert coco_failure(tmp_path, annotations=objects) == (
        "annotations.json: no image has the id of annotations[1] (90), annotations[2] (91), "
        "annotations[3] (92) and 2 more. Export it again."
    )


@pytest.mark.parametrize(
    ("image", "category", "said"),
    [
        ("10", 1, "image id is of another type than the image's own, as annotations[0] has '10'"),
        (
            10,
            "1",
            "category id is of another type than the category's own, as annotations[0] has",
        ),
    ],
)
def test_coco_ids_of_another_type_are_one_line(
    image: Any, category: Any, said: str, tmp_path: Path
) -> None:
    objects = [annotation(image=image, category=category)] * 30
    message = coco_failure(tmp_path, annotations=objects)
    assert message.startswith(f"annotations.json: 30 annotations: the {said}")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["images", "categories"])
def test_coco_ids_given_twice_are_one_line(name: str, tmp_path: Path) -> None:
    root = make_coco(tmp_path)
    content = json.loads((root / "annotations.json").read_text())
    content["categories"].append({"id": 2, "name": "hole"})
    content["annotations"] = [annotation(image=10), annotation(image=11, category=2)]
    content[name][1]["id"] = content[name][0]["id"]
    write(root / "annotations.json", content)
    (line,) = failure(open_dataset, root).splitlines()
    first = content[name][0]["id"]
    assert line == f"annotations.json: {name}[1] ({first}): the id of another. Export it again."


def test_coco_without_lists_or_objects_is_refused(tmp_path: Path) -> None:
    assert "annotations.json: images is no list. Export" in coco_failure(
        tmp_path / "a", annotations={}, categories=[], info="images"
    ).replace("annotations is", "images is")
    assert "no labelled objects" in coco_failure(tmp_path / "b", annotations=[])


def test_labels_of_many_images_are_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_coco(tmp_path, images=20)
    read: list[str] = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or plain(path))  # type: ignore[func-returns-value]
    open_dataset(tmp_path)
    assert read.count("annotations.json") == 2  # once to read it
    assert len(read) == 22


def test_images_without_an_entry_are_left_out_and_counted(tmp_path: Path) -> None:
    save(tmp_path / "images" / "more.png", IMAGE)
    dataset = open_dataset(make_coco(tmp_path))
    assert len(dataset.samples) == 3
    assert "1 of 4 images are in no JSON file: left out." in dataset.notes


def test_linked_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    make_coco(tmp_path / "disk")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "images").symlink_to(tmp_path / "disk" / "images")
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set")
    (tmp_path / "disk" / "annotations.json").rename(tmp_path / "set" / "annotations.json")
    assert len(open_dataset(tmp_path / "set").samples) == 3


def test_category_that_a_terminal_would_obey_is_refused(tmp_path: Path) -> None:
    message = coco_failure(tmp_path, categories=[{"id": 1, "name": "\x1b[31m"}])
    assert message == r"the category '\x1b[31m' cannot be printed. Rename it."


# YOLO


def test_yolo_parts_come_from_folders_or_from_the_yaml(tmp_path: Path) -> None:
    for part in ("train", "val"):
        save(tmp_path / "a" / "images" / part / "0.png", IMAGE)
        write(tmp_path / "a" / "labels" / part / "0.txt", f"0 {shares(SQUARE)}\n")
    for part in ("train", "valid", "more"):
        save(tmp_path / "b" / part / "images" / "0.png", IMAGE)
        write(tmp_path / "b" / part / "labels" / "0.txt", f"0 {shares(SQUARE)}\n")
    write(
        tmp_path / "b" / "data.yaml",
        "train: ../train/images\nval: /content/set/valid/images\ntest: ../test/images\n"
        "nc: 1\nnames: ['crack']\nroboflow:\n  url: x\n",
    )
    for name in "ab":
        dataset = open_dataset(tmp_path / name)
        found = {sample.name: sample.part for sample in dataset.samples}
        assert found == {"train/0": "train", "val/0": "val"}
        assert all((mask == square()).all() for mask in masks(dataset).values())
    assert dataset.target == "crack"
    assert "1 of 3 images are in no part of the data: left out." in dataset.notes


def test_yolo_names_and_lists_as_they_are_passed_around(tmp_path: Path) -> None:
    names = "path: ../sets/mine\ntrain: train.txt\nval: images/1.png.txt\nnames:\n  0: crack # x\n"
    root = make_yolo(tmp_path / "mine", names + "  1: 'big hole'\n")
    write(root / "train.txt", "./images/0.png\n./images/2.png\n")
    write(root / "images" / "1.png.txt", "images/1.png\n")
    write(root / "labels" / "1.txt", f"1 {shares(SQUARE)}\n")
    dataset = open_dataset(root, target="big hole")
    assert [(s.name, s.part) for s in dataset.samples] == [
        ("train/0", "train"),
        ("train/2", "train"),
        ("val/1", "val"),
    ]
    assert [mask.any() for mask in masks(dataset).values()] == [False, False, True]


def test_yolo_without_a_yaml_has_numbers_or_classes_txt(tmp_path: Path) -> None:
    root = make_yolo(tmp_path, settings="")
    assert open_dataset(root).target == "0"
    write(root / "labels" / "classes.txt", "crack\nhole\n")
    assert open_dataset(root).target == "crack"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 .1 .1 .5 .5", "a box, expected a polygon of at least 3 points"),
        ("0 .1 .1 .5", "3 numbers are no pairs of x and y"),
        ("0 .1 .1", "1 points, expected at least 3"),
        ("0 .1 .1 .5 .5 .5 nan", "the polygon is no list of numbers"),
        ("0 .1 .1 .5 .5 .5 5", "coordinates that are no shares of the image's size, from 0 to 1"),
        ("7 .1 .1 .5 .5 .5 .1", "no class has the number 7; they are counted from 0 (0 is crack)."),
        ("crack .1 .1", "a class name, expected its number, counted from 0. Export it again."),
        ("big crack .1 .1", "a class name, expected its number, counted from 0. Export it again."),
        ("0 0,1 0,1 0,5", "decimal commas, expected points, as in 0.5. Export it again."),
        ("0,.1,.1,.5,.5", "commas between numbers, expected spaces. Export it again."),
        ("0, .1, .1, .5", "commas between numbers, expected spaces. Export it again."),
        ("see the paper", "no numbers. Mend it, or remove it"),
    ],
)
def test_yolo_line_that_is_no_polygon_is_named(line: str, reason: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path)
    write(root / "labels" / "2.txt", f"\n0 {shares(SQUARE)}\n{line}\n")
    assert f"labels/2.txt: line 3: {reason}" in failure(open_dataset, root)


@pytest.mark.parametrize("format", ["auto", "yolo"])
@pytest.mark.parametrize("settings", ["names: [crack]\n", ""])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("crack .1 .1 .5 .1 .5 .5", "line 1: a class name, expected its number"),
        ("0 0,1 0,1 0,5 0,1 0,5 0,5", "line 1: decimal commas, expected points"),
        ("", "none of 3 label files has an object: all are empty. Export them again"),
    ],
)
def test_yolo_with_one_mistake_throughout_is_known(
    line: str, reason: str, settings: str, format: str, tmp_path: Path
) -> None:
    root = make_yolo(tmp_path, settings)
    for number in range(3):
        write(root / "labels" / f"{number}.txt", line)
    found = failure(open_dataset, root, format=format)
    assert reason in found
    assert "layout" not in found


def test_texts_beside_masks_are_no_labels(tmp_path: Path) -> None:
    root = make_yolo(tmp_path)
    for number in range(3):
        write(root / "labels" / f"{number}.txt", "A crack in the wall.")
        save(root / "masks" / f"{number}.png", 255 * np.eye(HEIGHT, WIDTH, dtype=np.uint8))
    assert open_dataset(root).format == "folder"


def test_a_mistake_in_every_line_is_said_once(tmp_path: Path) -> None:
    root = make_yolo(tmp_path)
    write(root / "labels" / "0.txt", "0 10 20 30 40 50 6\n" * 4)
    write(root / "labels" / "2.txt", "0 .1 .1 .5 .5\n0 11 20 30 40 50 6\n")
    places = "labels/0.txt: line 1, labels/0.txt: line 2, labels/0.txt: line 3 and 2 more"
    said = failure(open_dataset, root).splitlines()
    assert len(said) == 2
    assert said[0].startswith(f"{places}: coordinates that are no shares of the image's size")
    assert said[1].startswith("labels/2.txt: line 1: a box, expected a polygon")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("names: *x", "data.yaml: line 1: names: '*x' is written in a way that is not read here"),
        ("names: crack", "data.yaml: names is no list of names, nor numbers with names. Mend it."),
        ("names: [crack]\ntrain: gone", "data.yaml: train: no gone below this folder. Add it"),
        ("names: [crack]\nnames: [a]", "data.yaml: line 2: names is there twice"),
        (
            "names: [crack]\ntrain: images\nval: images",
            "data.yaml: 3 images of val are in train too. Give val its own, or remove its line",
        ),
    ],
)
def test_yolo_yaml_that_cannot_be_used_is_named(settings: str, reason: str, tmp_path: Path) -> None:
    assert reason in failure(open_dataset, make_yolo(tmp_path, settings))


def test_yolo_number_of_a_class_decides_the_fingerprint(tmp_path: Path) -> None:
    names = ("names: [crack, hole]", "names: [hole, crack]", "names: [crack, hole] # the same")
    first, second, third = (
        open_dataset(make_yolo(tmp_path / str(n), text)).fingerprint for n, text in enumerate(names)
    )
    assert first != second
    assert first == third


# labelme


def test_labelme_shapes_have_their_areas(tmp_path: Path) -> None:
    stamp = BytesIO()
    Image.fromarray(np.full((5, 4), 255, np.uint8)).save(stamp, "png")
    text = base64.b64encode(stamp.getvalue()).decode()
    for kind, drawn in {
        "polygon": shape(CORNERS),
        "rectangle": shape([[2, 3], [6, 8]], kind="rectangle"),
        "backwards": shape([[6, 8], [2, 3]], kind="rectangle"),
        "mask": shape([[2, 3], [5, 7]], kind="mask", mask=text),
        "plain": {"label": "crack", "points": CORNERS},
    }.items():
        dataset = open_dataset(make_labelme(tmp_path / kind, drawn))
        np.testing.assert_array_equal(masks(dataset)["0"], square(), err_msg=kind)
    make_labelme(tmp_path / "circle", shape([[10, 6], [10, 9]], kind="circle"))
    (mask,) = masks(open_dataset(tmp_path / "circle")).values()
    np.testing.assert_array_equal(mask, Circle(10, 6, 3).fill(HEIGHT, WIDTH))


def test_labelme_images_are_found_by_path_or_beside(tmp_path: Path) -> None:
    make_labelme(tmp_path, name="a", imagePath=r"..\\elsewhere\\old.png")
    make_labelme(tmp_path / "deep", name="b", imagePath="../photos/b.png")
    (tmp_path / "photos").mkdir()
    (tmp_path / "deep" / "b.png").rename(tmp_path / "photos" / "b.png")
    save(tmp_path / "c.png", IMAGE)
    write(tmp_path / "notes.json", {"by": "me"})
    dataset = open_dataset(tmp_path)
    assert [sample.name for sample in dataset.samples] == ["a", "photos/b"]
    assert dataset.notes == ("1 of 3 images have no JSON file: left out.",)


def test_labelme_without_sizes_and_without_shapes(tmp_path: Path) -> None:
    make_labelme(tmp_path, imageHeight=None, imageWidth=None)
    make_labelme(tmp_path, name="1", shapes=[])
    dataset = open_dataset(tmp_path)
    assert [int(mask.sum()) for mask in masks(dataset).values()] == [20, 0]
    assert dataset.notes == ("1 of 2 images have no crack: their masks are empty.",)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (shape(CORNERS[:2]), "2 points, expected at least 3"),
        (shape([[1, 2, 3]] * 3), "the points are no list of x and y"),
        (shape(None), "the points are no list of x and y"),
        (shape(CORNERS, kind="linestrip"), "a linestrip has no area that is known, expected pol"),
        (shape(CORNERS[:1], kind="circle"), "1 points of a circle, expected its centre and"),
        (shape(CORNERS[:2], kind="mask", mask="AAAA"), "its mask cannot be read ("),
        (shape([[1, 1], [5, 5], [3, 1000]]), "the point (3, 1000) lies far outside 20 x 12"),
        ({"points": CORNERS}, "no label. Name it in labelme, or remove it"),
    ],
)
def test_labelme_shape_that_has_no_area_is_named(given: Any, reason: str, tmp_path: Path) -> None:
    root = make_labelme(tmp_path, shape(CORNERS), given)
    assert f"0.json: shapes[1]: {reason}" in failure(open_dataset, root)


# YAML


NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)


@given(st.lists(NAMES.map("n{}".format), min_size=1, max_size=20), st.sampled_from([0, 1, 2]))
def test_plain_yaml_reads_what_yaml_writes(names: list[str], style: int) -> None:
    value: Any = dict(enumerate(names)) if style == 2 else names
    text = yaml.safe_dump(value, default_flow_style=style == 0)
    text = f"a: 1\nnames: {text}" if style == 0 else yaml.safe_dump({"a": 1, "names": value})
    found = read_plain_yaml(text, frozenset({"names"}))["names"]
    assert found == ({str(n): name for n, name in value.items()} if style == 2 else names)


@pytest.mark.parametrize(
    "text",
    [
        "names: ['it''s', \"a, b\", plain word]",
        "names: [crack] # a comment",
        "# first\n---\nnames:\n- crack\n- 'a # b'\ndownload: |\n  names: [x]\n",
        "names: {0: crack, 1: big hole}",
        "names:\n    0: crack\n\n    # between\n    1: don't",
        "path: C:/data # x\nnames: a#b",
        "names: [\n  crack,\n]",
        "names: &anchor [crack]",
        "names: !tag x",
        "names: >\n  folded",
        "names:\n  a:\n    b: c",
        "names: [[a], b]",
        "names: 'open",
        "names: {0: [a]}",
        "names:\n  word\n",
        "names: a\n  b",
    ],
)
def test_plain_yaml_agrees_with_yaml_or_refuses(text: str) -> None:
    try:
        found = read_plain_yaml(text, frozenset({"names", "path"}))
    except ValueError:
        return

    def as_text(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): as_text(item) for key, item in value.items()}
        return [as_text(item) for item in value] if isinstance(value, list) else str(value)

    expected = yaml.safe_load(text)
    assert found == {key: as_text(expected[key]) for key in found}
    assert found.keys() == expected.keys() & {"names", "path"}


def test_plain_yaml_reads_most_of_these() -> None:
    keys = frozenset({"names"})
    assert read_plain_yaml("names: ['it''s', \"a, b\", c d]", keys) == {
        "names": ["it's", "a, b", "c d"]
    }
    assert read_plain_yaml("names:\n- crack\n- 'a # b'", keys) == {"names": ["crack", "a # b"]}
    assert read_plain_yaml("names: {0: crack, 1: big hole}", keys) == {
        "names": {"0": "crack", "1": "big hole"}
    }
    assert read_plain_yaml("names:\n  0: crack\n  1: don't", keys) == {
        "names": {"0": "crack", "1": "don't"}
    }
