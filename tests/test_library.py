"""Each data set is opened, hashed and decoded once, and may be a function of the user's own."""

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vesica import own, spelling
from vesica.data import Dataset, arrays, open_dataset, truths
from vesica.data.library import Library
from vesica.data.source import Source
from vesica.errors import DataError

SIZE_PX = 8

SLIDES = """
from pathlib import Path

import numpy as np

from vesica.data import Dataset


def open_slides(level: int = 1, count: int = 40) -> Dataset:
    def read(name):
        value = int(name[1:])
        image = np.full((12, 10, 3), value * level % 256, np.uint8)
        return image, np.indices((12, 10))[0] < 9

    names = [f"s{index:03}" for index in range(count)]
    return Dataset.of(names, read, groups=[name[:3] for name in names])


def not_a_data_set():
    return [1, 2]


def fails():
    return 1 / 0


def takes_target(target: str = "cell") -> Dataset:
    image = np.zeros((4, 4, 3), np.uint8)
    return Dataset.of(["a"], lambda name: (image, image[..., 0] == 0), target=target)
"""


def write_slides(folder: Path, text: str = SLIDES) -> Path:
    file = folder / "mine.py"
    file.write_text(text)
    return file


def make_photos(root: Path, count: int = 30) -> Path:
    rng = np.random.default_rng(0)
    for folder, shape in (("images", (9, 7, 3)), ("masks", (9, 7))):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            values = rng.integers(0, 256, shape, dtype=np.uint8)
            pixels = values if folder == "images" else np.where(values > 127, 255, 0)
            Image.fromarray(pixels.astype(np.uint8)).save(root / folder / f"p{index:02}.png")
    return root


# What is said


def test_one_mask_for_all_images_is_said(tmp_path: Path) -> None:
    root = make_photos(tmp_path / "photos")
    library = Library(tmp_path / "cache")
    assert "same in every pixel" not in str(library.describe(Source(path=str(root)), SIZE_PX, 1))
    first = (root / "masks" / "p00.png").read_bytes()
    for file in (root / "masks").iterdir():
        file.write_bytes(first)
    said = Library(tmp_path / "cache").describe(Source(path=str(root)), SIZE_PX, 1)
    assert any(s.startswith("Warning: All 30 masks are the same in every pixel") for s in said)


# Once


def test_sixteen_settings_of_one_folder_read_each_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_photos(tmp_path / "photos", 90)
    read: Counter[Path] = Counter()
    original = Path.read_bytes

    def count(path: Path) -> bytes:
        read[path] += 1
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", count)
    choices = itertools.product((None, "255"), ("big", "small"), (0, 1), (None, 5))
    sources = [
        Source(path=str(root), foreground=rule, split=split, split_seed=seed, train=train)
        for rule, split, seed, train in choices
    ]
    assert len(sources) == 16
    for library in (Library(tmp_path / "cache"), Library(tmp_path / "cache")):
        for source in sources:
            resolved = library.resolve(source)
            assert library.dataset(resolved) is library.dataset(source)
            assert library.split(resolved) == library.split(source)
    assert set(read.values()) == {1}
    assert len(read) == 2 * 90


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    root = make_photos(tmp_path / "photos")
    source, library = Source(path=str(root)), Library(tmp_path / "cache")
    before = library.dataset(source).fingerprint
    file = root / "images" / "p03.png"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    assert Library(tmp_path / "cache").dataset(source).fingerprint != before
    resolved = library.resolve(source)
    with pytest.raises(DataError, match="have changed since"):
        Library(tmp_path / "cache").dataset(resolved)


def test_arrays_are_decoded_once_for_all_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, library = Source(path=str(make_photos(tmp_path / "photos"))), Library(tmp_path / "c")
    sizes = []

    def count(dataset: Dataset, size_px: int, *given: Any, **more: Any) -> arrays.Arrays:
        sizes.append(size_px)
        return arrays.load_arrays(dataset, size_px, *given, **more)

    monkeypatch.setattr("vesica.data.library.load_arrays", count)
    for seed in range(3):
        one = library.arrays(source.model_copy(update={"split_seed": seed}), SIZE_PX)
        assert one is library.arrays(source, SIZE_PX)
    assert library.arrays(library.resolve(source), SIZE_PX) is one
    assert sizes == [SIZE_PX]
    rows = library.rows(source)
    assert rows.all.tolist() == list(range(30))
    assert not set(rows.train) & set(rows.test)


def test_folds_share_the_arrays_and_test_every_row_once(tmp_path: Path) -> None:
    source, library = Source(path=str(make_photos(tmp_path / "photos"))), Library(tmp_path / "c")
    folds = [source.model_copy(update={"folds": 3, "fold": fold}) for fold in range(3)]
    rows = [library.rows(fold) for fold in folds]
    assert np.sort(np.concatenate([row.test for row in rows])).tolist() == list(range(30))
    assert all(library.arrays(fold, SIZE_PX) is library.arrays(source, SIZE_PX) for fold in folds)


def test_small_objects_are_warned_of_by_the_networks_stride(tmp_path: Path) -> None:
    library, source = Library(tmp_path), Source(path="generated:num=60:size=64:density=0.05")
    warnings = [
        [sentence for sentence in library.describe(source, 64, stride) if "blurred" in sentence]
        for stride in (1, 32)
    ]
    assert warnings[0] == []
    assert "one value for every 32: expect blurred outlines" in warnings[1][0]


def test_masks_that_are_all_foreground_are_warned_of(tmp_path: Path) -> None:
    source = Source(path=str(make_photos(tmp_path / "photos")))
    library = Library(tmp_path / "cache")
    split, samples = library.split(source), library.dataset(source).samples
    for rows in ([*split.train, *split.val], split.test):
        for row in rows:
            Image.new("L", (7, 9), 255).save(samples[row].files[1])
        if rows is not split.test:
            said = Library(tmp_path / "cache").describe(source, SIZE_PX, 1)
            assert [line for line in said if "training masks are all foreground" in line]
    with pytest.raises(DataError, match="All 30 masks are foreground throughout"):
        Library(tmp_path / "cache").describe(source, SIZE_PX, 1)


# A user's own


def test_a_function_of_the_users_own(tmp_path: Path) -> None:
    path = f"{write_slides(tmp_path)}:open_slides:level=2"
    source, library = Source(path=path), Library(tmp_path / "cache")
    dataset = library.dataset(source)
    assert spelling.shown(dataset.format) == "mine.py:open_slides:level=2" == source.name
    assert str(tmp_path) not in dataset.format
    assert len(dataset.samples) == 40
    images = library.arrays(source, SIZE_PX).images
    assert (images[:, 0, 0, 0] == 2 * np.arange(40)).all()
    split = library.split(source)
    tens = [{dataset.samples[i].group for i in part} for part in (split.train, split.val)]
    assert not tens[0] & tens[1]
    assert library.describe(source, SIZE_PX, 1)[0].startswith(
        "foreground, as mine.py:open_slides:level=2 gives it: 40 images; "
    )


def test_its_options_and_its_file_are_its_identity(tmp_path: Path) -> None:
    file = write_slides(tmp_path)

    def prints(*texts: str) -> list[tuple[str, str]]:
        opened = (open_dataset(f"{file}:open_slides{text}") for text in texts)
        return [(dataset.fingerprint, dataset.format) for dataset in opened]

    plain, default, two = prints("", ":level=1", ":level=2")
    assert plain == default
    assert plain[0] != two[0]
    write_slides(tmp_path, SLIDES + "\n# changed\n")
    (changed,) = prints("")
    assert changed[0] != plain[0]
    assert changed[1] != plain[1]


ELSEWHERE = """
import json, sys
from pathlib import Path
from vesica import own
from vesica.data.library import Library
from vesica.data.source import Source
from vesica.errors import DataError

given = json.loads(sys.argv[1])
own.add_files({digest: Path(file) for digest, file in given["files"].items()})
source, library = Source.model_validate_json(given["source"]), Library(Path(given["cache"]))
try:
    masks = library.arrays(source, 8).masks
    print(library.dataset(source).fingerprint, int(masks.sum()))
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("is_named", [True, False])
def test_another_process_runs_it_only_if_it_was_named(is_named: bool, tmp_path: Path) -> None:
    source = Source(path=f"{write_slides(tmp_path)}:open_slides")
    resolved = Library(tmp_path / "cache").resolve(source).model_copy(update={"path": "gone.py:f"})
    files = own.files_of(spelling.digests_in(resolved.format)) if is_named else {}
    given = {
        "files": {digest: str(file) for digest, file in files.items()},
        "source": resolved.model_dump_json(),
        "cache": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-c", ELSEWHERE, json.dumps(given)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if is_named:
        assert answer == f"{resolved.fingerprint} {40 * SIZE_PX**2 * 3 // 4}\n"
    else:
        assert "this command does not name the file" in answer


@pytest.mark.parametrize("format", ["auto", "folder", "mine.py:open_slides"])
def test_a_plan_never_runs_a_file_by_its_path(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_slides(tmp_path, "open('ran', 'w')\n" + SLIDES)
    source = Source(path="mine.py:open_slides", format=format, fingerprint="f" * 64)
    with pytest.raises(DataError):
        Library(tmp_path / "cache").dataset(source)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("spelled", "options", "message"),
    [
        ("", {}, "a file of functions. Name one of them"),
        (":not_there", {}, "no function 'not_there'; it has: Dataset"),
        (":open_slides:levl=2", {}, "no parameter 'levl'; it has: level, count"),
        (":open_slides:level=x", {}, "expected a whole number"),
        (":not_a_data_set", {}, "gives list, expected a data set; return vesica.data.Dataset.of"),
        (":fails", {}, "ZeroDivisionError: division by zero; mend the function"),
        (":open_slides", {"target": "face"}, "whose target is 'foreground'. Leave it out"),
        (":open_slides", {"group": "s"}, "--group makes no sense for mine.py:open_slides"),
        (":open_slides", {"foreground": "1"}, "--foreground makes no sense"),
        (":open_slides", {"format": "lfw"}, "--format makes no sense"),
    ],
)
def test_what_is_wrong_with_a_users_own(
    spelled: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = write_slides(tmp_path)
    with pytest.raises(DataError) as caught:
        open_dataset(f"{file}{spelled}", **options)
    if "no function" in message:
        message = "no function 'not_there'; it has: "
    assert message in str(caught.value)


def test_its_target_is_an_option(tmp_path: Path) -> None:
    file = write_slides(tmp_path)
    dataset = open_dataset(f"{file}:takes_target:target=hair")
    assert dataset.target == "hair"
    again = open_dataset(str(file), format=dataset.format, target="hair")
    assert again.fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    ("spelled", "message"),
    [
        ("generated:nmu=5", "no parameter 'nmu'; it has: num, size, seed, density, target"),
        ("generated:num=many", "num=many: expected a whole number"),
        ("generated:num=0", "ask for 1 to 1000000"),
        ("generated:density=2", "choose a fraction"),
        ("generated:target=nose", "choose one of face, face+hair"),
    ],
)
def test_what_is_wrong_with_generated(spelled: str, message: str) -> None:
    with pytest.raises(DataError, match=message.replace("+", r"\+")):
        open_dataset(spelled)


@pytest.mark.parametrize(
    "path",
    [
        *("~nobody_of_this_name/x", "~nobody_of_this_name/m.py:f", "a\0b", "x" * 5000),
        *("mine.py:", "mine.py:f", "mine.py:f:", "<f>", f"m.py:f{':a=1' * 9000}"),
        *("generatd:num=4", "generated:", "generated:num=\u0663", "generated:num=1:num=2"),
        f"generated:num={'9' * 10_000}",
    ],
)
def test_what_cannot_be_opened_is_one_sentence(path: str) -> None:
    with pytest.raises(DataError) as caught:
        Library().dataset(Source(path=path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert Source(path=path).name


def test_target_of_generated() -> None:
    plain, hair = (open_dataset("generated:num=9", target=t) for t in (None, "face+hair"))
    assert (plain.target, hair.target) == ("face", "face+hair")
    assert open_dataset("generated:num=9:target=face+hair").target == "face+hair"


# Dataset.of

IMAGE = np.zeros((4, 5, 3), np.uint8)
MASK = np.ones((4, 5), np.bool_)


def open_with(image: Any = IMAGE, mask: Any = MASK, **options: Any) -> Dataset:
    return Dataset.of(["a", "b"], lambda name: (image, mask), **options)


@pytest.mark.parametrize("mask", [MASK, MASK.astype(np.int64), MASK.astype(np.uint8).tolist()])
def test_masks_are_bool_or_0_and_1(mask: Any) -> None:
    dataset = open_with(mask=mask)
    _, read, _ = dataset.load(dataset.samples[0])
    assert read.dtype == np.bool_
    assert read.all()


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (IMAGE[..., 0], MASK, r"a: the image is uint8 of shape \(4, 5\), expected uint8"),
        (IMAGE / 255, MASK, "a: the image is float64"),
        (IMAGE[..., :2], MASK, "expected uint8 of shape"),
        (IMAGE[:0], MASK[:0], "expected uint8 of shape"),
        (None, MASK, "a: the image is object"),
        (IMAGE, MASK.T, r"the mask has shape \(5, 4\), but the image has \(4, 5\)"),
        (IMAGE, MASK[..., None], "the mask has shape"),
        (IMAGE, MASK * 255, "the mask is int64, 255 to 255; expected bool, or whole"),
        (IMAGE, MASK * np.nan, "the mask is float64, nan to nan"),
        (IMAGE, MASK.astype(str), "the mask is <U5; expected bool"),
    ],
)
def test_what_read_gives_is_checked(image: Any, mask: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_with(image, mask)


def test_what_read_raises_names_the_sample() -> None:
    def read(name: str) -> tuple[Any, Any]:
        if name == "b":
            raise KeyError("level 3")
        return IMAGE, MASK

    with pytest.raises(DataError, match="b: KeyError: 'level 3'; mend the function"):
        Dataset.of(["a", "b"], read)
    with pytest.raises(DataError, match=r"a: read gives NoneType, expected \(image, mask\)"):
        Dataset.of(["a"], lambda name: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "without names"),
        (["a", "b", "a"], {}, "the name 'a' is given 2 times"),
        (["a", ""], {}, "the name ''"),
        (["a\x1b[2J"], {}, "expected a word that can be printed"),
        ([3], {}, "the name 3"),
        (["a"], {"groups": ["x", "y"]}, "2 groups for 1 names"),
        (["a"], {"parts": ["dev"]}, "parts 'dev': expected train, val, test or None"),
        (["a"], {"files": ["nowhere.png"]}, "nowhere.png: no such file"),
    ],
)
def test_what_is_wrong_with_names(names: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        Dataset.of(names, lambda name: (IMAGE, MASK), **options)
    assert message in str(caught.value)


def test_files_make_it_lazy(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.raw" for name in "ba"]
    for file in files:
        file.write_bytes(file.stem.encode())

    def read(name: str) -> tuple[Any, Any]:
        raise AssertionError(name)

    dataset = Dataset.of("ba", read, files=files, parts=["train", None])
    assert [sample.name for sample in dataset.samples] == ["a", "b"]
    assert [sample.part for sample in dataset.samples] == [None, "train"]
    assert [sample.group for sample in dataset.samples] == ["a", "b"]
    files[0].write_bytes(b"another")
    changed = Dataset.of("ba", read, files=files, parts=["train", None])
    assert changed.fingerprint != dataset.fingerprint


def test_pixels_are_its_fingerprint_without_files() -> None:
    prints = {
        open_with().fingerprint,
        open_with(IMAGE + 1).fingerprint,
        open_with(mask=~MASK).fingerprint,
        open_with(parts=["train", "test"]).fingerprint,
    }
    assert len(prints) == 4
    assert open_with().fingerprint in prints


# Masks at their own size


@pytest.mark.parametrize(("max_bytes", "num_read"), [(10**9, 4), (0, 8), (30, 7)])
def test_true_masks_are_read_once_as_far_as_memory_goes(
    max_bytes: int, num_read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, read_names = np.random.default_rng(0), []
    masks = {str(n): rng.random((9, 11)) < 0.5 for n in range(4)}
    void = {str(n): rng.random((9, 11)) < 0.9 for n in range(4)}

    def read(name: str) -> tuple[Any, Any, Any]:
        read_names.append(name)
        return np.zeros((9, 11, 3), np.uint8), masks[name] & void[name], void[name]

    dataset = Dataset.of(list(masks), read, has_void=True, files=[[]] * 4)
    monkeypatch.setattr(truths, "MAX_BYTES", max_bytes)
    known = truths.Truths()
    read_names.clear()
    for row in [0, 1, 2, 3] * 2:
        found, valid = known.of(dataset, row)
        assert np.array_equal(found[0], masks[str(row)] & void[str(row)])
        assert valid is not None
        assert np.array_equal(valid, void[str(row)])
        assert found.dtype == valid.dtype == np.bool_
    assert len(read_names) == num_read
    assert known.num_bytes <= max_bytes
