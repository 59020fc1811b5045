"""Files of tables: CSV, TSV, JSON lines, Parquet; alone, or as train and test files in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.choose import PART_NAMES
from luthier.data.columns import Column, counted, numeric
from luthier.data.csvfile import Sheet, arrow, read_csv
from luthier.data.dataset import Dataset
from luthier.data.encoding import decode, read_bytes, told
from luthier.data.frames import Raw, Table, frame_dataset
from luthier.data.memory import check_fits
from luthier.data.wanted import Wanted
from luthier.data.written import MISSING
from luthier.errors import DataError

CSV_FILES = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz", ".data")
JSON_FILES = (".jsonl", ".ndjson", ".json", ".jsonl.gz")
PARQUET_FILES = (".parquet", ".pq")
TABLE_FILES = (*CSV_FILES, *JSON_FILES, *PARQUET_FILES)
_SHOWN = 5


def table_dataset(path: Path, wanted: Wanted) -> Dataset:
    """Read one file of a table.

    Parameters
    ----------
    path
        The file.
    wanted
        What was asked for.
    """
    return frame_dataset(read_table(path, wanted), None, wanted)


def read_table(path: Path, wanted: Wanted | None = None) -> Table:
    """Read the named columns of a file.

    Parameters
    ----------
    path
        The file.
    wanted
        What is known of its columns, if they are to be like others.

    Raises
    ------
    DataError
        If it cannot be read, or has no column that can be used.
    """
    return _table(str(path), _sheet(path), None, wanted or Wanted())


def table_folder(root: Path, files: Sequence[Path], wanted: Wanted) -> Dataset:
    """Read a folder of one table, or of tables named train, valid and test, which become the given split.

    Raises
    ------
    DataError
        If there are several tables that are not named like that, or their columns do not agree.
    """
    if len(files) == 1:
        return table_dataset(files[0], wanted)
    parts = [part_of(path) for path in files]
    if None in parts or len(set(parts)) < len(parts):
        names = ", ".join(path.name for path in files)
        raise DataError(f"{root} holds several tables ({names}): name one of them, or call them train, valid and test")
    sheets = [_sheet(path) for path in files]
    pa = arrow()
    try:
        table = pa.concat_tables([sheet.table for sheet in sheets], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{root}: the columns of {files[0].name} and the others do not agree: {error}") from error
    given = np.concatenate([np.full(len(s.origins), p) for s, p in zip(sheets, parts, strict=True)])
    origins = [f"{path.name}, {row}" for path, sheet in zip(files, sheets, strict=True) for row in sheet.origins]
    sheet = Sheet(table, origins, [note for sheet in sheets for note in sheet.notes])
    return frame_dataset(_table(str(root), sheet, given, wanted), None, wanted)


def part_of(path: Path) -> str | None:
    """Return the part of a split that a file is named after: ``train.csv``, ``my-test.csv``."""
    words = path.name.split(".")[0].lower().replace("-", "_").split("_")
    return next((PART_NAMES[word] for word in words if word in PART_NAMES), None)


def _table(source: str, sheet: Sheet, given: NDArray[np.str_] | None, wanted: Wanted) -> Table:
    notes, kinds = list(sheet.notes), wanted.like.get("columns", {})
    columns: dict[str, Raw] = {}
    for name in sheet.table.column_names:
        raw = _raw(name, sheet.table.column(name), kinds.get(name, "number"))
        if raw is None:
            notes.append(f"column {name!r} left out: it holds {sheet.table.column(name).type}")
        elif not name.startswith("__index_level_"):  # of pandas
            columns[name] = raw

    def written(name: str) -> list[str | None]:
        texts = (None if value is None else str(value).strip() for value in sheet.table.column(name).to_pylist())
        return [None if text is None or text.lower() in MISSING else text for text in texts]

    if not columns:
        raise DataError(f"{source} has no column that can be used: {'; '.join(notes)}")
    return Table(columns, source, sheet.origins, tuple(notes), given, written)


def _sheet(path: Path) -> Sheet:
    name = path.name.lower()
    if name.endswith(PARQUET_FILES):
        return _parquet(path)
    return _json(path) if name.endswith(JSON_FILES) else read_csv(path)


def _raw(name: str, column: Any, kind: str) -> Raw | None:
    """A column of Arrow as an array; None if it cannot be used.

    Text that is numbers throughout goes the quick way, unless it is to be something else: 3.10 is no 3.1 then.
    """
    pa = arrow()
    stored = column.type
    if pa.types.is_dictionary(stored):
        plain = column.cast(stored.value_type)
        texts = np.array([None if value is None else str(value) for value in plain.to_pylist()], dtype=object)
        return Column("category", texts)
    if pa.types.is_string(stored) or pa.types.is_large_string(stored) or pa.types.is_string_view(stored):
        return _of_strings(name, column, quick=kind == "number")
    plain_kinds = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    if any(test(stored) for test in (*plain_kinds, pa.types.is_timestamp, pa.types.is_date, pa.types.is_null)):
        return np.asarray(column.to_numpy())
    return None


def _of_strings(name: str, column: Any, *, quick: bool) -> Raw:
    pa = arrow()
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(column)
    gone = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(sorted(MISSING), column.type))
    plain = pc.if_else(gone, pa.scalar(None, column.type), trimmed)
    codes = pc.any(pc.match_substring_regex(plain, "^0[0-9]+$")).as_py()
    if quick and not codes and plain.null_count < len(plain):
        try:
            return numeric(name, pc.cast(plain, pa.float64()).to_numpy())
        except pa.ArrowInvalid:
            pass  # not numbers throughout
    values = np.empty(len(plain), dtype=object)
    values[:] = plain.to_pylist()
    return values


def _parquet(path: Path) -> Sheet:
    pa = arrow()
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
        check_fits(2.0 * size, str(path), "use fewer rows")
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file, or damaged: {str(error).splitlines()[0]}") from error
    if len(set(table.column_names)) < table.num_columns:
        raise DataError(f"{path} has two columns of the same name: {', '.join(table.column_names)}")
    return Sheet(table, [f"row {row}" for row in range(1, table.num_rows + 1)])


def _json(path: Path) -> Sheet:
    """JSON lines, or one list of objects."""
    text, encoding = decode(read_bytes(path), str(path))
    notes = list(told({encoding: [path.name]}))
    records, bad = _records(text)
    if not records:
        raise DataError(f"{path}: no line is a JSON object" if text.strip() else f"{path} is empty")
    if bad:
        if len(bad) > len(records):
            raise DataError(f"{path}: {counted(len(bad), 'line')} are no JSON objects, such as line {bad[0]}")
        shown = ", ".join(f"line {number}" for number in bad[:_SHOWN]) + (", ..." if len(bad) > _SHOWN else "")
        notes.append(f"{path.name}: {counted(len(bad), 'line')} left out, no JSON object there ({shown})")
    names = list(dict.fromkeys(name for _, record in records for name in record))
    pa = arrow()
    table = pa.table({name: _json_column([record.get(name) for _, record in records]) for name in names})
    return Sheet(table, [f"row {number}" for number, _ in records], notes)


def _records(text: str) -> tuple[list[tuple[int, dict[str, Any]]], list[int]]:
    """The objects with their numbers, and the numbers of bad lines."""
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except json.JSONDecodeError:
            return [], [1]
        return [(i, each) for i, each in enumerate(listed, 1) if isinstance(each, dict)], []
    by_column = _by_column(text)
    if by_column:
        return by_column, []
    good: list[tuple[int, dict[str, Any]]] = []
    bad = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if isinstance(record, dict):
            good.append((number, record))
        else:
            bad.append(number)
    return good, bad


def _by_column(text: str) -> list[tuple[int, dict[str, Any]]]:
    """The rows of one object that holds columns: lists, or what pandas writes, objects by the number of the row."""
    try:
        columns = json.loads(text) if text.lstrip().startswith("{") else None
    except json.JSONDecodeError:
        return []
    if not isinstance(columns, dict) or not columns:
        return []
    lists = [list(each.values()) if isinstance(each, dict) else each for each in columns.values()]
    if not all(isinstance(each, list) and len(each) == len(lists[0]) for each in lists):
        return []
    return [(i, dict(zip(columns, row, strict=True))) for i, row in enumerate(zip(*lists, strict=True), 1)]


def _json_column(values: list[Any]) -> Any:
    """A column of Arrow; values of several kinds become text."""
    pa = arrow()
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array(
            [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
        )
