"""`vesica.compare`: the command of that name in Python, where a function may stand for its name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vesica import spelling
from vesica.data.library import Library
from vesica.entry import check_folder
from vesica.errors import DataError, say_refused
from vesica.naming import name_cells, name_run
from vesica.plan import OPTION_NAMES, seeds_and_folds
from vesica.plans.defaults import QUICK_SEEDS, check_names, choose, default_losses
from vesica.run import Run, run_in
from vesica.until import MAX_SEEDS, Until, looks_up_to, read_duration
from vesica.words import split_names

OF_MASKS = ("foreground", "ignore")
MAX_MARGIN = 100
Named = str | Callable[..., Any]
"""A name, or the function itself."""


def compare(
    data: str | Path | Callable[..., Any],
    losses: Sequence[Named] | None = None,
    *,
    loss: Named | None = None,
    model: Named | None = None,
    recipe: str = "modern",
    seeds: int | None = None,
    max_seeds: int = MAX_SEEDS,
    quick: bool = False,
    budget: str | None = None,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    margin: float | None = None,
    jobs: int | None = None,
    log: Sequence[str] = (),
    quiet: bool = False,
    **fields: Any,
) -> Run:
    """Train a network with each loss on the same images, and judge: `vesica compare` in Python.

    Whatever has a name may be a function instead: losses, network, data set, optimiser, schedule,
    augmentation.

    Args:
        data: A folder of images and masks, a name such as "generated:num=200", or a function that
            gives a `vesica.data.Dataset`.
        losses: To compare; the first is the baseline of the others. None: bce and iou; where each
            pixel is of one of several classes, ce and iou.
        loss: One more.
        model: The network.
        recipe: "modern" or "paper": what every option is that is not given.
        seeds: Runs per loss; below 3 there is no verdict. None: from 3 on they are added until the
            verdict is clear, or cannot become so.
        max_seeds: Most seeds to add up to, where `seeds` is None.
        quick: A first look: smaller images, fewer steps, 3 seeds.
        budget: Most time to spend, such as "2h": on adding seeds; where it does not reach for the
            first verdict, size and steps are lowered that are not given.
        out: The run's folder; a finished part of it is not trained again.
        cache: Folder of decoded images and frozen layers' output.
        margin: Differences smaller than this do not matter, in points of IoU; None: 0.5, or as the
            run was judged before.
        jobs: Cells trained side by side.
        log: Loggers that are told as well: "tensorboard", "mlflow".
        quiet: Show no progress.
        fields: As the command line's options: size, weights, epochs, batch, lr, ...

    Raises:
        ValueError: If a name or an option does not exist.
        DataError: If images, weights or a user's file cannot be had, or do not fit.
        KeyboardInterrupt: If it was stopped; the same call goes on.

    Example:
        >>> import vesica
        >>> run = vesica.compare(
        ...     "generated:num=60:size=64:density=0.4", losses=["bce", "iou"], size=64, seeds=1,
        ...     steps=40, folds=0, out="run", cache="cache", quiet=True,
        ... )
        >>> run.verdict[:40]
        'Undecided on generated, face: iou minus '
        >>> len(run.table()), run.report().name, type(run.best("iou")).__name__
        (2, 'report.html', 'UNet')
    """
    from rich.console import Console

    from vesica.loggers import Logs, check_loggers
    from vesica.progress import Display

    log = _names(log)
    check_loggers(log)
    for name, number in (("seeds", seeds), ("jobs", jobs)):
        if number is not None and (type(number) is not int or number < 1):
            raise ValueError(f"{name}={number!r}: expected 1 or more")
    if margin is not None and not 0 <= margin <= MAX_MARGIN:
        raise ValueError(f"margin={margin!r}: expected points of IoU, from 0 to {MAX_MARGIN}")
    if budget is not None and not isinstance(budget, str):
        raise ValueError(f"budget={budget!r}: expected a time such as '2h', '90m' or '30s'")
    losses = None if losses is None else _names(losses)
    more = [loss] if loss is not None else []
    if seeds is not None and max_seeds != MAX_SEEDS:
        raise ValueError("seeds is the number of seeds: leave out max_seeds")
    if losses is not None and not [*losses, *more]:
        raise ValueError("losses is empty; name at least one, two to compare them")
    # Values of masks are words, as some are colours; people write numbers.
    fields |= {name: str(fields[name]) for name in OF_MASKS if type(fields.get(name)) is int}
    given = {"model": model, **fields}
    spelled = {name: _spell(value, name) for name, value in given.items()}
    path = _spell(data, "data")
    run = run_in(out, cache, name_run(path, "quick" * quick), grows=True)
    check_folder(run.folder, run.analysis.kind)
    library = Library(run.cache)
    own = [*(losses or ()), *more]
    own_spelled = [_spell(name, "loss") for name in own]
    try:
        check_names(path, spelled, recipe, own_spelled)
        chosen = choose(path, spelled, recipe, library, run.folder, quick=quick)
    except ValidationError as error:
        raise ValueError(say_refused(error.errors(), _call)) from None
    usual = default_losses(chosen.base.data, library) if losses is None else []
    run.choices = chosen.choices
    numbers = looks_up_to(max_seeds) if seeds is None else (seeds,)
    looks = Until(
        lambda num_seeds: seeds_and_folds(chosen.base, num_seeds, [*usual, *own_spelled]),
        (QUICK_SEEDS,) if quick and seeds is None else numbers,
        None if budget is None else read_duration(budget),
        chosen.fit,
        advice="a smaller size or fewer steps",
    )
    live = [name for name in (data, *own, *given.values()) if _is_of_this_process(name)]
    if live and (jobs or 1) > 1:
        raise DataError(
            f"{getattr(live[0], '__name__', live[0])}: other processes cannot find this function; "
            "put it into a file of its own, or pass jobs=1"
        )
    console = Console(highlight=False, emoji=False, quiet=quiet)
    logs = Logs(run.folder, log, lambda text: console.print(text, markup=False))
    share = None if margin is None else margin / 100
    with Display(console) as display:
        for index, ready in enumerate(
            looks.over(
                run,
                lambda cells: run.prepare(
                    cells, jobs=1 if live else jobs, margin=share, progress=display.preparing
                ),
            )
        ):
            for line in () if index else (*ready.notes, *chosen.lines(ready.hours)):
                console.print(line, markup=False)
            run.train(ready, logs.beside(display.watcher(lambda: False, name_cells(ready.cells))))
            run.judge(share)
    if looks.why_ended:
        console.print(looks.why_ended, markup=False)
    run.report()
    return run


def _names(given: Sequence[Any]) -> list[Any]:
    """A list as it is; of a text, what stands between its commas."""
    return split_names(given) if isinstance(given, str) else list(given)


def _spell(value: Any, field: str) -> Any:
    """What a field holds for a function: its name."""
    if isinstance(value, Path):
        return str(value)
    table = _tables().get(field)
    if table is None and callable(value):
        raise ValueError(f"{field} is a function; expected a value")
    is_open = value is None and field not in ("data", "loss")
    if table is None or is_open or isinstance(value, str):
        return value
    if not callable(value):
        raise ValueError(f"{field} is {value!r}; expected a name or a function")
    return spelling.name_of(value, table)


def _call(name: str, value: Any) -> str:
    """A field of a plan as an argument."""
    return f"{OPTION_NAMES.get(name, name)}={value!r}"


def _tables() -> dict[str, spelling.Table]:
    """By the field that names a key of it."""
    from vesica.data import DATA
    from vesica.data.augment import AUGMENTATIONS
    from vesica.losses import LOSSES
    from vesica.networks import NETWORKS
    from vesica.optim import AVERAGES, OPTIMIZERS, SCHEDULES

    return {
        "data": DATA,
        "loss": LOSSES,
        "model": NETWORKS,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "augment": AUGMENTATIONS,
        "average": AVERAGES,
        "beside": AVERAGES,
    }


def _is_of_this_process(value: Any) -> bool:
    """A function that no other process can import: a notebook's, a lambda, the main script's."""
    if not callable(value):
        return False
    return value.__module__ == "__main__" or spelling.is_live(spelling.name_of(value, {}))
