"""Labels to look at, as a table."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vesica.errors import DataError
from vesica.files import check_target
from vesica.judge import MIN_RUNS, Doubt, Judgement, Setting, find_doubts, open_images, read_votes
from vesica.results import write_table
from vesica.words import count_of

HEADER = (
    *("setting", "rank", "name", "doubt", "iou"),
    *("patch", "patch_share", "left", "top", "right", "bottom"),
)
MISSING, ONLY = "not in the mask", "in the mask only"


def write_labels(judged: Judgement, target: Path) -> int:
    """Write the test images of every setting, the most doubtful label first.

    Returns:
        The number of rows.

    Raises:
        DataError: If the images or the runs' masks cannot be had, too few runs agree, or the file's
            name is no table's.
    """
    check_labels("labels", target)
    rows = [row for setting in judged.settings for row in _rows(judged, setting)]
    write_table(target, HEADER, rows, has_sum=False)
    return len(rows)


def check_labels(name: str, target: Path) -> None:
    """Refuse a file that is no table; `name` is what the user calls it.

    Raises:
        DataError: If its name does not end as a table's does.
    """
    check_target(name, target, "a table", ".csv")


def _rows(judged: Judgement, setting: Setting) -> Iterator[list[Any]]:
    where = f"{judged.run}{f', {setting.label}' if setting.label else ''}"
    if setting.scores is None:
        raise DataError(f"{where}: no run has scores; finish some first")
    votes = read_votes(setting)
    if votes.num_runs < MIN_RUNS:
        raise DataError(
            f"{where}: {count_of(votes.num_runs, 'run')} learned something, and it takes "
            f"{MIN_RUNS} to agree on a label; train more seeds or losses"
        )
    images = open_images(setting, judged.library)
    for rank, doubt in enumerate(find_doubts(setting, images, votes), 1):
        yield [setting.label, rank, doubt.name, doubt.doubt, doubt.iou, *_patch(doubt)]


def _patch(doubt: Doubt) -> list[Any]:
    found = doubt.patch
    if found is None:
        return ["", 0.0, "", "", "", ""]
    kind = MISSING if found.is_missing else ONLY
    return [kind, found.share, found.left, found.top, found.right, found.bottom]
