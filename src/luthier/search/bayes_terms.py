"""The terms of an acquisition, each a log factor with its gradient by the codes; an acquisition is their sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from luthier.maths.gp import Awaiting, Posterior
from luthier.maths.improvement import (
    log_expected_improvement,
    log_expected_improvement_gradient,
)
from luthier.search.bayes_frame import Frame
from luthier.space import Array, Space

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_STEEP = 1e3  # times as steep below the least probability
_NEARLY = 0.1  # in logarithms
_CELL = 1.0 / 128.0  # two cells of the table that a belief is kept in


@dataclass(frozen=True, slots=True)
class Place:
    """Points to be judged: codes (n, d), their coordinates and their effects."""

    x: Array
    coordinates: Array
    effects: Array


def place(frame: Frame, x: Array) -> Place:
    """Embed codes, (n, d)."""
    return Place(x, *frame.embed(x))


class Term(Protocol):
    """A log factor of an acquisition."""

    def value(self, at: Place) -> Array:
        """Return the term at each point, (n,)."""
        ...

    def gradient(self, at: Place, frame: Frame) -> tuple[Array, Array]:
        """Return the term, (n,), and its gradient by the codes, (n, d)."""
        ...


@dataclass(frozen=True, slots=True)
class Improvement:
    """Log expected improvement below `best`, in the units of the surrogate.

    The variance is multiplied by `doubt`: from few observations, the surrogate is surer than it should be, since its
    hyperparameters are taken for known.
    """

    surrogate: Posterior
    best: float
    doubt: float = 1.0

    def value(self, at: Place) -> Array:
        mean, variance = self.surrogate.predict(at.coordinates, at.effects)
        return log_expected_improvement(mean, self.doubt * variance, self.best)

    def gradient(self, at: Place, frame: Frame) -> tuple[Array, Array]:
        mean, variance, mean_slope, variance_slope = self.surrogate.gradient(at.coordinates, at.effects)
        value, slope = log_expected_improvement_gradient(
            mean,
            self.doubt * variance,
            self.best,
            mean_gradient=mean_slope,
            variance_gradient=self.doubt * variance_slope,
        )
        return value, frame.pull(slope, at.x)


@dataclass(frozen=True, slots=True)
class NewImprovement:
    """Log expected improvement times the share of its spread that pending trials leave.

    What they will tell anyway is worth nothing twice. The posterior correlation decides, not the distance: far corners
    that one slope promises are one question, two places beside a good result, where details matter, are two. The
    value to improve on stays the best seen. `doubt` is that of `Improvement`.
    """

    surrogate: Awaiting
    best: float
    doubt: float = 1.0

    def value(self, at: Place) -> Array:
        mean, variance, left = self.surrogate.predict(at.coordinates, at.effects)
        return log_expected_improvement(mean, self.doubt * variance, self.best) + 0.5 * np.log(left / variance)

    def gradient(self, at: Place, frame: Frame) -> tuple[Array, Array]:
        mean, variance, left, mean_slope, variance_slope, left_slope = self.surrogate.gradient(
            at.coordinates, at.effects
        )
        value, slope = log_expected_improvement_gradient(
            mean,
            self.doubt * variance,
            self.best,
            mean_gradient=mean_slope,
            variance_gradient=self.doubt * variance_slope,
        )
        slope += 0.5 * (left_slope / left[:, None] - variance_slope / variance[:, None])
        return value + 0.5 * np.log(left / variance), frame.pull(slope, at.x)


@dataclass(frozen=True, slots=True)
class Below:
    """Log probability that an observation comes out at or below a limit, in the units of the surrogate.

    Where the probability is below `least`, the term falls steeply: a promise of improvement beyond the border of
    what works would otherwise outweigh any probability.
    """

    surrogate: Posterior
    limit: float
    least: float = 0.5

    def value(self, at: Place) -> Array:
        mean, variance = self.surrogate.predict(at.coordinates, at.effects)
        return self._steepened(log_ndtr((self.limit - mean) / np.sqrt(variance + self.surrogate.noise)))

    def holds(self, at: Place) -> NDArray[np.bool_]:
        """Tell where the probability is `least`, or as good as that: the best place often lies just beyond it."""
        return self.value(at) >= self._border - _STEEP * _NEARLY

    def gradient(self, at: Place, frame: Frame) -> tuple[Array, Array]:
        mean, variance, mean_slope, variance_slope = self.surrogate.gradient(at.coordinates, at.effects)
        spread = np.sqrt(variance + self.surrogate.noise)
        z = (self.limit - mean) / spread
        value = np.asarray(log_ndtr(z))
        hazard = np.exp(-0.5 * z * z - _LOG_ROOT_2PI - value)
        hazard *= np.where(value < self._border, 1.0 + _STEEP, 1.0)
        slope = -(mean_slope + z[:, None] * variance_slope / (2.0 * spread[:, None])) / spread[:, None]
        return self._steepened(value), frame.pull(hazard[:, None] * slope, at.x)

    def _steepened(self, value: Array) -> Array:
        return np.asarray(value + _STEEP * np.minimum(value - self._border, 0.0))

    @property
    def _border(self) -> float:
        return math.log(self.least) if self.least > 0.0 else -math.inf


@dataclass(frozen=True, slots=True)
class Cheap:
    """Minus the predicted logarithm of the duration: what turns an improvement into one per second."""

    surrogate: Posterior
    scale: float

    def value(self, at: Place) -> Array:
        return -self.scale * self.surrogate.predict(at.coordinates, at.effects)[0]

    def gradient(self, at: Place, frame: Frame) -> tuple[Array, Array]:
        mean, _, slope, _ = self.surrogate.gradient(at.coordinates, at.effects)
        return -self.scale * mean, frame.pull(-self.scale * slope, at.x)


@dataclass(frozen=True, slots=True)
class Believed:
    """The user's priors to a power that decays with the trials (piBO, Hvarfner et al. 2022, equation 6)."""

    space: Space
    power: float

    def value(self, at: Place) -> Array:
        return self.power * self.space.log_prior(at.x)

    def gradient(self, at: Place, frame: Frame) -> tuple[Array, Array]:
        columns = np.flatnonzero(frame.relaxed)
        gradient = np.zeros(at.x.shape)
        for sign in (1.0, -1.0):  # beliefs are tables: differences over two cells
            moved = np.repeat(at.x[None], len(columns), axis=0)
            moved[np.arange(len(columns)), :, columns] += sign * _CELL
            flat = np.clip(moved, 0.0, 1.0).reshape(-1, at.x.shape[1])
            gradient[:, columns] += sign * self.space.log_prior(flat).reshape(len(columns), -1).T
        return self.value(at), self.power * gradient / (2.0 * _CELL)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A sum of terms over one space."""

    frame: Frame
    terms: Sequence[Term]

    def __call__(self, x: Array) -> Array:
        """Value at codes (n, d); minus infinity where forbidden."""
        at = place(self.frame, x)
        total = reduce(np.add, [term.value(at) for term in self.terms], np.zeros(len(x)))
        return np.where(self.frame.space.allowed(x), total, -np.inf)

    def gradient(self, x: Array) -> tuple[Array, Array]:
        """Value, (n,), and gradient by the relaxed columns, (n, d), whether allowed or not."""
        at = place(self.frame, x)
        found = [term.gradient(at, self.frame) for term in self.terms]
        value = reduce(np.add, [value for value, _ in found], np.zeros(len(x)))
        slope = reduce(np.add, [slope for _, slope in found], np.zeros(x.shape))
        return value, np.where(self.frame.relaxed, slope, 0.0)
