"""Files of a run that are not what was written, and that no verdict needs."""

from collections.abc import Iterable
from pathlib import Path

from vesica.errors import DataError
from vesica.files import WEIGHTS, check, is_there, quoted, read_sums
from vesica.results import EndedCell

WITHOUT_A_VERDICT = ("cell.json", "history.csv", "histograms.npz", "masks.npz", WEIGHTS)
"""Of a cell that has ended; checkpoints, which have a sum too, are deleted where training ends."""

NUM_NAMED = 3


def say_damage(run: Path, ended: Iterable[EndedCell]) -> str:
    """Which files of the cells that have ended are missing or damaged; "" if all are whole.

    Of weights only their absence is noticed: they may be gigabytes, and whoever loads them checks.
    """
    found: dict[Path, str] = {}
    for cell in ended:
        sums = read_sums(cell.folder)
        for name in (name for name in WITHOUT_A_VERDICT if name in sums):
            path = cell.folder / name
            if not is_there(path):
                found[path] = "missing"
            elif name != WEIGHTS and _is_damaged(path):
                found[path] = "damaged"
    if not found:
        return ""
    named = [f"{path.relative_to(run)} {state}" for path, state in found.items()][:NUM_NAMED]
    more = f" and {len(found) - NUM_NAMED} more" if len(found) > NUM_NAMED else ""
    num = len({path.relative_to(run).parts[1] for path in found})
    folders = "that cell's folder" if num == 1 else f"the folders of these {num} cells"
    return (
        f"Not what was written: {', '.join(named)}{more}. No verdict needs it, but pictures, "
        f"thresholds or predictions do; to have it again, delete {folders} and train again: "
        f"vesica run {quoted(run)}"
    )


def _is_damaged(path: Path) -> bool:
    try:
        check(path)
    except DataError:
        return True
    return False
