"""One spelling for everything that has a name, and files of the user's own."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from vesica import own
from vesica.errors import DataError
from vesica.spelling import (
    Spelled,
    digests_in,
    name_of,
    note_files,
    read,
    shown,
    split_path,
    without_options,
)


def square(
    *, side: int = 2, scale: float = 1.0, kind: Literal["a", "b"] = "a", on: bool = False
) -> object:
    return side, scale, kind, on


TABLE = {"square": square}

MINE = """
def round(*, radius: float = 1.0, needed: int) -> tuple:
    return radius, needed

def broken():
    raise KeyError("x")
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def test_options_have_the_types_of_their_parameters() -> None:
    spelled = read("square:side=3:scale=1e-1:kind=b:on=yes", TABLE, "shape")
    assert spelled.call(TABLE) == (3, 0.1, "b", True)
    assert str(spelled) == "square:kind=b:on=true:scale=0.1:side=3"
    assert str(read(str(spelled), TABLE, "shape")) == str(spelled)


def test_defaults_are_left_out() -> None:
    assert read("square:side=2:scale=1", TABLE, "shape") == Spelled("square")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("circle", "unknown shape 'circle'; there are: square, or FILE.py:FUNCTION"),
        ("", "cannot read the shape ''"),
        ("Square", "cannot read"),
        ("square:size=2", "shape 'square' has no parameter 'size'; it has: side, scale"),
        ("square:side", "'side' has no value; write side=VALUE"),
        ("square:side=1:side=1", "'side' twice"),
        ("square:side=1.5", "square:side=1.5: expected a whole number"),
        ("square:scale=nan", "expected a number"),
        ("square:scale=1e999", "expected a number"),
        ("square:scale=" + "9" * 900, "expected a number"),
        ("square:scale=" + "9" * 10_000, "10,013 characters"),
        ("square:side=\N{ARABIC-INDIC DIGIT ONE}", "expected a whole number"),
        ("square:scale=\N{FULLWIDTH DIGIT ONE}", "expected a number"),
        ("square:kind=c", "expected one of: a, b"),
        ("square:on=2", "expected true or false"),
        ("<gone>", "session that is over"),
        ("none.py:f", "none.py: no such file"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")) as caught:
        read(text, TABLE, "shape")
    assert "\n" not in str(caught.value)


TWO = {"round": square, "smp:unet": square, "smp:fpn_2": square}


@pytest.mark.parametrize("text", ["smp:unet", "smp:fpn_2:on=true:side=3", "round:side=4"])
def test_a_name_of_a_table_may_have_two_words(text: str) -> None:
    spelled = read(text, TWO, "shape")
    assert str(spelled) == shown(text) == text
    assert spelled.function(TWO) is square
    assert without_options(text) == spelled.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smp:u", "unknown shape 'smp:u'; there are: round, smp:unet, smp:fpn_2, or FILE.py"),
        ("smp:Unet:side=3", "unknown shape 'smp:Unet'"),
        ("smp:", "unknown shape 'smp:'"),
        ("smp", "unknown shape 'smp'"),
        ("smp:side=3", "unknown shape 'smp'"),
        ("other:unet", "unknown shape 'other'"),
        ("round:side", "'side' has no value; write side=VALUE"),
        ("smp:unet:size=2", "shape 'smp:unet' has no parameter 'size'; it has: side, scale"),
        ("smp:unet:side", "'side' has no value; write side=VALUE"),
        ("smp:unet:side=1.5", "smp:unet:side=1.5: expected a whole number"),
        ("smp:unet\n", "cannot read"),
    ],
)
def test_two_words_have_the_same_errors(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read(text, TWO, "shape")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["foo", "foo:power=2", "Foo!", ""])
def test_where_no_name_is_known_a_function_is_asked_for(text: str) -> None:
    with pytest.raises(ValueError, match=r"metric '.*'; write FILE\.py:FUNCTION$"):
        read(text, {}, "metric")


def test_a_users_file_is_known_by_name_and_content(mine: Path) -> None:
    spelled = read(f"{mine}:round:needed=1", TABLE, "shape")
    assert str(spelled) == f"mine.py@{own.digest_of(mine)}:round:needed=1"
    assert shown(str(spelled)) == "mine.py:round:needed=1"
    assert digests_in("bce", str(spelled)) == {spelled.digest: "mine.py"}
    assert spelled.call(TABLE) == (1.0, 1)
    assert read(str(spelled), TABLE, "shape") == spelled
    mine.write_text(MINE.replace("1.0", "2.0"))
    changed = read(f"{mine}:round:needed=1", TABLE, "shape")
    assert changed.digest != spelled.digest
    assert changed.call(TABLE) == (2.0, 1)
    assert spelled.call(TABLE) == (1.0, 1)  # what was loaded stays


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("round", "mine.py:round needs needed=..."),
        ("oval", "mine.py: no function 'oval'; it has: round, broken"),
        ("TABLE", "no function 'TABLE'"),
    ],
)
def test_a_users_function_is_checked(mine: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(f"{mine}:{name}", TABLE, "shape")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 +", "SyntaxError"),
        ("import helper_nowhere", "ModuleNotFoundError.*mend the file"),
        ("x = 1\nraise SystemExit(3)", r"bad\.py:2: SystemExit"),
        ("f = " + "1" * 2**20, "a file of functions is smaller"),
    ],
)
def test_a_users_bad_file_is_one_sentence(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(source)
    with pytest.raises(DataError, match=message):
        read(f"{path}:f", TABLE, "shape")


@pytest.mark.parametrize(
    "source",
    [
        "import beside",
        "from beside.inner import f",
        "def g():\n    from beside import g",
        "from . import x",
    ],
)
def test_a_users_file_stands_alone(tmp_path: Path, source: str) -> None:
    """What lies beside it has no part in its digest."""
    (tmp_path / "beside.py").write_text("g = 1\n")
    (tmp_path / "own.py").write_text(f"{source}\n\ndef f(): ...\n")
    told = "imports beside, which lies beside it|relative import"
    with pytest.raises(DataError, match=told):
        read(f"{tmp_path / 'own.py'}:f", TABLE, "shape")


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    names = []
    for folder, value in (("a", 41), ("b", 42)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin.py").write_text(f"def f(): return {value}\n")
        names.append(str(read(f"{tmp_path / folder / 'twin.py'}:f", TABLE, "shape")))
    assert {shown(name) for name in names} == {"twin.py:f"}
    note_files(*names)
    assert len({shown(name) for name in names}) == 2
    assert all(re.fullmatch(r"twin\.py@[0-9a-f]{4}:f", shown(name)) for name in names)


@pytest.mark.parametrize("body", ["raise SystemExit(0)", "exit(3)", "raise MemoryError", "1 / 0"])
def test_whatever_a_users_function_raises_is_one_sentence(tmp_path: Path, body: str) -> None:
    (tmp_path / "ends.py").write_text(f"def f():\n    {body}\n")
    with pytest.raises(DataError, match=r"ends\.py:f: \w+.*; mend the function"):
        read(f"{tmp_path / 'ends.py'}:f", TABLE, "shape").call(TABLE)


def test_what_a_users_function_raises_is_one_sentence(mine: Path) -> None:
    with pytest.raises(DataError, match=r"mine\.py:broken: KeyError: 'x'; mend the function"):
        read(f"{mine}:broken", TABLE, "shape").call(TABLE)


def test_no_file_runs_unnamed(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("print('ran')\ndef f(): ...\n")
    digest = own.digest_of(tmp_path / "evil.py")
    with pytest.raises(DataError, match=r"does not name the file.*--trust"):
        read(f"evil.py@{digest}:f", TABLE, "shape")
    own.add_files({digest: tmp_path / "evil.py"})
    assert read(f"evil.py@{digest}:f", TABLE, "shape").call(TABLE) is None


def test_a_file_that_changes_under_a_run_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "moving.py"
    path.write_text("def f(): return 1\n")
    digest = own.name_file(path)
    path.write_text("def f(): return 2\n")
    with pytest.raises(DataError, match="has changed since the command began"):
        read(f"moving.py@{digest}:f", TABLE, "shape")


def test_functions_have_names() -> None:
    assert name_of(square, TABLE) == "square"
    here = name_of(test_functions_have_names, TABLE)
    assert here == f"{Path(__file__).resolve()}:test_functions_have_names"
    spelled = read(here, TABLE, "shape")
    assert spelled.function(TABLE) is test_functions_have_names


def test_what_has_no_source_is_never_another() -> None:
    names = [name_of(lambda: 1, TABLE), name_of(lambda: 1, TABLE)]
    first, second = (read(name, TABLE, "shape") for name in names)
    assert first.digest != second.digest
    assert first.call(TABLE) == 1
    assert read(str(first), TABLE, "shape") == first
    with pytest.raises(DataError, match="session that is over"):
        read(f"{first.name}@{'0' * 12}", TABLE, "shape")


def test_paths_are_no_part_of_a_name() -> None:
    text = "0.5/a b/mine.py:f:x=1+iou,../other.py:g"
    assert shown("/a b/mine.py:f:x=1") == "mine.py:f:x=1"
    assert shown(f"mine.py@{'a' * 12}:f+0.5<g>@{'b' * 12}") == "mine.py:f+0.5<g>"
    assert shown("../x/other.py:g+iou") == "other.py:g+iou"
    assert shown(text).endswith("+iou,other.py:g")
    assert split_path("hed:/w/a.h5") == ("hed", Path("/w/a.h5"))
    assert split_path("hed") == ("hed", None)


def test_reading_names_takes_no_torch() -> None:
    check = "import sys, vesica.spelling; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
