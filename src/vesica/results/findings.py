"""What a run says, typed: `results.json`."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vesica.results.scores import MeanScores, Model
from vesica.statistics import Limit, Need, Verdict

FINDINGS_SCHEMA = 2
"""Of `results.json`; 1 had the standard deviations beside the means, as NAME_sd."""


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
        own: Means of the user's own metrics, by name, where they were asked for.
    """

    loss: str
    num_seeds: int
    num_collapsed: int
    num_failed: int
    num_censored: int
    num_empty: int
    sd: LossMeans = LossMeans()
    own: dict[str, float] = Field(default_factory=dict, max_length=1000)

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

    def within(self, least: float, most: float) -> "Interval":
        """The same where no value lies beyond these two: that of few seeds reaches further."""
        if self.low is None or self.high is None:
            return self
        return Interval(mean=self.mean, low=max(least, self.low), high=min(most, self.high))


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


class Failures(Model):
    """Runs of a loss that did not train, of all, and the interval of their share."""

    loss: str
    num_failed: int
    num_runs: int
    low: float
    high: float


class Versus(Model):
    """Two losses of one setting: the head of `Comparison` and of `Unjudged`.

    Attributes:
        metric: What is compared.
        collapsed: Runs that predict one class at threshold 1/2.
        failed: Runs that are left out: they have no scores, or learned nothing.
        failures: Of each loss; empty in files of earlier versions.
        num_missing: Runs that have not ended.
        num_pairs: Of the setting; their intervals hold together.
    """

    baseline: str
    challenger: str
    metric: Literal["iou_per_image"] = "iou_per_image"
    collapsed: tuple[CellName, ...]
    failed: tuple[FailedCell, ...]
    failures: tuple[Failures, ...] = ()
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
        dropped_seeds: With which one of the losses failed; they are left out.
        looks: The numbers of seeds that were looked at, this look's last; None where their number
            was fixed beforehand.
        likely_seeds: The first look that would decide if means and variances stayed as they are;
            None where there is none up to 20, or it is not known.
        limit: Whether the test images forbid a verdict, where seeds may be added.
        num_folds: Divisions that test every image once, 1 where there is one division alone.
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
    dropped_seeds: tuple[int, ...] = ()
    looks: tuple[int, ...] | None = None
    likely_seeds: int | None = None
    limit: Limit | None = None
    num_folds: int = 1
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


class ClassFindings(Model):
    """One of several classes.

    Attributes:
        share: Of the test images' pixels that count.
        num_images: Test images that have it.
        iou: Per image, by loss: means over seeds and the test images that count for it.
        comparisons: As for all classes together; all intervals of all classes hold together, and
            Holm's p-values are over the classes.
    """

    name: str
    share: float
    num_images: int
    iou: dict[str, float] = Field(max_length=1000)
    comparisons: tuple[Annotated[Comparison | Unjudged, Field(union_mode="left_to_right")], ...]


class GroupFindings(Model):
    """What one setting says: its cells differ in loss and seed only.

    Attributes:
        label: The fields in which it differs from the run's other settings; "" if alone.
        data: What the images are called.
        setting: The fields that its cells share.
        losses: In the plan's order; the first one is the baseline of the others.
        baselines: Masks without a network.
        beside: The metric that the masks ask for beside IoU; "" in files of earlier versions.
        why_beside: Why that one.
        notes: On the images.
        sentences: A verdict for each comparison.
        classes: Each by itself, where there are several; the most frequent first.
        class_sentences: For each comparison, of which classes the same can be said.
        warnings: What is to be read before any of them; empty in files of earlier versions.
        rising: That losses were still learning when their steps ended; "" if none was.
        advice: The next step where a verdict is open; empty in files of earlier versions.
    """

    label: str
    data: str
    target: str | None
    setting: dict[str, Any]
    losses: tuple[LossRow, ...]
    baselines: dict[str, MeanScores]
    beside: str = ""
    why_beside: str = ""
    notes: tuple[str, ...]
    comparisons: tuple[Annotated[Comparison | Unjudged, Field(union_mode="left_to_right")], ...]
    sentences: tuple[str, ...]
    classes: tuple[ClassFindings, ...] = ()
    class_sentences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    rising: str = ""
    advice: tuple[str, ...] = ()

    @property
    def verdict(self) -> tuple[str, ...]:
        """All but the advice, in the order in which it is to be read."""
        rising = (self.rising,) if self.rising else ()
        return (*self.warnings, *self.sentences, *self.class_sentences, *rising)

    @property
    def said(self) -> tuple[str, ...]:
        """All of it, in the order in which it is to be read."""
        return (*self.verdict, *self.advice)


class Findings(Model):
    """`results.json`: all that a run says.

    Attributes:
        margin: Differences of per-image IoU smaller than this do not matter; a fraction.
        verdict: Every warning and sentence; what to do next is in `advice`, as it depends on times.
        damage: Files that are not what was written and that no verdict needs; "" if all are whole.
    """

    schema_number: int = Field(FINDINGS_SCHEMA, alias="schema")
    command: str
    versions: dict[str, str]
    margin: float = Field(ge=0, le=1)
    num_cells: int
    num_results: int
    groups: tuple[GroupFindings, ...]
    verdict: str
    damage: str = ""

    @property
    def num_failed(self) -> int:
        """Cells without scores."""
        return sum(row.num_failed for group in self.groups for row in group.losses)


def findings_schema() -> str:
    """The JSON Schema of `results.json`, as it is in the docs."""
    return json.dumps(Findings.model_json_schema(mode="serialization"), indent=2) + "\n"
