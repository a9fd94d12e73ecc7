"""Results as tables in a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, JustifyMethod
from rich.markup import escape
from rich.table import Table

from vesica.errors import printable
from vesica.judge import Judgement
from vesica.report.sections import BOLD, Grid, Section
from vesica.report.sentences import say_all_needs, say_left, say_tuned
from vesica.report.tables import class_grid, score_grid

MAX_UNBROKEN = 12
"""Characters of a name."""


GAP = 2
"""Between two columns, and for both edges of a table."""


class Fitted:
    """A table in as many parts as the terminal's width asks for; each begins with its words."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        words = list(range(self.grid.num_words or 1))
        part = [*words]
        for column in range(len(words), len(self.grid.header)):
            wider = [*part, column]
            if part != words and _least_width(_columns(self.grid, wider)) > options.max_width:
                yield _table(_columns(self.grid, part))
                wider = [*words, column]
            part = wider
        yield _table(_columns(self.grid, part))


def results_tables(judged: Judgement) -> Iterator[str | Fitted]:
    """One table per setting of a run, with what is said above and below it."""
    for setting, group in zip(judged.settings, judged.findings.groups, strict=True):
        yield from _titled(score_grid(group, setting.cells[0]))
        if group.classes:
            yield from _titled(class_grid(group, is_narrow=True))
        below = [say_tuned(group), say_left(group), say_all_needs(group)]
        yield from (f"[dim]{_escape(text)}[/]" for text in below if text)


def section_blocks(sections: Sequence[Section]) -> Iterator[str | Fitted]:
    """Headings, paragraphs and tables, in rich's markup."""
    for section in sections:
        if section.title:
            yield f"[bold underline]{_escape(section.title)}[/]"
        for block in section.blocks:
            yield from _titled(block) if isinstance(block, Grid) else [_mark(str(block))]


def _titled(grid: Grid) -> Iterator[str | Fitted]:
    # A table's own title would be as narrow as the table.
    if grid.title:
        yield f"[italic]{_escape(grid.title)}[/]"
    yield Fitted(grid)


def _columns(grid: Grid, chosen: Sequence[int]) -> Grid:
    """Some columns of it, all of its words among them."""

    def of(row: Sequence[str]) -> list[str]:
        return [row[column] for column in chosen]

    rows, below = [of(row) for row in grid.rows], [of(row) for row in grid.below]
    return replace(grid, header=of(grid.header), rows=rows, below=below)


def _least_width(grid: Grid) -> int:
    """In characters."""
    return sum(_least(grid, column) + GAP for column in range(len(grid.header)))


def _least(grid: Grid, column: int) -> int:
    """Where all do not fit, a line breaks between words, and within a name if that is long."""
    cells = [grid.header[column], *(row[column] for row in (*grid.rows, *grid.below))]
    longest = max(map(len, " ".join(cells).split()), default=0)
    return longest if grid.is_number(column) else min(longest, MAX_UNBROKEN)


def _table(grid: Grid) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column, heading in enumerate(grid.header):
        is_number = grid.is_number(column)
        justify: JustifyMethod = "right" if is_number else "left"
        heading = heading.replace(" ", "\n") if is_number else heading
        least = _least(grid, column)
        table.add_column(_escape(heading), justify=justify, overflow="fold", min_width=least)
    for row in grid.rows:
        table.add_row(*map(_stack, row))
    for row in grid.below:
        table.add_row(*map(_stack, row), style="dim")
    return table


def _stack(text: str) -> str:
    """A cell with its standard deviation below the mean."""
    return _mark(text.replace(" ± ", "\n±"))


def _escape(text: str) -> str:
    return escape(printable(text))


def _mark(text: str) -> str:
    return BOLD.sub(r"[bold]\1[/]", _escape(text))
