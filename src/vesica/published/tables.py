"""Tables 3 to 6 of the paper, in whole numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Network = Literal["BFCN-32s", "FCResNet"]
Data = Literal["LFW", "HELEN"]
Size = Literal["big", "small"]
Metric = Literal["accuracy", "iou", "epochs"]
Loss = Literal["iou", "bce"]

METRICS: tuple[Metric, ...] = ("accuracy", "iou", "epochs")
LOSSES: tuple[Loss, ...] = ("iou", "bce")


@dataclass(frozen=True)
class Pair:
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
        size: All training images, or 1000.
        hair: Whether hair counts as face.
        accuracy: Thousandths.
        iou: "IoU-Score", thousandths.
        epochs: "Convergence".
    """

    table: int
    network: Network
    data: str
    size: Size
    hair: bool
    accuracy: Pair
    iou: Pair
    epochs: Pair

    @property
    def name(self) -> str:
        """As the tables call the row."""
        return f"{self.size}, {'hair' if self.hair else 'no hair'}"

    @property
    def setup(self) -> str:
        """The row's name among all sixteen."""
        return f"{self.network}, {self.data}, {self.name}"

    def pair(self, metric: Metric) -> Pair:
        """The two values of a metric."""
        return {"accuracy": self.accuracy, "iou": self.iou, "epochs": self.epochs}[metric]


def _table(number: int, network: Network, data: Data, values: Sequence[Sequence[int]]) -> list[Row]:
    """Four rows in the paper's order; each is accuracy, IoU and epochs, IoU loss before BCE."""
    names: tuple[tuple[Size, bool], ...] = (
        ("big", True),
        ("small", True),
        ("big", False),
        ("small", False),
    )
    return [
        Row(number, network, data, size, hair, Pair(*v[0:2]), Pair(*v[2:4]), Pair(*v[4:6]))
        for (size, hair), v in zip(names, values, strict=True)
    ]


TABLES: dict[int, list[Row]] = {
    3: _table(
        3,
        "BFCN-32s",
        "LFW",
        [
            (974, 978, 921, 906, 91, 146),
            (962, 963, 887, 857, 116, 98),
            (977, 976, 896, 852, 89, 83),
            (970, 967, 872, 837, 155, 117),
        ],
    ),
    4: _table(
        4,
        "BFCN-32s",
        "HELEN",
        [
            (961, 961, 877, 838, 125, 130),
            (943, 940, 820, 779, 118, 131),
            (983, 984, 905, 877, 83, 125),
            (978, 977, 871, 837, 93, 129),
        ],
    ),
    5: _table(
        5,
        "FCResNet",
        "LFW",
        [
            (942, 947, 829, 826, 75, 64),
            (922, 942, 777, 818, 44, 113),
            (959, 943, 821, 730, 78, 59),
            (951, 949, 798, 757, 72, 67),
        ],
    ),
    6: _table(
        6,
        "FCResNet",
        "HELEN",
        [
            (926, 905, 768, 673, 62, 50),
            (916, 917, 747, 723, 62, 97),
            (967, 962, 816, 775, 68, 72),
            (963, 960, 796, 766, 88, 80),
        ],
    ),
}
"""By number, as printed."""

MAX_EPOCHS = 1000
"""Table 2."""


def rows() -> list[Row]:
    """All sixteen, in the paper's order."""
    return [row for table in TABLES.values() for row in table]


def values(metric: Metric, loss: Loss, chosen: Sequence[Row] | None = None) -> NDArray[np.int64]:
    """A column of the tables."""
    found = rows() if chosen is None else chosen
    return np.array([getattr(row.pair(metric), loss) for row in found], dtype=np.int64)


def differences(metric: Metric, chosen: Sequence[Row] | None = None) -> NDArray[np.int64]:
    """IoU loss minus BCE loss, per row."""
    return values(metric, "iou", chosen) - values(metric, "bce", chosen)


def points(thousandths: float) -> float:
    """Percentage points."""
    return thousandths / 10
