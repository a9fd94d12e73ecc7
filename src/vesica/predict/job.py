"""What is asked: which images, and what is to be written of each."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesica.data.listing import IMAGE_SUFFIXES, File, list_files
from vesica.data.matching import masks_among
from vesica.data.pixels import leads_nowhere
from vesica.errors import DataError
from vesica.files import expand
from vesica.model import Traits

Targets = Mapping[tuple[str, int], Path]
"""Files to write, by what is in them and the number of the class."""


@dataclass(frozen=True)
class Job:
    """Images, and what is to be made of them.

    Attributes:
        root: Above all of them; their names begin here.
        images: Files.
        out: The folder of the output.
        passed_over: What else lies in the folders, by its name or its kind no image.
        masks: Those of the images that look like masks of others, by their folders and names.
        probabilities: Whether to write them, 16 bits a pixel.
        overlays: Whether to draw the outline of each mask on its image.
        tile_px: As in `Model.predict`.
    """

    root: Path
    images: tuple[Path, ...]
    out: Path
    passed_over: tuple[Path, ...] = ()
    masks: tuple[Path, ...] = ()
    probabilities: bool = False
    overlays: bool = False
    tile_px: int | None = None


def plan_job(images: Sequence[str], out: str | Path, **options: Any) -> Job:
    """Find the images that a user names by folders, files and globs.

    Raises:
        DataError: If there is none, or the output would lie among them.
    """
    folder = expand(out).absolute()
    found: dict[Path, None] = {}
    others: dict[Path, None] = {}
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
            for file in list_files(path):
                inner = path / file.path
                (found if file.is_image and _is_readable(inner) else others)[inner] = None
            continue
        files = [path] if _is_readable(path) else sorted(_matching(path))
        files = [file.parent.resolve() / file.name for file in files if _is_readable(file)]
        if not files:
            raise DataError(f"{text}: no such file or folder, and no file fits it as a pattern")
        roots += [file.parent for file in files]
        found |= dict.fromkeys(files)
    if not found:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(
            f"{', '.join(images)}: no images below; expected files that end in {suffixes}"
        )
    if inside := [file for file in found if _real(file).is_relative_to(_real(folder))]:
        raise DataError(f"{inside[0]}: an image within --out {out}; pass another folder")
    passed_over = tuple(file for file in others if file not in found)
    root = Path(os.path.commonpath(roots))
    listed = [File(image.relative_to(root).as_posix()) for image in found]
    masks = tuple(root / file.path for file in masks_among(listed))
    return Job(root, tuple(found), folder, passed_over, masks, **options)


def names_of(job: Job) -> list[Path]:
    """Of each image's outputs, without a suffix; with the image's, where two differ in it alone."""
    whole = [image.relative_to(job.root) for image in job.images]
    names = [name.with_suffix("") for name in whole]
    while len(num := Counter(names)) < len(names):  # again: `x.jpg`, whole, is `x.jpg.bmp` without
        names = [w if num[name] > 1 else name for w, name in zip(whole, names, strict=True)]
    return names


def targets_of(job: Job, name: Path, traits: Traits) -> Targets:
    """The files of an image's outputs, which have this name."""
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


def _real(path: Path) -> Path:
    """Where its links lead, if they do; `resolve` raises for one that leads to itself."""
    return Path(os.path.realpath(path))


def _is_readable(path: Path) -> bool:
    """Whether reading it ends, as that of a pipe does not; a link to nothing is an image lost."""
    return path.is_file() or leads_nowhere(path)


def _matching(pattern: Path) -> Iterator[Path]:
    """Files that fit a pattern; `**` stands for any folders."""
    yield from Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
