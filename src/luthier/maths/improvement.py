"""Logarithm of expected improvement in a form that neither underflows nor cancels (Ament et al. 2023, section 4.1)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, ndtr

Array = NDArray[np.float64]

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_ROOT_HALF_PI = math.sqrt(0.5 * math.pi)
_FAR = -1e3  # below, 1 + z R(z) is 1 / z^2 to double precision


def log_h(z: Array) -> tuple[Array, Array]:
    """Log of ``h(z) = phi(z) + z Phi(z)`` and its derivative (Ament et al. 2023, equation 9).

    Parameters
    ----------
    z : (n,) float array
        Improvements in standard deviations; any finite value.

    Returns
    -------
    (n,) float array, (n,) float array
        ``log h`` and ``d log h / dz = Phi / h``.
    """
    near = z > -1.0
    if near.all():
        return _near(z)
    if not near.any():
        return _far(z)
    value, slope = np.empty(z.shape), np.empty(z.shape)
    value[near], slope[near] = _near(z[near])
    value[~near], slope[~near] = _far(z[~near])
    return value, slope


def _near(z: Array) -> tuple[Array, Array]:
    below = ndtr(z)
    h = np.exp(-0.5 * z * z - _LOG_ROOT_2PI) + z * below
    return np.log(h), below / h


def _far(z: Array) -> tuple[Array, Array]:
    """For z <= -1, where `h` cancels and then underflows."""
    mills = _ROOT_HALF_PI * erfcx(-math.sqrt(0.5) * z)  # Phi / phi
    rest = np.where(z > _FAR, 1.0 + z * mills, z**-2.0)  # h / phi
    return -0.5 * z * z - _LOG_ROOT_2PI + np.log(rest), mills / rest


def log_expected_improvement(mean: Array, variance: Array, best: float) -> Array:
    """Log expected improvement below `best` of normal predictions.

    Parameters
    ----------
    mean, variance : (n,) float array
        Of the prediction; ``variance > 0``.
    best : float
        The value to improve on; lower is better.

    Returns
    -------
    (n,) float array
    """
    spread = np.sqrt(variance)
    return np.asarray(log_h((best - mean) / spread)[0] + np.log(spread))


def log_expected_improvement_gradient(
    mean: Array, variance: Array, best: float, *, mean_gradient: Array, variance_gradient: Array
) -> tuple[Array, Array]:
    """Log expected improvement and its gradient along the coordinates of the predictions.

    Parameters
    ----------
    mean, variance : (n,) float array
        Of the prediction; ``variance > 0``.
    best : float
        The value to improve on.
    mean_gradient, variance_gradient : (n, d) float array
        Derivatives of both by the coordinates.

    Returns
    -------
    (n,) float array, (n, d) float array
    """
    spread = np.sqrt(variance)
    z = (best - mean) / spread
    value, slope = log_h(z)
    spread_gradient = variance_gradient / (2.0 * spread[:, None])
    gradient = slope[:, None] * (-mean_gradient - z[:, None] * spread_gradient) + spread_gradient
    return value + np.log(spread), gradient / spread[:, None]
