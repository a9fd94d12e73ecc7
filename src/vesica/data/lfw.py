"""Reader of LFW Part Labels: faces of named people, labelled as hair, face and background."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vesica.data.pixels import check_sizes, is_hidden, read_image, show
from vesica.data.sample import Dataset, Mask, Pixels, Sample, fingerprint_files
from vesica.errors import DataError, join_lines

LABEL_FOLDER = "parts_lfw_funneled_gt"
LABEL_SUFFIXES = frozenset({".ppm", ".png"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg"})
STEM = re.compile(r"(?P<person>.+)_\d+")
FULL_SIZE = 2927
CLASSES = ("background", "face", "hair")


def recognise(path: Path) -> bool:
    """Whether a folder of LFW labels lies anywhere below this one."""
    return any(
        file.suffix.lower() in LABEL_SUFFIXES
        for folder, files in _walk(path)
        if _holds_labels(path, folder)
        for file in files
    )


def open_lfw(path: Path, target: str, *, classes: bool = False) -> Dataset:
    """LFW Part Labels, with the folders of images and of labels at any depth below `path`.

    The labels decide which samples exist: a complete LFW holds 13,233 images, 2927 have labels.

    Args:
        path: Folder with `lfw_funneled` and `parts_lfw_funneled_gt_images` somewhere in it.
        target: "face", or "face+hair".
        classes: In place of a target, background, face and hair.

    Raises:
        DataError: If a label has no image, or a name is there twice; one error lists all.
    """
    labels, images, problems = _find(path)
    samples = []
    for name, label in sorted(labels.items()):
        found = _prefer_funneled(path, images.get(name, []))
        person = _person(label)
        if person is None:
            problems.append(f"{show(path, label)}: expected the name <person>_<number>. Rename it.")
        elif len(found) == 1:
            samples.append(Sample(name, person, (found[0], label)))
        elif found:
            problems.append(_name_twice(path, found))
        else:
            problems.append(
                f"{show(path, label)}: no image {person}/{name}.jpg. Add it, or remove the label."
            )
    if problems:
        raise DataError(join_lines(problems))
    if not samples:
        raise DataError(
            f"{path}: no labels <person>_<number>.ppm or .png. Add {LABEL_FOLDER}_images."
        )

    def read(sample: Sample) -> tuple[Pixels, Mask]:
        image_file, label_file = sample.files
        image = read_image(path, image_file)
        parts = _read_parts(path, label_file)
        mask = np.stack([parts[name] for name in CLASSES]) if classes else parts[target]
        check_sizes(path, image_file, image, label_file, parts[target])
        return image, mask

    num_unlabelled = len(images.keys() - labels.keys())
    unlabelled = f"{num_unlabelled:,} of {len(images):,} images have no label and are left out."
    return Dataset(
        format="lfw",
        target=";".join(CLASSES) if classes else target,
        samples=tuple(samples),
        read=read,
        fingerprint=fingerprint_files(samples),
        full_size=FULL_SIZE,
        notes=(unlabelled,) if num_unlabelled else (),
        classes=CLASSES if classes else (),
        is_exclusive=classes,
    )


def _walk(path: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder with its files, through links as well: data sets are often linked into place."""
    seen = set()
    for folder, subfolders, files in os.walk(path, followlinks=True):
        here = Path(folder)
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(Path(name)))
        yield here, [here / name for name in sorted(files) if not is_hidden(Path(name))]


def _holds_labels(root: Path, folder: Path) -> bool:
    return any(LABEL_FOLDER in name.lower() for name in folder.relative_to(root.parent).parts)


def _person(file: Path) -> str | None:
    match = STEM.fullmatch(file.stem)
    return match["person"] if match else None


def _find(path: Path) -> tuple[dict[str, Path], dict[str, list[Path]], list[str]]:
    """The label of each name, the images of each name, and names with two labels."""
    labels: dict[str, Path] = {}
    images: dict[str, list[Path]] = {}
    problems = []
    for folder, files in _walk(path):
        if not _holds_labels(path, folder):
            for file in files:
                if file.suffix.lower() in IMAGE_SUFFIXES and folder.name == _person(file):
                    images.setdefault(file.stem, []).append(file)
            continue
        for file in files:
            if file.suffix.lower() not in LABEL_SUFFIXES:
                continue
            if file.stem in labels:
                problems.append(_name_twice(path, [labels[file.stem], file]))
            labels[file.stem] = file
    return labels, images, problems


def _prefer_funneled(root: Path, files: list[Path]) -> list[Path]:
    """Where the images lie beside their unaligned originals, the labels fit the aligned ones."""
    funneled = [file for file in files if "funneled" in show(root, file).lower()]
    return funneled if len(files) > 1 and funneled else files


def _name_twice(root: Path, files: list[Path]) -> str:
    names = " and ".join(show(root, file) for file in files)
    return f"{names}: one name twice. Remove one."


def _read_parts(root: Path, file: Path) -> dict[str, Mask]:
    """The masks of the classes and of the targets."""
    label = read_image(root, file)
    red, green, blue = np.moveaxis(label, 2, 0)
    hair: Mask = red == 255
    face: Mask = green == 255
    is_pure = (hair | face | (blue == 255)) & (red + green.astype(np.uint16) + blue == 255)
    if not is_pure.all():
        row, column = divmod(int(is_pure.argmin()), is_pure.shape[1])
        colour = tuple(int(value) for value in label[row, column])
        raise DataError(
            f"{show(root, file)}: colour {colour} at row {row}, column {column}, expected pure"
            " red (hair), green (face) or blue (background). Restore the original label."
        )
    parts = {"face": face, "hair": hair, "face+hair": face | hair}
    return parts | {"background": ~parts["face+hair"]}
