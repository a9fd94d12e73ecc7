"""Every number of the paper's section 5, from its tables, and the definition that gives it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import ttest_ind

from vesica.paper.published import LOSSES, ROWS, Metric, Row, differences, values
from vesica.statistics import paired_t


@dataclass(frozen=True)
class Number:
    """One number of the paper beside the same number computed.

    Attributes:
        what: What it says.
        stated: As the paper prints it.
        value: As the tables give it.
        unit: Of `value`.
        shown: `value`, written with the digits of `stated`.
        how: The test or definition.
        others: What other tests or definitions give, by name.
    """

    what: str
    stated: str
    value: float
    unit: str
    shown: str
    how: str
    others: dict[str, float] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether the tables give what the paper states, to the digits that it states."""
        return self.shown == self.stated


def section_5(rows: Sequence[Row] = ROWS) -> list[Number]:
    """In the paper's order; tests that so few or such equal rows cannot give are left out."""
    accuracy, iou = differences("accuracy", rows), differences("iou", rows)
    largest = float(np.abs(accuracy).max() / 10)
    wins = f"{np.sum(iou > 0)} of {len(iou)}"
    return [
        *(
            Number(
                f"accuracy higher with {name} loss",
                stated,
                100 * float(is_won.mean()),
                "%",
                f"{100 * float(is_won.mean()):g} %",
                f"{is_won.sum()} of {len(rows)} set-ups; level in {np.sum(accuracy == 0)}",
            )
            for name, stated, is_won in (
                ("IoU", "56.25 %", accuracy > 0),
                ("BCE", "37.5 %", accuracy < 0),
            )
        ),
        Number(
            "largest difference of accuracy",
            "within 2.5 %",
            largest,
            "points",
            "within 2.5 %" if largest <= 2.5 else f"{largest:.1f} %",
            f"the largest of {len(accuracy)}",
        ),
        *_test("p-value, accuracy", "0.52", "accuracy", ".2f", rows),
        *_test("p-value, IoU", "4.7e-04", "iou", ".1e", rows),
        Number(
            "set-ups with a higher IoU",
            "15 of 16",
            float(np.sum(iou > 0)),
            "",
            wins,
            "set-ups with IoU loss above BCE loss",
        ),
        *_error_margin(rows),
        *_test("p-value, epochs", "0.256", "epochs", ".3f", rows),
    ]


def error_reductions(rows: Sequence[Row] = ROWS) -> dict[str, float]:
    """Relative reductions of 1 - IoU, in percent, by definition; NaN or infinite without errors."""
    iou, bce = (1000 - values("iou", loss, rows) for loss in LOSSES)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = 1 - iou / bce
        reduced, num = each[each > 0], len(each)
        left_out = "the one increase" if num - len(reduced) == 1 else "increases"
        return {
            "ratio of the mean errors": 100 * float(1 - iou.sum() / bce.sum()),
            f"mean of the {num} relative reductions": 100 * float(each.mean()),
            f"median of the {num}": 100 * float(np.median(each)),
            f"geometric mean of the {num}": 100 * float(1 - np.exp(np.log(iou / bce).mean())),
            f"mean of the {len(reduced)} reductions, without {left_out}": 100
            * float(reduced.mean() if len(reduced) else np.nan),
            "relative increase of IoU itself": 100
            * float(np.mean(values("iou", "iou", rows) / values("iou", "bce", rows)) - 1),
        }


def _test(what: str, stated: str, metric: Metric, spec: str, rows: Sequence[Row]) -> list[Number]:
    if len(rows) < 2:
        return []
    found = paired_t(differences(metric, rows))
    p, greater = found.p_two_sided, found.p_greater
    if p is None or greater is None:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where one loss's values are all the same
        by_iou, by_bce = (values(metric, loss, rows) for loss in LOSSES)
        unpaired = ttest_ind(by_iou, by_bce, equal_var=False)
    others = {"one-sided": min(greater, 1 - greater), "unpaired (Welch)": float(unpaired.pvalue)}
    how = f"paired t-test, two-sided, t = {found.t:.2f}, {found.num - 1} degrees of freedom"
    # In the paper's own digits, where they show ours: a small one would be rounded to 0.
    fits = p < 0.01 if spec == ".1e" else float(format(p, spec)) > 0
    shown = format(p, spec) if fits else f"{p:.1e}" if p < 0.001 else f"{p:.3f}"
    return [Number(what, stated, p, "", shown, how, others)]


def _error_margin(rows: Sequence[Row]) -> list[Number]:
    """By the definition that gives what the paper states for its own tables."""
    matching = [f"{value:.1f}" == "17.5" for value in error_reductions().values()]
    every = error_reductions(rows)
    name = list(every)[matching.index(True) if True in matching else 0]
    others = {name: value for name, value in every.items() if np.isfinite(value)}
    value = others.pop(name, None)
    if value is None:
        return []
    how = f"1 - IoU, {name}"
    return [Number("error margin reduced by", "17.5 %", value, "%", f"{value:.1f} %", how, others)]
