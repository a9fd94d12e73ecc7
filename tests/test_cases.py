"""Folders as people really have them: read as they are meant, or refused with what to pass.

Whatever a message proposes is passed, and must read the true masks; what it asks is answered by
`ANSWERS`, as the user would who knows the images.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from realdata import require_script

from vesica.data import open_dataset
from vesica.data.library import Library
from vesica.data.sample import Dataset
from vesica.data.source import Source
from vesica.errors import DataError

NUM_IMAGES = 24

READ = (
    "palette_white_first",
    "palette_order_varies",
    "jpeg_masks",
    "float_masks",
    "red_on_black",
    "twelve_bits",
    "composed_and_decomposed_names",
    "bytes_in_a_name",
    "suffix_and_case",
    "pairs_in_one_folder",
    "gif_masks_first_manual",
    "train_and_test_alone",
)
SAID = {
    "mixed_conventions": ("12 with 0 and 1", "12 with 0 and 255"),
    "exif_square": ("24 of 24 images are turned by their EXIF", "as stored would not fit"),
    "duplicates": ("12 images occur more than once", "leakage"),
}
REFUSED = {
    "object_in_alpha": ("24 of 24 masks", "alpha channel alone"),
    "object_in_alpha_of_some": ("5 of 24 masks", "masks/00.png, masks/05.png, masks/10.png"),
    "void_border": ("255 beside 0 and 1 looks like pixels to be left out",),
    "trimap": ("1 (", "2 (", "3 (", "Which is the object?", "3 looks like a border"),
    "mixed_conventions_and_an_option": ("12 of 24 masks hold 1 and nothing that is 255",),
    "unknown_masks": ("24 .jpg", "24 .dat"),
}
"""What a message must make clear."""

ANSWERS: dict[str, dict[str, Any]] = {
    "object_in_alpha": {"foreground": "alpha"},
    "object_in_alpha_of_some": {"foreground": "alpha"},
    "void_border": {"ignore": "255"},
    "trimap": {"foreground": "1", "ignore": "3"},
    "mixed_conventions_and_an_option": {},
}
"""The options that a message proposes to who means the true masks."""


def make(name: str, tmp_path: Path) -> tuple[Path, dict[str, NDArray[np.bool_]], dict[str, Any]]:
    """A case's folder, true masks by number, and what must happen."""
    script = require_script("cases/make_inputs.py")
    subprocess.run([sys.executable, script, tmp_path, name], check=True, capture_output=True)
    with np.load(tmp_path / name / "truth.npz") as true:
        truth = dict(true)
    return (
        tmp_path / name / "data",
        truth,
        json.loads((tmp_path / name / "expect.json").read_text()),
    )


def options_of(words: list[str]) -> dict[str, Any]:
    return {
        name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)
    }


def assert_true(dataset: Dataset, truth: dict[str, NDArray[np.bool_]]) -> None:
    """Every mask is the true one, wherever it counts."""
    assert len(dataset.samples) >= NUM_IMAGES - 1
    for sample in dataset.samples:
        number = re.search(r"\d\d", sample.files[0].name)
        _, mask, *valid = dataset.read(sample)
        where = valid[0] if valid else np.ones_like(mask)
        true = truth[number[0] if number else "00"]
        assert (mask[where] == true[where]).all(), sample.name
        assert where.mean() > 0.9


@pytest.mark.parametrize("name", READ)
def test_is_read_as_it_is_meant(name: str, tmp_path: Path) -> None:
    data, truth, expected = make(name, tmp_path)
    assert (expected["how"], expected["options"]) == ("reads", [])
    assert_true(open_dataset(data), truth)


@pytest.mark.parametrize("name", SAID)
def test_is_read_and_said(name: str, tmp_path: Path) -> None:
    data, truth, expected = make(name, tmp_path)
    assert expected["how"] == "warns"
    assert_true(open_dataset(data), truth)
    notes = "\n".join(Library(tmp_path / "cache").describe(Source(path=str(data)), 32, 1))
    for text in SAID[name]:
        assert text in notes


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_and_the_remedy_reads_the_truth(name: str, tmp_path: Path) -> None:
    data, truth, expected = make(name, tmp_path)
    assert expected["how"] == "refuses"
    with pytest.raises(DataError) as caught:
        open_dataset(data, **options_of(expected["options"]))
    message = str(caught.value)
    for text in REFUSED[name]:
        assert text in message
    if name in ANSWERS:
        words = [f"--{key} {value}" for key, value in ANSWERS[name].items()]
        assert (" ".join(words) or "Leave --foreground out") in message
        assert_true(open_dataset(data, **ANSWERS[name]), truth)


def test_the_border_of_a_trimap_is_not_proposed(tmp_path: Path) -> None:
    data, _, _ = make("trimap", tmp_path)
    with pytest.raises(DataError) as caught:
        open_dataset(data)
    proposed = re.findall(r"--foreground (\S+)", str(caught.value))
    assert [text.rstrip(".,;") for text in proposed] == ["1", "2"]


def test_every_case_is_a_test(tmp_path: Path) -> None:
    script = require_script("cases/make_inputs.py")
    names = re.findall(r"^def (\w+)\(data\)", Path(script).read_text(), re.MULTILINE)
    assert sorted(names) == sorted([*READ, *SAID, *REFUSED])


def test_twelve_bits_keep_their_contrast(tmp_path: Path) -> None:
    data, _, _ = make("twelve_bits", tmp_path)
    dataset = open_dataset(data)
    assert "use 12 of them, up to 3344: 4095 is read as white" in " ".join(dataset.notes)
    assert dataset.settled["depth"] == 12
    for sample in dataset.samples:
        with Image.open(sample.files[0]) as image:
            stored = np.asarray(image).astype(float)
        found = dataset.read(sample)[0]
        assert (found == np.floor(stored * 255 / 4095 + 0.5)[..., np.newaxis]).all()
    dark = open_dataset(data, depth=16)
    assert dark.read(dark.samples[0])[0].max() < 20
    assert dark.fingerprint != dataset.fingerprint
