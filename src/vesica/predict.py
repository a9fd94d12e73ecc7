"""Masks of many images: one after another, in constant memory, and again where it stopped.

In the folder of the output are `masks/`, and `probabilities/` and `overlays/` where they are asked
for, each with the images' names and inner folders; `predictions.csv`, a row for each image; and
`model.json`, which says what made them. Where each pixel is of one class, a mask holds the numbers
of the classes, in the order of `model.json`, and nothing is called foreground.
"""

import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from vesica.data.listing import IMAGE_SUFFIXES
from vesica.data.pixels import is_hidden, read_image, show
from vesica.data.sample import Pixels
from vesica.errors import DataError
from vesica.files import SUMS, expand, is_there, read_json, remove_drafts, replacing, write_json
from vesica.model import Model, Prediction, Traits
from vesica.results import read_table, write_table

MADE_BY, TABLE = "model.json", "predictions.csv"
COLUMNS = (
    *("name", "height_px", "width_px", "foreground", "confidence", "disagreement"),
    *("unusual", "black", "output", "image_sum", "output_sum"),
)
"""The last three: the outputs' name without a suffix, and CRC-32 of the image and of the masks, by
which the next run knows what is done."""

MAX_SHOWN = 10
"""Images that could not be read."""

SAVE_EVERY = 200
"""Images: so many are predicted again where the process was killed."""

Row = dict[str, str]
Targets = Mapping[tuple[str, int], Path]
"""Files to write, by what is in them and the number of the class."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """Images, and what is to be made of them.

    Attributes:
        root: Above all of them; their names begin here.
        images: Files.
        out: The folder of the output.
        probabilities: Whether to write them, 16 bits a pixel.
        overlays: Whether to draw the outline of each mask on its image.
        tile_px: As in `Model.predict`.
    """

    root: Path
    images: tuple[Path, ...]
    out: Path
    probabilities: bool = False
    overlays: bool = False
    tile_px: int | None = None


@dataclass
class Outcome:
    """How it went; each list has names, and of what could not be read the reason."""

    predicted: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unusual: list[str] = field(default_factory=list)
    black: list[str] = field(default_factory=list)


def plan_job(images: Sequence[str], out: str | Path, **options: Any) -> Job:
    """Find the images that a user names by folders, files and globs.

    Raises:
        DataError: If there is none, or the output would lie among them.
    """
    folder = expand(out).absolute()
    found: dict[Path, None] = {}
    roots: list[Path] = []
    for text in images:
        path = expand(text).absolute()
        if path.is_dir():
            path = path.resolve()  # no `..` may come into the names of what is written
            if folder.resolve().is_relative_to(path):
                raise DataError(
                    f"--out {out}: lies within {text}, where the next run would take the masks for "
                    "images; pass a folder beside it"
                )
            roots.append(path)
            found |= dict.fromkeys(_images_below(path))
            continue
        files = [path] if path.is_file() else sorted(_matching(path))
        files = [file.parent.resolve() / file.name for file in files if file.is_file()]
        if not files:
            raise DataError(f"{text}: no such file or folder, and no file fits it as a pattern")
        roots += [file.parent for file in files]
        found |= dict.fromkeys(files)
    if not found:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(
            f"{', '.join(images)}: no images below; expected files that end in {suffixes}"
        )
    if inside := [file for file in found if file.resolve().is_relative_to(folder.resolve())]:
        raise DataError(f"{inside[0]}: an image within --out {out}; pass another folder")
    return Job(Path(os.path.commonpath(roots)), tuple(found), folder, **options)


def predict_folder(
    model: Model, job: Job, progress: Progress = lambda done, total: None
) -> Outcome:
    """Predict what is not there yet; what is there was made by the same model.

    Raises:
        DataError: If the folder of the output belongs to something else, or the disk is full.
    """
    rows = _enter(model, job)
    outcome = Outcome()
    names = _name(job)
    _refuse_others(job, names, rows)
    _remove_renamed(job, names, rows, model.traits)
    try:
        for number, (image, name) in enumerate(zip(job.images, names, strict=True)):
            progress(number, len(names))
            label = show(job.root, image)
            if label in rows and _is_done(rows[label], image, _targets(job, name, model.traits)):
                outcome.skipped.append(label)
            else:
                if rows.pop(label, None):
                    _remove(job, name, model.traits)
                _predict_one(model, job, image, name, rows, outcome)
            if (number + 1) % SAVE_EVERY == 0:
                _save(job, rows)
    finally:
        if rows:
            _save(job, rows)
        else:
            _leave(job)
    if not rows:
        raise DataError(f"no image could be read: {'; '.join(outcome.unreadable[:MAX_SHOWN])}")
    progress(len(names), len(names))
    labels = {show(job.root, image) for image in job.images}
    for kind in ("unusual", "black"):  # also of what was there already
        setattr(outcome, kind, [n for n, row in rows.items() if row[kind] == "yes" and n in labels])
    return outcome


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
    targets = _targets(job, name, model.traits)
    found = model.predict(pixels, tile_px=job.tile_px)
    _write(found, pixels, targets, model.traits)
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


def _images_below(folder: Path) -> Iterator[Path]:
    """Sorted by name, folder by folder; what an operating system put there is passed over."""
    for child in sorted(folder.iterdir()):
        if is_hidden(child):
            continue
        if child.is_dir() and not child.is_symlink():  # a link may lead in a circle
            yield from _images_below(child)
        elif child.suffix.lower() in IMAGE_SUFFIXES:
            yield child


def _matching(pattern: Path) -> Iterator[Path]:
    """Files that fit a pattern; `**` stands for any folders."""
    yield from Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))


def _name(job: Job) -> list[Path]:
    """Of each image's outputs, without a suffix; with the image's, where two differ in it alone."""
    whole = [image.relative_to(job.root) for image in job.images]
    names = [name.with_suffix("") for name in whole]
    while len(num := Counter(names)) < len(names):  # again: `x.jpg`, whole, is `x.jpg.bmp` without
        names = [w if num[name] > 1 else name for w, name in zip(whole, names, strict=True)]
    return names


def _targets(job: Job, name: Path, traits: Traits) -> Targets:
    kinds = ["masks", *(["probabilities"] * job.probabilities)]
    targets: dict[tuple[str, int], Path] = {}
    classes = traits.classes
    if traits.is_exclusive:
        path = job.out / "masks" / name
        targets["indices", 0] = path.with_name(f"{path.name}.png")
        kinds.remove("masks")
    for kind in kinds:
        for number, label in enumerate(classes):
            of_class = f".{label.replace('/', '-')}" if len(classes) > 1 else ""
            path = job.out / kind / name
            targets[kind, number] = path.with_name(f"{path.name}{of_class}.png")
    if job.overlays:
        path = job.out / "overlays" / name
        targets["overlays", 0] = path.with_name(f"{path.name}.jpg")
    return targets


def _foreground(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of all classes together."""
    return mask if mask.ndim == 2 else np.asarray(mask.any(axis=0))


def _write(found: Prediction, image: Pixels, targets: Targets, traits: Traits) -> None:
    size = (-1, *image.shape[:2])
    masks, probs = found.mask.reshape(size), found.probs.reshape(size)
    for (kind, number), target in targets.items():
        if kind == "indices":
            picture = Image.fromarray(masks.argmax(axis=0).astype(np.uint8))
            picture.putpalette(palette(len(masks)).tobytes())
        elif kind == "masks":
            picture = Image.fromarray(masks[number].astype(np.uint8) * 255)
        elif kind == "probabilities":
            picture = Image.fromarray((probs[number] * 65535).round().astype(np.uint16))
        else:
            picture = Image.fromarray(_draw(image, masks, traits))
        with replacing(target, has_sum=False) as path:
            picture.save(path)


def palette(num_colours: int) -> Pixels:
    """A colour for each class, shape (num_colours, 3), the first black: that of Pascal VOC."""
    number = np.arange(num_colours)
    colours = np.zeros((num_colours, 3), np.uint8)
    for step in range(8):  # a colour's bits are every third of the number's, the highest last
        for channel in range(3):
            colours[:, channel] |= ((number >> (3 * step + channel) & 1) << (7 - step)).astype(
                np.uint8
            )
    return colours


def _draw(image: Pixels, masks: NDArray[np.bool_], traits: Traits) -> Pixels:
    if not traits.is_exclusive:
        return draw_overlay(image, np.any(masks, axis=0))
    colours = palette(len(masks))[masks.argmax(axis=0)]
    mixed = np.where(masks[0][..., None], image, 0.5 * image + 0.5 * colours)
    return np.asarray(mixed.round().astype(np.uint8))


def draw_overlay(image: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """The image with its mask tinted and outlined; the line grows with the image."""
    width = max(1, round(max(mask.shape) / 400))
    outline = ndimage.binary_dilation(mask, iterations=width) & ~mask
    drawn = image.astype(np.float32)
    drawn[mask] = 0.65 * drawn[mask] + 0.35 * np.array([255, 60, 0], np.float32)
    drawn[outline] = (255, 230, 0)
    return drawn.round().astype(np.uint8)


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
    return {row["name"]: row for row in rows if tuple(row) == COLUMNS}


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
    try:
        return (
            all(path.is_file() for path in targets.values())
            and row["image_sum"] == _sum_of(image)
            and row["output_sum"] == _sum_of(*_masks(targets))
        )
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
    for target in _targets(replace(job, probabilities=True, overlays=True), name, traits).values():
        target.unlink(missing_ok=True)


def _leave(job: Job) -> None:
    """As if nothing had been begun."""
    for name in (MADE_BY, TABLE, SUMS):
        (job.out / name).unlink(missing_ok=True)
    with suppress(OSError):  # it is not empty
        job.out.rmdir()


def _save(job: Job, rows: Mapping[str, Row]) -> None:
    write_table(job.out / TABLE, COLUMNS, ([row[c] for c in COLUMNS] for row in rows.values()))
