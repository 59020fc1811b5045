"""CSV files: which delimiter, whether there is a header, and rows of the wrong length.

Parsed by pyarrow, every value as text: to parse 500,000 rows of 20 numbers and turn the text into numbers takes it
1.3 s and 320 MB, and the standard library 7.4 s and 1,020 MB.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.data.columns import counted
from luthier.data.encoding import decode, read_bytes, told
from luthier.data.memory import check_fits
from luthier.data.written import MISSING
from luthier.errors import DataError, MissingExtra

_DELIMITERS = (",", "\t", ";", "|")
_HEAD = 1 << 20  # characters that delimiter and header are guessed from
_SAMPLE = 200  # rows of them
_BLOCK = 1 << 26  # bytes: a row must fit into a block
_GROWTH = 4.0  # memory taken while parsing, as a multiple of the file
_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A table as it was read.

    Attributes
    ----------
    table : pyarrow.Table
        Its columns.
    origins : list of str
        Where each row came from.
    notes : list of str
        What has to be told.
    """

    table: Any
    origins: list[str]
    notes: list[str] = field(default_factory=list)


def arrow() -> Any:
    """Import pyarrow, or say how to install it."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra("pyarrow", "data") from error
    return pyarrow


def read_csv(path: Path) -> Sheet:
    """Read a CSV or TSV file, packed by gzip or not; every column as text.

    The delimiter is the one that cuts the first rows into equally many fields; between numbers it may be blanks. The
    first row is a header unless it holds numbers above numbers, or a word that occurs again below it. Rows with too
    many or too few fields are left out and told.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    DataError
        If it is empty, no text, or most rows have the wrong number of fields.
    MissingExtra
        If pyarrow is not installed.
    """
    check_fits(_GROWTH * path.stat().st_size, str(path), "use fewer rows")
    text, encoding = decode(read_bytes(path), str(path))
    if not text.strip():
        raise DataError(f"{path} is empty")
    text, notes = _trimmed(text, path.name)
    delimiter = _delimiter(text[:_HEAD])
    if delimiter == " ":
        text = re.sub(r"[ \t]+", "\t", "\n".join(line.strip() for line in text.splitlines()))
        delimiter = "\t"
    head = text[:_HEAD]
    rows = _sample(head, delimiter)
    names, has_header, about = _names(rows)
    notes = [*told({encoding: [path.name]}), *notes, *(f"{path.name}: {note}" for note in about)]
    table, bad = _parsed(path, text, names, delimiter, has_header)
    numbers = _numbers(table.num_rows + len(bad), set(bad), has_header)
    _check_bad(path, bad, table.num_rows, len(names))
    if bad:
        shown = "; ".join(f"row {number} has {count}" for number, count in list(bad.items())[:_SHOWN])
        more = "; ..." if len(bad) > _SHOWN else ""
        notes.append(f"{path.name}: {counted(len(bad), 'row')} without {len(names)} fields left out ({shown}{more})")
    return Sheet(table, [f"row {number}" for number in numbers], notes)


def _trimmed(text: str, name: str) -> tuple[str, list[str]]:
    """The text from its first row on, without comments before it; and what has to be told."""
    notes = []
    body = text.lstrip("\r\n")
    while body.startswith("#") or re.match(r"sep=.[\r\n]", body):
        comment, _, body = body.partition("\n")
        notes.append(f"{name}: line {comment.strip()[:60]!r} before the table left out")
        body = body.lstrip("\r\n")
    if body.count('"') % 2:
        notes.append(f"{name}: an odd number of quotes: a field without its closing one may have swallowed rows")
    return body, notes


def _parsed(path: Path, text: str, names: list[str], delimiter: str, has_header: bool) -> tuple[Any, dict[int, int]]:
    """The table, and the numbers of fields of bad rows by number of the row."""
    pa = arrow()
    from pyarrow import csv as arrow_csv

    bad: dict[int, int] = {}

    def skip(row: Any) -> str:
        bad[int(row.number)] = int(row.actual_columns)
        return "skip"

    raw = text.encode()
    places = [str(place) for place in range(len(names))]  # names may repeat
    read = arrow_csv.ReadOptions(
        use_threads=False, block_size=min(max(len(raw), 1), _BLOCK), column_names=places,
        skip_rows_after_names=int(has_header),
    )  # fmt: skip
    parse = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip)
    convert = arrow_csv.ConvertOptions(column_types=dict.fromkeys(places, pa.string()))
    try:
        table = arrow_csv.read_csv(pa.BufferReader(raw), read, parse, convert)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    return table.rename_columns(names), bad


def _delimiter(head: str) -> str:
    """The delimiter that cuts the first rows most evenly; blanks between numbers, if none does; else the comma."""
    best, delimiter = 0.0, ","
    for each in _DELIMITERS:
        widths = Counter(len(row) for row in _sample(head, each))
        width, count = widths.most_common(1)[0]
        score = count / widths.total() * (1.0 + 0.01 * min(width, 50)) if width > 1 else 0.0
        if score > best:
            best, delimiter = score, each
    lines = [line.split() for line in head.splitlines()[:_SAMPLE] if line.strip()]
    even = len({len(line) for line in lines[:-1] or lines}) == 1 and len(lines[0]) > 1
    if best == 0.0 and even and sum(map(_is_number, lines[-1])) > len(lines[0]) // 2:
        return " "
    return delimiter


def _sample(head: str, delimiter: str) -> list[list[str]]:
    """The first rows that are not empty; the last one may be cut off, and is left out if there are others."""
    limit = csv.field_size_limit(_HEAD + 1)  # texts may be longer than the usual limit
    try:
        rows = [row for row in islice(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), _SAMPLE) if row]
    finally:
        csv.field_size_limit(limit)
    return rows[:-1] if 2 < len(rows) < _SAMPLE and len(head) == _HEAD else rows


def _names(rows: list[list[str]]) -> tuple[list[str], bool, list[str]]:
    """The columns' names, whether the first row is a header, and what has to be told."""
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    first = [name.strip() for name in rows[0]]
    if not _is_header(first, rows[1:]):
        names = [f"column {place + 1}" for place in range(width)]
        return names, False, ["no header: the columns are named column 1, column 2, ..."]
    notes = []
    if len(first) == width - 1 and len(rows) > 1:  # as R writes tables
        first = ["row name", *first]
    names = []
    for place, name in enumerate(first):
        plain = name or f"column {place + 1}"
        unique, number = plain, 1
        while unique in names:
            number += 1
            unique = f"{plain} ({number})"
        if unique != plain:
            notes.append(f"column {plain!r} occurs again: its number {number} is named {unique!r}")
        names.append(unique)
    return names, True, notes


def _is_header(first: list[str], below: list[list[str]]) -> bool:
    if first == [str(place) for place in range(len(first))] or not below:
        return True  # numbered columns, as pandas writes them
    for place, name in enumerate(first):
        values = [row[place].strip() for row in below if len(row) > place]
        present = [value for value in values if value.lower() not in MISSING]
        if not present:
            continue
        if _is_number(name) and sum(map(_is_number, present)) > 0.8 * len(present):
            return False
        if name and present.count(name) > 1 and len(set(present)) <= 0.5 * len(present):
            return False
    return True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(count: int, bad: set[int], has_header: bool) -> list[int]:
    """The numbers of the good rows, as a spreadsheet counts them."""
    first = 1 + int(has_header)
    return [number for number in range(first, first + count) if number not in bad]


def _check_bad(path: Path, bad: dict[int, int], good: int, width: int) -> None:
    if bad and len(bad) > good:
        number, count = next(iter(bad.items()))
        raise DataError(
            f"{path}: {len(bad):,} of {len(bad) + good:,} rows do not have {width} fields (row {number} has {count}):"
            " look at the delimiter and the quotes"
        )
    if not good:
        raise DataError(f"{path} has a header but no rows")
