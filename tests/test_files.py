"""Files are whole or not there, and say when they are not what was written."""

import errno
import json
import math
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from vesica.errors import DataError
from vesica.files import (
    SUMS,
    check,
    check_all,
    read_bytes,
    read_json,
    read_text,
    remove_drafts,
    replacing,
    write_json,
    write_text,
)

READERS: list[Callable[[Path], Any]] = [read_bytes, read_text, read_json, check]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != SUMS)


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


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("bit", [0, 7, 20, 47])
def test_every_reader_notices_one_changed_bit(
    bit: int, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    write_text(tmp_path / "a.json", "[1234]")
    read(tmp_path / "a.json")
    flip(tmp_path / "a.json", bit)
    with pytest.raises(DataError, match=r"a\.json: damaged .* delete it and run the same command"):
        read(tmp_path / "a.json")
    with pytest.raises(DataError, match="damaged"):
        check_all(tmp_path)


def test_what_was_computed_together_is_deleted_together(tmp_path: Path) -> None:
    run = tmp_path / "my run"
    cell = run / "cells" / "ab12"
    again = f"delete {cell} and train it again: vesica run '{run}'"
    judged = f"delete it and judge the run again: vesica report '{run}'"
    for file, advice in (
        (cell / "scores.csv", again),
        (cell / "beside" / "scores.csv", again),  # deleted alone it would not come back
        (cell / "result.json", f"delete it and train it again: vesica run '{run}'"),
        (run / "results.json", judged),
        (run / "plan.json", "delete it and run the command that made the run again"),
        (tmp_path / "cells" / "ab12" / "scores.csv", "delete it and run the same command again"),
    ):
        for path in (cell / "result.json", run / "plan.json", file):
            write_text(path, "1")
        flip(file, 0)
        with pytest.raises(DataError, match=re.escape(f"{file}: damaged (") + ".*" + advice):
            read_text(file)
        write_text(file, "1")


def test_the_sums_have_a_sum_themselves(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "content")
    whole = (tmp_path / SUMS).read_bytes()
    for bit in range(0, 8 * len(whole), 3):
        flip(tmp_path / SUMS, bit)
        is_same = False
        with suppress(ValueError):
            is_same = json.loads((tmp_path / SUMS).read_bytes()) == json.loads(whole)
        with nullcontext() if is_same else pytest.raises(DataError, match=f"{SUMS}: damaged"):
            read_text(tmp_path / "a.txt")
        (tmp_path / SUMS).write_bytes(whole)
    (tmp_path / SUMS).write_bytes(b"")
    with pytest.raises(DataError, match=f"{SUMS}: damaged"):
        write_text(tmp_path / "b.txt", "more")


def test_what_has_no_sum_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("earlier")
    assert read_text(tmp_path / "a.txt") == "earlier"
    write_text(tmp_path / "b.txt", "with a sum")
    assert read_text(tmp_path / "a.txt") == "earlier"
    check_all(tmp_path)


@pytest.mark.parametrize("is_summed", [True, False])
@pytest.mark.parametrize("num_renames", range(6))
def test_a_stop_between_two_renames_is_no_damage(
    num_renames: int, is_summed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, before = tmp_path / "a.txt", tmp_path / "before.txt"
    write_text(before, "older")
    write_text(target, "old")
    if not is_summed:
        (tmp_path / SUMS).unlink()
    with monkeypatch.context() as patch:
        left = [True] * num_renames
        rename = Path.replace

        def stop(path: Path, to: Path) -> Path:
            if not left:
                raise KeyboardInterrupt
            left.pop()
            return rename(path, to)

        patch.setattr(Path, "replace", stop)
        try:
            with replacing(target, before=before) as path:
                path.write_text("new")
        except KeyboardInterrupt:
            assert num_renames < 4
    contents = [read_text(path) for path in (target, before) if path.exists()]
    assert contents in (["old", "older"], ["old"], ["new", "old"])
    write_text(target, "newest")
    assert read_text(target) == "newest"
    check_all(tmp_path)


FULL = [
    OSError(errno.ENOSPC, "No space left on device", ".a.txt.1234"),
    OSError(errno.EFBIG, "File too large"),
    SafetensorError("I/O error: No space left on device (os error 28)"),
]


def test_a_file_for_a_folder_and_a_folder_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"x\.txt: .*a\.txt is a file and no folder; pass another"):
        write_text(tmp_path / "a.txt" / "inner" / "x.txt", "text")
    with (
        pytest.raises(DataError, match=r"b: is a folder; pass a file"),
        replacing(tmp_path / "b", has_sum=False) as path,
    ):
        path.write_text("text")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.txt", "b"]


@pytest.mark.parametrize("problem", FULL, ids=["disk", "limit", "safetensors"])
def test_a_full_disk_is_one_sentence(problem: Exception, tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    expected = r"a\.txt: a file of 3\.0 MB cannot be written .* the disk / has .* make room"
    if tmp_path.is_mount() or tmp_path.parents[-2].is_mount():
        expected = expected.replace("/ ", "/.* ")
    with (
        pytest.raises(DataError, match=expected) as raised,
        replacing(tmp_path / "a.txt", 3_000_000),
    ):
        raise problem
    assert "\n" not in str(raised.value)
    assert read_text(tmp_path / "a.txt") == "old"
    assert names(tmp_path) == ["a.txt"]


KILLED = """
import os, sys, pathlib
from vesica.files import replacing
with replacing(pathlib.Path(sys.argv[1])) as path:
    path.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_drafts_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("on Windows, what is closed counts as left")
    (tmp_path / ".hidden").write_text("a user's")
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.csv")], check=False)
    assert len(names(tmp_path)) == 2
    with replacing(tmp_path / "b.csv") as path:
        remove_drafts(tmp_path)
        assert names(tmp_path) == sorted([path.name, ".hidden"])
        path.write_text("whole")
    assert names(tmp_path) == [".hidden", "b.csv"]
