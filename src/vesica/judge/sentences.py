"""What is said of two losses, in a sentence or a line."""

from collections.abc import Sequence

from vesica.results import Comparison, Failures, Unjudged
from vesica.spelling import shown
from vesica.words import count_of


def say_pair(comparison: Comparison | Unjudged, where: str) -> str:
    """The verdict in a sentence, with what must be known of it."""
    old, new = shown(comparison.baseline), shown(comparison.challenger)
    if isinstance(comparison, Unjudged):
        return f"Undecided on {where}, {new} against {old}: {comparison.reason}."
    opening = {
        "undecided": f"Undecided on {where}: {new} minus {old} is",
        "equivalent": f"On {where}, {new} and {old} are equivalent: {new} minus {old} is",
    }.get(comparison.verdict, f"On {where}, {new} is {comparison.verdict} than {old}:")
    scope = "for this training set and split"
    if comparison.num_folds > 1:
        scope = f"for training sets like these, in {comparison.num_folds} folds"
    text = f"{opening} {_figures(comparison)}, {scope}"
    text += f"; {comparison.reason}." if comparison.reason else "."
    text += _say_threshold(comparison)
    if comparison.dropped_seeds:
        text += f" Left out: {say_failures(comparison.failures)}."
    if comparison.unpaired_seeds:
        text += f" Left out, for lack of a partner: seeds {list(comparison.unpaired_seeds)}."
    left_out = {(cell.loss, cell.seed) for cell in comparison.failed}
    counted = dict.fromkeys(
        f"{shown(cell.loss)} seed {cell.seed}"
        for cell in comparison.collapsed
        if (cell.loss, cell.seed) not in left_out and cell.seed not in comparison.dropped_seeds
    )
    if counted:
        text += f" Counted in, though of one class at 1/2: {', '.join(counted)}."
    return text


def _say_threshold(found: Comparison) -> str:
    """What becomes of a difference where both thresholds are tuned, if that changes what one would
    conclude."""
    tuned = next((row.difference for row in found.decisions if row.decision == "tuned"), None)
    if tuned is None or tuned.low is None or tuned.high is None:
        return ""
    left = f"{100 * tuned.mean:+.1f} ({100 * tuned.low:+.1f} to {100 * tuned.high:+.1f})"
    is_clear = tuned.low > 0 or tuned.high < 0
    if found.verdict in ("better", "worse"):
        if tuned.mean * found.mean < 0:
            return f" With thresholds tuned on validation the sign turns: {left}."
        if not is_clear:
            return f" With thresholds tuned on validation it may be nothing: {left}."
        if abs(tuned.mean) < abs(found.mean) / 2:
            return f" With thresholds tuned on validation less than half is left: {left}."
    elif is_clear and abs(tuned.mean) > found.margin:
        return f" With thresholds tuned on validation it is {left}."
    return ""


def say_short(comparison: Comparison | Unjudged) -> str:
    """A look at two losses in a line."""
    old, new = shown(comparison.baseline), shown(comparison.challenger)
    if isinstance(comparison, Unjudged):
        return f"{new} against {old}: {comparison.reason}"
    reason = f", {comparison.reason}" if comparison.reason else ""
    return f"{new} minus {old} {_figures(comparison)}: {comparison.verdict}{reason}"


def _figures(found: Comparison) -> str:
    text = f"{100 * found.mean:+.1f} points of per-image IoU"
    within = f"{count_of(found.num_seeds, 'seed')}, {count_of(found.num_images, 'test image')}"
    if found.num_units < found.num_images:
        within += f" in {count_of(found.num_units, 'group')}"
    if found.low is None or found.high is None:
        return f"{text} ({within})"
    interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
    return f"{text} ({100 * found.level:.3g} % interval {interval}; {within})"


def say_failures(failures: Sequence[Failures]) -> str:
    """How often each loss has failed, with the interval of its share."""
    return ", ".join(
        f"{shown(f.loss)} failed in {f.num_failed} of {count_of(f.num_runs, 'run')}, a share of "
        f"{f.low:.2f} to {f.high:.2f}"
        for f in failures
        if f.num_failed
    )
