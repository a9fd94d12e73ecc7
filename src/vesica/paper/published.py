"""Tables 3 to 6 of the paper, in whole numbers."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["accuracy", "iou", "epochs"]
Loss = Literal["iou", "bce"]

METRICS: tuple[Metric, ...] = ("accuracy", "iou", "epochs")
LOSSES: tuple[Loss, ...] = ("iou", "bce")

PRINTED = resources.files("vesica.paper").joinpath("published.csv").read_text(encoding="utf-8")
"""As the paper prints them: a line per row, in its order; IoU loss before BCE."""


@dataclass(frozen=True)
class ByLoss:
    """One metric of the networks trained with IoU loss and with BCE loss."""

    iou: int
    bce: int

    @property
    def difference(self) -> int:
        """IoU loss minus BCE loss."""
        return self.iou - self.bce


@dataclass(frozen=True)
class Row:
    """A row of tables 3 to 6: one set-up, both losses.

    Attributes:
        table: Number of the table.
        network: Its network.
        data: Its data set, for training and test; ours has its folder's name.
        size: "big", all training images, or "small", 1000.
        hair: Whether hair counts as face.
        accuracy: Thousandths.
        iou: "IoU-Score", thousandths.
        epochs: "Convergence".
    """

    table: int
    network: str
    data: str
    size: str
    hair: bool
    accuracy: ByLoss
    iou: ByLoss
    epochs: ByLoss

    @property
    def target(self) -> str:
        """What is to be found, in the tables' words."""
        return "hair" if self.hair else "no hair"

    @property
    def name(self) -> str:
        """As the tables call the row."""
        return f"{self.size}, {self.target}"

    @property
    def setup(self) -> str:
        """The row's name among all sixteen."""
        return f"{self.network}, {self.data}, {self.name}"

    def of(self, metric: Metric) -> ByLoss:
        """The two values of a metric."""
        found: ByLoss = getattr(self, metric)
        return found


def _read(line: dict[str, str]) -> Row:
    def both(metric: Metric) -> ByLoss:
        scale = 1 if metric == "epochs" else 1000
        return ByLoss(*(round(scale * float(line[f"{metric}_{loss}"])) for loss in LOSSES))

    head = int(line["table"]), line["network"], line["data"], line["size"], line["hair"] == "yes"
    return Row(*head, both("accuracy"), both("iou"), both("epochs"))


FOREGROUND = {True: "face+hair", False: "face"}
"""What a cell calls it, by whether hair counts as face."""

ROWS = [_read(line) for line in csv.DictReader(PRINTED.splitlines())]
"""All sixteen set-ups, in the paper's order."""


def values(metric: Metric, loss: Loss, rows: Sequence[Row] = ROWS) -> NDArray[np.int64]:
    """A column of the tables."""
    return np.array([getattr(row.of(metric), loss) for row in rows], dtype=np.int64)


def differences(metric: Metric, rows: Sequence[Row] = ROWS) -> NDArray[np.int64]:
    """IoU loss minus BCE loss, per row."""
    return values(metric, "iou", rows) - values(metric, "bce", rows)
