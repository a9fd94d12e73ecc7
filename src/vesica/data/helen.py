"""Reader of HELEN in its "SmithCVPR2013" layout: one soft mask for each part of a face."""

from pathlib import Path

import numpy as np

from vesica.data.pixels import check_sizes, is_hidden, read_image, show
from vesica.data.sample import Dataset, Mask, Pixels, Sample, fingerprint_files
from vesica.data.stored import grey_values
from vesica.errors import DataError, join_lines

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
FACE_PARTS = range(1, 10)
"""Skin, two brows, two eyes, nose, upper lip, inner mouth, lower lip; 0 is the background."""
HAIR_PART = 10
FULL_SIZE = 2330


def recognise(path: Path) -> bool:
    """Whether this folder, or the only one of its kind in it, has HELEN's layout."""
    return _root(path) is not None


def open_helen(path: Path, target: str) -> Dataset:
    """HELEN's layout: `images/<id>.jpg` and `labels/<id>/<id>_lbl00.png` to `_lbl10.png`.

    Args:
        path: The folder with `images` and `labels`, or the one around it.
        target: "face", or "face+hair".

    Raises:
        DataError: If an image or the mask of a part is missing; one error lists all.
    """
    root = _root(path)
    if root is None:
        raise DataError(
            f"{path}: no labels/<id>/<id>_lbl01.png. Pass the folder with images/ in it."
        )
    images = {
        file.stem: file
        for file in sorted((root / "images").iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(file)
    }
    folders = _label_folders(root)
    problems = []
    for folder in folders:
        if folder.name not in images:
            problems.append(f"labels/{folder.name}: no image images/{folder.name}.jpg. Add it.")
        missing = [file for file in _part_files(folder) if not file.is_file()]
        problems += [f"{show(root, file)}: missing. Add it." for file in missing]
    if problems:
        raise DataError(join_lines(problems))
    samples = [
        Sample(folder.name, folder.name, (images[folder.name], *_part_files(folder)))
        for folder in folders
    ]
    if target == "face+hair" and not any(_has_hair(root, sample) for sample in samples):
        raise DataError(
            f"{path}: no label has hair, labels/<id>/<id>_lbl{HAIR_PART}.png are all empty. Pass "
            "--target face, or --only nohair to vesica paper."
        )

    def read(sample: Sample) -> tuple[Pixels, Mask]:
        return _read(root, sample, target)

    num_unlabelled = len(images) - len(samples)
    unlabelled = f"{num_unlabelled:,} of {len(images):,} images have no label and are left out."
    return Dataset(
        format="helen",
        target=target,
        samples=tuple(samples),
        read=read,
        fingerprint=fingerprint_files(samples),
        full_size=FULL_SIZE,
        notes=(unlabelled,) if num_unlabelled else (),
    )


def _root(path: Path) -> Path | None:
    inner = [child for child in sorted(path.iterdir()) if child.is_dir() and not is_hidden(child)]
    if _has_layout(path):
        return path
    roots = [child for child in inner if _has_layout(child)]
    return roots[0] if len(roots) == 1 else None


def _has_layout(path: Path) -> bool:
    return (path / "images").is_dir() and any(
        any(file.is_file() for file in _part_files(folder)) for folder in _label_folders(path)
    )


def _label_folders(root: Path) -> list[Path]:
    labels = root / "labels"
    if not labels.is_dir():
        return []
    return sorted(
        (folder for folder in labels.iterdir() if folder.is_dir() and not is_hidden(folder)),
        key=lambda folder: folder.name,
    )


def _part_files(folder: Path) -> list[Path]:
    return [folder / f"{folder.name}_lbl{part:02}.png" for part in (*FACE_PARTS, HAIR_PART)]


def _has_hair(root: Path, sample: Sample) -> bool:
    return bool(grey_values(root, sample.files[-1]).any())


def _read(root: Path, sample: Sample, target: str) -> tuple[Pixels, Mask]:
    image_file, *part_files = sample.files
    image = read_image(root, image_file)
    # Where two parts touch, each fades out over the other: three that meet hold a third each, and
    # their maximum would leave a seam of background inside the face. The sum leaves none.
    total = np.zeros(image.shape[:2], np.int32)
    for file in part_files if target == "face+hair" else part_files[: len(FACE_PARTS)]:
        values = grey_values(root, file)
        check_sizes(root, image_file, image, file, values)
        total += values
    return image, 2 * total > 255
