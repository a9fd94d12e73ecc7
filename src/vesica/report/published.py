"""The published tables and what holds of the paper, as sections and as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vesica.errors import DataError
from vesica.files import write_json, write_text
from vesica.published.tables import METRICS, TABLES, Metric, Row
from vesica.report.published_iou import iou_section
from vesica.report.sections import Grid, Section, to_html, to_markdown
from vesica.results import write_table

TITLE = "What holds of the paper"
METRIC_NAMES: dict[Metric, str] = {"accuracy": "accuracy", "iou": "IoU", "epochs": "epochs"}
NO_TEST = "\N{EN DASH}"
"""Of differences that are all the same."""

STATUSES = ("does not hold", "holds", "not testable")


def published_sections(document: dict[str, Any]) -> list[Section]:
    """All of the analysis, the most important first."""
    return [
        Section("", _summary(document)),
        Section("Sentence by sentence", _claims(document)),
        iou_section(document),
        Section("The numbers of section 5", _numbers(document)),
        Section("What the analysis leaves out", _unseen(document)),
        Section("Tables 3 to 6, as published", [*paper_grids(), BOLD_NOTE]),
    ]


def write_published(out: Path, document: dict[str, Any]) -> list[Path]:
    """Write the analysis as Markdown, HTML and JSON, and the tables as CSV; returns the files.

    Raises:
        DataError: If the folder is a file or holds something else.
    """
    check_published(out)
    sections = published_sections(document)
    pages = {
        "what-holds.md": to_markdown(TITLE, sections),
        "what-holds.html": to_html(TITLE, sections),
    }
    for name, text in pages.items():
        write_text(out / name, text)
    write_json(out / "published.json", document)
    _write_csv(out / "published.csv")
    return [out / name for name in (*pages, "published.json", "published.csv")]


def check_published(out: Path) -> None:
    """Refuse a folder of something else.

    Raises:
        DataError: If it is one, or a file.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; pass another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / "published.json").exists():
        raise DataError(f"{out}: holds something else; pass a new folder as --out")


BOLD_NOTE = "Bold is better, as in the paper; more epochs count as worse."


def paper_grids() -> list[Grid]:
    """Tables 3 to 6 in the paper's shape."""
    header = ["Name"]
    for name in ("Accuracy", "IoU-Score", "Convergence"):
        header += [f"{name}, L_IoU", f"{name}, L_BCE"]
    return [
        Grid(
            header,
            [_paper_row(row) for row in table],
            title=f"Table {number}: {table[0].network} on {table[0].data}",
        )
        for number, table in TABLES.items()
    ]


def _paper_row(row: Row) -> list[str]:
    cells = [row.name]
    for metric in METRICS:
        pair = row.pair(metric)
        best = min(pair.iou, pair.bce) if metric == "epochs" else max(pair.iou, pair.bce)
        for value in (pair.iou, pair.bce):
            text = str(value) if metric == "epochs" else f"{value / 1000:.3f}"
            cells.append(f"**{text}**" if value == best else text)
    return cells


def _summary(document: dict[str, Any]) -> list[str]:
    claims, figures = document["claims"], document["figures"]
    counted = {status: sum(c["status"] == status for c in claims) for status in STATUSES}
    agreeing = sum(figure["agrees"] for figure in figures)
    soft = document["softness"]
    below = [cell for cell in soft["cells"] if cell.get("position") == "below"]
    coarse = document["unseen"]["iou"]["clusters"]
    p = {level["counts_once"]: level["test"]["p_two_sided"] for level in coarse}
    return [
        f"{document['source']}; made by `vesica paper --published`.",
        f"**{len(claims)} sentences** judged by these tables alone: {counted['holds']} hold, "
        f"{counted['does not hold']} do not, {counted['not testable']} cannot be tested so.",
        f"**The numbers are right:** {agreeing} of {len(figures)} of section 5 follow from the "
        "tables.",
        "**The significance rests on 16 set-ups as if they were independent.** They are two data "
        f"sets: p = {p['pair']:.1e} becomes {p['data set x network']:.3f} with one value per data "
        f"set and network, {p['data set x hair']:.3f} per data set and target, "
        f"{p['data set']:.2f} per data set.",
        f"**{len(below)} published IoUs cannot be the pooled IoU of masks:** on LFW they lie below "
        f"all that their accuracy allows, and {_how_many(below)} of networks trained with BCE. Of "
        f"the mean advantage of IoU loss, {soft['mean']['published']:.1f} points, accuracy leaves "
        f"{soft['mean']['from_accuracy']:.1f}.",
    ]


def _how_many(below: Sequence[dict[str, Any]]) -> str:
    num = sum(cell["loss"] == "bce" for cell in below)
    return "all are" if num == len(below) else f"{num} of them are"


def _claims(document: dict[str, Any]) -> list[str | Grid]:
    return [
        Grid(
            ["section", "the paper", "its tables"],
            [
                [claim["section"], f"“{claim['quote']}”", claim["figures"]]
                for claim in document["claims"]
                if claim["status"] == status
            ],
            num_words=None,
            title=status.capitalize(),
        )
        for status in STATUSES
    ]


def _numbers(document: dict[str, Any]) -> list[str | Grid]:
    rows = [
        [
            figure["what"],
            figure["stated"],
            f"{_say(figure['value'])} {figure['unit']}".strip(),
            "yes" if figure["agrees"] else "no",
            figure["how"],
            "; ".join(
                f"{name}: {_say(value)} {figure['unit']}".strip()
                for name, value in figure["others"].items()
            ),
        ]
        for figure in document["figures"]
    ]
    header = ["", "paper", "tables", "agrees", "definition that gives it", "other definitions"]
    return [Grid(header, rows, num_words=None)]


def _unseen(document: dict[str, Any]) -> list[str | Grid]:
    return [
        "All set-ups of a data set share test images, hair or not, big or small, and most training "
        "images. " + UNSEEN_NOTE,
        *unseen_blocks(document["unseen"], 2, 16),
    ]


UNSEEN_NOTE = (
    "Differences are IoU loss minus BCE loss, in points (epochs in epochs), intervals at 95 %. "
    "Signs: the exact test over all patterns of signs, and the smallest value that it could give."
)


def unseen_blocks(unseen: dict[str, Any], num_data: int, num_setups: int) -> list[str | Grid]:
    """Clusters of every metric, what data sets say, and all set-ups as if independent."""
    metrics = [metric for metric in METRICS if metric in unseen]
    reason = unseen[metrics[0]]["across_data_sets"]["reason"]
    are = {1: "there is one", 2: "there are two"}.get(num_data, f"there are {num_data}")
    header = ["what counts once", "number", "mean", "interval", "t-test, p", "signs, p (least)"]
    return [
        *(
            Grid(
                header,
                [_cluster_row(metric, level) for level in unseen[metric]["clusters"]],
                title=METRIC_NAMES[metric],
            )
            for metric in metrics
        ),
        f"Only data sets are independent of each other, and {are}: {reason}.",
        Grid(
            [f"all {num_setups} as independent", *(METRIC_NAMES[metric] for metric in metrics)],
            _whole_rows(unseen, metrics),
        ),
    ]


def _cluster_row(metric: Metric, level: dict[str, Any]) -> list[str]:
    test, scale = level["test"], _scale(metric)
    return [
        level["counts_once"],
        str(level["num"]),
        f"{test['mean'] / scale:+.2f}",
        f"{test['low'] / scale:+.2f} to {test['high'] / scale:+.2f}",
        say_p(test["p_two_sided"]),
        f"{say_p(level['p_sign_flip'])} ({say_p(level['p_sign_flip_smallest'])})",
    ]


def _whole_rows(unseen: dict[str, Any], metrics: Sequence[Metric]) -> list[list[str]]:
    by_name: dict[str, list[str]] = {}
    for metric in metrics:
        found, scale = unseen[metric], _scale(metric)
        test, ranks = found["test"], found["signed_rank"]
        without = found["leave_one_out"]
        means = [left["mean"] / scale for left in without]
        p_values = [left["p_two_sided"] for left in without if left["p_two_sided"] is not None]
        for name, text in {
            "t-test, p": say_p(test["p_two_sided"]),
            f"the same, Holm for {_number_of(found['num_holm'], 'metric')}": say_p(found["p_holm"]),
            "signed ranks, exact, p": say_p(ranks["p_two_sided"]),
            "differences tied or 0": str(found["num_tied"]),
            "sign test, p": say_p(found["p_sign"]),
            "median difference": f"{found['median'] / scale:+.2f}",
            "effect size d_z": _say_effect(test),
            "mean without one set-up": f"{min(means):+.2f} to {max(means):+.2f}",
            "p without one set-up": f"{say_p(min(p_values, default=None))} to "
            f"{say_p(max(p_values, default=None))}",
        }.items():
            by_name.setdefault(name, [name]).append(text)
    return list(by_name.values())


def _number_of(count: int, noun: str) -> str:
    word = {1: "one", 2: "two", 3: "three"}.get(count, str(count))
    return f"{word} {noun}{'' if count == 1 else 's'}"


def _scale(metric: Metric) -> int:
    return 1 if metric == "epochs" else 10


def _say_effect(test: dict[str, Any]) -> str:
    if test["effect_size"] is None:
        return NO_TEST
    return f"{test['effect_size']:+.2f} ({test['effect_low']:+.2f} to {test['effect_high']:+.2f})"


def say_p(p: float | None) -> str:
    """A p-value; a dash where there is none."""
    if p is None:
        return NO_TEST
    return f"{p:.1e}" if p < 0.001 else f"{p:.3f}"


def _say(value: float) -> str:
    return f"{value:.1e}" if 0 < value < 0.001 else f"{value:.4g}"


def _write_csv(target: Path) -> None:
    header = ["table", "network", "data", "size", "hair"]
    header += [f"{metric}_{loss}" for metric in METRICS for loss in ("iou", "bce")]
    rows = []
    for row in (row for table in TABLES.values() for row in table):
        values = [
            f"{value / 1000:.3f}" if metric != "epochs" else value
            for metric in METRICS
            for value in (row.pair(metric).iou, row.pair(metric).bce)
        ]
        hair = "yes" if row.hair else "no"
        rows.append([row.table, row.network, row.data, row.size, hair, *values])
    write_table(target, header, rows)
