"""What has to be predicted: classes or a number, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.columns import Column, counted, understand
from luthier.data.dataset import Dataset
from luthier.data.wanted import Wanted
from luthier.errors import DataError

_FEW = 20  # so many different whole numbers, at most, are classes in a table


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The targets of a data set.

    Attributes
    ----------
    values : (n,) array
        Labels (str, int, float or bool), or float64 for a regression; where `missing`, anything.
    classes : tuple or None
        The distinct labels, sorted; None for a regression.
    missing : (n,) bool array
        Rows without a target.
    notes : tuple of str
        What was decided, and why.
    """

    values: NDArray[Any]
    classes: tuple[Any, ...] | None
    missing: NDArray[np.bool_]
    notes: tuple[str, ...]


def decide(name: str, values: NDArray[Any] | Column, *, goal: str = "auto", tabular: bool = True) -> Target:
    """Decide between classes and a number.

    Text and booleans are classes. So are whole numbers: in a table if at most 20 different ones occur, and less than
    half as many as rows; with images, texts and audio if they count from 0 or 1 on. Everything else is a number.
    Labels that are given as strings in memory stay strings, also ``"1"`` and ``"true"``.

    Parameters
    ----------
    name
        Of the target, for messages.
    values : (n,) array or column
        As they were given.
    goal
        ``"classes"``, ``"number"`` or ``"auto"``.
    tabular
        Whether the data is a table.

    Raises
    ------
    DataError
        If the values cannot be what they have to be, or there are none.
    """
    given = values if isinstance(values, Column) else flat(name, values)
    column = understand(name, given)
    missing = column.missing
    if missing.all():
        raise DataError(f"target {name!r} holds no values")
    if column.kind in ("date", "time"):
        raise DataError(
            f"target {name!r} holds dates: give a number or classes to predict, or another target; task='seq2seq' "
            "learns to write them"
        )
    words = None if isinstance(given, Column) else _words(given[~missing])
    if column.kind == "number" or goal == "number":
        target = _of_numbers(name, column, goal, tabular)
        if words is None or target.classes is None:
            return target
        return _classes(column.values, words, missing, target.notes)
    labels = column.values[~missing]
    if column.kind == "boolean":
        labels = labels.astype(bool) if words is None else words
    return _classes(column.values, labels, missing, (f"target {name!r}: classes, because it holds {_what(column)}",))


def flat(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return targets as (n,): a column (n, 1) is flattened, one-hot rows (n, k) become numbers of classes.

    Raises
    ------
    DataError
        If they are several targets.
    """
    if values.ndim == 1:
        return values
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim == 2 and values.dtype.kind in "biuf" and ((values == 0) | (values == 1)).all():
        if (values.sum(1) == 1).all():
            return np.asarray(values.argmax(1))
        raise DataError(f"target {name!r} marks several classes in one row: one class for each row can be learned")
    raise DataError(
        f"target {name!r} has shape {values.shape}: one value for each row, shape ({len(values)},), is needed"
    )


def finish(dataset: Dataset, values: Any, wanted: Wanted, *, name: str = "y") -> Dataset:
    """Give a data set its targets, decide on the goal, and note it in the form.

    Parameters
    ----------
    dataset
        Without targets, n rows.
    values : (n,) array, column or None
        The targets; None for data to predict.
    wanted
        What was asked for.
    name
        Of the target, for messages.

    Raises
    ------
    DataError
        If the targets are not as many as rows, or cannot be used. Rows without a target are left out, which is told;
        but of data that shall be like other data every row is kept, and the targets are not used if some are missing
        or are something else.
    """
    if values is None:
        return dataset
    count = len(values.values if isinstance(values, Column) else values)
    if count != len(dataset):
        raise DataError(f"{dataset.source}: {len(dataset)} inputs but {count} targets: there must be one for each row")
    if wanted.like and (gone := _gone(name, values)):
        note = f"target {name!r} not used: {counted(gone, 'row')} without one"
        return replace(dataset, notes=(*dataset.notes, note))
    try:
        target = decide(name, values, goal=wanted.goal, tabular=dataset.task == "tabular")
    except DataError as error:
        if not wanted.like:
            raise
        note = f"target {name!r} not used: {str(error).split(': ')[0]}"
        return replace(dataset, notes=(*dataset.notes, note))
    notes, labels = dataset.notes + (() if wanted.like else target.notes), target.values
    if target.missing.any():
        dataset, labels = dataset.take(~target.missing), labels[~target.missing]
        notes += (f"{counted(target.missing.sum(), 'row')} without a target left out",)
    if target.classes is not None:
        labels = np.array(labels.tolist())
    form = {**dataset.form, "goal": "number" if target.classes is None else "classes"}
    return replace(dataset, targets=labels, classes=target.classes, notes=notes, form=form)


def keep_rows(dataset: Dataset, good: NDArray[np.bool_], note: str) -> Dataset:
    """Leave rows out while reading: the classes are those of the rows that are left.

    Parameters
    ----------
    dataset
        n rows.
    good : (n,) bool array
        Which ones to keep.
    note
        What has to be told.
    """
    left = dataset.take(good)
    classes = left.classes
    if classes is not None and isinstance(left.targets, np.ndarray):
        classes = tuple(sorted(set(left.targets.tolist())))
    return replace(left, classes=classes, notes=(*left.notes, note))


def _words(given: NDArray[Any]) -> NDArray[Any] | None:
    """Labels that were given as strings, which they stay, whatever is written there; None if they were not."""
    words = given.astype(object)
    return words if all(isinstance(word, str) for word in words.tolist()) else None


def _gone(name: str, values: NDArray[Any] | Column) -> int:
    """How many rows have no target."""
    column = values if isinstance(values, Column) else understand(name, flat(name, values))
    return int(column.missing.sum())


def _of_numbers(name: str, column: Column, goal: str, tabular: bool) -> Target:
    missing = column.missing
    if column.kind == "category":
        odd = next(value for value in column.values if value is not None)
        raise DataError(f"target {name!r} is to be a number, but holds text such as {odd!r}: use goal='classes'")
    present = column.values[~missing].astype(np.float64)
    whole = bool((present == np.round(present)).all())
    distinct = np.unique(present)
    is_classes, why = _is_classes(distinct, present, whole, tabular)
    if goal == "number" or (goal == "auto" and not is_classes):
        why = "as asked for" if goal == "number" else why
        note = f"target {name!r}: a number to predict (regression), {why}"
        return Target(column.values.astype(np.float64), None, missing, (note, *column.notes))
    labels = present.astype(np.int64) if whole else present
    why = "as asked for" if goal == "classes" else why
    return _classes(column.values, labels, missing, (f"target {name!r}: classes, {why}", *column.notes))


def _is_classes(distinct: NDArray[Any], present: NDArray[Any], whole: bool, tabular: bool) -> tuple[bool, str]:
    if not whole:
        return False, "because it holds numbers with a fraction"
    different = counted(len(distinct), "different whole number")
    counts_on = distinct[0] in (0.0, 1.0) and distinct[-1] - distinct[0] == len(distinct) - 1
    if len(distinct) <= _FEW and (2 * len(distinct) <= len(present) or (counts_on and len(present) < 2 * _FEW)):
        return True, f"because it holds {different} only"
    if not tabular and counts_on:
        return True, f"because it counts from {int(distinct[0])} to {int(distinct[-1])}"
    return False, f"because it holds {different}"


def _classes(values: NDArray[Any], labels: NDArray[Any], missing: NDArray[np.bool_], notes: tuple[str, ...]) -> Target:
    """Put the labels of the rows that have one in their places."""
    found: NDArray[Any] = np.empty(len(values), dtype=object if labels.dtype.kind == "O" else labels.dtype)
    found[~missing] = labels
    return Target(found, tuple(sorted(set(labels.tolist()))), missing, notes)


def _what(column: Column) -> str:
    return "true and false" if column.kind == "boolean" else "text"
