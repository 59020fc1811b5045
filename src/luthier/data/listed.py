"""A folder of files and a table of their labels: a column of file names, a column to predict, perhaps one of parts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luthier.data.choose import guess_target, known, split_column
from luthier.data.columns import Column, counted, understand
from luthier.data.dataset import Dataset
from luthier.data.folders import Found, is_junk
from luthier.data.frames import Table
from luthier.data.tables import TABLE_FILES, read_table
from luthier.data.targets import finish
from luthier.data.wanted import Wanted
from luthier.errors import DataError

_BESIDE = ("label", "annotation", "metadata", "train", "target", "class", "index", "list")
_NO_LABELS = "submission"  # what Kaggle calls a table of made-up answers
_LEAST = 3  # files that are looked for in tables: a README beside a table is none of its rows
_SHARE = 0.5  # of the rows, or of the files, that a column of file names has to name
_NAMED = 5


_Listed = tuple[Path, Table, str, Sequence[Found | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """What a table says of files.

    Attributes
    ----------
    files : tuple of Found
        That it lists, with their parts.
    rows : dict
        The row of each, by the file's origin.
    target : str
        The column to predict.
    values : Column
        Of all rows.
    notes : tuple of str
        What was decided and has to be told.
    """

    files: tuple[Found, ...]
    rows: dict[str, int]
    target: str
    values: Column
    notes: tuple[str, ...]

    def label(self, dataset: Dataset, files: Sequence[Found], wanted: Wanted) -> Dataset:
        """Give a data set of files the targets of the table."""
        rows = np.array([self.rows[file.origin] for file in files], dtype=np.intp)
        values = Column(self.values.kind, self.values.values[rows], self.values.notes)
        return finish(replace(dataset, notes=(*dataset.notes, *self.notes)), values, wanted, name=self.target)


def find_listing(root: Path, inner: Path, files: Sequence[Found], wanted: Wanted) -> Listing | None:
    """Find the table that lists the files of a folder, in it or beside it.

    Parameters
    ----------
    root, inner
        The folder, and the one in it that its files are in.
    files
        What was found there.
    wanted
        What was asked for.

    Returns
    -------
    Listing or None
        None if no table has a column of their names.

    Raises
    ------
    DataError
        If there is such a table, and no column to predict in it.
    """
    if len(files) < _LEAST:
        return None
    places = _places(files)
    inside, beside = _tables(root, inner)
    found = [each for path in inside if (each := _listed_by(path, read_table(path), places))]
    if not found:
        for path in beside:
            try:
                table = read_table(path)
            except DataError:  # what lies beside may be of something else
                continue
            found += [each] if (each := _listed_by(path, table, places)) else []
    if not found:
        return None
    path, table, column, rows = max(found, key=lambda each: (len(_files_of(each[3])), _promises(each[0])))
    others = ", ".join(each[0].name for each in found if each[0] != path)
    notes = (f"{others} not used, which lists files, too: one table is, with a column 'split' if need be",)
    return _listing(path, table, column, rows, files, wanted, notes if others else ())


def _listed_by(path: Path, table: Table, places: dict[str, Found | None]) -> _Listed | None:
    """What a table lists of the files: itself, its column of file names and the file of each row."""
    column, rows = _file_column(table, places)
    return (path, table, column, rows) if column else None


def _listing(
    path: Path, table: Table, column: str, rows: Sequence[Found | None], files: Sequence[Found], wanted: Wanted,
    notes: tuple[str, ...],
) -> Listing:  # fmt: skip
    typed = {name: understand(name, raw) for name, raw in table.columns.items() if name != column}
    asked = [wanted.target] if wanted.target else []
    split, given = split_column(typed, asked)
    left = {name: each for name, each in typed.items() if name != split}
    target, why = _target(left, wanted, str(path))
    notes = (*table.notes, f"labels by {path.name}: files by column {column!r}", why, *notes)
    if split is not None:
        notes += (f"column {split!r} taken as the split that came along",)
    others = [name for name in left if name != target]
    if others:
        notes += (f"{counted(len(others), 'column')} of {path.name} left out: {_shown([repr(n) for n in others])}",)
    places, listed = _each_once(rows, given)
    notes += (*_missing(path, table, column, rows), *_repeated(path, rows), *_unlisted(path, files, places))
    return Listing(tuple(listed), places, target, typed[target], notes)


def _each_once(
    rows: Sequence[Found | None], given: NDArray[np.str_] | None
) -> tuple[dict[str, int], list[Found]]:  # fmt: skip
    """The first row of each file, and the files with their parts, in the order of the table."""
    places: dict[str, int] = {}
    listed = []
    for row, file in enumerate(rows):
        if file is not None and file.origin not in places:
            places[file.origin] = row
            listed.append(file if given is None else replace(file, part=str(given[row])))
    return places, listed


def _target(columns: Mapping[str, Column], wanted: Wanted, source: str) -> tuple[str, str]:
    if wanted.target is not None:
        return known(wanted.target, list(columns), "target column", source), f"target {wanted.target!r}, as asked for"
    if not columns:
        raise DataError(f"{source} lists files and nothing to predict: it needs a column of labels")
    if len(columns) == 1:
        name = next(iter(columns))
        return name, f"target {name!r}: the only column besides the files"
    return guess_target(columns, source)


# -- which table, which column -----------------------------------------------------------------------------------------


def _tables(root: Path, inner: Path) -> tuple[list[Path], list[Path]]:
    """Tables in a folder, and those beside it that are named after it or after labels."""
    inside = [path for folder in dict.fromkeys((root, inner)) for path in _files_in(folder)]
    name = root.resolve().name.lower()
    beside = [
        path for path in _files_in(root.resolve().parent)
        if path.name.lower().startswith(name) or any(word in path.name.lower() for word in _BESIDE)
    ]  # fmt: skip
    return _labelling(inside), _labelling(beside)


def _labelling(tables: list[Path]) -> list[Path]:
    return [path for path in tables if _NO_LABELS not in path.name.lower()]


def _files_in(folder: Path) -> list[Path]:
    tables = [path for path in sorted(folder.iterdir()) if path.name.lower().endswith(TABLE_FILES)]
    return [path for path in tables if path.is_file() and not is_junk(path.name) and path.stat().st_size]


def _promises(path: Path) -> bool:
    return any(word in path.name.lower() for word in _BESIDE)


def _places(files: Sequence[Found]) -> dict[str, Found | None]:
    """Files by the ways to write them: path or name, with or without ending; None where several are written so."""
    places: dict[str, Found | None] = {}
    for file in files:
        name = file.origin.rsplit("/", 1)[-1]
        for way in {file.origin, os.path.splitext(file.origin)[0], name, os.path.splitext(name)[0]}:
            key = way.lower()
            places[key] = None if places.get(key, file) is not file else file
    return places


def _file_column(table: Table, places: Mapping[str, Found | None]) -> tuple[str, list[Found | None]]:
    """The column that names most files, and the file of each row; an empty name if none names enough."""
    count = len({file.origin for file in places.values() if file is not None})
    best, rows, most = "", [], 0
    for name in table.columns:
        found = [_file_of(text, places) for text in table.texts(name)]
        matched = len(_files_of(found))
        if matched > most and matched >= _SHARE * min(count, len(found)):
            best, rows, most = name, found, matched
    return best, rows


def _file_of(text: str | None, places: Mapping[str, Found | None]) -> Found | None:
    """The file that a cell names; of a path from elsewhere the end counts."""
    if text is None:
        return None
    path = text.lower().replace("\\", "/").removeprefix("./")
    return places.get(path) or places.get(path.rsplit("/", 1)[-1])


def _files_of(rows: Sequence[Found | None]) -> set[str]:
    return {file.origin for file in rows if file is not None}


# -- what has to be told -----------------------------------------------------------------------------------------------


def _missing(path: Path, table: Table, column: str, rows: Sequence[Found | None]) -> tuple[str, ...]:
    texts = table.texts(column)
    gone = [f"{text} ({table.origins[row]})" for row, text in enumerate(texts) if rows[row] is None]
    return (f"{counted(len(gone), 'row')} of {path.name} left out, without a file: {_shown(gone)}",) if gone else ()


def _repeated(path: Path, rows: Sequence[Found | None]) -> tuple[str, ...]:
    more = sum(file is not None for file in rows) - len(_files_of(rows))
    return (f"{counted(more, 'row')} of {path.name} left out: files that a row before has named",) if more else ()


def _unlisted(path: Path, files: Sequence[Found], places: Mapping[str, int]) -> tuple[str, ...]:
    left = [file.origin for file in files if file.origin not in places]
    return (f"{counted(len(left), 'file')} left out, not in {path.name}: {_shown(left)}",) if left else ()


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
