"""A run, judged: `results.json` and `results.csv`."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vesica import provenance, statistics
from vesica.data.library import MAP_STRIDES, Library
from vesica.errors import DataError
from vesica.judge.advice import advise, advise_longer, advise_more_steps
from vesica.judge.baselines import choose_beside, score_baselines
from vesica.judge.classes import judge_classes, say_classes
from vesica.judge.damage import say_damage
from vesica.judge.looks import Looks, read_looks, write_looks
from vesica.judge.metrics import score_own
from vesica.judge.pairs import adjust, judge_pair
from vesica.judge.rising import find_rising, say_rising
from vesica.judge.sentences import say_pair
from vesica.judge.setting import Setting, read_settings
from vesica.plan import Cell, flatten
from vesica.results import (
    METRICS,
    CellResult,
    EndedCell,
    Findings,
    GroupFindings,
    LossMeans,
    LossRow,
    MeanScores,
    RunPlan,
    read_findings,
    read_plan,
    write_model,
    write_table,
)
from vesica.spelling import Spelled, shown

OUTCOME = ("status", *METRICS, "epochs", "ended_by", "kept_epoch", "train_time_s")
"""Columns of `results.csv` behind a cell's fields."""


@dataclass(frozen=True)
class Judgement:
    """A run with all that was read to judge it.

    Attributes:
        run: Its folder.
        plan: What it was begun with.
        settings: In the order of `findings.groups`; those of averages beside the weights are last.
        library: Whose data sets are open.
    """

    run: Path
    plan: RunPlan
    settings: tuple[Setting, ...]
    findings: Findings
    library: Library

    @property
    def of_weights(self) -> tuple[Setting, ...]:
        """The settings without those of averages beside the weights."""
        return tuple(setting for setting in self.settings if not setting.is_beside)


def judge_run(
    run: Path, library: Library, margin: float | None = None, metrics: Sequence[Spelled] = ()
) -> Judgement:
    """Judge what is there and write `results.json` and `results.csv`.

    Args:
        run: The run's folder.
        library: Opens the images, for the scores without a network.
        margin: Differences of per-image IoU smaller than this do not matter; None: as when the
            run was judged last.
        metrics: The user's own, to be asked too.

    Raises:
        DataError: If the folder is no run, or a file in it is damaged.
    """
    plan = read_plan(run)
    looks = read_looks(run) if plan.grows else None
    if margin is None and looks is not None:
        margin = looks.margin
    if margin is None:
        before = read_findings(run)
        margin = statistics.MARGIN if before is None else before.margin
    own = read_settings(run, plan.cells)
    settings = (*own, *read_settings(run, plan.cells, is_beside=True))
    if looks is not None:
        margin = looks.fix_margin(run, margin)
    groups = tuple(
        _guide(
            setting, _judge_setting(setting, library, margin, metrics, looks), plan, run, library
        )
        for setting in settings
    )
    if looks is not None:
        write_looks(run, looks.after(groups, margin))
    findings = Findings(
        command=plan.command,
        versions=provenance.versions(),
        margin=margin,
        num_cells=len(plan.cells),
        num_results=sum(len(setting.ended) for setting in own),
        groups=groups,
        verdict=" ".join(sentence for group in groups for sentence in group.verdict),
        damage=say_damage(run, [found for setting in settings for found in setting.ended.values()]),
    )
    write_model(run / "results.json", findings)
    by_key = {found.cell.key: found for s in own for found in s.ended.values()}
    _write_csv(run / "results.csv", [by_key[c.key] for c in plan.cells if c.key in by_key])
    return Judgement(run, plan, settings, findings, library)


def _judge_setting(
    setting: Setting,
    library: Library,
    margin: float,
    metrics: Sequence[Spelled],
    looks: Looks | None,
) -> GroupFindings:
    first = setting.cells[0]
    pairs = list(itertools.combinations(setting.losses, 2))
    earlier = [looks.before(setting.label, *pair) if looks else None for pair in pairs]
    comparisons = adjust(
        [
            judge_pair(setting, pair, margin, len(pairs), before)
            for pair, before in zip(pairs, earlier, strict=True)
        ]
    )
    classes = judge_classes(setting, pairs, margin, earlier)
    baselines, notes = _baselines(setting, library)
    beside, why_beside = _beside(first, library)
    own = score_own(setting, library, metrics)
    rows = tuple(_loss_row(loss, setting.of(loss), own.get(loss, {})) for loss in setting.losses)
    where = f"{data_name(first)}{f' ({setting.label})' if setting.label else ''}"
    if setting.label.startswith(first.data.spelled):  # it tells more than the name
        where = setting.label
    return GroupFindings(
        label=setting.label,
        data=data_name(first),
        target=first.data.target,
        setting=first.setting(),
        losses=rows,
        baselines=baselines,
        beside=beside,
        why_beside=why_beside,
        notes=tuple(notes),
        comparisons=tuple(comparisons),
        sentences=tuple(say_pair(comparison, where) for comparison in comparisons),
        classes=classes,
        class_sentences=say_classes(classes),
    )


def _guide(
    setting: Setting, group: GroupFindings, plan: RunPlan, run: Path, library: Library
) -> GroupFindings:
    """The findings with what is to be read first, and what to do next."""
    warning, is_nothing = _compare_with_baselines(group.losses, group.baselines)
    advice = advise(setting, group.comparisons, plan, run, library)
    rising = {} if is_nothing or (plan.choices or {}).get("quick") else find_rising(setting)
    if is_nothing and not setting.waiting:  # no verdict between such losses is worth a seed
        advice = advise_longer(setting, plan, run)
    elif rising and not setting.waiting:
        advice = [*advise_more_steps(setting, plan, run), *advice]
    if setting.is_beside:  # of the same runs, for which it is said already
        advice = []
    said = {"warnings": tuple(warning), "rising": say_rising(rising), "advice": tuple(advice)}
    return group.model_copy(update=said)


def _compare_with_baselines(
    rows: Sequence[LossRow], baselines: Mapping[str, MeanScores]
) -> tuple[list[str], bool]:
    """Name the losses whose networks are no better than a mask without a network; and whether
    none is better."""
    known = {name: s.iou_per_image for name, s in baselines.items() if s.iou_per_image is not None}
    scored = {r.loss: r.iou_per_image for r in rows if r.iou_per_image is not None}
    if not known or not scored:
        return [], False
    name, best = max(known.items(), key=lambda item: item[1])
    beaten = [loss for loss, iou in scored.items() if iou <= best]
    if not beaten:
        return [], False
    is_nothing = len(beaten) == len(scored)
    opening = "Do not trust this: nothing was learned." if is_nothing else "Not every loss learned."
    losses = ", ".join(map(shown, beaten))
    return [f"{opening} No better than the {name} ({best:.3f}): {losses}."], is_nothing


def _beside(cell: Cell, library: Library) -> tuple[str, str]:
    """The metric that the masks ask for; nothing where they cannot be read, or it is not known."""
    try:
        return choose_beside(library.arrays(cell.data, cell.size), library.split(cell.data))
    except DataError:
        return "", ""


def _baselines(setting: Setting, library: Library) -> tuple[dict[str, MeanScores], list[str]]:
    """Means over the folds, where there are several."""
    cells = list({cell.data.fold: cell for cell in setting.cells}.values())
    try:
        found = [
            score_baselines(
                library.arrays(cell.data, cell.size),
                library.split(cell.data),
                empty=cell.empty,
                is_exclusive=cell.data.classes,
            )
            for cell in cells
        ]
    except DataError as error:
        return {}, [f"No scores without a network: {error}"]
    baselines = {
        name: MeanScores(
            **{key: float(np.mean([scores[name][key] for scores in found])) for key in values}
        )
        for name, values in found[0].items()
    }
    stride_px = MAP_STRIDES.get(cells[0].network_name, 1)
    return baselines, library.describe(cells[0].data, cells[0].size, stride_px, cells[0].long_side)


def _loss_row(loss: str, ended: Sequence[EndedCell], own: dict[str, float]) -> LossRow:
    by_seed: dict[int, list[CellResult]] = {}
    for found in ended:
        if found.result.has_scores:
            by_seed.setdefault(found.cell.seed, []).append(found.result)
    values = {name: _values(by_seed.values(), name) for name in (*METRICS, "epochs")}
    means = {name: float(np.mean(found)) for name, found in values.items() if found}
    sds = {name: float(np.std(v, ddof=1)) for name, v in values.items() if len(v) > 1}
    scored = [result for results in by_seed.values() for result in results]
    one_seed = next(iter(by_seed.values()), [])
    return LossRow(
        loss=loss,
        num_seeds=len(by_seed),
        num_collapsed=sum(found.result.status == "collapsed" for found in ended),
        num_failed=len(ended) - len(scored),
        num_censored=sum(
            f.result.ended_by == "epochs" and f.cell.recipe.patience > 0
            for f in ended
            if f.result.has_scores
        ),
        num_empty=sum(result.num_empty for result in one_seed),
        **means,
        sd=LossMeans(**sds),
        own=own,
    )


def _values(seeds: Iterable[Sequence[CellResult]], name: str) -> list[float]:
    """Of each seed the mean over its folds."""
    known = ([value for r in results if (value := r[name]) is not None] for results in seeds)
    return [float(np.mean(values)) if len(values) > 1 else values[0] for values in known if values]


def _write_csv(target: Path, ended: Sequence[EndedCell]) -> None:
    header = ["key", *flatten(ended[0].cell.identity())] if ended else ["key"]
    rows = [
        [found.folder.name, *flatten(found.cell.identity()).values()]
        + [getattr(found.result, name) for name in OUTCOME]
        for found in ended
    ]
    write_table(target, [*header, *OUTCOME], rows)


def data_name(cell: Cell) -> str:
    """What sentences call a cell's images: the folder's name and the target."""
    name = cell.data.name
    if cell.data.classes:
        return f"{name}, {len(cell.data.class_names)} classes"
    return f"{name}, {cell.data.target}" if cell.data.target not in (None, "foreground") else name
