"""Which short trainings Vesica and Keras must agree on.

With SGD both must give the same losses. RMSprop differs in one thing: Keras 3 adds its epsilon
inside the root, PyTorch outside. With gradients as small as these that matters, so Vesica's side
runs it both ways: with epsilon inside the losses must agree, with PyTorch's own they must not, or
the check would be blind.
"""

from dataclasses import dataclass, replace
from typing import Any

TOLERANCE = 1e-4
"""Largest relative difference of any loss."""


@dataclass(frozen=True)
class Case:
    """One short training.

    Attributes:
        loss: "bce" or "iou".
        optimizer: "sgd", "rmsprop" (epsilon inside the root) or `OUTSIDE` (PyTorch's own).
        lr: Small enough that rounding does not grow, large enough that the losses move by far more
            than the tolerance.
    """

    loss: str
    optimizer: str
    lr: float

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.loss}, {self.optimizer}"


OUTSIDE = "rmsprop with epsilon outside"
KERAS_CASES = (
    Case("bce", "sgd", 3e-4),
    Case("iou", "sgd", 3e-3),
    Case("bce", "rmsprop", 5e-7),
    Case("iou", "rmsprop", 5e-7),
)
VESICA_CASES = (
    *KERAS_CASES,
    *(replace(case, optimizer=OUTSIDE) for case in KERAS_CASES if case.optimizer == "rmsprop"),
)


def compare(vesica: dict[str, list[float]], keras: dict[str, list[float]]) -> list[dict[str, Any]]:
    """A row for each of `VESICA_CASES`: its losses, the largest difference, whether it is right."""
    rows = []
    for case in VESICA_CASES:
        is_outside = case.optimizer == OUTSIDE
        other = keras[replace(case, optimizer="rmsprop").name if is_outside else case.name]
        losses = vesica[case.name]
        difference = max(abs(a - b) / abs(b) for a, b in zip(losses, other, strict=True))
        is_met = (difference > TOLERANCE) if is_outside else (difference <= TOLERANCE)
        row = {"case": case.name, "losses": losses, "difference": difference, "is_met": is_met}
        rows.append(row)
    return rows
