"""What a column of a table holds: numbers, booleans, dates or categories."""

from __future__ import annotations

import datetime
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.written import number, read_texts
from luthier.errors import DataError

KINDS = ("number", "boolean", "category", "date", "time")
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column as it was understood.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    values : (n,) array
        float64 for numbers and booleans (NaN is missing), datetime64 for dates and times (NaT is missing), objects
        (str, None is missing) for categories.
    notes : tuple of str
        What has to be told.
    style : str
        How numbers or dates were written as text, see `luthier.data.written`; empty for the usual way.
    """

    kind: str
    values: NDArray[Any]
    notes: tuple[str, ...] = ()
    style: str = ""

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where nothing is, (n,)."""
        return missing_in(self.values)


def understand(name: str, values: NDArray[Any] | Column, *, kind: str | None = None, style: str = "") -> Column:
    """Find out what a column holds.

    Parameters
    ----------
    name
        The column, for messages.
    values : (n,) array, or a column
        Of any dtype; objects may be anything.
    kind
        What it has to be, if that is known from other data: what does not fit becomes missing.
    style
        Then: how it was written as text.

    Raises
    ------
    DataError
        If the values are neither numbers nor text nor dates.
    """
    if isinstance(values, Column):
        return values if kind in (None, values.kind) else _as_kind(name, values, str(kind))
    texts = _texts(name, values)
    if texts is not None:
        return _from_texts(name, texts, kind, style)
    column = _by_dtype(name, values)
    return column if kind in (None, column.kind) else _as_kind(name, column, str(kind))


def missing_in(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where nothing is, (n,): None among objects, NaT among dates, NaN among numbers."""
    if values.dtype == object:
        return np.fromiter((value is None for value in values.tolist()), np.bool_, len(values))
    return np.asarray(np.isnat(values) if values.dtype.kind == "M" else np.isnan(values), dtype=np.bool_)


def numeric(name: str, values: NDArray[Any]) -> Column:
    """Return a column of numbers, (n,) of any real dtype; what no 32-bit float can hold becomes missing."""
    found = values.astype(np.float64)
    infinite = np.abs(found) > _LARGEST
    if not infinite.any():
        return Column("number", found)
    note = f"column {name!r}: {counted(infinite.sum(), 'value')} infinite or beyond 3e38 taken as missing"
    return Column("number", np.where(infinite, np.nan, found), (note,))


def date_parts(name: str, column: Column) -> dict[str, NDArray[np.float64]]:
    """Return what a network can use of dates: days since 1970, month, day of the week (0 is Monday), and the hour.

    The hour only for times. The columns are named ``"when.days"`` and so on.
    """
    seconds = column.values.astype("datetime64[s]")
    days = seconds.astype("datetime64[D]")
    since = days.astype(np.int64).astype(np.float64)
    parts = {
        "days": since,
        "month": seconds.astype("datetime64[M]").astype(np.int64) % 12 + 1.0,
        "weekday": (since + 3.0) % 7.0,  # 1970 began on a Thursday
    }
    if column.kind == "time":
        parts["hour"] = (seconds - days).astype(np.int64) / 3600.0
    return {f"{name}.{part}": np.where(column.missing, np.nan, values) for part, values in parts.items()}


def is_text(column: Column) -> bool:
    """Whether a column of categories holds sentences: four words or more each, and hardly one twice."""
    if column.kind != "category":
        return False
    present = column.values[~column.missing][:2000].tolist()
    if len(present) < 2:
        return False
    words = sum(len(value.split()) for value in present) / len(present)
    return words >= 4.0 and len(set(present)) > 0.5 * len(present)


def counted(count: int, thing: str) -> str:
    """``"1 row"``, ``"1,204 rows"``."""
    ending = "" if count == 1 else "es" if thing.endswith("s") else "s"
    return f"{count:,} {thing}{ending}"


def _texts(name: str, values: NDArray[Any]) -> NDArray[Any] | None:
    """The column as text, (n,) of str or None, if that is what it holds; objects of several kinds become it."""
    code = values.dtype.kind
    if code in "UST":
        return np.char.decode(values).astype(object) if code == "S" else values.astype(object)
    if code != "O":
        return None
    kinds = {_kind_of(name, value) for value in values.tolist()} - {"missing"}
    if kinds and (kinds <= {"number", "boolean"} or kinds == {"date"}):
        return None
    texts = np.empty(len(values), dtype=object)
    texts[:] = [None if _is_missing(value) else value if isinstance(value, str) else str(value) for value in values]
    return texts


def _from_texts(name: str, texts: NDArray[Any], kind: str | None, style: str) -> Column:
    found = read_texts(name, texts, kind=kind, style=style)
    if found.kind == "number":
        column = numeric(name, found.values)
        return Column("number", column.values, (*column.notes, *found.notes), found.style)
    if found.kind in ("date", "time"):
        column = _dates(found.values)
        return Column(kind or column.kind, column.values, found.notes, found.style)
    return Column(found.kind, found.values, found.notes)


def _by_dtype(name: str, values: NDArray[Any]) -> Column:
    """A column that holds no text."""
    code = values.dtype.kind
    if code in "iuf":
        return numeric(name, values)
    if code == "b":
        return Column("boolean", values.astype(np.float64))
    if code == "M":
        return _dates(values)
    if code == "m":
        return numeric(name, np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "s")))
    if code == "O":
        return _from_objects(name, values)
    raise DataError(f"column {name!r} holds {values.dtype}: numbers, text, booleans and dates can be used")


def _from_objects(name: str, values: NDArray[Any]) -> Column:
    """Objects that are numbers, booleans or dates, or missing."""
    kinds = {_kind_of(name, value) for value in values.tolist()} - {"missing"}
    if kinds <= {"number", "boolean"}:
        found = np.array([np.nan if _is_missing(value) else float(value) for value in values.tolist()])
        return Column("boolean", found) if kinds == {"boolean"} else numeric(name, found)
    plain = [np.datetime64("NaT") if _is_missing(value) else _plain(value) for value in values.tolist()]
    return _dates(np.array(plain, dtype="datetime64[s]"))


def _kind_of(name: str, value: Any) -> str:
    if _is_missing(value):
        return "missing"
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, numbers.Real) or type(value).__name__ == "Decimal":
        return "number"
    if isinstance(value, datetime.date | np.datetime64):
        return "date"
    if isinstance(value, str):
        return "text"
    raise DataError(f"column {name!r} holds a {type(value).__name__}: numbers, text, booleans and dates can be used")


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT and the missing value of pandas, which does not say whether it equals itself."""
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (not isinstance(value, str) and value != value)
    )


def _plain(value: Any) -> np.datetime64:
    """A date without its time zone, in UTC."""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(value, "s")


def _dates(values: NDArray[Any]) -> Column:
    seconds = values.astype("datetime64[s]")
    present = seconds[~np.isnat(seconds)]
    whole = bool((present == present.astype("datetime64[D]")).all())
    return Column("date" if whole else "time", seconds)


def _as_kind(name: str, column: Column, kind: str) -> Column:
    """Take a column as what it was in other data."""
    if kind == "category":
        texts = np.empty(len(column.values), dtype=object)
        texts[:] = [
            None if gone else _text(value, column.kind)
            for value, gone in zip(column.values.tolist(), column.missing, strict=True)
        ]
        return Column("category", texts)
    if {kind, column.kind} <= {"number", "boolean"} or {kind, column.kind} <= {"date", "time"}:
        return Column(kind, column.values, column.notes)
    lost = int((~column.missing).sum())
    empty = np.full(len(column.values), np.nan)
    if column.kind == "category" and kind in ("number", "boolean"):
        empty = np.array([np.nan if value is None else number(value) for value in column.values.tolist()])
        lost -= int((~np.isnan(empty)).sum())
    notes = (
        (f"column {name!r}: {counted(lost, 'value')} that cannot be read as {kind} taken as missing",) if lost else ()
    )
    if kind in ("date", "time"):
        return Column(kind, np.full(len(empty), np.datetime64("NaT"), dtype="datetime64[s]"), notes)
    return Column(kind, empty, notes)


def _text(value: Any, kind: str) -> str:
    """A value as the text it was written as: 3, not 3.0."""
    if kind == "boolean":
        return str(bool(value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
