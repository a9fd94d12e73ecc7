"""Reader of COCO's JSON: one file of objects for many images, or one for each part of the split."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

from vesica.data.annotated import Labelled, Region, make_dataset
from vesica.data.label_files import ImageFiles, find_files, holds_words, part_of, read_json
from vesica.data.listing import IMAGE_SUFFIXES
from vesica.data.pixels import show
from vesica.data.polygons import Outline, Polygons, check_near, read_ring, read_runs
from vesica.data.sample import Dataset, Sample
from vesica.data.texts import why_no_text
from vesica.errors import DataError
from vesica.words import count_of, say_first

LISTS = ("images", "annotations", "categories")
OTHER_TASKS = ("captions", "person_keypoints", "panoptic", "stuff")
"""How the names of COCO's other files about the same images begin."""

LARGE_PX = 2
"""Sides of an image, above which all polygons within one pixel are a mistake."""

Entry = dict[str, Any]
Id = int | str


def recognise(path: Path) -> bool:
    """Whether a JSON file with images and annotations lies anywhere below."""
    return next(_annotation_files(path), None) is not None


def open_coco(path: Path, target: str | None, *, group: str | None = None) -> Dataset:
    """Images with COCO's JSON; several files are parts of the split, as their names say.

    Args:
        path: The folder with the JSON files and the images, at any depth.
        target: A category, several joined by "+", or "all"; None: the only one.
        group: Regular expression on a sample's name that finds its group.

    Raises:
        DataError: If files do not fit together; one error lists all problems.
    """
    files = list(_annotation_files(path))
    if any(file.stem.startswith("instances") for file in files):
        files = [file for file in files if not file.stem.startswith(OTHER_TASKS)]
    images = ImageFiles(path)
    problems = list(_damaged(path))
    labelled: list[Labelled] = []
    categories: list[str] = []
    for file in files:
        content = _read_lists(path, file, problems)
        names = _by_id(path, file, content, "categories", problems)
        categories += [str(entry.get("name")) for entry in names.values()]
        labelled += _read_images(path, file, content, names, images, problems)
    return make_dataset(
        path,
        "coco",
        target,
        labelled,
        categories,
        problems=problems,
        notes=images.without((image.image for image in labelled), "are in no JSON file: left out"),
        group=group,
        shared=Sample("annotations", "", tuple(files)),
    )


def _annotation_files(path: Path) -> Iterator[Path]:
    # One that was cut off may have lost its categories, which come last.
    return (file for file in _json_files(path) if holds_words(file, LISTS[:2]))


def _json_files(path: Path) -> Iterator[Path]:
    files = find_files(path, {".json"})
    images = {file.with_suffix("") for file in find_files(path, IMAGE_SUFFIXES)} if files else set()
    # A file beside its image is labelme's, and large where it holds the image itself.
    return (file for file in files if file.is_file() and file.with_suffix("") not in images)


def _damaged(path: Path) -> Iterator[str]:
    """What is wrong with files that are called like one of several, and are not known as one."""
    for file in _json_files(path):
        is_called = file.stem.startswith("instances") or part_of(file.stem)
        is_meant = is_called and not file.stem.startswith(OTHER_TASKS)
        is_suspect = not file.stat().st_size or why_no_text(file) or holds_words(file, LISTS[:1])
        if is_meant and is_suspect and not holds_words(file, LISTS[:2]):
            try:
                read_json(path, file)
            except DataError as error:
                yield str(error)


def _read_lists(root: Path, file: Path, problems: list[str]) -> dict[str, list[Any]]:
    """The three lists; what is wrong with the file is said, and the lists are then empty."""
    try:
        content = read_json(root, file)
    except DataError as error:
        problems.append(str(error))
        return {name: [] for name in LISTS}
    for name in LISTS:
        if not isinstance(content.get(name), list):
            problems.append(f"{show(root, file)}: {name} is no list. Export it again.")
            content[name] = []
    return content


def _by_id(
    root: Path, file: Path, content: dict[str, list[Any]], name: str, problems: list[str]
) -> dict[Id, Entry]:
    """Entries of one list by their ids."""
    found: dict[Id, Entry] = {}
    text = {"images": "file_name", "categories": "name"}[name]
    refused: dict[str, list[str]] = {}
    for index, entry in enumerate(content[name]):
        place = f"{name}[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), Id):
            refused.setdefault("no id", []).append(place)
        elif not isinstance(entry.get(text), str) or not entry[text].strip():
            refused.setdefault(f"no {text}", []).append(place)
        elif entry["id"] in found:
            refused.setdefault("the id of another", []).append(f"{place} ({entry['id']!r})")
        else:
            found[entry["id"]] = entry | {"index": index}
    problems += [
        f"{show(root, file)}: {say_first(places)}: {reason}. Export it again."
        for reason, places in refused.items()
    ]
    return found


def _read_images(
    root: Path,
    file: Path,
    content: dict[str, list[Any]],
    categories: dict[Id, Entry],
    images: ImageFiles,
    problems: list[str],
) -> Iterator[Labelled]:
    entries = _by_id(root, file, content, "images", problems)
    name = show(root, file)
    if _are_shares(content["annotations"], entries.values()):
        problems.append(
            f"{name}: annotations: polygons of shares from 0 to 1, expected pixels. Multiply x by"
            " the image's width and y by its height."
        )
    regions = _regions(name, content, entries, categories, problems)
    part = part_of(file.stem) or part_of(show(root, file.parent))
    for key, entry in entries.items():
        where = f"{name}: images[{entry['index']}]"
        try:
            image = images.find(entry["file_name"], file.parent, part)
        except ValueError as error:
            problems.append(f"{where}: {error}.")
            continue
        yield Labelled(image, where, tuple(regions[key]), part, _size(entry))


def _regions(
    name: str,
    content: dict[str, list[Any]],
    images: dict[Id, Entry],
    categories: dict[Id, Entry],
    problems: list[str],
) -> dict[Id, list[Region]]:
    """The objects of each image."""
    found: dict[Id, list[Region]] = {key: [] for key in images}
    unknown: dict[str, dict[int, Any]] = {"image": {}, "category": {}}
    for index, entry in enumerate(content["annotations"]):
        entry = entry if isinstance(entry, dict) else {}
        image, category = entry.get("image_id"), entry.get("category_id")
        if not _is_of(image, images):
            unknown["image"][index] = image
        if not _is_of(category, categories):
            unknown["category"][index] = category
        if _is_of(image, images) and _is_of(category, categories):
            read = partial(_outline, entry, images[image], name, f"annotations[{index}]")
            region = Region(categories[category]["name"], read, is_crowd=bool(entry.get("iscrowd")))
            found[image].append(region)
    for what, listed, entries in (
        ("image", "images", images),
        ("category", "categories", categories),
    ):
        # Where entries are refused, what refers to them is right once they are mended.
        if unknown[what] and len(entries) == len(content[listed]):
            problems.append(
                f"{name}: {_say_unknown(what, unknown[what], entries)} Export it again."
            )
    return found


def _is_of(id: Any, entries: dict[Id, Entry]) -> TypeGuard[Id]:
    return isinstance(id, Id) and id in entries


def _say_unknown(what: str, unknown: dict[int, Any], entries: dict[Id, Entry]) -> str:
    """Why annotations, by their places, name no entry."""
    by_text = {str(id): id for id in entries}
    alike = {index: by_text[str(id)] for index, id in unknown.items() if str(id) in by_text}
    if len(alike) == len(unknown):
        index, id = next(iter(alike.items()))
        return (
            f"{count_of(len(unknown), 'annotation')}: the {what} id is of another type than the"
            f" {what}'s own, as annotations[{index}] has {unknown[index]!r} for {id!r}."
        )
    places = say_first([f"annotations[{i}] ({repr(id)[:80]})" for i, id in unknown.items()])
    return f"no {what} has the id of {places}."


def _are_shares(annotations: list[Any], images: Iterable[Entry]) -> bool:
    """Whether no polygon reaches beyond the first pixel of images that have more."""
    rings = [
        ring
        for entry in annotations
        if isinstance(entry, dict) and isinstance(entry.get("segmentation"), list)
        for ring in entry["segmentation"]
        if isinstance(ring, list)
    ]
    is_large = any(min(_size(image) or (0,)) > LARGE_PX for image in images)
    return is_large and bool(rings) and all(map(_is_within_1, rings))


def _is_within_1(ring: list[Any]) -> bool:
    return all(isinstance(value, int | float) and 0 <= value <= 1 for value in ring)


def _outline(annotation: Entry, image: Entry, name: str, place: str) -> Outline:
    segmentation, size = annotation.get("segmentation"), _size(image)
    if isinstance(segmentation, list) and segmentation and size is None:
        raise DataError(
            f"{name}: images[{image['index']}]: no width and height in pixels, which polygons"
            " need. Add both."
        )
    where = f"{name}: {place}"
    try:
        if isinstance(segmentation, dict):
            return read_runs(segmentation, where)
        if not isinstance(segmentation, list) or not segmentation or size is None:
            raise ValueError("no outline, at most a box")
        return Polygons(tuple(check_near(read_ring(ring), *size) for ring in segmentation))
    except ValueError as error:
        raise DataError(f"{where}: {error}. Draw it again, or remove it.") from None


def _size(image: Entry) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None
