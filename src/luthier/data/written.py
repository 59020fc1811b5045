"""Numbers, booleans and dates that are written as text, in the style of their column: commas, the order of dates.

What a column is written like is decided once, on all its different texts, and kept: data that come later are read in
the same style, a single row, too.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "?"})  # lower case
COMMA, DAY_FIRST, MONTH_FIRST = "decimal comma", "day first", "month first"
_POINT = re.compile(r"[$€£]?\s?(-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?)\s?[%€]?$")
_BY_COMMA = re.compile(r"[$€£]?\s?(-?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?)\s?[%€]?$")
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(?:,\d{3})+$")
_CODE = re.compile(r"0\d+$")  # "00412": a number would lose its zeros
_DATE = re.compile(
    r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?$"
)
_ODD = 3  # so many different words among numbers, at most, count as missing values

Texts = list[str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Texts as they were understood.

    Attributes
    ----------
    kind : str
        ``"number"``, ``"boolean"``, ``"date"`` or ``"category"``.
    values : (n,) array
        float64, datetime64[s], or objects (str, None is missing).
    notes : tuple of str
        What has to be told.
    style : str
        How numbers or dates are written; empty for the usual way.
    """

    kind: str
    values: NDArray[Any]
    notes: tuple[str, ...] = ()
    style: str = ""


def read_texts(name: str, values: NDArray[Any], *, kind: str | None = None, style: str = "") -> Reading:
    """Understand the texts of a column.

    Parameters
    ----------
    name
        The column, for messages.
    values : (n,) array of str or None
    kind
        What they are, if that is known from other data: what cannot be read so becomes missing, which is told.
    style
        Then: how that was written.
    """
    place: dict[str | None, int] = {}
    codes = np.fromiter((place.setdefault(value, len(place)) for value in values.tolist()), np.intp, len(values))
    texts = [None if text is None or text.strip().lower() in MISSING else text.strip() for text in place]
    counts = np.bincount(codes, minlength=len(texts))
    found = _guessed(name, texts, counts) if kind is None else _as_known(name, texts, counts, kind, style)
    return Reading(found.kind, found.values[codes], found.notes, found.style)


def _guessed(name: str, texts: Texts, counts: NDArray[np.intp]) -> Reading:
    return _booleans(texts) or _numbers(name, texts, counts) or _dates(name, texts) or _words(texts)


def _as_known(name: str, texts: Texts, counts: NDArray[np.intp], kind: str, style: str) -> Reading:
    if kind == "category":
        return _words(texts)
    read: Callable[[str], Any] = _boolean
    missing: Any = np.nan
    if kind in ("date", "time"):
        read, missing = _reader_of_dates(texts, style), np.datetime64("NaT", "s")
    elif kind == "number":
        style = style or _style(texts)
        read = partial(number, style=style)
    values = np.array([missing if text is None else _or(read(text), missing) for text in texts])
    gone = np.isnat(values) if kind in ("date", "time") else np.isnan(values)
    odd = [place for place, text in enumerate(texts) if text is not None and gone[place]]
    if not odd:
        return Reading(kind, values, (), style)
    rows = int(counts[odd].sum())
    words = ", ".join(repr(texts[place]) for place in odd[:_ODD]) + (", ..." if len(odd) > _ODD else "")
    many = f"{rows:,} value{'' if rows == 1 else 's'}"
    return Reading(
        kind, values, (f"column {name!r}: {many} that cannot be read as {kind} taken as missing ({words})",), style
    )


def _or(value: Any, missing: Any) -> Any:
    return missing if value is None else value


def _words(texts: Texts) -> Reading:
    found = np.empty(len(texts), dtype=object)
    found[:] = texts
    return Reading("category", found)


# -- booleans and numbers ----------------------------------------------------------------------------------------------


def _booleans(texts: Texts) -> Reading | None:
    present = {text.lower() for text in texts if text is not None}
    if not present or present - {"true", "false"}:
        return None
    return Reading("boolean", np.array([np.nan if text is None else _boolean(text) for text in texts]))


def _boolean(text: str) -> float:
    return {"true": 1.0, "false": 0.0}.get(text.lower(), number(text))


def _numbers(name: str, texts: Texts, counts: NDArray[np.intp]) -> Reading | None:
    """Numbers, if (nearly) all are; a few words among them are taken as missing, and told."""
    if any(text is not None and _CODE.match(text) for text in texts):
        return None
    style = _style(texts)
    found = np.array([np.nan if text is None else number(text, style) for text in texts])
    odd = [text for text, value in zip(texts, found.tolist(), strict=True) if text is not None and value != value]
    share = counts[~np.isnan(found)].sum() / max(counts[[text is not None for text in texts]].sum(), 1)
    if odd and (len(odd) > _ODD or share < 0.95):
        return None
    notes = _about_commas(name, texts, style)
    if odd:
        words = ", ".join(repr(text) for text in odd)
        notes += (f"column {name!r}: values that are no numbers taken as missing ({words})",)
    return Reading("number", found, notes, style)


def number(text: str, style: str = "") -> float:
    """Return the number that is written there, or NaN.

    1,234.5 and 12% and $5 are numbers; in a column with decimal commas, 1.234,5 and 3,5 are.
    """
    if style == COMMA and (by_comma := _BY_COMMA.match(text)):
        return float(by_comma[1].replace(".", "").replace(",", "."))
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        pass
    point = _POINT.match(text)
    return float(point[1].replace(",", "")) if point else np.nan


def _style(texts: Texts) -> str:
    """Whether commas are decimal ones: if some cannot separate thousands, as in 3,5 or 0,125 or 1.234,50."""
    for text in texts:
        found = _BY_COMMA.match(text) if text is not None and "," in text else None
        if found and not _THOUSANDS.match(found[1]):
            return COMMA
    return ""


def _about_commas(name: str, texts: Texts, style: str) -> tuple[str, ...]:
    """Tell how commas were read, unless the other way was impossible."""
    with_comma = [text for text in texts if text is not None and "," in text]
    if style == COMMA:
        return (f"column {name!r}: commas read as decimal points ({with_comma[0]})",)
    if not with_comma or any("." in text or text.count(",") > 1 for text in with_comma):
        return ()
    return (f"column {name!r}: commas read as separators of thousands ({with_comma[0]})",)


# -- dates -------------------------------------------------------------------------------------------------------------


def _dates(name: str, texts: Texts) -> Reading | None:
    """Dates, if all are: 2024-02-29, 29.02.2024, 02/29/2024, with or without a time."""
    found = [None if text is None else _DATE.match(text) for text in texts]
    if not any(found) or any(match is None and text is not None for match, text in zip(found, texts, strict=True)):
        return None
    read = _reader_of_dates(texts)
    plain = [np.datetime64("NaT") if text is None else read(text) for text in texts]
    if any(value is None for value in plain):
        return None
    first = _day_first([match for match in found if match])
    slashes = any(match and match[2] == "/" and len(match[1]) < 4 for match in found)
    order = f"column {name!r}: dates read as {'day/month/year' if first else 'month/day/year'}"
    style = DAY_FIRST if first else MONTH_FIRST
    return Reading(
        "date", np.array(plain, dtype="datetime64[s]"), (order,) if slashes else (), style if slashes else ""
    )


def _reader_of_dates(texts: Texts, style: str = "") -> Callable[[str], np.datetime64 | None]:
    """What reads a date; None for what is none."""
    matches = [match for text in texts if text is not None and (match := _DATE.match(text))]
    day_first = style == DAY_FIRST if style else _day_first(matches)

    def read(text: str) -> np.datetime64 | None:
        match = _DATE.match(text)
        return None if match is None else _written(match, day_first or match[2] != "/")

    return read


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
