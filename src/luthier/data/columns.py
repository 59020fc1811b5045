"""What a column of a table holds: numbers, booleans, dates or categories; also numbers and dates written as text."""

from __future__ import annotations

import datetime
import numbers
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.errors import DataError

MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "?"})  # lower case
KINDS = ("number", "boolean", "category", "date", "time")
_MONEY = re.compile(r"[$€£]?\s?(-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?)\s?[%€]?$")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+$")
_CODE = re.compile(r"0\d+$")  # "00412": a number would lose its zeros
_DATE = re.compile(
    r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?$"
)
_LARGEST = float(np.finfo(np.float32).max)
_ODD = 3  # so many different words among numbers, at most, count as missing values


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
    """

    kind: str
    values: NDArray[Any]
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where nothing is, (n,)."""
        return missing_in(self.values)


def understand(name: str, values: NDArray[Any] | Column, *, kind: str | None = None) -> Column:
    """Find out what a column holds.

    Parameters
    ----------
    name
        The column, for messages.
    values : (n,) array, or a column
        Of any dtype; objects may be anything.
    kind
        What it has to be, if that is known from other data: what does not fit becomes missing.

    Raises
    ------
    DataError
        If the values are neither numbers nor text nor dates.
    """
    column = values if isinstance(values, Column) else _by_dtype(name, values)
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


def _by_dtype(name: str, values: NDArray[Any]) -> Column:
    code = values.dtype.kind
    if code in "iuf":
        return numeric(name, values)
    if code == "b":
        return Column("boolean", values.astype(np.float64))
    if code == "M":
        return _dates(values)
    if code == "m":
        return numeric(name, np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "s")))
    if code in "UST":
        return _from_texts(name, values.astype(object) if code != "S" else np.char.decode(values).astype(object))
    if code == "O":
        return _from_objects(name, values)
    raise DataError(f"column {name!r} holds {values.dtype}: numbers, text, booleans and dates can be used")


def _from_objects(name: str, values: NDArray[Any]) -> Column:
    """Objects of one kind keep it; of several, they become text."""
    kinds = {_kind_of(name, value) for value in values.tolist()} - {"missing"}
    if kinds and kinds <= {"number", "boolean"}:
        found = np.array([np.nan if _is_missing(value) else float(value) for value in values.tolist()])
        return Column("boolean", found) if kinds == {"boolean"} else numeric(name, found)
    if kinds == {"date"}:
        plain = [np.datetime64("NaT") if _is_missing(value) else _plain(value) for value in values.tolist()]
        return _dates(np.array(plain, dtype="datetime64[s]"))
    texts = np.empty(len(values), dtype=object)
    texts[:] = [None if _is_missing(value) else value if isinstance(value, str) else str(value) for value in values]
    return _from_texts(name, texts)


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


def _from_texts(name: str, values: NDArray[Any]) -> Column:
    """Text (str or None): what is meant by it is decided on the different texts, then spread over the rows."""
    place: dict[str | None, int] = {}
    codes = np.fromiter((place.setdefault(value, len(place)) for value in values.tolist()), np.intp, len(values))
    texts = [None if text is None or text.strip().lower() in MISSING else text.strip() for text in place]
    present = [text for text in texts if text is not None]
    counts = np.bincount(codes, minlength=len(texts))
    column = _booleans(present, texts) or _numbers(name, texts, counts) or _written_dates(name, texts)
    if column is None:
        found = np.empty(len(texts), dtype=object)
        found[:] = texts
        column = Column("category", found)
    return Column(column.kind, column.values[codes], column.notes)


def _booleans(present: list[str], texts: list[str | None]) -> Column | None:
    if not present or {text.lower() for text in present} - {"true", "false"}:
        return None
    return Column("boolean", np.array([np.nan if text is None else float(text.lower() == "true") for text in texts]))


def _numbers(name: str, texts: list[str | None], counts: NDArray[np.intp]) -> Column | None:
    """Numbers, if (nearly) all are; a few words among them are taken as missing, and told."""
    if any(text is not None and _CODE.match(text) for text in texts):
        return None
    found = np.array([np.nan if text is None else _number(text) for text in texts])
    odd = [text for text, value in zip(texts, found.tolist(), strict=True) if text is not None and value != value]
    if not odd:
        return numeric(name, found)
    share = counts[~np.isnan(found)].sum() / max(counts[[text is not None for text in texts]].sum(), 1)
    if len(odd) > _ODD or share < 0.95:
        return None
    words = ", ".join(repr(text) for text in odd)
    note = f"column {name!r}: values that are no numbers taken as missing ({words})"
    column = numeric(name, found)
    return Column("number", column.values, (*column.notes, note))


def _number(text: str) -> float:
    """The number that is written there, or NaN; 1,234.5 and 12% and $5 are numbers, 3,5 is one with a decimal comma."""
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        pass
    money = _MONEY.match(text)
    if money:
        return float(money[1].replace(",", ""))
    return float(text.replace(",", ".")) if _DECIMAL_COMMA.match(text) else np.nan


def _written_dates(name: str, texts: list[str | None]) -> Column | None:
    """Dates, if all are: 2024-02-29, 29.02.2024, 02/29/2024, with or without a time."""
    found = [None if text is None else _DATE.match(text) for text in texts]
    if not any(found) or any(match is None and text is not None for match, text in zip(found, texts, strict=True)):
        return None
    day_first = _day_first([match for match in found if match])
    plain = [np.datetime64("NaT") if match is None else _written(match, day_first) for match in found]
    if any(value is None for value in plain):
        return None
    column = _dates(np.array(plain, dtype="datetime64[s]"))
    slashes = any(match and match[2] == "/" and len(match[1]) < 4 for match in found)
    order = f"column {name!r}: dates read as {'day/month/year' if day_first else 'month/day/year'}"
    return Column(column.kind, column.values, (order,) if slashes else ())


def _day_first(found: list[re.Match[str]]) -> bool:
    """Whether 03.04. is in April: with points or hyphens it is; with strokes if some first number cannot be a month."""
    if any(len(match[1]) < 3 and match[2] != "/" for match in found):
        return True
    return any(len(match[1]) < 3 and int(match[1]) > 12 for match in found)


def _written(match: re.Match[str], day_first: bool) -> np.datetime64 | None:
    first, _, second, third, hour, minute, second_ = match.groups()
    if len(first) == 4:
        year, month, day = first, second, third
    else:
        year, (day, month) = third, (first, second) if day_first else (second, first)
    try:
        when = datetime.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second_ or 0))
    except ValueError:
        return None
    return np.datetime64(when, "s") if int(year) > 999 else None


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
        empty = np.array([np.nan if value is None else _number(value) for value in column.values.tolist()])
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
