"""Which sentences of the paper (`claims.toml`) its own tables bear out."""

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vesica.paper import contrasts
from vesica.paper.published import LOSSES, METRICS, ROWS, differences, values
from vesica.paper.section_5 import section_5
from vesica.paper.soft_iou import softness
from vesica.statistics import MARGIN, sign_test

Status = Literal["does not hold", "holds", "not testable"]

ALPHA = 0.05
MAX_EPOCHS = 1000
"""Table 2."""
CLOSE = 25
"""Accuracies within 2.5 % are close for the paper; thousandths."""
SEVERAL_POINTS = 20
""""Multiple percentage points": two or more, in thousandths."""
NEARLY_ALL = 14
""""Almost all" of sixteen."""
SAME_MASKS = "data set x hair"
"""The level at which no two values come from the same test images with the same masks."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, judged.

    Attributes:
        section: Where it stands.
        quote: Its words.
        status: Whether the tables bear it out; "not testable" is what they cannot answer.
        figures: The numbers that decide.
    """

    section: str
    quote: str
    status: Status
    figures: str


def claims() -> list[Claim]:
    """All of them, in the paper's order."""
    text = resources.files("vesica.paper").joinpath("claims.toml").read_text(encoding="utf-8")
    facts = _losses() | _networks_and_sizes() | _categories()
    return [_judge(claim, facts) for claim in tomllib.loads(text)["claim"]]


def _judge(claim: dict[str, Any], facts: dict[str, Any]) -> Claim:
    is_so: bool | None = None
    if "number" in claim:
        found = [number for number in section_5() if number.what in claim["number"]]
        is_so = all(number.agrees for number in found)
        figures = " ".join(
            f"{number.value:.4g}{' ' * bool(number.unit)}{number.unit}: {number.how}."
            for number in found
        )
    else:
        is_so = facts[claim["holds"]] if "holds" in claim else None
        figures = claim["figures"].format_map(facts)
    status: Status = "not testable" if is_so is None else "holds" if is_so else "does not hold"
    return Claim(claim["section"], claim["quote"], status, figures)


def _losses() -> dict[str, Any]:
    """Sections 3 to 5 up to convergence."""
    chosen = {metric: differences(metric) for metric in METRICS}
    tests: dict[str, dict[str, Any]] = {
        metric: {level["counts_once"]: level["test"] for level in contrasts.clusters(metric)}
        for metric in METRICS
    }
    in_points = {
        level: {name: value / 10 for name, value in test.items() if name in ("mean", "low")}
        for level, test in tests["accuracy"].items()
    }
    both = np.concatenate([values("epochs", loss) for loss in LOSSES])
    signs = {f"sign_{metric}": sign_test(chosen[metric]) for metric in METRICS}
    wins = int(np.sum(chosen["iou"] > 0))
    small = [row for row in ROWS if row.iou.difference < SEVERAL_POINTS]
    return {
        **tests,
        **signs,
        **{f"sides_{metric}": _count_sides(chosen[metric]) for metric in METRICS},
        "accuracy": in_points,
        "margin": 100 * MARGIN,
        "max_epochs": MAX_EPOCHS,
        "shortest": both.min(),
        "longest": both.max(),
        "is_below_max": both.max() < MAX_EPOCHS,
        "is_random": min(signs["sign_accuracy"], signs["sign_epochs"]) > ALPHA,
        "wins": wins,
        "is_nearly_all": wins >= NEARLY_ALL,
        "is_no_decrease": in_points["pair"]["mean"] >= 0,
        "num_lower": np.sum(chosen["accuracy"] < 0),
        "most_lower": -chosen["accuracy"].min() / 10,
        "is_significant": tests["iou"][SAME_MASKS]["p_two_sided"] < ALPHA,
        "num_large": len(ROWS) - len(small),
        "num_small": len(small),
        "small_gains": "; ".join(f"{r.setup} ({r.iou.difference / 10:+.1f})" for r in small),
        "is_across_the_board": len(small) <= 1,
        "least_epochs": chosen["epochs"].min(),
        "most_epochs": chosen["epochs"].max(),
        "is_wild": True,
        "is_level": tests["epochs"]["pair"]["low"] < 0 < tests["epochs"]["pair"]["high"],
    }


def _count_sides(chosen: NDArray[np.int64]) -> str:
    """In how many set-ups IoU loss gives more."""
    return f"{np.sum(chosen > 0)} higher, {np.sum(chosen < 0)} lower, {np.sum(chosen == 0)} level"


def _networks_and_sizes() -> dict[str, Any]:
    """The rest of section 5."""
    gaps = {
        f"{factor}_{metric}": contrasts.first_minus_second(factor, metric) / 10
        for factor in ("network", "size")
        for metric in ("accuracy", "iou")
    }
    found = {
        name: {"higher": np.sum(g > 0), "mean": g.mean(), "low": g.min(), "high": g.max()}
        for name, g in gaps.items()
    }
    better, worse = (
        sum(int((1000 - values("accuracy", loss, rows)).sum()) for loss in LOSSES)
        for rows in contrasts.split("network").values()
    )
    changed = {metric: contrasts.changes_with_size(metric) for metric in ("accuracy", "iou")}
    num_apart = int(np.sum(np.abs(contrasts.first_minus_second("network", "accuracy")) > CLOSE))
    gains = {k: differences("iou", v).mean() / 10 for k, v in contrasts.split("size").items()}
    return {
        **found,
        "is_network_better": found["network_iou"]["higher"]
        == found["network_accuracy"]["higher"]
        == 16,
        "num_apart": num_apart,
        "is_network_close": num_apart == 0,
        "error_ratio": worse / better,
        "mean_gain": differences("iou").mean() / 10,
        "is_network_iou_higher": found["network_iou"]["mean"] > abs(differences("iou")).mean() / 10,
        "is_small_worse": found["size_iou"]["higher"] == found["size_accuracy"]["higher"] == 16,
        "most_gained": -found["size_iou"]["low"],
        **{f"num_changed_{metric}": len(setups) for metric, setups in changed.items()},
        **{f"changed_{metric}": "; ".join(setups) for metric, setups in changed.items()},
        "is_unchanged_by_size": not changed["iou"],
        **{f"gain_{size}": gain for size, gain in gains.items()},
    }


def _categories() -> dict[str, Any]:
    """Section 6."""
    found, sparsity = contrasts.categories(), contrasts.sparsity()
    failing = [c for c in found if c.p_holm is None or c.p_holm >= ALPHA]
    unclear = [f"{c.name} (p = {c.p:.3f})" for c in found if c.p is not None and c.p >= ALPHA]
    networks = [c for c in found if c.factor == "network"]
    return {
        "gain": softness()["mean"],
        "num_categories": len(found),
        "num_clear": len(found) - len(failing),
        "is_every_category": not failing,
        "unclear": ", ".join(unclear) or "none",
        "sparsity": sparsity,
        "sparsity_by_data": ", ".join(f"{k} {v:+.1f}" for k, v in sparsity["by_data"].items()),
        "sparsity_least": min(sparsity["by_setup"]),
        "sparsity_most": max(sparsity["by_setup"]),
        # Shown if no effect beyond the margin is compatible with the tables.
        "is_independent_of_sparsity": max(-sparsity["low"], sparsity["high"]) <= 100 * MARGIN,
        "p_networks": "; ".join(f"{c.name}: p = {c.p:.2g}" for c in networks),
        "is_both_networks": all(c.p is not None and c.p < ALPHA for c in networks),
    }
