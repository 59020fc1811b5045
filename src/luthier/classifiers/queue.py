"""The review queue: predictions for a person as a CSV file, the answers read back, and merged into the training data.

People open such a file in a spreadsheet, sort it, delete rows, add columns and save it in whatever way it saves. So
rows are told apart by their number and origin and not by their order, and what cannot be taken is told with its line.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luthier.durable import write_whole
from luthier.errors import DataError, SettingError, did_you_mean
from luthier.maths.scores import Array, Places, names_of

_COLUMNS = ("row", "origin", "predicted", "confidence", "likely", "number", "answer")
_LIKELY = 3  # classes named with their probabilities
_UNANSWERED = ("", "?", "-")
_FORMULA = ("=", "+", "-", "@")
_NUMBERED = re.compile(r"(\d{1,9}) of (\d{1,7})")


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a person answered.

    Attributes
    ----------
    rows : (k,) int array
        Rows of the data that the queue was written for, ascending.
    places : (k,) int array
        Columns of the classes that were answered.
    labels : (k,) array
        The same by name.
    unanswered : int
        Lines with an empty answer or a question mark.
    problems : tuple of str
        What could not be taken, each with its line in the file.
    """

    rows: Places
    places: Places
    labels: NDArray[Any]
    unanswered: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        told = "".join(f"\n  {problem}" for problem in self.problems)
        return f"{len(self.rows)} answers, {self.unanswered} rows without one, {len(self.problems)} problems{told}"

    def merge(self, inputs: Any, targets: Any, pool: Any, *, repeat: int = 1) -> tuple[Any, Any]:
        """Return training data with the answered rows after them; nothing given is changed.

        Parameters
        ----------
        inputs, targets
            The training data: arrays, tensors, lists, a tuple of these, or a dict of columns. (Any: what a data set
            may hold.)
        pool
            Inputs of the rows that the queue was written for, of the same kind as `inputs`.
        repeat
            How often each answer is to count.

        Returns
        -------
        inputs and targets
            Targets that are whole numbers get the columns of the classes, unless the classes are numbers themselves;
            other targets get the names.

        Raises
        ------
        SettingError
            If the kinds of `inputs` and `pool` differ, or the pool is too short.
        """
        if repeat < 1:
            raise SettingError(f"repeat is at least 1, got {repeat!r}")
        rows = np.tile(self.rows, repeat)
        if len(rows) and _length(pool) <= rows.max():
            raise SettingError(
                f"the answers are of rows up to {rows.max()}, but the pool has {_length(pool)}: is it another?"
            )
        numbered = np.issubdtype(np.asarray(targets[:1]).dtype, np.integer)
        named = np.issubdtype(self.labels.dtype, np.integer)
        new = np.tile(self.places if numbered and not named else self.labels, repeat)
        return _joined(inputs, pool, rows), _appended(targets, new)


def write_queue(
    path: str | os.PathLike[str],
    probabilities: Array,
    *,
    rows: Places,
    said: Places,
    classes: Sequence[Any] | None = None,
    origins: Sequence[str] | None = None,
    contents: Sequence[str] | None = None,
) -> None:
    """Write rows for a person, in this order.

    Parameters
    ----------
    path
        A file there is replaced, whole or not at all.
    probabilities : (n, C) float array
    rows : (k,) int array
        Which are written.
    said : (n,) int array
        Columns of what is predicted.
    classes, origins
        Names of the columns and of the rows.
    contents
        What is in each row, such as its text; a column ``content`` where it is given.

    Raises
    ------
    SettingError
        If there are not as many names as columns or rows.
    """
    names = names_of(classes, probabilities.shape[1])
    for what, given in (("origins", origins), ("contents", contents)):
        if given is not None and len(given) != len(probabilities):
            raise SettingError(f"{len(probabilities)} rows need {len(probabilities)} {what}, got {len(given)}")
    text = io.StringIO(newline="")
    sheet = csv.writer(text)
    sheet.writerow([*_COLUMNS[:2], *(["content"] if contents is not None else []), *_COLUMNS[2:]])
    for number, row in enumerate(rows.tolist(), 1):
        likely = np.argsort(-probabilities[row], kind="stable")[:_LIKELY]
        sheet.writerow(
            [
                row,
                _harmless(origins[row] if origins is not None else f"row {row}"),
                *([_harmless(contents[row])] if contents is not None else []),
                _harmless(names[said[row]]),
                f"{probabilities[row, said[row]]:.4f}",
                _harmless(" | ".join(f"{names[place]} {probabilities[row, place]:.1%}" for place in likely)),
                f"{number} of {len(rows)}",  # so that lines that are deleted later can be told
                "",
            ]
        )
    write_whole(Path(path), text.getvalue().encode("utf-8-sig"))  # the mark tells Excel the encoding


def read_answers(
    path: str | os.PathLike[str],
    *,
    classes: Sequence[Any] | int,
    origins: Sequence[str] | None = None,
    rows: ArrayLike | None = None,
) -> Answers:
    """Read a queue that a person has filled in.

    Commas, semicolons and tabs; UTF-8, UTF-16 and Windows' Latin; any order of rows and columns, further columns,
    missing rows and answers in another case are understood. An answer that is no class, rows that are answered twice in
    different ways, or whose origin does not fit, are told and left out.

    Parameters
    ----------
    path
        Of the file.
    classes
        Their names as they were written, or how many there are.
    origins
        Names of all rows that the queue was written for; lines that name another are left out.
    rows : (k,) int array-like, optional
        Which were written; those that are not in the file any more are told. Without it they are told by the numbers
        in the file.

    Returns
    -------
    Answers

    Raises
    ------
    DataError
        If it cannot be read at all: no file, no text, or no columns ``row`` and ``answer``.
    """
    named = list(range(classes)) if isinstance(classes, int) else list(classes)
    spelled = _spellings(named)
    found: dict[int, tuple[int, int]] = {}  # row to class and line
    problems: list[str] = []
    unanswered, twice, seen = 0, set(), set()
    numbers, totals = set(), set()
    for line, cells in _lines(Path(path)):
        numbered = _NUMBERED.fullmatch(cells.get("number", "").strip())
        if numbered:
            numbers.add(int(numbered[1]))
            totals.add(int(numbered[2]))
        answer = cells["answer"].strip()
        row, problem = _row(cells, origins)
        seen.add(row)
        place = spelled.get(answer, spelled.get(_key(answer), -1))
        if place < 0 and answer in _UNANSWERED:
            unanswered += 1
            continue
        if not problem and place < 0:
            hint = did_you_mean(answer, [str(name) for name in named])
            problem = f"{answer!r} is none of the {len(named)} classes{hint}"
        if not problem and found.get(row, (place, 0))[0] != place:
            problem = f"row {row} was answered otherwise in line {found[row][1]}: both are left out"
            twice.add(row)
        if problem:
            problems.append(f"line {line}: {problem}")
        else:
            found[row] = (place, line)
    if rows is not None:
        problems += _gone("row", set(np.asarray(rows).tolist()) - seen)
    elif len(totals) == 1:  # more than one: several queues were pasted together
        problems += _gone("line", set(range(1, totals.pop() + 1)) - numbers)
    kept = sorted(set(found) - twice)
    places = np.array([found[row][0] for row in kept], np.int64)
    return Answers(np.array(kept, np.int64), places, _array(named)[places], unanswered, tuple(problems))


def _spellings(names: Sequence[Any]) -> dict[str, int]:
    """Each name to its place: as it is, and as people may type it where that is no other's."""
    counts = Counter(map(_key, names))
    alike = {_key(name): place for place, name in enumerate(names) if counts[_key(name)] == 1}
    return alike | {str(name).strip(): place for place, name in enumerate(names)}


def _gone(what: str, numbers: set[int]) -> list[str]:
    listed = ", ".join(map(str, sorted(numbers)[:5])) + (", ..." if len(numbers) > 5 else "")
    count = f"1 {what} of the queue is" if len(numbers) == 1 else f"{len(numbers)} {what}s of the queue are"
    return [f"{count} not in the file: {listed}"] if numbers else []


def _lines(path: Path) -> Iterable[tuple[int, Mapping[str, str]]]:
    """Line number and cells by column of every line that is not empty."""
    text = _text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    heads: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if heads is None:
                heads = [cell.strip().lower() for cell in cells]
                missing = [name for name in ("row", "answer") if name not in heads]
                if missing:
                    raise DataError(
                        f"{path.name} needs the column {missing[0]!r} in its first line, got {', '.join(heads[:8])}: "
                        "was the first line deleted?"
                    )
                continue
            padded = cells + [""] * (len(heads) - len(cells))
            yield reader.line_num, dict(zip(heads, padded, strict=False))
    except csv.Error as error:
        raise DataError(f"{path.name}, line {reader.line_num}: {error}: save it as CSV again") from None
    if heads is None:
        raise DataError(f"{path.name} is empty: was the queue saved?")


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"the answers cannot be read: {error}") from None
    if raw[:4] == b"PK\x03\x04":
        raise DataError(f"{path.name} is a workbook and not text: save it as CSV")
    encodings = ["utf-16"] if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path.name} is no text in {', '.join(encodings)}: save it as CSV in UTF-8")


def _row(cells: Mapping[str, str], origins: Sequence[str] | None) -> tuple[int, str]:
    """The row of a line and what is wrong with it."""
    written = cells["row"].strip()
    try:
        row = int(float(written)) if float(written) == int(float(written)) else -1
    except (ValueError, OverflowError):
        row = -1
    if row < 0:
        return -1, f"the row {written!r} is no number of a row"
    if origins is None:
        return row, ""
    if row >= len(origins):
        return row, f"there are {len(origins)} rows, got row {row}"
    origin = _bare(cells.get("origin", "").strip())
    if origin and origin != _bare(str(origins[row]).strip()):
        return row, f"row {row} is {origins[row]!r} and not {origin!r}: was a column sorted alone?"
    return row, ""


def _key(name: Any) -> str:
    """A name as people type it: no matter the case, spaces, or whether a spreadsheet made 3 into 3.0."""
    text = " ".join(_bare(str(name)).casefold().split())
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text


def _harmless(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula; numbers stay as they are."""
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.startswith(_FORMULA) else text
    return text


def _bare(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA) else text


def _array(names: Sequence[Any]) -> NDArray[Any]:
    kinds = {type(name) for name in names}
    return np.asarray(names) if len(kinds) == 1 else np.asarray(names, dtype=object)


def _length(data: Any) -> int:
    if isinstance(data, Mapping):
        data = next(iter(data.values()))
    return len(data[0]) if isinstance(data, tuple) else len(data)


def _joined(inputs: Any, pool: Any, rows: Places) -> Any:
    """The inputs, then rows of the pool, of whatever kind they both are."""
    if isinstance(inputs, Mapping):
        if set(inputs) != set(pool):
            raise SettingError(f"training data and pool need the same columns, got {sorted(inputs)} and {sorted(pool)}")
        return {name: _joined(column, pool[name], rows) for name, column in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(_joined(one, other, rows) for one, other in zip(inputs, pool, strict=True))
    if isinstance(inputs, list):
        return [*inputs, *(pool[row] for row in rows.tolist())]
    shape = tuple(np.shape(inputs)[1:]), tuple(np.shape(pool)[1:])
    if shape[0] != shape[1]:
        raise SettingError(f"rows of training data and pool need one shape, got {shape[0]} and {shape[1]}")
    return _appended(inputs, pool[rows.tolist()])


def _appended(old: Any, new: Any) -> Any:
    if isinstance(old, list):
        return [*old, *new.tolist()]
    if hasattr(old, "new_tensor"):  # a tensor, without importing torch
        import torch

        return torch.cat([old, torch.as_tensor(new, dtype=old.dtype, device=old.device)])
    if np.asarray(old).dtype.kind == "U" or np.asarray(old).dtype == object:
        return np.concatenate([np.asarray(old, dtype=object), np.asarray(new, dtype=object)]).astype(
            np.asarray(old).dtype.kind
        )
    return np.concatenate([np.asarray(old), np.asarray(new).astype(np.asarray(old).dtype)])
