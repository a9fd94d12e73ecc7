"""Files are whole or not there."""

import math
import stat
from pathlib import Path

import pytest

from vesica.files import read_json, replacing, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_success_replaces(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with replacing(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_draft_lies_beside_its_target_and_keeps_the_suffix(tmp_path: Path) -> None:
    # A rename is atomic only within a file system; numpy adds a suffix where it is missing.
    with replacing(tmp_path / "a.npy") as path:
        assert path.parent == tmp_path
        assert path.suffix == ".npy"
        assert path.name.startswith(".")


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_the_old_file_and_no_litter(
    tmp_path: Path, problem: type[BaseException]
) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half() -> None:
        with replacing(target) as path:
            path.write_text("half")
            raise problem

    with pytest.raises(problem):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_exception_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.txt"):
        raise RuntimeError
    assert names(tmp_path) == []


def test_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "b" / "c" / "a.txt", "text")
    assert (tmp_path / "b" / "c" / "a.txt").read_text() == "text"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with replacing(target) as first, replacing(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_others_may_read(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "text")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Müller → 1\n")
    assert (tmp_path / "a.txt").read_bytes() == "Müller → 1\n".encode()


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"b": [1, 0.1, 1e-300, None, True], "a": {"ü": "→"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_has_no_nan(tmp_path: Path, number: float) -> None:
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": [number]})
    assert read_json(tmp_path / "a.json") == [1]
    assert names(tmp_path) == ["a.json"]
