"""Variance-based sensitivity: how much of a function's variance one variable, or two together, explain.

Sobol (1993); the estimator is that of Saltelli et al. (2010), table 2, row b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def closed_indices(
    function: Callable[[Array], Array], a: Array, b: Array, groups: Sequence[Sequence[int]]
) -> tuple[Array, float]:
    """Share of the variance that each group of variables explains by itself, interactions within the group included.

    Parameters
    ----------
    function
        Maps (n, d) points to (n,) values.
    a, b : (n, d) float array
        Two independent samples of the inputs.
    groups
        Columns, ``g`` groups of them.

    Returns
    -------
    shares : (g,) float array
        Closed Sobol indices; slightly below 0 or above 1 by chance.
    variance : float
        Of the function; the shares are zero if it is.
    """
    at_a, at_b = function(a), function(b)
    center = 0.5 * (at_a.mean() + at_b.mean())  # a shift costs no bias and saves variance
    at_a, at_b = at_a - center, at_b - center
    variance = float(np.var(np.concatenate([at_a, at_b])))
    shares = np.zeros(len(groups))
    if variance > 0.0:
        for i, columns in enumerate(groups):
            mixed = b.copy()
            mixed[:, list(columns)] = a[:, list(columns)]
            shares[i] = float(np.mean(at_a * (function(mixed) - center - at_b))) / variance
    return shares, variance
