"""What is wrong with files that could say where the masks are, where no layout is recognised."""

import itertools
from pathlib import Path

from vesica.data.label_files import find_files
from vesica.data.listed import files_of_lists, why_no_list
from vesica.data.pixels import show
from vesica.data.texts import parse_json, why_no_text
from vesica.data.yolo import label_files
from vesica.errors import join_lines
from vesica.words import say_first

NUM_TRIED = 100
"""Files of a kind that are looked at."""


def say_damage(root: Path) -> str:
    """Every such file below a folder with what is wrong and what to do, a line for each mistake;
    "" where there is none, or the folder is not one."""
    if not root.is_dir():
        return ""
    found: dict[str, list[str]] = {}
    jsons = filter(Path.is_file, find_files(root, {".json"}))
    for file in itertools.islice(jsons, NUM_TRIED):
        found.setdefault(_why_no_annotations(file), []).append(show(root, file))
    for file in itertools.islice(filter(Path.is_file, label_files(root)), NUM_TRIED):
        found.setdefault(why_no_text(file), []).append(show(root, file))
    found.pop("", None)
    lines = [f"{say_first(files)}: {why}" for why, files in found.items()]
    return join_lines([*lines, *filter(None, map(why_no_list, files_of_lists(root)))])


def _why_no_annotations(file: Path) -> str:
    """Of a JSON file; "" where it may well be of something else."""
    try:
        content = parse_json(file.read_bytes())
    except ValueError as error:
        return str(error)
    if not content:
        return "JSON that holds nothing. Export it again."
    if isinstance(content, dict) and "images" in content and "annotations" not in content:
        return "images without annotations. Export it again, with the objects."
    return ""
