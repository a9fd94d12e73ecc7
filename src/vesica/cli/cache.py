"""`vesica cache`: what is kept of images and frozen layers, and how to make room."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vesica.cli.options import Cache
from vesica.words import say_bytes


def list_cache(
    keys: Annotated[
        list[str] | None,
        typer.Argument(help="Entries to clear; the first digits do.", show_default=False),
    ] = None,
    cache: Cache = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove those entries, or all.")] = False,
) -> None:
    """List decoded images and frozen layers' outputs that runs share, or clear them.

    What a run needs again is computed again.
    """
    from vesica.cache import default_cache, find_entries, remove_entries
    from vesica.errors import DataError

    root = (cache or default_cache()).expanduser()
    entries = find_entries(root, keys or [])
    console = Console(highlight=False, emoji=False)
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: is a file; pass the folder of a cache")
    if not root.exists():
        console.print(f"Nothing is kept: there is no folder {escape(str(root))}", soft_wrap=True)
        return
    if keys and not clear:
        raise DataError("entries are named, and nothing is to be done with them; pass --clear")
    if clear:
        num_bytes, in_use = remove_entries(entries)
        console.print(f"Cleared {say_bytes(num_bytes)} from {escape(str(root))}.")
        for entry in in_use:
            console.print(f"Left alone, as a process is computing it: {entry.key}")
        return
    table = Table("key", "what", "of", "done", "size", "last written", box=None)
    for entry in entries:
        size, written = say_bytes(entry.num_bytes), f"{entry.written:%Y-%m-%d %H:%M}"
        table.add_row(entry.key, escape(entry.what), escape(entry.of), entry.done, size, written)
    if entries:
        console.print(table)
    total = sum(entry.num_bytes for entry in entries)
    console.print(f"{len(entries)} entries, {say_bytes(total)} in {escape(str(root))}")
