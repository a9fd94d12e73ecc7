"""Is it only the threshold? On histograms made by hand, and on a pair that was trained."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import tiny_cell

from vesica import metrics, statistics
from vesica.entry import enter_run
from vesica.judge import Place, Setting, judge_run
from vesica.judge.histograms import DECISIONS, calibration_error_of
from vesica.judge.pairs import compare_decisions
from vesica.materials import Materials
from vesica.plan import Cell, across, replace
from vesica.results import (
    CellResult,
    Comparison,
    Decision,
    EndedCell,
    Interval,
    TestScores,
    cell_folder,
    read_findings,
    read_plan,
    write_histograms,
    write_model,
    write_scores,
)
from vesica.sweep import Watcher, check_plan, run_cells

NUM_IMAGES = 20
Bins = dict[int, tuple[int, int]]
"""Pixels without and with foreground in some bins of an image's histogram."""

# Three pixels are foreground. At 1/2, 200/256 is found only: 2/3. From 102/256 on, 110/256 comes
# too, which is none: 3/4. With p the bins' middles, E[I] / E[U] is 1.566 / 2.840 for the first two,
# 1.998 / 3.408 for three and 2.398 / 4.008 = 0.598 for four, so the best mask is 3/4 as well.
TIMID: Bins = {200: (0, 2), 102: (0, 1), 110: (1, 0), 0: (4, 0)}
# The same masks at 1/2 as TIMID from 102/256 on.
BOLD: Bins = {200: (0, 3), 190: (1, 0), 0: (4, 0)}
# No foreground, and no pixel above 1/512 or so.
EMPTY: Bins = {0: (8, 0)}


def make(*images: Bins) -> NDArray[np.int64]:
    histograms = np.zeros((len(images), 2, 256), dtype=np.int64)
    for image, bins in zip(histograms, images, strict=True):
        for place, (negative, positive) in bins.items():
            image[:, place] = negative, positive
    return histograms


def finish(
    run: Path,
    loss: str,
    test: NDArray[np.int64],
    val: NDArray[np.int64] | None = None,
    *,
    seed: int = 0,
    groups: tuple[str, ...] | None = None,
    soft: float = 0.5,
) -> EndedCell:
    """A cell whose probabilities were these; `val` is None for a run of an earlier version."""
    cell = replace(tiny_cell(), fingerprint="0" * 64, loss=loss, seed=seed)
    folder, names = cell_folder(run, cell), tuple(f"image_{n:02}" for n in range(len(test)))
    counts = metrics.counts_at(test, 0.5)
    scores = TestScores(names, groups or names, counts, np.full(len(test), soft))
    write_scores(folder / "scores.csv", scores)
    if val is not None:
        write_histograms(folder / "histograms.npz", val=val, test=test)
    mean = dict.fromkeys(("iou_per_image", "iou_pooled", "iou_soft", "accuracy"), 0.5)
    result = CellResult(status="finished", num_test=len(test), **mean)
    write_model(folder / "result.json", result)
    return EndedCell(cell, folder, result)


def decide(old: list[EndedCell], new: list[EndedCell], level: float = 0.95) -> SimpleNamespace:
    cells = [*old, *new]
    ended = {Place.of(found.cell): found for found in cells}
    setting = Setting("", tuple(found.cell for found in cells), ended)
    return SimpleNamespace(**compare_decisions(setting, ("bce", "iou"), setting.seeds, level))


def rows(decisions: Sequence[Decision]) -> dict[str, Decision]:
    return {row.decision: row for row in decisions}


def test_a_difference_of_thresholds_only(tmp_path: Path) -> None:
    timid, bold = make(*[TIMID] * NUM_IMAGES), make(*[BOLD] * NUM_IMAGES)
    found = decide(
        [finish(tmp_path, "bce", timid, timid)], [finish(tmp_path, "iou", bold, bold)], 0.95
    )
    half, tuned, expected, tempered = rows(found.decisions).values()
    assert list(rows(found.decisions)) == list(DECISIONS)
    assert (half.baseline_iou, half.challenger_iou) == pytest.approx((2 / 3, 3 / 4))
    assert half.difference.mean == pytest.approx(3 / 4 - 2 / 3)
    assert half.difference_left == half.difference
    # Tuned, the bold one loses its false pixel: 1.
    assert (tuned.baseline_iou, tuned.challenger_iou) == pytest.approx((3 / 4, 1))
    assert tuned.difference.mean == pytest.approx(1 / 4)
    assert tuned.difference_left.mean == pytest.approx(0), "nothing is left"
    assert (expected.baseline_iou, expected.challenger_iou) == pytest.approx((3 / 4, 3 / 4))
    assert expected.difference.mean == pytest.approx(0)
    assert expected.difference_left.mean == pytest.approx(0)
    assert tuned.difference_gained.mean == pytest.approx(1 - 2 / 3)
    assert expected.difference_gained.mean == pytest.approx(3 / 4 - 2 / 3)
    assert tempered.decision == "expected_iou_tempered"
    assert found.decisions_note == ""


def test_thresholds_and_temperatures_come_from_validation(tmp_path: Path) -> None:
    # On validation images, 110/256 is foreground and nothing lower is: 103/256 to 110/256 are best.
    test, val = make(*[TIMID] * NUM_IMAGES), make({200: (0, 2), 110: (0, 1), 102: (1, 0)})
    found = decide(
        [finish(tmp_path, "bce", test, val)], [finish(tmp_path, "iou", test, test)], 0.95
    )
    tuned = rows(found.decisions)["tuned"]
    assert tuned.baseline_iou == pytest.approx(2 / 4), "two found, one wrong, one missed"
    assert tuned.challenger_iou == pytest.approx(3 / 4)
    old, new = found.calibration
    assert (old.loss, new.loss) == ("bce", "iou")
    assert old.temperature == metrics.fit_temperature_to_histograms(val)
    assert old.temperature != new.temperature
    assert old.calibration_error == new.calibration_error, "raw, of the same test images"


def test_tempering_decides_otherwise(tmp_path: Path) -> None:
    # The validation images say that probabilities are far too timid: all certain ones are right.
    test = make(*[{150: (0, 3), 120: (3, 0)}] * NUM_IMAGES)
    found = rows(
        decide(
            [finish(tmp_path, "bce", test, test)], [finish(tmp_path, "iou", test, test)]
        ).decisions
    )
    assert found["expected_iou"].baseline_iou == pytest.approx(3 / 6)
    assert found["expected_iou_tempered"].baseline_iou == 1


def test_calibration_error_by_hand() -> None:
    # 4 pixels at 192.5/256, 3 of them right: |0.752 - 0.75|; 4 at 64.5/256, none: 0.252.
    histograms = make({192: (1, 3)}, {64: (4, 0)})
    error = (abs(192.5 / 256 - 0.75) + 64.5 / 256) / 2
    assert calibration_error_of(histograms) == pytest.approx(error)
    # Logits halved: sigmoid(logit(p) / 2) = sqrt(p) / (sqrt(p) + sqrt(1 - p)).
    high, low = (p**0.5 / (p**0.5 + (1 - p) ** 0.5) for p in (192.5 / 256, 64.5 / 256))
    error = (abs(high - 0.75) + low) / 2
    assert calibration_error_of(histograms, temperature=2.0) == pytest.approx(error)


def test_calibration_error_is_near_that_of_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    probs = rng.beta(0.5, 1.0, (10, 64, 64)).astype(np.float32)
    truth = rng.random(probs.shape) < probs**1.5
    exact = metrics.calibration_error(metrics.bin_probabilities(probs, truth).pooled())[0]
    assert exact > 0.02
    found = calibration_error_of(metrics.histogram(probs, truth))
    assert found == pytest.approx(exact, abs=1 / 512)


def test_images_without_foreground(tmp_path: Path) -> None:
    # At 1/2 and tuned, nothing is found in them: right. The mask of the largest expected IoU is
    # never empty as long as any probability is above 0, so there they are wrong.
    images = make(*[EMPTY, TIMID] * (NUM_IMAGES // 2))
    found = rows(
        decide(
            [finish(tmp_path, "bce", images, images)],
            [finish(tmp_path, "iou", images, images)],
            0.95,
        ).decisions
    )
    assert found["half"].baseline_iou == pytest.approx((1 + 2 / 3) / 2)
    assert found["tuned"].baseline_iou == pytest.approx((1 + 3 / 4) / 2)
    assert found["expected_iou"].baseline_iou == pytest.approx((0 + 3 / 4) / 2)
    assert all(row.difference.mean == 0 for row in found.values())


def test_differences_are_those_of_the_verdict(tmp_path: Path) -> None:
    """Seeds by units, groups averaged, the same level; the order of cells does not matter."""
    rng = np.random.default_rng(0)
    groups = tuple(f"person_{n // 2:02}" for n in range(2 * NUM_IMAGES))

    def draw() -> NDArray[np.int64]:
        return np.asarray(rng.integers(0, 9, (2 * NUM_IMAGES, 2, 256)))

    old, new = (
        [finish(tmp_path, loss, draw(), draw(), seed=seed, groups=groups) for seed in range(3)]
        for loss in ("bce", "iou")
    )
    found = decide(old, new[::-1], 0.98)
    for name in DECISIONS:
        by_loss = [
            np.array([_iou_by_person(cell, name) for cell in cells]).reshape(3, NUM_IMAGES, 2)
            for cells in (old, new, old if name == "half" else new)
        ]
        difference = (by_loss[1] - by_loss[0]).mean(axis=2)
        expected = statistics.compare(difference, level=0.98)
        row = rows(found.decisions)[name]
        assert row.difference.model_dump() == pytest.approx(
            {"mean": expected.mean, "low": expected.low, "high": expected.high}
        )
        at_half = np.array([_iou_by_person(cell, "half") for cell in new])
        left = statistics.compare(
            (at_half.reshape(3, NUM_IMAGES, 2) - by_loss[0]).mean(axis=2), level=0.98
        )
        assert row.difference_left.low == pytest.approx(left.low)
        assert row.difference_left.high == pytest.approx(left.high)
        bce_at_half = np.array([_iou_by_person(cell, "half") for cell in old])
        gained = statistics.compare(
            by_loss[1].mean(axis=2) - bce_at_half.reshape(3, NUM_IMAGES, 2).mean(axis=2), level=0.98
        )
        assert row.difference_gained.low == pytest.approx(gained.low)
        assert row.difference_gained.high == pytest.approx(gained.high)


def _iou_by_person(found: EndedCell, decision: str) -> NDArray[np.float64]:
    with np.load(found.folder / "histograms.npz") as parts:
        return metrics.iou(DECISIONS[decision](parts["val"], parts["test"], "score"))


def test_soft_difference_is_that_of_the_masks_and_the_rest(tmp_path: Path) -> None:
    timid, bold = make(*[TIMID] * NUM_IMAGES), make(*[BOLD] * NUM_IMAGES)
    old, new = (
        [finish(tmp_path, loss, images, images, seed=seed, soft=soft) for seed in range(2)]
        for loss, images, soft in (("bce", timid, 0.5), ("iou", bold, 0.71))
    )
    soft = decide(old, new, 0.95).soft
    assert (soft.baseline_iou, soft.challenger_iou) == pytest.approx((0.5, 0.71))
    assert soft.difference.mean == pytest.approx(0.21)
    assert soft.not_in_masks.mean == pytest.approx(0.21 - 1 / 12)
    assert soft.not_in_masks.low == pytest.approx(0.21 - 1 / 12), "no noise, no width"


def test_one_seed_has_means_without_intervals(tmp_path: Path) -> None:
    images = make(*[TIMID] * NUM_IMAGES)
    found = decide(
        [finish(tmp_path, "bce", images, images)], [finish(tmp_path, "iou", images, images)], 0.95
    )
    for row in found.decisions:
        assert row.difference == Interval(mean=0.0, low=None, high=None)


@pytest.mark.parametrize("how", ["missing", "empty", "damaged", "no zip", "of other images"])
def test_without_histograms_only_one_half_is_left(how: str, tmp_path: Path) -> None:
    timid, bold = make(*[TIMID] * NUM_IMAGES), make(*[BOLD] * NUM_IMAGES)
    old, new = finish(tmp_path, "bce", timid, timid), finish(tmp_path, "iou", bold, bold)
    path = new.folder / "histograms.npz"
    if how == "missing":
        path.unlink()
    elif how == "of other images":
        write_histograms(path, val=timid, test=timid)
    else:
        content = {"empty": b"", "damaged": path.read_bytes()[:200], "no zip": b"no zip"}
        path.write_bytes(content[how])
    found = decide([old], [new], 0.95)
    assert list(rows(found.decisions)) == ["half"]
    assert rows(found.decisions)["half"].difference.mean == pytest.approx(1 / 12)
    assert found.soft.not_in_masks.mean == pytest.approx(-1 / 12)
    assert found.calibration == ()
    assert "1 of 2 runs have no histograms.npz" in found.decisions_note
    assert ("(it was deleted)" in found.decisions_note) == (how == "missing")
    assert f"delete cells/{new.cell.key} and run" in found.decisions_note


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Cell], Materials]:
    run, materials = tmp_path_factory.mktemp("run"), Materials(tmp_path_factory.mktemp("cache"))
    base = tiny_cell("generated:num=200:size=64:density=0.4", max_epochs=12, lr=3e-3)
    cells = across(base, seed=range(3), loss=["bce", "iou"])
    resolved = check_plan(cells, materials)
    enter_run(run, resolved)
    run_cells(resolved, run, materials, Watcher())
    return run, list(read_plan(run).cells), materials


def test_a_trained_pair(trained: tuple[Path, list[Cell], Materials]) -> None:
    run, _, materials = trained
    findings = judge_run(run, materials.library, 0.005).findings
    assert read_findings(run) == findings
    (group,) = findings.groups
    (comparison,) = group.comparisons
    assert isinstance(comparison, Comparison)
    by_decision = rows(comparison.decisions)
    assert list(by_decision) == list(DECISIONS)
    verdict = {name: getattr(comparison, name) for name in ("mean", "low", "high")}
    assert by_decision["half"].difference.model_dump() == pytest.approx(verdict)
    bce, iou = group.losses
    for name, metric in (("half", "iou_per_image"), ("tuned", "iou_per_image_tuned")):
        assert by_decision[name].baseline_iou == pytest.approx(bce[metric])
        assert by_decision[name].challenger_iou == pytest.approx(iou[metric])
    soft = comparison.soft
    assert soft.challenger_iou == pytest.approx(iou.iou_soft)
    assert soft.not_in_masks.mean == pytest.approx(soft.difference.mean - comparison.mean)
    for row, loss in zip(comparison.calibration, group.losses, strict=True):
        assert row.calibration_error == pytest.approx(loss.calibration_error_pooled, abs=0.004)


def test_the_verdict_needs_no_histograms(
    trained: tuple[Path, list[Cell], Materials],
) -> None:
    run, cells, materials = trained
    before = judge_run(run, materials.library, 0.005).findings
    for cell in cells:
        (cell_folder(run, cell) / "histograms.npz").rename(cell_folder(run, cell) / "away")
    try:
        after = judge_run(run, materials.library, 0.005).findings
    finally:
        for cell in cells:
            (cell_folder(run, cell) / "away").rename(cell_folder(run, cell) / "histograms.npz")
    assert after.verdict == before.verdict
    new = {"decisions", "soft", "calibration", "decisions_note"}
    (old_pair,), (new_pair,) = (findings.groups[0].comparisons for findings in (before, after))
    assert old_pair.model_dump(exclude=new) == new_pair.model_dump(exclude=new)
    assert isinstance(new_pair, Comparison)
    assert "6 of 6 runs" in new_pair.decisions_note
    assert " and 5 more" in new_pair.decisions_note
