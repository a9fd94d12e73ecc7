from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_cell

from vesica import metrics, statistics
from vesica.data.library import Library
from vesica.files import write_json, write_text
from vesica.judge import difference_of, judge_run, read_settings
from vesica.judge.pairs import NOTHING_LEARNED
from vesica.plan import Cell, across, replace
from vesica.report.sentences import say_needs, say_tests
from vesica.results import (
    CellResult,
    Comparison,
    EndedCell,
    Findings,
    RunPlan,
    TestScores,
    cell_folder,
    read_scores,
    read_table,
    write_histograms,
    write_model,
    write_scores,
)

NUM_UNITS = 40
PIXELS = 1000


def fabricate(run: Path, cell: Cell, ious: np.ndarray, **result: Any) -> EndedCell:
    """A finished cell whose test images have these IoUs (to a thousandth)."""
    tp = np.round(PIXELS * ious).astype(np.int64)
    zero = np.zeros_like(tp)
    counts = metrics.Counts(tp, zero, PIXELS - tp, zero)
    names = tuple(f"image_{index}" for index in range(len(ious)))
    folder = cell_folder(run, cell)
    write_scores(folder / "scores.csv", TestScores(names, names, counts, ious))
    mean = {name: float(ious.mean()) for name in ("iou_per_image", "iou_pooled", "iou_soft")}
    document = {"status": "finished", "reason": "", "accuracy": 0.5, "epochs": 3, **mean}
    document |= {"ended_by": "patience", "kept_epoch": 2, "train_time_s": 1.0}
    document |= {"num_test": len(ious)} | result
    write_json(folder / "result.json", document)
    return EndedCell(cell, folder, CellResult.model_validate(document))


def cells_of(losses: list[str], num_seeds: int) -> list[Cell]:
    base = replace(tiny_cell(), fingerprint="0" * 64, target="face", format="faces")
    return across(base, seed=range(num_seeds), loss=losses)


def judge(run: Path, cells: list[Cell]) -> Findings:
    write_model(run / "plan.json", RunPlan(command="vesica compare", cells=tuple(cells)))
    return judge_run(run, Library(run / "cache"), 0.005).findings


def comparison_of(found: Findings) -> Comparison:
    """The only one of the only setting."""
    ((comparison,),) = (group.comparisons for group in found.groups)
    assert isinstance(comparison, Comparison)
    return comparison


def ious(seed: int, shift: float = 0.0, noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(7)
    own = np.random.default_rng([seed, int(1e6 * abs(shift))]).normal(0, noise, NUM_UNITS)
    return np.clip(rng.uniform(0.4, 0.8, NUM_UNITS) + shift + own, 0, 1)


@pytest.mark.parametrize(
    ("shift", "verdict", "words"),
    [
        (0.05, "better", "iou is better than bce: +5.0 points of per-image IoU (95 % interval"),
        (-0.05, "worse", "iou is worse than bce: -5.0 points"),
        (0.0, "equivalent", "iou and bce are equivalent"),
    ],
)
def test_the_verdict_and_its_sentence(
    shift: float, verdict: str, words: str, tmp_path: Path
) -> None:
    cells = cells_of(["bce", "iou"], 3)
    for cell in cells:
        fabricate(tmp_path, cell, ious(cell.seed, shift if cell.loss == "iou" else 0.0))
    document = judge(tmp_path, cells)
    assert comparison_of(document).verdict == verdict
    assert words in document.verdict
    assert "3 seeds, 40 test images" in document.verdict
    assert "for this training set and split" in document.verdict


def test_seed_noise_makes_it_undecided(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    for cell in cells:
        shift = [0.15, -0.1, 0.0][cell.seed] if cell.loss == "iou" else 0.0
        fabricate(tmp_path, cell, ious(cell.seed, shift, noise=0.01))
    document = judge(tmp_path, cells)
    assert document.verdict.startswith("Undecided on generated, face: iou minus bce is +1.")


def test_one_seed_has_no_p_value(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 1)
    for cell in cells:
        fabricate(tmp_path, cell, ious(0, 0.1 if cell.loss == "iou" else 0.0))
    document = judge(tmp_path, cells)
    comparison = comparison_of(document)
    assert comparison.verdict == "undecided"
    assert comparison.p_value is None
    assert "seed noise not measured" in document.verdict


def test_unfinished_runs_block_and_failed_ones_are_left_out(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 4)
    for cell in cells[:-1]:
        fabricate(tmp_path, cell, ious(cell.seed, 0.05 if cell.loss == "iou" else 0.0, 0.001))
    document = judge(tmp_path, cells)
    assert document.verdict.startswith("Undecided")
    assert "1 run not finished" in document.verdict

    fabricate(tmp_path, cells[-1], np.zeros(NUM_UNITS), status="collapsed", reason="one class")
    comparison = comparison_of(judge(tmp_path, cells))
    assert (comparison.verdict, comparison.num_seeds) == ("better", 3)
    assert comparison.dropped_seeds == (3,)
    assert [f.num_failed for f in comparison.failures] == [0, 1]
    # Clopper-Pearson by hand: of 4, none fails with (1 - p)^4 = 0.025 at p = 0.602.
    assert comparison.failures[0].high == pytest.approx(1 - 0.025 ** (1 / 4))
    assert comparison.failures[1].low == pytest.approx(1 - 0.975 ** (1 / 4))

    failed = {"status": "failed", "reason": "the training loss is not finite in epoch 1"}
    write_json(cell_folder(tmp_path, cells[0]) / "result.json", failed)
    document = judge(tmp_path, cells)
    assert "Left out: bce failed in 1 of 4 runs" in document.verdict
    comparison = comparison_of(document)
    assert (comparison.verdict, comparison.num_seeds) == ("undecided", 2)
    assert [cell.reason for cell in comparison.failed] == [failed["reason"], NOTHING_LEARNED]
    assert read_table(tmp_path / "results.csv")[0]["status"] == "failed"


def test_when_every_run_of_a_loss_failed_nothing_is_better(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 3)
    for cell in cells:
        status = "collapsed" if cell.loss == "bce" else "finished"
        fabricate(tmp_path, cell, ious(cell.seed, -0.3 * (cell.loss == "bce")), status=status)
    verdict = judge(tmp_path, cells).verdict
    assert verdict.startswith("Undecided")
    assert "no seed with which both trained (bce failed in 3 of 3 runs, a share of" in verdict


def with_histograms(found: EndedCell, foreground: int, val_iou: float) -> None:
    """Validation images whose foreground has probabilities in a bin, and so much background too.

    A tenth of each image is foreground, so that the best constant mask scores 0.1.
    """
    val = np.zeros((10, 2, 256), dtype=np.int32)
    wrong = round(100 / val_iou) - 100
    val[:, 1, foreground], val[:, 0, foreground], val[:, 0, 10] = 100, wrong, 900 - wrong
    counts = read_scores(found).counts
    test = np.zeros((NUM_UNITS, 2, 256), dtype=np.int32)
    test[:, 1, 200], test[:, 1, 10] = counts.tp, counts.fn
    write_histograms(found.folder / "histograms.npz", val=val, test=test)


@pytest.mark.parametrize(("val_iou", "has_trained"), [(0.102, False), (0.5, True)])
def test_what_has_trained_is_said_by_validation_images_alone(
    val_iou: float, has_trained: bool, tmp_path: Path
) -> None:
    """At the threshold that suits a run best it must be better than the best constant mask."""
    for cell in (cells := cells_of(["bce", "iou"], 3)):
        found = fabricate(tmp_path, cell, ious(cell.seed, 0.05 * (cell.loss == "iou"), 0.001))
        with_histograms(found, 100, val_iou if (cell.loss, cell.seed) == ("iou", 1) else 0.5)
    comparison = comparison_of(judge(tmp_path, cells))
    assert comparison.num_seeds == 2 + has_trained
    assert comparison.dropped_seeds == (() if has_trained else (1,))


def test_a_verdict_by_the_threshold_is_none(tmp_path: Path) -> None:
    """A loss draws nothing at 1/2, and draws well at the threshold that validation images give."""
    for cell in (cells := cells_of(["bce", "iou"], 3)):
        is_bce = cell.loss == "bce"
        found = fabricate(
            tmp_path,
            cell,
            ious(cell.seed, -0.3 * is_bce, 0.001),
            status="collapsed" if is_bce else "finished",
        )
        with_histograms(found, 100 if is_bce else 200, 0.8)
    document = judge(tmp_path, cells)
    comparison = comparison_of(document)
    assert comparison.excludes_zero
    assert comparison.verdict == "undecided"
    assert "by the threshold: at 1/2 bce predicts one class in 3 of 3 runs" in document.verdict


def test_only_equal_seeds_are_subtracted(tmp_path: Path) -> None:
    cells = [cell for cell in cells_of(["bce", "iou"], 5) if (cell.loss, cell.seed) != ("iou", 0)]
    cells = [cell for cell in cells if (cell.loss, cell.seed) != ("bce", 4)]
    for cell in cells:  # every seed has its own level, so that a wrong pair shows
        fabricate(tmp_path, cell, ious(0, 0.04 * cell.seed + 0.02 * (cell.loss == "iou")))
    (group,) = judge(tmp_path, cells).groups
    (comparison,) = group.comparisons
    assert isinstance(comparison, Comparison)
    assert (comparison.num_seeds, comparison.unpaired_seeds) == (3, (0, 4))
    assert comparison.mean == pytest.approx(0.02, abs=1e-3)
    assert "Left out, for lack of a partner: seeds [0, 4]" in group.sentences[0]


def test_three_losses_are_compared_pair_by_pair_at_a_higher_level(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou", "dice"], 3)
    for cell in cells:
        fabricate(tmp_path, cell, ious(cell.seed, noise=0.01))
    (group,) = judge(tmp_path, cells).groups
    pairs = [(c.baseline, c.challenger) for c in group.comparisons]
    assert pairs == [("bce", "iou"), ("bce", "dice"), ("iou", "dice")]
    levels = [c.level for c in group.comparisons if isinstance(c, Comparison)]
    assert levels == pytest.approx([1 - 0.05 / 3] * 3)


def noisy_run(run: Path, losses: list[str]) -> list[Comparison]:
    """Pairs whose differences vary by seed and by image."""
    cells = cells_of(losses, 3)
    for cell in cells:
        shift = 0.01 * losses.index(cell.loss)
        own = np.random.default_rng([cell.seed, losses.index(cell.loss)]).normal(0, 0.005)
        values = ious(cell.seed, shift + float(own), noise=0.02)
        fabricate(run, cell, values)
    comparisons = judge(run, cells).groups[0].comparisons
    return [c for c in comparisons if isinstance(c, Comparison)]


def test_p_values_of_several_losses_are_adjusted_by_holm(tmp_path: Path) -> None:
    comparisons = noisy_run(tmp_path, ["bce", "iou", "dice"])
    p_values = [c.p_value for c in comparisons if c.p_value is not None]
    assert len(set(p_values)) == 3
    steps = np.maximum.accumulate(np.sort(p_values) * [3, 2, 1])
    expected = np.minimum(steps, 1)[np.argsort(np.argsort(p_values))]
    assert [c.p_value_holm for c in comparisons] == pytest.approx(list(expected))
    text = say_tests(comparisons[0])
    assert "after Holm, for 3 pairs" in text
    assert "beyond the margin of 0.5 points" in text


def test_what_a_verdict_takes_is_asked_for_at_the_margin(tmp_path: Path) -> None:
    (comparison,) = noisy_run(tmp_path, ["bce", "iou"])
    assert comparison.p_value_holm == comparison.p_value, "one pair needs no adjustment"
    needs = comparison.needs
    assert needs is not None
    assert comparison.seed_sd is not None
    assert comparison.unit_sd is not None
    assert comparison.residual_sd is not None
    noise = statistics.Noise(comparison.seed_sd, comparison.unit_sd, comparison.residual_sd)
    asked = {"margin": 0.005, "level": 0.95}

    def power(seeds: int, images: int) -> float:
        return statistics.power_at(noise, seeds, images, **asked)

    seeds, images = needs.seeds.num, needs.images.num
    assert seeds is None or power(seeds, NUM_UNITS) >= 0.8 > power(seeds - 1, NUM_UNITS)
    assert seeds is not None or power(10**6, NUM_UNITS) < 0.8
    assert images is None or power(3, images) >= 0.8 > power(3, images - 1)
    assert images is not None or power(3, 10**6) < 0.8
    assert say_needs(comparison).startswith("To find a true difference of 0.5 points in 80 of 100")
    moved = comparison.model_copy(update={"mean": 0.3})
    assert say_needs(moved) == say_needs(comparison), "the difference observed plays no part"


def test_too_few_seeds_have_no_further_tests(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 2)
    for cell in cells:
        fabricate(tmp_path, cell, ious(cell.seed, 0.1 * (cell.loss == "iou"), noise=0.01))
    comparison = comparison_of(judge(tmp_path, cells))
    assert comparison.low is not None
    assert comparison.needs is None
    assert say_tests(comparison) == say_needs(comparison) == ""


def test_units_are_means_of_groups(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 1)
    for cell, values in zip(cells, ([0.2, 0.4, 0.9], [0.5, 0.5, 0.6]), strict=True):
        result = fabricate(tmp_path, cell, np.array(values))
        scores_file = result.folder / "scores.csv"
        text = scores_file.read_text().replace("image_1,image_1", "image_1,image_0")
        write_text(scores_file, text)
    (setting,) = read_settings(tmp_path, cells)
    # (0.5 + 0.5) / 2 - (0.2 + 0.4) / 2 = 0.2, and 0.6 - 0.9 = -0.3
    np.testing.assert_allclose(
        difference_of((setting, "iou"), (setting, "bce"), [0]), [[0.2, -0.3]]
    )


def test_cells_of_other_settings_are_never_compared(tmp_path: Path) -> None:
    cells = across(cells_of(["bce", "iou"], 2), lr=[1e-4, 1e-3])
    groups = read_settings(tmp_path, cells)
    assert [group.label for group in groups] == [
        "optimizer rmsprop:lr=0.0001",
        "optimizer rmsprop:lr=0.001",
    ]
    assert all(len(group.cells) == 4 for group in groups)


def test_results_csv_has_a_row_for_each_cell(tmp_path: Path) -> None:
    cells = cells_of(["bce", "iou"], 2)
    for cell in cells:
        fabricate(tmp_path, cell, ious(cell.seed))
    judge(tmp_path, cells)
    rows = read_table(tmp_path / "results.csv")
    assert [(row["loss"], row["seed"], row["epochs"]) for row in rows] == [
        (cell.loss, str(cell.seed), "3") for cell in cells
    ]
    assert {"iou_per_image", "iou_pooled", "iou_soft", "accuracy", "max_epochs"} <= set(rows[0])
