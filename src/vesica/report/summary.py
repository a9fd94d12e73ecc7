"""What a plan's own analysis leaves in the run's folder, beside the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesica.files import write_text
from vesica.report.sections import Section, to_html, to_markdown
from vesica.results import write_table


@dataclass(frozen=True)
class Summary:
    """A page and a table.

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
        """Markdown, HTML and CSV, in a run's folder."""
        return [run / f"{self.name}.{end}" for end in ("md", "html", "csv")]

    def write(self, run: Path) -> None:
        """Write the three files."""
        markdown, html, table = self.files(run)
        write_text(markdown, to_markdown(self.title, self.sections))
        write_text(html, to_html(self.title, self.sections))
        write_table(table, self.header, self.rows)
