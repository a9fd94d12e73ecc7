"""The page of the standings: the ranking, every data set, and what is too long for a table."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vesica.judge import Judgement
from vesica.plan import Cell
from vesica.plans.axes import BY_DATA, BY_NETWORK
from vesica.report.sections import Block, Grid, Section
from vesica.report.standings import MIN_SETS, Standing, Standings, Table, analyse_standings
from vesica.report.summary import Analysis, Summary
from vesica.results import Interval
from vesica.spelling import shown
from vesica.words import MISSING, count_of, say_p

STILL_RISING = (
    "still rising when the steps ended, by points of validation IoU in the last quarter; with more "
    "of them the difference may be another"
)
CSV_HEADER = (
    *("data", "network", "loss", "iou", "rank", "difference", "low", "high", "p_holm", "verdict"),
)


def standings_sections(found: Standings) -> list[Section]:
    """The ranking first, then every data set."""
    num_losses = len(found.tables[0].rows)
    done = (
        f"{found.num_results} of {found.num_cells} cells have a result. Every loss against "
        f"**{shown(found.baseline)}** on the same seeds and test images; differences are in points "
        "of per-image IoU."
    )
    how = (
        f"Each interval has a level of {100 * found.tables[0].level:.3g} %, so that those of a "
        "data set and network hold together; p is adjusted by Holm for the same tests. Runs that "
        "failed or learned nothing are left out of a difference, for both losses, and counted in "
        "IoU and rank, where one that failed is worth 0."
    )
    tables: list[Block] = []
    for data in dict.fromkeys(table.data for table in found.tables):
        own = [table for table in found.tables if table.data == data]
        tables += [_grid(data, own), *_remarks(own)]
    ranking = [Section("Over the data sets", _ranking_blocks(found))] if num_losses > 2 else []
    return [Section("", [done]), *ranking, Section("Each data set", [*tables, how])]


def _ranking_blocks(found: Standings) -> list[Block]:
    if not found.ranking:
        return ["Nothing to rank: no data set has all its runs yet, or none of them has scores."]
    sets = count_of(found.num_sets, "data set")
    rows = [
        [
            shown(r.loss),
            f"{r.rank.mean:.1f}",
            _interval(r.rank),
            *_figures(r.difference),
            say_p(r.p_holm),
        ]
        for r in found.ranking
    ]
    header = ["loss", "mean rank", "interval", "difference", "interval", "p"]
    fewer = [
        f"{shown(r.loss)} ({r.num_sets})"
        for r in found.ranking
        if r.loss != found.baseline and r.num_sets < found.num_sets
    ]
    remarks = [f"Data sets that have a difference: {', '.join(fewer)}."] if fewer else []
    if found.num_sets < MIN_SETS:
        said = (
            f"**Too few to rank:** {sets}, and what holds for others takes {MIN_SETS} or more. "
            "Pass more DATA with the same `--out`; the order below is that of these images alone."
        )
    else:
        said = (
            f"Ranks (1 is the best) and differences over {sets}, each counted once, with intervals "
            "over data sets: for further sets like these. Where a loss has the same rank in all of "
            "them its interval is one number, which so few sets do not warrant."
        )
    return [said, Grid(header, rows), *remarks]


def _grid(data: str, tables: Sequence[Table]) -> Grid:
    has_networks = len({table.network for table in tables}) > 1
    header = ["network"] * has_networks + ["loss", "IoU", "rank", "difference"]
    header += ["interval", "p", "verdict"]
    rows = [[table.network] * has_networks + _row(row) for table in tables for row in table.rows]
    return Grid(header, rows, num_words=1 + has_networks, title=data)


def _row(row: Standing) -> list[str]:
    iou = MISSING if row.iou is None else f"{row.iou:.3f}"
    rank = MISSING if row.rank is None else f"{row.rank:g}"
    figures = [*_figures(row.difference), say_p(row.p_holm)]
    return [shown(row.loss), iou, rank, *figures, row.verdict or "baseline"]


def _remarks(tables: Sequence[Table]) -> list[str]:
    """What is too long for a table: why a verdict is open, and runs that did not train."""
    has_networks = len({table.network for table in tables}) > 1
    by_remark: dict[str, list[str]] = {}
    for table in tables:
        for row in table.rows:
            name = f"{table.network} with {shown(row.loss)}" if has_networks else shown(row.loss)
            if row.verdict == "undecided":
                by_remark.setdefault(f"undecided: {row.reason}", []).append(name)
            if row.num_failed:
                remark = f"{count_of(row.num_failed, 'run')} failed or learned nothing"
                by_remark.setdefault(remark, []).append(name)
            if row.rise is not None:
                by_remark.setdefault(STILL_RISING, []).append(f"{name} ({100 * row.rise:+.1f})")
    return [f"{', '.join(names)}: {remark}." for remark, names in by_remark.items()]


def _figures(found: Interval | None) -> list[str]:
    """In points."""
    if found is None:
        return [MISSING, MISSING]
    return [f"{100 * found.mean:+.1f}", _interval(found, 100, "+")]


def _interval(found: Interval, scale: float = 1, sign: str = "") -> str:
    if found.low is None or found.high is None:
        return MISSING
    return f"{scale * found.low:{sign}.1f} to {scale * found.high:{sign}.1f}"


def _csv_rows(found: Standings) -> Iterator[list[Any]]:
    for table in found.tables:
        for row in table.rows:
            ends = row.difference
            yield [
                *(table.data, table.network, shown(row.loss), row.iou, row.rank),
                *((ends.mean, ends.low, ends.high) if ends else (None, None, None)),
                *(row.p_holm, row.verdict),
            ]


def summarise_losses(run: Path, cells: Sequence[Cell], judged: Judgement | None) -> Summary:
    """The losses against each other."""
    return _summarise("losses", "Which loss, over several data sets?", judged)


def summarise_architectures(run: Path, cells: Sequence[Cell], judged: Judgement | None) -> Summary:
    """The losses on several networks."""
    return _summarise("architectures", "Does it hold on other networks?", judged)


def _summarise(name: str, title: str, judged: Judgement | None) -> Summary:
    assert judged is not None  # it is not written while cells run
    found = analyse_standings(judged.of_weights, judged.findings.margin)
    document, sections = found.model_dump(mode="json"), standings_sections(found)
    return Summary(name, title, document, sections, CSV_HEADER, list(_csv_rows(found)))


OF_LOSSES = Analysis("losses", (BY_DATA,), summarise_losses)
OF_ARCHITECTURES = Analysis("architectures", (BY_DATA, BY_NETWORK), summarise_architectures)
