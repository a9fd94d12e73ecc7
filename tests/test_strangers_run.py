"""`report` and `status` on a folder that somebody else made: a sentence, and nothing else happens.

Every file that a run keeps, times every kind of damage.
"""

import io
import json
import os
import shutil
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesica import metrics
from vesica.__main__ import main
from vesica.data.library import Library
from vesica.data.source import Source
from vesica.files import SUMS
from vesica.judge import judge_run
from vesica.plan import Cell, Recipe, across
from vesica.report import write_report
from vesica.results import (
    CellResult,
    RunPlan,
    TestScores,
    cell_folder,
    read_table,
    write_histograms,
    write_masks,
    write_model,
    write_scores,
    write_table,
)

SIZE_PX = 32
FILES = (
    "plan.json",
    "results.json",
    "result.json",
    "scores.csv",
    "history.csv",
    "histograms.npz",
    "masks.npz",
    SUMS,
)
OF_RUN = ("plan.json", "results.json")
SHOWN_WITHOUT = ("histograms.npz", "masks.npz")
"""What the verdict does not rest on: the page says what is not shown, and why."""

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
MAX_PEAK_BYTES = 200_000_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two losses, and its cache beside it."""
    folder = tmp_path_factory.mktemp("whole")
    source = Source(path=f"generated:num=60:size={SIZE_PX}")
    library = Library(folder / "cache")
    source = library.resolve(source)
    arrays, test = library.arrays(source, SIZE_PX), library.rows(source).test
    truth = np.asarray(arrays.masks[test][:, 0])
    base = Cell(data=source, size=SIZE_PX, weights="hed", recipe=Recipe(max_epochs=4))
    cells = across(base, loss=["bce", "iou"])
    names = tuple(arrays.names[row] for row in test)
    run = folder / "run"
    write_model(run / "plan.json", RunPlan(command="vesica compare", cells=tuple(cells)))
    for number, cell in enumerate(cells):
        preds = np.roll(truth, number + 1, axis=2)
        counts = metrics.count_pixels(preds, truth)
        iou, own = metrics.iou(counts), cell_folder(run, cell)
        write_scores(own / "scores.csv", TestScores(names, names, counts, iou))
        write_masks(own / "masks.npz", preds)
        histograms = metrics.histogram(preds.astype(np.float32), truth)
        write_histograms(own / "histograms.npz", val=histograms, test=histograms)
        header = ("epoch", "train_loss", "val_loss", "val_iou", "is_one_class", "time_s")
        write_table(own / "history.csv", header, [(n, 1.0, 1.0, 0.5, False, 1.0) for n in (1, 2)])
        means = dict.fromkeys(("iou_per_image", "iou_pooled", "iou_soft", "accuracy"), 0.5)
        result = CellResult(
            status="finished", epochs=2, kept_epoch=2, num_test=len(names), device="abacus", **means
        )
        write_model(own / "result.json", result)
    write_report(judge_run(run, library))
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole / "run", tmp_path / "run")
    return tmp_path / "run"


def path_of(run: Path, name: str) -> Path:
    return run / name if name in OF_RUN else next(iter(sorted((run / "cells").iterdir()))) / name


def command(
    run: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What `report` and `status` say of a run; any traceback fails the test."""
    said = ""
    for arguments in (["status", str(run)], ["report", str(run), "--cache", str(cache)]):
        monkeypatch.setattr(sys, "argv", ["vesica", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out = capsys.readouterr()
        assert stop.value.code in (0, None, 2), out
        if stop.value.code == 2:
            assert out.err.startswith("Error: ")
            assert len(out.err.splitlines()) == 1, out.err
        said += out.out + out.err
    return said


def replace(path: Path) -> None:
    """Remove a file or folder, so that something else can be put there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def make_pipe(path: Path) -> None:
    replace(path)
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    replace(path)
    path.mkdir()


def make_link(path: Path) -> None:
    outside = next(p for p in path.parents if p.name == "run").parent / path.name
    if path.exists():
        shutil.move(path, outside)
    path.symlink_to(outside)


def make_device(path: Path) -> None:
    replace(path)
    path.symlink_to("/dev/zero")


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 * 2**30)


def write(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(content), None)[1]


DAMAGE: dict[str, Callable[[Path], None]] = {
    "pipe": make_pipe,
    "folder": make_folder,
    "link": make_link,
    "device": make_device,
    "huge": make_huge,
    "empty": write(b""),
    "no text": write(b"\xff\xfe\x00\x80" * 20),
    "a list": write(b"[1, 2]"),
    "a number": write(b"1"),
    "nothing": write(b"null"),
    "no number": write(b'{"schema": NaN, "status": Infinity}'),
    "deep": write(b"[" * 100_000),
    "a large number": write(b'{"schema": ' + b"9" * 10_000 + b"}"),
    "many columns": write(b",".join([b"a"] * 1000) + b"\n1,2\n"),
    "a long field": write(b"epoch\n" + b"x" * 200_000 + b"\n"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes in folders")
@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_one_sentence_names_the_file(
    name: str,
    how: str,
    run: Path,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = path_of(run, name)
    if name != SUMS:  # else every damage is found by its sum
        (path.parent / SUMS).unlink(missing_ok=True)
    DAMAGE[how](path)
    said = command(run, whole / "cache", monkeypatch, capsys)
    if name in SHOWN_WITHOUT:
        page = (run / "report.html").read_text(encoding="utf-8")
        assert name in page, "the page says which file it does without"
    else:
        assert path.name in said.rpartition("Error: ")[2], said
    assert not {letter for letter in said if ord(letter) < 32} - {"\n", "\t"}


WRONG: dict[str, dict[str, Any]] = {
    "status": {"status": "splendid"},
    "no status": {"status": None},
    "text for a number": {"iou_per_image": "0.5"},
    "above one": {"iou_per_image": 1.5},
    "no share": {"accuracy": -0.1},
    "negative": {"num_test": -1},
    "too many": {"num_test": 10**18},
    "a list for text": {"reason": ["a"]},
    "a long text": {"reason": "x" * 200_000},
    "other images": {"num_test": 3},
    "missing": {"iou_soft": None},
}


@pytest.mark.parametrize("how", WRONG)
def test_values_of_a_result_are_bounded(
    how: str,
    run: Path,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = path_of(run, "result.json")
    (path.parent / SUMS).unlink()
    path.write_text(json.dumps(json.loads(path.read_text()) | WRONG[how]))
    said = command(run, whole / "cache", monkeypatch, capsys)
    where = "scores.csv" if how == "other images" else "result.json"
    if how != "text for a number":  # it is read as the number that it is
        assert where in said.rpartition("Error: ")[2], said


SCORES = {
    "text": ("tp", "many"),
    "negative": ("tp", "-1"),
    "huge": ("tp", "9" * 30),
    "above one": ("iou_soft", "1.5"),
    "no number": ("iou_soft", "nan"),
}


@pytest.mark.parametrize("how", SCORES)
def test_scores_are_bounded(how: str, run: Path, whole: Path) -> None:
    path = path_of(run, "scores.csv")
    column, value = SCORES[how]
    rows = read_table(path)
    rows[0][column] = value
    (path.parent / SUMS).unlink()
    path.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]))
    with pytest.raises(ValueError, match=r"scores\.csv: damaged"):
        judge_run(run, Library(whole / "cache"))


HISTORIES = ("nan", "inf", "1e300", "")


@pytest.mark.parametrize("value", HISTORIES)
def test_what_cannot_be_drawn_is_refused(value: str, run: Path, whole: Path) -> None:
    path = path_of(run, "history.csv")
    (path.parent / SUMS).unlink()
    path.write_text(path.read_text().replace("1,1.0", f"1,{value}"))
    with pytest.raises(ValueError, match=r"history\.csv: damaged"):
        write_report(judge_run(run, Library(whole / "cache")))


def npy(shape: tuple[int, ...], dtype: str, content: bytes) -> bytes:
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


BOMB = b"\0" * 2**28
BOMBS = {
    "announced": {"val": npy((2**40, 2, 256), "<i4", b""), "test": npy((2**40,), "<i4", b"")},
    "real": {"val": npy((2**17, 2, 256), "<i4", BOMB), "test": npy((2**17, 2, 256), "<i4", BOMB)},
    "objects": {"val": npy((5, 2, 256), "|O", b"x"), "test": npy((5, 2, 256), "|O", b"x")},
    "no header": {"val": b"abc", "test": b"abc"},
}


@pytest.mark.parametrize("how", BOMBS)
@pytest.mark.parametrize("name", ["histograms.npz", "masks.npz"])
def test_arrays_take_no_memory_before_they_are_checked(
    name: str, how: str, run: Path, whole: Path
) -> None:
    path = path_of(run, name)
    (path.parent / SUMS).unlink()
    names = {"val": "bits", "test": "shape"} if name == "masks.npz" else {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as parts:
        for part, content in BOMBS[how].items():
            parts.writestr(f"{names.get(part, part)}.npy", content)
    tracemalloc.start()
    write_report(judge_run(run, Library(whole / "cache")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MAX_PEAK_BYTES
    assert name in (run / "report.html").read_text(encoding="utf-8")


def test_cells_that_lie_elsewhere_are_not_followed(run: Path, whole: Path, tmp_path: Path) -> None:
    (run / "cells").rename(tmp_path / "cells")
    (run / "cells").symlink_to(tmp_path / "cells")
    with pytest.raises(ValueError, match="a link to another folder"):
        judge_run(run, Library(whole / "cache"))


@pytest.mark.parametrize("name", ["plan.json", "result.json"])
def test_no_escape_sequence_reaches_the_terminal(
    name: str,
    run: Path,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = path_of(run, name)
    (path.parent / SUMS).unlink(missing_ok=True)
    document = json.loads(path.read_text())
    if name == "plan.json":
        document["command"] += ESCAPE
        for cell in document["cells"]:
            cell["loss"] += ESCAPE
            cell["data"]["path"] += ESCAPE
            cell["data"]["target"] = ESCAPE
            cell["folder"] = sorted(p.name for p in (run / "cells").iterdir())[0]
    else:
        document |= {"status": "collapsed", "reason": ESCAPE, "device": ESCAPE, "command": ESCAPE}
    path.write_text(json.dumps(document))
    said = command(run, whole / "cache", monkeypatch, capsys)
    assert "owned" in said
    assert not set(ESCAPE) & set(said) - set("]0;owned[2J31m")


def test_texts_are_no_formulas_and_come_back(tmp_path: Path) -> None:
    texts = ["=HYPERLINK(1)", "+1+1", "-2", "@x", "'=1", "''=1", "plain", "'plain", "\tx", ""]
    write_table(tmp_path / "a.csv", ["text", "number"], [[text, -1.5] for text in texts])
    raw = (tmp_path / "a.csv").read_text().splitlines()[1:]
    assert not [line for line in raw if line.lstrip('"')[:1] in tuple("=+-@\t")]
    assert all(line.endswith(",-1.5") for line in raw)
    assert [row["text"] for row in read_table(tmp_path / "a.csv")] == texts


def test_a_report_decodes_no_more_than_its_limit(run: Path, tmp_path: Path) -> None:
    library = Library(tmp_path / "empty", max_bytes=1000)
    findings = judge_run(run, library).findings
    assert "would take" in findings.groups[0].notes[0]
    assert not (tmp_path / "empty" / "arrays").exists()
