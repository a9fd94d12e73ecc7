"""Which image belongs to which mask, in every layout that people have; what is said elsewhere."""

import os
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from realdata import require

from vesica.data import open_dataset
from vesica.data.library import Library
from vesica.data.listing import SUFFIXES
from vesica.data.names import cuts, read_folder, without_image_mark, without_mask_mark
from vesica.data.pairs import find_pairs
from vesica.data.sample import Dataset
from vesica.data.source import Source
from vesica.errors import DataError

Found = set[tuple[str, str, str, str | None]]
"""Name, image, mask and part of each pair."""


def write(root: Path, *paths: str) -> Path:
    """Files that are looked at by their names alone."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def save(root: Path, *paths: str) -> Path:
    """Files that are images, and masks that fit them."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.eye(4, dtype=np.uint8) * 255
        Image.fromarray(pixels).save(root / path)
    return root


def numbered(*templates: str, numbers: Sequence[int] = (1, 2, 10)) -> list[str]:
    return [template.format(n=number) for number in numbers for template in templates]


def pairs_of(root: Path, images: str | None = None, masks: str | None = None) -> Found:
    pairing = find_pairs(root, images, masks)
    assert pairing is not None
    assert pairing.problems == []
    return {
        (p.name, p.image.relative_to(root).as_posix(), p.mask.relative_to(root).as_posix(), p.part)
        for p in pairing.pairs
    }


def problem_of(root: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(root, **options)  # type: ignore[arg-type]
    return str(caught.value)


def names_of(dataset: Dataset) -> list[str]:
    return [sample.name for sample in dataset.samples]


# Layouts

SIDE_BY_SIDE = [
    ("images", "masks"),
    ("Images", "Masks"),
    ("IMAGE", "MASK"),
    ("img", "gt"),
    ("imgs", "labels"),
    ("rgb", "figure_ground"),
    ("photos", "annotations"),
    ("JPEGImages", "SegmentationClass"),
    ("data", "label"),
    ("input", "target"),
    ("original", "groundTruth"),
    ("Original", "Ground Truth"),
    ("image", "ground_truth"),
    ("images", "1st_manual"),
    ("images", "manual1"),
    ("images_png", "masks_png"),
    ("PNGImages", "PedMasks"),
    ("leftImg8bit", "gtFine"),
    ("CXR_png", "masks"),
    ("frames", "segmentations"),
    ("raw", "seg"),
    ("train_images", "train_masks"),
]


@pytest.mark.parametrize(("images", "masks"), SIDE_BY_SIDE)
def test_two_folders_by_any_usual_name(images: str, masks: str, tmp_path: Path) -> None:
    write(tmp_path, *numbered(f"{images}/{{n}}.jpg", f"{masks}/{{n}}.png"))
    part = "train" if images.startswith("train") else None
    prefix = f"{part}/" if part else ""
    assert pairs_of(tmp_path) == {
        (f"{prefix}{n}", f"{images}/{n}.jpg", f"{masks}/{n}.png", part) for n in (1, 2, 10)
    }


LAYOUTS: dict[str, tuple[str, str, str]] = {
    "same stem": ("{n}.jpg", "{n}.png", "{n}"),
    "same stem, gif": ("{n}.tif", "{n}.gif", "{n}"),
    "same stem, npy": ("a/{n}.png", "a/{n}.npy", "{n}"),
    "mask mark": ("{n}.jpg", "{n}_mask.png", "{n}"),
    "mask mark, one kind": ("{n}.png", "{n}_mask.png", "{n}"),
    "both marks": ("{n}_sat.jpg", "{n}_mask.png", "{n}"),
    "CHASE": ("Image_{n}L.jpg", "Image_{n}L_1stHO.png", "Image_{n}L"),
    "CamVid, one folder": ("seq_{n}.png", "seq_{n}_L.png", "seq_{n}"),
    "MSRC": ("{n}_s.bmp", "{n}_s_GT.bmp", "{n}_s"),
    "in front": ("images/{n}.jpg", "masks/mask_{n}.png", "{n}"),
    "in front of both": ("img_{n}.jpg", "mask_{n}.png", "{n}"),
    "glued, one kind": ("im{n}.png", "gt{n}.png", "{n}"),
    "zeros": ("images/00{n}.png", "masks/{n}.png", "{n}"),
    "glued": ("img{n}.jpg", "mask{n}.png", "{n}"),
    "weeds": ("images/{n}_image.jpg", "annotations/{n}_annotation.png", "{n}"),
    "case": ("Images/S{n}.PNG", "Masks/s{n}_mask.png", "S{n}"),
    "dots": ("images/im.{n}.jpg", "masks/im.{n}.seg.png", "im.{n}"),
    "STARE": ("images/im{n}.ppm", "labels/im{n}.ah.ppm", "im{n}"),
    "unknown marks": ("images/a{n}_nir.tif", "labels/b{n}_v2.tif", "{n}"),
    "cityscapes": (
        "leftImg8bit/bonn/b_{n}_leftImg8bit.png",
        "gtFine/bonn/b_{n}_gtFine_labelIds.png",
        "b_{n}",
    ),
    "nested": ("images/patient{n}/slice.png", "masks/patient{n}/slice.png", "patient{n}/slice"),
    "nested, other names": ("images/p{n}/scan.png", "masks/p{n}/seg.png", "p{n}"),
    "a folder each": ("patient{n}/scan.png", "patient{n}/scan_mask.png", "patient{n}/scan"),
    "a folder each, names alone": ("{n}/image.png", "{n}/mask.png", "{n}"),
    "folders within": ("{n}/images/a.png", "{n}/masks/a.png", "{n}/a"),
    "masks within": ("{n}.png", "masks/{n}.png", "{n}"),
    "wrapped": ("dataset/dataset/images/{n}.png", "dataset/dataset/masks/{n}.png", "{n}"),
    "wrapped in a telling name": ("cell_masks/images/{n}.png", "cell_masks/masks/{n}.png", "{n}"),
    "two sets": ("heart_seg/images/{n}.png", "heart_seg/labels/{n}.png", "{n}"),
    "inner folder of masks": ("images/{n}.jpg", "annotations/trimaps/{n}.png", "{n}"),
    "photos and drawings": ("A/{n}.jpg", "B/{n}.png", "{n}"),
    "masks elsewhere": ("scans/{n}.png", "vessels/{n}_mask.png", "{n}"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_without_parts(layout: str, tmp_path: Path) -> None:
    image, mask, name = LAYOUTS[layout]
    write(tmp_path, *numbered(image, mask), "README.md", "LICENSE")
    assert pairs_of(tmp_path) == {
        (name.format(n=n), image.format(n=n), mask.format(n=n), None) for n in (1, 2, 10)
    }


IN_PARTS: dict[str, tuple[str, str]] = {
    "folders in parts": ("{part}/images/{n}.png", "{part}/masks/{n}.png"),
    "parts in folders": ("images/{part}/{n}.png", "masks/{part}/{n}.png"),
    "camvid": ("{part}/{n}.png", "{part}annot/{n}.png"),
    "labels beside": ("tiff/{part}/{n}.tiff", "tiff/{part}_labels/{n}.tif"),
    "Carvana": ("{part}/{n}.jpg", "{part}_masks/{n}_mask.gif"),
    "DRIVE": ("{part}/images/{n}_{part}.tif", "{part}/1st_manual/{n}_manual1.gif"),
    "ADE": ("images/{part}/{n}.jpg", "annotations/{part}/{n}.png"),
    "DeepCrack": ("{part}_img/{n}.jpg", "{part}_lab/{n}.png"),
    "PraNet": ("{part}Dataset/image/{n}.png", "{part}Dataset/masks/{n}.png"),
    "one folder": ("{part}/{n}_sat.jpg", "{part}/{n}_mask.png"),
    "same stem": ("{part}/{n}.jpg", "{part}/{n}.png"),
    "masks within": ("{part}/{n}.png", "{part}/masks/{n}.png"),
    "one side alone": ("images/{part}/{n}.png", "masks/{n}.png"),
    "the other side alone": ("images/{n}.png", "masks/{part}/{n}.png"),
}
PARTS = {"train": (1, 2), "val": (3,), "test": (4, 5)}
SPELLED = [
    {"train": "train", "val": "val", "test": "test"},
    {"train": "Training", "val": "Validation", "test": "Testing"},
    {"train": "TRAIN", "val": "valid", "test": "Test"},
]


@pytest.mark.parametrize("spelled", SPELLED, ids=lambda spelled: str(spelled["train"]))
@pytest.mark.parametrize("layout", IN_PARTS)
def test_layouts_with_parts(layout: str, spelled: dict[str, str], tmp_path: Path) -> None:
    image, mask = IN_PARTS[layout]
    expected = {
        (f"{part}/{n}", image.format(part=word, n=n), mask.format(part=word, n=n), part)
        for part, word in spelled.items()
        for n in PARTS[part]
    }
    write(tmp_path, *(file for _, image, mask, _ in expected for file in (image, mask)))
    assert pairs_of(tmp_path) == expected


def test_nnu_net(tmp_path: Path) -> None:
    write(tmp_path, *numbered("imagesTr/x_{n}_0000.png", "labelsTr/x_{n}.png"))
    write(tmp_path, *numbered("imagesTs/y_{n}_0000.png", "labelsTs/y_{n}.png"))
    found = {(name, part) for name, _, _, part in pairs_of(tmp_path)}
    assert found == {(f"train/x_{n}", "train") for n in (1, 2, 10)} | {
        (f"test/y_{n}", "test") for n in (1, 2, 10)
    }


def test_one_pair_is_enough(tmp_path: Path) -> None:
    assert pairs_of(write(tmp_path / "a", "images/x.png", "masks/x_seg.png")) == {
        ("x", "images/x.png", "masks/x_seg.png", None)
    }
    assert pairs_of(write(tmp_path / "b", "photo.jpg", "photo.png")) == {
        ("photo", "photo.jpg", "photo.png", None)
    }


def test_eyes_left_and_right_are_no_marks(tmp_path: Path) -> None:
    for folder, masks in (
        ("a", "{n}_{eye}.png"),
        ("b", "{n}_{eye}_mask.png"),
        ("c", "gt/{n}_{eye}.png"),
    ):
        root = tmp_path / folder
        for eye in "LR":
            write(root, *(t.format(n=n, eye=eye) for n in (1, 2) for t in ("{n}_{eye}.jpg", masks)))
        assert {name for name, *_ in pairs_of(root)} == {"1_L", "1_R", "2_L", "2_R"}


def test_a_logo_or_a_figure_is_no_image(tmp_path: Path) -> None:
    for folder, image in (("known", "images/{n}.png"), ("unknown", "CXR_png/{n}.png")):
        root = write(tmp_path / folder, *numbered(image, "masks/{n}.png"))
        write(root, "logo.png", "docs/figure1.png")
        assert len(pairs_of(root)) == 3
        pairing = find_pairs(root)
        assert pairing is not None
        left_out = "the folder itself has 1 .png, docs/ 1 .png"
        assert f"Left out what is neither image nor mask: {left_out}." in pairing.notes


def test_links_are_followed_once(tmp_path: Path) -> None:
    source = write(tmp_path / "source", *numbered("a/{n}.png", "b/{n}.png"))
    root = tmp_path / "root"
    root.mkdir()
    (root / "images").symlink_to(source / "a")
    (root / "masks").symlink_to(source / "b")
    (root / "images" / "loop").symlink_to(root)
    assert len(pairs_of(root)) == 3


def test_what_was_guessed_is_said(tmp_path: Path) -> None:
    def notes(folder: str, *templates: str) -> tuple[str, ...]:
        return open_dataset(save(tmp_path / folder, *numbered(*templates))).notes

    assert notes("plain", "images/{n}.png", "masks/{n}.png") == ()
    assert notes("marked", "images/{n}.png", "gt/{n}_gt.png") == (
        "Pairs by name, such as images/1.png with gt/1_gt.png.",
    )
    assert notes("twins", "{n}.jpg", "{n}.png") == ("Pairs by name, such as 1.jpg with 1.png.",)


# Names


@pytest.mark.parametrize(
    ("name", "kind", "part"),
    [
        ("images", "image", None),
        ("trainannot", "mask", "train"),
        ("TestMasks", "mask", "test"),
        ("val", None, "val"),
        ("validation_labels", "mask", "val"),
        ("traincrop", None, None),
        ("trainval", None, None),
        ("patient1", None, None),
        ("images_and_masks", None, None),
        ("lung_test", None, None),
        ("database", None, None),
        ("target", "mask", None),
        ("targeted_images", "image", None),
        ("mask_images", "mask", None),
        ("unlabeled", None, None),
    ],
)
def test_what_a_folder_says(name: str, kind: str | None, part: str | None) -> None:
    meaning = read_folder(name)
    assert (meaning.kind, meaning.part) == (kind, part)


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("x_mask", "x"),
        ("x-Mask", "x"),
        ("x mask", "x"),
        ("x.gt", "x"),
        ("mask_x", "x"),
        ("mask12", "12"),
        ("12mask", "12"),
        ("x_l", "x"),
        ("12l", "12l"),
        ("unmask", "unmask"),
        ("x_masked", "x_masked"),
        ("p/x_seg", "p/x"),
        ("p_mask/x", "p_mask/x"),
        ("p/mask", "p"),
        ("x_ground_truth", "x"),
    ],
)
def test_marks_of_masks(name: str, bare: str) -> None:
    assert without_mask_mark(name) == bare
    assert without_image_mark(name) == name


def test_cuts_leave_what_both_sides_have() -> None:
    rules = cuts(["img_001", "img_002"], ["seg_001_x", "seg_002_x"])
    assert rules is not None
    assert (rules[0]("img_001"), rules[1]("seg_001_x")) == ("001", "001")
    same = cuts(["frame_1", "frame_2"], ["frame_1", "frame_2"])
    assert same is not None
    assert (same[0]("frame_1"), same[1]("frame_2")) == ("frame_1", "frame_2")
    assert cuts(["a"], ["b"]) is None


def test_composed_and_decomposed_names_are_one(tmp_path: Path) -> None:
    write(tmp_path, *numbered(f"images/{unicodedata.normalize('NFC', 'Zürich')} {{n}}.png"))
    write(tmp_path, *numbered(f"masks/{unicodedata.normalize('NFD', 'Zürich')} {{n}}.png"))
    assert len(pairs_of(tmp_path)) == 3


def test_case_matters_where_it_must(tmp_path: Path) -> None:
    both = write(tmp_path, "images/a.png", "images/A.png", "masks/a.png", "masks/A.png")
    assert {(name, mask) for name, _, mask, _ in pairs_of(both)} == {
        ("a", "masks/a.png"),
        ("A", "masks/A.png"),
    }


def test_names_that_are_no_text_are_shown_in_escapes(tmp_path: Path) -> None:
    save(tmp_path, *numbered("images/{n}.png", "masks/{n}.png"))
    for folder in ("images", "masks"):
        old = os.fsencode(tmp_path / folder)
        (tmp_path / folder / "1.png").rename(os.fsdecode(old + b"/\xb2\xe2\n.png"))
    dataset = open_dataset(tmp_path)
    assert names_of(dataset) == ["10", "2", r"\xb2\xe2\n"]
    for sample in dataset.samples:
        dataset.load(sample)
    (tmp_path / "masks" / os.fsdecode(b"\xb2\xe2\n.png")).unlink()
    assert r"images/\xb2\xe2\n.png: no mask masks/\xb2\xe2\n.*." in problem_of(tmp_path)


STEM = st.text("abcxyzLR019_- é", min_size=1, max_size=8).filter(lambda s: s.strip(" ._-") == s)
MARKS = [("", "_mask"), ("", "_gt"), ("_image", "_label"), ("_img", ""), ("", ""), ("_q", "_r")]


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    stems=st.lists(STEM, min_size=3, max_size=9, unique_by=str.casefold),
    marks=st.sampled_from(MARKS),
    folders=st.sampled_from(SIDE_BY_SIDE[:-1]),
    inner=st.sampled_from(["", "case 7/", "{part}/", "{patient}/"]),
    seed=st.integers(0, 99),
)
def test_pairs_found_are_pairs_written(
    stems: list[str],
    marks: tuple[str, str],
    folders: tuple[str, str],
    inner: str,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("set")
    rng = random.Random(seed)
    written = set()
    for stem in stems:
        part, patient = rng.choice(["train", "test"]), f"p{rng.randrange(3)}"
        where = inner.format(part=part, patient=patient)
        image = f"{folders[0]}/{where}{stem}{marks[0]}.{rng.choice(['jpg', 'PNG'])}"
        mask = f"{folders[1]}/{where}{stem}{marks[1]}.{rng.choice(['png', 'Tif'])}"
        written.add((image, mask, part if inner == "{part}/" else None))
        write(root, image, mask)
    found = pairs_of(root)
    assert {(image, mask, part) for _, image, mask, part in found} == written
    assert len({name for name, *_ in found}) == len(found)
    assert all(name.isprintable() for name, *_ in found)


# Globs


@pytest.mark.parametrize(
    ("image", "mask", "images", "masks"),
    [
        ("scans/{n}.jpg", "drawn/{n}_x.png", "scans/{{}}.jpg", "drawn/{{}}_x.png"),
        ("scans/{n}.jpg", "drawn/{n}_x.png", "scans", "drawn"),
        ("scans/{n}.jpg", "drawn/{n}_x.png", "./scans/", "*_x.png"),
        ("scans/p/{n}.jpg", "drawn/p/{n}.png", "scans/{{}}.jpg", "drawn/{{}}.png"),
        ("set/scans/{n}.jpg", "set/drawn/{n}.png", "scans/{{}}.jpg", "drawn/{{}}.png"),
        ("a{n}_1.png", "b{n}_2.png", "a{{}}_?.png", "b{{}}_?.png"),
        ("p{n}/scan_7.png", "p{n}/drawn_7.png", "p{{}}/scan_{{}}.png", "p{{}}/drawn_{{}}.png"),
        ("p{n}/x/s.png", "p{n}/y/z/d.png", "{{}}/x/s.png", "{{}}/**/d.png"),
        ("{n}.png", "{n}_drawn.png", "{{}}.png", "{{}}_drawn.png"),
        ("{n}_photo.png", "{n}.png", "{{}}_photo.png", "{{}}.png"),
        ("images/{n}.png", "masks/liver/{n}.png", "images", "masks/liver"),
    ],
)
def test_globs_say_what_is_what(
    image: str, mask: str, images: str, masks: str, tmp_path: Path
) -> None:
    write(tmp_path, *numbered(image, mask))
    if "liver" in mask:
        write(tmp_path, "masks/kidney/1.png")
    found = pairs_of(tmp_path, images.format(), masks.format())
    assert {(image, mask) for _, image, mask, _ in found} == {
        (image.format(n=n), mask.format(n=n)) for n in (1, 2, 10)
    }


def test_globs_keep_the_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path, *numbered(f"{part}/pics/{{n}}.png", f"{part}/drawn/{{n}}_d.png"))
    found = pairs_of(tmp_path, "*/pics/{}.png", "*/drawn/{}_d.png")
    assert {(name, part) for name, _, _, part in found} == {
        (f"{part}/{n}", part) for part in ("train", "test") for n in (1, 2, 10)
    }


def test_one_glob_leaves_the_rest_to_the_names(tmp_path: Path) -> None:
    write(tmp_path, *numbered("images/{n}_training.tif", "1st_manual/{n}_manual1.gif"))
    write(tmp_path, *numbered("mask/{n}_training_mask.gif"))
    for masks, folder in (("1st_manual", "1st_manual"), ("mask", "mask")):
        found = pairs_of(tmp_path, masks=masks)
        assert {mask.split("/")[0] for _, _, mask, _ in found} == {folder}
        assert len(found) == 3
    assert len(pairs_of(tmp_path, images="images", masks="*_manual1.gif")) == 3


def test_a_glob_is_not_asked_for_lfw(tmp_path: Path) -> None:
    save(tmp_path, "lfw_funneled/Ann_Lee/Ann_Lee_0001.jpg")
    save(tmp_path, "parts_lfw_funneled_gt_images/Ann_Lee_0001.png")
    globs = {"images": "lfw_funneled/*/{}.jpg", "masks": "parts*/{}.png"}
    dataset = open_dataset(tmp_path, **globs)  # type: ignore[arg-type]
    assert (dataset.format, names_of(dataset)) == ("folder", ["Ann_Lee_0001"])
    again = open_dataset(tmp_path, format="folder", **globs)  # type: ignore[arg-type]
    assert again.fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": "gt/{}.png"}, "--masks gt/{}.png: no such files below the data's folder. drawn"),
        ({"masks": "drawn/{}.dat"}, "drawn/ has 3 .dat, which are not read as masks. Save them as"),
        ({"images": "a/{}-{}.png", "masks": "b/{}.png"}, "give both as many {}"),
        ({"images": "*.png", "masks": "other"}, "No image shares its name with a mask: the first"),
        ({"images": "**/*.png"}, "All files are chosen, and none is left for the masks."),
        ({"images": ""}, "--images: expected a glob, such as 'scans/{}.jpg'."),
    ],
)
def test_globs_that_find_nothing(options: dict[str, str], message: str, tmp_path: Path) -> None:
    write(tmp_path, *numbered("scans/{n}.png", "drawn/{n}.dat"), "other/z.png")
    assert message in problem_of(tmp_path, **options)


# Missing partners


def test_what_has_no_partner_is_listed_or_left_out(tmp_path: Path) -> None:
    save(tmp_path, *numbered("images/{n}.png", "masks/{n}_mask.png"))
    save(tmp_path, "images/7.png", "images/8.png", "masks/9_mask.png")
    assert problem_of(tmp_path).splitlines() == [
        "2 images without a mask and 1 mask without an image (left out with --skip-unpaired):",
        "images/7.png: no mask, as images/1.png has masks/1_mask.png. Add it, or remove this file.",
        "images/8.png: no mask, as images/1.png has masks/1_mask.png. Add it, or remove this file.",
        "masks/9_mask.png: no image, as masks/1_mask.png has images/1.png. Add it, or remove this"
        " file.",
    ]
    dataset = open_dataset(tmp_path, skip_unpaired=True)
    assert names_of(dataset) == ["1", "10", "2"]
    assert "Left out 2 images without a mask and 1 mask without an image." in dataset.notes


def test_a_part_without_masks_is_one_line(tmp_path: Path) -> None:
    save(tmp_path, *numbered("train/images/{n}.png", "train/masks/{n}.png", "test/images/{n}.png"))
    assert problem_of(tmp_path).splitlines() == [
        "3 images without a mask (left out with --skip-unpaired):",
        "test: 3 images without a mask.",
    ]
    parts = {sample.part for sample in open_dataset(tmp_path, skip_unpaired=True).samples}
    assert parts == {"train"}


# Questions


def test_several_folders_of_masks_are_a_question(tmp_path: Path) -> None:
    write(tmp_path, *numbered("images/{n}.tif", "1st_manual/{n}.gif", "2nd_manual/{n}.gif"))
    question = (
        "1st_manual/ and 2nd_manual/ could all be the masks."
        " Say which: --masks 1st_manual or --masks 2nd_manual."
    )
    assert problem_of(tmp_path) == question
    assert len(pairs_of(tmp_path, masks="2nd_manual")) == 3


def test_several_folders_of_images_are_a_question(tmp_path: Path) -> None:
    write(tmp_path, *numbered("train_images/{n}.png", "train_rgb/{n}.png", "train_masks/{n}.png"))
    write(tmp_path, *numbered("val_images/{n}.png", "val_rgb/{n}.png", "val_masks/{n}.png"))
    message = problem_of(tmp_path)
    assert "Say which: --images '*_images' or --images '*_rgb'." in message
    assert len(pairs_of(tmp_path, images="*rgb")) == 6


def test_a_folder_whose_names_fit_nothing_is_no_question(tmp_path: Path) -> None:
    write(tmp_path, *numbered("images/{n}.png", "masks/{n}.png"), "labels/legend.png")
    assert len(pairs_of(tmp_path)) == 3
    pairing = find_pairs(tmp_path)
    assert pairing is not None
    assert pairing.notes == ["Left out what is neither image nor mask: labels/ has 1 .png."]


@pytest.mark.parametrize(
    ("templates", "message", "answer"),
    [
        (
            ("{n}.jpg", "{n}_gt.png", "{n}_mask.png"),
            "3 names have several masks, as 1_gt.png and 1_mask.png. "
            "Say which: --masks '*_gt.png' or --masks '*_mask.png'.",
            {"masks": "*_gt.png"},
        ),
        (
            ("images/{n}.jpg", "masks/{n}.npy", "masks/{n}.png"),
            "3 names have several masks, as masks/1.npy and masks/1.png. "
            "Say which: --masks '*.npy' or --masks '*.png'.",
            {"masks": "*.npy"},
        ),
        (
            ("images/{n}.jpg", "images/{n}.png", "masks/{n}.png"),
            "Say which: --images '*.jpg' or --images '*.png'.",
            {"images": "*.jpg"},
        ),
        (
            ("{n}.png", "{n}.tif"),
            "1.png and 1.tif: which one is the mask? Pass --masks '*.png' or --masks '*.tif'.",
            {"masks": "*.tif"},
        ),
    ],
)
def test_several_files_of_a_name_are_a_question(
    templates: tuple[str, ...], message: str, answer: dict[str, str], tmp_path: Path
) -> None:
    write(tmp_path, *numbered(*templates, numbers=(1, 2, 3)))
    assert message in problem_of(tmp_path)
    assert len(pairs_of(tmp_path, **answer)) == 3


def test_parts_must_not_mix(tmp_path: Path) -> None:
    mixed = write(tmp_path / "mixed", *numbered("train/images/{n}.png", "train/masks/{n}.png"))
    write(mixed, *numbered("images/{n}.png", "masks/{n}.png"))
    assert (
        "images: 3 files beside train/images/. Move them into one of them, or keep one of the "
        "layouts." in problem_of(mixed)
    )
    twice = write(tmp_path / "twice", "val/images/a.png", "val/masks/a.png")
    write(twice, "valid/images/b.png", "valid/masks/b.png")
    assert "valid/images: is val like val/images. Merge them." in problem_of(twice)


# Where nothing fits


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["image/{n}.jpg", "groundTruth/{n}.dat"],
            "groundTruth/ has 3 .dat, image/ 3 .jpg. Files of the kind .dat are not read as masks: "
            "save them as .bmp",
        ),
        (
            ["images/{n}.nii.gz", "masks/{n}.png"],
            "images/ has 3 .nii.gz, masks/ 3 .png. Files of the kind .nii.gz are not read as "
            "images: save them as .bmp",
        ),
        (["images/{n}.png"], "images/ has 3 .png. Nothing there can be told to be masks: add them"),
        (
            ["masks/{n}.png"],
            "masks/ has 3 .png. All of these are called masks, and there is no image: add them, as "
            "images/NAME.png.",
        ),
        (
            ["train/gt/{n}.png", "notes/x{n}.txt"],
            "train/gt/ 3 .png. All of these are called masks, and there is no image",
        ),
        (
            ["A/{n}.png", "B/{n}.png"],
            "A/ has 3 .png, B/ 3 .png. Say what is what, as --images 'A/{}.png' --masks 'B/{}.png'",
        ),
        (["images/x{n}.png", "masks/{n}{n}y.png"], "images/ has 3 .png, masks/ 3 .png. Say what"),
        (
            ["c{n}/images/c.png", "c{n}/masks/a.png", "c{n}/masks/b.png"],
            "c1/masks/ has 2 masks for one image: join the masks of each image in one file.",
        ),
        (
            ["images/1{n}.png", "masks/{n}.png"],
            "images/ has 3 .png, masks/ 3 .png. Say what is what, as --images 'images/{}.png'",
        ),
        (["notes/{n}.txt"], "no image files (.bmp .gif .jpeg .jpg .pgm"),
        ([f"{letter}/{{n}}.png" for letter in "abcdefgh"], "f/ 3 .png, and 2 more folders."),
    ],
)
def test_what_lies_there_is_said(files: list[str], message: str, tmp_path: Path) -> None:
    write(tmp_path, *numbered(*files))
    found = problem_of(tmp_path)
    assert message in found
    assert "no known layout" in found
    assert "\n" not in found


def test_kinds_that_are_read_are_one_table() -> None:
    masks_alone = {suffix for suffix, (as_image, _) in SUFFIXES.items() if not as_image}
    assert masks_alone == {".npy", ".mat"}
    assert all(as_mask for _, as_mask in SUFFIXES.values())


# Lists

LISTS = {
    "header": "image,mask\n{rows}",
    "other columns": "id;mask_path;notes;image_path\n{turned}",
    "no header": "{rows}",
    "semicolons": "img;gt\n{semicolons}",
    "tabs": "{tabs}",
    "spaces": "{spaces}",
    "byte order mark": "\ufeffImage,Label\n{rows}",
    "quotes and blanks": '"image", "mask"\n\n{rows}\n\n',
}


@pytest.mark.parametrize("suffix", [".csv", ".TXT", ".tsv"])
@pytest.mark.parametrize("style", LISTS)
def test_lists(style: str, suffix: str, tmp_path: Path) -> None:
    rows = [(f"in/{n}.png", f"out/z{n * n}.png") for n in (1, 2, 10)]
    save(tmp_path, *(file for row in rows for file in row))
    text = LISTS[style].format(
        rows="\n".join(f"{a},{b}" for a, b in rows),
        semicolons="\r\n".join(f"{a};{b}" for a, b in rows),
        tabs="\n".join(f"{a}\t{b}" for a, b in rows),
        spaces="\n".join(f"{a}  {b}" for a, b in rows),
        turned="\n".join(f"7;{b};;{a}" for a, b in rows),
    )
    (tmp_path / f"pairs{suffix}").write_text(text, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("These are images.\n" + "x" * 5000)
    (tmp_path / "about.csv").write_text("name,value\nimages,3\n")
    for path in (tmp_path, tmp_path / f"pairs{suffix}"):
        dataset = open_dataset(path)
        assert (dataset.format, names_of(dataset)) == ("folder", ["1", "10", "2"])
        assert dataset.notes == (f"Used the pairs in pairs{suffix}.",)
        found = {
            tuple(file.relative_to(tmp_path).as_posix() for file in sample.files)
            for sample in dataset.samples
        }
        assert found == set(rows)


def test_a_list_may_say_parts_and_groups(tmp_path: Path) -> None:
    save(tmp_path, *numbered("{n}a.png", "{n}b.png"))
    (tmp_path / "pairs.csv").write_text(
        "image,mask,split,patient_id\n1a.png,1b.png,train,x\n2a.png,2b.png,Test,x\n10a.png,10b.png,,\n"
    )
    dataset = open_dataset(tmp_path / "pairs.csv")
    assert (
        "1 of 3 lines in pairs.csv name no part of the split; the first is line 4." in dataset.notes
    )
    samples = dataset.samples
    assert [(s.name, s.part, s.group) for s in samples] == [
        ("10a", None, "10a"),
        ("1a", "train", "x"),
        ("2a", "test", "x"),
    ]
    by_name = open_dataset(tmp_path / "pairs.csv", group=r"\d")
    assert [s.group for s in by_name.samples] == ["1", "1", "2"]


def test_a_list_for_each_part(tmp_path: Path) -> None:
    save(tmp_path, *numbered("in/{n}.png", "out/{n}b.png"))
    (tmp_path / "train.txt").write_text("in/1.png out/1b.png\nin/2.png out/2b.png\n")
    (tmp_path / "val.txt").write_text("in/10.png out/10b.png\n")
    parts = {sample.name: sample.part for sample in open_dataset(tmp_path).samples}
    assert parts == {"1": "train", "2": "train", "10": "val"}
    (tmp_path / "more.txt").write_text("in/10.png out/10b.png\n")
    assert "more.txt, train.txt, val.txt are lists of pairs. Pass one" in problem_of(tmp_path)


def test_a_layout_is_stronger_than_a_list(tmp_path: Path) -> None:
    save(tmp_path, *numbered("images/{n}.png", "masks/{n}.png"))
    (tmp_path / "pairs.csv").write_text("images/1.png,masks/2.png\n")
    assert len(open_dataset(tmp_path).samples) == 3
    (only,) = open_dataset(tmp_path / "pairs.csv").samples
    assert [file.name for file in only.files] == ["1.png", "2.png"]


def test_a_list_may_lead_elsewhere(tmp_path: Path) -> None:
    save(tmp_path / "pictures", "a.png", "b.png")
    (tmp_path / "lists").mkdir()
    rows = f"../pictures/a.png,{tmp_path}/pictures/b.png\n"
    (tmp_path / "lists" / "pairs.csv").write_text(rows)
    dataset = open_dataset(tmp_path / "lists" / "pairs.csv")
    assert names_of(dataset) == ["a"]
    dataset.load(dataset.samples[0])
    (tmp_path / "pictures" / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"pictures/b\.png: "):
        dataset.load(dataset.samples[0])


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "image,mask\n1.png,gone.png\n",
            ["1 line of pairs.csv without an image or a mask: line 2 (no file gone.png). Mend"],
        ),
        (
            "image,mask\n1.png\n",
            ["line 2 (no mask). Mend or remove such lines, or leave them out with --skip"],
        ),
        ("image,mask\nx.png,y.png\n", ["line 2 (no file x.png and no file y.png)."]),
        (
            "image,mask,split\n1.png,2.png,holdout\n",
            ["pairs.csv, line 2: the part holdout, expected train, val or"],
        ),
        (
            "1.png,2.png\n1.png,3.png\n",
            ["1 image stands in several lines: 1. Keep one line of each."],
        ),
        ("image,mask\n", ["pairs.csv: no pairs. Add lines such as images/1.jpg,masks/1.png."]),
        ("", ["pairs.csv: no pairs."]),
        ("1.png\n2.png\n", ["expected two columns, such as image,mask."]),
        ("image,class\n1.png,cat\n", ["expected two columns, such as image,mask."]),
        ('1.png,"' + "x" * 200_000, ["pairs.csv, line 1: a cell of more than 131,072 char"]),
    ],
)
def test_what_is_wrong_with_a_list(text: str, messages: list[str], tmp_path: Path) -> None:
    save(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "pairs.csv").write_text(text)
    found = problem_of(tmp_path / "pairs.csv")
    assert all(message in found for message in messages), found


def test_one_mistake_in_many_lines_is_one_line(tmp_path: Path) -> None:
    save(tmp_path, *(f"{n}.png" for n in range(10)))
    rows = [f"{n}.png,{n}.png,{part}" for n in range(10) for part in ("holdout", "train")]
    lacking = [f"x{n}.png,0.png,train" for n in range(5)]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,mask,split", *rows, *lacking]))
    assert problem_of(tmp_path / "pairs.csv").splitlines() == [
        "pairs.csv, lines 2, 4, 6 and 7 more: the part holdout, expected train, val or test.",
        "5 lines of pairs.csv without an image or a mask: line 22 (no file x0.png), line 23 (no"
        " file x1.png), line 24 (no file x2.png) and 2 more. Mend or remove such"
        " lines, or leave them out with --skip-unpaired.",
        "10 images stand in several lines: 0, 1, 2 and 7 more. Keep one line of each.",
    ]


def test_lines_without_files_may_be_left_out(tmp_path: Path) -> None:
    save(tmp_path, "1.png", "2.png")
    (tmp_path / "pairs.csv").write_text("image,mask\n1.png,2.png\ngone.png,2.png\n")
    dataset = open_dataset(tmp_path / "pairs.csv", skip_unpaired=True)
    assert names_of(dataset) == ["1"]
    assert "Left out 1 line of pairs.csv without an image or a mask." in dataset.notes
    with pytest.raises(DataError, match="is a list"):
        open_dataset(tmp_path / "pairs.csv", images="{}.png")
    with pytest.raises(DataError, match="a file, expected a folder"):
        open_dataset(tmp_path / "pairs.csv", format="lfw")


@pytest.mark.parametrize("options", [{}, {"images": "in/{}.png", "masks": "out/{}.png"}])
def test_a_resolved_source_opens_the_same_images(options: dict[str, str], tmp_path: Path) -> None:
    save(tmp_path, *numbered("in/{n}.png", "out/{n}.png", "more/{n}.png"))
    (tmp_path / "pairs.csv").write_text("in/1.png,out/1.png\n")
    source = Source(path=str(tmp_path if options else tmp_path / "pairs.csv"), **options)
    resolved = Library().resolve(source)
    assert resolved.format == "folder"
    assert len(Library().dataset(resolved).samples) == (3 if options else 1)


# Real data


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("camvid", 701, "test/0001TP_008550"),
        ("celebamask", 1000, "00129b5490b5459d813a2f031033635e"),
        ("chest", 247, "JPCLN001"),
        ("cracks", 377, "20160222_080933"),
        ("flood", 286, "0"),
        ("horses", 328, "horse001"),
        ("membrane", 30, "0"),
        ("nuclei", 175, "00071198d059ba7f"),
        ("polyps", 375, "cju0qkwl35piu0993l0dewei2"),
        ("weeds", 60, "001"),
    ],
)
def test_real_sets_as_they_come(name: str, count: int, first: str) -> None:
    asked = {"camvid": "1", "celebamask": "1", "chest": "250", "weeds": "#ff0000"}
    fit_masks = name in ("flood", "horses")
    dataset = open_dataset(require(name), foreground=asked.get(name), fit_masks=fit_masks)
    assert (dataset.format, len(dataset.samples)) == ("folder", count)
    assert dataset.samples[0].name == first
    stems = [[file.stem for file in sample.files] for sample in dataset.samples]
    assert all(mask.startswith(image.removesuffix("_image")) for image, mask in stems)
