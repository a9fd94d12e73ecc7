"""What a run keeps has types: one table of metrics, one schema, and earlier versions' files."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from vesica import metrics
from vesica.data.library import Library
from vesica.judge import judge_run
from vesica.report import write_report
from vesica.results import (
    METRICS,
    CellResult,
    Comparison,
    Findings,
    Interval,
    findings_schema,
    read_cell,
    read_findings,
    read_model,
    read_plan,
    write_model,
)
from vesica.statistics import Comparison as Judged

ROOT = Path(__file__).parents[1]
PUBLISHED = sorted(path.parent for path in (ROOT / "docs" / "results" / "lfw").glob("*/plan.json"))


def test_every_metric_of_a_summary_is_in_the_table() -> None:
    truth = np.zeros((2, 8, 8), dtype=bool)
    truth[:, 2:5, 2:5] = True
    summary = metrics.Scores.of(truth.astype(np.float32), truth).summary()
    tuned = {"iou_per_image_tuned", "iou_pooled_tuned", "threshold_tuned"}
    assert set(METRICS) == (set(summary) - {"num_empty"}) | tuned
    for name, metric in METRICS.items():
        assert metric.better == "" or summary[name.removesuffix("_tuned")] == (
            1 if metric.better == "high" else 0
        ), "of a perfect mask"
        assert (metric.over == "pixels") == ("pooled" in name)


def test_the_schema_in_the_docs_is_that_of_the_code() -> None:
    path = ROOT / "docs" / "results.schema.json"
    assert path.read_text(encoding="utf-8") == findings_schema(), "run `make schema`"


def test_every_field_of_the_statistics_is_in_a_comparison() -> None:
    assert set(Judged.__dataclass_fields__) <= set(Comparison.model_fields)


def test_the_page_is_true(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(code, {})  # our own page
    assert re.search(r"(better|undecided) -?0\.", capsys.readouterr().out)


@pytest.mark.parametrize("run", PUBLISHED, ids=lambda run: run.name)
def test_published_findings_are_read_and_written_again(run: Path, tmp_path: Path) -> None:
    before = json.loads((run / "results.json").read_text(encoding="utf-8"))
    found = read_findings(run)
    assert found is not None
    for group, old in zip(found.groups, before["groups"], strict=True):
        for row, old_row in zip(group.losses, old["losses"], strict=True):
            for name in set(METRICS) & set(old_row):
                assert row[name] == old_row[name]
                sd = old_row["sd"][name] if "sd" in old_row else old_row[f"{name}_sd"]
                assert row.sd[name] == sd
        for pair, old_pair in zip(group.comparisons, old["comparisons"], strict=True):
            assert isinstance(pair, Comparison) == ("mean" in old_pair)
            dumped = pair.model_dump(mode="json")
            assert {name: dumped[name] for name in old_pair} == old_pair
    write_model(tmp_path / "results.json", found)
    assert read_model(tmp_path / "results.json", Findings) == found


@pytest.mark.parametrize("name", ["fcresnet-lite", "celebamask-bfcn32s-lite"])
def test_published_runs_are_judged_as_they_were(name: str, tmp_path: Path) -> None:
    run = tmp_path / name
    shutil.copytree(ROOT / "docs" / "results" / "lfw" / name, run)
    before = read_findings(run)
    assert before is not None
    judged = judge_run(run, Library(tmp_path / "cache"))
    for group, old in zip(judged.findings.groups, before.groups, strict=True):
        for row, old_row in zip(group.losses, old.losses, strict=True):
            known = [name for name in METRICS if old_row[name] is not None]
            assert {"iou_per_image", "hd95_px"} <= set(known)
            assert [row[name] for name in known] == [old_row[name] for name in known]
            assert [row.sd[name] for name in known] == [old_row.sd[name] for name in known]
        for pair, old_pair in zip(group.comparisons, old.comparisons, strict=True):
            assert isinstance(pair, Comparison)
            assert isinstance(old_pair, Comparison)
            # The histograms are not published, and 1/2 is all that is left of the decisions.
            left = {"decisions", "calibration", "decisions_note"}
            left |= {"failures"}  # which earlier versions did not count
            # The roots of an equation, to their last digit but one.
            roots = ("p_value", "p_value_holm", "p_value_equivalence")
            assert pair.model_dump(exclude={*left, *roots}) == old_pair.model_dump(
                exclude={*left, *roots}
            )
            for root in roots:
                value, old_value = getattr(pair, root), getattr(old_pair, root)
                assert value == (old_value and pytest.approx(old_value, rel=1e-12))
            assert pair.decisions == old_pair.decisions[:1]
    page = write_report(judged).read_text(encoding="utf-8")
    assert judged.findings.groups[0].sentences[0] in page.replace("&#39;", "'")


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = PUBLISHED[0]
    for cell in read_plan(run).cells:
        found = read_cell(run, cell)
        assert found is not None
        write_model(tmp_path / "result.json", found.result)
        assert read_model(tmp_path / "result.json", CellResult) == found.result
        raw = json.loads((found.folder / "result.json").read_text(encoding="utf-8"))
        assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8")) == raw


def test_an_interval_ends_where_values_do() -> None:
    assert Interval(mean=0.1, low=-1.3, high=1.2).within(-1, 1) == Interval(
        mean=0.1, low=-1, high=1
    )
    inner = Interval(mean=0.1, low=-0.3, high=0.2)
    assert inner.within(-1, 1) == inner
    alone = Interval(mean=0.1, low=None, high=None)
    assert alone.within(-1, 1) == alone
