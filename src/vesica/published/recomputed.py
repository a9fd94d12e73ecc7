"""Every number of the paper's section 5, from its tables, and the definition that gives it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from vesica.published.tables import Metric, differences, values
from vesica.statistics import PairedTest, paired_t


@dataclass(frozen=True)
class Figure:
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
    others: dict[str, float]

    @property
    def agrees(self) -> bool:
        """Whether the tables give what the paper states, to the digits that it states."""
        return self.shown == self.stated


def figures() -> list[Figure]:
    """In the paper's order."""
    accuracy, iou = differences("accuracy"), differences("iou")
    largest = float(np.abs(accuracy).max() / 10)
    return [
        _share("accuracy higher with IoU loss", "56.25 %", accuracy > 0),
        _share("accuracy higher with BCE loss", "37.5 %", accuracy < 0),
        Figure(
            "largest difference of accuracy",
            "within 2.5 %",
            largest,
            "points",
            "within 2.5 %" if largest <= 2.5 else f"{largest:.1f} %",
            "the largest of 16",
            {},
        ),
        _test("p-value, accuracy", "0.52", "accuracy", ".2f"),
        _test("p-value, IoU", "4.7e-04", "iou", ".1e"),
        Figure(
            "set-ups with a higher IoU",
            "15 of 16",
            float(np.sum(iou > 0)),
            "",
            f"{np.sum(iou > 0)} of {len(iou)}",
            "set-ups with IoU loss above BCE loss",
            {},
        ),
        _error_margin(),
        _test("p-value, epochs", "0.256", "epochs", ".3f"),
    ]


def error_reductions() -> dict[str, float]:
    """Relative reductions of 1 - IoU, in percent, by definition."""
    iou, bce = (1000 - values("iou", loss) for loss in ("iou", "bce"))
    each = 1 - iou / bce
    return {
        "ratio of the mean errors": 100 * float(1 - iou.sum() / bce.sum()),
        "mean of the 16 relative reductions": 100 * float(each.mean()),
        "median of the 16": 100 * float(np.median(each)),
        "geometric mean of the 16": 100 * float(1 - np.exp(np.log(iou / bce).mean())),
        "mean of the 15 reductions, without the one increase": 100 * float(each[each > 0].mean()),
        "relative increase of IoU itself": 100
        * float(np.mean(values("iou", "iou") / values("iou", "bce")) - 1),
    }


def as_in_the_paper() -> dict[Metric, PairedTest]:
    """The paired t-test over all sixteen set-ups; IoU and accuracy in thousandths."""
    return {
        "accuracy": paired_t(differences("accuracy")),
        "iou": paired_t(differences("iou")),
        "epochs": paired_t(differences("epochs")),
    }


def _share(what: str, stated: str, wins: NDArray[np.bool_]) -> Figure:
    share = 100 * float(wins.mean())
    how = f"{wins.sum()} of {len(wins)} set-ups; level in {np.sum(differences('accuracy') == 0)}"
    return Figure(what, stated, share, "%", f"{share:g} %", how, {})


def _test(what: str, stated: str, metric: Metric, spec: str) -> Figure:
    found = as_in_the_paper()[metric]
    assert found.p_two_sided is not None
    assert found.p_greater is not None
    unpaired = ttest_ind(values(metric, "iou"), values(metric, "bce"), equal_var=False)
    others = {
        "one-sided": min(found.p_greater, 1 - found.p_greater),
        "unpaired (Welch)": float(unpaired.pvalue),
    }
    how = f"paired t-test, two-sided, t = {found.t:.2f}, {found.num - 1} degrees of freedom"
    p = found.p_two_sided
    return Figure(what, stated, p, "", format(p, spec), how, others)


def _error_margin() -> Figure:
    definitions = error_reductions()
    matching = [name for name, value in definitions.items() if f"{value:.1f}" == "17.5"]
    name = matching[0] if matching else next(iter(definitions))
    value = definitions.pop(name)
    return Figure(
        "error margin reduced by",
        "17.5 %",
        value,
        "%",
        f"{value:.1f} %",
        f"1 - IoU, {name}",
        definitions,
    )
