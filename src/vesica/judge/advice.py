"""What to do next where a verdict is open or nothing was learned: a command that is cheapest.

The command is the one that began the run, with an option or two changed; what changes a cell's
identity gets a folder of its own, and what only adds seeds goes on in the run's.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vesica.data.library import FOLDS, Library
from vesica.errors import DataError
from vesica.judge.setting import Setting
from vesica.results import Comparison, RunPlan, Unjudged
from vesica.statistics import LOOKS, MIN_SEEDS, MIN_UNITS
from vesica.words import say_time

COMMANDS = ("compare", "demo")
"""Those whose options are known here."""

SEED_OPTIONS = ("--seeds", "--until", "--max-seeds", "--budget")
"""All that `demo` has of what is advised."""

LENGTHS = ("--steps", "--epochs")
QUICK = "--quick"
"""Takes no value, and no more seeds than its own."""


@dataclass(frozen=True)
class Route:
    """A way to a verdict.

    Attributes:
        options: To change in the run's command, by name; None leaves one out.
        words: The same in words, where the run was begun by another command.
        why: What it does.
        time_s: That it takes, as far as the runs so far tell.
        ending: Of the name of a folder of its own; "" for the run's.
    """

    options: Mapping[str, str | None]
    words: str
    why: str
    time_s: float
    ending: str = ""


def advise(
    setting: Setting,
    comparisons: Sequence[Comparison | Unjudged],
    plan: RunPlan,
    run: Path,
    library: Library,
) -> list[str]:
    """The next step that the open comparisons of a setting call for; of each kind one."""
    waiting = [pair for pair in comparisons if pair.verdict == "undecided"]
    if plan.kind:  # an analysis of its own says what it needs
        return []
    if any(pair.num_missing for pair in waiting):
        route = Route({}, "the same command again", "it goes on with the runs that are missing", 0)
        return [_say(route, plan, run)]
    if waiting and (plan.choices or {}).get("quick"):
        why = "the whole comparison, as this was a first look"
        return [_say(Route({QUICK: None}, "the same without quick", why, 0, "-whole"), plan, run)]
    cheapest, texts = [], []
    for pair in waiting:
        if isinstance(pair, Comparison):
            routes = list(_routes(pair, setting, library))
            cheapest += [min(routes, key=lambda route: route.time_s)] if routes else []
            texts += [] if routes else [_say_images(pair)]
    cheapest.sort(key=lambda route: route.time_s)  # of a kind, the longest does for all
    kinds = {route.ending: route for route in cheapest}
    return [*(_say(route, plan, run) for route in kinds.values()), *dict.fromkeys(texts)]


def advise_longer(setting: Setting, plan: RunPlan, run: Path) -> list[str]:
    """What to do where nothing was learned."""
    why = (
        "it trains four times as long; if that learns nothing either, look at what the masks call "
        "foreground, and at --lr"
    )
    return [] if plan.kind else [_say(_longer(setting, 4, why), plan, run)]


def advise_more_steps(setting: Setting, plan: RunPlan, run: Path) -> list[str]:
    """What to do where a loss was still rising."""
    why = "twice the steps, as not every loss had arrived"
    return [] if plan.kind else [_say(_longer(setting, 2, why), plan, run)]


def _routes(pair: Comparison, setting: Setting, library: Library) -> Iterator[Route]:
    total_s = _time_of(setting)
    if pair.reason.startswith("by the threshold"):
        yield _longer(setting, 2, "trained twice as long, it may draw at 1/2")
        return
    has_images = pair.num_units >= MIN_UNITS and not (pair.limit and pair.limit.is_final)
    if has_images and (num := _seeds_for(pair)):
        why = "they would probably settle it" if pair.likely_seeds else "the next look"
        why = "the fewest for a verdict" if num == MIN_SEEDS else why
        options = {**dict.fromkeys(SEED_OPTIONS), "--max-seeds": str(num)}
        time_s = (num - pair.num_seeds) * total_s / pair.num_seeds
        yield Route(options, f"train {num} seeds", f"{num} seeds, {why}", time_s)
    num_units, num_images = _in_folds(pair, setting, library)
    enough = pair.limit.num_units if pair.limit and pair.limit.is_final else None
    if num_units >= max(MIN_UNITS, enough or 0):
        why = f"all {num_images} images are tested in place of {pair.num_images}"
        words = f"test in {FOLDS} folds"
        yield Route({"--folds": str(FOLDS)}, words, why, FOLDS * total_s, "-folds")


def _seeds_for(pair: Comparison) -> int | None:
    """How many seeds to train next; None where none are known to help."""
    if pair.num_seeds < MIN_SEEDS:
        return MIN_SEEDS
    if pair.likely_seeds:
        return pair.likely_seeds
    if pair.num_folds > 1:
        return next((number for number in LOOKS if number > pair.num_seeds), None)
    num = pair.needs.seeds.num if pair.needs else None
    return num if num and pair.num_seeds < num <= LOOKS[-1] else None


def _in_folds(pair: Comparison, setting: Setting, library: Library) -> tuple[int, int]:
    """The groups and images that folds would test; none where the set is in folds, or cannot be."""
    source = setting.cells[0].data
    try:
        samples = library.dataset(source).samples
    except (DataError, OSError):
        return 0, 0
    own = {sample.part for sample in samples} - {None, "train"}
    num = len({sample.group for sample in samples})
    is_possible = pair.num_folds == 1 and not own and num >= 2 * FOLDS
    return (num, len(samples)) if is_possible else (0, 0)


def _say_images(pair: Comparison) -> str:
    units = "test images" if pair.num_units == pair.num_images else "groups of test images"
    # Where seeds are in the way, too, the number that the images' own term asks for will not do.
    known = pair.limit.num_units if pair.limit and pair.limit.is_final else None
    known = known or (pair.needs.images.num if pair.needs else None) or MIN_UNITS
    if known > pair.num_units:
        there = f"and there are {pair.num_units}"
        return f"Next: label more images; about {known:,} {units} would do, {there}."
    return (
        f"Next: no number of seeds up to {LOOKS[-1]} is known to settle it; train longer, or label "
        f"more than these {pair.num_units} {units}."
    )


def _longer(setting: Setting, times: int, why: str) -> Route:
    recipe, ended = setting.cells[0].recipe, setting.ended.values()
    options: dict[str, str | None] = dict.fromkeys(LENGTHS)  # both together are refused
    option, number = ("--steps", recipe.steps) if recipe.steps else ("--epochs", recipe.max_epochs)
    if recipe.patience and all(found.result.ended_by != "epochs" for found in ended):
        options, option, number = {}, "--patience", recipe.patience
    words = f"train with {option} {times * number}"
    options[option] = str(times * number)
    return Route(options, words, why, times * _time_of(setting), "-longer")


def _time_of(setting: Setting) -> float:
    return sum(found.result.train_time_s for found in setting.ended.values())


def _say(route: Route, plan: RunPlan, run: Path) -> str:
    time = f", in about {say_time(route.time_s)}" if route.time_s >= 1 else ""
    command = _change(plan.command, route, run)
    return f"Next: {f'`{command}`' if command else route.words} ({route.why}{time})."


def _change(command: str, route: Route, run: Path) -> str:
    """The run's command with a route's options; "" where it is of another kind."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    if words[:1] != ["vesica"] or words[1:2] not in [[name] for name in COMMANDS]:
        return ""
    given = {name for name, value in route.options.items() if value is not None}
    if words[1] == "demo" and not given <= {*SEED_OPTIONS}:
        return ""
    options = {**route.options, "--out": f"{run}{route.ending}"}
    if any(word.partition("=")[0] == "--seeds" for word in words):  # earlier versions took both
        options.setdefault("--max-seeds", None)
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        name, has_value, _ = word.partition("=")
        if name not in options:
            kept.append(word)
        elif not has_value and name != QUICK:
            next(rest, None)
    added = [part for name, value in options.items() if value is not None for part in (name, value)]
    return shlex.join([*kept, *added])
