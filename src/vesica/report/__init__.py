"""What people see of a run: views of its typed results."""

from vesica.report.labels import write_labels
from vesica.report.page import write_report

__all__ = ["write_labels", "write_report"]
