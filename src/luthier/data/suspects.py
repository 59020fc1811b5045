"""Columns of a table that are of no use, or of too much: constant, counting the rows, giving the target away."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from luthier.data.checks import Finding
from luthier.data.columns import counted
from luthier.data.dataset import Dataset
from luthier.data.duplicates import codes_of
from luthier.data.numbering import numbers_rows

_ROWS = 20_000  # so many, at most, are looked at to see what a column alone can predict
_RIGHT = 0.995  # accuracy, or explained share of the variance, of a single column: too good
_PIXELS = 64  # columns, at least, that may be an image
_LEVELS = 100
_SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0)


def find_in_table(dataset: Dataset) -> Iterator[Finding]:
    """Look at each column of a table; nothing, for other data."""
    if not isinstance(dataset.inputs, dict):
        return
    constant, dated = [], _of_dates(dataset)
    for name, column in dataset.inputs.items():
        codes = codes_of(column)
        present = codes[~np.isnan(codes)]
        if not len(present) or ((present == present[0]).all() and len(present) == len(codes)):
            constant.append(name)
            continue
        yield from _one(name, column, codes, dated=name in dated)
    shown = ", ".join(map(repr, constant[:5])) + (", ..." if len(constant) > 5 else "")
    if len(constant) == 1:
        text = f"column {shown} holds one value only: nothing can be learned from it"
        yield Finding("warning", "constant column", text, tuple(constant))
    elif constant:
        text = f"{len(constant)} columns hold one value only: nothing can be learned from {shown}"
        yield Finding("warning", "constant column", text, tuple(constant))
    yield from _pixels(dataset.inputs)
    yield from _suspects(dataset)


def _of_dates(dataset: Dataset) -> set[str]:
    """Columns that count days: one row a day counts the rows, and is a date all the same."""
    return {f"{name}.days" for name, kind in dataset.form.get("columns", {}).items() if kind in ("date", "time")}


def _pixels(columns: dict[str, NDArray[np.generic]]) -> Iterator[Finding]:
    """Images that were written as a table are learned better as images."""
    side = isqrt(len(columns))
    if len(columns) < _PIXELS or side * side != len(columns) or any(c.dtype == object for c in columns.values()):
        return
    table = np.column_stack(list(columns.values())).astype(np.float64)
    if ((table >= 0.0) & (table <= 255.0) & (table == np.round(table))).all():
        text = (
            f"{len(columns)} columns of whole numbers up to 255: for images of {side} x {side} pixels use task='image'"
        )
        yield Finding("note", "pixels", text)


def _one(name: str, column: NDArray[np.generic], codes: NDArray[np.float64], *, dated: bool) -> Iterator[Finding]:
    present = codes[~np.isnan(codes)]
    gone = 1.0 - len(present) / len(codes)
    if gone > 0.5:
        yield Finding(
            "warning", "mostly missing", f"column {name!r}: {100 * gone:.0f}% of the values are missing", (name,)
        )
    if not dated and numbers_rows(name, codes, words=column.dtype == object):
        text = f"column {name!r} has a value of its own for (nearly) each row, such as a name or a number of the row"
        yield Finding("warning", "id-like column", text, (name,))
    elif column.dtype == object and len(np.unique(present)) > _LEVELS:
        text = f"column {name!r} has {len(np.unique(present)):,} different values"
        yield Finding("note", "many levels", text, (name,))
    if column.dtype != object:
        yield from _sentinel(name, present)


def _sentinel(name: str, present: NDArray[np.float64]) -> Iterator[Finding]:
    """A value such as -999 that stands far from all others may stand for a missing one."""
    for value in (float(present.min()), float(present.max())):
        same = present == value
        others = present[~same]
        if value not in _SENTINELS or same.mean() < 0.01 or len(others) < 10:
            continue
        gap = np.abs(others - value).min()
        if gap > 2.0 * (others.max() - others.min()) and gap > 5.0:
            text = (
                f"column {name!r}: {value:g} in {counted(same.sum(), 'row')}, far from all others: is it missing there?"
            )
            yield Finding("warning", "sentinel", text, (name,))


def _suspects(dataset: Dataset) -> Iterator[Finding]:
    """Columns that tell the target by themselves: learned on one half of the rows, tried on the other."""
    if dataset.goal is None or len(dataset) < 20:
        return
    assert isinstance(dataset.inputs, dict)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(dataset))[:_ROWS]
    is_number = dataset.goal == "number"
    y = np.asarray(dataset.targets, dtype=np.float64) if is_number else dataset.labels().astype(np.float64)
    if not is_number and np.bincount(dataset.labels()).max() > 0.99 * len(dataset):
        return
    for name, column in dataset.inputs.items():
        codes = codes_of(column)
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers near the largest
            copies = _copies(codes, y)
            score = _alone(codes[rows], y[rows], is_number=is_number, ordered=column.dtype != object)
        if copies:
            text = f"column {name!r} is the target under another name: nobody will have it when predicting"
            yield Finding("warning", "target among inputs", text, (name,))
            continue
        if score > _RIGHT:
            how = f"{100 * score:.1f}% " + ("of the variance" if is_number else "right")
            text = f"column {name!r} alone tells the target ({how}): is it known before the target is?"
            yield Finding("warning", "gives target away", text, (name,))


def _copies(codes: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    """Whether each value stands for one target and each target for one value, or the one is a multiple of the other."""
    if np.isnan(codes).any():
        return False
    levels = len(np.unique(codes))
    if levels != len(np.unique(y)):
        return False
    if levels > len(codes) // 2:  # every row has values of its own: that alone says nothing
        return bool(abs(np.corrcoef(codes, y)[0, 1]) > 1.0 - 1e-12)
    return len(np.unique(np.column_stack([codes, y]), axis=0)) == levels


def _alone(codes: NDArray[np.float64], y: NDArray[np.float64], *, is_number: bool, ordered: bool) -> float:
    """The share of right answers, or of the variance, that a column alone gets on rows it has not seen."""
    codes = np.where(np.isnan(codes), -1e300, codes)
    half = len(codes) // 2
    if ordered and is_number:
        return max(_interpolated(codes, y, half), _monotone(codes, y))
    levels, place = np.unique(codes[:half], return_inverse=True)
    near = _nearest(levels, codes[half:])  # of a category that was not seen it is any other
    if is_number:
        means = np.bincount(place, weights=y[:half]) / np.bincount(place)
        return _explained(y[half:], means[near])
    tally = np.zeros((len(levels), int(y.max()) + 1))
    np.add.at(tally, (place, y[:half].astype(np.intp)), 1.0)
    return float((tally.argmax(1)[near] == y[half:]).mean())


def _nearest(levels: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.intp]:
    """The place of the nearest of ascending levels, for each value."""
    right = (
        np.searchsorted(levels, values).clip(1, len(levels) - 1) if len(levels) > 1 else np.zeros(len(values), np.intp)
    )
    left = np.maximum(right - 1, 0)
    return np.where(values - levels[left] <= levels[right] - values, left, right)


def _interpolated(codes: NDArray[np.float64], y: NDArray[np.float64], half: int) -> float:
    levels, place = np.unique(codes[:half], return_inverse=True)
    means = np.bincount(place, weights=y[:half]) / np.bincount(place)
    return _explained(y[half:], np.interp(codes[half:], levels, means))


def _monotone(codes: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The square of Spearman's rank correlation: the far ends, where interpolation fails, count no more than others."""
    ranks = [np.unique(values, return_inverse=True)[1] for values in (codes, y)]
    varies = all(rank.max() > 0 for rank in ranks)
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1] ** 2) if varies else 0.0


def _explained(y: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    total = float(((y - y.mean()) ** 2).sum())
    return 1.0 - float(((y - predicted) ** 2).sum()) / total if total > 0.0 else 0.0
