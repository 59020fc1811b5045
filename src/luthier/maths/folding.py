"""Cutting rows into folds for cross-validation: stratified by class or by size of the target, groups kept together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.errors import SettingError

Rows: TypeAlias = NDArray[np.intp]
_CLASSES = 50  # distinct numbers above which numeric targets that are no whole numbers count as a regression


def folds(
    labels: int | Sequence[Any] | NDArray[Any],
    k: int = 5,
    *,
    seed: int = 0,
    groups: Sequence[Any] | NDArray[Any] | None = None,
) -> list[tuple[Rows, Rows]]:
    """Cut rows into k folds, each of them once what the others are tested on.

    Parameters
    ----------
    labels : int, or (n,) sequence
        Targets, which every fold gets the same share of: classes, or numbers of a regression, which are taken by their
        rank. An int is a number of rows, about which nothing is known.
    k
        How many folds.
    seed
        Of the draw.
    groups : (n,) sequence, optional
        Rows of the same group go into the same fold, such as exact duplicates or the pictures of one person. Shares
        are then only as equal as the groups allow.

    Returns
    -------
    list of k pairs of int arrays
        Rows to train on and rows to test on, ascending. Without groups, the sizes of two folds differ by at most one
        row, and so do the numbers of rows of a class in them.

    Raises
    ------
    SettingError
        If `k` is below 2 or there are fewer rows, or groups, than folds.

    Examples
    --------
    >>> labels = ["a", "b", "a", "b", "a", "a"]
    >>> [test.size for _, test in folds(labels, 2)]
    [3, 3]
    >>> [labels[row] for row in folds(labels, 2)[0][1]].count("b")
    1
    """
    n = labels if isinstance(labels, int) else len(labels)
    _checked(k, n, groups)
    rng = np.random.default_rng(seed)
    strata = np.zeros(n, np.intp) if isinstance(labels, int) else strata_of(labels)
    of = np.full(n, -1, np.intp)  # (n,) fold of each row
    sizes = np.zeros(k, np.intp)
    if groups is not None:
        _place_groups(of, sizes, strata, _numbered(groups), rng)
    _place_rows(of, sizes, strata, k, rng)
    return [(np.flatnonzero(of != fold), np.flatnonzero(of == fold)) for fold in range(k)]


def strata_of(labels: Sequence[Any] | NDArray[Any]) -> Rows:
    """Number the classes of labels; many different fractions, a regression, become tenths by rank.

    Parameters
    ----------
    labels : (n,) sequence

    Returns
    -------
    (n,) int array
    """
    values = np.asarray(labels)
    if values.ndim > 1:
        values = values.reshape(len(values), -1)[:, 0]
    if values.dtype.kind == "f" and len(np.unique(values)) > _CLASSES and bool((values % 1 != 0).any()):
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        return np.asarray(ranks * 10 // len(values), np.intp)
    return _numbered(values)


def _checked(k: int, n: int, groups: Sequence[Any] | NDArray[Any] | None) -> None:
    if groups is not None and len(groups) != n:
        raise SettingError(f"groups= says for each row which it belongs to: {n} rows, got {len(groups)} groups")
    units = n if groups is None else int(_numbered(groups).max(initial=-1)) + 1
    if k < 2 or units < k:
        what = "rows" if groups is None else "groups"
        raise SettingError(f"needs 2 <= k <= {what}, got k={k!r} with {units} {what}: use fewer folds")


def _numbered(values: Sequence[Any] | NDArray[Any]) -> Rows:
    """Number distinct values, (n,); objects of mixed kinds are told apart by kind and text."""
    array = np.asarray(values)
    if array.dtype.kind == "O":
        array = np.array([f"{type(value).__name__} {value}" for value in array])
    return np.asarray(np.unique(array, return_inverse=True)[1], np.intp).reshape(-1)


def _place_groups(of: Rows, sizes: Rows, strata: Rows, groups: Rows, rng: np.random.Generator) -> None:
    """Put groups of several rows, the largest first, each where its classes are scarcest."""
    counts = np.bincount(groups)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order], kind="stable")]
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(counts)[:-1])
    share = np.bincount(strata) / len(sizes)  # rows of a class that a fold should get
    held = np.zeros((len(sizes), len(share)))
    for group in order[: int((counts > 1).sum())].tolist():
        rows = members[group]
        new = np.bincount(strata[rows], minlength=len(share))
        over = ((held + new) / share - held / share) * (held + new / 2 - share / 2)  # growth of the squared error
        fold = int(np.lexsort((sizes, over.sum(1).round(9)))[0])
        of[rows] = fold
        held[fold] += new
        sizes[fold] += len(rows)


def _place_rows(of: Rows, sizes: Rows, strata: Rows, k: int, rng: np.random.Generator) -> None:
    """Deal the rows that are left out in turn, class by class; smaller folds get more of them."""
    rows = np.flatnonzero(of < 0)
    rows = rows[rng.permutation(len(rows))]
    rows = rows[np.argsort(strata[rows], kind="stable")]
    turns = rng.permutation(k)
    if not sizes.any():
        of[rows] = turns[np.arange(len(rows)) % k]
        return
    room = np.zeros(k, np.intp)
    for _ in rows:
        room[np.argmin(sizes + room)] += 1
    place = np.concatenate([(np.arange(r) + 0.5) / max(r, 1) for r in room.tolist()])
    of[rows] = np.repeat(np.arange(k), room)[np.argsort(place, kind="stable")]
