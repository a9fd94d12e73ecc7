"""Tables 3 to 6, ours beside the published ones, and the paper's analysis of ours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vesica.plan import Cell
from vesica.published.recomputed import figures
from vesica.published.tables import LOSSES, METRICS, Loss, Metric
from vesica.replication import KINDS, MIN_SETUPS, Kind, is_whole, replicate
from vesica.report.examples import example_section
from vesica.report.published import UNSEEN_NOTE, say_p, unseen_blocks
from vesica.report.sections import Grid, Section
from vesica.report.summary import Summary
from vesica.statistics import INTERVAL_TOO_WIDE

TITLE = "The paper's tables, and ours"
NONE = "\N{EN DASH}"
CSV_HEADER = (
    *("table", "network", "data", "published_data", "size", "hair", "metric", "trained_with"),
    *("published", "ours", "ours_sd", "num_runs", "num_scored", "num_capped"),
)


def summarise_paper(
    run: Path, cells: Sequence[Cell], margin: float, judged: dict[str, Any] | None
) -> Summary:
    """The grid as far as it has results; the figures, which read the images, once it is judged."""
    document = replicate(run, cells, judged)
    figures_1_to_6 = None if judged is None else example_section(run, cells)
    return Summary(
        "paper",
        TITLE,
        document,
        [*replication_sections(document), *filter(None, [figures_1_to_6])],
        CSV_HEADER,
        [row for setup in document["setups"] for row in _csv_rows(setup)],
    )


def replication_sections(document: dict[str, Any]) -> list[Section]:
    """What was run, the tables, and both analyses."""
    setups = document["setups"]
    sections = [Section("", [_say_progress(document), *INTRODUCTION])]
    for number, differs in document["differs"].items():
        chosen = [setup for setup in setups if str(setup["table"]) == number]
        sections.append(_table(int(number), chosen, differs))
    sections += [_as_in_the_paper(document), _as_it_should_be(document)]
    return sections


INTRODUCTION = [
    "The paper does not say whether its IoU is that of masks or of probabilities. Ours is shown as "
    "both, each a mean over test images: of masks at threshold 1/2, and soft, eq. 3 on "
    "probabilities.",
    "Convergence counts every epoch trained, with those waited for; **capped** is a limit reached "
    "before convergence. Bold is better, in its row.",
]


def _say_progress(document: dict[str, Any]) -> str:
    ended, planned = document["num_results"], document["num_cells"]
    waiting = f" {planned - ended} are still to do." if ended < planned else ""
    return f"{ended} of {planned} cells have a result.{waiting} Made by `{document['command']}`."


# Tables


def _table(number: int, setups: Sequence[dict[str, Any]], differs: Sequence[str]) -> Section:
    first = setups[0]
    header = ["Name", "of"]
    for name in ("Accuracy", "IoU-Score", "Convergence"):
        header += [f"{name} L_IoU", f"{name} L_BCE"]
    rows = [row for setup in setups for row in _table_rows(setup)]
    title = f"Table {number}: {first['network']} on {first['published_data']}"
    otherwise = "; ".join(differs) if differs else "nothing that the paper states"
    blocks: list[str | Grid] = [
        f"**Otherwise than in the paper:** {otherwise}.",
        Grid(header, rows, num_words=2),
        *filter(None, [_say_troubles(setups)]),
    ]
    return Section(f"{title}; ours on {first['data']}", blocks)


def _table_rows(setup: dict[str, Any]) -> list[list[str]]:
    """The published values, and ours under either reading of IoU."""
    published, ours = setup["published"], setup["ours"]
    printed = [setup["name"], "the paper"]
    for metric in METRICS:
        values = [published[metric][loss] for loss in LOSSES]
        texts = [str(v) if metric == "epochs" else f"{v / 1000:.3f}" for v in values]
        printed += _bold(texts, values, lower_is_better=metric == "epochs")
    masks, soft = ["", "ours, masks"], ["", "ours, soft"]
    for name in ("accuracy", "iou_per_image"):
        masks += _score_cells([ours[loss] for loss in LOSSES], name)
    masks += _epoch_cells([ours[loss] for loss in LOSSES])
    soft += ["", "", *_score_cells([ours[loss] for loss in LOSSES], "iou_soft"), "", ""]
    return [printed, masks, soft]


def _score_cells(scores: Sequence[dict[str, Any]], name: str) -> list[str]:
    values = [score[name] for score in scores]
    return _bold([NONE if v is None else f"{v:.3f}" for v in values], values)


def _epoch_cells(scores: Sequence[dict[str, Any]]) -> list[str]:
    texts = [_say_epochs(score) for score in scores]
    is_known = all(score["num_capped"] == 0 for score in scores)
    values = [score["epochs"] if is_known else None for score in scores]
    return _bold(texts, values, lower_is_better=True)


def _say_epochs(score: dict[str, Any]) -> str:
    if score["epochs"] is None:
        return NONE
    if score["num_capped"] == score["num_scored"]:
        return "capped"
    at_least = "\N{GREATER-THAN OR EQUAL TO} " if score["num_capped"] else ""
    return f"{at_least}{score['epochs']:.0f}"


def _bold(
    texts: Sequence[str], values: Sequence[float | None], *, lower_is_better: bool = False
) -> list[str]:
    """The better one in bold, and both where they are level to the digits shown."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return list(texts)
    best = texts[values.index(min(known) if lower_is_better else max(known))]
    return [f"**{text}**" if text == best else text for text in texts]


def _say_troubles(setups: Sequence[dict[str, Any]]) -> str:
    """Runs that are missing, failed or collapsed."""
    told = []
    for setup in setups:
        for loss in LOSSES:
            score = setup["ours"][loss]
            waiting = score["num_runs"] - score["num_scored"] - score["num_failed"]
            parts = [
                f"{count} {word}"
                for count, word in (
                    (waiting, "to do"),
                    (score["num_failed"], "failed"),
                    (score["num_collapsed"], "collapsed to one class (counted in)"),
                )
                if count
            ]
            if parts:
                of = f"of {score['num_runs']}"
                told.append(f"{setup['name']}, {loss}: {', '.join(parts)} {of}")
    return f"Runs: {'; '.join(told)}." if told else ""


# Analyses


def _as_in_the_paper(document: dict[str, Any]) -> Section:
    """Section 5 on its tables and on ours."""
    analysis: dict[Kind, Any] = document["analysis"]
    num = analysis["iou_per_image"]["num"]
    by_kind = {
        kind: {figure["what"]: figure for figure in found["figures"]}
        for kind, found in analysis.items()
    }
    rows = [
        [figure.what, figure.stated]
        + [
            _say_figure(
                found.get(figure.what),
                is_capped=analysis[kind]["is_capped"] and "epochs" in figure.what,
            )
            for kind, found in by_kind.items()
        ]
        for figure in figures()
    ]
    left_out = [setup["name"] for setup in document["setups"] if not is_whole(setup)]
    note = f" Left out as not whole: {len(left_out)}." if left_out else ""
    return Section(
        "As in the paper",
        [
            f"The statistics of section 5 from {num} of our set-ups, rounded as its tables are, "
            f"and every set-up taken for independent; it has 16.{note}",
            Grid(["", "the paper", *(f"ours, {name}" for name in KINDS.values())], rows),
        ],
    )


def _say_figure(figure: dict[str, Any] | None, *, is_capped: bool) -> str:
    if figure is None:
        return "capped" if is_capped else "not testable"
    return str(figure["shown"])


def _as_it_should_be(document: dict[str, Any]) -> Section:
    found = document["analysis"]["iou_per_image"]
    blocks: list[str | Grid] = [
        "Each set-up with the uncertainty of seeds and test images, on IoU of masks; the "
        "soft difference and the published one stand beside it. In points, IoU loss "
        "minus BCE loss.",
        Grid(
            ["set-up", "masks", "interval", "verdict", "soft", "the paper"],
            [_verdict_row(setup) for setup in document["setups"]],
        ),
    ]
    if found["num"] < MIN_SETUPS or not found["unseen"]:
        blocks.append(
            f"Over set-ups: nothing, with {found['num']} of them whole; it takes {MIN_SETUPS}."
        )
        return Section("As it should be", blocks)
    blocks += [
        "Over set-ups, which share test and training images within a data set. " + UNSEEN_NOTE,
        *unseen_blocks(found["unseen"], found["num_data"], found["num"]),
    ]
    if found["categories"]:
        blocks.append(_categories(found["categories"]))
    return Section("As it should be", blocks)


def _verdict_row(setup: dict[str, Any]) -> list[str]:
    comparison = setup["comparison"] or {}
    mean, low, high = (comparison.get(name) for name in ("mean", "low", "high"))
    verdict = comparison.get("verdict", "not judged yet")
    # The interval beside it says this one, and a long column would hide what comes after it.
    reason = comparison.get("reason", "").replace(INTERVAL_TOO_WIDE, "")
    published = setup["published"]["iou"]
    return [
        f"{setup['network']}, {setup['data']}, {setup['name']}",
        NONE if mean is None else f"{100 * mean:+.1f}",
        NONE if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}",
        f"{verdict}: {reason}" if reason else verdict,
        _say_difference(setup["ours"], "iou_soft"),
        f"{(published['iou'] - published['bce']) / 10:+.1f}",
    ]


def _say_difference(ours: dict[Loss, dict[str, Any]], name: str) -> str:
    by_iou, by_bce = (ours[loss][name] for loss in LOSSES)
    return NONE if by_iou is None or by_bce is None else f"{100 * (by_iou - by_bce):+.1f}"


def _categories(categories: Sequence[dict[str, Any]]) -> Grid:
    return Grid(
        ["set-ups with", "mean, IoU of masks", "interval", "t-test, p", "Holm"],
        [
            [
                category["name"],
                f"{category['mean']:+.2f}",
                NONE
                if category["p"] is None
                else f"{category['low']:+.2f} to {category['high']:+.2f}",
                say_p(category["p"]),
                say_p(category["p_holm"]),
            ]
            for category in categories
        ],
        title="By category, set-ups taken for independent",
    )


# CSV

PUBLISHED_AS: dict[str, Metric] = {
    "accuracy": "accuracy",
    "iou_per_image": "iou",
    "iou_pooled": "iou",
    "iou_soft": "iou",
    "epochs": "epochs",
}


def _csv_rows(setup: dict[str, Any]) -> list[list[Any]]:
    head = [setup[name] for name in ("table", "network", "data", "published_data", "size")]
    rows = []
    for metric, name in PUBLISHED_AS.items():
        for loss in LOSSES:
            ours, published = setup["ours"][loss], setup["published"][name][loss]
            values = [
                published if name == "epochs" else published / 1000,
                ours[metric],
                ours[f"{metric}_sd"],
            ]
            rows.append(
                [*head, "yes" if setup["hair"] else "no", metric, loss]
                + ["" if value is None else value for value in values]
                + [ours[count] for count in ("num_runs", "num_scored", "num_capped")]
            )
    return rows
