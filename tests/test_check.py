"""`vesica check` finds what was spoiled on purpose, and says what to do about it."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from vesica.check import Check, examine, gather
from vesica.cli import app
from vesica.data.facts import SMALL_PX, Facts, find_similar, guess_groups
from vesica.data.library import Library
from vesica.data.source import Source
from vesica.errors import DataError
from vesica.remarks import MAX_NAMES
from vesica.report.check_page import check_sections


def photo(index: int, side: int = 48) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rng = np.random.default_rng(index)
    smooth = ndimage.gaussian_filter(rng.normal(size=(side, side, 3)), (5, 5, 0))
    return np.asarray(np.clip(128 + 600 * smooth, 0, 255), np.uint8)


def disc(index: int, side: int = 48) -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[:side, :side]
    return np.asarray(255 * ((y - 20) ** 2 + (x - 24) ** 2 < (5 + index % 9) ** 2), np.uint8)


def write(root: Path, num: int = 60, names: str = "{:03}") -> Path:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(num):
        name = names.format(index)
        Image.fromarray(photo(index)).save(root / "images" / f"{name}.png")
        Image.fromarray(disc(index)).save(root / "masks" / f"{name}.png")
    return root


def check(root: Path, **fields: Any) -> Check:
    library, source = Library(root.parent / "cache"), Source(path=str(root), **fields)
    return examine(gather(source, library), source, library)


def said(found: Check, level: str = "") -> str:
    return "\n".join(
        f"{remark.text} {remark.names}" for remark in found.remarks if level in ("", remark.level)
    )


def test_a_good_set_has_no_warning(tmp_path: Path) -> None:
    found = check(write(tmp_path / "good", 600))
    assert found.is_fit
    assert said(found, "warning") == said(found, "stop") == ""
    assert found.num_images == found.num_groups == 600
    assert sum(part.images for part in found.parts.values()) == 600
    assert found.widths.least == found.heights.most == 48
    share = disc(4).mean() / 255
    assert found.density.median == pytest.approx(share)
    assert found.objects.least == found.objects.most == 1
    assert found.object_px is not None
    assert found.object_px.median == pytest.approx(share**0.5 * 48)


def test_copies_are_found_and_so_are_near_copies(tmp_path: Path) -> None:
    root = write(tmp_path / "copies")
    (root / "images" / "007.png").write_bytes((root / "images" / "003.png").read_bytes())
    brighter = Image.fromarray(np.clip(photo(9).astype(int) + 2, 0, 255).astype(np.uint8))
    brighter.save(root / "images" / "011.png", compress_level=1)
    found = check(root, folds=0)
    text = said(found)
    assert "2 pairs of images look the same" in text
    assert "003 = 007" in text
    assert "009 = 011" in text
    assert "--group" in said(found, "warning")


def test_each_half_of_a_leak_is_named(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    write(root / "train", 40)
    write(root / "test", 20)  # the first 20 of train again
    found = check(root)
    assert "20 pairs of images look the same; 20 of them lie in two parts" in said(found, "warning")
    assert "test/000 = train/000" in said(found) or "train/000 = test/000" in said(found)


def test_those_that_are_not_named_are_counted(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    write(root / "train", 40)
    write(root / "test", 26)
    for index in range(24):
        Image.fromarray(np.zeros((48, 48), np.uint8)).save(
            root / "train" / "masks" / f"{index:03}.png"
        )
    found = check(root)
    more = [remark.more for remark in found.remarks if len(remark.names) == MAX_NAMES]
    assert sorted(more) == [4, 6]
    assert [remark.more for remark in found.remarks if len(remark.names) < MAX_NAMES] == [0] * (
        len(found.remarks) - 2
    )
    text = str(check_sections(found))
    assert "; and 6 more)" in text
    assert "; and 4 more)" in text


def test_one_mask_for_all_images_is_said(tmp_path: Path) -> None:
    root = write(tmp_path / "same", 20)
    assert "same in every pixel" not in said(check(root))
    for index in range(18):
        Image.fromarray(disc(0)).save(root / "masks" / f"{index:03}.png", compress_level=index % 9)
    assert "19 of 20 masks are the same in every pixel: look whether" in said(check(root))
    for index in range(18, 20):
        Image.fromarray(disc(0)).save(root / "masks" / f"{index:03}.png")
    assert "All 20 masks are the same in every pixel" in said(check(root), "warning")
    as_classes = check(root, classes=True)
    assert "All 20 masks are the same in every pixel" in said(as_classes, "warning")


def test_empty_full_and_inverted_masks(tmp_path: Path) -> None:
    root = write(tmp_path / "odd")
    for index, value in ((1, 0), (2, 0), (3, 255)):
        flat = Image.fromarray(np.full((48, 48), value, np.uint8))
        flat.save(root / "masks" / f"{index:03}.png")
    found = check(root)
    assert "2 masks of 60 without foreground" in said(found, "note")
    assert "1 mask of 60 all foreground" in said(found, "warning")
    assert "('003',)" in said(found)
    assert "--foreground 0" not in said(found)
    inverted = check(root, foreground="0")
    assert "swapped, pass --foreground '!0'." in said(inverted, "warning")
    back = check(root, foreground="!0")
    assert back.density.median == found.density.median


@pytest.mark.parametrize("rule", [None, "255", ">100"])
def test_the_proposed_swap_can_be_passed(rule: str | None, tmp_path: Path) -> None:
    root = write(tmp_path / "swapped", 20)
    for index in range(20):
        Image.fromarray(255 - disc(index)).save(root / "masks" / f"{index:03}.png")
    words = shlex.split(said(check(root, foreground=rule)).partition("swapped, pass ")[2])
    assert words[0] == "--foreground"
    found = check(root, foreground=words[1].rstrip("."))
    assert found.density.most < 0.5


@pytest.mark.parametrize(
    ("num", "inverted", "text"),
    [
        (60, 0, ""),
        (60, 2, ""),
        (60, 5, ""),
        (60, 6, "6 of 60 masks have foreground nearly all around at the image's border, where the"),
        (20, 10, "10 of 20 masks have foreground nearly all around at the image's border"),
        (
            20,
            16,
            "4 of 20 masks have next to no foreground at the image's border, where the others",
        ),
        (20, 20, ""),
    ],
)
def test_some_masks_that_are_inverted_are_named(
    num: int, inverted: int, text: str, tmp_path: Path
) -> None:
    root = write(tmp_path / "half", num)
    for index in range(inverted):
        Image.fromarray(255 - disc(index)).save(root / "masks" / f"{index:03}.png")
    found = [one for one in check(root).remarks if "as if object and background" in one.text]
    assert [one.level for one in found] == ["warning"] * bool(text)
    if text:
        assert found[0].text.startswith(text)
        fewer = range(inverted) if inverted <= num / 2 else range(inverted, num)
        assert found[0].names == tuple(f"{index:03}" for index in fewer)


def test_objects_that_fill_more_and_more_are_not_taken_for_inverted(tmp_path: Path) -> None:
    root = write(tmp_path / "large", 20)
    for index in range(20):
        mask = np.zeros((48, 48), np.uint8)
        mask[: 12 + 2 * index] = 255  # the ground of a landscape
        Image.fromarray(mask).save(root / "masks" / f"{index:03}.png")
    assert "as if" not in said(check(root))


def test_what_cannot_be_read_is_listed_and_the_rest_is_examined(tmp_path: Path) -> None:
    root = write(tmp_path / "broken")
    data = (root / "images" / "005.png").read_bytes()
    (root / "images" / "005.png").write_bytes(data[: len(data) // 2])
    found = check(root)
    assert not found.is_fit
    assert "images/005.png: cannot be read" in said(found, "stop")
    assert found.objects.most == 1


@pytest.mark.parametrize(
    ("names", "expression", "num"),
    [
        ("p{0}_s{1}", r"([^/_]+)_[^/]*$", 6),
        ("seq{0}-f{1}", r"([^/-]+)-[^/]*$", 6),
        ("image{0}{1}", None, 0),
        ("same_{0}{1}", None, 0),
    ],
)
def test_names_that_suggest_groups(names: str, expression: str | None, num: int) -> None:
    found = guess_groups([names.format(index // 5, index % 5) for index in range(30)])
    assert found == (None if expression is None else (expression, num))


def test_groups_that_the_folders_parts_divide_are_named_with_the_way_out(tmp_path: Path) -> None:
    for part, start, num in (("train", 0, 60), ("val", 60, 20), ("test", 80, 20)):
        root = write(tmp_path / "set" / part, num)
        for folder in ("images", "masks"):
            for index, old in enumerate(sorted((root / folder).iterdir())):
                old.rename(root / folder / f"p{(start + index) // 25}_{start + index}.png")
    before = check(tmp_path / "set")
    assert "p2, p3 lie in several parts" in said(before, "warning")
    words = said(before).partition("pass --group '")[2]
    expression, rest = words.partition("'")[0], words.partition("'")[2]
    assert rest.startswith(" --division pooled")
    assert "suggest" not in said(check(tmp_path / "set", group=expression, division="pooled"))


def test_the_proposed_groups_can_be_passed(tmp_path: Path) -> None:
    root = write(tmp_path / "patients")
    for folder in ("images", "masks"):
        for index in range(60):
            old = root / folder / f"{index:03}.png"
            old.rename(root / folder / f"p{index // 5}_{index}.png")
    before = check(root)
    assert "12 groups of images" in said(before, "warning")
    expression = said(before).partition("--group '")[2].partition("'")[0]
    after = check(root, group=expression)
    assert after.num_groups == 12
    assert "suggest" not in said(after)
    assert "12 tested groups, and a verdict needs 15: tell more groups apart" in said(
        after, "warning"
    )


def test_few_images_forbid_a_verdict_beforehand(tmp_path: Path) -> None:
    found = check(write(tmp_path / "few", 12))
    assert "12 test images, and a verdict needs 15: add images (there are 12)" in said(
        found, "warning"
    )


def test_what_cannot_be_divided_is_a_finding(tmp_path: Path) -> None:
    root = write(tmp_path / "one", 20)
    for fields in ({}, {"folds": 5}, {"division": "exact"}):
        found = check(root, group=r"^(\d)\d*$", **fields)
        assert (found.num_groups, found.parts) == (1, {})
        assert "20 images in 1 group: " in said(found, "stop")
        assert "seed" not in said(found, "stop")
    page = ["--page", str(tmp_path / "one.html"), "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(app, ["check", str(root), "--group", r"^(\d)\d*$", *page])
    assert result.exit_code == 2
    said_there = " ".join(result.stdout.split())  # lines are broken where the path ends
    assert "20 images in 1 group: none is left for train and val." in said_there


def test_thin_and_small_things_ask_for_their_measure(tmp_path: Path) -> None:
    thin, dots = write(tmp_path / "thin", 20), write(tmp_path / "dots", 20)
    line, dot = np.zeros((2, 256, 256), np.uint8)
    line[100:103, 10:240] = 255
    dot[20::40, 20::40] = 255
    dot = ndimage.grey_dilation(dot, (9, 9))
    for index in range(20):
        big = Image.fromarray(photo(index, 256))
        for root, mask in ((thin, line), (dots, dot)):
            big.save(root / "images" / f"{index:03}.png")
            Image.fromarray(mask).save(root / "masks" / f"{index:03}.png")
    assert check(thin).measure.startswith("centre-line Dice: ")
    assert check(dots).measure.startswith("object recall: ")
    assert check(write(tmp_path / "large", 20)).measure.startswith("boundary IoU: ")


@pytest.mark.parametrize("side", [1, 4])
@pytest.mark.parametrize("value", [0, 255])
def test_masks_that_say_nothing_of_objects_ask_for_no_measure(
    side: int, value: int, tmp_path: Path
) -> None:
    root = write(tmp_path / "tiny", 20)
    for index in range(20):
        Image.fromarray(photo(index, side)).save(root / "images" / f"{index:03}.png")
        mask = np.full((side, side), value * (index > 3), np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{index:03}.png")
    found = check(root)
    assert found.measure == ""
    assert "Beside IoU" not in [section.title for section in check_sections(found)]


def test_similar_images_are_told_from_others() -> None:
    rng = np.random.default_rng(0)

    def facts(row: int, steps: int, small: Any) -> Facts:
        none = np.zeros(0)
        return Facts(
            row, 1, 1, "", 0, none, none, None, np.uint64(steps), small.astype(np.uint8), 0, 0
        )

    small = rng.integers(0, 250, (SMALL_PX, SMALL_PX))
    found = [
        facts(0, 0, small),
        facts(1, 0b1111, small + 3),
        facts(2, 0b11111, small),  # five steps differ
        facts(3, 0, small + 5),  # too much brighter than 0, not than 1
    ]
    assert find_similar(found) == [(0, 1), (1, 2), (1, 3)]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "photos <b>", 60)
    monkeypatch.chdir(tmp_path)
    asked = ["check", str(root), "--cache", "cache", "--json"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["num_images"] == 60
    assert document["parts"]["train"]["images"] > 30
    page = (tmp_path / "photos <b>-check.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 40
    assert "photos &lt;b&gt;" in page
    assert "<b>-check" not in page
    plain = CliRunner().invoke(app, asked[:-1])
    assert "How it would be divided" in plain.stdout
    assert all(len(line) <= 80 for line in plain.stdout.splitlines())


@pytest.mark.parametrize("name", ["images/000.png", "masks.csv", "page", "images", "x.html.png"])
def test_a_page_is_written_over_no_file_of_another_kind(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "photos", 3)
    (root / "masks.csv").write_text("a,b")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    asked = ["check", str(root), "--page", str(root / name), "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(app, asked)
    assert isinstance(result.exception, DataError)
    assert "pass a name that ends in .html or .htm" in str(result.exception)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_nothing_to_read_is_one_message(tmp_path: Path) -> None:
    root = write(tmp_path / "none", 3)
    for file in (root / "images").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"images/000\.png: .*\n.*001\.png"):
        check(root)


def test_ways_to_a_set_without_masks(tmp_path: Path) -> None:
    root = write(tmp_path / "flat", 20)
    for file in (root / "masks").iterdir():
        Image.fromarray(np.zeros((48, 48), np.uint8)).save(file)
    found = check(root)
    assert not found.is_fit
    assert "All 20 masks are empty: no object is in any. Export" in said(found, "stop")
    assert "--" not in said(found, "stop")


@pytest.mark.parametrize("value", [0, 1, 7, 255])
def test_masks_of_one_value_are_said_to_be_so_whatever_is_passed(
    value: int, tmp_path: Path
) -> None:
    root = write(tmp_path / "flat", 20)
    for file in (root / "masks").iterdir():
        Image.fromarray(np.full((48, 48), value, np.uint8)).save(file)
    alone = f"All 20 masks hold {value} alone, which tells no object from its background. Export"
    for other in ({"foreground": "9"}, {"foreground": "a=9;b=8", "classes": True}):
        with pytest.raises(DataError, match=r"9 is in no mask\. ") as caught:
            check(root, **other)
        assert alone in str(caught.value)
    if value == 7:
        with pytest.raises(DataError, match=alone):
            check(root)
    else:
        found = check(root)
        assert not found.is_fit
        what = "foreground throughout" if value else "empty"
        assert f"All 20 masks are {what}: " in said(found, "stop")
        assert "swapped" not in said(found)
    found = check(root, foreground=str(value))
    assert f"in any. Look at --foreground {value}, export" in said(found, "stop")


@pytest.mark.parametrize(("ignored", "rest"), [("255", "0 alone"), ("0", "255 alone")])
def test_leaving_out_the_object_is_said_to_be_the_cause(
    ignored: str, rest: str, tmp_path: Path
) -> None:
    root = write(tmp_path / "void", 20)
    leaves = f"--ignore {ignored} leaves {rest} in all 20 masks"
    same = f"--foreground {ignored} and --ignore {ignored} are the same pixels"
    for rule in (None, "255", "0"):
        with pytest.raises(DataError, match=same if rule == ignored else leaves):
            check(root, ignore=ignored, foreground=rule)
