"""Reader of a user's own folder: `images/` and `masks/`, paired by the names before the suffix."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vesica.data.match import match_names
from vesica.data.matrices import MATRIX_SUFFIXES
from vesica.data.pixels import is_hidden, read_image, show
from vesica.data.reading import choose_reading
from vesica.data.sample import Dataset, Mask, Pixels, Sample, fingerprint_files
from vesica.data.stored import read_stored
from vesica.errors import DataError, join_lines

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"})
MASK_SUFFIXES = IMAGE_SUFFIXES | MATRIX_SUFFIXES
PART_OF_FOLDER = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Parts of the split by the names of folders."""


@dataclass(frozen=True)
class Part:
    """Two folders whose files belong together, and the part of the split that they are."""

    name: str | None
    images: Path
    masks: Path


def recognise(path: Path) -> bool:
    """Whether `images/` and `masks/` lie here, or in `train/`, `val/` or `test/`."""
    return bool(_parts(path))


def open_folder(path: Path, target: str, *, group: str | None = None, **options: Any) -> Dataset:
    """A folder with `images/` and `masks/`, or with these in `train/`, `val/` and `test/`.

    Args:
        path: The folder; its parts may also be `images/train`, `masks/train` and so on.
        target: "foreground".
        group: Regular expression; its first capturing group, or else its whole match, on a
            sample's name is the sample's group.
        options: Of `choose_reading`.

    Raises:
        DataError: If files do not pair up, or an option cannot be used; one error lists all files.
    """
    parts = _parts(path)
    samples: list[Sample] = []
    notes: list[str] = []
    problems = _strays(path, parts)
    for part in parts:
        images = _files_by_stem(path, part.images, notes, problems, IMAGE_SUFFIXES)
        masks = _files_by_stem(path, part.masks, notes, problems, MASK_SUFFIXES)
        problems += _unpaired(path, images, masks, part.masks, "mask")
        problems += _unpaired(path, masks, images, part.images, "image")
        for stem in images.keys() & masks.keys():
            name = f"{part.name}/{stem}" if part.name else stem
            samples.append(Sample(name, name, (images[stem], masks[stem]), part.name))

    problems += [
        f"{show(path, file)}: a link to nothing. Remove or mend it."
        for sample in samples
        for file in sample.files
        if not file.exists()
    ]
    if problems:  # name the files that cannot be read too: all bad files in one message
        raise DataError(join_lines(problems + _unreadable(path, samples)))
    samples = _with_groups(sorted(samples, key=lambda sample: sample.name), group)
    reading = choose_reading(path, [(s.files[0], s.files[1]) for s in samples], **options)

    def read(sample: Sample) -> tuple[Pixels, Mask] | tuple[Pixels, Mask, Mask]:
        return reading.read(path, *sample.files)

    return Dataset(
        format="folder",
        # The rule decides the pixels, so what is kept on disk must differ with it.
        target=reading.foreground.target(target),
        samples=tuple(samples),
        read=read,
        fingerprint=reading.fingerprint(fingerprint_files(samples)),
        notes=(*notes, *reading.notes),
        has_void=reading.ignore is not None,
        settled=reading.settled,
    )


def _unreadable(root: Path, samples: list[Sample]) -> list[str]:
    problems = []
    for sample in samples:
        try:
            if all(file.exists() for file in sample.files):
                read_image(root, sample.files[0])
                read_stored(root, sample.files[1])
        except DataError as error:
            problems.append(str(error))
    return problems


def _parts(path: Path) -> list[Part]:
    images, masks = path / "images", path / "masks"
    if images.is_dir() and masks.is_dir():
        names = sorted({f.name for f in (*_subfolders(images), *_subfolders(masks))})
        parts = [Part(part, images / name, masks / name) for name, part in _named(names)]
        return parts or [Part(None, images, masks)]
    names = [folder.name for folder in _subfolders(path)]
    parts = [
        Part(part, path / name / "images", path / name / "masks") for name, part in _named(names)
    ]
    # A part without masks is a mistake to report, but only beside one that has the layout.
    is_layout = any(part.images.is_dir() and part.masks.is_dir() for part in parts)
    return parts if is_layout else []


def _named(names: list[str]) -> list[tuple[str, str]]:
    """Those folders that are named after a part, with that part."""
    return [(n, PART_OF_FOLDER[n.lower()]) for n in names if n.lower() in PART_OF_FOLDER]


def _subfolders(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and not is_hidden(child))


def _files_by_stem(
    root: Path, folder: Path, notes: list[str], problems: list[str], suffixes: frozenset[str]
) -> dict[str, Path]:
    files: dict[str, Path] = {}
    others = []
    if not folder.is_dir():
        problems.append(f"{show(root, folder)}: no such folder. Add it.")
        return files
    for file in sorted(folder.iterdir()):
        if is_hidden(file):
            continue
        if file.is_dir():
            problems.append(
                f"{show(root, file)}: a folder where images are expected. Move its files up, or"
                " name it train, val or test."
            )
        elif file.suffix.lower() not in suffixes:
            others.append(file.name)
        elif file.stem in files:
            twin = show(root, files[file.stem])
            problems.append(f"{show(root, file)}: has the stem of {twin}. Remove or rename one.")
        else:
            files[file.stem] = file
    if others:
        notes.append(_describe_others(show(root, folder), others))
    if not files:
        known = " ".join(sorted(suffixes))
        problems.append(f"{show(root, folder)}: no image files. Add some ({known}).")
    return files


def _describe_others(folder: str, names: list[str]) -> str:
    kind = "1 file of another kind" if len(names) == 1 else f"{len(names)} files of other kinds"
    shown = ", ".join([*names[:3], "..."] if len(names) > 3 else names)
    return f"{folder}: left out {kind}: {shown}."


def _unpaired(
    root: Path, files: dict[str, Path], partners: dict[str, Path], folder: Path, kind: str
) -> list[str]:
    return [
        f"{show(root, files[stem])}: no {kind} {show(root, folder)}/{stem}.*. Add it, or remove"
        " this file."
        for stem in sorted(files.keys() - partners.keys())
    ]


def _strays(root: Path, parts: list[Part]) -> list[str]:
    """What would be left out in silence because of the layout that the other files have."""
    problems = []
    seen: dict[str | None, Part] = {}
    for part in parts:
        if part.name in seen:
            twin = show(root, seen[part.name].images)
            problems.append(f"{show(root, part.images)}: is {part.name} like {twin}. Merge them.")
        seen[part.name] = part
    top = {root / "images", root / "masks"}
    used = {folder for part in parts for folder in (part.images, part.masks)}
    for folder in sorted(top - used):
        children = sorted(folder.iterdir()) if folder.is_dir() else []
        problems += [
            f"{show(root, child)}: lies beside {_names(root, used)}. Move it into one of them."
            for child in children
            if child not in used
            and not is_hidden(child)
            and (child.is_dir() or child.suffix.lower() in IMAGE_SUFFIXES)
        ]
    if used == top:
        problems += [
            f"{show(root, inner)}: lies beside images/ and masks/. Keep one of the two layouts."
            for folder in _subfolders(root)
            if folder.name.lower() in PART_OF_FOLDER
            for inner in (folder / "images", folder / "masks")
            if inner.is_dir()
        ]
    return problems


def _names(root: Path, folders: set[Path]) -> str:
    return ", ".join(f"{show(root, folder)}/" for folder in sorted(folders))


def _with_groups(samples: list[Sample], group: str | None) -> list[Sample]:
    if group is None:
        return samples
    try:
        groups = match_names(group, [sample.name for sample in samples])
    except ValueError as problem:
        raise DataError(
            rf"--group {group[:80]}: {problem}. Mend it, for example --group '^(patient\d+)_'."
        ) from None
    unmatched = [
        f"{sample.name}: no match for --group {group}."
        for sample, name in zip(samples, groups, strict=True)
        if not name
    ]
    if unmatched:
        raise DataError(join_lines(unmatched) + "\nChange the expression, or the names.")
    return [replace(sample, group=str(name)) for sample, name in zip(samples, groups, strict=True)]
