"""Plans that a user runs on data sets of their own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from vesica.data.library import Library
from vesica.errors import DataError
from vesica.plan import SHORTHANDS, Cell
from vesica.plans.defaults import Defaults, choose
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
    if plan == "sparsity":
        return sparsity(paths, fields, library, seeds=seeds), []
    if plan == "sparsity-classes":
        return sparsity_classes(paths, fields, library, seeds=seeds), []
    several = {} if plan == "losses" else {name: fields.get(name) for name in OF_NETWORK}
    shared = {name: value for name, value in fields.items() if name not in several}
    weights = shared.pop("weights", "default") if several else ""
    chosen = [_choose(path, shared, library, len(paths)) for path in paths or GENERATED]
    bases = [found.base for found in chosen]
    said = [f"{found.base.data.spelled}: {line}" for found in chosen for line in found.reasons]
    if plan == "losses":
        names = names or COMPARED
        return losses(bases, losses=names, seeds=seeds), said + say_seeds(len(names), seeds)
    from vesica.plans import architectures as plan_of_networks  # needs torch

    cells = plan_of_networks.architectures(
        bases,
        networks=networks or plan_of_networks.COMPARED,
        losses=names or plan_of_networks.LOSSES,
        seeds=seeds,
        weights=[] if weights == "default" else [text.strip() for text in weights.split(",")],
        options={name: value for name, value in several.items() if value is not None},
        has_rate=shared.get("lr") is not None or shared.get("optimizer") is not None,
    )
    if weights != "default":
        starts = {shown(cell.model): cell.weights_name for cell in cells}
        said += [f"{network}: weights {name}" for network, name in starts.items()]
    return cells, said


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
