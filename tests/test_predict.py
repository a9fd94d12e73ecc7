"""`vesica predict`: folders of images, stopped and gone on with, and what is refused."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from trained import faces, trained_run
from typer.testing import CliRunner

import vesica
from vesica.cli import app
from vesica.data.sample import Pixels
from vesica.errors import DataError
from vesica.export.graph import write_graph
from vesica.model import Model, Traits
from vesica.model.network import NetworkModel
from vesica.model.prediction import Answer
from vesica.predict import draw_overlay, folder, plan_job, predict_folder
from vesica.results import read_table, write_table


class Bright(Model):
    """Foreground is what is bright: a model that no one has to train."""

    def __init__(self, classes: tuple[str, ...] = ("light",), digest: str = "bright") -> None:
        self.traits = Traits(
            network="bright",
            num_members=1,
            size_px=32,
            temperature=1.0,
            threshold=0.5,
            classes=classes,
        )
        self.digest = digest
        self.seen = 0

    def answer(self, image: Pixels) -> Answer:
        self.seen += 1
        grey = image.mean(axis=2).astype(np.float32) / 255
        return Answer(np.stack([grey] * len(self.traits.classes)), 0.5)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Nested, of several kinds and sizes; two differ in their suffix alone."""
    folder = tmp_path / "images"
    for number, name in enumerate(("a.png", "a.jpg", "b/c.png", "b/d/e.tif", "ü [1].png")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(faces(1, 40 + number, 60)[0]).save(path)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    (folder / "Thumbs.db").write_text("no image")
    return folder


MASKS = ["a.jpg.png", "a.png.png", "b/c.png", "b/d/e.png", "ü [1].png"]


def below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_names_and_folders_are_kept(images: Path, tmp_path: Path) -> None:
    job = plan_job([str(images)], tmp_path / "out", probabilities=True, overlays=True)
    outcome = predict_folder(Bright(), job)
    assert sorted(outcome.predicted) == sorted(
        ["a.png", "a.jpg", "b/c.png", "b/d/e.tif", "ü [1].png"]
    )
    assert below(tmp_path / "out" / "masks") == MASKS
    assert below(tmp_path / "out" / "probabilities") == MASKS
    assert below(tmp_path / "out" / "overlays") == [f"{name[:-4]}.jpg" for name in MASKS]


def test_what_is_written_is_what_the_model_gives(images: Path, tmp_path: Path) -> None:
    predict_folder(Bright(), plan_job([str(images)], tmp_path / "out", probabilities=True))
    image = np.asarray(Image.open(images / "b/c.png"))
    found = Bright().predict(image)
    mask = Image.open(tmp_path / "out/masks/b/c.png")
    assert mask.mode == "L"
    assert np.array_equal(np.asarray(mask), found.mask * np.uint8(255))
    probs = np.asarray(Image.open(tmp_path / "out/probabilities/b/c.png"))
    np.testing.assert_allclose(probs / 65535, found.probs, atol=1e-5)
    rows = {row["name"]: row for row in read_table(tmp_path / "out/predictions.csv")}
    assert len(rows) == 5
    row = rows["b/c.png"]
    assert (row["height_px"], row["width_px"], row["unusual"]) == ("42", "60", "")
    assert float(row["foreground"]) == pytest.approx(found.mask.mean(), abs=1e-6)


def test_files_and_globs(images: Path, tmp_path: Path) -> None:
    one = plan_job([str(images / "ü [1].png")], tmp_path / "one")
    assert below_of(one) == ["ü [1].png"]
    several = plan_job([str(images / "**" / "*.png")], tmp_path / "several")
    assert below_of(several) == ["a.png", "b/c.png", "ü [1].png"]
    both = plan_job([str(images / "a.png"), str(images / "b")], tmp_path / "both")
    assert below_of(both) == ["a.png", "b/c.png", "b/d/e.tif"]
    twice = plan_job([str(images / "a.png"), str(images / "*.png")], tmp_path / "twice")
    assert below_of(twice) == ["a.png", "ü [1].png"]


def below_of(job: Any) -> list[str]:
    return sorted(
        image.relative_to(job.root).as_posix() for image in job.images if image.name[0] != "."
    )


def test_what_is_there_is_skipped(images: Path, tmp_path: Path) -> None:
    job = plan_job([str(images)], tmp_path / "out")
    predict_folder(Bright(), job)
    again = Bright()
    outcome = predict_folder(again, job)
    assert (again.seen, len(outcome.skipped)) == (0, 5)
    (tmp_path / "out/masks/b/c.png").unlink()
    Image.fromarray(faces(1, 30, 30)[0]).save(images / "a.png")  # another image by that name
    with_overlays = plan_job([str(images)], tmp_path / "out", overlays=True)
    outcome = predict_folder(again, job)
    assert sorted(outcome.predicted) == ["a.png", "b/c.png"]
    assert len(predict_folder(again, with_overlays).predicted) == 5
    assert len(read_table(tmp_path / "out/predictions.csv")) == 5


def save(path: Path, seed: int, stamp: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 30, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    if stamp:
        os.utime(path, (stamp, stamp))
    return path


def test_an_older_image_by_the_same_name_is_another_one(tmp_path: Path) -> None:
    save(tmp_path / "a/x.png", 1)
    save(tmp_path / "b/x.png", 2, stamp=10**9)
    predict_folder(Bright(), plan_job([str(tmp_path / "a")], tmp_path / "out"))
    outcome = predict_folder(Bright(), plan_job([str(tmp_path / "b")], tmp_path / "out"))
    assert outcome.predicted == ["x.png"]
    predict_folder(Bright(), plan_job([str(tmp_path / "b")], tmp_path / "alone"))
    masks = (tmp_path / folder / "masks/x.png" for folder in ("out", "alone"))
    assert len({mask.read_bytes() for mask in masks}) == 1


def test_a_damaged_mask_is_made_anew(tmp_path: Path) -> None:
    save(tmp_path / "a/x.png", 1)
    job = plan_job([str(tmp_path / "a")], tmp_path / "out")
    predict_folder(Bright(), job)
    mask = tmp_path / "out/masks/x.png"
    whole = mask.read_bytes()
    mask.write_bytes(whole[:40])
    assert predict_folder(Bright(), job).predicted == ["x.png"]
    assert mask.read_bytes() == whole


def test_no_mask_is_left_under_a_name_that_means_another_image(tmp_path: Path) -> None:
    save(tmp_path / "a/x.jpg", 1)
    job = plan_job([str(tmp_path / "a")], tmp_path / "out", overlays=True)
    predict_folder(Bright(), job)
    save(tmp_path / "a/x.png", 2)
    predict_folder(Bright(), plan_job([str(tmp_path / "a")], tmp_path / "out"))
    assert below(tmp_path / "out/masks") == ["x.jpg.png", "x.png.png"]
    assert below(tmp_path / "out/overlays") == []
    other = save(tmp_path / "b/x.jpg.bmp", 3)
    with pytest.raises(DataError, match=r"x\.jpg is there, of x\.jpg, and x\.jpg\.bmp would"):
        predict_folder(Bright(), plan_job([str(other)], tmp_path / "out"))


def test_nothing_is_written_outside_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = save(tmp_path / "work/new/x.png", 1)
    second = save(tmp_path / "others/y.png", 2)
    monkeypatch.chdir(first.parent.parent)
    before = [path.read_bytes() for path in (first, second)]
    images = ["new", "./new/../new", "../others", "../others/y.png"]
    outcome = predict_folder(Bright(), plan_job(images, "../masks", probabilities=True))
    assert outcome.predicted == ["work/new/x.png", "others/y.png"]
    assert below(tmp_path / "masks/masks") == ["others/y.png", "work/new/x.png"]
    assert below(tmp_path / "masks/probabilities") == below(tmp_path / "masks/masks")
    assert [path.read_bytes() for path in (first, second)] == before
    assert len(list(tmp_path.rglob("*.png"))) == 6


def test_where_no_image_can_be_read_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.png").write_text("no image")
    with pytest.raises(DataError, match=r"no image could be read:\nx\.png: [^\n]+$"):
        predict_folder(Bright(), plan_job([str(tmp_path / "a")], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_each_image_that_cannot_be_read_has_a_line(tmp_path: Path) -> None:
    save(tmp_path / "a/cut.png", 1)
    (tmp_path / "a/cut.png").write_bytes((tmp_path / "a/cut.png").read_bytes()[:200])
    for number in range(11):
        (tmp_path / f"a/{number:02}.jpg").write_text("no image")
    with pytest.raises(DataError) as error:
        predict_folder(Bright(), plan_job([str(tmp_path / "a")], tmp_path / "out"))
    first, *lines, last = str(error.value).splitlines()
    assert first == "no image could be read:"
    assert len(lines) == 10
    assert all(line.endswith(".") and ".;" not in line for line in lines)
    assert last == "... and 2 more"


def test_the_first_images_are_unreadable_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "SAVE_EVERY", 1)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.png").write_text("no image")
    save(tmp_path / "a/y.png", 1)
    job = plan_job([str(tmp_path / "a")], tmp_path / "out")
    assert predict_folder(Bright(), job).predicted == ["y.png"]
    assert predict_folder(Bright(), job).skipped == ["y.png"]


def test_an_image_that_can_no_longer_be_read_is_listed(tmp_path: Path) -> None:
    image = save(tmp_path / "a/x.png", 1)
    save(tmp_path / "a/y.png", 1)
    job = plan_job([str(tmp_path / "a")], tmp_path / "out")
    predict_folder(Bright(), job)
    image.unlink()
    image.mkdir()
    outcome = predict_folder(Bright(), job)
    assert (len(outcome.unreadable), outcome.skipped) == (1, ["y.png"])
    assert below(tmp_path / "out/masks") == ["y.png"]


@pytest.mark.parametrize("pattern", ["", "*.png", "*"])
def test_a_link_to_nothing_is_listed(tmp_path: Path, pattern: str) -> None:
    save(tmp_path / "a/x.png", 1)
    (tmp_path / "a/lost.png").symlink_to("nowhere")
    (tmp_path / "a/circle.png").symlink_to("circle.png")
    job = plan_job([str(tmp_path / "a" / pattern)], tmp_path / "out")
    outcome = predict_folder(Bright(), job)
    assert outcome.predicted == ["x.png"]
    said = "cannot be read as an image (a link to nothing)."
    assert sorted(outcome.unreadable) == [f"circle.png: {said}", f"lost.png: {said}"]
    alone = plan_job([str(tmp_path / "a/lost.png")], tmp_path / "alone")
    with pytest.raises(
        DataError, match=r"no image could be read:\nlost\.png: .* \(a link to nothing"
    ):
        predict_folder(Bright(), alone)


def test_all_that_lies_in_a_folder_is_an_image_or_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "a/x.png", 1)
    save(tmp_path / "elsewhere/y.png", 1)
    (tmp_path / "a/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a/round").symlink_to(tmp_path / "a")
    (tmp_path / "a/lost.txt").symlink_to("nowhere")
    os.mkfifo(tmp_path / "a/pipe.png")
    job = plan_job([str(tmp_path / "a")], tmp_path / "out")
    assert below_of(job) == ["linked/y.png", "x.png"]
    assert sorted(file.name for file in job.passed_over) == ["lost.txt", "pipe.png"]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["images/0.png", "images/1.png"], ["masks/0.png", "masks/1.png"]),
        (["img/0.jpg", "img/1.jpg"], ["labels/0_mask.png", "labels/1_mask.png"]),
        (["train/images/0.png", "val/images/0.png"], ["train/gt/0.png", "val/gt/0.png"]),
        (["0.jpg", "1.jpg"], ["masks/0.png", "masks/1.png"]),
        (["images/0.png", "images/1.png"], ["masks/1.png"]),
        (["images/0.png", "more/0.png", "photos/1.png"], []),
        (["masks/0.png", "masks/1.png"], []),
        (["images/0.png", "masks/5.png"], []),
    ],
)
def test_masks_beside_their_images_are_noticed(
    tmp_path: Path, images: list[str], masks: list[str]
) -> None:
    for number, name in enumerate([*images, *masks]):
        save(tmp_path / "data" / name, number)
    for given in ([tmp_path / "data"], sorted((tmp_path / "data").iterdir())):
        job = plan_job([*map(str, given)], tmp_path / "out")
        assert sorted(file.relative_to(job.root).as_posix() for file in job.masks) == masks
        assert len(job.images) == len(images) + len(masks)


def test_another_kind_of_output_leaves_what_is_there(tmp_path: Path) -> None:
    save(tmp_path / "a/x.png", 1)
    images = [str(tmp_path / "a")]
    predict_folder(Bright(), plan_job(images, tmp_path / "out", probabilities=True))
    predict_folder(Bright(), plan_job(images, tmp_path / "out", overlays=True))
    assert below(tmp_path / "out/probabilities") == below(tmp_path / "out/masks") == ["x.png"]
    assert below(tmp_path / "out/overlays") == ["x.jpg"]


def test_a_stop_in_the_first_image_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a/s/x.png", 1)
    job = plan_job([str(tmp_path / "a")], tmp_path / "out", overlays=True)

    def stop(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folder, "_sum_of", stop)
        with pytest.raises(KeyboardInterrupt):
            predict_folder(Bright(), job)
    assert not (tmp_path / "out").exists()
    assert predict_folder(Bright(), job).predicted == ["s/x.png"]


def test_what_is_not_ours_is_left_and_the_folder_stays_usable(tmp_path: Path) -> None:
    image = save(tmp_path / "a/x.png", 1)
    job = plan_job([str(tmp_path / "a")], tmp_path / "out")
    predict_folder(Bright(), job)
    (tmp_path / "out/masks/mine.png").touch()
    image.write_text("no image")
    with pytest.raises(DataError, match="no image could be read"):
        predict_folder(Bright(), job)
    assert below(tmp_path / "out/masks") == ["mine.png"]
    save(tmp_path / "a/x.png", 1)
    assert predict_folder(Bright(), job).predicted == ["x.png"]


def test_a_table_of_an_earlier_version_goes_on_or_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a/x.png", 1)
    job = plan_job([str(tmp_path / "a")], tmp_path / "out")
    predict_folder(Bright(), job)
    table = tmp_path / "out/predictions.csv"
    (row,) = read_table(table)
    for left_out in ("black", "output_sum"):
        row = {name: value for name, value in row.items() if name != left_out}
        write_table(table, list(row), [list(row.values())])
        if left_out == "black":
            assert predict_folder(Bright(), job).skipped == ["x.png"]
    with pytest.raises(DataError, match="of an earlier version; pass another folder"):
        predict_folder(Bright(), job)


def test_images_that_differ_in_suffixes_have_a_mask_each(tmp_path: Path) -> None:
    names = ["x.bmp", "x.jpg", "x.jpg.bmp", "x.jpg.bmp.png", "y.png"]
    for seed, name in enumerate(names):
        save(tmp_path / "a" / name, seed)
    outcome = predict_folder(Bright(), plan_job([str(tmp_path / "a")], tmp_path / "out"))
    assert outcome.predicted == names
    expected = ["x.bmp.png", "x.jpg.bmp.png", "x.jpg.bmp.png.png", "x.jpg.png", "y.png"]
    assert below(tmp_path / "out/masks") == expected


def test_an_image_that_is_as_good_as_black_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    bits_12 = np.full((20, 20), 4095, np.uint16)
    Image.fromarray(bits_12).save(tmp_path / "a/x.png")
    save(tmp_path / "a/y.png", 1)
    job = plan_job([str(tmp_path / "a")], tmp_path / "out")
    outcome = predict_folder(Bright(), job)
    assert outcome.black == outcome.unusual == ["x.png"]
    assert predict_folder(Bright(), job).black == ["x.png"]  # it is skipped, and said again


@pytest.mark.parametrize("tile_px", [None, 100])
@pytest.mark.parametrize(("height", "width"), [(60, 80), (3000, 4000)])
def test_a_black_image_is_unusual_though_its_networks_agree(
    height: int, width: int, tile_px: int | None
) -> None:
    """Of any size: with a hot pixel and noise, too, as networks see neither."""
    black = np.zeros((height, width, 3), np.uint8)
    hot = np.random.default_rng(0).poisson(1.0, black.shape).astype(np.uint8)
    hot[height // 2, width // 2] = 255
    dark = black.copy()
    dark[: height // 2] = 40
    model = Bright()
    for image, is_black in ((black, True), (hot, height > 100), (dark, False)):
        found = model.predict(image, tile_px=tile_px)
        assert (found.is_black, found.is_unusual) == (is_black, is_black or None)


class Stopping(Bright):
    """A user stops it at the third image."""

    def answer(self, image: Pixels) -> Answer:
        if self.seen == 2:
            raise KeyboardInterrupt
        return super().answer(image)


def test_stopped_and_gone_on_with(images: Path, tmp_path: Path) -> None:
    job = plan_job([str(images)], tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        predict_folder(Stopping(), job)
    assert len(below(tmp_path / "out/masks")) == 2
    outcome = predict_folder(Bright(), job)
    assert (len(outcome.skipped), len(outcome.predicted)) == (2, 3)
    whole = plan_job([str(images)], tmp_path / "whole")
    predict_folder(Bright(), whole)
    for name in MASKS:
        parts = (tmp_path / folder / "masks" / name for folder in ("out", "whole"))
        assert len({path.read_bytes() for path in parts}) == 1


def test_a_draft_of_a_killed_process_is_removed(images: Path, tmp_path: Path) -> None:
    job = plan_job([str(images)], tmp_path / "out")
    predict_folder(Bright(), job)
    draft = tmp_path / "out/masks/b/.c.png.abcd1234.png"
    draft.write_bytes(b"half")
    predict_folder(Bright(), job)
    assert not draft.exists()


def test_unreadable_images_are_listed_and_the_rest_is_done(images: Path, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes(b"nonsense")
    (images / "empty.jpg").write_bytes(b"")
    half = (images / "a.png").read_bytes()
    (images / "half.png").write_bytes(half[: len(half) // 2])
    outcome = predict_folder(Bright(), plan_job([str(images)], tmp_path / "out"))
    assert len(outcome.predicted) == 5
    assert [line.partition(":")[0] for line in outcome.unreadable] == [
        "broken.png",
        "empty.jpg",
        "half.png",
    ]
    assert "cannot be read as an image (the file is empty)." in outcome.unreadable[1]


def test_several_classes_are_several_masks(images: Path, tmp_path: Path) -> None:
    job = plan_job([str(images / "b")], tmp_path / "out", overlays=True)
    predict_folder(Bright(("red/weed", "crop")), job)
    expected = ["c.crop.png", "c.red-weed.png", "d/e.crop.png", "d/e.red-weed.png"]
    assert below(tmp_path / "out" / "masks") == expected
    assert below(tmp_path / "out" / "overlays") == ["c.jpg", "d/e.jpg"]


def test_many_images_take_the_memory_of_one(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    image = Image.fromarray(np.zeros((300, 300, 3), np.uint8))
    for number in range(60):
        image.save(tmp_path / "images" / f"{number}.png")

    def peak(pattern: str, out: str) -> int:
        job = plan_job([str(tmp_path / "images" / pattern)], tmp_path / out)
        tracemalloc.start()
        predict_folder(Bright(), job)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few = peak("1[0-4].png", "few")
    assert peak("*.png", "many") < 1.2 * few


def test_an_overlay_tints_the_mask_and_leaves_the_rest() -> None:
    image = np.full((40, 40, 3), 100, np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    drawn = draw_overlay(image, mask)
    assert (drawn[15, 15] != 100).all()
    assert tuple(drawn[9, 15]) == (255, 230, 0)
    assert (drawn[30:] == 100).all()


def test_an_output_that_is_something_else(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--out .*: lies within .*; pass a folder beside it"):
        plan_job([str(images)], images / "masks")
    with pytest.raises(DataError, match="lies within"):
        plan_job([str(images)], images)
    with pytest.raises(DataError, match="an image within --out"):
        plan_job([str(images / "b" / "c.png")], images)
    with pytest.raises(DataError, match="no such file or folder, and no file fits it"):
        plan_job([str(tmp_path / "nowhere")], tmp_path / "out")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="no images below; expected files that end"):
        plan_job([str(tmp_path / "bare")], tmp_path / "out")
    job = plan_job([str(images)], tmp_path / "out")
    predict_folder(Bright(), job)
    with pytest.raises(DataError, match="has masks of another model or of other --tiles"):
        predict_folder(Bright(digest="other"), job)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years")
    with pytest.raises(DataError, match="is there and not of this command; pass a new folder"):
        predict_folder(Bright(), plan_job([str(images)], tmp_path / "full"))
    assert below(tmp_path / "full") == ["thesis.tex"]


def test_tiles_come_through(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    image = faces(1, 150, 200)[0]
    Image.fromarray(image).save(tmp_path / "images" / "large.png")
    model = Bright()
    job = plan_job([str(tmp_path / "images")], tmp_path / "out", tile_px=64)
    predict_folder(model, job)
    assert model.seen > 6
    mask = np.asarray(Image.open(tmp_path / "out/masks/large.png")) > 0
    whole = Bright().predict(image).mask
    assert (mask == whole).mean() > 0.999


def test_images_no_larger_than_a_tile_are_predicted_whole_and_said(tmp_path: Path) -> None:
    for name, side in (("small.png", 64), ("large.png", 65)):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(faces(1, side, 40)[0]).save(tmp_path / "images" / name)
    job = plan_job([str(tmp_path / "images")], tmp_path / "out", tile_px=64)
    assert predict_folder(Bright(), job).whole == ["small.png"]
    assert predict_folder(Bright(), job).whole == ["small.png"]  # what is there is said again
    plain = plan_job([str(tmp_path / "images")], tmp_path / "plain")
    assert predict_folder(Bright(), plain).whole == []
    tiled, alone = (tmp_path / folder / "masks/small.png" for folder in ("out", "plain"))
    assert tiled.read_bytes() == alone.read_bytes()


# The command


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_the_command(images: Path, tmp_path: Path) -> None:
    folder, cache = trained_run()
    (images / "broken.png").write_bytes(b"nonsense")
    done = run(folder, images, "--out", tmp_path / "out", "--cache", cache)
    text = " ".join(done.stdout.split())
    assert done.exit_code == 1  # an image was left out
    assert "Model: bce, the baseline" in text
    assert "Masks of 5 images written" in text
    assert "Expect an IoU of 0." in text
    assert "Left out: broken.png: cannot be read as an image" in text
    assert "1 file passed over as no images: notes.txt" in text
    (images / "broken.png").unlink()
    tiled = run(folder, images, "--out", tmp_path / "big", "--cache", cache, "--tiles", 100_000)
    said = "5 of 5 images are no larger than a tile of 100000 pixels and were predicted whole"
    assert said in " ".join(tiled.stdout.split())
    assert "look like masks" not in text
    save(images / "masks/a.png", 1)
    beside = run(folder, images, "--out", tmp_path / "beside", "--cache", cache)
    said = "1 of 6 images look like masks, such as masks/a.png: they have the names of images"
    assert said in " ".join(beside.stdout.split())
    (images / "masks/a.png").unlink()
    again = run(folder, images, "--out", tmp_path / "out", "--cache", cache)
    assert again.exit_code == 0
    assert "Masks of 0 images written; of 5 they were there" in " ".join(again.stdout.split())
    model = vesica.load(folder, cache=cache)
    mask = np.asarray(Image.open(tmp_path / "out/masks/b/c.png")) > 0
    assert np.array_equal(mask, model.predict(Image.open(images / "b/c.png")).mask)


def test_an_image_as_a_run_is_one_sentence(images: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vesica", "predict", images / "a.png", images]
    done = subprocess.run(
        [*map(str, command), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith(
        "a.png: no model; pass a run's folder, or a .safetensors or .onnx file that `vesica "
        "export` wrote"
    )
    assert not (tmp_path / "out").exists()


def test_onnx_predicts_without_torch(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    folder, cache = trained_run()
    model = vesica.load(folder, cache=cache)
    assert isinstance(model, NetworkModel)
    write_graph(tmp_path / "model.onnx", model)
    code = (
        "import sys; from vesica.cli import app; "
        f"app(['predict', {str(tmp_path / 'model.onnx')!r}, {str(images)!r}, '--out', "
        f"{str(tmp_path / 'out')!r}], standalone_mode=False); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    for name, image in (("a.png.png", "a.png"), ("b/d/e.png", "b/d/e.tif")):
        mask = np.asarray(Image.open(tmp_path / "out/masks" / name)) > 0
        assert (mask == model.predict(Image.open(images / image)).mask).mean() > 0.999
