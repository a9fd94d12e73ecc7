"""What is wrong with files that could say where the masks are, where no layout is recognised."""

import itertools
from pathlib import Path

from vesica.data.label_files import find_files, holds_words, part_of
from vesica.data.listed import files_of_lists, is_meant_as_list, why_no_list
from vesica.data.listing import IMAGE_SUFFIXES
from vesica.data.pixels import show
from vesica.data.texts import parse_json, why_no_text
from vesica.data.yolo import label_files
from vesica.errors import join_lines
from vesica.words import say_first

CALLED = ("annotation", "instances", "coco", "labels")
"""In the names of annotations."""

NUM_TRIED = 100
"""Files of a kind that are looked at."""


def say_damage(root: Path) -> tuple[str, str]:
    """Such files below a folder with what is wrong and what to do, a line for each mistake.

    Returns:
        Of those that are called so, or name images; and of others, which may be of something else.
        "" where there are none, or the folder is not one.
    """
    if not root.is_dir():
        return "", ""
    found: dict[tuple[bool, str], list[str]] = {}
    jsons = filter(Path.is_file, find_files(root, {".json"}))
    for file in itertools.islice(jsons, NUM_TRIED):
        why = _why_no_annotations(file)
        found.setdefault((_is_meant(file), why), []).append(show(root, file))
    for file in itertools.islice(filter(Path.is_file, label_files(root)), NUM_TRIED):
        found.setdefault((True, why_no_text(file)), []).append(show(root, file))
    said: dict[bool, list[str]] = {True: [], False: []}
    for (is_meant, why), files in found.items():
        said[is_meant] += [f"{say_first(files)}: {why}"] if why else []
    for file in files_of_lists(root):
        said[is_meant_as_list(file)] += filter(None, [why_no_list(file)])
    return join_lines(said[True]), join_lines(said[False])


def _is_meant(file: Path) -> bool:
    """Whether a JSON file is called like annotations, lies beside its image, or names images."""
    stem = file.stem.lower()
    is_called = any(word in stem for word in CALLED) or part_of(stem) is not None
    is_beside = any(file.with_suffix(suffix).exists() for suffix in IMAGE_SUFFIXES)
    return is_called or is_beside or holds_words(file, ("images",))


def _why_no_annotations(file: Path) -> str:
    """Of a JSON file; "" where it may well be of something else."""
    try:
        content = parse_json(file.read_bytes())
    except ValueError as error:
        return str(error)
    if not content:
        return "JSON that holds nothing. Export it again."
    if not isinstance(content, dict):
        return "no JSON object of annotations. Export it again."
    if "images" in content and "annotations" not in content:
        return "images without annotations. Export it again, with the objects."
    return ""
