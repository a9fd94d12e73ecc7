"""Seeds until the verdict is clear: looks, budgets, what is settled, and what a run remembers."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_judge import cells_of, comparison_of, fabricate, ious

from vesica import statistics
from vesica.data.library import Library
from vesica.errors import DataError
from vesica.judge import check_looks, judge_run
from vesica.judge.looks import Looks, read_looks
from vesica.plan import Cell
from vesica.results import Comparison, Findings, RunPlan, write_model
from vesica.run import Ready, Run
from vesica.until import Until, is_open, looks_up_to, read_duration, say_likely
from vesica.words import say_about, say_hours


def judge(run: Path, cells: list[Cell], margin: float | None = None) -> Findings:
    write_model(
        run / "plan.json", RunPlan(command="vesica compare", grows=True, cells=tuple(cells))
    )
    return judge_run(run, Library(run / "cache"), margin).findings


def fabricate_all(run: Path, cells: list[Cell], shift: float, noise: float = 0.01) -> None:
    """Each seed of each loss with noise of its own."""
    for cell in cells:
        own = np.random.default_rng([cell.seed, ord(cell.loss[0])]).normal(0, noise)
        fabricate(run, cell, ious(cell.seed, own + shift * (cell.loss == "iou")))


@pytest.mark.parametrize(
    ("most", "expected"),
    [(20, (3, 5, 8, 12, 20)), (3, (3,)), (10, (3, 5, 8, 10)), (40, (3, 5, 8, 12, 20, 40))],
)
def test_what_is_looked_at(most: int, expected: tuple[int, ...]) -> None:
    assert looks_up_to(most) == expected


@pytest.mark.parametrize(
    ("text", "hours"), [("2h", 2), ("90m", 1.5), ("90min", 1.5), ("36s", 0.01), ("0.5h", 0.5)]
)
def test_durations(text: str, hours: float) -> None:
    assert read_duration(text) == pytest.approx(hours)


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0h", "1e9h", "2 days", "9" * 400 + "h"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as 2h"):
        read_duration(text)


def test_hours_in_words() -> None:
    assert [say_hours(h) for h in (0, 0.001, 0.5, 3)] == [
        "0 min",
        "less than a minute",
        "30 min",
        "3.0 h",
    ]
    assert [say_about(h) for h in (0.001, 0.5)] == ["less than a minute", "about 30 min"]


def test_the_interval_knows_how_often_it_was_looked_at(tmp_path: Path) -> None:
    """At 5 seeds after a look at 3 it is wider than at 5 seeds at once; a look again costs none."""
    cells = cells_of(["bce", "iou"], 5)
    fabricate_all(tmp_path, cells, 0.02)
    for name in ("steps", "once"):
        (tmp_path / name).mkdir()
        fabricate_all(tmp_path / name, cells, 0.02)
    first = comparison_of(judge(tmp_path / "steps", cells[:6]))
    again = comparison_of(judge(tmp_path / "steps", cells[:6]))
    assert (first.looks, again.looks) == ((3,), (3,))
    assert (first.low, first.high) == (again.low, again.high)
    later = comparison_of(judge(tmp_path / "steps", cells))
    once = comparison_of(judge(tmp_path / "once", cells))
    assert (later.looks, once.looks) == ((3, 5), (5,))
    assert later.mean == once.mean
    assert later.low is not None
    assert once.low is not None
    assert later.low < once.low
    assert read_looks(tmp_path / "steps").before("", "bce", "iou") == (3, 5)


def test_a_run_of_fixed_seeds_has_one_planned_look(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    fabricate_all(tmp_path, cells, 0.02)
    write_model(tmp_path / "plan.json", RunPlan(command="", cells=tuple(cells)))
    fixed = comparison_of(judge_run(tmp_path, Library(tmp_path / "cache"), 0.005).findings)
    grown = comparison_of(judge(tmp_path, cells))
    assert fixed.looks is None
    assert grown.looks == (3,)
    assert fixed.low is not None
    assert grown.low is not None
    assert grown.low < fixed.low


def test_the_margin_is_fixed_at_the_first_look(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    fabricate_all(tmp_path, cells, 0.02)
    judge(tmp_path, cells, 0.01)
    judge(tmp_path, cells)
    judge(tmp_path, cells, 0.01)
    with pytest.raises(DataError, match="was looked at with a margin of 1 points"):
        judge(tmp_path, cells, 0.02)


def test_the_losses_are_fixed_at_the_first_look(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    fabricate_all(tmp_path, cells, 0.02)
    more = cells_of(["bce", "iou", "dice"], 3)
    check_looks(tmp_path, cells, more)
    judge(tmp_path, cells)
    check_looks(tmp_path, cells, cells_of(["bce", "iou"], 5))
    with pytest.raises(DataError, match="losses are fixed since then"):
        check_looks(tmp_path, cells, more)
    check_looks(tmp_path, cells, cells, 0.005)
    with pytest.raises(DataError, match=r"margin of 0\.5 points"):
        check_looks(tmp_path, cells, cells, 0.02)


def test_a_damaged_memory_is_named(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    fabricate_all(tmp_path, cells, 0.02)
    judge(tmp_path, cells)
    (tmp_path / "looks.json").write_text("{")
    with pytest.raises(DataError, match=r"looks\.json"):
        judge(tmp_path, cells)


def test_a_forgotten_look_is_known_from_the_results(tmp_path: Path) -> None:
    """Deleting the file, as the sentence about a damaged one says, makes no interval narrower."""
    for num in (3, 4, 5):
        cells = cells_of(["bce", "iou"], num)
        fabricate_all(tmp_path, cells, 0.02)
        whole = comparison_of(judge(tmp_path, cells, 0.01))
    (tmp_path / "looks.json").unlink()
    again = comparison_of(judge(tmp_path, cells))
    assert again.looks == whole.looks == (3, 4, 5)
    assert (again.low, again.high, again.verdict) == (whole.low, whole.high, whole.verdict)
    (tmp_path / "looks.json").unlink()
    with pytest.raises(DataError, match="was looked at with a margin of 1 points"):
        judge(tmp_path, cells, 0.02)


def test_a_margin_is_kept_without_the_results(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    fabricate_all(tmp_path, cells, 0.02)
    judge(tmp_path, cells, 0.01)
    (tmp_path / "results.json").unlink()
    assert judge(tmp_path, cells).margin == 0.01


def test_a_look_counts_whichever_loss_comes_first(tmp_path: Path) -> None:
    for num in (3, 4):
        cells = cells_of(["bce", "iou"], num)
        fabricate_all(tmp_path, cells, 0.02)
        forwards = comparison_of(judge(tmp_path, cells))
    backwards = comparison_of(judge(tmp_path, cells[::-1]))
    assert backwards.baseline == "iou"
    assert backwards.looks == forwards.looks == (3, 4)
    assert [look.num_seeds for look in read_looks(tmp_path).pairs] == [(3, 4)]
    assert backwards.mean == pytest.approx(-forwards.mean)
    assert backwards.standard_error == pytest.approx(forwards.standard_error)


def test_two_seeds_are_no_look(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 2)
    fabricate_all(tmp_path, cells, 0.02)
    judge(tmp_path, cells)
    assert read_looks(tmp_path) == Looks()


class FakeRun:
    """Judges what was 'trained', without training."""

    def __init__(self, folder: Path, shift: float, noise: float) -> None:
        self.folder, self.shift, self.noise = folder, shift, noise
        self.findings: Any = None

    def train(self, ready: Ready) -> None:
        fabricate_all(self.folder, list(ready.cells), self.shift, self.noise)
        self.findings = judge(self.folder, list(ready.cells))


def ready_of(cells: list[Cell], hours: float = 0.01) -> Any:
    cost: Any = SimpleNamespace(hours=hours, gain=1.0)
    nothing: Any = None
    return Ready(tuple(cells), cost, 1, (), nothing)


def look(folder: Path, until: Until, shift: float, noise: float, hours: float = 0.01) -> list[int]:
    """The numbers of seeds that are trained."""
    fake: Any = FakeRun(folder, shift, noise)
    seen = []
    for ready in until.over(fake, lambda cells: ready_of(cells, hours)):
        seen.append(len({cell.seed for cell in ready.cells}))
        fake.train(ready)
    return seen


LIKELY = 8
"""Of differences of 2, 3 and 4.3 points: mean 3.1, SD 1.2; half of the interval is 3.6 SD at 5
seeds (4.2 points) and below 2.6 SD at 8."""


def plan(num_seeds: int) -> list[Cell]:
    return cells_of(["bce", "iou"], num_seeds)


def test_seeds_are_added_until_it_is_clear(tmp_path: Path) -> None:
    assert look(tmp_path, Until(plan, looks_up_to(20)), 0.1, 0.0001) == [3]
    (tmp_path / "b").mkdir()
    noisy = look(tmp_path / "b", Until(plan, looks_up_to(20)), 0.02, 0.01)
    assert noisy[0] == 3
    assert len(noisy) > 1


def test_too_few_images_are_given_no_seeds(tmp_path: Path) -> None:
    fabricate_all(tmp_path, plan(3), 0.01, 0.02)
    (group,) = judge(tmp_path, plan(3)).groups
    (pair,) = group.comparisons
    assert is_open(group)
    for num_units, is_asked in ((statistics.MIN_UNITS, True), (14, False)):
        few = pair.model_copy(update={"num_units": num_units})
        assert is_open(group.model_copy(update={"comparisons": (few,)})) == is_asked


def test_the_most_seeds_end_it(tmp_path: Path) -> None:
    until = Until(plan, looks_up_to(5))
    assert look(tmp_path, until, 0.01, 0.02) == [3, 5]
    assert until.why_ended == "Ended at the most seeds allowed, 5."


def test_the_budget_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour passes whenever the clock is read: 4 cells more would pass the limit."""
    clock = itertools.count(0, 3600)
    monkeypatch.setattr("vesica.until.time.monotonic", lambda: float(next(clock)))
    until = Until(plan, looks_up_to(20), budget_h=2.5)
    assert look(tmp_path, until, 0.01, 0.02) == [3]
    # Two hours of 6 cells, so 4 more take 4/3 hours: 80 minutes.
    assert until.why_ended == (
        "Ended at 3 seeds: 5 would take about 80 min more, which is beyond the budget."
    )


def test_a_budget_that_is_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 seeds take about 2\.0 h, more than --budget 72 s"):
        look(tmp_path, Until(plan, looks_up_to(20), budget_h=0.02), 0.01, 0.02, hours=2.0)


def test_a_cheaper_plan_is_asked_for_once(tmp_path: Path) -> None:
    """Where it fits, it is trained; where it does not, the sentence names its hours."""
    asked = []

    def cheaper(hours: float, budget_h: float) -> bool:
        asked.append((hours, budget_h))
        return True

    hours = iter([2.0, 0.4, 0.01, 0.01])
    until = Until(plan, (3,), 0.5, cheaper)
    fake: Any = FakeRun(tmp_path, 0.1, 0.0001)
    for ready in until.over(fake, lambda cells: ready_of(cells, next(hours))):
        fake.train(ready)
    assert asked == [(2.0, 0.5)]
    with pytest.raises(DataError, match=r"3 seeds take about 2\.0 h, more than --budget 30 min"):
        look(tmp_path, Until(plan, (3,), 0.5, cheaper), 0.1, 0.0001, hours=2.0)


def test_what_is_likely_is_said(tmp_path: Path) -> None:
    cells = plan(3)
    for cell in cells:
        level = (0.02, 0.03, 0.043)[cell.seed] if cell.loss == "iou" else 0.0
        fabricate(tmp_path, cell, ious(cell.seed, level))
    found = judge(tmp_path, cells)
    comparison = comparison_of(found)
    assert (comparison.verdict, comparison.likely_seeds) == ("undecided", LIKELY)
    assert say_likely(found) == f"Probably settled with {LIKELY} seeds."


def test_likely_seeds_decide_if_nothing_changes() -> None:
    """With the mean and variances that were seen, the interval at that look excludes zero."""
    rng = np.random.default_rng(0)
    seeds = np.array([[0.02], [0.03], [0.043]])
    table = seeds + 0.002 * rng.standard_normal((3, 200))
    found = statistics.compare(table, earlier=())
    assert found.verdict == "undecided"
    likely = statistics.seeds_likely(found)
    assert likely in statistics.LOOKS
    assert likely is not None
    repeated = np.concatenate([table] * 40)[:likely]
    earlier = [number for number in statistics.LOOKS if number < likely]
    assert statistics.compare(repeated, earlier=earlier).excludes_zero


def test_a_run_that_grows_is_opened_as_one(tmp_path: Path) -> None:
    cells = plan(3)
    fabricate_all(tmp_path, cells, 0.02)
    judge(tmp_path, cells)
    assert Run(tmp_path).plan.grows
    (pair,) = Run(tmp_path, tmp_path / "cache").judge().findings.groups[0].comparisons
    assert isinstance(pair, Comparison)
    assert pair.looks == (3,)
