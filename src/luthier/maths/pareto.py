"""Nondominated sorting, crowding and hypervolume (Deb et al. 2002, NSGA-II; Fonseca et al. 2006).

Losses are minimized. A row with a NaN has no result: it is dominated by every row that has one.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ranks = NDArray[np.int64]


def nondominated_ranks(losses: Array, *, enough: int | None = None) -> Ranks:
    """Number the fronts: 0 for rows that no other dominates, 1 for those that only front 0 dominates, and so on.

    Parameters
    ----------
    losses : (n, m) float array
        Infinite values are compared like any other.
    enough : int, optional
        Stop when so many rows are ranked; all others share the next number. Saves time with three objectives or more.

    Returns
    -------
    (n,) int array
        Rows with a NaN come in a front of their own, after all others.

    Notes
    -----
    One and two objectives take O(n log n) (Jensen 2003); more peel front by front, O(n^2 m) at worst.

    Examples
    --------
    >>> nondominated_ranks(np.array([[1.0, 4.0], [2.0, 2.0], [3.0, 3.0], [np.nan, 0.0]])).tolist()
    [0, 0, 1, 2]
    """
    ranks = np.zeros(len(losses), dtype=np.int64)
    known = np.flatnonzero(~np.isnan(losses).any(axis=1))
    kept = losses[known]
    if losses.shape[1] == 1:
        ranks[known] = np.unique(kept[:, 0], return_inverse=True)[1]
    elif losses.shape[1] == 2:
        ranks[known] = _planar_ranks(kept)
    else:
        ranks[known] = _peeled_ranks(kept, len(kept) if enough is None else enough)
    missing = np.isnan(losses).any(axis=1)
    ranks[missing] = ranks[known].max(initial=-1) + 1
    return ranks


def _planar_ranks(losses: Array) -> Ranks:
    """Sweep by the first objective; a point joins the first front whose lowest second objective lies above it."""
    ranks = np.empty(len(losses), dtype=np.int64)
    lowest: list[float] = []  # of each front; rises from front to front
    before: tuple[float, float] | None = None
    front = 0
    for i in np.lexsort((losses[:, 1], losses[:, 0])):
        point = (float(losses[i, 0]), float(losses[i, 1]))
        if point != before:  # copies share a front
            front = bisect_right(lowest, point[1])
            lowest[front : front + 1] = [point[1]]
        ranks[i], before = front, point
    return ranks


def _peeled_ranks(losses: Array, enough: int) -> Ranks:
    ranks = np.full(len(losses), -1, dtype=np.int64)
    left, front = np.arange(len(losses)), 0
    while len(left) and len(losses) - len(left) < enough:
        first = is_nondominated(losses[left])
        ranks[left[first]] = front
        left, front = left[~first], front + 1
    ranks[left] = front
    return ranks


def is_nondominated(losses: Array) -> NDArray[np.bool_]:
    """Tell which rows no other row dominates: none is at least as good in every objective and better in one.

    Parameters
    ----------
    losses : (n, m) float array
        Without NaN.

    Returns
    -------
    (n,) bool array
    """
    order = np.lexsort(losses.T[::-1])  # whoever dominates a row comes before it
    keep = np.ones(len(losses), dtype=bool)
    for place, i in enumerate(order):
        if keep[i]:
            later = order[place + 1 :]
            worse = (losses[i] <= losses[later]).all(axis=1) & (losses[i] < losses[later]).any(axis=1)
            keep[later[worse]] = False
    return keep


def crowding_distance(losses: Array) -> Array:
    """Tell how far the neighbors of each row are along its front (Deb et al. 2002, section III-B).

    Parameters
    ----------
    losses : (n, m) float array
        One front.

    Returns
    -------
    (n,) float array
        The sum over objectives of the gap between the two neighbors, as a share of the range; infinite at the ends.
    """
    n, m = losses.shape
    distance = np.zeros(n)
    scaled = _scaled(losses)
    for j in range(m):
        order = np.argsort(scaled[:, j], kind="stable")
        column = scaled[order, j]
        distance[order[[0, -1]]] = np.inf
        if n > 2 and column[-1] > column[0]:
            distance[order[1:-1]] += (column[2:] - column[:-2]) / (column[-1] - column[0])
    return distance


def _scaled(losses: Array) -> Array:
    """Shrink huge values, infinite ones to just outside, so that differences stay finite."""
    finite = np.nan_to_num(losses, nan=0.0, posinf=0.0, neginf=0.0)
    top = np.maximum(np.abs(finite).max(axis=0, initial=0.0), 1e-300)
    return np.asarray(np.clip(losses / top, -2.0, 2.0))


def best_first(losses: Array, *, enough: int | None = None) -> Ranks:
    """Order rows from best to worst.

    Parameters
    ----------
    losses : (n, m) float array
        NaN where there is no result.
    enough : int, optional
        How many of the first places must be right.

    Returns
    -------
    (n,) int array
        Row numbers: by loss with one objective; by front, then the least crowded first, with several. Rows without a
        result come last; ties keep their order.
    """
    if losses.shape[1] == 1:
        return np.argsort(losses[:, 0], kind="stable")
    ranks = nondominated_ranks(losses, enough=enough)
    lonely = np.zeros(len(losses))
    for front in np.unique(ranks):
        rows = np.flatnonzero(ranks == front)
        if not np.isnan(losses[rows]).any():
            lonely[rows] = crowding_distance(losses[rows])
    return np.lexsort((-lonely, ranks))


def hypervolume(losses: Array, reference: Array) -> float:
    """Measure the space between a set of points and a reference point.

    Parameters
    ----------
    losses : (n, m) float array
        Points with at most the loss of the reference count; the others, and NaN, add nothing.
    reference : (m,) float array
        A point that is worse than all that matters.

    Returns
    -------
    float
        Volume dominated by the points and bounded by the reference.

    Notes
    -----
    A sweep in two objectives; more are cut into slabs along the last one (Fonseca et al. 2006), O(n^(m-1) log n).

    Examples
    --------
    >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0]))
    3.0
    """
    inside = losses[(losses < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    if losses.shape[1] == 1:
        return float(reference[0] - inside.min())
    if losses.shape[1] == 2:
        ordered = inside[np.lexsort((inside[:, 1], inside[:, 0]))]
        floor = np.minimum.accumulate(np.concatenate([reference[1:], ordered[:, 1]]))  # (k + 1,)
        return float(np.sum((reference[0] - ordered[:, 0]) * -np.diff(floor)))
    ordered = inside[np.argsort(inside[:, -1], kind="stable")]
    tops = np.append(ordered[1:, -1], reference[-1])
    heights = tops - ordered[:, -1]
    slabs = (h * hypervolume(ordered[: i + 1, :-1], reference[:-1]) for i, h in enumerate(heights) if h > 0)
    return float(sum(slabs))
