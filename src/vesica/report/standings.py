"""Losses against a baseline on several data sets or networks: a table of each, and the ranking."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from vesica import statistics
from vesica.judge import Judgement, Setting, adjust, data_name, judge_pair
from vesica.plan import Cell
from vesica.plans.axes import BY_DATA, BY_NETWORK
from vesica.report.sections import Block, Grid, Section
from vesica.report.summary import Analysis, Summary
from vesica.results import Comparison, Interval, Model, Unjudged
from vesica.spelling import shown
from vesica.words import MISSING, count_of, say_p

MIN_SETS = 4
"""Data sets below which a ranking has no interval."""

CSV_HEADER = (
    *("data", "network", "loss", "iou", "rank", "difference", "low", "high", "p_holm", "verdict"),
)


class Standing(Model):
    """A loss in one setting.

    Attributes:
        iou: Per image, mean over the seeds that all losses have; None where there are none.
        rank: Among the losses, 1 the best, ties share; None where a loss is not complete.
        difference: From the baseline, over seeds and test images, as the verdict takes it; None for
            the baseline and where there is none yet.
        p_holm: Adjusted for all losses against the baseline.
        num_failed: Runs that learned nothing, which the verdict leaves out and the rank counts.
    """

    loss: str
    iou: float | None
    rank: float | None
    difference: Interval | None = None
    p_holm: float | None = None
    verdict: str
    reason: str
    num_failed: int


class Table(Model):
    """One setting: a data set and a network.

    Attributes:
        images: Names the images; sets that share them are one set in the ranking.
        level: Of each interval, so that those of the table hold together.
    """

    data: str
    network: str
    images: str
    level: float
    rows: tuple[Standing, ...]


class Ranked(Model):
    """A loss over all data sets.

    Attributes:
        rank: The mean, with its interval over data sets from `MIN_SETS` on.
        difference: Mean of the differences from the baseline; None for the baseline itself.
        p_holm: Against no difference, adjusted for all losses.
    """

    loss: str
    rank: Interval
    difference: Interval | None
    p_holm: float | None


class Standings(Model):
    """All that a run of such a plan says.

    Attributes:
        ranking: The best mean rank first; empty where no data set is complete.
        num_sets: Data sets in it.
    """

    num_cells: int
    num_results: int
    margin: float
    baseline: str
    tables: tuple[Table, ...]
    ranking: tuple[Ranked, ...]
    num_sets: int


def analyse_standings(settings: Sequence[Setting], margin: float) -> Standings:
    """Every loss against the first one in each setting, and over the data sets."""
    tables = tuple(_make_table(setting, margin) for setting in settings)
    ranks, ious = _by_set(tables)
    names = settings[0].losses
    return Standings(
        num_cells=sum(len(setting.cells) for setting in settings),
        num_results=sum(len(setting.ended) for setting in settings),
        margin=margin,
        baseline=names[0],
        tables=tables,
        ranking=tuple(rank_over_sets(names, ranks, ious)),
        num_sets=len(ranks),
    )


def _make_table(setting: Setting, margin: float) -> Table:
    baseline, *others = setting.losses
    num_pairs = max(1, len(others))
    pairs = adjust([judge_pair(setting, (baseline, loss), margin, num_pairs) for loss in others])
    ious = _common_ious(setting)
    ranks = [None] * len(ious) if None in ious else rankdata([-(iou or 0) for iou in ious]).tolist()
    rows = [
        Standing(
            loss=loss,
            iou=iou,
            rank=rank,
            num_failed=len(setting.seeds_of(loss)) - len(setting.trained_seeds_of(loss)),
            **_against(pair),
        )
        for loss, iou, rank, pair in zip(setting.losses, ious, ranks, [None, *pairs], strict=True)
    ]
    cell = setting.cells[0]
    return Table(
        data=data_name(cell).replace(cell.data.name, cell.data.spelled, 1),
        network=shown(cell.model),
        images=cell.data.fingerprint,
        level=1 - (1 - statistics.LEVEL) / num_pairs,
        rows=tuple(rows),
    )


def _against(pair: Comparison | Unjudged | None) -> dict[str, Any]:
    """What the verdict says of a loss; nothing of the baseline."""
    if pair is None:
        return {"verdict": "", "reason": ""}
    said: dict[str, Any] = {"verdict": pair.verdict, "reason": pair.reason}
    if isinstance(pair, Comparison):
        said["difference"] = Interval(mean=pair.mean, low=pair.low, high=pair.high)
        said["p_holm"] = pair.p_value_holm
    return said


def _common_ious(setting: Setting) -> list[float | None]:
    """Of each loss, over the seeds that all of them have; None while runs are missing."""
    seeds = sorted(set.intersection(*(set(setting.seeds_of(loss)) for loss in setting.losses)))
    if setting.waiting or not seeds:
        return [None] * len(setting.losses)
    return [float(setting.by_unit(loss, seeds).mean()) for loss in setting.losses]


def _by_set(tables: Sequence[Table]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks and IoU of the complete settings, each of shape (data sets, losses); settings of the
    same images are averaged, as they are no further evidence on images."""
    losses = [row.loss for row in tables[0].rows]
    sets: dict[str, list[list[tuple[float, float]]]] = {}
    for table in tables:
        pairs = [(r.rank, r.iou) for r in table.rows if r.rank is not None and r.iou is not None]
        if len(pairs) == len(table.rows) and [row.loss for row in table.rows] == losses:
            sets.setdefault(table.images, []).append(pairs)
    means = np.array([np.mean(own, axis=0) for own in sets.values()]).reshape(-1, len(losses), 2)
    return means[..., 0], means[..., 1]


def rank_over_sets(
    names: Sequence[str], ranks: NDArray[np.float64], ious: NDArray[np.float64]
) -> list[Ranked]:
    """Mean ranks and mean differences with t-intervals over data sets, the best rank first.

    The noise of seeds is in every data set's value, so that an interval over sets holds it too.

    Args:
        names: Of the losses, the baseline first.
        ranks: Shape (data sets, losses).
        ious: Same shape, fractions.
    """
    if not len(ranks):
        return []
    level = 1 - (1 - statistics.LEVEL) / max(1, len(names) - 1)
    tests = [_over_sets(ious[:, i] - ious[:, 0], level) for i in range(1, len(names))]
    p_values = statistics.holm([1.0 if p is None else p for _, p in tests])
    found = []
    for index, name in enumerate(names):
        rank, _ = _over_sets(ranks[:, index], statistics.LEVEL)
        if rank.low is not None and rank.high is not None:
            ends = {"low": max(1.0, rank.low), "high": min(float(len(names)), rank.high)}
            rank = rank.model_copy(update=ends)
        difference, p = tests[index - 1] if index else (None, None)
        adjusted = None if p is None else p_values[index - 1]
        found.append(Ranked(loss=name, rank=rank, difference=difference, p_holm=adjusted))
    return sorted(found, key=lambda ranked: ranked.rank.mean)


def _over_sets(values: NDArray[np.float64], level: float) -> tuple[Interval, float | None]:
    if len(values) < MIN_SETS:
        return Interval(mean=float(values.mean()), low=None, high=None), None
    found = statistics.paired_t(values, level=level)
    return Interval(mean=found.mean, low=found.low, high=found.high), found.p_two_sided


# The page


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
        "learned nothing are left out of a difference, for both losses, and counted in IoU and "
        "rank."
    )
    tables: list[Block] = []
    for data in dict.fromkeys(table.data for table in found.tables):
        own = [table for table in found.tables if table.data == data]
        tables += [_grid(data, own), *_remarks(own)]
    ranking = [Section("Over the data sets", _ranking_blocks(found))] if num_losses > 2 else []
    return [Section("", [done]), *ranking, Section("Each data set", [*tables, how])]


def _ranking_blocks(found: Standings) -> list[Block]:
    if not found.ranking:
        return ["No data set has all its runs yet: nothing to rank."]
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
    return [said, Grid(header, rows)]


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
    """What is too long for a table: why a verdict is open, and runs that learned nothing."""
    has_networks = len({table.network for table in tables}) > 1
    by_remark: dict[str, list[str]] = {}
    for table in tables:
        for row in table.rows:
            name = f"{table.network} with {shown(row.loss)}" if has_networks else shown(row.loss)
            if row.verdict == "undecided":
                by_remark.setdefault(f"undecided: {row.reason}", []).append(name)
            if row.num_failed:
                remark = f"{count_of(row.num_failed, 'run')} learned nothing"
                by_remark.setdefault(remark, []).append(name)
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
    found = analyse_standings(judged.settings, judged.findings.margin)
    document, sections = found.model_dump(mode="json"), standings_sections(found)
    return Summary(name, title, document, sections, CSV_HEADER, list(_csv_rows(found)))


OF_LOSSES = Analysis("losses", (BY_DATA,), summarise_losses)
OF_ARCHITECTURES = Analysis("architectures", (BY_DATA, BY_NETWORK), summarise_architectures)
