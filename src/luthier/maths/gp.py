"""Gaussian-process regression: the log posterior of the hyperparameters with analytic gradients, and predictions.

The constant mean is profiled out by generalized least squares (Rasmussen and Williams 2006, section 2.7). All functions
work on coordinates and effects as `luthier.maths.kernel` explains them.
"""

from __future__ import annotations

from collections.abc import Callable
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
        prior = self.signal + (effects * effects) @ self.amplitude
        variance = prior - np.einsum("ij,ij->i", cross @ self.inverse, cross)
        return self._mean(cross, effects), np.maximum(variance, _FLOOR * prior)

    def gradient(self, coordinates: Array, effects: Array) -> tuple[Array, Array, Array, Array]:
        """Mean and variance, (k,) each, and their gradients by coordinates and effects together, (k, m + f) each."""
        cross, slope = self._cross(coordinates, effects)
        slope *= self.signal
        solved = cross @ self.inverse
        prior = self.signal + (effects * effects) @ self.amplitude
        variance = prior - np.einsum("ij,ij->i", solved, cross)
        trend = self.shape.expected + self.weights @ self.effects * self.amplitude  # (f,)
        mean_slope = np.hstack([self._pull(slope * self.weights, coordinates), np.tile(trend, (len(cross), 1))])
        variance_slope = 2.0 * np.hstack(
            [-self._pull(slope * solved, coordinates), (effects - solved @ self.effects) * self.amplitude]
        )
        return self._mean(cross, effects), np.maximum(variance, _FLOOR * prior), mean_slope, variance_slope

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

    def fantasies(
        self, coordinates: Array, effects: Array, *, count: int, doubt: float, rng: np.random.Generator
    ) -> Fantasies:
        """Condition on new points as if they came out at joint draws from their prediction.

        The draws of each independent direction are shifted and scaled to mean 0 and variance 1, so that few do.

        Parameters
        ----------
        coordinates : (k, m) float array
        effects : (k, f) float array
        count : int
            How many draws.
        doubt : float
            What the predicted covariance is multiplied by.
        rng : numpy.random.Generator

        Returns
        -------
        Fantasies
        """
        believed = self.believe(coordinates, effects)
        n, k = len(self.y), len(coordinates)
        if len(believed.y) == n:  # copies of observed points, of which there is nothing to draw
            values = np.repeat(self.predict(coordinates, effects)[0][:, None], count, axis=1)
            return Fantasies(self, np.repeat(self.weights[:, None], count, axis=1), values)
        cross, _ = self._cross(coordinates, effects)
        covariance = doubt * (self._among(coordinates, effects) - cross @ self.inverse @ cross.T)
        covariance.flat[:: k + 1] += self.noise + _JITTER * self.signal
        size, direction = np.linalg.eigh(covariance)
        drawn = rng.standard_normal((k, count))
        drawn -= drawn.mean(axis=1, keepdims=True)
        drawn /= drawn.std(axis=1, keepdims=True)
        off = (direction * np.sqrt(np.maximum(size, 0.0))) @ drawn  # (k, count)
        weights = believed.weights[:, None] + believed.inverse[:, n:] @ off
        return Fantasies(believed, weights, believed.y[n:, None] + off)


@dataclass(frozen=True, slots=True)
class Fantasies:
    """Predictions under each of several guesses of results that are not in yet.

    Attributes
    ----------
    believed : Posterior
        Under their predicted means; the variance is that of every guess.
    weights : (n, count) float array
        Of the observed and the guessed points, for each guess.
    values : (k, count) float array
        The guesses.
    """

    believed: Posterior
    weights: Array
    values: Array

    def predict(self, coordinates: Array, effects: Array) -> tuple[Array, Array]:
        """Means, (k, count), and variance, (k,), of the noise-free value at new points, (k, m) and (k, f)."""
        one = self.believed
        cross, _ = one._cross(coordinates, effects)
        prior = one.signal + (effects * effects) @ one.amplitude
        variance = prior - np.einsum("ij,ij->i", cross @ one.inverse, cross)
        return self._means(cross, effects), np.maximum(variance, _FLOOR * prior)

    def gradient(self, coordinates: Array, effects: Array, pull: Pull) -> tuple[Array, Array]:
        """Value, (k,), and gradient by coordinates and effects together, (k, m + f), of a function of a prediction.

        `pull` takes the means and the variance and returns the value, its derivatives by the means, (k, count), and
        by the variance, (k,).
        """
        one = self.believed
        cross, slope = one._cross(coordinates, effects)
        _, variance, _, variance_slope = one.gradient(coordinates, effects)
        value, by_mean, by_variance = pull(self._means(cross, effects), variance)
        weights = by_mean @ self.weights.T  # (k, n)
        trend = by_mean.sum(axis=1)[:, None] * one.shape.expected + weights @ one.effects * one.amplitude
        mean_part = np.hstack([one._pull(one.signal * slope * weights, coordinates), trend])
        return value, mean_part + by_variance[:, None] * variance_slope

    def _means(self, cross: Array, effects: Array) -> Array:
        trend = self.believed.mean + effects @ self.believed.shape.expected
        return np.asarray(trend[:, None] + cross @ self.weights)


Pull = Callable[[Array, Array], tuple[Array, Array, Array]]


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
