"""Data sets on disk: `open_dataset` finds out which layout a folder has and opens it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vesica.data import folder, helen, lfw
from vesica.data.sample import Dataset
from vesica.errors import DataError


@dataclass(frozen=True)
class Format:
    """One layout of files.

    Attributes:
        layout: What the layout looks like, for messages.
        recognise: Whether a folder has this layout.
        open: Opens a folder: `open(path, target, **options)`.
        targets: What may be foreground; the first is the default.
        options: The further options that `open` takes.
    """

    layout: str
    recognise: Callable[[Path], bool]
    open: Callable[..., Dataset]
    targets: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def default_target(self) -> str:
        """The target where none is asked for."""
        return self.targets[0]


DATASETS: dict[str, Format] = {
    "lfw": Format(
        layout="<person>/<person>_<number>.jpg with parts_lfw_funneled_gt_images/",
        recognise=lfw.recognise,
        open=lfw.open_lfw,
        targets=("face", "face+hair"),
    ),
    "helen": Format(
        layout="images/<id>.jpg with labels/<id>/<id>_lbl00.png to _lbl10.png",
        recognise=helen.recognise,
        open=helen.open_helen,
        targets=("face", "face+hair"),
    ),
    "folder": Format(
        layout="images/ with masks/, or these two in train/, val/ and test/",
        recognise=folder.recognise,
        open=folder.open_folder,
        targets=("foreground",),
        options=("foreground", "group"),
    ),
}
"""Every layout, in the order in which a folder is compared with them."""


def open_dataset(
    path: Path | str,
    *,
    format: str = "auto",
    target: str | None = None,
    foreground: str | None = None,
    group: str | None = None,
) -> Dataset:
    """Open a folder of images with labels; files are listed and hashed, pixels not yet decoded.

    Args:
        path: The folder.
        format: A key of `DATASETS`, or "auto" to recognise the layout.
        target: What counts as foreground; by default the first of the format's targets.
        foreground: Which mask values are foreground, for the format "folder": "255", ">127".
        group: Regular expression that finds a sample's group in its name, for "folder".

    Raises:
        DataError: If the folder cannot be opened so; the message says what to change.
    """
    path = Path(path)
    options = {"foreground": foreground, "group": group}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        _check_folder(path)
        name = _recognise(path) if format == "auto" else _check_format(path, format)
        target = _check_options(name, target, given)
        return DATASETS[name].open(path, target, **given)
    except OSError as problem:
        raise DataError(
            f"{problem.filename}: {problem.strerror}. Check the file and its permissions."
        ) from problem


def _check_folder(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: no such folder. Check the path.")
    if not path.is_dir():
        raise DataError(f"{path}: a file, expected a folder. Unpack it, or pass its folder.")
    if not any(path.iterdir()):
        raise DataError(f"{path}: the folder is empty. Expected one of: {_layouts()}.")


def _recognise(path: Path) -> str:
    for name, candidate in DATASETS.items():
        if candidate.recognise(path):
            return name
    raise DataError(f"{path}: no known layout. Expected one of: {_layouts()}.")


def _check_format(path: Path, name: str) -> str:
    if name not in DATASETS:
        raise DataError(f"Unknown format {name!r}. Pass one of: auto, {', '.join(DATASETS)}.")
    if not DATASETS[name].recognise(path):
        others = [other for other in DATASETS if DATASETS[other].recognise(path)]
        found = f"It has that of {others[0]}: pass it as that" if others else "Check the path"
        raise DataError(
            f"{path}: not the layout of {name}, which is {DATASETS[name].layout}. "
            f"{found}, or pass another folder."
        )
    return name


def _check_options(name: str, target: str | None, given: Iterable[str]) -> str:
    chosen = DATASETS[name]
    if target is None:
        target = chosen.default_target
    if target not in chosen.targets:
        raise DataError(
            f"Target {target!r} makes no sense for the format {name}."
            f" Pass one of: {', '.join(chosen.targets)}."
        )
    for option in given:
        if option not in chosen.options:
            raise DataError(f"--{option} makes no sense for the format {name}. Leave it out.")
    return target


def _layouts() -> str:
    return "; ".join(f"{candidate.layout} ({name})" for name, candidate in DATASETS.items())
