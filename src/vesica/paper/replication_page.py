"""Tables 3 to 6, ours beside the published ones, and the paper's analysis of ours."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vesica import spelling
from vesica.judge import Judgement
from vesica.paper.examples import examples_section
from vesica.paper.grid import GROWS_BY
from vesica.paper.page_parts import HEADINGS, UNSEEN_NOTE, bold_better, printed_cells, unseen_blocks
from vesica.paper.published import LOSSES, Metric
from vesica.paper.replication import MIN_SETUPS, READINGS, Reading, is_whole, replicate
from vesica.paper.section_5 import section_5
from vesica.plan import Cell
from vesica.report.sections import Grid, Section
from vesica.report.summary import Analysis, Summary
from vesica.statistics import INTERVAL_TOO_WIDE
from vesica.words import MISSING, count_of, say_p

TITLE = "The paper's tables, and ours"
CSV_HEADER = (
    *("table", "network", "data", "published_data", "size", "hair", "metric", "trained_with"),
    *("published", "ours", "ours_sd", "num_runs", "num_scored", "num_capped"),
)
PUBLISHED_AS: dict[str, Metric] = {
    "accuracy": "accuracy",
    "iou_per_image": "iou",
    "iou_pooled": "iou",
    "iou_soft": "iou",
    "epochs": "epochs",
}
INTRODUCTION = [
    "The paper does not say whether its IoU is that of masks or of probabilities. Ours is shown as "
    "both, each a mean over test images: of masks at threshold 1/2, and soft, eq. 3 on "
    "probabilities.",
    "Convergence counts every epoch trained, with those waited for; **capped** is a limit reached "
    "before convergence. Bold is better, in its row.",
]


def summarise_grid(run: Path, cells: Sequence[Cell], judged: Judgement | None) -> Summary:
    """The grid as far as it has results; the figures, which read the images, once it is judged."""
    document = replicate(run, cells, judged)
    figures_1_to_6 = None if judged is None else examples_section(judged)
    return Summary(
        "paper",
        TITLE,
        document,
        [*replication_sections(document), *filter(None, [figures_1_to_6])],
        CSV_HEADER,
        [row for setup in document["setups"] for row in _csv_rows(setup)],
    )


ANALYSIS = Analysis("paper", GROWS_BY, summarise_grid, is_live=True)


def replication_sections(document: dict[str, Any]) -> list[Section]:
    """What was run, the tables, and both analyses."""
    setups, ended, planned = (document[n] for n in ("setups", "num_results", "num_cells"))
    note = document["note"]
    waiting = f" {planned - ended} are still to do." if ended < planned else ""
    made_by = " and ".join(f"`{command}`" for command in document["commands"])
    made = f"{ended} of {planned} cells have a result.{waiting} Made by {made_by}."
    return [
        Section("", [made, *([f"**The images:** {note}"] if note else []), *INTRODUCTION]),
        *(
            _table(number, [setup for setup in setups if str(setup["table"]) == number], differs)
            for number, differs in document["differs"].items()
        ),
        _as_in_the_paper(document),
        _as_it_should_be(document),
        *_averaged(document),
    ]


# Tables


def _table(number: str, setups: Sequence[dict[str, Any]], differs: Sequence[str]) -> Section:
    first = setups[0]
    header = ["Name", "of", *(f"{name} {loss}" for name in HEADINGS for loss in ("L_IoU", "L_BCE"))]
    otherwise = "; ".join(differs) if differs else "nothing that the paper states"
    troubles = [text for setup in setups for text in _troubles(setup)]
    return Section(
        f"Table {number}: {first['network']} on {first['published_data']}; ours on {first['data']}",
        [
            f"**Otherwise than in the paper:** {otherwise}.",
            Grid(header, [row for setup in setups for row in _table_rows(setup)], num_words=2),
            *([f"Runs: {'; '.join(troubles)}."] if troubles else []),
        ],
    )


def _table_rows(setup: dict[str, Any]) -> list[list[str]]:
    """The published values, and ours under either reading of IoU."""
    ours = [setup["ours"][loss] for loss in LOSSES]
    masks = [*_score_cells(ours, "accuracy"), *_score_cells(ours, "iou_per_image")]
    return [
        [setup["name"], "the paper", *printed_cells(setup["published"])],
        ["", "ours, masks", *masks, *_epoch_cells(ours)],
        ["", "ours, soft", "", "", *_score_cells(ours, "iou_soft"), "", ""],
    ]


def _score_cells(scores: Sequence[dict[str, Any]], name: str) -> list[str]:
    values = [score[name] for score in scores]
    return bold_better([MISSING if v is None else f"{v:.3f}" for v in values], values)


def _epoch_cells(scores: Sequence[dict[str, Any]]) -> list[str]:
    is_known = all(score["num_capped"] == 0 for score in scores)
    values = [score["epochs"] if is_known else None for score in scores]
    return bold_better([_say_epochs(score) for score in scores], values, lower_is_better=True)


def _say_epochs(score: dict[str, Any]) -> str:
    if score["epochs"] is None:
        return MISSING
    if score["num_capped"] == score["num_scored"]:
        return "capped"
    at_least = "\N{GREATER-THAN OR EQUAL TO} " if score["num_capped"] else ""
    return f"{at_least}{score['epochs']:.0f}"


def _troubles(setup: dict[str, Any]) -> list[str]:
    """Runs that are missing, failed or collapsed."""
    told = []
    for loss in LOSSES:
        score = setup["ours"][loss]
        counts = {
            "to do": score["num_runs"] - score["num_scored"] - score["num_failed"],
            "failed": score["num_failed"],
            "collapsed to one class (counted in)": score["num_collapsed"],
        }
        parts = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        if parts:
            told.append(f"{setup['name']}, {loss}: {parts} of {score['num_runs']}")
    return told


# Analyses


def _as_in_the_paper(document: dict[str, Any]) -> Section:
    """Section 5 on its tables and on ours."""
    analysis: dict[Reading, Any] = document["analysis"]

    def show(found: dict[str, Any], what: str) -> str:
        shown = [figure["shown"] for figure in found["figures"] if figure["what"] == what]
        is_capped = found["is_capped"] and "epochs" in what
        return str(shown[0]) if shown else "capped" if is_capped else "not testable"

    rows = [
        [number.what, number.stated, *(show(found, number.what) for found in analysis.values())]
        for number in section_5()
    ]
    num_left_out = sum(not is_whole(setup) for setup in document["setups"])
    note = f" Left out as not whole: {num_left_out}." if num_left_out else ""
    return Section(
        "As in the paper",
        [
            f"The statistics of section 5 from {analysis['iou_per_image']['num']} of our set-ups, "
            "rounded as its tables are, and every set-up taken for independent; it has 16." + note,
            Grid(["", "the paper", *(f"ours, {name}" for name in READINGS.values())], rows),
        ],
    )


def _as_it_should_be(document: dict[str, Any]) -> Section:
    found = document["analysis"]["iou_per_image"]
    blocks: list[str | Grid] = [
        "Each set-up with the uncertainty of seeds and test images, on IoU of masks; the "
        "soft difference and the published one stand beside it. In points, IoU loss "
        "minus BCE loss; ours are means over people, or images where nobody is named.",
        Grid(
            ["set-up", "masks", "interval", "verdict", "soft", "the paper"],
            [_verdict_row(setup) for setup in document["setups"]],
        ),
    ]
    if found["unseen"]:
        blocks += [
            f"Over set-ups, which share test and training images within a data set. {UNSEEN_NOTE}",
            *unseen_blocks(found["unseen"], found["num_data"], found["num"]),
            *([_categories(found["categories"])] if found["categories"] else []),
        ]
    else:
        blocks.append(
            f"Over set-ups: nothing, with {found['num']} of them whole; it takes {MIN_SETUPS}."
        )
    return Section("As it should be", blocks)


def _verdict_row(setup: dict[str, Any]) -> list[str]:
    comparison = setup["comparison"] or {}
    mean, low, high = (comparison.get(name) for name in ("mean", "low", "high"))
    verdict = comparison.get("verdict", "not judged yet")
    # The interval beside it says this one, and a long column would hide what comes after it.
    reason = comparison.get("reason", "").replace(INTERVAL_TOO_WIDE, "")
    published = setup["published"]["iou"]
    soft = comparison.get("soft")
    return [
        _full_name(setup),
        MISSING if mean is None else f"{100 * mean:+.1f}",
        MISSING if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}",
        f"{verdict}: {reason}" if reason else verdict,
        MISSING if soft is None else f"{100 * soft['difference']['mean']:+.1f}",
        f"{(published['iou'] - published['bce']) / 10:+.1f}",
    ]


def _averaged(document: dict[str, Any]) -> list[Section]:
    """Whether the sign of a difference outlives the noise of single steps."""
    setups = [setup for setup in document["setups"] if setup["averaged"] and is_whole(setup)]
    if not setups:
        return []
    average = spelling.shown(setups[0]["averaged"]["average"])
    header = ["L_IoU", "L_BCE", "difference"]
    return [
        Section(
            "With the noise averaged away",
            [
                f"The same trainings, scored once more: an average of the weights ({average}) was "
                "kept beside them, which changed no step. It is scored where the paper's rule ends "
                "training; the weights are scored at the epoch that the rule keeps. IoU of masks, "
                "means over images; differences are IoU loss minus BCE loss, in points, as above "
                "means over people.",
                Grid(
                    ["set-up", *header, *(f"{name}, averaged" for name in (*header, "verdict"))],
                    [_averaged_row(setup) for setup in setups],
                ),
                *say_ahead(setups),
            ],
        )
    ]


def say_ahead(setups: Sequence[dict[str, Any]]) -> list[str]:
    """Of the set-ups in which both losses trained, how often IoU loss is ahead, and by how much."""
    found = [(_ahead(setup), _ahead(setup["averaged"])) for setup in setups]
    pairs = [(a, b) for a, b in found if a is not None and b is not None]
    if not pairs:
        return []
    by_weights, by_average = zip(*pairs, strict=True)
    num_other = sum((a > 0) != (b > 0) for a, b in pairs)
    return [
        f"IoU loss is ahead in {sum(d > 0 for d in by_weights)} of "
        f"{count_of(len(pairs), 'set-up')} by the weights, by "
        f"{statistics.fmean(by_weights):+.1f} points on average, and in "
        f"{sum(d > 0 for d in by_average)} by their average, by "
        f"{statistics.fmean(by_average):+.1f}; in {num_other} the two do not agree on "
        "which loss is ahead."
    ]


def _averaged_row(setup: dict[str, Any]) -> list[str]:
    comparison = setup["averaged"]["comparison"] or {}
    cells = []
    for found in (setup, setup["averaged"]):
        values = [found["ours"][loss]["iou_per_image"] for loss in LOSSES]
        cells += bold_better([MISSING if v is None else f"{v:.3f}" for v in values], values)
        ahead = _ahead(found)
        cells += [MISSING if ahead is None else f"{ahead:+.1f}"]
    return [_full_name(setup), *cells, comparison.get("verdict", "not judged yet")]


def _ahead(found: dict[str, Any]) -> float | None:
    """IoU loss minus BCE loss, in points; None where there is no seed with which both trained."""
    mean = (found["comparison"] or {}).get("mean")
    return None if mean is None else float(100 * mean)


def _full_name(setup: dict[str, Any]) -> str:
    return f"{setup['network']}, {setup['data']}, {setup['name']}"


def _categories(categories: Sequence[dict[str, Any]]) -> Grid:
    return Grid(
        ["set-ups with", "mean, IoU of masks", "interval", "t-test, p", "Holm"],
        [
            [
                c["name"],
                f"{c['mean']:+.2f}",
                MISSING if c["p"] is None else f"{c['low']:+.2f} to {c['high']:+.2f}",
                say_p(c["p"]),
                say_p(c["p_holm"]),
            ]
            for c in categories
        ],
        title="By category, set-ups taken for independent",
    )


def _csv_rows(setup: dict[str, Any]) -> list[list[Any]]:
    head = [setup[name] for name in ("table", "network", "data", "published_data", "size")]
    head.append("yes" if setup["hair"] else "no")
    rows = []
    for metric, name in PUBLISHED_AS.items():
        for loss in LOSSES:
            ours, published = setup["ours"][loss], setup["published"][name][loss]
            printed = published if name == "epochs" else published / 1000
            scores = ["" if ours[n] is None else ours[n] for n in (metric, f"{metric}_sd")]
            counts = [ours[count] for count in ("num_runs", "num_scored", "num_capped")]
            rows.append([*head, metric, loss, printed, *scores, *counts])
    return rows
