"""Data sets that are made of another one, which they name: `canvas:side=82:of=PATH`."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from vesica import spelling
from vesica.data.canvas import on_canvas
from vesica.data.sample import Dataset, Loaded
from vesica.data.selected import select
from vesica.errors import DataError

FACES = "generated:num=1000:size=64"
"""What they are made of where none is named."""


def where_present(inner: Dataset) -> Dataset:
    """The images of a set (of=PATH) that have any foreground."""
    kept, notes = select(inner, "present", _is_absent)
    both = repr((inner.fingerprint, inner.target, [sample.name for sample in kept]))
    return replace(
        inner,
        format="present",
        samples=kept,
        fingerprint=hashlib.sha256(both.encode()).hexdigest(),
        full_size=None,
        notes=(*inner.notes, *notes),
    )


def _is_absent(loaded: Loaded) -> str:
    return "" if loaded.mask.any() else "without foreground"


DERIVED: dict[str, Callable[..., Dataset]] = {"canvas": on_canvas, "present": where_present}
"""Every such set: from a data set and options of its own to another one."""


def is_derived(path: str) -> bool:
    """Whether this is the spelling of one."""
    return spelling.split_path(path)[0] in DERIVED


def open_derived(text: str, open_inner: Callable[[str], Dataset]) -> Dataset:
    """Open the set that it is made of, and make it.

    Args:
        text: Its spelling; `of` is a path, or a name without options.
        open_inner: With the options that the user gave, which are about the set within.

    Raises:
        DataError: If either cannot be done.
    """
    try:
        of = spelling.get_option(text, "of")
        own = text.replace(f":of={of}", "", 1) if of is not None else text
        spelled = spelling.read(own, DERIVED, "data set")
        inner = open_inner(of or FACES)
        made: Dataset = spelled.call(DERIVED, inner)
    except ValueError as error:
        raise DataError(str(error)) from error
    return replace(made, settled=inner.settled)
