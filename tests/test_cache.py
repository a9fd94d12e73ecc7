"""Rows on disk: computed once, never wrong, shared by processes; what `vesica cache` does."""

import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from vesica import cache as cache_module
from vesica.__main__ import app
from vesica.cache import (
    BLOCK,
    count_rows,
    default_cache,
    find_entries,
    remove_entries,
)
from vesica.data.arrays import load_arrays
from vesica.data.synthetic import open_faces
from vesica.errors import DataError
from vesica.features import Stored, from_fields, row_of, to_fields
from vesica.locks import LOCK, holder_of, locked

NUM = 3 * BLOCK + 5
ALL = np.arange(NUM)


def fill(
    folder: Path,
    num_rows: int,
    rows: Any,
    compute: Callable[[slice], Sequence[Tensor]],
    **more: Any,
) -> tuple[Stored, ...]:
    """Keep tensors, as the trunk's are."""

    def fields(span: slice) -> dict[str, Any]:
        return to_fields(compute(span))

    def row() -> np.dtype[Any]:
        return row_of(fields(slice(0, 1)))

    return from_fields(cache_module.fill(folder, num_rows, rows, fields, row=row, **more))


class Source:
    """Tensors of every kind, and a record of which rows were asked for."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        real = torch.randn((NUM, 3, 2), generator=generator)
        whole = torch.randint(-(2**30), 2**30, (NUM, 4), generator=generator)
        self.tensors = [
            real,
            real.bfloat16(),
            whole,
            whole.to(torch.int8),
            whole.to(torch.uint8),
            whole > 0,
        ]
        self.asked: list[slice] = []

    def __call__(self, span: slice) -> Sequence[Tensor]:
        self.asked.append(span)
        return [tensor[span] for tensor in self.tensors]


def equal(found: Sequence[Stored], source: Source, rows: Sequence[int]) -> None:
    for stored, tensor in zip(found, source.tensors, strict=True):
        assert stored.dtype == tensor.dtype
        assert torch.equal(stored.rows(np.array(rows)), tensor[list(rows)])


def test_every_type_is_kept_without_loss(tmp_path: Path) -> None:
    source = Source()
    equal(fill(tmp_path, NUM, ALL, source, about={}), source, [0, 40, 7, NUM - 1, 7])


def test_a_block_is_computed_once(tmp_path: Path) -> None:
    source = Source()
    fill(tmp_path, NUM, np.array([0, BLOCK - 1, 2 * BLOCK]), source, about={})
    assert source.asked == [slice(0, 1), slice(0, BLOCK), slice(2 * BLOCK, 3 * BLOCK)]
    assert count_rows(tmp_path) == (2 * BLOCK, NUM)
    source.asked.clear()
    equal(fill(tmp_path, NUM, ALL, source, about={}), source, range(NUM))
    assert source.asked == [slice(BLOCK, 2 * BLOCK), slice(3 * BLOCK, 4 * BLOCK)]
    assert count_rows(tmp_path) == (NUM, NUM)


def test_one_changed_bit_is_noticed_and_mended(tmp_path: Path) -> None:
    source = Source()
    fill(tmp_path, NUM, ALL, source, about={})
    data = bytearray((tmp_path / "rows.npy").read_bytes())
    row_bytes = np.load(tmp_path / "rows.npy", mmap_mode="r").dtype.itemsize
    data[-row_bytes * 30] ^= 1  # in the second block from the end
    (tmp_path / "rows.npy").write_bytes(data)
    source.asked.clear()
    equal(fill(tmp_path, NUM, ALL, source, about={}), source, range(NUM))
    assert len(source.asked) == 1


@pytest.mark.parametrize("name", ["rows.npy", "blocks.npy"])
@pytest.mark.parametrize("length", [0, 100, 200, None])
def test_a_damaged_file_is_made_anew(name: str, length: int | None, tmp_path: Path) -> None:
    source = Source()
    fill(tmp_path, NUM, ALL, source, about={})
    if length is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:length])
    equal(fill(tmp_path, NUM, ALL, source, about={}), source, range(NUM))


def test_another_number_of_rows_is_another_file(tmp_path: Path) -> None:
    source = Source()
    fill(tmp_path, NUM, ALL, source, about={})
    equal(fill(tmp_path, 20, np.arange(20), source, about={}), source, range(20))


@pytest.mark.parametrize("name", ["rows.npy", "blocks.npy"])
def test_a_changed_bit_of_a_header_is_noticed(name: str, tmp_path: Path) -> None:
    source = Source()
    fill(tmp_path, NUM, ALL, source, about={})
    whole = (tmp_path / name).read_bytes()
    offset = np.load(tmp_path / name, mmap_mode="r").offset
    for bit in range(0, 8 * offset, 7):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        (tmp_path / name).write_bytes(data)
        with warnings.catch_warnings(action="ignore"):  # NumPy's, of headers of Python 2
            equal(fill(tmp_path, NUM, ALL, source, about={}), source, range(NUM))


def test_a_stop_loses_only_the_block_under_way(tmp_path: Path) -> None:
    source = Source()

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, NUM, ALL, source, about={}, progress=stop)
    assert count_rows(tmp_path) == (2 * BLOCK, NUM)
    source.asked.clear()
    equal(fill(tmp_path, NUM, ALL, source, about={}), source, range(NUM))
    assert len(source.asked) == 2


def test_a_full_disk_leaves_nothing_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    write = cache_module._write_at

    def fail(path: Path, offset: int, data: bytes) -> None:
        if path.name == "rows.npy" and len(source.asked) == 3:
            write(path, offset, data[:300])
            raise OSError(28, "No space left on device")
        write(path, offset, data)

    monkeypatch.setattr(cache_module, "_write_at", fail)
    with pytest.raises(DataError, match=r"rows\.npy: a file of .* MB cannot be written \(no space"):
        fill(tmp_path, NUM, ALL, source, about={})
    monkeypatch.setattr(cache_module, "_write_at", write)
    equal(fill(tmp_path, NUM, ALL, source, about={}), source, range(NUM))


def test_it_says_what_it_is(tmp_path: Path) -> None:
    fill(tmp_path, NUM, ALL, Source(), about={"data": "faces"})
    assert json.loads((tmp_path / "about.json").read_text()) == {"data": "faces"}


def _fill_and_log(folder: Path, log: Path) -> None:
    source = Source()

    def slow(span: slice) -> Sequence[Tensor]:
        with log.open("a") as file:
            file.write(f"{span.start} {span.stop}\n")
        time.sleep(0.02)
        return source(span)

    equal(fill(folder, NUM, ALL, slow, about={}), source, range(NUM))


def test_two_processes_that_ask_at_once_compute_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    both = [context.Process(target=_fill_and_log, args=(tmp_path / "store", log)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
        assert process.exitcode == 0
    assert sorted(log.read_text().splitlines()) == sorted(
        ["0 1", "0 16", "16 32", "32 48", "48 64"]
    )


def test_who_waits_is_asked_whether_to_go_on(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with locked(tmp_path, None) as is_held:
        assert is_held
        with pytest.raises(KeyboardInterrupt):
            fill(tmp_path, NUM, ALL, Source(), about={}, waiting=stop)
        with locked(tmp_path, None) as is_held_again:
            assert not is_held_again


ABOUT = {"what": "frozen layers", "data": "faces", "model": "bfcn32s"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    load_arrays(open_faces(10, size_px=32), 32, tmp_path)
    folder = tmp_path / "features" / "abcdef012345"
    fill(folder, 40, np.arange(20), lambda span: [torch.zeros(40, 2)[span]], about=ABOUT)
    return tmp_path


def test_entries_say_what_they_are(cache: Path) -> None:
    images, features = find_entries(cache)
    assert (images.what, images.of, images.done) == (
        "decoded images",
        "faces, face, 10 images, 32x32",
        "10 of 10",
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
    folder = cache / "features" / "abcdef012345"
    (folder / "rows.npy").write_bytes(b"")
    (folder / "about.json").write_text("{")
    assert find_entries(cache, ["abc"])[0].done == "damaged"


def test_entries_of_earlier_versions_are_listed_and_cleared(tmp_path: Path) -> None:
    for name in ("trunk/abc", "arrays/def", "arrays/def.123.draft"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "images.npy").write_bytes(b"1")
    entries = find_entries(tmp_path)
    assert [entry.done for entry in entries] == ["of an earlier version"] * 3
    assert remove_entries(entries)[1] == []
    assert find_entries(tmp_path) == []


def test_the_folder_is_the_systems_unless_a_user_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VESICA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert default_cache() == tmp_path / "vesica"
    monkeypatch.setenv("VESICA_CACHE", "~/elsewhere")
    assert default_cache() == Path.home() / "elsewhere"


def test_who_holds_a_lock_is_named(tmp_path: Path) -> None:
    with locked(tmp_path, None), locked(tmp_path, None) as is_held:
        assert not is_held
        assert holder_of(tmp_path) == f"process {os.getpid()}"
    (tmp_path / LOCK).write_text("?")
    assert holder_of(tmp_path) == "another process"
    with locked(tmp_path, None) as is_held:
        assert is_held


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
