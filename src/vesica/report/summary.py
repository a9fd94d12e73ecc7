"""What some plans are beyond a list of cells: an analysis of their own, beside the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesica.files import write_json, write_text
from vesica.judge import Judgement
from vesica.plan import Axis, Cell
from vesica.report.sections import Section, to_html, to_markdown
from vesica.results import write_table


@dataclass(frozen=True)
class Summary:
    """A page, a table, and all of it for programs.

    Attributes:
        name: Of the files.
        title: Of the page.
        document: All of it, as JSON can hold it.
        sections: The page.
        header: Columns of the table.
        rows: Its rows.
    """

    name: str
    title: str
    document: dict[str, Any]
    sections: Sequence[Section]
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def files(self, run: Path) -> list[Path]:
        """Markdown, HTML, CSV and JSON, in a run's folder."""
        return [run / f"{self.name}.{end}" for end in ("md", "html", "csv", "json")]

    def write(self, run: Path) -> None:
        """Write the four files."""
        markdown, html, table, document = self.files(run)
        write_text(markdown, to_markdown(self.title, self.sections))
        write_text(html, to_html(self.title, self.sections))
        write_table(table, self.header, self.rows)
        write_json(document, self.document)


Summarise = Callable[[Path, Sequence[Cell], Judgement | None], Summary]
"""From a run, its cells, and what `judge_run` says of it (None while cells run)."""


@dataclass(frozen=True)
class Analysis:
    """How a run of such a plan is treated; of a plain one, verdicts and report say all.

    Attributes:
        kind: Its name in a run's `plan.json`.
        grows_by: In what its folder may grow, apart from losses and seeds.
        summarise: Its own analysis; None: it has none.
        is_live: Written anew after every cell.
    """

    kind: str = ""
    grows_by: Sequence[Axis] = ()
    summarise: Summarise | None = None
    is_live: bool = False


PLAIN = Analysis()
