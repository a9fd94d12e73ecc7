"""What a run keeps and says, typed: `plan.json`, a cell's `result.json`, `results.json`.

Reading checks everything that is used later, sizes included; files of earlier versions read too.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vesica.earlier import cell_of_schema_1
from vesica.plan import SCHEMA as PLAN_SCHEMA
from vesica.plan import Cell
from vesica.results.scores import METRICS, MeanScores, Model
from vesica.statistics import Need, Verdict

SCHEMA = 1
"""Of `result.json`; that of `plan.json` is the schema of its cells."""

FINDINGS_SCHEMA = 2
"""Of `results.json`; 1 had the standard deviations beside the means, as NAME_sd."""

MAX_CELLS = 20_000

MAX_TEXT = 100_000
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Versions = dict[str, Text]

ALWAYS = [name for name, metric in METRICS.items() if metric.shown == "scores"]
"""What results of every version have."""

Status = Literal["finished", "collapsed", "failed"]


class RunPlan(Model):
    """`plan.json`: what a folder was begun with.

    Attributes:
        kind: What it is beyond a list of cells, such as "paper".
        command: As one would type it again.
        created: When, in ISO 8601.
        jobs: Cells trained side by side; None where it does not say.
    """

    schema_number: int = Field(PLAN_SCHEMA, alias="schema", ge=1, le=PLAN_SCHEMA)
    kind: Text = ""
    command: Text = ""
    created: Text = ""
    versions: Versions = Field(default_factory=dict, max_length=1000)
    jobs: int | None = Field(None, ge=1, le=10_000)
    cells: tuple[Cell, ...] = Field(min_length=1, max_length=MAX_CELLS)

    @model_validator(mode="before")
    @classmethod
    def _from_schema_1(cls, plan: Any) -> Any:
        if not isinstance(plan, dict) or plan.get("schema") != 1:
            return plan
        try:
            cells = [cell_of_schema_1(cell) for cell in plan["cells"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"cells: cannot be read ({error!r})") from None
        return plan | {"schema": PLAN_SCHEMA, "cells": cells}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not all(cell.data.fingerprint for cell in self.cells):
            raise ValueError("a cell without the digest of its images")
        return self


class WeightsName(Model):
    """Which pretrained weights a cell began with."""

    name: Text
    digest: Text


class CellResult(MeanScores):
    """`result.json`: how one training run went, and its means over test images.

    Attributes:
        status: A collapsed run predicts one class everywhere, a failed one has no scores.
        reason: Why it is not "finished".
        traceback: Of what made it fail.
        epochs: Trained, those waited for included.
        kept_epoch: Whose weights were scored, from 1.
        ended_by: "patience" (converged) or "epochs" (the limit).
        notes: What a user should know of the training.
        num_empty: Test images without foreground.
        num_images: Of the whole data set.
        num_classes: Rows of scores for each test image.
    """

    schema_number: int = Field(SCHEMA, alias="schema")
    status: Status
    reason: Text = ""
    traceback: Text = ""
    epochs: Count = 0
    kept_epoch: Count = 0
    ended_by: Literal["patience", "epochs", ""] = ""
    notes: tuple[Text, ...] = Field((), max_length=1000)
    train_time_s: float = Field(0.0, ge=0, le=1e12)
    val_iou_per_image: float | None = Field(None, ge=0, le=1)
    num_test: Count = 0
    num_empty: Count = 0
    num_train: Count | None = None
    num_val: Count | None = None
    num_images: Count | None = None
    num_classes: int = Field(1, ge=1, le=1000)
    loss: Text = ""
    seed: int = 0
    weights: WeightsName | None = None
    data_fingerprint: Text = ""
    precision: Text = ""
    device: Text = ""
    versions: Versions = Field(default_factory=dict, max_length=1000)
    command: Text = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        missing = [name for name in ALWAYS if self[name] is None]
        if self.has_scores and missing:
            raise ValueError(f"it did not fail and has no {', '.join(missing)}")
        return self

    @property
    def num_rows(self) -> int:
        """Rows of its scores, histograms and masks: one for every class of every test image."""
        return self.num_test * self.num_classes

    @property
    def has_scores(self) -> bool:
        """Failed runs have none."""
        return self.status != "failed"


class LossMeans(MeanScores):
    """The same over seeds, and the epochs."""

    epochs: float | None = Field(None, ge=0)


class LossRow(LossMeans):
    """The runs of one loss.

    Attributes:
        num_seeds: Runs with scores, collapsed ones included.
        num_censored: Runs that ended at the limit of epochs, before they converged.
        num_empty: Test images without foreground.
        sd: Standard deviations over seeds, with n - 1; None below two.
    """

    loss: str
    num_seeds: int
    num_collapsed: int
    num_failed: int
    num_censored: int
    num_empty: int
    sd: LossMeans = LossMeans()

    @model_validator(mode="before")
    @classmethod
    def _from_schema_1(cls, row: Any) -> Any:
        if not isinstance(row, dict) or "sd" in row:
            return row
        ends = {name: value for name, value in row.items() if name.endswith("_sd")}
        return row | {"sd": {name.removesuffix("_sd"): value for name, value in ends.items()}}


class Interval(Model):
    """A mean difference and, from two seeds on, the interval that holds the true one."""

    mean: float
    low: float | None
    high: float | None


class Means(Model):
    """Two losses under one decision.

    Attributes:
        decision: From probabilities to masks; "soft" makes none.
        baseline_iou: Per image, mean over seeds and test images.
        difference: Challenger minus baseline, both so decided.
    """

    decision: str
    baseline_iou: float
    challenger_iou: float
    difference: Interval


class Decision(Means):
    """The same if one loss alone is so decided and the other one at threshold 1/2.

    Attributes:
        difference_left: The baseline alone: what it lacks still.
        difference_gained: The challenger alone.
    """

    difference_left: Interval
    difference_gained: Interval


class SoftMeans(Means):
    """Soft IoU; `not_in_masks` is its difference minus that of the masks at 1/2."""

    not_in_masks: Interval


class Calibration(Model):
    """Of one loss, means over seeds: pooled errors in 15 bins, raw and tempered."""

    loss: str
    temperature: float
    calibration_error: float
    calibration_error_tempered: float


class Needs(Model):
    """How many seeds, or test images (or groups), find a difference of the margin."""

    power: float
    seeds: Need
    images: Need


class CellName(Model):
    """A cell of a setting."""

    loss: str
    seed: int


class FailedCell(CellName):
    """One without scores."""

    reason: str


class Versus(Model):
    """Two losses of one setting: the head of `Comparison` and of `Unjudged`.

    Attributes:
        metric: What is compared.
        collapsed: Runs that are counted in.
        failed: Runs that have no scores.
        num_missing: Runs that have not ended.
        num_pairs: Of the setting; their intervals hold together.
    """

    baseline: str
    challenger: str
    metric: Literal["iou_per_image"] = "iou_per_image"
    collapsed: tuple[CellName, ...]
    failed: tuple[FailedCell, ...]
    num_missing: int
    num_pairs: int
    verdict: Verdict
    reason: str


class Unjudged(Versus):
    """No figures yet: `reason` says why."""

    verdict: Literal["undecided"] = "undecided"


class Comparison(Versus):
    """Judged: as `statistics.compare` says, and what was asked further.

    Attributes:
        unpaired_seeds: Which only one of the losses has; they are left out.
        num_images: Test images.
        num_units: Groups of them, or images where no group is known.
        p_value: Two-sided, against no difference.
        p_value_holm: Adjusted for all pairs of the setting.
        p_value_equivalence: Against a difference beyond the margin.
        decisions: Threshold 1/2 first; only this one where histograms are missing.
        calibration: Of both losses; empty where histograms are missing.
        decisions_note: Why decisions are missing, or "".
    """

    unpaired_seeds: tuple[int, ...]
    num_images: int
    mean: float
    low: float | None
    high: float | None
    standard_error: float | None
    p_value: float | None
    excludes_zero: bool
    num_seeds: int
    num_units: int
    margin: float
    level: float
    seed_sd: float | None
    unit_sd: float | None
    residual_sd: float | None
    p_value_equivalence: float | None = None
    p_value_holm: float | None = None
    needs: Needs | None = None
    decisions: tuple[Decision, ...]
    soft: SoftMeans
    calibration: tuple[Calibration, ...]
    decisions_note: str


class GroupFindings(Model):
    """What one setting says: its cells differ in loss and seed only.

    Attributes:
        label: The fields in which it differs from the run's other settings; "" if alone.
        data: What the images are called.
        setting: The fields that its cells share.
        losses: In the plan's order; the first one is the baseline of the others.
        baselines: Masks without a network.
        notes: On the images.
        sentences: A verdict for each comparison, and what else must be known.
    """

    label: str
    data: str
    target: str | None
    setting: dict[str, Any]
    losses: tuple[LossRow, ...]
    baselines: dict[str, MeanScores]
    notes: tuple[str, ...]
    comparisons: tuple[Annotated[Comparison | Unjudged, Field(union_mode="left_to_right")], ...]
    sentences: tuple[str, ...]


class Findings(Model):
    """`results.json`: all that a run says.

    Attributes:
        margin: Differences of per-image IoU smaller than this do not matter; a fraction.
        verdict: Every sentence.
    """

    schema_number: int = Field(FINDINGS_SCHEMA, alias="schema")
    command: str
    versions: dict[str, str]
    margin: float = Field(ge=0, le=1)
    num_cells: int
    num_results: int
    groups: tuple[GroupFindings, ...]
    verdict: str

    @property
    def num_failed(self) -> int:
        """Cells without scores."""
        return sum(row.num_failed for group in self.groups for row in group.losses)


def findings_schema() -> str:
    """The JSON Schema of `results.json`, as it is in the docs."""
    return json.dumps(Findings.model_json_schema(mode="serialization"), indent=2) + "\n"
