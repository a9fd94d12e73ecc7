"""The folder of the output: what is done in it, and what is still to do."""

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesica.data.pixels import read_image, show
from vesica.errors import DataError, join_lines
from vesica.files import SUMS, is_there, read_json, remove_drafts, write_json
from vesica.model import Model, Traits
from vesica.predict.job import Job, Targets, names_of, targets_of
from vesica.predict.pictures import write_pictures
from vesica.results import read_table, write_table

MADE_BY, TABLE = "model.json", "predictions.csv"
COLUMNS = (
    *("name", "height_px", "width_px", "foreground", "confidence", "disagreement"),
    *("unusual", "black", "output", "image_sum", "output_sum"),
)
"""The last three: the outputs' name without a suffix, and CRC-32 of the image and of the masks, by
which the next run knows what is done."""

LATER = ("black",)
"""Columns that tables of earlier versions lack."""

MAX_SHOWN = 10
"""Images that could not be read."""

SAVE_EVERY = 200
"""Images: so many are predicted again where the process was killed."""

Row = dict[str, str]
Progress = Callable[[int, int], None]


@dataclass
class Outcome:
    """How it went; each list has names, and of what could not be read the reason.

    `whole` are the images that are no larger than a tile, where tiles were asked for.
    """

    predicted: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unusual: list[str] = field(default_factory=list)
    black: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)


def predict_folder(
    model: Model, job: Job, progress: Progress = lambda done, total: None
) -> Outcome:
    """Predict what is not there yet; what is there was made by the same model.

    Raises:
        DataError: If the folder of the output belongs to something else, or the disk is full.
    """
    rows = _enter(model, job)
    outcome = Outcome()
    names = names_of(job)
    _refuse_others(job, names, rows)
    _remove_renamed(job, names, rows, model.traits)
    try:
        for number, (image, name) in enumerate(zip(job.images, names, strict=True)):
            progress(number, len(names))
            label = show(job.root, image)
            if label in rows and _is_done(rows[label], image, targets_of(job, name, model.traits)):
                outcome.skipped.append(label)
            else:
                if (row := rows.pop(label, None)) and not _is_of(row, image):
                    _remove(job, name, model.traits)
                _predict_one(model, job, image, name, rows, outcome)
            if (number + 1) % SAVE_EVERY == 0:
                _save(job, rows)
    finally:
        if rows:
            _save(job, rows)
        else:
            _leave(job, names, model.traits)
    if not rows:
        raise DataError(f"no image could be read:\n{join_lines(outcome.unreadable, MAX_SHOWN)}")
    progress(len(names), len(names))
    labels = {show(job.root, image) for image in job.images}
    of_job = {name: row for name, row in rows.items() if name in labels}  # what was there, too
    outcome.unusual = [name for name, row in of_job.items() if row["unusual"] == "yes"]
    outcome.black = [name for name, row in of_job.items() if row["black"] == "yes"]
    outcome.whole = [name for name, row in of_job.items() if _fits(row, job.tile_px)]
    return outcome


def _fits(row: Row, tile_px: int | None) -> bool:
    """Whether an image is one tile."""
    return tile_px is not None and max(int(row["height_px"]), int(row["width_px"])) <= tile_px


def _predict_one(
    model: Model,
    job: Job,
    image: Path,
    name: Path,
    rows: dict[str, Row],
    outcome: Outcome,
) -> None:
    label = show(job.root, image)
    try:
        pixels = read_image(job.root, image, depth=model.traits.depth)
    except DataError as error:
        outcome.unreadable.append(
            str(error).replace(" Replace it, or remove it with its partner.", "")
        )
        return
    targets = targets_of(job, name, model.traits)
    found = model.predict(pixels, tile_px=job.tile_px)
    write_pictures(found, pixels, targets, model.traits)
    outcome.predicted.append(label)
    height, width = pixels.shape[:2]
    foreground = "" if model.traits.is_exclusive else f"{_foreground(found.mask).mean():.6f}"
    unusual = {None: "", True: "yes", False: "no"}[found.is_unusual]
    values = (
        label,
        height,
        width,
        foreground,
        f"{found.confidence:.4f}",
        "" if found.disagreement is None else f"{found.disagreement:.4f}",
        unusual,
        "yes" if found.is_black else "no",
        name.as_posix(),
        _sum_of(image),
        _sum_of(*_masks(targets)),
    )
    rows[label] = dict(zip(COLUMNS, map(str, values), strict=True))


def _foreground(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of all classes together."""
    return mask if mask.ndim == 2 else np.asarray(mask.any(axis=0))


def _enter(model: Model, job: Job) -> dict[str, Row]:
    """The rows that are there, of the same model.

    Raises:
        DataError: If something else is there.
    """
    made_by = {"digest": model.digest, "tile_px": job.tile_px}
    if is_there(job.out / MADE_BY):
        found = read_json(job.out / MADE_BY)
        if not isinstance(found, dict) or {key: found.get(key) for key in made_by} != made_by:
            raise DataError(
                f"--out {job.out}: has masks of another model or of other --tiles; pass another "
                "folder"
            )
        for folder, _, _ in os.walk(job.out):
            remove_drafts(Path(folder))
        return _rows(job.out / TABLE)
    if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())):
        raise DataError(f"--out {job.out}: is there and not of this command; pass a new folder")
    write_json(job.out / MADE_BY, made_by | {"model": model.traits.model_dump(mode="json")})
    return {}


def _rows(path: Path) -> dict[str, Row]:
    rows = read_table(path) if is_there(path) else []
    if any({*COLUMNS} - {*row} - {*LATER} for row in rows):
        raise DataError(f"{path}: of an earlier version; pass another folder as --out")
    return {row["name"]: dict.fromkeys(LATER, "") | row for row in rows}


def _refuse_others(job: Job, names: Sequence[Path], rows: Mapping[str, Row]) -> None:
    """What is there of images that are not among these may not be written over.

    Raises:
        DataError: If it would be.
    """
    labels = {show(job.root, image) for image in job.images}
    others = {row["output"]: label for label, row in rows.items() if label not in labels}
    for image, name in zip(job.images, names, strict=True):
        if (other := others.get(name.as_posix())) is not None:
            raise DataError(
                f"--out {job.out}: {name} is there, of {other}, and {show(job.root, image)} would "
                "be written over it; pass another folder"
            )


def _remove_renamed(job: Job, names: Sequence[Path], rows: dict[str, Row], traits: Traits) -> None:
    """Images have other names now that others stand beside them."""
    for image, name in zip(job.images, names, strict=True):
        row = rows.get(label := show(job.root, image))
        if row and row["output"] != name.as_posix():
            _remove(job, Path(rows.pop(label)["output"]), traits)


def _is_done(row: Row, image: Path, targets: Targets) -> bool:
    """The image is the one that was predicted, all is there, and the masks are undamaged."""
    return (
        all(path.is_file() for path in targets.values())
        and _is_of(row, image)
        and row["output_sum"] == _sum_of(*_masks(targets))
    )


def _is_of(row: Row, image: Path) -> bool:
    try:
        return row["image_sum"] == _sum_of(image)
    except OSError:
        return False


def _masks(targets: Targets) -> list[Path]:
    return [path for (kind, _), path in targets.items() if kind in ("masks", "indices")]


def _sum_of(*files: Path) -> str:
    found = 0
    for file in files:
        found = zlib.crc32(file.read_bytes(), found)
    return f"{found:08x}"


def _remove(job: Job, name: Path, traits: Traits) -> None:
    """What was written of an image."""
    everything = replace(job, probabilities=True, overlays=True)
    for target in targets_of(everything, name, traits).values():
        target.unlink(missing_ok=True)


def _leave(job: Job, names: Sequence[Path], traits: Traits) -> None:
    """As if nothing had been begun."""
    for name in names:  # of the image under way, when it was stopped
        _remove(job, name, traits)
    for folder, _, _ in os.walk(job.out, topdown=False):
        if Path(folder) != job.out:
            _prune(Path(folder))
    if not {path.name for path in job.out.iterdir()} <= {MADE_BY, TABLE, SUMS}:
        _save(job, {})  # else what is left would belong to nobody
        return
    for file in (MADE_BY, TABLE, SUMS):
        (job.out / file).unlink(missing_ok=True)
    _prune(job.out)


def _prune(folder: Path) -> None:
    with suppress(OSError):  # it is not empty
        folder.rmdir()


def _save(job: Job, rows: Mapping[str, Row]) -> None:
    write_table(job.out / TABLE, COLUMNS, ([row[c] for c in COLUMNS] for row in rows.values()))
