"""Tables that the page of the published values and that of ours share."""

from collections.abc import Mapping, Sequence
from typing import Any

from vesica.paper.published import LOSSES, METRICS, Loss, Metric
from vesica.report.sections import Grid
from vesica.words import MISSING, say_p

METRIC_NAMES: dict[Metric, str] = {"accuracy": "accuracy", "iou": "IoU", "epochs": "epochs"}
HEADINGS = ("Accuracy", "IoU-Score", "Convergence")
"""As the paper prints the metrics."""

UNSEEN_NOTE = (
    "Differences are IoU loss minus BCE loss, in points (epochs in epochs), intervals at 95 %. "
    "Signs: the exact test over all patterns of signs, and the smallest value that it could give."
)


def printed_cells(published: Mapping[str, Mapping[Loss, int]]) -> list[str]:
    """A published row: of every metric both losses, as the paper prints them."""
    cells = []
    for metric in METRICS:
        numbers = [published[metric][loss] for loss in LOSSES]
        texts = [str(n) if metric == "epochs" else f"{n / 1000:.3f}" for n in numbers]
        cells += bold_better(texts, numbers, lower_is_better=metric == "epochs")
    return cells


def bold_better(
    texts: Sequence[str], values: Sequence[float | None], *, lower_is_better: bool = False
) -> list[str]:
    """The better one in bold, and both where they are level to the digits shown."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return list(texts)
    best = texts[values.index(min(known) if lower_is_better else max(known))]
    return [f"**{text}**" if text == best else text for text in texts]


def unseen_blocks(unseen: dict[str, Any], num_data: int, num_setups: int) -> list[str | Grid]:
    """Clusters of every metric, what data sets say, and all set-ups as if independent."""
    metrics = [metric for metric in METRICS if metric in unseen]
    reason = unseen[metrics[0]]["across_data_sets"]["reason"]
    are = "there is one" if num_data == 1 else f"there are {'two' if num_data == 2 else num_data}"
    by_metric = [_whole_column(unseen[metric], _scale(metric)) for metric in metrics]
    return [
        *(
            Grid(
                ["what counts once", "number", "mean", "interval", "t-test, p", "signs, p (least)"],
                [_cluster_row(level, _scale(metric)) for level in unseen[metric]["clusters"]],
                title=METRIC_NAMES[metric],
            )
            for metric in metrics
        ),
        f"Only data sets are independent of each other, and {are}: {reason}.",
        Grid(
            [f"all {num_setups} as independent", *(METRIC_NAMES[metric] for metric in metrics)],
            [[name, *(column[name] for column in by_metric)] for name in by_metric[0]],
        ),
    ]


def _scale(metric: Metric) -> int:
    return 1 if metric == "epochs" else 10


def _cluster_row(level: dict[str, Any], scale: int) -> list[str]:
    test = level["test"]
    return [
        level["counts_once"],
        str(level["num"]),
        f"{test['mean'] / scale:+.2f}",
        f"{test['low'] / scale:+.2f} to {test['high'] / scale:+.2f}",
        say_p(test["p_two_sided"]),
        f"{say_p(level['p_sign_flip'])} ({say_p(level['p_sign_flip_smallest'])})",
    ]


def _whole_column(found: dict[str, Any], scale: int) -> dict[str, str]:
    test, without = found["test"], found["leave_one_out"]
    means = [left["mean"] / scale for left in without]
    p_values = [left["p_two_sided"] for left in without if left["p_two_sided"] is not None]
    size, low, high = (test[f"effect_{name}"] for name in ("size", "low", "high"))
    number = ("0 metrics", "one metric", "two metrics", "three metrics")[found["num_holm"]]
    return {
        "t-test, p": say_p(test["p_two_sided"]),
        f"the same, Holm for {number}": say_p(found["p_holm"]),
        "signed ranks, exact, p": say_p(found["signed_rank"]["p_two_sided"]),
        "differences tied or 0": str(found["num_tied"]),
        "sign test, p": say_p(found["p_sign"]),
        "median difference": f"{found['median'] / scale:+.2f}",
        "effect size d_z": MISSING if size is None else f"{size:+.2f} ({low:+.2f} to {high:+.2f})",
        "mean without one set-up": f"{min(means):+.2f} to {max(means):+.2f}",
        "p without one set-up": f"{say_p(min(p_values, default=None))} to "
        f"{say_p(max(p_values, default=None))}",
    }
