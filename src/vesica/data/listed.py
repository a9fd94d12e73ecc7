"""Lists of pairs: a CSV, TSV or TXT file with an image and its mask in each row."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vesica.data.listing import IMAGE_SUFFIXES
from vesica.data.names import PARTS, common_start, words_of
from vesica.data.pairs import Pair, Pairing
from vesica.data.pixels import is_hidden
from vesica.data.texts import HEAD_BYTES, why_no_text
from vesica.errors import DataError, escaped, join_lines
from vesica.words import count_of, say_first

LIST_SUFFIXES = (".csv", ".tsv", ".txt")

COLUMNS = {
    "image": words_of("image images img input scan photo"),
    "mask": words_of(
        "mask masks label labels annotation annotations segmentation seg gt groundtruth target"
    ),
    "part": words_of("split part subset set usage"),
    "group": words_of("group patient subject case slide person"),
}
"""What a column is, by its header without spaces, signs and `NO_NAME`."""

NO_NAME = re.compile(r"(?:filename|filepath|file|name|path|id)$")

FIRST_TWO = {"image": 0, "mask": 1}
"""The columns of a list without a header."""

DELIMITERS = ("\t", ";", ",")
"""Tried in this order; where a line has none of them, columns are divided by spaces."""

CALLED = ("pair", "list")
"""In the names of lists."""

OF_QUOTES = ("expected after", "unexpected end of data")
"""In what the reader of CSV says."""

NAMES_IMAGES = re.compile("|".join(map(re.escape, IMAGE_SUFFIXES)).encode(), re.IGNORECASE)

Row = tuple[int, list[str]]
"""The number of the line, and its cells."""


class NoTextError(DataError):
    """A file with the name of a list, and nothing that could be one."""


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
    return [file for file in files_of_lists(folder) if _names_files(file)]


def files_of_lists(folder: Path) -> list[Path]:
    """The files at the root of a folder that may be lists, by their names."""
    files = (file for file in sorted(folder.iterdir()) if file.suffix.lower() in LIST_SUFFIXES)
    return [file for file in files if file.is_file() and not is_hidden(file)]


def _names_files(file: Path) -> bool:
    try:
        table = _read_table(file, most=2)
    except DataError:
        return False
    return bool(table.rows) and not _absent(table, table.rows[0])


def is_meant_as_list(file: Path) -> bool:
    """Whether a file is called like a list of pairs or a part of the split, or names images."""
    stem = file.stem.lower()
    return stem in PARTS or any(word in stem for word in CALLED) or _names_images(file)


def _names_images(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.readline(HEAD_BYTES) + stream.readline(HEAD_BYTES)
    return NAMES_IMAGES.search(start.replace(b"\0", b"")) is not None  # in UTF-16, too


def why_no_list(file: Path) -> str:
    """What is wrong with a file that may be meant as a list; "" where it is some other text."""
    names_images = _names_images(file)
    try:
        table = _read_table(file, most=2)
        if not table.rows:
            return _say_empty(file)
        is_list = names_images and _absent(table, table.rows[0])
        return join_lines(_read_list(file, None, False).problems) if is_list else ""
    except NoTextError as error:
        return str(error)
    except DataError as error:
        return str(error) if names_images else ""


def say_unused(folder: Path, used: Sequence[Path]) -> tuple[list[str], list[str]]:
    """What is wrong with lists of a folder that are not among those used: of those that are called
    like a part of the split, without which it would be another one, and of the others."""
    parts: list[str] = []
    others: list[str] = []
    for file in files_of_lists(folder):
        if file not in used and (why := why_no_list(file)):
            (parts if file.stem.lower() in PARTS else others).append(why)
    return parts, others


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a text that is too long for a name
        return False


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
    name = escaped(file.name)
    lacking = {row[0]: absent for row in table.rows if (absent := _absent(table, row))}
    whole = [row for row in table.rows if row[0] not in lacking]
    said = {row[0]: table.cell(row, "part") for row in whole}
    problems = _say_other_parts(name, said)
    if not table.rows:
        problems.append(_say_empty(file))
    notes = [f"Used the pairs in {name}."]
    blank = [number for number, text in said.items() if not text]
    if 0 < len(blank) < len(said):
        notes.append(
            f"{len(blank)} of {count_of(len(said), 'line')} in {name} name no part of the split; "
            f"the first is line {blank[0]}."
        )
    lines = f"{count_of(len(lacking), 'line')} of {name} without an image or a mask"
    if lacking and skip_unpaired:
        notes.append(f"Left out {lines}.")
    elif lacking:
        first = say_first([f"line {number} ({absent})" for number, absent in lacking.items()])
        problems.append(
            f"{lines}: {first}. Mend or remove such lines, or leave them out with --skip-unpaired."
        )
    pairs = [
        Pair(
            "",
            table.path(row, "image"),
            table.path(row, "mask"),
            PARTS.get(said[row[0]].lower(), part),
            table.cell(row, "group") or None,
        )
        for row in whole
    ]
    return Pairing(pairs, notes, problems)


def _say_other_parts(name: str, said: Mapping[int, str]) -> list[str]:
    """What is no part of the split, with the lines where it stands."""
    lines: dict[str, list[int]] = {}
    for number, text in said.items():
        if text and text.lower() not in PARTS:
            lines.setdefault(text, []).append(number)
    return [
        f"{name}, line{'s' * (len(numbers) > 1)} {say_first(numbers)}: the part {escaped(text)},"
        " expected train, val or test."
        for text, numbers in lines.items()
    ]


def _say_empty(file: Path) -> str:
    return f"{escaped(file.name)}: no pairs. Add lines such as images/1.jpg,masks/1.png."


def _absent(table: Table, row: Row) -> str:
    """What a row lacks; "" where both files are there."""
    absent = []
    for column in ("image", "mask"):
        cell = table.cell(row, column)
        if not cell or not _is_file(table.path(row, column)):
            absent.append(f"no file {escaped(cell)}" if cell else f"no {column}")
    return " and ".join(absent)


def _read_table(file: Path, most: int | None = None) -> Table:
    rows = list(itertools.islice(_rows(file), most))
    header = _columns(rows[0][1]) if rows else {}
    columns = header or FIRST_TWO
    if header:
        del rows[0]
    if not {"image", "mask"} <= columns.keys() or (not header and rows and len(rows[0][1]) < 2):
        raise DataError(
            f"{file}: expected two columns, such as image,mask. Name them so in the first line."
        )
    return Table(file, columns, rows)


def _rows(file: Path) -> Iterator[Row]:
    if why := why_no_text(file):
        raise NoTextError(f"{escaped(file.name)}: {why}")
    # Bytes that are no UTF-8 come back as the same bytes in the names of files.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        first = lines.readline()
        lines.seek(0)
        delimiter = next((sign for sign in DELIMITERS if sign in first), None)
        if delimiter is not None:
            yield from _quoted_rows(file, lines, delimiter)
            return
        for number, line in enumerate(lines, 1):
            if cells := line.split():
                yield number, cells


def _quoted_rows(file: Path, lines: Iterable[str], delimiter: str) -> Iterator[Row]:
    # Strict, as a quote that is never closed would swallow all lines behind it without a word.
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    begins = 1
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield reader.line_num, row
            begins = reader.line_num + 1
    except csv.Error as error:
        is_quote = any(words in str(error) for words in OF_QUOTES)
        why = 'a quote (") that is not closed, or with text behind it' if is_quote else _say(error)
        raise DataError(f"{escaped(file.name)}, line {begins}: {why}. Mend the line.") from None


def _say(error: csv.Error) -> str:
    if "field limit" in str(error):
        limit = csv.field_size_limit()
        return f'a cell of more than {limit:,} characters, as where a quote (") is not closed'
    return str(error)


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Which column is what; empty where the first line is no header."""
    found: dict[str, int] = {}
    for place, text in enumerate(header):
        name = NO_NAME.sub("", re.sub(r"[^a-z]+", "", text.lower()))
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
    several = [name for name, count in counts.items() if count > 1]
    if not several:
        return []
    has = "image stands" if len(several) == 1 else "images stand"
    return [f"{len(several)} {has} in several lines: {say_first(several)}. Keep one line of each."]
