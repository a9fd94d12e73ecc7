"""`vesica paper --published`, its files, and the sections that they are made of."""

import csv
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vesica.cli import app
from vesica.paper.what_holds import analyse
from vesica.report.sections import Grid, Section, to_html, to_markdown


def run(*arguments: str, columns: str = "200") -> str:
    done = CliRunner().invoke(app, ["paper", *arguments], env={"COLUMNS": columns})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_prints_tables_and_analysis() -> None:
    out = run("--published")
    for words in (
        "Table 3: BFCN-32s on LFW",
        "Table 6: FCResNet on HELEN",
        "does not hold".capitalize(),
        "undoubtedly significant",
        "Was the published IoU soft?",
        "ratio of the mean errors",
        "too few data sets to generalise",
    ):
        assert words in out, words
    assert "**" not in out


def test_fits_a_narrow_terminal() -> None:
    out = run("--published", columns="80")
    assert max(map(len, out.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in out, "nothing is cut off"


def test_json_is_the_document() -> None:
    assert json.loads(run("--published", "--json")) == json.loads(json.dumps(analyse()))


def test_out_writes_all_files(tmp_path: Path) -> None:
    out = run("--published", "--out", str(tmp_path / "new"))
    names = ["published.csv", "published.json", "what-holds.html", "what-holds.md"]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {*names, "sums.json"}
    assert all(name in out for name in names)
    with (tmp_path / "new" / "published.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 16
    assert table[0] == {
        "table": "3",
        "network": "BFCN-32s",
        "data": "LFW",
        "size": "big",
        "hair": "yes",
        "accuracy_iou": "0.974",
        "accuracy_bce": "0.978",
        "iou_iou": "0.921",
        "iou_bce": "0.906",
        "epochs_iou": "91",
        "epochs_bce": "146",
    }
    page = (tmp_path / "new" / "what-holds.md").read_text(encoding="utf-8")
    assert "| big, hair | 0.974 | **0.978** | **0.921** | 0.906 | **91** | 146 |" in page
    html = (tmp_path / "new" / "what-holds.html").read_text(encoding="utf-8")
    assert "<b>0.978</b>" in html
    assert not re.search(r"<script|<link|https?://", html), "one file that needs no other"


def test_what_to_do_is_asked_for() -> None:
    done = CliRunner().invoke(app, ["paper"])
    assert done.exit_code == 2
    assert "--published" in done.output


SECTIONS = [
    Section("", ["Opening."]),
    Section(
        "A <b>", ["Text **bold** & [x], `a <b`.", Grid(["n", "v"], [["a|b", "**1**"]], title="T")]
    ),
]


def test_markdown() -> None:
    assert to_markdown("Page", SECTIONS) == (
        "# Page\n\nOpening.\n\n## A <b>\n\nText **bold** & [x], `a <b`.\n\n"
        "**T**\n\n| n | v |\n| --- | ---: |\n| a\\|b | **1** |\n"
    )


def test_html_escapes_all_but_its_own_markup() -> None:
    page = to_html("Page", SECTIONS)
    assert "A &lt;b&gt;" in page
    assert "Text <b>bold</b> &amp; [x], <code>a &lt;b</code>." in page
    assert '<td class="num"><b>1</b></td>' in page
    assert "<caption>T</caption>" in page


def test_words_are_never_aligned_as_numbers() -> None:
    assert not Grid(["a", "b"], [], num_words=None).is_number(1)
    assert [Grid(["a", "b", "c"], [], num_words=2).is_number(i) for i in range(3)] == [0, 0, 1]


@pytest.mark.parametrize("num", [1, 4, 9])
def test_columns_that_do_not_fit_stand_below(num: int) -> None:
    from rich.console import Console

    from vesica.cli.tables import section_blocks

    names = [f"heading{n}" for n in range(num)]
    grid = Grid(["who", "what", *names], [["a", "b", *(f"0.12345{n}" for n in range(num))]], 2)
    console = Console(width=80, record=True)
    with console.capture() as shown:
        for block in section_blocks([Section("", [grid])]):
            console.print(block)
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= 80
    for n, name in enumerate(names):
        assert shown.get().count(name) == shown.get().count(f"0.12345{n}") == 1
    heads = [line for line in lines if "who" in line]
    assert len(heads) == (2 if num == 9 else 1)
    assert all("what" in line for line in heads)


@pytest.mark.parametrize("text", ["[bold]not ours[/]", "a [b] c"])
def test_terminal_shows_brackets_as_they_are(text: str) -> None:
    from rich.console import Console

    from vesica.cli.tables import section_blocks

    console = Console(width=80, record=True)
    with console.capture() as shown:
        for block in section_blocks([Section("", [text])]):
            console.print(block)
    assert shown.get().strip() == text
