"""Gaussian-process regression: the log posterior of the hyperparameters with analytic gradients, and predictions.

The constant mean is profiled out by generalized least squares (Rasmussen and Williams 2006, section 2.7). All functions
work on coordinates and effects as `luthier.maths.kernel` explains them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from luthier.maths.kernel import Array, Groups, distance_tensor, matern, squared_distances
from luthier.maths.quasi_newton import minimize

_JITTER = 1e-8  # share of the signal added to the noise
_FLOOR = 1e-10  # share of the prior variance below which no prediction goes


@dataclass(frozen=True, slots=True)
class Shape:
    """Which coordinate and which effect belongs to which group.

    Parameters
    ----------
    coordinate_groups : (m,) int array
        Group of each coordinate, 0 to ``lengthscales - 1``.
    effect_groups : (f,) int array
        Group of each effect, 0 to ``amplitudes - 1``.
    lengthscales, amplitudes : int
        How many groups there are of each.
    expected : (f,) float array
        Prior mean of the weight of each effect, in units of the observed values.
    """

    coordinate_groups: Groups
    effect_groups: Groups
    lengthscales: int
    amplitudes: int
    expected: Array

    @property
    def size(self) -> int:
        """How many hyperparameters there are: lengthscales, signal, noise, amplitudes, in this order."""
        return self.lengthscales + 2 + self.amplitudes


@dataclass(frozen=True, slots=True)
class Hyperprior:
    """Normal priors on the logarithms of the hyperparameters, and the box they are searched in; each (k,)."""

    mean: Array
    spread: Array
    low: Array
    high: Array


class LogPosterior:
    """Negative log posterior of the log hyperparameters for fixed data.

    Parameters
    ----------
    shape : Shape
    prior : Hyperprior
    coordinates : (n, m) float array
    effects : (n, f) float array
    y : (n,) float array
        Observed values, standardized.
    """

    def __init__(self, shape: Shape, prior: Hyperprior, coordinates: Array, effects: Array, y: Array) -> None:
        n = len(y)
        self.shape, self.prior, self.effects, self.y = shape, prior, effects, y - effects @ shape.expected
        self.tensor = distance_tensor(coordinates, shape.coordinate_groups, shape.lengthscales).reshape(-1, n * n)

    def __call__(self, theta: Array, starts: Groups) -> tuple[Array, Array]:
        """Values, (b,), and gradients, (b, k), at several log hyperparameters, (b, k), wherever they started."""
        found = [self.at(row) for row in theta]
        return np.array([value for value, _ in found]), np.array([gradient for _, gradient in found])

    def at(self, theta: Array) -> tuple[float, Array]:
        """Value and gradient at one vector of log hyperparameters; infinite where the covariance is not definite."""
        shape, n, d = self.shape, len(self.y), self.shape.lengthscales
        precision, signal, noise = np.exp(-2.0 * theta[:d]), float(np.exp(theta[d])), float(np.exp(theta[d + 1]))
        amplitude = np.exp(theta[d + 2 :])[shape.effect_groups]
        smooth, slope = matern((precision @ self.tensor).reshape(n, n))
        covariance = signal * smooth + (self.effects * amplitude) @ self.effects.T
        covariance.flat[:: n + 1] += noise + _JITTER * signal
        inverse, log_root = _inverse(covariance)
        if inverse is None:
            return np.inf, np.zeros(len(theta))
        column = inverse.sum(axis=1)
        rest = self.y - column @ self.y / column.sum()
        weights = inverse @ rest
        off = (theta - self.prior.mean) / self.prior.spread
        value = 0.5 * rest @ weights + log_root + 0.5 * off @ off
        pull = inverse - np.outer(weights, weights)  # twice the derivative by the covariance (R&W equation 5.9)
        gradient = np.empty(len(theta))
        gradient[:d] = signal * precision * (self.tensor @ (pull * slope).ravel())
        trace = np.trace(pull)
        gradient[d] = signal * (np.vdot(pull, smooth) + _JITTER * trace)
        gradient[d + 1] = noise * trace
        by_effect = amplitude * np.einsum("ij,ij->j", self.effects, pull @ self.effects)
        gradient[d + 2 :] = np.bincount(shape.effect_groups, by_effect, shape.amplitudes)
        return float(value), 0.5 * gradient + off / self.prior.spread


def fit(posterior: LogPosterior, start: Array, *, steps: int = 25) -> Array:
    """Find the mode of the hyperparameters.

    Parameters
    ----------
    posterior : LogPosterior
    start : (b, k) float array
        Where to start from; the best of the ends counts.
    steps : int
        Evaluations for each start at most.

    Returns
    -------
    (k,) float array
        Log hyperparameters.
    """
    prior = posterior.prior
    scale = np.minimum(prior.spread**2, 0.5)
    ends, values = minimize(
        posterior, start, low=prior.low, high=prior.high, steps=steps,
        gradient_tolerance=0.02, value_tolerance=2e-3, scale=scale, longest=2.0,
    )  # fmt: skip
    return np.asarray(ends[int(np.argmin(values))])


class Posterior:
    """Predictions of a Gaussian process with fixed hyperparameters.

    Parameters
    ----------
    shape : Shape
    theta : (k,) float array
        Log hyperparameters.
    coordinates : (n, m) float array
    effects : (n, f) float array
    y : (n,) float array

    Raises
    ------
    FloatingPointError
        If the covariance is not positive definite.
    """

    def __init__(self, shape: Shape, theta: Array, coordinates: Array, effects: Array, y: Array) -> None:
        d = shape.lengthscales
        self.shape, self.theta, self.y = shape, theta, y
        self.scale = np.exp(-theta[:d])[shape.coordinate_groups]  # (m,)
        self.signal, self.noise = float(np.exp(theta[d])), float(np.exp(theta[d + 1]))
        self.amplitude = np.exp(theta[d + 2 :])[shape.effect_groups]  # (f,)
        self._observe(coordinates, effects)
        covariance, _ = self._cross(coordinates, effects)
        covariance.flat[:: len(y) + 1] += self.noise + _JITTER * self.signal
        inverse, _ = _inverse(covariance)
        if inverse is None:
            raise FloatingPointError("the covariance is not positive definite")
        self.inverse = inverse
        column = inverse.sum(axis=1)
        rest = y - effects @ shape.expected
        self.mean = float(column @ rest / column.sum())
        self.weights = inverse @ (rest - self.mean)

    def _observe(self, coordinates: Array, effects: Array) -> None:
        self.coordinates, self.effects = coordinates, effects
        self._scaled = coordinates * self.scale

    def _cross(self, coordinates: Array, effects: Array) -> tuple[Array, Array]:
        """Covariances with the observed points, (k, n), and minus twice the slope of the Matern correlation."""
        smooth, slope = matern(squared_distances(coordinates * self.scale, self._scaled))
        smooth *= self.signal
        smooth += (effects * self.amplitude) @ self.effects.T
        return smooth, slope

    def _among(self, coordinates: Array, effects: Array) -> Array:
        """Covariances of new points among each other, (k, k)."""
        scaled = coordinates * self.scale
        smooth, _ = matern(squared_distances(scaled, scaled))
        return np.asarray(self.signal * smooth + (effects * self.amplitude) @ effects.T)

    def predict(self, coordinates: Array, effects: Array) -> tuple[Array, Array]:
        """Mean and variance, (k,) each, of the noise-free value at new points, (k, m) and (k, f)."""
        cross, _ = self._cross(coordinates, effects)
        return self._mean(cross, effects), self._variance(cross, effects)

    def gradient(self, coordinates: Array, effects: Array) -> tuple[Array, Array, Array, Array]:
        """Mean and variance, (k,) each, and their gradients by coordinates and effects together, (k, m + f) each."""
        cross, slope = self._cross(coordinates, effects)
        slope *= self.signal
        variance, variance_slope = self._variance_gradient(cross, slope, coordinates, effects)
        return self._mean(cross, effects), variance, self._mean_gradient(slope, coordinates, effects), variance_slope

    def _variance(self, cross: Array, effects: Array) -> Array:
        prior = self.signal + (effects * effects) @ self.amplitude
        variance = prior - np.einsum("ij,ij->i", cross @ self.inverse, cross)
        return np.asarray(np.maximum(variance, _FLOOR * prior))

    def _mean_gradient(self, slope: Array, coordinates: Array, effects: Array) -> Array:
        """Gradient of the mean, (k, m + f), from slopes of the covariances times the signal."""
        trend = self.shape.expected + self.weights @ self.effects * self.amplitude  # (f,)
        by_place = self._pull(slope * self.weights, coordinates)
        return np.concatenate([by_place, np.broadcast_to(trend, effects.shape)], axis=1)

    def _variance_gradient(self, cross: Array, slope: Array, coordinates: Array, effects: Array) -> tuple[Array, Array]:
        """Variance, (k,), and its gradient, (k, m + f), from covariances and their slopes times the signal."""
        solved = cross @ self.inverse
        prior = self.signal + (effects * effects) @ self.amplitude
        variance = prior - np.einsum("ij,ij->i", solved, cross)
        by_place = -self._pull(slope * solved, coordinates)
        by_effect = (effects - solved @ self.effects) * self.amplitude
        gradient = 2.0 * np.concatenate([by_place, by_effect], axis=1)
        return np.maximum(variance, _FLOOR * prior), gradient

    def _mean(self, cross: Array, effects: Array) -> Array:
        return np.asarray(self.mean + effects @ self.shape.expected + cross @ self.weights)

    def _pull(self, weighted: Array, coordinates: Array) -> Array:
        """Derivative by the coordinates, (k, m), of covariances summed with weights; takes weights times slopes."""
        away = weighted.sum(axis=1)[:, None] * coordinates - weighted @ self.coordinates
        return np.asarray(-away * self.scale**2)

    def believe(self, coordinates: Array, effects: Array) -> Posterior:
        """Condition on new points as if each came out at its predicted mean ("kriging believer").

        The mean everywhere stays; the variance near the points falls. The inverse is extended by blocks, at O(n^2 k).

        Parameters
        ----------
        coordinates : (k, m) float array
        effects : (k, f) float array

        Returns
        -------
        Posterior
        """
        cross, _ = self._cross(coordinates, effects)  # (k, n)
        expected = self._mean(cross, effects)
        own = self._among(coordinates, effects)
        own.flat[:: len(own) + 1] += self.noise + _JITTER * self.signal
        solved = cross @ self.inverse  # (k, n)
        block, _ = _inverse(own - solved @ cross.T)
        if block is None:  # a copy of an observed point: it teaches nothing
            return self
        corner = -block @ solved
        new = object.__new__(Posterior)
        new.__dict__.update(self.__dict__)
        new.inverse = np.block([[self.inverse - solved.T @ corner, corner.T], [corner, block]])
        new._observe(np.vstack([self.coordinates, coordinates]), np.vstack([self.effects, effects]))
        new.y = np.concatenate([self.y, expected])
        new.weights = np.concatenate([self.weights, np.zeros(len(expected))])
        return new

    def awaiting(self, coordinates: Array, effects: Array) -> Awaiting:
        """Return predictions that also tell what will be left to learn once new points, (k, m), are observed."""
        return Awaiting(self, self.believe(coordinates, effects))


@dataclass(frozen=True, slots=True)
class Awaiting:
    """Predictions from what was observed, and the variance that is left once some more points are observed too.

    A variance does not depend on what the points turn out to be. One evaluation of the kernel serves both.

    Attributes
    ----------
    now : Posterior
    then : Posterior
        With the further points, last.
    """

    now: Posterior
    then: Posterior

    def predict(self, coordinates: Array, effects: Array) -> tuple[Array, Array, Array]:
        """Mean, variance and the variance that will be left, (k,) each, at new points, (k, m) and (k, f)."""
        cross, _ = self.then._cross(coordinates, effects)
        known = cross[:, : len(self.now.y)]
        left = self.then._variance(cross, effects)
        return self.now._mean(known, effects), self.now._variance(known, effects), left

    def gradient(self, coordinates: Array, effects: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
        """Mean, variance and the variance that will be left, (k,) each, then their gradients, (k, m + f) each.

        Gradients are by coordinates and effects together.
        """
        cross, slope = self.then._cross(coordinates, effects)
        slope *= self.then.signal
        n = len(self.now.y)
        variance, variance_slope = self.now._variance_gradient(cross[:, :n], slope[:, :n], coordinates, effects)
        left, left_slope = self.then._variance_gradient(cross, slope, coordinates, effects)
        mean_slope = self.now._mean_gradient(slope[:, :n], coordinates, effects)
        return self.now._mean(cross[:, :n], effects), variance, left, mean_slope, variance_slope, left_slope


def _inverse(matrix: Array) -> tuple[Array | None, float]:
    """Inverse and half the log determinant of a covariance; None where it is not positive definite."""
    factor, failed = lapack.dpotrf(matrix, lower=1, clean=1)
    diagonal = factor.diagonal()
    if failed or not np.isfinite(diagonal).all():
        return None, 0.0
    lower, failed = lapack.dpotri(factor, lower=1)
    if failed:
        return None, 0.0
    inverse = np.tril(lower, -1)
    inverse = inverse + inverse.T
    inverse.flat[:: len(matrix) + 1] = lower.diagonal()
    return inverse, float(np.log(diagonal).sum())
