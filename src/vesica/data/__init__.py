"""Data sets by name: `open_dataset` opens a folder by its layout, or calls what is spelled."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vesica import spelling
from vesica.data import coco, folder, helen, labelme, lfw, yolo
from vesica.data.damage import say_damage
from vesica.data.derived import DERIVED, is_derived, open_derived
from vesica.data.listed import LIST_SUFFIXES
from vesica.data.pairs import explain
from vesica.data.sample import Dataset, check_names
from vesica.data.synthetic import open_generated
from vesica.errors import DataError, join_lines
from vesica.files import expand


@dataclass(frozen=True)
class Format:
    """One layout of files.

    Attributes:
        layout: What the layout looks like, for messages.
        recognise: Whether a folder has this layout.
        open: Opens a folder: `open(path, target, **options)`.
        targets: What may be foreground; the first is the default. None here: the files name it.
        options: The further options that `open` takes.
        suffixes: Of a single file that `open` takes in place of a folder.
        is_meant: Whether a folder is to have this layout and has a mistake throughout, which `open`
            then names; asked where no layout is recognised.
    """

    layout: str
    recognise: Callable[[Path], bool]
    open: Callable[..., Dataset]
    targets: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    is_meant: Callable[[Path], bool] = lambda path: False

    @property
    def default_target(self) -> str | None:
        """The target where none is asked for; None: the format decides by the files."""
        return self.targets[0] if self.targets else None


DATASETS: dict[str, Format] = {
    "lfw": Format(
        layout="<person>/<person>_<number>.jpg with parts_lfw_funneled_gt_images/",
        recognise=lfw.recognise,
        open=lfw.open_lfw,
        targets=("face", "face+hair"),
        options=("classes",),
    ),
    "helen": Format(
        layout="images/<id>.jpg with labels/<id>/<id>_lbl00.png to _lbl10.png",
        recognise=helen.recognise,
        open=helen.open_helen,
        targets=("face", "face+hair"),
    ),
    "yolo": Format(
        layout="images/ with labels/<name>.txt of polygons, and data.yaml",
        recognise=yolo.recognise,
        open=yolo.open_yolo,
        options=("group",),
        is_meant=yolo.is_meant,
    ),
    "labelme": Format(
        layout="<name>.jpg with labelme's <name>.json",
        recognise=labelme.recognise,
        open=labelme.open_labelme,
        options=("group",),
    ),
    "coco": Format(
        layout="images with COCO's JSON",
        recognise=coco.recognise,
        open=coco.open_coco,
        options=("group",),
    ),
    "folder": Format(
        layout="images/ with masks/ by any usual name, x.jpg with x_mask.png, or a CSV of pairs",
        recognise=folder.recognise,
        open=folder.open_folder,
        targets=("foreground",),
        options=(
            *("foreground", "ignore", "classes", "fit_masks", "as_stored", "depth"),
            *("group", "images", "masks", "skip_unpaired"),
        ),
        suffixes=LIST_SUFFIXES,
    ),
}
"""Every layout, in the order in which a folder is compared with them."""

DESCRIBED = {"images", "masks"}
"""With one of these options a folder needs no layout that is known."""

DATA: dict[str, Callable[..., Dataset]] = {"generated": open_generated}
"""Every data set that needs no folder; a user's own is spelled `file.py:function`, and those that
are made of another one are in `DERIVED`."""


def open_dataset(
    path: Path | str,
    *,
    format: str = "auto",
    target: str | None = None,
    foreground: str | None = None,
    ignore: str | None = None,
    classes: bool = False,
    fit_masks: bool = False,
    as_stored: bool = False,
    depth: int | None = None,
    group: str | None = None,
    images: str | None = None,
    masks: str | None = None,
    skip_unpaired: bool = False,
    is_settled: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """Open images with labels; files are listed and hashed, and the masks of a folder looked at.

    Args:
        path: A folder, a list of pairs (CSV, TSV, TXT), a name of `DATA` or `DERIVED` with its
            options, or `FILE.py:FUNCTION` with its options, which returns a `Dataset`.
        format: A key of `DATASETS`, or "auto" to recognise the layout. The canonical spelling of a
            user's function stands for `path`.
        target: What counts as foreground; by default the first of the format's targets, or the
            only category of the files.
        foreground: What of a mask is foreground, for the format "folder": "255", "4,5", ">127",
            "#ff0000". None: chosen by what all masks hold.
        ignore: What of a mask is left out: "255".
        classes: Every value of the masks is a class, and each pixel is of one.
        fit_masks: Resize masks to their images.
        as_stored: Leave EXIF orientations alone.
        depth: Bits that 16-bit images use. None: what their largest value needs.
        group: Regular expression that finds a sample's group in its name.
        images: A glob for the images of a "folder", where they are not found; `{}` pairs them.
        masks: The same for the masks.
        skip_unpaired: Leave out and count the files of a "folder" that have no partner.
        is_settled: Whether all of this was chosen before: no mask is looked at.
        progress: Called with the masks that were looked at and their total.

    Raises:
        DataError: If they cannot be opened so; the message says what to change.
    """
    options = {
        "foreground": foreground,
        "group": group,
        "images": images,
        "masks": masks,
        "skip_unpaired": skip_unpaired,
        "ignore": ignore,
        "classes": classes,
        "fit_masks": fit_masks,
        "as_stored": as_stored,
        "depth": depth,
    }
    given: dict[str, Any] = {
        name: value for name, value in options.items() if value not in (None, False)
    }
    try:
        if is_derived(str(path)) and not Path(path).exists():
            given |= {"target": target, "is_settled": is_settled, "progress": progress}
            return _check_derived(open_derived(str(path), partial(open_dataset, **given)), format)
        if (text := _find_name(str(path), format)) is not None:
            return _open_named(text, format, target, given)
        path = expand(path)
        _check_folder(path)
        if format == "auto":
            name = "folder" if DESCRIBED & given.keys() else _recognise(path)
        else:
            name = _check_format(path, format, given)
        target = _check_options(name, target, given)
        if "foreground" in DATASETS[name].options:
            given |= {"is_settled": is_settled, "progress": progress}
        dataset = DATASETS[name].open(path, target, **given)
        if format == "auto" and name == "folder" and (damage := say_damage(path)[0]):
            notes = (
                f"Warning: the masks are used, but beside them lies {line}"
                for line in damage.splitlines()
            )
            dataset = replace(dataset, notes=(*dataset.notes, *notes))
        return dataset
    except OSError as problem:
        raise DataError(_say_denied(problem)) from problem


def _say_denied(problem: OSError) -> str:
    """What the system does not give; of a folder that is locked, any file within is named by it."""
    file = Path(str(problem.filename)[:300])
    if not isinstance(problem, PermissionError):
        return f"{file}: {problem.strerror}. Check the file and its permissions."
    outermost = [folder for folder in file.parents if not os.access(folder, os.X_OK)][-1:]
    return (
        f"{(outermost or [file])[0]}: {problem.strerror}. Give yourself the right to read it, as by"
        " chmod -R u+rX, or pass another folder."
    )


def _find_name(path: str, format: str) -> str | None:
    """The spelling of what is no folder; None for a folder."""
    if spelling.is_canonical(format):
        return format
    is_spelled = spelling.is_own(path) or spelling.split_path(path)[0] in DATA
    return path if is_spelled and not Path(path).exists() else None


def _open_named(text: str, format: str, target: str | None, given: Iterable[str]) -> Dataset:
    try:
        spelled = spelling.read(text, DATA, "data set")
        more: dict[str, Any] = {"target": target} if target is not None else {}
        more |= {"classes": True} if "classes" in given else {}
        if more and not spelled.digest:
            options = dict(spelled.options) | more
            spelled = spelling.with_options(spelled, spelled.function(DATA), options)
        dataset: Dataset = spelled.call(DATA)
    except ValueError as error:
        raise DataError(str(error)) from error
    if spelled.digest:
        dataset = _check_own(spelled, dataset)
    given = [option for option in given if option != "classes" or not dataset.is_exclusive]
    for option in [*given, *(["format"] if format not in ("auto", dataset.format) else [])]:
        raise DataError(f"{_spell(option)} makes no sense for {spelled.name}. Leave it out.")
    if target not in (None, dataset.target):
        raise DataError(
            f"Target {target!r} makes no sense for {spelled.name}, whose target is "
            f"{dataset.target!r}. Leave it out."
        )
    return dataset


def _check_derived(dataset: Dataset, format: str) -> Dataset:
    """A set made of another one; the layout is that of the other, and is recognised."""
    if format not in ("auto", dataset.format):
        raise DataError(f"--format makes no sense for {dataset.format}. Leave it out.")
    return dataset


def _check_own(spelled: spelling.Spelled, dataset: Any) -> Dataset:
    """What a user's function gave, known by the function as well as by its images."""
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"{spelled.name}: gives {type(dataset).__name__}, expected a data set; return "
            "vesica.data.Dataset.of(names, read)"
        )
    check_names([sample.name for sample in dataset.samples])
    both = hashlib.sha256(f"{spelled}\0{dataset.fingerprint}".encode()).hexdigest()
    return replace(dataset, format=str(spelled), fingerprint=both)


def _check_folder(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: no such folder. Check the path, or name {_names()}.")
    if path.suffix == ".py":
        raise DataError(f"{path}: a file of functions. Name one of them: {path}:FUNCTION.")
    if path.is_file() and not _openers(path):
        raise DataError(f"{path}: a file, expected a folder. Unpack it, or pass its folder.")
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path}: the folder is empty. Expected one of: {_layouts()}.")


def _openers(file: Path) -> list[str]:
    """The formats that open a single file of this kind."""
    return [name for name, form in DATASETS.items() if file.suffix.lower() in form.suffixes]


def _recognise(path: Path) -> str:
    if path.is_file():
        return _openers(path)[0]
    for name, candidate in DATASETS.items():
        if candidate.recognise(path):
            return name
    meant, others = say_damage(path)
    if meant:
        raise DataError(meant)
    for name, candidate in DATASETS.items():
        if candidate.is_meant(path):
            return name
    lines = [f"{path}: no known layout: {explain(path)} Or have one of: {_layouts()}.", others]
    raise DataError(join_lines([line for line in lines if line]))


def _check_format(path: Path, name: str, given: Mapping[str, object]) -> str:
    if name not in DATASETS:
        raise DataError(f"Unknown format {name!r}. Pass one of: auto, {', '.join(DATASETS)}.")
    if path.is_file() and name not in _openers(path):
        raise DataError(f"{path}: a file, expected a folder. Pass its folder, or another format.")
    is_described = path.is_file() or (name == "folder" and DESCRIBED & given.keys())
    if not is_described and not DATASETS[name].recognise(path):
        if damage := join_lines([said for said in say_damage(path) if said]):
            raise DataError(damage)
        if DATASETS[name].is_meant(path):
            return name
        others = [other for other in DATASETS if DATASETS[other].recognise(path)]
        found = f"It has that of {others[0]}: pass it as that" if others else "Check the path"
        raise DataError(
            f"{path}: not the layout of {name}, which is {DATASETS[name].layout}. "
            f"{found}, or pass another folder."
        )
    return name


def _check_options(name: str, target: str | None, given: Iterable[str]) -> str | None:
    chosen = DATASETS[name]
    given = list(given)
    if target is not None and "classes" in given:
        raise DataError("--target and --classes: each class is a target. Leave one out.")
    if target is None:
        target = chosen.default_target
    if chosen.targets and target not in chosen.targets:
        raise DataError(
            f"Target {target!r} makes no sense for the format {name}."
            f" Pass one of: {', '.join(chosen.targets)}."
        )
    for option in given:
        if option not in chosen.options:
            raise DataError(f"{_spell(option)} makes no sense for the format {name}. Leave it out.")
    return target


def _spell(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _names() -> str:
    return ", ".join([*DATA, *DERIVED, "or FILE.py:FUNCTION"])


def _layouts() -> str:
    return "; ".join(f"{candidate.layout} ({name})" for name, candidate in DATASETS.items())
