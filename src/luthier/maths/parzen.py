"""Parzen estimators over spaces with categories and conditions (Bergstra et al. 2011; Watanabe 2023).

A mixture of one product kernel for each observed point and one for the prior. A kernel factor is a Gaussian truncated
to [0, 1] in a number, smoothed counts in a category, and the uniform law where its own point has no value: so a point
of one branch of a tree still has a proper density in another branch. The logarithm of every factor is linear in the
features (1, x, x^2, one-hot category) of the point asked about, so that densities are one matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """What kind each column of the points is.

    Parameters
    ----------
    categories : (d,) int array
        How many categories the column has; 0 for a number. Category c of k is coded as (c + 1/2) / k.
    cells : (d,) float array
        Width of the cells of a number that has finitely many values, 0 if it is continuous.
    """

    categories: Counts
    cells: Array

    def features(self, x: Array) -> Array:
        """Features of points, (n, f): activity, value and square of each number, then one-hot categories.

        Parameters
        ----------
        x : (n, d) float array
            NaN where inactive; all features of that column are zero then.
        """
        numbers, named = x[:, self.categories == 0], np.flatnonzero(self.categories)
        active = ~np.isnan(numbers)
        filled = np.where(active, numbers, 0.0)
        parts = [active.astype(float), filled, filled * filled]
        return np.hstack([*parts, *(self.one_hot(x, int(j)) for j in named)])

    def one_hot(self, x: Array, j: int) -> Array:
        """Mark the category of column `j`, (n, categories); zeros where inactive."""
        k = int(self.categories[j])
        code = np.where(np.isnan(x[:, j]), -1.0, np.minimum(np.floor(x[:, j] * k), k - 1))
        return np.equal(code[:, None], np.arange(k)).astype(np.float64)  # (n, k)


def scott_bandwidths(centers: Array, *, factor: float, floor: float, top: float = 1.0) -> Array:
    """Bandwidths by the rule of Scott (1992, equation 6.42), ``factor * spread * k ** (-1 / (d + 4))``, by column.

    Parameters
    ----------
    centers : (k, d) float array
        NaN where inactive.
    factor : float
        More than 1 smooths more than is best for a single Gaussian.
    floor, top : float
        Bounds of a bandwidth. A floor that falls as 1/k keeps kernels from collapsing on copies ("magic clip").

    Returns
    -------
    (d,) float array
    """
    k, d = centers.shape
    active = ~np.isnan(centers)
    count = np.maximum(active.sum(axis=0), 1)
    filled = np.where(active, centers, 0.0)
    off = np.where(active, centers - filled.sum(axis=0) / count, 0.0)
    spread = np.sqrt((off * off).sum(axis=0) / count)
    return np.asarray(np.clip(factor * spread * max(k, 1) ** (-1.0 / (d + 4)), floor, top))


def age_weights(n: int, *, recent: int = 25) -> Array:
    """Weigh observations by age: 1 for the latest, falling linearly to 1/n for the oldest (Bergstra et al. 2013).

    Parameters
    ----------
    n : int
        How many, the oldest first.
    recent : int
        So many of the latest all weigh 1.

    Returns
    -------
    (n,) float array
    """
    if n <= recent:
        return np.ones(n)
    return np.concatenate([np.linspace(1.0 / n, 1.0, n - recent), np.ones(recent)])


class Parzen:
    """A mixture of product kernels, one for each point, and of the prior.

    Parameters
    ----------
    columns : Columns
    centers : (k, d) float array
        Observed points, NaN where inactive; `k` may be 0.
    weights : (k,) float array
        Positive; they need not sum to one.
    bandwidths : (d,) float array
        Standard deviations in the numeric columns; at least half a cell is taken.
    prior : float
        Weight of the prior, on the scale of `weights`.
    smoothing : float
        Added to the count of each category in a kernel, on the scale where its own point counts 1.
    """

    def __init__(
        self, columns: Columns, centers: Array, weights: Array, bandwidths: Array, *, prior: float, smoothing: float
    ) -> None:
        self.columns, self.centers, self.smoothing = columns, centers, smoothing
        self.bandwidths = np.maximum(bandwidths, 0.5 * columns.cells)
        self.weights = np.append(weights, prior) / (np.sum(weights) + prior)  # (k + 1,), the prior last
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(self.weights)
        self._factors = np.vstack([self._kernel_factors(), self._prior_factors()])

    def _kernel_factors(self) -> Array:
        """Coefficients of the features in the log kernels, (k, f)."""
        numeric = self.columns.categories == 0
        c, s = self.centers[:, numeric], self.bandwidths[numeric]
        active = ~np.isnan(c)
        c, precision = np.where(active, c, 0.0), np.where(active, s**-2.0, 0.0)  # (k, d)
        mass = ndtr((1.0 - c) / s) - ndtr(-c / s)
        constant = np.where(active, -np.log(mass * s * math.sqrt(2.0 * math.pi)), 0.0) - 0.5 * precision * c * c
        shares = [self._log_shares(int(j)) for j in np.flatnonzero(~numeric)]
        return np.hstack([constant, precision * c, -0.5 * precision, *shares])

    def _log_shares(self, j: int) -> Array:
        """Log probabilities of the categories of column `j` in each kernel, (k, categories)."""
        hit = self.columns.one_hot(self.centers, j)
        shares = hit + self.smoothing
        return np.asarray(np.log(shares / shares.sum(axis=1, keepdims=True)))

    def _prior_factors(self) -> Array:
        numbers = np.zeros(3 * int(np.sum(self.columns.categories == 0)))
        named = [np.full(int(k), -math.log(k)) for k in self.columns.categories if k]
        return np.concatenate([numbers, *named])[None, :]

    def log_density(self, x: Array, log_prior: Array | None = None) -> Array:
        """Natural-log density at points.

        Parameters
        ----------
        x : (n, d) float array
            NaN where inactive.
        log_prior : (n,) float array, optional
            Log density of the prior relative to the uniform one.

        Returns
        -------
        (n,) float array
            Integrates to one over each set of points with the same active columns, summed over these sets, if the
            tree of conditions is drawn from the root.
        """
        return self.log_density_of(self.columns.features(x), log_prior)

    def log_density_of(self, features: Array, log_prior: Array | None = None) -> Array:
        """Natural-log density, (n,), at points given by their features, (n, f); see `log_density`."""
        logs = features @ self._factors.T + self._log_weights  # (n, k + 1)
        if log_prior is not None:
            logs[:, -1] += log_prior
        top = logs.max(axis=1)
        return np.asarray(top + np.log(np.exp(logs - top[:, None]).sum(axis=1)))

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Counts]:
        """Draw points; columns where a kernel has no value are uniform, and none is inactive yet.

        Returns
        -------
        (n, d) float array, (n,) int array
            The points, and which kernel each came from, `k` for the prior.
        """
        kernel = np.searchsorted(np.cumsum(self.weights), rng.random(n) * (1.0 - 1e-12), side="right")
        x = rng.random((n, len(self.columns.cells)))
        rows = np.flatnonzero(kernel < len(self.centers))
        if len(rows):
            centers, u = self.centers[kernel[rows]], x[rows]
            numbers = _truncated(u, centers, self.bandwidths)
            moved = np.where(self.columns.categories == 0, numbers, self._named(u, centers))
            x[rows] = np.where(np.isnan(centers), u, moved)
        return x, kernel

    def _named(self, u: Array, centers: Array) -> Array:
        """Keep the category of the center, or with the smoothing's share draw any."""
        k = np.maximum(self.columns.categories, 1)
        share = k * self.smoothing / (1.0 + k * self.smoothing)
        return np.where(
            u < share, np.minimum(np.floor(u / np.maximum(share, 1e-300) * k), k - 1) / k + 0.5 / k, centers
        )


def _truncated(u: Array, center: Array, spread: Array) -> Array:
    """Inverse distribution function of Gaussians truncated to [0, 1]."""
    low, high = ndtr(-center / spread), ndtr((1.0 - center) / spread)
    return np.asarray(np.clip(center + spread * ndtri(low + u * (high - low)), 0.0, 1.0))
