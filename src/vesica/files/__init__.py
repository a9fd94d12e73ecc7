"""Files that are either whole or not there, and that say when they are not what was written."""

from vesica.files.drafts import remove_drafts, writing
from vesica.files.paths import check_target, expand, is_there, quoted
from vesica.files.remedies import CELLS, PLAN, RESULT, WEIGHTS, damaged, train_again
from vesica.files.sums import SUMS, read_sums, sum_of, was_written
from vesica.files.whole import (
    check,
    check_all,
    read_bytes,
    read_json,
    read_text,
    replacing,
    write_json,
    write_text,
)

__all__ = [
    "CELLS",
    "PLAN",
    "RESULT",
    "SUMS",
    "WEIGHTS",
    "check",
    "check_all",
    "check_target",
    "damaged",
    "expand",
    "is_there",
    "quoted",
    "read_bytes",
    "read_json",
    "read_sums",
    "read_text",
    "remove_drafts",
    "replacing",
    "sum_of",
    "train_again",
    "was_written",
    "write_json",
    "write_text",
    "writing",
]
