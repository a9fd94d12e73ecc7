"""What the report says first and what to do next: the command, when followed, is the right one."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_judge import cells_of, comparison_of, fabricate, ious, judge
from test_report import NewRun, cache, new_run  # noqa: F401 - fixtures
from typer.testing import CliRunner

from vesica.cli import app
from vesica.data.library import Library
from vesica.judge import judge_run, read_settings
from vesica.judge.advice import Route, _change
from vesica.judge.sentences import say_pair
from vesica.plan import Cell, replace
from vesica.report.sections import to_markdown
from vesica.report.standings import analyse_standings
from vesica.report.standings_page import standings_sections
from vesica.results import (
    Comparison,
    Decision,
    Findings,
    Interval,
    RunPlan,
    write_model,
    write_table,
)

COMMAND = "vesica compare photos --losses bce,iou"


def judge_growing(run: Path, cells: list[Cell], command: str = COMMAND) -> Findings:
    plan = RunPlan(command=command, grows=True, cells=tuple(cells))
    write_model(run / "plan.json", plan)
    return judge_run(run, Library(run / "cache"), 0.005).findings


def next_of(found: Findings) -> list[str]:
    """The words of the only command that is advised."""
    ((advice,),) = (group.advice for group in found.groups)
    return shlex.split(advice.split("`")[1])


def fabricate_seeds(run: Path, num: int, spread: float, losses: Any = ("bce", "iou")) -> list[Cell]:
    """Runs whose difference varies from seed to seed."""
    cells = cells_of(list(losses), num)
    for cell in cells:
        shift = spread * [1, -0.7, 0.3, 0.1, -0.4][cell.seed] + 0.02 if cell.loss != "bce" else 0
        fabricate(run, cell, ious(cell.seed, shift, noise=0.01), train_time_s=100.0)
    return cells


def test_a_clear_verdict_needs_nothing(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    for cell in cells:
        fabricate(tmp_path, cell, ious(cell.seed, 0.05 if cell.loss == "iou" else 0.0))
    found = judge_growing(tmp_path, cells)
    assert comparison_of(found).verdict == "better"
    assert not found.groups[0].advice
    assert not found.groups[0].warnings


def test_undecided_by_seeds_asks_for_as_many_as_settle_it(tmp_path: Path) -> None:
    found = judge_growing(tmp_path, fabricate_seeds(tmp_path, 3, 0.02))
    pair = comparison_of(found)
    assert pair.verdict == "undecided"
    assert pair.likely_seeds is not None
    words = next_of(found)
    assert words == [
        *shlex.split(COMMAND),
        *("--max-seeds", str(pair.likely_seeds), "--out", str(tmp_path)),
    ]
    assert "probably settle it" in " ".join(found.groups[0].advice)
    minutes = 200 * (pair.likely_seeds - 3) / 60
    assert f"in about {minutes:.0f} min" in found.groups[0].advice[0]


def fabricate_rising(
    run: Path, rise: dict[str, float], num_epochs: int, **fields: Any
) -> list[Cell]:
    """Clear verdicts, and validation IoU that rises by so much in the last quarter."""
    fixed = {"keep": "last", "patience": 0, "steps": 100, "max_epochs": num_epochs} | fields
    cells = [replace(cell, **fixed) for cell in cells_of(list(rise), 3)]
    for cell in cells:
        shift = 0.05 if cell.loss == "iou" else 0.0
        found = fabricate(run, cell, ious(cell.seed, shift), epochs=num_epochs, train_time_s=100.0)
        values = np.full(num_epochs, 0.5)
        values[-1 - num_epochs // 4 + 1 :] += rise[cell.loss]
        rows = [[n + 1, 1, 1, iou, False, 1] for n, iou in enumerate(values)]
        header = ["epoch", "train_loss", "val_loss", "val_iou", "is_one_class", "time_s"]
        write_table(found.folder / "history.csv", header, rows)
    return cells


def test_a_loss_that_is_still_rising_asks_for_more_steps(tmp_path: Path) -> None:
    found = judge_growing(tmp_path, fabricate_rising(tmp_path, {"bce": 0.05, "iou": 0.01}, 8))
    assert not found.groups[0].warnings
    assert "in the last quarter: bce (+5.0). With more steps" in found.groups[0].rising
    assert found.verdict.endswith(found.groups[0].rising)
    assert comparison_of(found).verdict == "better"
    words = next_of(found)
    assert words[-4:] == ["--steps", "200", "--out", f"{tmp_path}-longer"]


@pytest.mark.parametrize(
    ("rise", "num_epochs", "fields"),
    [
        (0.01, 8, {}),
        (0.05, 3, {}),  # no quarter to look at
        (0.05, 8, {"keep": "best", "patience": 3}),  # patience says it
    ],
)
def test_what_has_arrived_or_cannot_be_known_is_not_called_rising(
    rise: float, num_epochs: int, fields: dict[str, Any], tmp_path: Path
) -> None:
    cells = fabricate_rising(tmp_path, {"bce": rise, "iou": rise}, num_epochs, **fields)
    assert not judge_growing(tmp_path, cells).groups[0].rising


def test_a_plan_of_its_own_says_what_is_still_rising(tmp_path: Path) -> None:
    cells = fabricate_rising(tmp_path, {"bce": 0.05, "iou": 0.01}, 8)
    found = analyse_standings(read_settings(tmp_path, cells), 0.005)
    assert [row.rise for row in found.tables[0].rows] == [pytest.approx(0.05), None]
    page = to_markdown("", standings_sections(found))
    assert "bce (+5.0): still rising when the steps ended" in page


def test_a_first_look_asks_for_the_whole_comparison(tmp_path: Path) -> None:
    run = tmp_path / "run"
    cells = fabricate_seeds(run, 3, 0.02)
    command = "vesica compare --quick photos --losses bce,iou --out run"
    plan = RunPlan(command=command, grows=True, cells=tuple(cells), choices={"quick": True})
    write_model(run / "plan.json", plan)
    words = next_of(judge_run(run, Library(run / "cache"), 0.005).findings)
    assert words == [*shlex.split(COMMAND), "--out", f"{run}-whole"]


def test_options_that_are_in_the_way_are_taken_out() -> None:
    route = Route({"--seeds": None, "--max-seeds": "8"}, "", "", 0.0)
    for given in ("--seeds 3", "--seeds=3", "--max-seeds=5 --seeds 2"):
        command = f"vesica compare 'my photos' {given} --out old --size 64"
        assert shlex.split(_change(command, route, Path("new run"))) == [
            *("vesica", "compare", "my photos", "--size", "64"),
            *("--max-seeds", "8", "--out", "new run"),
        ]
    for other in ("vesica run plan.py", "python mine.py", "", "vesica", "vesica compare 'x"):
        assert _change(other, route, Path("run")) == ""
    earlier = _change("vesica compare a --seeds 3 --max-seeds 5", Route({}, "", "", 0), Path("b"))
    assert earlier == "vesica compare a --seeds 3 --out b"
    assert _change("vesica demo", route, Path("run")) == "vesica demo --max-seeds 8 --out run"
    longer = Route({"--steps": None, "--epochs": "48"}, "", "", 0.0)
    assert _change("vesica demo", longer, Path("run")) == ""  # it has no such option


@pytest.mark.parametrize("num", [1, 2])
def test_too_few_seeds_ask_for_three(num: int, tmp_path: Path) -> None:
    command = f"{COMMAND} --seeds {num} --out elsewhere"
    words = next_of(judge_growing(tmp_path, fabricate_seeds(tmp_path, num, 0.02), command))
    assert words[-4:] == ["--max-seeds", "3", "--out", str(tmp_path)]
    assert "--seeds" not in words
    assert "elsewhere" not in words


def test_runs_that_are_missing_ask_for_the_same_command(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    for cell in cells[:-1]:
        fabricate(tmp_path, cell, ious(cell.seed))
    words = next_of(judge_growing(tmp_path, cells))
    assert words == [*shlex.split(COMMAND), "--out", str(tmp_path)]


def test_other_commands_are_told_in_words(tmp_path: Path) -> None:
    found = judge_growing(tmp_path, fabricate_seeds(tmp_path, 1, 0.0), "vesica run plan.py")
    assert found.groups[0].advice == (
        "Next: train 3 seeds (3 seeds, the fewest for a verdict, in about 7 min).",
    )


def test_too_few_test_images_ask_for_folds(new_run: NewRun) -> None:  # noqa: F811
    run = new_run(path="generated:num=100:size=32")
    for cell in run.cells:
        run.finish(cell, shift=1 if cell.loss == "iou" else 2)
    found = judge_growing(run.folder, run.cells, "vesica compare generated:num=100 --folds 0")
    pair = comparison_of(found)
    assert pair.reason.startswith("too few test images")
    words = next_of(found)
    assert words[-4:] == ["--folds", "5", "--out", f"{run.folder}-folds"]
    assert words.count("--folds") == 1
    assert "all 100 images are tested in place of 9" in " ".join(found.groups[0].advice)


def test_images_that_forbid_a_verdict_ask_for_images(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    wide = np.random.default_rng(0).normal(0.01, 0.2, 40)
    for cell in cells:
        own = wide if cell.loss == "iou" else 0.0
        fabricate(tmp_path, cell, np.clip(ious(cell.seed, noise=0.001) + own, 0, 1))
    found = judge_growing(tmp_path, cells)
    pair = comparison_of(found)
    assert pair.limit is not None
    assert pair.limit.is_final
    assert pair.limit.num_units is not None
    (advice,) = found.groups[0].advice  # its images cannot be opened, so that folds are not offered
    assert f"label more images; about {pair.limit.num_units:,} test images would do" in advice
    assert "and there are 40" in advice


def test_images_are_not_promised_to_do_where_seeds_vary_too_much(tmp_path: Path) -> None:
    found = judge_growing(tmp_path, fabricate_seeds(tmp_path, 5, 0.1))
    pair = comparison_of(found)
    assert pair.verdict == "undecided"
    assert pair.likely_seeds is None
    assert pair.limit is not None
    assert not pair.limit.is_final
    assert pair.needs is not None
    assert pair.needs.images.num is None
    (advice,) = found.groups[0].advice
    assert advice.startswith("Next: no number of seeds up to 20 is known to settle it; train")


def test_nothing_learned_is_said_first(new_run: NewRun) -> None:  # noqa: F811
    run = new_run()
    for cell in run.cells:
        run.finish(cell, shift=14)
    found = judge_growing(run.folder, run.cells, "vesica compare generated --steps 90")
    assert next_of(found) == shlex.split(  # `--steps` beside it would be refused
        f"vesica compare generated --epochs 16 --out {run.folder}-longer"
    )
    found = judge_growing(run.folder, run.cells, "vesica compare generated --epochs 4")
    (group,) = found.groups
    assert found.verdict.startswith("Do not trust this: nothing was learned. No better than the ")
    assert all(shown in group.warnings[0] for shown in ("bce", "iou"))
    assert next_of(found)[-4:] == ["--epochs", "16", "--out", f"{run.folder}-longer"]
    page = run.report()
    assert page.find("p", "warning")
    assert page.text.index("Do not trust this") < page.text.index("iou minus bce")


def test_one_loss_that_learned_nothing_is_named(new_run: NewRun) -> None:  # noqa: F811
    run = new_run()
    for cell in run.cells:
        run.finish(cell, shift=14 if cell.loss == "iou" else 1)
    (group,) = judge_growing(run.folder, run.cells).groups
    (warning,) = group.warnings
    assert warning.startswith("Not every loss learned. No better than the ")
    assert warning.endswith(": iou.")


@pytest.mark.parametrize(
    ("verdict", "mean", "tuned", "words"),
    [
        ("better", 0.05, (-0.03, -0.04, -0.02), "the sign turns: -3.0 (-4.0 to -2.0)"),
        ("worse", -0.05, (0.01, -0.02, 0.03), "the sign turns: +1.0"),
        ("better", 0.05, (0.01, -0.02, 0.03), "it may be nothing: +1.0"),
        ("better", 0.05, (0.02, 0.01, 0.03), "less than half is left: +2.0"),
        ("better", 0.05, (0.04, 0.03, 0.05), ""),
        ("equivalent", 0.0, (0.02, 0.01, 0.03), "it is +2.0"),
        ("equivalent", 0.0, (0.002, 0.001, 0.003), ""),
        ("undecided", 0.01, (-0.02, -0.03, -0.01), "it is -2.0"),
        ("undecided", 0.01, (0.0, -0.03, 0.03), ""),
    ],
)
def test_the_sentence_carries_what_the_threshold_changes(
    verdict: Any, mean: float, tuned: tuple[float, float, float], words: str, tmp_path: Path
) -> None:
    cells = cells_of(["bce", "iou"], 3)
    for cell in cells:
        fabricate(tmp_path, cell, ious(cell.seed))
    pair = comparison_of(judge(tmp_path, cells))
    zero = Interval(mean=0, low=0, high=0)
    mean_, low, high = tuned
    row = Decision(
        decision="tuned",
        baseline_iou=0.5,
        challenger_iou=0.5,
        difference=Interval(mean=mean_, low=low, high=high),
        difference_left=zero,
        difference_gained=zero,
    )
    given: dict[str, Any] = {"verdict": verdict, "mean": mean, "decisions": (row,)}
    said = say_pair(Comparison.model_validate(pair.model_dump() | given), "photos")
    assert ("With thresholds tuned on validation" in said) == bool(words)
    assert words in said


def test_advice_is_an_option_of_the_command() -> None:
    said = CliRunner().invoke(app, ["compare", "--help"], env={"COLUMNS": "200"}).output
    for option in ("--max-seeds", "--folds", "--out", "--steps", "--epochs", "--patience"):
        assert option in said
