"""How the difference between losses moves with the recipe, in tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vesica.plan import Cell
from vesica.plans.fairness import GROWS_BY, analyse_fairness
from vesica.report.sections import Grid, Section
from vesica.report.summary import Analysis, Summary
from vesica.words import MISSING

TITLE = "Is it only the recipe?"
CSV_HEADER = (
    *("rule", "baseline", "challenger", "lr_baseline", "lr_challenger", "is_own_choice"),
    *("mean", "low", "high", "verdict"),
)
RULE_NAMES = {
    "val_loss": "best by its own validation loss",
    "val_iou": "best by validation IoU",
    "last": "the last of all epochs",
}


def summarise_fairness(
    run: Path, cells: Sequence[Cell], margin: float, judged: dict[str, Any] | None
) -> Summary:
    """Every rule and rate as far as they have results."""
    document = analyse_fairness(run, cells, margin)
    return Summary(
        "fairness",
        TITLE,
        document,
        fairness_sections(document),
        CSV_HEADER,
        [row for found in document["rules"] for row in _csv_rows(found)],
    )


ANALYSIS = Analysis("fairness", GROWS_BY, summarise_fairness)


def fairness_sections(document: dict[str, Any]) -> list[Section]:
    """The answer first, then what each loss chose."""
    lrs = [f"{lr:g}" for lr in document["learning_rates"]]
    ended, planned = document["num_results"], document["num_cells"]
    edges = _say_edges(document)
    return [
        Section(
            "",
            [
                f"{document['data']}; {ended} of {planned} cells have a result; seeds: "
                f"{document['num_seeds']}; at most {document['max_epochs']} epochs. Differences "
                "are points of per-image IoU on test images. With its own rate, each loss has "
                "the one with the highest validation IoU; the choice is not part of the interval.",
                Grid(
                    ["scored epoch", "losses", "own learning rates", "interval", "verdict"]
                    + [f"both {lr}" for lr in lrs],
                    [_difference_row(found, lrs) for found in document["rules"]],
                    num_words=2,
                ),
                *edges,
            ],
        ),
        Section(
            "Validation IoU of each learning rate",
            [
                Grid(
                    ["scored epoch", "loss", *lrs, "chosen"],
                    [row for found in document["rules"] for row in _choice_rows(found, lrs)],
                    num_words=2,
                )
            ],
        ),
    ]


def _difference_row(found: dict[str, Any], lrs: Sequence[str]) -> list[str]:
    own = found["own"]
    has_interval = own is not None and own["low"] is not None
    return [
        RULE_NAMES[found["rule"]],
        f"{found['challenger']} minus {found['baseline']}",
        _say_mean(own),
        f"{100 * own['low']:+.1f} to {100 * own['high']:+.1f}" if has_interval else MISSING,
        MISSING if own is None else own["verdict"],
        *(_say_mean(found["same"][lr]) for lr in lrs),
    ]


def _say_mean(comparison: dict[str, Any] | None) -> str:
    return MISSING if comparison is None else f"{100 * comparison['mean']:+.1f}"


def _choice_rows(found: dict[str, Any], lrs: Sequence[str]) -> list[list[str]]:
    return [
        [
            RULE_NAMES[found["rule"]],
            choice["loss"],
            *(
                MISSING if choice["tried"][lr] is None else f"{choice['tried'][lr]:.3f}"
                for lr in lrs
            ),
            MISSING if choice["lr"] is None else f"{choice['lr']:g}{_mark(choice)}",
        ]
        for choice in found["choices"]
    ]


def _mark(choice: dict[str, Any]) -> str:
    return " (all level)" if choice["is_level"] else " (edge)" if choice["is_at_edge"] else ""


def _say_edges(document: dict[str, Any]) -> list[str]:
    """Losses that might do better with a learning rate that was not tried."""
    edges = [
        f"{choice['loss']}, {RULE_NAMES[found['rule']]}: {choice['lr']:g}"
        for found in document["rules"]
        for choice in found["choices"]
        if choice["lr"] is not None and choice["is_at_edge"]
    ]
    listed = "; ".join(dict.fromkeys(edges))
    text = f"**At the edge of the grid**, so that a better rate may lie beyond it: {listed}."
    level = any(choice["is_level"] for found in document["rules"] for choice in found["choices"])
    no_choice = (
        "**All level:** every rate gave the same validation IoU, as when nothing was learnt; the "
        "first one stands for all, and none was chosen."
    )
    return [text] * bool(edges) + [no_choice] * level


def _csv_rows(found: dict[str, Any]) -> list[list[Any]]:
    lr_old, lr_new = (choice["lr"] for choice in found["choices"])
    compared = [(lr_old, lr_new, "yes", found["own"])]
    compared += [(lr, lr, "no", comparison) for lr, comparison in found["same"].items()]
    return [
        [found["rule"], found["baseline"], found["challenger"], old, new, is_own]
        + [comparison[name] for name in ("mean", "low", "high", "verdict")]
        for old, new, is_own, comparison in compared
        if comparison is not None
    ]
