"""Text, tables and pictures once, to be written as Markdown, HTML or on a terminal.

The only markup within a text is **bold** and `code`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from vesica.words import count_of

BOLD = re.compile(r"\*\*(.+?)\*\*")
CODE = re.compile(r"`(.+?)`")


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        header: Of the columns.
        rows: Cells as text.
        num_words: So many leading columns are words, the others numbers; None: all are words.
        title: Above it.
        below: Rows below a line.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    num_words: int | None = 1
    title: str = ""
    below: Sequence[Sequence[str]] = ()

    def is_number(self, column: int) -> bool:
        """Whether a column is aligned to the right."""
        return self.num_words is not None and column >= self.num_words


@dataclass(frozen=True)
class Pictures:
    """Drawings side by side, which only HTML shows.

    Attributes:
        items: Title, what it shows, and the drawing.
    """

    items: Sequence[tuple[str, str, Markup]]

    def __str__(self) -> str:
        """What stands for them where they cannot be shown."""
        return f"{count_of(len(self.items), 'picture')}, in the HTML page only."


Block = str | Grid | Pictures


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, tables and pictures below it."""

    title: str
    blocks: Sequence[Block]


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """A page of GitHub's Markdown."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}"] if section.title else []
        parts += [_grid_as_markdown(b) if isinstance(b, Grid) else str(b) for b in section.blocks]
    return "\n\n".join(parts) + "\n"


def to_html(title: str, sections: Sequence[Section]) -> str:
    """One file that needs no other."""
    return fill_template("sections.html.jinja", title=title, sections=sections)


def fill_template(name: str, **values: Any) -> str:
    """A page from one of the templates; what is no markup is escaped."""
    environment = Environment(
        loader=PackageLoader("vesica", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["marked"] = _mark
    environment.filters["tailed"] = _set_tail
    environment.tests["text"] = lambda block: isinstance(block, str)
    environment.tests["pictures"] = lambda block: isinstance(block, Pictures)
    return environment.get_template(name).render(**values)


def _mark(text: str) -> Markup:
    bold = BOLD.sub(r"<b>\1</b>", str(escape(text)))
    return Markup(CODE.sub(r"<code>\1</code>", bold))


def _set_tail(text: str) -> Markup:
    """A number with what stands behind it, which goes below it where there is no room."""
    number, _, tail = text.partition(" ")
    if not tail.startswith(("±", "(")):
        return _mark(text)
    return Markup('{} <span class="tail">{}</span>').format(number, tail)


def _grid_as_markdown(grid: Grid) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    rule = ["---:" if grid.is_number(column) else "---" for column in range(len(grid.header))]
    lines = [line(cells) for cells in (grid.header, rule, *grid.rows, *grid.below)]
    return "\n".join([f"**{grid.title}**\n"] * bool(grid.title) + lines)
