"""Sections 3 to 5 of the paper up to convergence, judged by its tables."""

import numpy as np

from vesica.published.claim import ALPHA, Claim, count_sides, holds, stated
from vesica.published.recomputed import as_in_the_paper
from vesica.published.tables import MAX_EPOCHS, differences, rows, values
from vesica.published.unseen import clusters
from vesica.statistics import MARGIN, sign_test

SAME_MASKS = "data set x hair"
"""The level at which no two values come from the same test images with the same masks."""
SEVERAL_POINTS = 20
""""Multiple percentage points": two or more, in thousandths."""
NEARLY_ALL = 14
""""Almost all" of sixteen."""


def discussion() -> list[Claim]:
    """In the paper's order."""
    return [
        *_experiments(),
        *_results(),
        _no_decrease(),
        *_accuracy(),
        *_iou(),
        *_convergence(),
    ]


def _experiments() -> list[Claim]:
    longest = int(max(values("epochs", "iou").max(), values("epochs", "bce").max()))
    return [
        Claim(
            "3",
            "any other hyper-parameters have been kept constant",
            "not testable",
            "The tables do not show it. One learning rate for both losses also is no equal chance "
            "for both.",
        ),
        Claim(
            "3",
            "the maximum of which was never reached",
            holds(longest < MAX_EPOCHS),
            f"Longest: {longest} of {MAX_EPOCHS} epochs.",
        ),
    ]


def _results() -> list[Claim]:
    p = {metric: sign_test(differences(metric)) for metric in ("accuracy", "epochs", "iou")}
    wins = int(np.sum(differences("iou") > 0))
    return [
        Claim(
            "4",
            "accuracy and convergence favor both IoU and BCE seemingly at random",
            holds(min(p["accuracy"], p["epochs"]) > ALPHA),
            f"Sign test: p = {p['accuracy']:.2f} on accuracy ({count_sides('accuracy')}), "
            f"{p['epochs']:.2f} on epochs ({count_sides('epochs')}).",
        ),
        Claim(
            "4",
            "the IoU-score is distinctly higher for the new IoU loss function in almost all "
            "experimental settings",
            holds(wins >= NEARLY_ALL),
            f"{wins} of 16 (sign test p = {p['iou']:.2g}). For what that IoU is, see below.",
        ),
    ]


def _no_decrease() -> Claim:
    chosen = differences("accuracy")
    levels = {level["counts_once"]: level["test"] for level in clusters("accuracy")}
    found, coarse = levels["pair"], levels[SAME_MASKS]
    return Claim(
        "5, Binary Accuracy",
        "it does not decrease with the use of the IoU loss function",
        holds(found["mean"] >= 0),
        f"On average: {found['mean'] / 10:+.2f} points. A decrease of more than "
        f"{100 * MARGIN:g} is excluded if all 16 are independent (95 % interval from "
        f"{found['low'] / 10:+.2f}), not with one value per data set and target (from "
        f"{coarse['low'] / 10:+.2f}). Lower in {np.sum(chosen < 0)} set-ups, by up to "
        f"{-chosen.min() / 10:.1f}.",
    )


def _accuracy() -> list[Claim]:
    first, second = (stated(f"accuracy higher with {name} loss") for name in ("IoU", "BCE"))
    return [
        Claim(
            "5, Binary Accuracy",
            "IoU-loss and BCE-loss score higher on accuracy in 56.25% and 37.5% of the cases, "
            "respectively",
            holds(first[0] == second[0] == "holds"),
            f"{first[1]} {second[1]}",
        ),
        Claim(
            "5, Binary Accuracy",
            "the results are within 2.5% in every comparison",
            *stated("largest difference of accuracy"),
        ),
        Claim(
            "5, Binary Accuracy",
            "A paired t-test on these values remains inconclusive, with a p-value of 0.52",
            *stated("p-value, accuracy"),
        ),
    ]


def _iou() -> list[Claim]:
    section = "5, Intersection over Union"
    return [
        Claim(
            section,
            "IoU-loss scores better with a p-value of 4.7\N{MULTIPLICATION SIGN}10^{-4}",
            *stated("p-value, IoU"),
        ),
        _significance(section),
        Claim(
            section,
            "IoU performs better in 15 out of 16 test cases",
            *stated("set-ups with a higher IoU"),
        ),
        _across_the_board(section),
        Claim(
            section,
            "On average over all cases the error margin is reduced by 17.5%",
            *stated("error margin reduced by"),
        ),
    ]


def _significance(section: str) -> Claim:
    p = {level["counts_once"]: level["test"]["p_two_sided"] for level in clusters("iou")}
    return Claim(
        section,
        "This is undoubtedly significant",
        holds(p[SAME_MASKS] < ALPHA),
        f"p = {p['pair']:.1e} takes 16 set-ups for independent. Four of each have the same "
        f"test images and masks: with one value for those p = {p[SAME_MASKS]:.3f}. With one "
        f"per data set and network p = {p['data set x network']:.3f}, per data set "
        f"{p['data set']:.2f} (two values).",
    )


def _across_the_board(section: str) -> Claim:
    small = [row for row in rows() if row.iou.difference < SEVERAL_POINTS]
    listed = "; ".join(f"{row.setup} ({row.iou.difference / 10:+.1f})" for row in small)
    return Claim(
        section,
        "With the exception of one test case, improvements of multiple percentage points can "
        "be seen across the board",
        holds(len(small) <= 1),
        f"Two points or more in {len(rows()) - len(small)} of 16; {len(small)} exceptions: "
        f"{listed}.",
    )


def _convergence() -> list[Claim]:
    found = as_in_the_paper()["epochs"]
    both = np.concatenate([values("epochs", "iou"), values("epochs", "bce")])
    return [
        Claim(
            "5, Convergence",
            "these training times vary wildly",
            "holds",
            f"{both.min()} to {both.max()} epochs; differences from "
            f"{differences('epochs').min():+d} to {differences('epochs').max():+d}.",
        ),
        Claim(
            "5, Convergence",
            "the average training time for IoU is lower with a p-value of 0.256",
            *stated("p-value, epochs"),
        ),
        Claim(
            "5, Convergence",
            "no informed conclusion can be drawn about either loss function converging faster",
            holds(found.low < 0 < found.high),
            f"{found.mean:+.1f} epochs, 95 % interval {found.low:+.1f} to {found.high:+.1f}; an "
            "epoch of big has more than twice the steps of small.",
        ),
    ]
