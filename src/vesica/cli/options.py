"""Options: those that several commands share, and those that are made of a plan's fields."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vesica.data.source import Source
from vesica.plan import OPTION_NAMES, SHORTHANDS, Cell, Recipe
from vesica.recipes import RECIPES

RUN, IMAGES, NETWORK, RECIPE = "The run", "The images", "The network", "The recipe"
Panels = tuple[tuple[str, type[BaseModel], str], ...]

PANELS: Panels = (
    (IMAGES, Source, ""),
    (NETWORK, Cell, "model"),
    (RECIPE, Recipe, "optimizer"),
)
"""Where the options of a part of a cell stand, and which field's shorthands stand beside them."""

FIRST = (
    *("losses", "foreground", "group", "quick", "budget", "folds", "model", "out", "seeds"),
    "dry_run",
)
"""Options that matter first, in this order: they stand in no panel."""

LEVERS = ("size", "steps", "batch", "width")
"""Fields of a cell that make a run cheaper."""

Out = Annotated[
    Path | None,
    typer.Option(
        help="The run's folder. [default: runs/DATA-DATE, of a plan runs/DATA-PLAN-DATE]",
        show_default=False,
    ),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick", help="A first look in minutes: smaller images, fewer steps, 3 seeds, no more."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder for decoded images and frozen layers' output, shared by all runs. "
        "[default: $VESICA_CACHE, or the user's cache folder]",
        show_default=False,
        rich_help_panel=RUN,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        help="Differences smaller than this do not matter, in points of IoU. [default: 0.5, or as "
        "the run was judged before]",
        min=0,
        max=100,
        show_default=False,
        rich_help_panel=RUN,
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        help="Metrics of your own, by comma: FILE.py:FUNCTION, asked of the test masks.",
        show_default=False,
        rich_help_panel=RUN,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=64,
        help="Cells trained side by side. [default: as many as cores where that is faster]",
        show_default=False,
        rich_help_panel=RUN,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="So many runs per loss, in place of --until; below 3 there is no verdict.",
        show_default=False,
    ),
]
Until = Annotated[
    Literal["decided"] | None,
    typer.Option(
        help="Add seeds, from 3 on, until the verdict is clear or the images or --budget forbid "
        "one. This is the default.",
        show_default=False,
        rich_help_panel=RUN,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        help="Most time to spend on it: 2h, 90m. Where the default takes longer, size and steps "
        "follow it.",
        show_default=False,
    ),
]
MaxSeeds = Annotated[
    int,
    typer.Option(
        "--max-seeds", min=3, max=1000, help="Most seeds to add up to.", rich_help_panel=RUN
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, print the cost, stop."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print results.json on standard output.", rich_help_panel=RUN),
]


Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        help="Tell tensorboard or mlflow too, or both by comma: curves, settings and scores.",
        show_default=False,
        rich_help_panel=RUN,
    ),
]


def with_fields(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for every field of a cell that has a description.

    What a user gives comes in as `fields`, by the names that `recipes.cell_of` takes.
    """
    return _with_options(command, PANELS)


def with_source(command: Callable[..., None]) -> Callable[..., None]:
    """The same with the options that say which images, and how they are divided."""
    return _with_options(command, PANELS[:1])


def _with_options(command: Callable[..., None], panels: Panels) -> Callable[..., None]:
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "fields"]
    options = {p.name: p for p in _field_options(panels)}

    def run(**given: Any) -> None:
        fields = {name: given.pop(name) for name in options}
        command(**given, fields=fields)

    everything = [*own, *options.values()]
    first = [p for p in everything if p.name in FIRST]
    first.sort(key=lambda p: FIRST.index(p.name))
    arguments = [p for p in own if p not in first and not _panel(p)]
    of_a_panel = [p for p in own if _panel(p)]
    fields_of_a_panel = [p for p in options.values() if p not in first]
    parameters = [*arguments, *first, *fields_of_a_panel, *of_a_panel]
    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _panel(parameter: inspect.Parameter) -> str | None:
    """Where an option stands in the help; None for the ones that matter first."""
    options = getattr(parameter.annotation, "__metadata__", ())
    return next((option.rich_help_panel for option in options), None)


def _field_options(panels: Panels) -> Iterator[inspect.Parameter]:
    for panel, model, owner in panels:
        for name, field in model.model_fields.items():
            if field.description:
                place = None if name in FIRST else panel
                yield _field_option(OPTION_NAMES.get(name, name), field, place)
        for name, short in SHORTHANDS.items():
            if short.owner == owner:
                option = typer.Option(help=short.help, show_default=False, rich_help_panel=panel)
                yield _parameter(name, short.kind | None, option, None)


def _field_option(name: str, field: FieldInfo, panel: str | None) -> inspect.Parameter:
    """Where recipes say what the field is, that stands in its help, and None is the default."""
    own = {o: n for n, o in OPTION_NAMES.items()}.get(name, name)
    by_recipe = {recipe: fields.get(own, field.default) for recipe, fields in RECIPES.items()}
    if not any(own in fields for fields in RECIPES.values()):
        has_default = field.default is not None
        flag = [f"--{name.replace('_', '-')}"] if field.annotation is bool else []  # and no "--no-"
        option = typer.Option(
            *flag, help=field.description, show_default=has_default, rich_help_panel=panel
        )
        return _parameter(name, field.annotation, option, field.default)
    values = ", ".join(f"{recipe} {v}" for recipe, v in by_recipe.items() if v is not None)
    text = f"{field.description} [{values}]"
    option = typer.Option(help=text, show_default=False, rich_help_panel=panel)
    return _parameter(name, Optional[field.annotation], option, None)  # noqa: UP045 - a value


def _parameter(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    annotation = Annotated[kind, option]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)


def refuse_given(context: typer.Context, names: Sequence[str], reason: str) -> None:
    """Refuse options that would have no effect.

    Raises:
        typer.BadParameter: If a user gave one of them.
    """
    given = [
        f"--{name.replace('_', '-')}"
        for name in names
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise typer.BadParameter(f"{reason}: leave out {', '.join(given)}")
