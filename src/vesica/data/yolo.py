"""Reader of YOLO's segmentation labels: a text file of polygons for each image."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from vesica.data.annotated import Labelled, Region, make_dataset
from vesica.data.label_files import ImageFiles, find_files, part_of
from vesica.data.listing import IMAGE_SUFFIXES
from vesica.data.pixels import show
from vesica.data.plain_yaml import Value, read_plain_yaml
from vesica.data.polygons import Outline, Points, fill_ring, read_ring
from vesica.data.sample import Dataset, Mask, Sample
from vesica.data.texts import why_no_text
from vesica.errors import DataError, escaped
from vesica.words import count_of, say_first

PARTS = ("train", "val", "test")
KEYS = frozenset({*PARTS, "names", "path"})
SETTINGS = ("data", "dataset")
"""What the YAML file is usually called."""

CLASSES = "classes.txt"
"""A file of names, a line each, where no YAML has them."""

NUM_TRIED = 100
"""Files of labels that are looked at before a folder is taken for another layout."""

MIN_MET = 2
"""Files of labels with images of their names, where nothing else says what they are."""

Settings = dict[str, Value]


@dataclass(frozen=True)
class SharePolygon:
    """A polygon whose coordinates are shares of the image's width and height."""

    ring: Points

    def fill(self, height: int, width: int) -> Mask:
        """Its pixels in an image of this size."""
        mask = np.zeros((height, width), np.bool_)
        fill_ring(mask, self.ring * (width, height))
        return mask


def recognise(path: Path) -> bool:
    """Whether text files in a folder `labels` hold numbers, a class and more in each line."""
    files = itertools.islice(label_files(path), NUM_TRIED)
    return any(re.match(rb"\s*\d+(\.0+)?(\s+[-+.\de]+){4}", file.read_bytes()) for file in files)


def is_meant(path: Path) -> bool:
    """Whether images have texts of their names in a folder `labels`, or a YAML names classes."""
    files = list(itertools.islice(label_files(path), NUM_TRIED))
    images = {_key(path, image) for image in find_files(path, IMAGE_SUFFIXES)} if files else set()
    num_met = sum(_key(path, file) in images for file in files)
    return num_met >= MIN_MET or bool(images and _read_settings(path, [])[0])


def open_yolo(path: Path, target: str | None, *, group: str | None = None) -> Dataset:
    """Images with YOLO's polygons; a YAML names classes and parts, or folders say the parts.

    Args:
        path: The folder with `images/` and `labels/`, or with these in `train/`, `val/`, `test/`.
        target: A class, several joined by "+", or "all"; None: the only one.
        group: Regular expression on a sample's name that finds its group.

    Raises:
        DataError: If files do not fit together; one error lists all problems.
    """
    images = ImageFiles(path)
    problems: list[str] = []
    source, settings = _read_settings(path, problems)
    names = _read_names(path, source, settings, problems)
    parts = _read_parts(path, source, settings, images, problems)
    parts = parts or _parts_of_folders(path, images)
    labels = {_key(path, file): file for file in label_files(path)}
    labelled = []
    for image, part in parts.items():
        file = labels.get(_key(path, image))
        regions = _read_labels(path, file, names, problems) if file else ()
        where = show(path, file or image)
        labelled.append(Labelled(image, where, tuple(regions), part, files=(file,) if file else ()))
    alone = labels.keys() - {_key(path, image) for image in images.files}
    problems += [
        f"{show(path, labels[key])}: no image of this name. Add it, or remove the labels."
        for key in sorted(alone)
    ]
    if labels and not problems and not any(image.regions for image in labelled):
        raise DataError(
            f"{path}: none of {count_of(len(labels), 'label file')} has an object: all are empty. "
            "Export them again, or pass another folder."
        )
    numbers = {region.category for image in labelled for region in image.regions}
    classes = list(names.values()) or sorted(numbers, key=int)
    return make_dataset(
        path,
        "yolo",
        target,
        labelled,
        classes,
        problems=problems,
        notes=images.without(parts, "are in no part of the data: left out"),
        group=group,
        # What numbers mean decides the masks; the YAML itself may hold this machine's paths.
        shared=Sample(f"classes {names}", ""),
    )


def label_files(path: Path) -> Iterator[Path]:
    """The text files of labels, in folders of that name."""
    for file in find_files(path, {".txt"}):
        if "labels" in file.relative_to(path).parts[:-1] and file.name != CLASSES:
            yield file


def _key(root: Path, file: Path) -> tuple[str, ...]:
    """What an image and its labels have in common: their paths but for `images` and `labels`."""
    parts = file.relative_to(root).with_suffix("").parts
    return tuple(part for part in parts if part not in ("images", "labels"))


# --- Classes and parts ----------------------------------------------------------------------------


def _read_settings(root: Path, problems: list[str]) -> tuple[str, Settings]:
    """The name of the YAML file that names classes, and what it says."""
    problems += [
        f"{show(root, file)}: {why}"
        for file in find_files(root, {".yaml", ".yml"})
        if file.stem in SETTINGS and (why := why_no_text(file))
    ]
    texts = {
        file: file.read_text(encoding="utf-8", errors="replace")
        for file in find_files(root, {".yaml", ".yml"})
    }
    found = [file for file, text in texts.items() if re.search("^names *:", text, re.MULTILINE)]
    found = [file for file in found if file.stem in SETTINGS] or found
    if not found:
        return "", {}
    name = show(root, found[0])
    if len(found) > 1:
        problems.append(f"{name}: names classes as {show(root, found[1])} does. Keep one.")
    try:
        return name, read_plain_yaml(texts[found[0]], KEYS)
    except ValueError as error:
        problems.append(f"{name}: {error}. Write it as [a, b], or with '- a' in lines of its own.")
        return name, {}


def _read_names(root: Path, source: str, settings: Settings, problems: list[str]) -> dict[int, str]:
    """The names of classes by their numbers; none where there is no list of them."""
    names = settings.get("names", [])
    lists = sorted(find_files(root, {".txt"}), key=lambda file: len(file.parts))
    files = [file for file in lists if file.name == CLASSES]
    if not source and files:
        names = [line.strip() for line in files[0].read_text("utf-8", "replace").splitlines()]
        names = [name for name in names if name]
    if isinstance(names, list):
        return dict(enumerate(names))
    if isinstance(names, str) or not all(re.fullmatch("[0-9]{1,9}", key) for key in names):
        problems.append(f"{source}: names is no list of names, nor numbers with names. Mend it.")
        return {}
    return {int(key): name for key, name in names.items()}


def _read_parts(
    root: Path, source: str, settings: Settings, images: ImageFiles, problems: list[str]
) -> dict[Path, str | None]:
    """The images of each part that the YAML names."""
    parts: dict[Path, str | None] = {}
    for part in (part for part in PARTS if part in settings):
        value = settings[part]
        num_shared: dict[str | None, int] = {}
        for text in [value] if isinstance(value, str) else list(value):
            try:
                listed = _list_images(root, settings, text, part, images)
            except ValueError as error:
                problems += [f"{source}: {part}: {error}."] if part != "test" else []
                continue
            for image in listed:
                if parts.setdefault(image, part) != part:
                    num_shared[parts[image]] = num_shared.get(parts[image], 0) + 1
        problems += [
            f"{source}: {number:,} images of {part} are in {other} too. Give {part} its own, or"
            f" remove its line: it is then taken from train."
            for other, number in num_shared.items()
        ]
    return parts


def _list_images(
    root: Path, settings: Settings, text: str, part: str, images: ImageFiles
) -> list[Path]:
    """The images of a folder, or of a list in a text file."""
    place = _find(root, str(settings.get("path", "")), text)
    if place.is_dir():
        return [file for file in images.files if file.is_relative_to(place)]
    lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
    return [images.find(line.strip(), place.parent, part) for line in lines if line.strip()]


def _find(root: Path, base: str, text: str) -> Path:
    """A folder or file that a YAML names, which may have been written on another machine.

    Raises:
        ValueError: If it is not there.
    """
    names = _steps(text)
    is_absolute = re.match(r"[A-Za-z]:|[\\/]", text) is not None
    tails = [names[start:] for start in range(len(names) if is_absolute else 1)]
    heads = [_steps(base)[start:] for start in range(len(_steps(base)) + 1)]
    for tail in tails:
        for head in heads:
            place = root.joinpath(*head, *tail)
            if place.exists():
                return place
    raise ValueError(f"no {text[:200]} below this folder. Add it, or mend the path")


def _steps(text: str) -> list[str]:
    parts = PurePosixPath(text.replace("\\", "/")).parts
    return [part for part in parts if part not in ("/", "//", "..")]


def _parts_of_folders(root: Path, images: ImageFiles) -> dict[Path, str | None]:
    """The images in folders of that name, each in the part that its folders say."""
    found = {file: show(root, file.parent) for file in images.files}
    is_named = any("images" in folder.split("/") for folder in found.values())
    return {
        file: part_of(folder)
        for file, folder in found.items()
        if not is_named or "images" in folder.split("/")
    }


# --- Labels ---------------------------------------------------------------------------------------


def _read_labels(
    root: Path, file: Path, names: dict[int, str], problems: list[str]
) -> Iterator[Region]:
    """The objects of one image, a line each."""
    if why := why_no_text(file):
        problems.append(f"{show(root, file)}: {why}")
        return
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        where = f"{show(root, file)}: line {number}"
        words = line.split()
        try:
            values = [float(word) for word in words]
        except ValueError:
            problems.append(f"{where}: {_say_no_numbers(words)}")
            continue
        if not values:
            continue
        if values[0] not in (names or range(10**6)):
            listed = [f"{number} is {escaped(name)}" for number, name in names.items()]
            known = f" ({say_first(listed)})" if names else ""
            problems.append(
                f"{where}: no class has the number {words[0][:40]}; they are counted from 0{known}."
                " Mend the number, or name the class."
            )
            continue
        name = names.get(int(values[0]), str(int(values[0])))
        yield Region(name, partial(_outline, values[1:], where))


def _say_no_numbers(words: Sequence[str]) -> str:
    """What is wrong with a line that holds something else, and what to do."""
    if any("," in word for word in words):
        if any(word.count(",") > 1 or word.endswith(",") for word in words):
            return "commas between numbers, expected spaces. Export it again."
        return "decimal commas, expected points, as in 0.5. Export it again."
    if all(re.fullmatch(r"[-+.\de]+", word) for word in words[-2:]):
        return "a class name, expected its number, counted from 0. Export it again."
    return "no numbers. Mend it, or remove it."


def _outline(values: list[float], where: str) -> Outline:
    try:
        if len(values) == 4:
            raise ValueError("a box, expected a polygon of at least 3 points")
        ring = read_ring(values)
        if ((ring < -1) | (ring > 2)).any():
            raise ValueError("coordinates that are no shares of the image's size, from 0 to 1")
    except ValueError as error:
        raise DataError(f"{where}: {error}. Draw it again, or remove it.") from None
    return SharePolygon(ring)
