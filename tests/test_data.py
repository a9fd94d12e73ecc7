"""Every layout and every mistake in a user's files; one error names the file and the remedy."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from errno import EACCES
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from realdata import require

from vesica import cache as cache_module
from vesica.data import DATASETS, open_dataset
from vesica.data.arrays import load_arrays
from vesica.data.sample import Dataset
from vesica.errors import DataError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
MASK = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]], np.uint8)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def save(path: Path, pixels: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path, **options)
    return path


def make_pair(
    root: Path, name: str = "a.png", image: Any = GREY, mask: Any = 255 * MASK, part: str = ""
) -> Path:
    save(root / part / "images" / name, image)
    save(root / part / "masks" / name, mask)
    return root


def label(*rows: list[tuple[int, int, int]]) -> NDArray[np.uint8]:
    return np.array(rows, np.uint8)


LABEL = label([RED, GREEN], [GREEN, BLUE])


def make_lfw(root: Path, name: str = "Ann_Lee_0001", colours: Any = LABEL) -> Path:
    person = name.rpartition("_")[0]
    save(root / "lfw_funneled" / person / f"{name}.jpg", np.full((2, 2, 3), 90, np.uint8))
    save(root / "parts_lfw_funneled_gt_images" / f"{name}.png", colours)
    return root


def make_helen(
    root: Path, name: str = "7_1", parts: dict[str, NDArray[np.uint8]] | None = None
) -> Path:
    save(root / "images" / f"{name}.jpg", np.full((1, 3, 3), 90, np.uint8))
    for part in range(11):
        values = (parts or {}).get(f"lbl{part:02}", np.zeros((1, 3), np.uint8))
        save(root / "labels" / name / f"{name}_lbl{part:02}.png", values)
    return root


def read_only(dataset: Dataset) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    (sample,) = dataset.samples
    return dataset.read(sample)


def read_root(root: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    return read_only(open_dataset(root))


def failure(call: Callable[..., object], *args: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        call(*args, **options)
    return str(caught.value)


# The door


def test_every_default_target_is_a_target() -> None:
    for form in DATASETS.values():
        assert form.default_target in (form.targets or (None,))


def test_layouts_are_recognised(tmp_path: Path) -> None:
    makers = {"lfw": make_lfw, "helen": make_helen, "folder": make_pair}
    outlines = {"yolo", "labelme", "coco"}  # these have their own tests
    assert makers.keys() | outlines == DATASETS.keys()
    for name, make in makers.items():
        root = make(tmp_path / name)
        assert open_dataset(root).format == name
        assert open_dataset(str(root), format=name).format == name
        for other in DATASETS.keys() - {name}:
            message = failure(open_dataset, root, format=other)
            assert f"not the layout of {other}" in message


def test_missing_folder(tmp_path: Path) -> None:
    assert "no such folder. Check the path" in failure(open_dataset, tmp_path / "none")


def test_file_for_folder(tmp_path: Path) -> None:
    file = tmp_path / "data.zip"
    file.write_bytes(b"PK")
    assert "data.zip: a file, expected a folder. Unpack it" in failure(open_dataset, file)


def test_empty_folder_and_unknown_layout_list_the_layouts(tmp_path: Path) -> None:
    empty = failure(open_dataset, tmp_path)
    (tmp_path / "pictures").mkdir()
    unknown = failure(open_dataset, tmp_path)
    for message in (empty, unknown):
        assert str(tmp_path) in message
        for name, form in DATASETS.items():
            assert f"{form.layout} ({name})" in message
    assert "is empty" in empty
    assert "no known layout" in unknown


def test_unknown_format(tmp_path: Path) -> None:
    message = failure(open_dataset, make_pair(tmp_path), format="voc")
    known = "auto, lfw, helen, yolo, labelme, coco, folder"
    assert message == f"Unknown format 'voc'. Pass one of: {known}."


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    lfw, pair = make_lfw(tmp_path / "lfw"), make_pair(tmp_path / "folder")
    helen = make_helen(tmp_path / "helen")
    for root in (lfw, helen):
        message = failure(open_dataset, root, foreground="255")
        assert "--foreground makes no sense for the format" in message
        message = failure(open_dataset, root, group=".*")
        assert "--group makes no sense for the format" in message
        message = failure(open_dataset, root, skip_unpaired=True)
        assert "--skip-unpaired makes no sense for the format" in message
    message = failure(open_dataset, pair, target="face")
    assert message == "Target 'face' makes no sense for the format folder. Pass one of: foreground."
    message = failure(open_dataset, lfw, target="hair")
    assert "Pass one of: face, face+hair" in message


DENIED = "masks: Permission denied. Give yourself the right to read it, as by chmod -R u+rX, or"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
def test_a_locked_folder_is_named(tmp_path: Path) -> None:
    root = make_pair(tmp_path)
    for mode in (0o000, 0o400):
        (root / "masks").chmod(mode)
        try:
            assert f"{root}/{DENIED}" in failure(open_dataset, root)
        finally:
            (root / "masks").chmod(0o700)


def test_a_file_within_a_locked_folder_is_named_by_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_pair(tmp_path)
    for inner in ("images", "1.png"):
        error = PermissionError(EACCES, "Permission denied", str(root / "masks" / inner))
        lfw = replace(DATASETS["lfw"], recognise=Mock(side_effect=error))
        monkeypatch.setitem(DATASETS, "lfw", lfw)
        with monkeypatch.context() as locked:
            locked.setattr("os.access", lambda path, mode: not Path(path).match("masks*"))
            assert f"{root}/{DENIED}" in failure(open_dataset, root)
        assert f"{root}/masks/{inner}: Permission denied. Give" in failure(open_dataset, root)


def test_broken_link_is_named(tmp_path: Path) -> None:
    root = make_pair(tmp_path)
    (root / "masks" / "b.png").symlink_to(root / "gone.png")
    save(root / "images" / "b.png", GREY)
    message = failure(open_dataset, root)
    assert "masks/b.png: a link to nothing. Remove or mend it." in message


def test_fingerprint_follows_content_and_not_the_path(tmp_path: Path) -> None:
    here = open_dataset(make_pair(tmp_path / "here"))
    copy = Path(shutil.copytree(tmp_path / "here", tmp_path / "there"))
    assert open_dataset(copy).fingerprint == here.fingerprint
    save(copy / "masks" / "a.png", 255 - 255 * MASK)
    assert open_dataset(copy).fingerprint != here.fingerprint


# LFW


def test_lfw_masks(tmp_path: Path) -> None:
    root = make_lfw(tmp_path)
    image, face = read_root(root)
    assert image.shape == (2, 2, 3)
    assert face.tolist() == [[False, True], [True, False]]
    hair_too = open_dataset(root, target="face+hair")
    assert read_only(hair_too)[1].tolist() == [[True, True], [True, False]]
    assert hair_too.full_size == 2927
    assert hair_too.samples[0].group == "Ann_Lee"


def test_lfw_ppm_and_palette_and_rgb_are_the_same(tmp_path: Path) -> None:
    masks = []
    for suffix in ("ppm", "rgb", "palette"):
        root = make_lfw(tmp_path / suffix)
        file = root / "parts_lfw_funneled_gt_images" / "Ann_Lee_0001.png"
        if suffix == "palette":
            Image.fromarray(LABEL).convert("P", palette=Image.Palette.ADAPTIVE, colors=3).save(file)
        if suffix == "ppm":
            file.unlink()
            save(file.with_suffix(".ppm"), LABEL)
        masks.append(read_root(root)[1])
    assert (masks[0] == masks[1]).all()
    assert (masks[0] == masks[2]).all()


def test_lfw_folders_may_lie_deep_apart_and_be_links(tmp_path: Path) -> None:
    source = make_lfw(tmp_path / "source")
    root = tmp_path / "root"
    (root / "labels").mkdir(parents=True)
    shutil.move(source / "lfw_funneled", root / "a" / "b" / "lfw-funneled" / "inner")
    target = source / "parts_lfw_funneled_gt_images"
    (root / "labels" / "parts_lfw_funneled_gt_images_png").symlink_to(target)
    (root / "labels" / "loop").symlink_to(root)
    dataset = open_dataset(root)
    assert dataset.format == "lfw"
    assert read_only(dataset)[1].sum() == 2


def test_lfw_labels_decide(tmp_path: Path) -> None:
    root = make_lfw(tmp_path)
    for number in range(2, 5):
        file = root / "lfw_funneled" / "Bo" / f"Bo_{number:04}.jpg"
        save(file, np.zeros((2, 2, 3), np.uint8))
    dataset = open_dataset(root)
    assert [sample.name for sample in dataset.samples] == ["Ann_Lee_0001"]
    assert dataset.notes == ("3 of 4 images have no label and are left out.",)


def test_lfw_one_error_lists_all_labels_without_image(tmp_path: Path) -> None:
    root = make_lfw(tmp_path)
    labels = root / "parts_lfw_funneled_gt_images"
    for name in ("Bo_0001", "Cy_0002", "nameless"):
        save(labels / f"{name}.png", LABEL)
    lines = failure(open_dataset, root).splitlines()
    assert len(lines) == 3
    assert "Bo_0001.png: no image Bo/Bo_0001.jpg. Add it, or remove the label." in lines[0]
    assert "Cy_0002.png" in lines[1]
    assert "nameless.png: expected the name <person>_<number>. Rename it." in lines[2]


def test_lfw_two_labels_or_images_of_one_name(tmp_path: Path) -> None:
    root = make_lfw(tmp_path)
    save(root / "parts_lfw_funneled_gt_images" / "Ann_Lee_0001.ppm", LABEL)
    message = failure(open_dataset, root)
    assert "Ann_Lee_0001.png and " in message
    assert "one name twice. Remove one." in message


def test_lfw_prefers_aligned_images_to_their_originals(tmp_path: Path) -> None:
    root = make_lfw(tmp_path)
    original = root / "lfw" / "Ann_Lee" / "Ann_Lee_0001.jpg"
    save(original, np.zeros((2, 2, 3), np.uint8))
    (sample,) = open_dataset(root).samples
    assert "lfw_funneled" in sample.files[0].parts
    shutil.move(root / "lfw_funneled", root / "other")
    assert "one name twice" in failure(open_dataset, root)


def test_lfw_other_colours_are_named(tmp_path: Path) -> None:
    for colour in (
        (255, 255, 0),
        (254, 0, 0),
        (0, 0, 0),
        (255, 1, 0),
        (128, 127, 0),
        (1, 255, 255),
    ):
        root = make_lfw(tmp_path, colours=label([RED, GREEN], [colour, BLUE]))
        message = failure(read_root, root)
        assert f"Ann_Lee_0001.png: colour {colour} at row 1, column 0, expected pure red" in message


def test_lfw_sizes_must_agree(tmp_path: Path) -> None:
    root = make_lfw(tmp_path, colours=label([RED, GREEN, BLUE]))
    message = failure(read_root, root)
    assert "Ann_Lee_0001.png: 3 x 1 pixels, but lfw_funneled" in message
    assert "has 2 x 2. Save both at one size." in message


# HELEN


def test_helen_masks_are_the_sum_of_parts_above_one_half(tmp_path: Path) -> None:
    soft = {
        "lbl01": np.array([[85, 128, 127]], np.uint8),
        "lbl06": np.array([[85, 0, 0]], np.uint8),
        "lbl09": np.array([[85, 0, 0]], np.uint8),
        "lbl10": np.array([[0, 0, 1]], np.uint8),
        "lbl00": np.array([[0, 127, 127]], np.uint8),
    }
    root = make_helen(tmp_path, parts=soft)
    dataset = open_dataset(root)
    assert dataset.full_size == 2330
    assert read_only(dataset)[1].tolist() == [[True, True, False]]
    hair_too = open_dataset(root, target="face+hair")
    assert read_only(hair_too)[1].tolist() == [[True, True, True]]
    assert hair_too.samples[0].group == "7_1"


def test_helen_every_part_counts(tmp_path: Path) -> None:
    for part in range(11):
        full = np.full((1, 3), 255, np.uint8)
        one_hair = np.array([[255, 0, 0]], np.uint8)
        root = make_helen(tmp_path / str(part), parts={"lbl10": one_hair, f"lbl{part:02}": full})
        assert read_root(root)[1].all() == (1 <= part <= 9)
        hair_too = open_dataset(root, target="face+hair")
        assert read_only(hair_too)[1].all() == (1 <= part <= 10)


def test_helen_without_hair_has_no_face_with_hair(tmp_path: Path) -> None:
    root = make_helen(tmp_path, parts={"lbl01": np.full((1, 3), 255, np.uint8)})
    told = r"no label has hair, .*_lbl10\.png are all empty\. Pass --target face"
    with pytest.raises(DataError, match=told):
        open_dataset(root, target="face+hair")
    assert open_dataset(root, target="face").samples


def test_helen_may_lie_one_folder_down(tmp_path: Path) -> None:
    make_helen(tmp_path / "SmithCVPR2013_dataset_resized")
    assert open_dataset(tmp_path).format == "helen"


def test_helen_labels_decide(tmp_path: Path) -> None:
    root = make_helen(tmp_path)
    save(root / "images" / "8_1.jpg", np.zeros((1, 3, 3), np.uint8))
    dataset = open_dataset(root)
    assert len(dataset.samples) == 1
    assert dataset.notes == ("1 of 2 images have no label and are left out.",)


def test_helen_one_error_lists_all_missing_files(tmp_path: Path) -> None:
    root = make_helen(make_helen(tmp_path, "7_1"), "8_1")
    (root / "labels" / "7_1" / "7_1_lbl03.png").unlink()
    (root / "images" / "8_1.jpg").unlink()
    assert failure(open_dataset, root).splitlines() == [
        "labels/7_1/7_1_lbl03.png: missing. Add it.",
        "labels/8_1: no image images/8_1.jpg. Add it.",
    ]


def test_helen_sizes_must_agree(tmp_path: Path) -> None:
    root = make_helen(tmp_path, parts={"lbl04": np.zeros((2, 3), np.uint8)})
    message = failure(read_root, root)
    assert "7_1_lbl04.png: 3 x 2 pixels, but images/7_1.jpg has 3 x 1" in message


# A user's folder: files


def test_folder_pairs_by_stem_whatever_the_suffix(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.1.JPG", GREY)
    save(tmp_path / "masks" / "a.1.Tiff", 255 * MASK)
    save(tmp_path / "images" / "b.webp", np.stack([GREY] * 3, axis=2))
    save(tmp_path / "masks" / "b.bmp", 255 * MASK)
    dataset = open_dataset(tmp_path)
    assert [sample.name for sample in dataset.samples] == ["a.1", "b"]
    assert (dataset.read(dataset.samples[0])[1] == (MASK == 1)).all()
    assert dataset.full_size is None
    assert dataset.target == "foreground"


def test_folder_one_error_lists_all_bad_files(tmp_path: Path) -> None:
    root = make_pair(tmp_path)
    save(root / "images" / "b.png", GREY)
    save(root / "masks" / "c.png", MASK)
    save(root / "masks" / "a.tif", MASK)
    message = failure(open_dataset, root)
    assert "images/b.png: no mask masks/b.*. Add it, or remove this file." in message
    assert "masks/c.png: no image images/c.*. Add it, or remove this file." in message
    assert (
        "masks/a.tif: has the name of masks/a.png. Remove or rename one, or pass --masks" in message
    )
    assert "1 image without a mask and 1 mask without an image (left out with --skip" in message
    assert len(message.splitlines()) == 4


def test_folder_ignores_what_systems_leave_and_notes_other_files(tmp_path: Path) -> None:
    root = make_pair(tmp_path)
    for name in ("Thumbs.db", ".DS_Store", "._a.png", ".hidden.png", "desktop.ini"):
        (root / "images" / name).write_bytes(b"")
    (root / ".ipynb_checkpoints").mkdir()
    (root / "masks" / ".ipynb_checkpoints").mkdir()
    assert open_dataset(root).notes == ()
    (root / "images" / "readme.txt").write_text("hello")
    assert open_dataset(root).notes == ("images: left out 1 file of another kind: readme.txt.",)


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks" / "patient1").mkdir(parents=True)
    message = failure(open_dataset, tmp_path)
    assert "no image files (.bmp .gif .jpeg" in message


@pytest.mark.parametrize("is_inside", [True, False])
def test_folder_keeps_own_parts(tmp_path: Path, is_inside: bool) -> None:
    for part in ("train", "validation", "test"):
        for kind, pixels in (("images", GREY), ("masks", 255 * MASK)):
            inner = Path(kind, part) if is_inside else Path(part, kind)
            save(tmp_path / inner / "a.png", pixels)
    dataset = open_dataset(tmp_path)
    assert [(sample.name, sample.part) for sample in dataset.samples] == [
        ("test/a", "test"),
        ("train/a", "train"),
        ("val/a", "val"),
    ]
    assert dataset.read(dataset.samples[0])[1].any()


def test_folder_parts_must_be_whole(tmp_path: Path) -> None:
    make_pair(tmp_path, part="train")
    save(tmp_path / "test" / "images" / "b.png", GREY)
    message = failure(open_dataset, tmp_path)
    assert message.endswith("\ntest: 1 image without a mask.")


def test_folder_layouts_must_not_mix(tmp_path: Path) -> None:
    flat = make_pair(make_pair(tmp_path / "flat"), part="train")
    message = failure(open_dataset, flat)
    assert "images: 1 file beside train/images/. Move it into one of them, or keep one" in message
    assert "masks: 1 file beside train/masks/." in message
    inside = tmp_path / "inside"
    save(inside / "images" / "train" / "a.png", GREY)
    save(inside / "masks" / "train" / "a.png", MASK)
    save(inside / "images" / "b.png", GREY)
    message = failure(open_dataset, inside)
    assert "images: 1 file beside images/train/. Move it into one of them" in message
    twice = make_pair(make_pair(tmp_path / "twice", part="val"), part="valid")
    assert "valid/images: is val like val/images. Merge them." in failure(open_dataset, twice)


def test_folder_groups(tmp_path: Path) -> None:
    root = make_pair(make_pair(tmp_path, "p1_a.png"), "p22_b.png")

    def groups(expression: str) -> list[str]:
        return [sample.group for sample in open_dataset(root, group=expression).samples]

    assert groups(r"p(\d+)_") == ["1", "22"]
    assert groups(r"^p\d") == ["p1", "p2"]
    assert [sample.group for sample in open_dataset(root).samples] == ["p1_a", "p22_b"]
    message = failure(groups, "p1")
    assert message == (
        "1 of 2 images has no match for --group p1: p22_b. Change the expression, or the names."
    )
    assert "no match for --group p(1)?: p22_b." in failure(groups, "p(1)?")
    assert "--group p(: no regular expression" in failure(groups, "p(")


@pytest.mark.parametrize(
    "expression",
    [
        r"(a+)+$",
        r"(a|aa)+$",
        r"(a*)*b",
        r"(.*)*\d\dz",
        r"(x+x+)+y",
        r"^(([a-z])+.)+[A-Z]([a-z])+$",
        r"(?:a?){30}a{30}$q",
        r"(.{1,30}){1,30}(.{1,30}){1,30}q",
    ],
)
def test_a_group_that_takes_for_ever_is_ended(
    expression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vesica.data.match.MAX_CPU_S", 1)
    root = make_pair(make_pair(tmp_path, f"{'a' * 40}!.png"), f"{'x' * 60}.png")
    message = failure(open_dataset, root, group=expression)
    assert message.startswith(f"--group {expression}: takes longer than 1 s; repeat nothing")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("a{99999999999}", "the repetition number is too large"),
        ("(" * 900, "too deep"),
        ("a" * 1001, "1,001 characters"),
        ("(?P<x>a)(?P<x>b)", "redefinition of group name"),
        ("[", "unterminated character set"),
        ("\\", "bad escape"),
        ("(?<=a+)b", "look-behind requires fixed-width"),
        ("a**", "multiple repeat"),
    ],
)
def test_a_group_that_is_no_expression_is_one_sentence(
    expression: str, reason: str, tmp_path: Path
) -> None:
    message = failure(open_dataset, make_pair(tmp_path), group=expression)
    assert message.startswith(f"--group {expression[:80]}: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("rule", ["\u0661\u0662", ">\u06f1", "1" * 10_000, "-1", "1e3"])
def test_foreground_is_few_ascii_digits(rule: str, tmp_path: Path) -> None:
    message = failure(open_dataset, make_pair(tmp_path), foreground=rule)
    assert len(message) < 300


# A user's folder: images


def read_image_file(root: Path, name: str, write: Callable[[Path], object]) -> NDArray[np.uint8]:
    """What the reader makes of one image beside a mask that fits it."""
    file = root / "images" / name
    file.parent.mkdir(parents=True)
    write(file)
    try:
        with Image.open(file) as image:
            shape = image.size[::-1]
    except OSError:
        shape = (1, 1)
    save(root / "masks" / "a.png", np.ones(shape, np.uint8))
    return read_root(root)[0]


def test_image_modes_become_rgb(tmp_path: Path) -> None:
    colour = np.dstack([GREY, GREY + 50, GREY + 100, 20 * GREY])
    rgb = Image.fromarray(colour[..., :3])
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    cases: dict[str, tuple[Image.Image, NDArray[Any], dict[str, Any]]] = {
        "rgb": (rgb, colour[..., :3], {}),
        "rgba": (Image.fromarray(colour), colour[..., :3], {}),
        "grey": (Image.fromarray(GREY), np.dstack([GREY] * 3), {}),
        "grey_alpha": (Image.merge("LA", [Image.fromarray(GREY)] * 2), np.dstack([GREY] * 3), {}),
        "palette": (palette, colour[..., :3], {}),
        "transparent": (palette, colour[..., :3], {"transparency": bytes(range(12))}),
        "one_bit": (Image.fromarray(GREY > 5), np.dstack([255 * (GREY > 5)] * 3), {}),
    }
    for name, (image, expected, options) in cases.items():
        found = read_image_file(
            tmp_path / name,
            "a.png",
            partial(image.save, **options),
        )
        assert found.dtype == np.uint8
        assert (found == expected).all(), name


@pytest.mark.parametrize(("suffix", "dtype"), [("png", "<u2"), ("tif", "<u2"), ("tif", "<i4")])
def test_16_bits_are_divided_by_257(tmp_path: Path, suffix: str, dtype: str) -> None:
    values = np.array([[0, 128, 129, 257, 65535]], dtype)
    found = read_image_file(tmp_path, f"a.{suffix}", Image.fromarray(values).save)
    assert found[0, :, 0].tolist() == [0, 0, 1, 1, 255]
    assert (found == found[..., :1]).all()


def test_wide_images_are_refused(tmp_path: Path) -> None:
    for name, values in (("int", np.array([[70000]], "<i4")), ("float", np.array([[0.5]], "<f4"))):
        write = Image.fromarray(values).save
        message = failure(read_image_file, tmp_path / name, "a.tif", write)
        assert "images/a.tif" in message
        assert "Save the image with 8 or 16 bits" in message


def test_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # A quarter turn clockwise to stand upright.
    save(tmp_path / "images" / "a.png", GREY, exif=exif)
    save(tmp_path / "masks" / "a.png", np.rot90(MASK, -1))
    image, mask = read_only(open_dataset(tmp_path))
    assert (image[..., 0] == np.rot90(GREY, -1)).all()
    assert (mask == np.rot90(MASK, -1)).all()


def write_pages(file: Path) -> None:
    pages = [Image.fromarray(GREY + page) for page in range(3)]
    pages[0].save(file, save_all=True, append_images=pages[1:])


def write_truncated(file: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    save(file, noise)
    file.write_bytes(file.read_bytes()[:-900])


BROKEN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "empty": ("a.png", lambda file: file.write_bytes(b""), "the file is empty"),
    "text": ("a.png", lambda file: file.write_text("no image"), "no known image format"),
    "jpeg": ("a.jpg", write_truncated, "truncated"),
    "png": ("a.png", write_truncated, "truncated"),
    "pages": ("a.tif", write_pages, "3 pages, expected one. Save each page as its own file."),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_images_are_named(tmp_path: Path, case: str) -> None:
    name, write, expected = BROKEN[case]
    message = failure(read_image_file, tmp_path, name, write)
    assert message.startswith(f"images/{name}: ")
    assert expected in message
    assert "pages" in message or "Replace it, or remove it" in message
    assert str(tmp_path) not in message


@pytest.mark.parametrize("limit", [5, 11])
def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    root = make_pair(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    message = failure(read_root, root)
    assert f"images/a.png: cannot be read as an image (more than {limit} pixels)" in message


# A user's folder: masks


def read_mask_file(
    root: Path,
    write: Callable[[Path], object],
    foreground: str | None = None,
    size: tuple[int, ...] = GREY.shape,
) -> NDArray[np.bool_]:
    save(root / "images" / "a.png", np.zeros(size, np.uint8))
    (root / "masks").mkdir(exist_ok=True)
    write(root / "masks" / "a.png")
    return read_only(open_dataset(root, foreground=foreground))[1]


def test_plain_masks_are_the_same(tmp_path: Path) -> None:
    palette = Image.fromarray(MASK, "L")
    palette.putpalette([0, 0, 0, 10, 20, 30])
    masks = {
        "bool": Image.fromarray(MASK == 1),
        "ones": Image.fromarray(MASK),
        "bytes": Image.fromarray(255 * MASK),
        "words": Image.fromarray(65535 * MASK.astype(np.uint16)),
        "rgb": Image.fromarray(np.dstack([255 * MASK] * 3)),
        "rgba": Image.fromarray(np.dstack([255 * MASK] * 3 + [200 + MASK])),
        "grey_alpha": Image.merge("LA", [Image.fromarray(MASK)] * 2),
        "palette": palette,
    }
    for name, mask in masks.items():
        found = read_mask_file(tmp_path, mask.save)
        assert found.dtype == np.bool_
        assert (found == (MASK == 1)).all(), name


@pytest.mark.parametrize("value", [0, 1, 255])
def test_a_mask_may_hold_one_value(tmp_path: Path, value: int) -> None:
    found = read_mask_file(tmp_path, Image.fromarray(np.full_like(MASK, value)).save)
    assert (found == (value > 0)).all()


LEVELS = np.array([[0, 127, 128, 255]] * 3, np.uint8)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("255", [0, 0, 0, 1]),
        ("0", [1, 0, 0, 0]),
        (">127", [0, 0, 1, 1]),
        (">= 128", [0, 0, 1, 1]),
        (">=127", [0, 1, 1, 1]),
        ("<128", [1, 1, 0, 0]),
        ("<=128", [1, 1, 1, 0]),
        ("0,255", [1, 0, 0, 1]),
        ("#ffffff", [0, 0, 0, 1]),
        ("!#ffffff", [1, 1, 1, 0]),
        (">127.5", [0, 0, 1, 1]),
    ],
)
def test_foreground_rules(tmp_path: Path, rule: str, expected: list[int]) -> None:
    mask = read_mask_file(tmp_path, Image.fromarray(LEVELS).save, rule)
    assert mask[0].astype(int).tolist() == expected


@pytest.mark.parametrize("rule", ["", "white", "=255", ">", "1,", "1,#ff0000", ">1.", "#ff00"])
def test_bad_foreground_rules(tmp_path: Path, rule: str) -> None:
    root = make_pair(tmp_path)
    message = failure(open_dataset, root, foreground=rule)
    assert f"--foreground {rule}: expected a value such as 255, values such as 4,5" in message


def test_the_rule_is_part_of_the_target(tmp_path: Path) -> None:
    root = make_pair(tmp_path)
    rules = (None, "255", ">127", ">=127", "0")
    targets = [open_dataset(root, foreground=rule).target for rule in rules]
    assert targets[:3] == ["foreground", "foreground=255", "foreground>127"]
    assert len(set(targets)) == len(rules)


def test_other_mask_values_are_named_with_the_remedy(tmp_path: Path) -> None:
    def message_of(values: list[int]) -> str:
        mask = np.repeat(np.array(values, np.uint8), 400).reshape(-1, 20)
        return failure(read_mask_file, tmp_path, Image.fromarray(mask).save, size=mask.shape)

    assert message_of([0, 90, 255]) == (
        "The masks hold 3 values (share of pixels, and in how many of 1 mask): 0 (33 %, 1), 90 (33"
        " %, 1), 255 (33 %, 1). Which is the object? Pass --foreground 90 or --foreground 255; for"
        " several together --foreground 90,255."
    )
    assert message_of([1, 2]).endswith("Pass --foreground 1 or --foreground 2.")


def test_coloured_label_files_of_faces_are_refused(tmp_path: Path) -> None:
    root = make_helen(tmp_path)
    save(root / "labels" / "7_1" / "7_1_lbl03.png", np.array([[(9, 0, 0)] * 3], np.uint8))
    message = failure(read_root, root)
    assert message.startswith("labels/7_1/7_1_lbl03.png: a coloured mask, expected one number")
    assert "Save it as grey or palette PNG." in message


def test_folder_sizes_must_agree(tmp_path: Path) -> None:
    root = make_pair(tmp_path, mask=np.zeros((4, 5), np.uint8))
    assert failure(open_dataset, root) == (
        "1 of 1 masks have another size than their images: masks/a.png 5 x 4 and images/a.png 4 x"
        " 3. Pass --fit-masks to resize these masks, or save both at one size."
    )


# Arrays


def make_many(root: Path, count: int = 5) -> Path:
    rng = np.random.default_rng(1)
    for index in range(count):
        image = rng.integers(0, 256, (8, 12, 3), np.uint8)
        make_pair(root, f"{index}.png", image, 255 * rng.integers(0, 2, (8, 12), np.uint8))
    return root


def test_arrays_hold_what_pillow_makes_of_each_sample(tmp_path: Path) -> None:
    dataset = open_dataset(make_many(tmp_path / "data"), group=r"\d")
    seen: list[tuple[int, int]] = []
    arrays = load_arrays(dataset, 6, tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(5, 5)]
    assert arrays.names == arrays.groups == ("0", "1", "2", "3", "4")
    assert arrays.images.shape == (5, 6, 6, 3)
    assert arrays.masks.dtype == np.bool_
    for index, sample in enumerate(dataset.samples):
        image, mask = dataset.read(sample)
        small = Image.fromarray(image).resize((6, 6), Image.Resampling.BILINEAR)
        assert (arrays.images[index] == np.asarray(small)).all()
        small = Image.fromarray(255 * mask.astype(np.uint8)).resize(
            (6, 6), Image.Resampling.NEAREST
        )
        assert (arrays.masks[index] == (np.asarray(small) > 0)).all()
    with pytest.raises(ValueError, match="read-only"):
        arrays.images[0] = 0


def test_arrays_are_read_once(tmp_path: Path) -> None:
    dataset = open_dataset(make_many(tmp_path / "data"))
    first = load_arrays(dataset, 6, tmp_path)
    again = load_arrays(dataset, 6, tmp_path, lambda done, total: pytest.fail("read again"))
    assert (first.images == again.images).all()
    assert (first.masks == again.masks).all()


def test_the_key_follows_everything_that_changes_pixels(tmp_path: Path) -> None:
    root = make_many(tmp_path / "data")
    load_arrays(open_dataset(root), 6, tmp_path)
    load_arrays(open_dataset(root), 7, tmp_path)
    masks = load_arrays(open_dataset(root), 6, tmp_path).masks
    assert (load_arrays(open_dataset(root, foreground="0"), 6, tmp_path).masks == ~masks).all()
    assert len(list((tmp_path / "arrays").iterdir())) == 3
    load_arrays(open_dataset(root, group=r"\d"), 6, tmp_path)
    assert len(list((tmp_path / "arrays").iterdir())) == 3
    save(root / "masks" / "0.png", np.full((8, 12), 255, np.uint8))
    assert load_arrays(open_dataset(root), 6, tmp_path).masks[0].all()


def test_one_error_lists_all_unreadable_files_and_leaves_nothing(tmp_path: Path) -> None:
    root = make_many(tmp_path / "data", 6)
    (root / "images" / "1.png").write_bytes(b"")
    (root / "masks" / "4.png").write_text("text")
    save(root / "masks" / "5.png", np.zeros((2, 2), np.uint8))
    lines = failure(open_dataset, root).splitlines()
    assert "masks/5.png 2 x 2 and images/5.png 12 x 8. Replace or remove" in lines[0]
    assert [line.split(":")[0] for line in lines[1:]] == ["images/1.png", "masks/4.png"]
    (root / "masks" / "5.png").write_text("text")
    lines = failure(load_arrays, open_dataset(root), 6, tmp_path).splitlines()
    assert [line.split(":")[0] for line in lines] == ["images/1.png", "masks/4.png", "masks/5.png"]
    assert list((tmp_path / "arrays").iterdir()) == []


def test_interrupted_writing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "BLOCK", 2)
    dataset = open_dataset(make_many(tmp_path / "data"))
    seen: list[int] = []

    def interrupt(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_arrays(dataset, 6, tmp_path, interrupt)
    whole = load_arrays(dataset, 6, tmp_path / "whole")
    arrays = load_arrays(dataset, 6, tmp_path, lambda done, total: seen.append(done))
    assert len(seen) == 3
    assert (arrays.images == whole.images).all()
    assert (arrays.masks == whole.masks).all()


@pytest.mark.parametrize("name", ["rows.npy", "blocks.npy", "about.json", "sums.json"])
@pytest.mark.parametrize("how", ["missing", "short", "empty", "a bit"])
def test_damaged_arrays_are_made_again(how: str, name: str, tmp_path: Path) -> None:
    dataset = open_dataset(make_many(tmp_path / "data"))
    whole = load_arrays(dataset, 6, tmp_path)
    images, masks = np.array(whole.images), np.array(whole.masks)
    (folder,) = (tmp_path / "arrays").iterdir()
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if how != "missing":
        flipped = content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]
        damaged = {"short": content[:30], "empty": b"", "a bit": flipped}
        (folder / name).write_bytes(damaged[how])
    again = load_arrays(dataset, 6, tmp_path)
    assert (again.images == images).all()
    assert (again.masks == masks).all()
    load_arrays(dataset, 6, tmp_path, lambda done, total: pytest.fail("read again"))
    assert [file.name for file in (tmp_path / "arrays").iterdir()] == [folder.name]


def test_two_that_ask_at_once_decode_once(tmp_path: Path) -> None:
    dataset = open_dataset(make_many(tmp_path / "data"))
    results, seen = [], []

    def work() -> None:
        def slowly(done: int, total: int) -> None:
            seen.append(done)
            time.sleep(0.05)

        results.append(load_arrays(dataset, 6, tmp_path, slowly))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert seen == [5]
    assert (results[0].images == results[1].images).all()
    assert len(list((tmp_path / "arrays").iterdir())) == 1


def test_no_foreground_at_all_is_a_mistake(tmp_path: Path) -> None:
    root = make_many(tmp_path / "data")
    assert failure(open_dataset, root, foreground="77").startswith("--foreground 77 is in no mask.")
    for file in (root / "masks").iterdir():
        save(file, np.zeros((8, 12), np.uint8))
    message = failure(load_arrays, open_dataset(root), 6, tmp_path)
    assert message.startswith("All 5 masks are empty: no object is in any. Export them again")
    dot = np.zeros((8, 12), np.uint8)
    dot[0, 0] = 255
    save(root / "masks" / "1.png", dot)
    message = failure(load_arrays, open_dataset(root), 2, tmp_path)
    assert message.startswith("No mask has any foreground at 2 x 2 pixels: the objects are too")
    for file in (root / "masks").iterdir():
        save(file, np.full((8, 12), 255, np.uint8))
    message = failure(load_arrays, open_dataset(root), 6, tmp_path)
    assert message.startswith("All 5 masks are foreground throughout: there is no background in")
    assert list((tmp_path / "arrays").iterdir()) == []


def test_size_must_be_positive(tmp_path: Path) -> None:
    dataset = open_dataset(make_many(tmp_path / "data"))
    with pytest.raises(ValueError, match="size_px is 0"):
        load_arrays(dataset, 0, tmp_path)


def test_more_samples_than_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(make_many(tmp_path / "data"))
    whole = load_arrays(dataset, 6, tmp_path / "whole")
    monkeypatch.setattr(cache_module, "BLOCK", 2)
    parts = load_arrays(dataset, 6, tmp_path / "parts")
    assert (whole.images == parts.images).all()
    assert (whole.masks == parts.masks).all()


# Real data


def fractions(dataset: Dataset) -> NDArray[np.float64]:
    return np.array([dataset.read(sample)[1].mean() for sample in dataset.samples])


def test_real_lfw() -> None:
    root = require("lfw")
    faces, heads = open_dataset(root), open_dataset(root, target="face+hair")
    assert faces.format == "lfw"
    assert len(faces.samples) == 2927
    assert faces.fingerprint == heads.fingerprint
    face, hair = np.array([count_colours(sample.files[1]) for sample in faces.samples]).T
    assert face.mean() == pytest.approx(0.215, abs=0.0005)
    assert (face + hair).mean() == pytest.approx(0.317, abs=0.0005)
    assert (hair == 0).sum() == 116
    for index in range(0, 2927, 20):
        sample = faces.samples[index]
        assert faces.read(sample)[1].mean() == pytest.approx(face[index])
        assert heads.read(sample)[1].mean() == pytest.approx(face[index] + hair[index])


def count_colours(file: Path) -> tuple[float, float]:
    """The shares of green and of red in a label, counted by Pillow alone."""
    with Image.open(file) as image:
        counts = {colour: count for count, colour in image.convert("RGB").getcolors() or []}
        total = image.width * image.height
    return counts.get(GREEN, 0) / total, counts.get(RED, 0) / total


def test_real_lfw_labels_as_ppm(tmp_path: Path) -> None:
    dataset = open_dataset(require("lfw"))
    sample = dataset.samples[0]
    shutil.copytree(sample.files[0].parent, tmp_path / "lfw_funneled" / sample.group)
    (tmp_path / "parts_lfw_funneled_gt_images").mkdir()
    with Image.open(sample.files[1]) as colours:
        file = tmp_path / "parts_lfw_funneled_gt_images" / f"{sample.name}.ppm"
        colours.convert("RGB").save(file)
    assert (read_root(tmp_path)[1] == dataset.read(sample)[1]).all()


def test_real_faces_in_helen_layout() -> None:
    dataset = open_dataset(require("celebamask_as_helen"), target="face+hair")
    assert dataset.format == "helen"
    assert len(dataset.samples) == 1000
    sampled = [dataset.read(sample)[1].mean() for sample in dataset.samples[::5]]
    assert np.mean(sampled) == pytest.approx(0.62, abs=0.02)


def test_real_folders(tmp_path: Path) -> None:
    nuclei = open_dataset(require("nuclei"))
    assert (nuclei.format, len(nuclei.samples)) == ("folder", 175)
    assert len({nuclei.read(sample)[1].shape for sample in nuclei.samples}) > 1
    assert load_arrays(nuclei, 32, tmp_path).images.shape == (175, 32, 32, 3)
    membrane = open_dataset(require("membrane"))
    assert (membrane.format, len(membrane.samples)) == ("folder", 30)
    assert 0.1 < fractions(membrane).mean() < 0.5
