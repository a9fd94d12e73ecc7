"""`vesica check`: what is in a folder of images, before anything trains."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from vesica.cli.options import Cache, with_source


@with_source
def check(
    data: Annotated[
        str, typer.Argument(help="As for compare: a folder, or FILE.py:FUNCTION of your own.")
    ],
    page: Annotated[
        Path | None,
        typer.Option(
            help="The page with a contact sheet. [default: NAME-check.html here]",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was found as JSON on standard output.")
    ] = False,
    cache: Cache = None,
    *,
    fields: dict[str, Any],
) -> None:
    """What is in my images and masks, and would it do for a verdict? Trains nothing.

    Example: vesica check photos/
    """
    from vesica.cache import default_cache
    from vesica.check import examine, gather
    from vesica.cli.tables import section_blocks
    from vesica.data.library import Library
    from vesica.errors import DataError
    from vesica.files import check_target, expand
    from vesica.plans.defaults import choose
    from vesica.progress import Display
    from vesica.recipes import cell_of
    from vesica.report.check_page import check_sections, write_check

    if page is not None:
        check_target("--page", expand(page), "a page", ".html", ".htm")
    cell = cell_of(data, {"division": "exact"} | _given(fields), "modern")
    target = page or Path(f"{cell.data.name.replace(':', '-')}-check.html")
    library = Library(expand(cache) if cache else default_cache())
    console = Console(stderr=as_json, highlight=False, emoji=False)
    with Display(console) as display:
        gathered = gather(
            cell.data, library, lambda *numbers: display.preparing("reading images", *numbers)
        )
    with suppress(DataError):  # what cannot be divided is a finding
        chosen = choose(data, fields, "modern", library, Path("no run"))
        cell = chosen.base
    found = examine(gathered, cell.data, library, cell.size)
    write_check(found, gathered, expand(target))
    for block in section_blocks(check_sections(found)):
        console.print(block, end="\n\n")
    console.print(f"Page: {escape(str(target))}")
    if as_json:
        print(found.model_dump_json(indent=2))
    if not found.is_fit:
        raise typer.Exit(2)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
