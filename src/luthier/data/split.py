"""Splitting a data set: stratified, exact duplicates kept on one side, a given split honored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.data.columns import counted
from luthier.data.dataset import PARTS, Dataset
from luthier.data.duplicates import codes_of, first_of_its_kind
from luthier.errors import DataError, SettingError, did_you_mean

SHARES: Mapping[str, float] = {"valid": 0.15, "test": 0.15}
_BINS = 10  # of a regression's targets, each of which is split alike
_SAME, _ROOM = 0.3, 10  # more than this share of rows repeat others, in a table with room for that many times its rows

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which rows are on which side.

    Attributes
    ----------
    train, valid, test : (m,) int array
        Row numbers, ascending; together every row once. What was not asked for is empty.
    notes : tuple of str
        What was done, in plain sentences.
    """

    train: Rows
    valid: Rows
    test: Rows
    notes: tuple[str, ...] = ()


def split(
    dataset: Dataset,
    *,
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    groups: Sequence[Any] | None = None,
) -> Split:
    """Split into rows for training, validation and test.

    Every class is split alike, to within one example where nothing has to stay together (a regression by tenths of its
    targets). Rows with the very same inputs stay together, and so do the rows of a group; but where more than 30% of
    the rows of a table repeat others because there are few combinations of values, these are no copies, and part. A
    split that the data brought along is kept; what it lacks is taken from its training rows, or from those that it says
    nothing about, if there are any. A class of one example is trained on.

    Parameters
    ----------
    dataset
        n rows.
    shares
        For ``"valid"`` and ``"test"``, of the rows that no given split decides on; 0.15 each if not given. A part that
        is left out is empty, and the rest is for training.
    seed
        The same seed makes the same split.
    groups : (n,) sequence
        Rows of the same group stay together: a patient, a speaker.

    Raises
    ------
    DataError
        If there are fewer rows (or groups) than parts.
    SettingError
        If the shares are none, or the groups are not as many as rows.

    Examples
    --------
    >>> from luthier.data import from_arrays, split
    >>> parts = split(from_arrays([[float(i)] for i in range(100)], ["a", "b"] * 50))
    >>> len(parts.train), len(parts.valid), len(parts.test)
    (70, 15, 15)
    """
    wanted = _checked(shares)
    given, open_rows, settled, notes = _from_given(dataset, wanted)
    left = {part: share for part, share in wanted.items() if not len(given[part])}
    if left:
        units, note = together(dataset, groups)
        notes += note
        _check_enough(dataset, len(np.unique(units[open_rows])), left)
        rng = np.random.default_rng((seed, len(dataset) - len(settled)))
        weights = np.array([1.0 - sum(left.values()), *left.values()])
        parts = _assigned(_strata(dataset)[open_rows], units[open_rows], weights, rng, train=True)
        for number, part in enumerate(("train", *left)):
            given[part] = open_rows[parts == number]
    else:
        given["train"] = open_rows
    given["train"] = np.concatenate([given["train"], settled])
    notes += _thin(dataset, given)
    rows = {part: np.sort(given[part]) for part in PARTS}
    return Split(rows["train"], rows["valid"], rows["test"], notes)


def folds(
    dataset: Dataset, k: int = 5, *, seed: int = 0, groups: Sequence[Any] | None = None
) -> list[tuple[Rows, Rows]]:
    """Return k pairs of (training rows, held-out rows), for cross-validation.

    Each row is held out once. Classes, duplicates and groups are treated as by `split`; a given split is not looked at.

    Parameters
    ----------
    dataset
        n rows.
    k
        How many folds, from 2 to n.
    seed, groups
        As for `split`.

    Raises
    ------
    SettingError
        If `k` is below 2, or more than there are rows (or groups).
    """
    units, _ = together(dataset, groups)
    count = len(np.unique(units))
    if not 2 <= k <= count:
        raise SettingError(
            f"{k} folds cannot be made of {counted(count, 'row')} that may part: use k from 2 to {count}"
        )
    rng = np.random.default_rng((seed, len(dataset), k))
    parts = _assigned(_strata(dataset), units, np.full(k, 1.0 / k), rng, train=False)
    return [(np.flatnonzero(parts != fold), np.flatnonzero(parts == fold)) for fold in range(k)]


def _checked(shares: Mapping[str, float] | None) -> dict[str, float]:
    wanted = dict(SHARES if shares is None else shares)
    for part, share in wanted.items():
        if part not in PARTS:
            raise SettingError(f"no part {part!r}{did_you_mean(part, PARTS)}: use {', '.join(PARTS)}")
        if not 0.0 <= share < 1.0 and part != "train":
            raise SettingError(f"the share of {part!r} lies in [0, 1), got {share}")
    train = wanted.pop("train", None)
    total = sum(wanted.values())
    if total >= 1.0 or (train is not None and abs(train + total - 1.0) > 1e-6):
        raise SettingError(f"the shares must sum to 1 with something left for training, got {dict(shares or {})}")
    return {part: share for part, share in wanted.items() if share > 0.0}


def _from_given(dataset: Dataset, wanted: Mapping[str, float]) -> tuple[dict[str, Rows], Rows, Rows, tuple[str, ...]]:
    """The parts that came along, the rows that are still open, those for training only, and what has to be told."""
    none = np.empty(0, np.intp)
    given: dict[str, Rows] = dict.fromkeys(PARTS, none)
    if dataset.given is None:
        return given, np.arange(len(dataset)), none, ()
    for part in ("valid", "test"):
        given[part] = np.flatnonzero(dataset.given == part)
    there = [part for part in ("valid", "test") if len(given[part])]
    notes = [f"the {part} set is the one that came along ({counted(len(given[part]), 'row')})" for part in there]
    lacking = [part for part in wanted if part not in there]
    if there and lacking:
        notes.append(f"the {' and '.join(lacking)} set is taken from the training rows")
    train, unsaid = np.flatnonzero(dataset.given == "train"), np.flatnonzero(dataset.given == "")
    return given, *((unsaid, train) if len(unsaid) else (train, none)), tuple(notes)


def together(dataset: Dataset, groups: Sequence[Any] | None = None) -> tuple[Rows, tuple[str, ...]]:
    """Return for each row the number of what it has to stay together with, (n,), and what has to be told.

    Rows with the very same inputs, and rows of a group; see `split`.
    """
    first = first_of_its_kind(dataset)
    copies = int((first != np.arange(len(first))).sum())
    notes: tuple[str, ...] = ()
    if copies > _SAME * len(first) and _is_small(dataset):
        notes = (f"{copies:,} of {counted(len(first), 'row')} repeat others by chance: they may be on both sides",)
        first = np.arange(len(first))
    elif copies:
        notes = (f"{counted(copies, 'row')} with the inputs of another one stay on its side",)
    if groups is None:
        return first, notes
    if len(groups) != len(dataset):
        raise SettingError(f"there are {len(dataset)} rows, but {len(groups)} groups: give one for each row")
    return _merged(first, list(groups)), notes


def _is_small(dataset: Dataset) -> bool:
    """Whether a table has so few combinations of values that rows repeat each other by chance."""
    if not isinstance(dataset.inputs, dict):
        return False
    room = sum(np.log(len(np.unique(codes_of(column)))) for column in dataset.inputs.values())
    return bool(room <= np.log(_ROOM * len(dataset)))


def _merged(first: Rows, groups: list[Any]) -> Rows:
    """Units of rows that are connected by a copy or a group."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    place: dict[Any, int] = {}
    codes = np.array([place.setdefault(group, len(place)) for group in groups])
    n, rows = len(first), np.arange(len(first))
    ends = np.concatenate([first, n + codes])  # each group is a node of its own
    graph = coo_matrix((np.ones(2 * n), (np.tile(rows, 2), ends)), shape=(n + len(place),) * 2)
    return np.asarray(connected_components(graph, directed=False)[1][:n], dtype=np.intp)


def _strata(dataset: Dataset) -> Rows:
    """What has to be split alike, (n,): classes, or tenths of a number; all the same where there is neither."""
    if dataset.classes is not None:
        return dataset.labels()
    if dataset.goal != "number" or len(dataset) < 2 * _BINS:
        return np.zeros(len(dataset), np.intp)
    order = np.argsort(np.argsort(np.asarray(dataset.targets), kind="stable"), kind="stable")
    return np.asarray(order * _BINS // len(dataset), dtype=np.intp)


def _assigned(
    strata: Rows, units: Rows, weights: NDArray[np.float64], rng: np.random.Generator, *, train: bool
) -> Rows:
    """The number of each row's part, (n,); if part 0 is for training, it gets something of every stratum."""
    _, units = np.unique(units, return_inverse=True)
    sizes = np.bincount(units)
    _, leader = np.unique(units, return_index=True)  # the first row of each unit gives its stratum
    stratum_of = strata[leader]
    part_of = np.zeros(len(sizes), np.intp)
    owed = np.zeros(len(weights))  # to each part, by the rounding of the strata before
    for stratum in np.unique(stratum_of):
        members = rng.permutation(np.flatnonzero(stratum_of == stratum))
        exact = weights * sizes[members].sum()
        part_of[members] = _dealt(sizes[members], _rounded(exact, owed, train=train))
        owed += exact - np.bincount(part_of[members], weights=sizes[members], minlength=len(weights))
    _fill_empty(part_of, stratum_of, len(weights))
    return part_of[units]


def _rounded(exact: NDArray[np.float64], owed: NDArray[np.float64], *, train: bool) -> Rows:
    """Each number rounded down or up, their sum kept; up where most is owed."""
    counts = np.floor(exact + 1e-9)
    wish = owed + np.maximum(exact - counts, 0.0)
    wish[exact - counts < 1e-9] -= 1e9  # whole already
    if train and counts[0] == 0.0:
        wish[0] += 1e6
    for part in np.argsort(-wish, kind="stable")[: round(float(exact.sum() - counts.sum()))]:
        counts[part] += 1.0
    return counts.astype(np.intp)


def _dealt(sizes: Rows, counts: Rows) -> Rows:
    """The part of each unit, in their random order; large units first, each to the part that lacks most."""
    if (sizes == 1).all():
        return np.repeat(np.arange(len(counts)), counts)
    lacking = counts.astype(np.float64)
    parts = np.empty(len(sizes), np.intp)
    for unit in np.argsort(-sizes, kind="stable"):
        parts[unit] = int(np.argmax(lacking))
        lacking[parts[unit]] -= sizes[unit]
    return parts


def _fill_empty(part_of: Rows, stratum_of: Rows, count: int) -> None:
    """Give a part that rounding left empty one unit of the part, and of it the stratum, that has most."""
    for part in range(count):
        if not (part_of == part).any():
            richest = np.argmax(np.bincount(part_of, minlength=count))
            inside = np.flatnonzero(part_of == richest)
            most = np.argmax(np.bincount(stratum_of[inside]))
            part_of[inside[stratum_of[inside] == most][-1]] = part


def _check_enough(dataset: Dataset, units: int, left: Mapping[str, float]) -> None:
    if units < 1 + len(left):
        raise DataError(
            f"{dataset.source} has {counted(units, 'row')} that may part: training and {', '.join(left)} need"
            f" {1 + len(left)} at least"
        )


def _thin(dataset: Dataset, given: Mapping[str, Rows]) -> tuple[str, ...]:
    """Tell which classes a part lacks."""
    if dataset.classes is None:
        return ()
    labels = dataset.labels()
    notes = []
    for part in PARTS:
        if not len(given[part]):
            continue
        counts = np.bincount(labels[given[part]], minlength=len(dataset.classes))
        total = np.bincount(labels, minlength=len(dataset.classes))
        lacking = [f"{dataset.classes[i]} ({total[i]})" for i in np.flatnonzero((counts == 0) & (total > 0))]
        if lacking:
            shown = ", ".join(lacking[:8]) + (", ..." if len(lacking) > 8 else "")
            notes.append(f"no {part} row of {counted(len(lacking), 'class')} with few rows: {shown}")
    return tuple(notes)
