"""One self-contained page that shows what a run found."""

from vesica.report.page import write_report

__all__ = ["write_report"]
