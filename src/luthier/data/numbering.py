"""Columns that number or name each row, and so tell nothing about the next one."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_LEAST = 20  # rows from which on it can be said
_CALLED = re.compile(r"(^|[^a-z])(id|key|uuid|index|no|nr|number)$")
_CAMEL = re.compile(r"[a-z]I[Dd]$")
_YEAR = re.compile(r"(^|[^a-z])year$")


def numbers_rows(name: str, codes: NDArray[np.float64], *, words: bool = False) -> bool:
    """Whether a column is different in each row: words, numbers that count the rows, or numbers that are called an id.

    Years that count up are none: a year is a date.

    Parameters
    ----------
    name
        Of the column.
    codes : (n,) float array
        Its values, or their numbers (`luthier.data.duplicates.codes_of`); NaN is missing.
    words
        Whether the values are words, of which the codes are numbers.
    """
    present = codes[~np.isnan(codes)]
    if len(codes) < _LEAST or len(present) < 0.9 * len(codes):
        return False
    mostly = len(np.unique(present)) > 0.9 * len(present)
    if words:
        return mostly
    low = name.lower()
    if (np.diff(present) == 1.0).all():
        return not (_YEAR.search(low) and present[0] >= 1000.0 and present[-1] <= 3000.0)
    called = _CALLED.search(low) or _CAMEL.search(name)
    return bool(called) and mostly and bool((present == np.round(present)).all())
