"""What `vesica cache` lists and clears."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vesica.__main__ import app
from vesica.cached import find_entries, locked, remove_entries
from vesica.data.arrays import load_arrays
from vesica.data.library import default_cache
from vesica.data.synthetic import open_faces
from vesica.errors import DataError
from vesica.store import fill

ABOUT = {"what": "frozen layers", "data": "faces", "model": "bfcn32s"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    load_arrays(open_faces(10, size_px=32), 32, tmp_path)
    folder = tmp_path / "trunk" / "abcdef012345"
    fill(folder, 40, np.arange(20), lambda span: [torch.zeros(40, 2)[span]], about=ABOUT)
    return tmp_path


def test_entries_say_what_they_are(cache: Path) -> None:
    images, features = find_entries(cache)
    assert (images.what, images.of, images.done) == (
        "decoded images",
        "faces, face, 10 images, 32x32",
        "all",
    )
    assert (features.what, features.of, features.done) == (
        "frozen layers",
        "faces, bfcn32s",
        "32 of 40",
    )
    assert images.num_bytes >= 10 * 32 * 32 * 4


def test_clearing_one_leaves_the_others(cache: Path) -> None:
    num_bytes, in_use = remove_entries(find_entries(cache, ["abc"]))
    assert num_bytes > 0
    assert in_use == []
    assert [entry.what for entry in find_entries(cache)] == ["decoded images"]


def test_what_is_being_computed_stays(cache: Path) -> None:
    entries = find_entries(cache, ["abc"])
    with locked(entries[0].folder, None):
        assert remove_entries(entries) == (0, entries)
    assert (entries[0].folder / "rows.npy").exists()


@pytest.mark.parametrize("key", ["zzz", ""])
def test_an_unknown_key_is_named(key: str, cache: Path) -> None:
    with pytest.raises(DataError, match="no entry"):
        find_entries(cache, [key])


def test_a_damaged_entry_is_listed(cache: Path) -> None:
    folder = cache / "trunk" / "abcdef012345"
    (folder / "rows.npy").write_bytes(b"")
    (folder / "about.json").write_text("{")
    assert find_entries(cache, ["abc"])[0].done == "damaged"


def test_the_command(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESICA_CACHE", str(cache))
    assert default_cache() == cache
    listed = CliRunner().invoke(app, ["cache"], env={"COLUMNS": "200"})
    assert "32 of 40" in listed.output
    assert "2 entries" in listed.output
    assert isinstance(CliRunner().invoke(app, ["cache", "abc"]).exception, DataError)
    cleared = CliRunner().invoke(app, ["cache", "--clear"])
    assert "Cleared" in cleared.output
    assert find_entries(cache) == []
    assert "0 entries" in CliRunner().invoke(app, ["cache"]).output
