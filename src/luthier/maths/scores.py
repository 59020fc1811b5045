"""Scores, probabilities and labels of a classifier as arrays: checked once at the door, softmax.

Labels are places: ``truth[i]`` is the column of row i's class. A name is looked up in the classes given with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luthier.errors import SettingError, did_you_mean

Array = NDArray[np.float64]
Places = NDArray[np.int64]
FLOOR = -36.0  # of a log probability below the row's largest: log of float64's precision, as log loss has it elsewhere
_TOLERANCE = 1e-3  # of the sum of a row: float16 probabilities of a thousand classes stay inside


def scores_of(values: ArrayLike) -> Array:
    """Check scores of a classifier (logits or log probabilities).

    Parameters
    ----------
    values : (n, C) array-like
        What stands before the softmax. Minus infinity, the log of a probability of 0, becomes 36 less than the row's
        largest.

    Returns
    -------
    (n, C) float array

    Raises
    ------
    SettingError
        If there are no rows, fewer than two columns, or a value is not a number.
    """
    scores = _table(values, "scores")
    wrong = np.isnan(scores).any(1) | (scores == np.inf).any(1) | np.isneginf(scores).all(1)
    if wrong.any():
        raise SettingError(
            f"scores need finite numbers, got NaN or infinity in {_rows(wrong)}: has the training diverged? "
            "Leave these rows out or use an earlier checkpoint"
        )
    return np.where(np.isneginf(scores), scores.max(1, keepdims=True) + FLOOR, scores)


def probabilities_of(values: ArrayLike) -> Array:
    """Check probabilities of a classifier.

    Parameters
    ----------
    values : (n, C) array-like, or (n,) array-like
        A row's probabilities sum to one, to a thousandth. One number a row is the probability of the second of two
        classes.

    Returns
    -------
    (n, C) float array
        Rows sum to one exactly.

    Raises
    ------
    SettingError
        If a value is not a number or below 0, or a row does not sum to one.
    """
    flat = np.asarray(_plain(values))
    if flat.ndim == 1 and flat.size:
        flat = flat.astype(np.float64)
        values = np.stack([1.0 - flat, flat], 1)
    table = _table(values, "probabilities")
    wrong = np.asarray(~np.isfinite(table).all(1))
    if wrong.any():
        raise SettingError(f"probabilities are numbers from 0 to 1, got NaN or infinity in {_rows(wrong)}")
    sums = table.sum(1)
    wrong = (np.abs(sums - 1.0) > _TOLERANCE) | (table < -_TOLERANCE).any(1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise SettingError(
            f"probabilities are at least 0 and sum to one in every row, but row {first} sums to {sums[first]:.4g} with "
            f"{table[first].min():.4g} as its least ({int(wrong.sum())} of {len(table)} rows): are these scores? "
            "luthier.classifiers.softmax makes probabilities of them"
        )
    table = table.clip(0.0, 1.0)
    return np.asarray(table / table.sum(1, keepdims=True))


def places_of(labels: ArrayLike, classes: int | Sequence[Any], *, rows: int | None = None) -> Places:
    """Check labels.

    Parameters
    ----------
    labels : (n,) array-like
        Integers are columns, from 0; anything else is looked up in `classes`.
    classes
        How many there are, or their names.
    rows
        How many labels there have to be.

    Returns
    -------
    (n,) int array

    Raises
    ------
    SettingError
        If a label is no class, or their number is wrong.
    """
    given = np.asarray(labels)
    count = classes if isinstance(classes, int) else len(classes)
    if given.ndim != 1 or (rows is not None and len(given) != rows):
        raise SettingError(f"labels are one a row, {rows if rows is not None else 'n'} in all, got shape {given.shape}")
    if given.dtype == bool or np.issubdtype(given.dtype, np.integer):
        places = given.astype(np.int64)
    elif np.issubdtype(given.dtype, np.floating) and isinstance(classes, int):
        if not (np.isfinite(given).all() and (given == np.round(given)).all()):
            raise SettingError(
                f"labels are whole numbers, the columns of the classes, got {given.dtype} such as {given[:3]}"
            )
        places = given.astype(np.int64)
    else:
        places = _looked_up(given, classes)
    if len(places) and not (places.min() >= 0 and places.max() < count):
        wrong = places[(places < 0) | (places >= count)]
        raise SettingError(f"with {count} classes, labels are columns from 0 to {count - 1}, got {wrong[0]}")
    return places


def softmax(scores: ArrayLike) -> Array:
    """Turn scores (n, C) into probabilities (n, C): the exponential, divided by the row's sum.

    Examples
    --------
    >>> softmax([[0.0, 0.0], [1000.0, 0.0]]).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    scores = scores_of(scores)
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def names_of(classes: Sequence[Any] | None, count: int) -> tuple[str, ...]:
    """Return the names of `count` classes for people, numbers if there are none.

    Raises
    ------
    SettingError
        If there are not as many as classes.
    """
    if classes is None:
        return tuple(str(place) for place in range(count))
    if len(classes) != count:
        raise SettingError(f"{count} classes need {count} names, got {len(classes)}")
    return tuple(str(name) for name in classes)


def share_interval(hits: ArrayLike, rows: ArrayLike, *, level: float = 0.95) -> tuple[Array, Array]:
    """Return the interval of a share (Clopper & Pearson 1934), which holds the true one as often as the level says.

    Parameters
    ----------
    hits, rows : (k,) array-like
        So many of so many; 0 of 0 may be anything from 0 to 1.
    level
        Such as 0.95.

    Returns
    -------
    (k,) float arrays, low and high
    """
    from scipy.special import betaincinv

    of, missed = np.asarray(hits, np.float64), np.asarray(rows, np.float64) - np.asarray(hits, np.float64)
    tail = (1.0 - level) / 2.0
    low = np.where(of > 0, betaincinv(np.maximum(of, 1e-9), missed + 1.0, tail), 0.0)
    high = np.where(missed > 0, betaincinv(of + 1.0, np.maximum(missed, 1e-9), 1.0 - tail), 1.0)
    return low, high


def _table(values: ArrayLike, what: str) -> Array:
    try:
        table = np.asarray(_plain(values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SettingError(f"{what} are a table of numbers, (rows, classes): {error}") from None
    if table.ndim != 2 or not len(table) or table.shape[1] < 2:
        raise SettingError(
            f"{what} are a table, (rows, classes), of at least one row and two classes, got {table.shape}"
        )
    return table


def _plain(values: Any) -> Any:
    """A tensor without its gradient, on the processor, in a precision that NumPy has; everything else as it is."""
    return values.detach().cpu().double() if hasattr(values, "detach") else values


def _looked_up(labels: NDArray[Any], classes: int | Sequence[Any]) -> Places:
    if isinstance(classes, int):
        raise SettingError(
            f"labels are columns from 0 to {classes - 1}, got {labels[:1].tolist()}: give the classes' names"
        )
    places = {name: place for place, name in enumerate(classes)}
    try:
        return np.array([places[label] for label in labels.tolist()], dtype=np.int64)
    except KeyError as error:
        word = error.args[0]
        hint = did_you_mean(str(word), [str(name) for name in classes])
        raise SettingError(f"{word!r} is none of the {len(classes)} classes{hint}") from None


def _rows(wrong: NDArray[np.bool_]) -> str:
    found = np.flatnonzero(wrong)
    listed = ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")
    return f"{len(found)} of {len(wrong)} rows ({listed})"
