"""Entering a run's folder: what may be there already, and what is written before cells train."""

import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vesica import own, provenance
from vesica.errors import DataError
from vesica.files import remove_drafts, replacing
from vesica.locks import LOCK, holder_of, locked
from vesica.plan import LATER, OPTION_NAMES, Axis, Cell, flatten
from vesica.results import RunPlan, read_plan, write_model

CHANGED = {
    "fingerprint": "the images or labels have changed, or are others",
    "weights_digest": "the pretrained weights have changed",
}
"""What digests mean that differ."""


def check_run(run: Path, cells: Sequence[Cell], grows_by: Sequence[Axis] = ()) -> list[Cell]:
    """The cells that the run's folder knows already.

    Args:
        run: The folder.
        cells: What is to be run in it.
        grows_by: In what it may grow, apart from losses and seeds.

    Raises:
        DataError: If the folder holds something else.
    """
    check_folder(run)
    known = list(read_plan(run).cells) if (run / "plan.json").exists() else []
    _check_growth(run, known, cells, grows_by)
    return known


def check_folder(run: Path, kind: str | None = None) -> None:
    """Refuse a folder that holds something else than a run; needs no data.

    Args:
        run: The folder.
        kind: What the plan is beyond a list of cells; None: no matter what the run is.

    Raises:
        DataError: If it does, the run is of another kind, or a file is in its way.
    """
    check_path(run, "--out")
    is_run = (run / "plan.json").exists() or (run / LOCK).exists()
    if not is_run and run.exists() and any(run.iterdir()):
        raise DataError(f"{run}: exists and is no run of Vesica; pass another --out")
    if kind is not None and (run / "plan.json").exists() and (own := read_plan(run).kind) != kind:
        raise DataError(
            f"{run}: holds a run of another kind ({own or 'plain'}, and this one is "
            f"{kind or 'plain'}); pass another --out"
        )


def check_path(folder: Path, option: str) -> None:
    """Refuse a folder that cannot be made.

    Raises:
        DataError: If a file is in its way, or the folder that it would lie in is read-only.
    """
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not place.is_dir():
        problem = "is a file"
    elif not os.access(place, os.W_OK | os.X_OK):
        problem = "cannot be written to"
    else:
        return
    what = problem if place == folder else f"{place} {problem}"
    raise DataError(f"{folder}: {what}; pass another {option}")


def make_folder(folder: Path, option: str) -> None:
    """Make a folder that will be written to.

    Raises:
        DataError: If it cannot be made or written to.
    """
    check_path(folder, option)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{folder}: cannot be written to ({reason}); pass another {option}"
        ) from None


@contextmanager
def working_on(run: Path) -> Iterator[None]:
    """Keep other commands from working in a run's folder; remove what killed ones left there.

    Raises:
        DataError: If another command is working on it.
    """
    with locked(run, None) as is_held:
        if not is_held:
            raise DataError(
                f"{run}: {holder_of(run)} is working on this run; wait until it has ended"
            )
        for folder in (run, *run.glob("cells/*")):
            remove_drafts(folder)
        yield


def enter_run(
    run: Path,
    cells: Sequence[Cell],
    num_jobs: int = 1,
    kind: str = "",
    grows_by: Sequence[Axis] = (),
    grows: bool = False,
    choices: Mapping[str, str | int | None] | None = None,
    note: str = "",
) -> list[Cell]:
    """Make the run's folder, or add to it; returns all its cells, in the order of the first plan,
    so that its baseline stays the baseline.

    Args:
        run: The folder.
        cells: Resolved.
        num_jobs: Cells trained side by side.
        kind: What the plan is, beyond a list of cells; kept for whoever reads the folder.
        grows_by: As in `check_run`.
        grows: Whether seeds may be added until the verdict is clear; a run that was begun otherwise
            stays as it was.
        choices: Fields that were chosen for the user; those that it was begun with stay.
        note: Of the user; the last one that there was stays.

    Raises:
        DataError: If the folder holds something else.
    """
    known = {cell.key: cell for cell in check_run(run, cells, grows_by)}
    asked = {
        cell.key: cell.model_copy(update={"folder": known.get(cell.key, cell).folder})
        for cell in cells
    }
    everything = [*(known | asked).values()]
    before = read_plan(run) if known else None
    is_same = before is not None and asked.keys() <= known.keys()  # going on is no other plan
    plan = RunPlan(
        kind=kind or (before.kind if before else ""),
        command=before.command if before and is_same else provenance.command_line(),
        created=(before.created if before else "")
        or datetime.now(UTC).isoformat(timespec="seconds"),
        versions=provenance.versions(),
        jobs=num_jobs,
        grows=before.grows if before else grows,
        choices=before.choices if before else dict(choices or {}) or None,
        note=note or (before.note if before else ""),
        cells=tuple(everything),
    )
    digests = {digest: name for cell in cells for digest, name in cell.files().items()}
    for digest, path in own.files_of(digests).items():
        with replacing(kept_copy(run, digest, digests[digest])) as copy:
            copy.write_bytes(path.read_bytes())
    write_model(run / "plan.json", plan)
    return everything


def kept_copy(run: Path, digest: str, name: str) -> Path:
    """Where a run keeps a copy of a user's file. Nothing runs it unasked."""
    return run / "code" / digest / name


def trust_copies(run: Path, cells: Sequence[Cell]) -> None:
    """Let the run's own copies of users' files be run, as somebody asked for.

    Raises:
        DataError: If a copy is missing, or is not what the run was made with.
    """
    for digest, name in {d: n for cell in cells for d, n in cell.files().items()}.items():
        copy = kept_copy(run, digest, name)
        if own.digest_of(copy) != digest:
            raise DataError(f"{copy}: not the file that the run was made with; name your own")
        own.add_files({digest: copy})


def _check_growth(
    run: Path, known: Sequence[Cell], cells: Sequence[Cell], grows_by: Sequence[Axis]
) -> None:
    """New settings differ from known ones along the axes alone."""
    settings = [_whole_setting(cell) for cell in known]
    axes = [*grows_by, Axis(())]  # what follows from no field is the same everywhere
    moving = {name for axis in grows_by for name in (*axis.fields, *axis.following)}
    for new in map(_whole_setting, cells):
        for old, axis in itertools.product(settings, axes):
            if new in settings or any(old[name] != new[name] for name in axis.fields):
                continue
            fixed = axis.following if axis.fields else [n for n in new if n not in moving]
            changed = [
                CHANGED.get(name, f"{_option(name)} was {old[name]}, now {new[name]}")
                for name in fixed
                if old[name] != new[name]
            ]
            if changed:
                raise DataError(
                    f"{run}: holds a run of other settings ({'; '.join(changed)}); "
                    "pass another --out, or the settings that it was begun with"
                )


def _option(name: str) -> str:
    return OPTION_NAMES.get(name, name)


def _whole_setting(cell: Cell) -> dict[str, Any]:
    """A cell's setting, with those fields too that its identity leaves out."""
    later = {name.rpartition(".")[2]: value for name, value in LATER.items()}
    return later | flatten(cell.setting())
