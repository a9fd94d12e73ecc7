"""Rows on disk: computed once, never wrong, shared by processes."""

import json
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vesica import store
from vesica.cached import BLOCK, count_rows, locked
from vesica.store import Stored, fill

NUM = 3 * BLOCK + 5
ALL = np.arange(NUM)


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


@pytest.mark.parametrize("name", ["rows.npy", "sums.npy"])
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
    write = store._write_at

    def fail(path: Path, offset: int, data: np.ndarray) -> None:
        if path.name == "rows.npy" and len(source.asked) == 3:
            write(path, offset, data[:3])
            raise OSError(28, "No space left on device")
        write(path, offset, data)

    monkeypatch.setattr(store, "_write_at", fail)
    with pytest.raises(OSError, match="No space"):
        fill(tmp_path, NUM, ALL, source, about={})
    monkeypatch.setattr(store, "_write_at", write)
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
