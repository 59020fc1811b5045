"""Output transforms: what a loss looks like to a Gaussian process. All are increasing, so the order of trials stays.

Only standardizing loses much on real losses, whose upper tail is long (a diverged training) and carries no information
about the optimum; a rank transform forgets distances. `docs/research.md` has the figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LAMBDAS = np.linspace(-2.0, 3.0, 26)
_TINY = 1e-12


def standardize(y: Array) -> Array:
    """Shift and scale to mean 0 and standard deviation 1; a constant becomes zeros.

    Parameters
    ----------
    y : (n,) float array
        Finite values of any size; differences may overflow a float.

    Returns
    -------
    (n,) float array
    """
    scale = float(np.abs(y).max(initial=0.0))
    if scale == 0.0:
        return np.zeros(len(y))
    z = y / scale
    z = z - z.mean()
    spread = float(z.std())
    return np.asarray(z / spread) if spread > _TINY else np.zeros(len(y))


def winsorize(y: Array) -> Array:
    """Standardize after capping the upper tail as far above the median as the lowest value lies below it.

    Parameters
    ----------
    y : (n,) float array

    Returns
    -------
    (n,) float array
    """
    middle = float(np.median(y))
    depth = middle - float(y.min())
    return standardize(np.minimum(y, middle + depth)) if depth > 0.0 else standardize(y)


def yeo_johnson(y: Array) -> Array:
    """Standardize after the power transform of the highest normal likelihood (Yeo and Johnson 2000; HEBO).

    Parameters
    ----------
    y : (n,) float array

    Returns
    -------
    (n,) float array
    """
    z = standardize(y)
    if not z.any():
        return z
    folded = np.sign(z) * np.log1p(np.abs(z))
    powers = np.stack([_power(folded, lam) for lam in _LAMBDAS])  # (k, n)
    spreads = powers.var(axis=1)
    fit = -0.5 * len(z) * np.log(np.maximum(spreads, _TINY)) + (_LAMBDAS - 1.0) * folded.sum()  # their equation 3.1
    return standardize(powers[int(np.argmax(fit))])


def _power(folded: Array, lam: float) -> Array:
    """Yeo-Johnson power of values given as sign(z) log(1 + |z|)."""
    above = np.maximum(folded, 0.0)
    below = np.minimum(folded, 0.0)
    up = np.expm1(lam * above) / lam if abs(lam) > 1e-9 else above
    down = -np.expm1(-(2.0 - lam) * below) / (2.0 - lam) if abs(2.0 - lam) > 1e-9 else below
    return np.asarray(up + down)
