"""Lists of pairs: a CSV, TSV or TXT file with an image and its mask in each row."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vesica.data.names import PARTS, common_start, words_of
from vesica.data.pairs import Pair, Pairing
from vesica.data.pixels import is_hidden
from vesica.errors import DataError, escaped
from vesica.words import count_of

LIST_SUFFIXES = (".csv", ".tsv", ".txt")

COLUMNS = {
    "image": words_of("image images img imagepath imagefile imagename filename file path"),
    "mask": words_of(
        "mask masks maskpath maskfile maskname label labels labelpath labelfile annotation "
        "segmentation seg gt groundtruth target"
    ),
    "part": words_of("split part subset set usage"),
    "group": words_of("group patient patientid subject subjectid case slide person"),
}
"""What a column is, by its header without spaces and signs."""

DELIMITERS = ("\t", ";", ",")
"""Tried in this order; where a line has none of them, columns are divided by spaces."""

Row = tuple[int, list[str]]
"""The number of the line, and its cells."""


@dataclass(frozen=True)
class Table:
    """The rows of a list.

    Attributes:
        file: The list.
        columns: Where the image, the mask, the part and the group stand.
        rows: Without the header.
    """

    file: Path
    columns: dict[str, int]
    rows: list[Row]

    def cell(self, row: Row, column: str) -> str:
        """A cell, "" where the table has no such column or the row ends before it."""
        place = self.columns.get(column, len(row[1]))
        return row[1][place].strip() if place < len(row[1]) else ""

    def path(self, row: Row, column: str) -> Path:
        """The file that a cell names; relative ones from the list on."""
        return self.file.parent / self.cell(row, column).replace("\\", "/")


def find_lists(folder: Path) -> list[Path]:
    """The lists at the root of a folder whose first row names two files that exist."""
    files = (f for f in sorted(folder.iterdir()) if f.suffix.lower() in LIST_SUFFIXES)
    return [file for file in files if not is_hidden(file) and _names_files(file)]


def _names_files(file: Path) -> bool:
    try:
        table = _read_table(file, most=1)
    except DataError:
        return False
    return bool(table.rows) and all(
        table.cell(table.rows[0], column) and table.path(table.rows[0], column).is_file()
        for column in ("image", "mask")
    )


def read_lists(files: Sequence[Path], skip_unpaired: bool = False) -> Pairing:
    """The pairs of one list, or of one for each part of the split, such as `train.csv`.

    Raises:
        DataError: If several lists say of no part, or what is no list is read.
    """
    parts = [PARTS.get(file.stem.lower()) for file in files]
    if len(files) > 1 and (None in parts or len(set(parts)) < len(parts)):
        names = ", ".join(escaped(file.name) for file in files)
        raise DataError(
            f"{files[0].parent}: {names} are lists of pairs. Pass one of them as the data."
        )
    found = [_read_list(file, part, skip_unpaired) for file, part in zip(files, parts, strict=True)]
    pairs = _named([pair for pairing in found for pair in pairing.pairs])
    notes = [note for pairing in found for note in pairing.notes]
    problems = [problem for pairing in found for problem in pairing.problems]
    return Pairing(pairs, notes, [*problems, *_several(pairs)])


def _read_list(file: Path, part: str | None, skip_unpaired: bool) -> Pairing:
    table = _read_table(file)
    pairs, problems, missing = [], [], []
    for row in table.rows:
        where = f"{escaped(file.name)}, line {row[0]}"
        absent = [
            f"no {column}" if not table.cell(row, column) else f"no file {escaped(cell)}"
            for column in ("image", "mask")
            if not (cell := table.cell(row, column)) or not table.path(row, column).is_file()
        ]
        said = table.cell(row, "part")
        if absent:
            missing.append(f"{where}: {' and '.join(absent)}. Mend it, or remove the line.")
        elif said and said.lower() not in PARTS:
            problems.append(f"{where}: the part {escaped(said)}, expected train, val or test.")
        else:
            image, mask = table.path(row, "image"), table.path(row, "mask")
            of_part = PARTS[said.lower()] if said else part
            pairs.append(Pair("", image, mask, of_part, table.cell(row, "group") or None))
    notes = [f"Used the pairs in {escaped(file.name)}."]
    if skip_unpaired and missing:
        notes.append(
            f"Left out {count_of(len(missing), 'line')} of {escaped(file.name)} that lack a file."
        )
        missing = []
    if missing:
        lines = f"{count_of(len(missing), 'line')} without a file; --skip-unpaired leaves them out:"
        missing.insert(0, f"{escaped(file.name)}: {lines}")
    if not table.rows:
        problems.append(
            f"{escaped(file.name)}: no pairs. Add lines such as images/1.jpg,masks/1.png."
        )
    return Pairing(pairs, notes, [*problems, *missing])


def _read_table(file: Path, most: int | None = None) -> Table:
    rows = _rows(file)
    try:
        first = next(rows, None)
        if first is None:
            return Table(file, {"image": 0, "mask": 1}, [])
        columns = _columns(first[1])
        kept = [] if columns else [first]
        kept += [row for row, _ in zip(rows, range(most or 2**63), strict=False)]
    except csv.Error as error:
        raise DataError(f"{file}: no table of text ({error}). Pass a CSV file.") from None
    columns = columns or {"image": 0, "mask": 1}
    if (
        "mask" not in columns
        or "image" not in columns
        or not all(len(row) > 1 for _, row in kept[:1])
    ):
        raise DataError(
            f"{file}: expected two columns, such as image,mask. Name them so in the first line."
        )
    return Table(file, columns, kept)


def _rows(file: Path) -> Iterator[Row]:
    # Bytes that are no UTF-8 come back as the same bytes in the names of files.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        first = lines.readline()
        lines.seek(0)
        delimiter = next((sign for sign in DELIMITERS if sign in first), None)
        if delimiter is not None:
            reader = csv.reader(lines, delimiter=delimiter)
            yield from ((reader.line_num, row) for row in reader if any(map(str.strip, row)))
            return
        for number, line in enumerate(lines, 1):
            if cells := line.split():
                yield number, cells


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Which column is what; empty where the first line is no header."""
    found: dict[str, int] = {}
    for place, text in enumerate(header):
        name = re.sub(r"[^a-z]", "", text.lower())
        for column, names in COLUMNS.items():
            if name in names:
                found.setdefault(column, place)
    return found


def _named(pairs: Sequence[Pair]) -> list[Pair]:
    """Named by their images' files, without the folder that all lie in."""
    files = [pair.image.as_posix() for pair in pairs]
    outer = common_start([file[: file.rfind("/") + 1] for file in files]).rfind("/") + 1
    names = [escaped(file[outer:]) for file in files]
    stems = [
        name[: len(name) - len(pair.image.suffix)] for name, pair in zip(names, pairs, strict=True)
    ]
    if len(set(stems)) == len(set(names)):
        names = stems
    return [replace(pair, name=name) for pair, name in zip(pairs, names, strict=True)]


def _several(pairs: Sequence[Pair]) -> list[str]:
    counts = Counter(pair.name for pair in pairs)
    return [
        f"{name}: {count} lines have this image. Keep one."
        for name, count in counts.items()
        if count > 1
    ]
