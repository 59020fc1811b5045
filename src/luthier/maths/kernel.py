"""Matern-5/2 kernel with a lengthscale per parameter, and polynomial main effects (the prior of a Luthier surrogate).

The covariance of two configurations is::

    signal * matern(r) + sum over effects f of amplitude[group of f] * p_f * p'_f,
    r^2 = sum over coordinates c of (z_c - z'_c)^2 / lengthscale[group of c]^2

with coordinates z and effects p, see `luthier.search.bayes_frame`. A group is one parameter; a category has several
coordinates in its group. The Matern part is Rasmussen and Williams (2006), equation 4.17; the second part is Bayesian
linear regression on the effects (their section 2.1), which finds slopes and bowls from a handful of trials.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Groups = NDArray[np.intp]

_ROOT5 = math.sqrt(5.0)


def matern(squared: Array) -> tuple[Array, Array]:
    """Matern-5/2 correlation and minus its slope.

    Parameters
    ----------
    squared : float array of any shape
        Squared scaled distances, ``r**2 >= 0``.

    Returns
    -------
    two float arrays of that shape
        ``k = (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)`` and ``-2 dk / d(r^2) = 5/3 (1 + sqrt(5) r) exp(-sqrt(5) r)``.
    """
    s = np.sqrt(squared)
    s *= _ROOT5
    decay = np.negative(s)
    np.exp(decay, out=decay)
    slope = 1.0 + s
    slope *= decay
    s *= s
    s *= decay
    s /= 3.0
    s += slope
    slope *= 5.0 / 3.0
    return s, slope


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances between the rows of two matrices, (n, m) and (k, m), as (n, k), never negative."""
    cross = a @ b.T
    cross *= -2.0
    cross += (a * a).sum(axis=1)[:, None]
    cross += (b * b).sum(axis=1)
    return np.maximum(cross, 0.0, out=cross)


def distance_tensor(coordinates: Array, groups: Groups, count: int) -> Array:
    """Squared distances by group.

    Parameters
    ----------
    coordinates : (n, m) float array
    groups : (m,) int array
        The group of each coordinate, below `count`.
    count : int
        How many groups there are.

    Returns
    -------
    (count, n, n) float array
        Without lengthscales; the sum over groups of ``tensor / lengthscale**2`` is ``r**2``.
    """
    n = len(coordinates)
    tensor = np.zeros((count, n, n))
    for column, group in zip(coordinates.T, groups.tolist(), strict=True):
        tensor[group] += np.subtract.outer(column, column) ** 2
    return tensor
