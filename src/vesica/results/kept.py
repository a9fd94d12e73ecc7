"""What a run keeps, typed: `plan.json` and a cell's `result.json`.

Reading checks everything that is used later, sizes included; files of earlier versions read too.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vesica.earlier import cell_of_schema_1
from vesica.plan import SCHEMA as PLAN_SCHEMA
from vesica.plan import Cell
from vesica.results.scores import METRICS, MeanScores, Model

SCHEMA = 1
"""Of `result.json`; that of `plan.json` is the schema of its cells."""

MAX_CELLS = 20_000

MAX_TEXT = 100_000
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Versions = dict[str, Text]

ALWAYS = [name for name, metric in METRICS.items() if metric.shown == "scores"]
"""What results of every version have."""

Status = Literal["finished", "collapsed", "failed"]


MAX_NOTE = 500
NOTE = r"^[^<>`*\[\]|\x00-\x1f]*$"
"""Plain text in one line, as it stands in Markdown, too."""


class RunPlan(Model):
    """`plan.json`: what a folder was begun with.

    Attributes:
        kind: What it is beyond a list of cells, such as "paper".
        command: As one would type it again.
        created: When, in ISO 8601.
        jobs: Cells trained side by side; None where it does not say.
        grows: Whether seeds may be added until the verdict is clear, so that looks count.
        choices: Fields that were chosen for the user when it was begun; None where it does not say.
        note: Of the user, on what the images are.
    """

    schema_number: int = Field(PLAN_SCHEMA, alias="schema", ge=1, le=PLAN_SCHEMA)
    kind: Text = ""
    command: Text = ""
    created: Text = ""
    versions: Versions = Field(default_factory=dict, max_length=1000)
    jobs: int | None = Field(None, ge=1, le=10_000)
    grows: bool = False
    choices: dict[Text, Text | int | None] | None = Field(None, max_length=100)
    note: str = Field("", max_length=MAX_NOTE, pattern=NOTE)
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
