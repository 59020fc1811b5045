"""What a Bayesian search believes: the surrogate of one metric, fitted to a history.

The log hyperparameters are a function of the first m observations only, for a growing series of m, so that a cache
spares the refits and dropping it changes nothing. Beyond some hundreds of observations, the surrogate keeps the best
half of its places for the best ones and spreads the others over the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from luthier.maths.gp import Hyperprior, LogPosterior, Posterior, Shape, fit
from luthier.search.bayes_frame import Frame
from luthier.space import Array

_EVERY = 40  # up to so many observations, refit at each; then whenever they have grown by a tenth
_FIT = 120  # observations that the hyperparameters are fitted to at most
_KEPT = 256  # observations that predictions rest on at most
_RESCUE = (0.0, 2.0, 5.0, 9.0)  # added to the log noise until the covariance can be factorized

Transform = Callable[[Array], Array]


def hyperprior(shape: Shape) -> Hyperprior:
    """Return the priors of the log hyperparameters; `docs/research.md` says how they were chosen.

    Lengthscales follow Hvarfner et al. (2024), equation 6, with mean ``sqrt(2) + log(d) / 2`` and spread ``sqrt(3)``.
    """
    d, a = shape.lengthscales, shape.amplitudes
    length = math.sqrt(2.0) + 0.5 * math.log(max(d, 1))

    def row(lengths: float, signal: float, noise: float, amplitude: float) -> Array:
        return np.concatenate([np.full(d, lengths), [signal, noise], np.full(a, amplitude)])

    return Hyperprior(
        mean=row(length, 0.0, -9.0, -1.0),
        spread=row(math.sqrt(3.0), 1.0, 2.0, 1.5),
        low=row(math.log(0.03), math.log(0.02), math.log(1e-6), math.log(1e-4)),
        high=row(math.log(1e3), math.log(50.0), math.log(2.0), math.log(50.0)),
    )


def hyperparameters(frame: Frame, shape: Shape, x: Array, y: Array) -> Array:
    """Fit the log hyperparameters to codes (n, d) and transformed values (n,).

    One start suffices: lengthscales well below the prior's mode and noise above it, from where the fit rarely ends in
    the basin in which everything is noise.
    """
    prior = hyperprior(shape)
    start = prior.mean.copy()
    start[: frame.d] -= 1.5
    start[frame.d + 1] = -5.0
    coordinates, effects = frame.embed(x)
    return fit(LogPosterior(shape, prior, coordinates, effects, y), start[None])


def milestone(n: int) -> int:
    """Return how many of `n` observations the hyperparameters are fitted to: each up to 40, then steps of a tenth."""
    if n <= _EVERY:
        return n
    step = math.floor(math.log(n / _EVERY) / math.log(1.1) + 1e-9)
    return min(n, math.ceil(_EVERY * 1.1**step))


def kept(y: Array, most: int) -> NDArray[np.intp]:
    """Return which of many observations to keep, in their order: the best half, the others evenly over the rest."""
    if len(y) <= most:
        return np.arange(len(y))
    order = np.argsort(y, kind="stable")
    best, rest = order[: most // 2], np.sort(order[most // 2 :])
    spread = rest[np.linspace(0, len(rest) - 1, most - len(best)).astype(np.intp)]
    return np.sort(np.concatenate([best, spread]))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A surrogate and what it was told.

    Attributes
    ----------
    posterior : Posterior
    rows : (k,) int array
        The observations that were kept.
    values : (k,) float array
        What they became under the transform.
    """

    posterior: Posterior
    rows: NDArray[np.intp]
    values: Array


@dataclass(slots=True)
class Surrogates:
    """Fits surrogates and remembers their hyperparameters, for as long as the data before a milestone stay the same."""

    frame: Frame
    _memory: dict[tuple[str, int], tuple[bytes, Array]] = field(default_factory=dict)

    def fitted(
        self, name: str, x: Array, y: Array, transform: Transform, *, shape: Shape | None = None
    ) -> Fitted | None:
        """Return the surrogate of one metric.

        Parameters
        ----------
        name
            What is modelled, the key of the memory.
        x, y : (n, d) and (n,) float array
            Codes and finite values, in order of arrival, ``n >= 1``.
        transform
            Applied to the values that are kept.
        shape
            The frame's, unless given.

        Returns
        -------
        Fitted or None
            None if no covariance could be factorized.
        """
        shape = shape or self.frame.shape
        theta = self._theta(name, x, y, transform, shape)
        rows = kept(y, _KEPT)
        coordinates, effects = self.frame.embed(x[rows])
        values = transform(y[rows])
        for extra in _RESCUE:
            tried = theta.copy()
            tried[self.frame.d + 1] += extra
            try:
                return Fitted(Posterior(shape, tried, coordinates, effects, values), rows, values)
            except FloatingPointError:
                continue
        return None

    def _theta(self, name: str, x: Array, y: Array, transform: Transform, shape: Shape) -> Array:
        count = milestone(len(y))
        rows = kept(y[:count], _FIT)
        given = x[rows].tobytes() + y[rows].tobytes()
        known = self._memory.get((name, count))
        if known is not None and known[0] == given:
            return known[1]
        theta = hyperparameters(self.frame, shape, x[rows], transform(y[rows]))
        self._memory = {key: found for key, found in self._memory.items() if key[0] != name}
        self._memory[name, count] = (given, theta)
        return theta
