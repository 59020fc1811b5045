"""A Gaussian process over configurations and training steps, which extrapolates learning curves (freeze-thaw).

The loss of trial i at time t, its share of a full training, is modelled with the covariance::

    k(x, x') [s1 + s2 c(t, t') + s5 t t'] + [s3 c(t, t') + s4] (1 within one trial, else 0) + noise,
    c(t, t') = b / (t + t' + b)

where k is the kernel over configurations of `luthier.maths.kernel` and c that of exponential decays (Swersky, Snoek and
Adams 2014, "Freeze-thaw Bayesian optimization", equation 6 with alpha 1): s1 is where a configuration ends, s2 how its
curve falls, s5 a trend that early steps hardly show, s3 the trial's own bend, s4 its own offset. The mean is a
constant, profiled out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from luthier.maths.gp import Hyperprior, Shape
from luthier.maths.kernel import Array, distance_tensor, matern, squared_distances
from luthier.maths.quasi_newton import minimize

SCALES = 7  # hyperparameters after lengthscales and amplitudes: s1, s2, s3, s4, s5, noise, b
_JITTER = 1e-6
_NONE = -20.0  # log of a scale that is not there
_FLOOR = 1e-8  # share of the prior variance below which no prediction goes

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Curves:
    """Points of learning curves, those of one trial side by side.

    Parameters
    ----------
    coordinates, effects : (u, m) and (u, f) float array
        Of each trial, see `luthier.search.bayes_frame`.
    trial : (n,) int array
        Which trial each point belongs to; not falling, every trial has at least one.
    time : (n,) float array
        Share of a full training, in (0, 1].
    """

    coordinates: Array
    effects: Array
    trial: Rows
    time: Array

    @property
    def starts(self) -> Rows:
        """First point of each trial, (u,)."""
        return np.searchsorted(self.trial, np.arange(len(self.coordinates))).astype(np.intp)


def hyperprior(shape: Shape, *, trend: bool = False) -> Hyperprior:
    """Return the priors of the log hyperparameters.

    They come in the order lengthscales, amplitudes of the effects, s1, s2, s3, s4, s5, noise, b. Lengthscales are
    expected 20 times as short as in Hvarfner et al. (2024), equation 6: main effects take what is long, and with the
    original the rest ends in a basin where it is flat, and the forecasts of new configurations are far too sure.

    Parameters
    ----------
    shape : Shape
    trend : bool
        Expect a trend, until curves that went on show that there is none: early steps alone make no forecast sure then.
        Otherwise s5 is all but zero.
    """
    d, a = shape.lengthscales, shape.amplitudes
    length = math.sqrt(2.0) - 3.0 + 0.5 * math.log(max(d, 1))

    def row(lengths: float, amplitudes: float, *scales: float) -> Array:
        return np.concatenate([np.full(d, lengths), np.full(a, amplitudes), scales])

    return Hyperprior(
        mean=row(length, -1.0, 0.0, 0.0, -2.0, -3.0, 1.0 if trend else _NONE, -7.0, -1.0),
        spread=row(1.0, 1.5, 1.0, 1.0, 1.5, 1.5, 1.5, 2.0, 1.0),
        low=row(math.log(0.03), math.log(1e-4), -6.0, -6.0, -9.0, -9.0, _NONE, math.log(1e-6), math.log(0.01)),
        high=row(
            math.log(1e3), math.log(50.0), 4.0, 4.0, 3.0, 3.0, 4.0 if trend else _NONE, math.log(2.0), math.log(10)
        ),
    )


def decay(time: Array, other: Array, b: float) -> Array:
    """Return the covariance c of exponential decays at times (n,) and (k,), as (n, k)."""
    return np.asarray(b / (time[:, None] + other + b))


class CurvePosterior:
    """Negative log posterior of the log hyperparameters for fixed curves.

    Parameters
    ----------
    shape : Shape
    prior : Hyperprior
    curves : Curves
    y : (n,) float array
        Losses, standardized.
    """

    def __init__(self, shape: Shape, prior: Hyperprior, curves: Curves, y: Array) -> None:
        u = len(curves.coordinates)
        self.shape, self.prior, self.curves, self.y = shape, prior, curves, y
        tensor = distance_tensor(curves.coordinates, shape.coordinate_groups, shape.lengthscales)
        self.tensor = tensor.reshape(-1, u * u)
        self.same = (curves.trial[:, None] == curves.trial).astype(np.float64)
        self.sum = curves.time[:, None] + curves.time
        self.product = np.outer(curves.time, curves.time)
        self.starts = curves.starts

    def __call__(self, theta: Array, starts: Rows) -> tuple[Array, Array]:
        """Values, (b,), and gradients, (b, k), at several log hyperparameters, (b, k), wherever they started."""
        found = [self.at(row) for row in theta]
        return np.array([value for value, _ in found]), np.array([gradient for _, gradient in found])

    def at(self, theta: Array) -> tuple[float, Array]:
        """Value and gradient at one vector of log hyperparameters; infinite where the covariance is not definite."""
        shape, curves = self.shape, self.curves
        d, a, u, n = shape.lengthscales, shape.amplitudes, len(curves.coordinates), len(self.y)
        precision, amplitude = np.exp(-2.0 * theta[:d]), np.exp(theta[d : d + a])[shape.effect_groups]
        s1, s2, s3, s4, s5, noise, b = np.exp(theta[d + a :]).tolist()
        smooth, slope = matern((precision @ self.tensor).reshape(u, u))
        between = (smooth + (curves.effects * amplitude) @ curves.effects.T)[np.ix_(curves.trial, curves.trial)]
        fall = b / (self.sum + b)
        outer = s1 + s2 * fall + s5 * self.product
        covariance = between * outer + self.same * (s3 * fall + s4)
        covariance.flat[:: n + 1] += noise + _JITTER
        inverse, log_root = inverse_of(covariance)
        if inverse is None:
            return np.inf, np.zeros(len(theta))
        column = inverse.sum(axis=1)
        rest = self.y - column @ self.y / column.sum()
        weights = inverse @ rest
        off = (theta - self.prior.mean) / self.prior.spread
        value = 0.5 * rest @ weights + log_root + 0.5 * off @ off
        pull = inverse - np.outer(weights, weights)  # twice the derivative by the covariance
        outer *= pull
        whole = np.add.reduceat(np.add.reduceat(outer, self.starts, axis=0), self.starts, axis=1)  # (u, u)
        gradient = np.empty(len(theta))
        gradient[:d] = precision * (self.tensor @ (whole * slope).ravel())
        by_effect = amplitude * np.einsum("ij,ij->j", curves.effects, whole @ curves.effects)
        gradient[d : d + a] = np.bincount(shape.effect_groups, by_effect, a)
        own, shared = pull * self.same, pull * between
        bent = s2 * shared + s3 * own
        gradient[d + a :] = (
            s1 * shared.sum(), s2 * np.vdot(shared, fall), s3 * np.vdot(own, fall), s4 * own.sum(),
            s5 * np.vdot(shared, self.product), noise * np.trace(pull), np.vdot(bent, fall * (1.0 - fall)),
        )  # fmt: skip
        return float(value), 0.5 * gradient + off / self.prior.spread


def fit(posterior: CurvePosterior, *, steps: int = 25) -> Array:
    """Find the mode of the log hyperparameters, (k,), from the prior's mode."""
    prior = posterior.prior
    ends, _ = minimize(
        posterior, prior.mean[None], low=prior.low, high=prior.high, steps=steps,
        gradient_tolerance=0.05, value_tolerance=5e-3, scale=np.minimum(prior.spread**2, 0.5), longest=2.0,
    )  # fmt: skip
    return np.asarray(ends[0])


class CurveModel:
    """Forecasts of learning curves with fixed hyperparameters.

    Parameters
    ----------
    shape : Shape
    theta : (k,) float array
        Log hyperparameters.
    curves : Curves
    y : (n,) float array
        Losses; where NaN, the model's own mean there is taken (a step that is under way).

    Raises
    ------
    FloatingPointError
        If the covariance is not positive definite.
    """

    def __init__(self, shape: Shape, theta: Array, curves: Curves, y: Array) -> None:
        d, a = shape.lengthscales, shape.amplitudes
        self.shape, self.theta, self.curves = shape, theta, curves
        self.scale = np.exp(-theta[:d])[shape.coordinate_groups]
        self.amplitude = np.exp(theta[d : d + a])[shape.effect_groups]
        self.s1, self.s2, self.s3, self.s4, self.s5, self.noise, self.b = np.exp(theta[d + a :]).tolist()
        self.starts = curves.starts
        self.between, _ = self.cross(curves.coordinates, curves.effects)  # (u, u)
        covariance = self.covariance()
        known = ~np.isnan(y)
        inverse, _ = inverse_of(covariance if known.all() else covariance[np.ix_(known, known)])
        if inverse is None:
            raise FloatingPointError("the covariance of the curves is not positive definite")
        column = inverse.sum(axis=1)
        self.mean = float(column @ y[known] / column.sum()) if known.any() else 0.0
        weights = inverse @ (y[known] - self.mean)
        if not known.all():  # believed at their means: these get no weight, but lower the variance
            inverse, _ = inverse_of(covariance)
            if inverse is None:
                raise FloatingPointError("the covariance of the curves is not positive definite")
            weights, some = np.zeros(len(y)), weights
            weights[known] = some
        self.inverse, self.weights = inverse, weights

    def covariance(self) -> Array:
        """Covariance of the points, noise included, (n, n)."""
        curves = self.curves
        fall = decay(curves.time, curves.time, self.b)
        between = self.between[np.ix_(curves.trial, curves.trial)]
        same = curves.trial[:, None] == curves.trial
        covariance = between * self.shared(curves.time, curves.time) + same * (self.s3 * fall + self.s4)
        covariance.flat[:: len(covariance) + 1] += self.noise + _JITTER
        return np.asarray(covariance)

    def shared(self, time: Array, other: Array) -> Array:
        """What the covariance over configurations is multiplied with, at times (n,) and (k,), as (n, k)."""
        return np.asarray(self.s1 + self.s2 * decay(time, other, self.b) + self.s5 * np.outer(time, other))

    def cross(self, coordinates: Array, effects: Array) -> tuple[Array, Array]:
        """Covariance over configurations, (k, u), between new ones and the trials; and minus its slope."""
        squared = squared_distances(coordinates * self.scale, self.curves.coordinates * self.scale)
        smooth, slope = matern(squared)
        smooth += (effects * self.amplitude) @ self.curves.effects.T
        return smooth, slope

    def of_trials(self, trials: Rows, time: Array) -> tuple[Array, Array]:
        """Forecast trials that are in the curves, (k,), each at a time of its own, (k,): mean and variance, (k,)."""
        curves = self.curves
        fall = decay(time, curves.time, self.b)  # (k, n)
        cross = self.between[trials][:, curves.trial] * self.shared(time, curves.time)
        cross += (trials[:, None] == curves.trial) * (self.s3 * fall + self.s4)
        now = self.b / (2.0 * time + self.b)
        signal = self.s1 + self.s2 * now + self.s5 * time * time
        prior = np.diag(self.between)[trials] * signal + self.s3 * now + self.s4
        variance = prior - np.einsum("ij,ij->i", cross @ self.inverse, cross)
        return self.mean + cross @ self.weights, np.maximum(variance, _FLOOR * prior)

    def slice(self, time: float) -> Slice:
        """Return the forecast of new configurations at one time, as a function of the configuration alone."""
        outer = self.shared(np.array([time]), self.curves.time)[0]  # (n,)
        weights = np.add.reduceat(outer * self.weights, self.starts)
        inner = self.inverse * outer * outer[:, None]
        inner = np.add.reduceat(np.add.reduceat(inner, self.starts, axis=0), self.starts, axis=1)
        now = self.b / (2.0 * time + self.b)
        signal = self.s1 + self.s2 * now + self.s5 * time * time
        return Slice(self, weights, inner, signal, self.s3 * now + self.s4)


@dataclass(frozen=True, slots=True)
class Slice:
    """Forecasts at one time: a Gaussian process over configurations whose observations are the trials."""

    model: CurveModel
    weights: Array  # (u,)
    inner: Array  # (u, u)
    signal: float
    own: float

    def predict(self, coordinates: Array, effects: Array) -> tuple[Array, Array]:
        """Mean and variance, (k,) each, for new configurations, (k, m) and (k, f)."""
        cross, _ = self.model.cross(coordinates, effects)
        prior = self._prior(effects)
        variance = prior - np.einsum("ij,ij->i", cross @ self.inner, cross)
        return self.model.mean + cross @ self.weights, np.maximum(variance, _FLOOR * prior)

    def gradient(self, coordinates: Array, effects: Array) -> tuple[Array, Array, Array, Array]:
        """Mean and variance, (k,) each, and their gradients by coordinates and effects together, (k, m + f) each."""
        model, known = self.model, self.model.curves
        cross, slope = model.cross(coordinates, effects)
        solved = cross @ self.inner
        prior = self._prior(effects)
        variance = prior - np.einsum("ij,ij->i", solved, cross)
        along = np.tile(self.weights @ known.effects * model.amplitude, (len(cross), 1))
        mean_slope = np.hstack([self._pull(slope * self.weights, coordinates), along])
        off = (self.signal * effects - solved @ known.effects) * model.amplitude
        variance_slope = 2.0 * np.hstack([-self._pull(slope * solved, coordinates), off])
        return model.mean + cross @ self.weights, np.maximum(variance, _FLOOR * prior), mean_slope, variance_slope

    def _prior(self, effects: Array) -> Array:
        return np.asarray(self.signal * (1.0 + (effects * effects) @ self.model.amplitude) + self.own)

    def _pull(self, weighted: Array, coordinates: Array) -> Array:
        away = weighted.sum(axis=1)[:, None] * coordinates - weighted @ self.model.curves.coordinates
        return np.asarray(-away * self.model.scale**2)


def inverse_of(matrix: Array) -> tuple[Array | None, float]:
    """Inverse and half the log determinant of a covariance; None where it is not positive definite."""
    factor, failed = lapack.dpotrf(matrix, lower=1, clean=1)
    diagonal = factor.diagonal()
    if failed or not np.isfinite(diagonal).all():
        return None, 0.0
    log_root = float(np.log(diagonal).sum())  # before its memory is used again
    lower, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        return None, 0.0
    inverse = np.tril(lower) + np.tril(lower, -1).T
    return inverse, log_root
