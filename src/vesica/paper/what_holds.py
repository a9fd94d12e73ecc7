"""`vesica paper --published`: what holds of the paper, as a document, sections and files."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from vesica.errors import DataError
from vesica.files import write_json, write_text
from vesica.paper import contrasts
from vesica.paper.claims import Claim, Status, claims
from vesica.paper.found import read_found
from vesica.paper.found_page import found_section
from vesica.paper.page_parts import HEADINGS, UNSEEN_NOTE, printed_cells, unseen_blocks
from vesica.paper.published import PRINTED, ROWS
from vesica.paper.section_5 import section_5
from vesica.paper.soft_iou import softness
from vesica.paper.soft_iou_page import iou_section
from vesica.report.sections import Grid, Section, to_html, to_markdown

SCHEMA = 1
TITLE = "What holds of the paper"
SOURCE = (
    "van Beers, Lindström, Okafor and Wiering 2019, Deep Neural Networks with Intersection over "
    "Union Loss for Binary Image Segmentation, tables 3 to 6"
)


def analyse() -> dict[str, Any]:
    """The tables, the paper's statistics recomputed, its claims, what it left out, and its IoU.

    Accuracy and IoU are in thousandths in `rows` and `unseen`, in points in `categories`,
    `sparsity`, `softness.differences` and `found`, and fractions elsewhere.
    """
    return {
        "schema": SCHEMA,
        "source": SOURCE,
        "rows": [asdict(row) for row in ROWS],
        "figures": [asdict(number) | {"agrees": number.agrees} for number in section_5()],
        "claims": [asdict(claim) for claim in claims()],
        "categories": [asdict(category) for category in contrasts.categories()],
        "sparsity": contrasts.sparsity(),
        "unseen": contrasts.all_metrics(),
        "softness": softness(),
        "found": [asdict(row) for row in read_found()],
    }


def check_folder(out: Path) -> None:
    """Refuse a folder of something else.

    Raises:
        DataError: If it is one, or a file.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; pass another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / "published.json").exists():
        raise DataError(f"{out}: holds something else; pass a new folder as --out")


def write_files(out: Path, document: dict[str, Any]) -> list[Path]:
    """Write the analysis as Markdown, HTML and JSON, and the tables as CSV; returns the files.

    Raises:
        DataError: If the folder is a file or holds something else.
    """
    check_folder(out)
    sections = published_sections(document)
    write_text(out / "what-holds.md", to_markdown(TITLE, sections))
    write_text(out / "what-holds.html", to_html(TITLE, sections))
    write_json(out / "published.json", document)
    write_text(out / "published.csv", PRINTED)
    names = "what-holds.md", "what-holds.html", "published.json", "published.csv"
    return [out / name for name in names]


def published_sections(document: dict[str, Any]) -> list[Section]:
    """All of the analysis, the most important first."""
    left_out = (
        "All set-ups of a data set share test images, hair or not, big or small, and most training "
        f"images. {UNSEEN_NOTE}"
    )
    bold = "Bold is better, as in the paper; more epochs count as worse."
    return [
        Section("", _summary(document)),
        Section("Sentence by sentence", [_claims(document, s) for s in get_args(Status)]),
        found_section([Claim(**claim) for claim in document["claims"]]),
        iou_section(document["softness"]),
        Section("The numbers of section 5", [_numbers(document)]),
        Section(
            "What the analysis leaves out", [left_out, *unseen_blocks(document["unseen"], 2, 16)]
        ),
        Section("Tables 3 to 6, as published", [*map(_paper_grid, (3, 4, 5, 6)), bold]),
    ]


def _paper_grid(number: int) -> Grid:
    """A table in the paper's shape."""
    rows = [row for row in ROWS if row.table == number]
    return Grid(
        ["Name", *(f"{name}, {loss}" for name in HEADINGS for loss in ("L_IoU", "L_BCE"))],
        [[row.name, *printed_cells(asdict(row))] for row in rows],
        title=f"Table {number}: {rows[0].network} on {rows[0].data}",
    )


def _summary(document: dict[str, Any]) -> list[str]:
    judged, figures = document["claims"], document["figures"]
    holding, failing, open_ones = (
        sum(claim["status"] == status for claim in judged)
        for status in ("holds", "does not hold", "not testable")
    )
    mean = document["softness"]["mean"]
    cells = document["softness"]["cells"]
    below = [cell["loss"] for cell in cells if cell.get("position") == "below"]
    num_bce = below.count("bce")
    of_them = "all are" if num_bce == len(below) else f"{num_bce} of them are"
    coarse = document["unseen"]["iou"]["clusters"]
    p = {level["counts_once"]: level["test"]["p_two_sided"] for level in coarse}
    return [
        f"{document['source']}; made by `vesica paper --published`.",
        f"**{len(judged)} sentences** judged by these tables alone: {holding} hold, "
        f"{failing} do not, {open_ones} cannot be tested so.",
        f"**The numbers are right:** {sum(figure['agrees'] for figure in figures)} of "
        f"{len(figures)} of section 5 follow from the tables.",
        "**The significance rests on 16 set-ups as if they were independent.** They are two data "
        f"sets: p = {p['pair']:.1e} becomes {p['data set x network']:.3f} with one value per data "
        f"set and network, {p['data set x hair']:.3f} per data set and target, "
        f"{p['data set']:.2f} per data set.",
        f"**{len(below)} published IoUs cannot be the pooled IoU of masks:** on LFW they lie below "
        f"all that their accuracy allows, and {of_them} of networks trained with BCE. Of "
        f"the mean advantage of IoU loss, {mean['published']:.1f} points, accuracy leaves "
        f"{mean['from_accuracy']:.1f}.",
    ]


def _claims(document: dict[str, Any], status: Status) -> Grid:
    return Grid(
        ["section", "the paper", "its tables"],
        [
            [claim["section"], f"“{claim['quote']}”", claim["figures"]]
            for claim in document["claims"]
            if claim["status"] == status
        ],
        num_words=None,
        title=status.capitalize(),
    )


def _numbers(document: dict[str, Any]) -> Grid:
    def say(value: float, unit: str) -> str:
        return f"{value:{'.1e' if 0 < value < 0.001 else '.4g'}} {unit}".strip()

    return Grid(
        ["", "paper", "tables", "agrees", "definition that gives it", "other definitions"],
        [
            [
                figure["what"],
                figure["stated"],
                say(figure["value"], figure["unit"]),
                "yes" if figure["agrees"] else "no",
                figure["how"],
                "; ".join(
                    f"{name}: {say(value, figure['unit'])}"
                    for name, value in figure["others"].items()
                ),
            ]
            for figure in document["figures"]
        ],
        num_words=None,
    )
