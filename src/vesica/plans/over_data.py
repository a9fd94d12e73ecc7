"""Plans that a user runs on data sets of their own."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from vesica.data.library import Library
from vesica.errors import DataError
from vesica.plan import SHORTHANDS, Cell
from vesica.plans.defaults import Defaults, check_names, choose
from vesica.plans.demo import LARGE_HEADS, SMALL_HEADS
from vesica.plans.losses import COMPARED, losses, say_seeds
from vesica.plans.sparsity import sparsity, sparsity_classes
from vesica.spelling import shown

OverData = Literal["losses", "architectures", "sparsity", "sparsity-classes"]
OVER_DATA: tuple[OverData, ...] = get_args(OverData)
GENERATED = (LARGE_HEADS, SMALL_HEADS)
"""Data sets unless others are named."""

OF_NETWORK = tuple(name for name, short in SHORTHANDS.items() if short.owner == "model")


def cells_over_data(
    plan: OverData,
    paths: Sequence[str],
    fields: Mapping[str, Any],
    library: Library,
    *,
    names: Sequence[str] = (),
    networks: Sequence[str] = (),
    seeds: int = 3,
) -> tuple[list[Cell], list[str]]:
    """The cells of a plan, and what was chosen for each data set, in sentences.

    Args:
        plan: Which.
        paths: The data sets; none: generated ones.
        fields: What the user gives for all of them, as `cell_of` takes it; None is left open. Of
            architectures, `weights` are several by comma, and options of networks go to those that
            have them.
        library: Opens the images.
        names: Of the losses; none: the plan's.
        networks: Of architectures; none: the plan's.
        seeds: Runs of each.

    Raises:
        ValueError: If a name, option or value does not exist.
        DataError: If images cannot be opened or divided.
    """
    for kind, given in (("data set", paths), ("loss", names), ("network", networks)):
        twice = [name for name, num in Counter(given).items() if num > 1]
        if twice:
            raise ValueError(f"{twice[0]}: the same {kind} twice; name it once")
    if len(names) == 1:
        raise ValueError(f"--losses {names[0]} is one; name two or more to compare them")
    if plan in ("sparsity", "sparsity-classes"):
        check_names("", fields, "modern", None)
    if plan == "sparsity":
        return sparsity(paths, fields, library, seeds=seeds), []
    if plan == "sparsity-classes":
        return sparsity_classes(paths, fields, library, seeds=seeds), []
    paths = paths or GENERATED
    if plan == "losses":
        chosen = _choose_all(paths, fields, library, names)
        names = names or COMPARED
        cells = losses([found.base for found in chosen], losses=names, seeds=seeds)
        return cells, _reasons(chosen) + say_seeds(len(names), seeds)
    return _architectures(paths, fields, library, names, networks, seeds)


def _architectures(
    paths: Sequence[str],
    fields: Mapping[str, Any],
    library: Library,
    names: Sequence[str],
    networks: Sequence[str],
    seeds: int,
) -> tuple[list[Cell], list[str]]:
    from vesica.plans.architectures import COMPARED, LOSSES, architectures, check_networks

    of_network = {name: fields[name] for name in OF_NETWORK if fields.get(name) is not None}
    shared = {name: value for name, value in fields.items() if name not in OF_NETWORK}
    said = shared.pop("weights", "default")
    weights = [] if said == "default" else [text.strip() for text in said.split(",")]
    networks = networks or COMPARED
    check_networks(networks, weights, of_network)
    chosen = _choose_all(paths, shared, library, names)
    cells = architectures(
        [found.base for found in chosen],
        networks=networks,
        losses=names or LOSSES,
        seeds=seeds,
        weights=weights,
        options=of_network,
        has_rate=shared.get("lr") is not None or shared.get("optimizer") is not None,
    )
    starts = {shown(cell.model): cell.weights_name for cell in cells if weights}
    return cells, _reasons(chosen) + [f"{net}: weights {name}" for net, name in starts.items()]


def _choose_all(
    paths: Sequence[str], fields: Mapping[str, Any], library: Library, names: Sequence[str]
) -> list[Defaults]:
    check_names(paths[0], fields, "modern", names)
    return [_choose(path, fields, library, len(paths)) for path in paths]


def _reasons(chosen: Iterable[Defaults]) -> list[str]:
    return [f"{found.base.data.spelled}: {line}" for found in chosen for line in found.reasons]


def _choose(path: str, fields: Mapping[str, Any], library: Library, num_sets: int) -> Defaults:
    """Of several sets, name the one that is wrong."""
    try:
        return choose(path, fields, "modern", library, None)
    except DataError as error:
        if num_sets < 2:
            raise
        raise DataError(
            f"{path}: {error}\nOptions hold for all sets: what this one alone needs goes into a "
            "command of its own, with the same --out."
        ) from None
