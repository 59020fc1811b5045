"""Calibration after training: scores divided by one temperature, so that 80 % sure means right in 80 % of the cases.

Guo et al. 2017, "On calibration of modern neural networks": trained to the end, networks are surer than they are right.
One number, fitted on data that was not trained on, mends most of it, and no prediction changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from luthier.errors import SettingError
from luthier.maths.scores import Array, places_of, probabilities_of, scores_of, softmax

_LEAST, _MOST = 0.02, 50.0  # temperatures; beyond these lies data that say nothing about it
_STEPS = 60


@dataclass(frozen=True, slots=True)
class Temperature:
    """One number that scores are divided by before the softmax.

    Attributes
    ----------
    value
        Above 1: the classifier was too sure; below: not sure enough.
    at_limit
        Whether the fit ended at a limit: every row was right, or no better than a guess, and the data say nothing more.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 3, 4000)
    >>> scores = rng.normal(size=(4000, 3)) + 2.0 * np.eye(3)[truth]  # the right scores are twice the noise's variance
    >>> fitted = Temperature.fit(3.0 * scores, truth)
    >>> 1.4 < fitted.value < 1.6
    True
    """

    value: float
    at_limit: bool = False

    @classmethod
    def fit(cls, scores: ArrayLike, truth: ArrayLike) -> Temperature:
        """Find the temperature with the least log loss; the loss is convex in its inverse.

        Parameters
        ----------
        scores : (n, C) array-like
            Logits or log probabilities of rows that were not trained on.
        truth : (n,) int array-like
            Columns of their true classes.

        Returns
        -------
        Temperature

        Raises
        ------
        SettingError
            If a score is not a number, or a label is no column.
        """
        table = scores_of(scores)
        places = places_of(truth, table.shape[1], rows=len(table))
        true = table[np.arange(len(table)), places]

        def slope(inverse: float) -> float:
            """Derivative of the mean log loss by the inverse temperature: expected minus true score."""
            return float(((softmax(inverse * table) * table).sum(1) - true).mean())

        inverse, at_limit = _root(slope, 1.0 / _MOST, 1.0 / _LEAST)
        return cls(1.0 / inverse, at_limit)

    def scores(self, scores: ArrayLike) -> Array:
        """Return the scores divided by the temperature, (n, C)."""
        return scores_of(scores) / self.value

    def probabilities(self, scores: ArrayLike) -> Array:
        """Return calibrated probabilities of scores, (n, C)."""
        return softmax(self.scores(scores))


@dataclass(frozen=True, slots=True, eq=False)
class VectorScaling:
    """Each class's score multiplied and shifted by numbers of its own (Guo et al. 2017, section 4.2).

    Two numbers a class can mend what one temperature cannot, such as a class that is said too often, and predictions
    change. They are held near the temperature's by a penalty, since many classes with few rows each would be fitted to
    their noise.

    Attributes
    ----------
    scale, shift : (C,) float array
    """

    scale: Array
    shift: Array

    @classmethod
    def fit(cls, scores: ArrayLike, truth: ArrayLike, *, penalty: float = 1.0) -> VectorScaling:
        """Find scales and shifts with the least log loss, starting at `Temperature`'s.

        Parameters
        ----------
        scores, truth
            As in `Temperature.fit`.
        penalty
            On squared relative distances from the temperature's solution, in rows: with many rows it hardly counts.

        Raises
        ------
        SettingError
            If the penalty is negative, a score is not a number, or a label is no column.
        """
        if not penalty >= 0:
            raise SettingError(f"a penalty is at least 0, got {penalty!r}")
        from scipy.optimize import minimize

        table = scores_of(scores)
        count = table.shape[1]
        places = places_of(truth, count, rows=len(table))
        start = 1.0 / Temperature.fit(table, places).value
        hot = np.eye(count)[places]

        def loss(free: Array) -> tuple[float, Array]:
            scale, shift = start * (1.0 + free[:count]), free[count:]
            said = softmax(table * scale + shift)
            gap = (said - hot) / len(table)
            value = -np.log(np.maximum(said[hot > 0], 1e-300)).mean() + 0.5 * penalty * (free @ free) / len(table)
            slope = np.concatenate([(gap * table).sum(0) * start, gap.sum(0)]) + penalty * free / len(table)
            return float(value), slope

        found = minimize(loss, np.zeros(2 * count), jac=True, method="L-BFGS-B").x
        return cls(start * (1.0 + found[:count]), found[count:])

    def probabilities(self, scores: ArrayLike) -> Array:
        """Return calibrated probabilities of scores, (n, C)."""
        table = scores_of(scores)
        if table.shape[1] != len(self.scale):
            raise SettingError(f"this was fitted for {len(self.scale)} classes, got scores of {table.shape[1]}")
        return softmax(table * self.scale + self.shift)


def calibration_error(probabilities: ArrayLike, truth: ArrayLike, *, bins: int = 15) -> float:
    """Return how far confidence and accuracy are apart, as `luthier.training.metrics.calibration_error`, of arrays.

    Parameters
    ----------
    probabilities : (n, C) array-like
    truth : (n,) int array-like
    bins
        Of the interval from 0 to 1.
    """
    table = probabilities_of(probabilities)
    places = places_of(truth, table.shape[1], rows=len(table))
    confidence = table.max(1)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = (table.argmax(1) == places) - confidence
    return float(np.abs(np.bincount(bin_of, weights=gap, minlength=bins)).sum() / len(table))


def log_loss(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean of minus the logarithm of the true class's probability, of (n, C) and (n,)."""
    table = probabilities_of(probabilities)
    places = places_of(truth, table.shape[1], rows=len(table))
    return float(-np.log(np.maximum(table[np.arange(len(table)), places], np.finfo(np.float64).eps)).mean())


def _root(slope: Callable[[float], float], low: float, high: float) -> tuple[float, bool]:
    """Where an increasing function is zero, by bisection in the logarithm; the limit if it is not between."""
    if slope(low) >= 0.0:
        return low, True
    if slope(high) <= 0.0:
        return high, True
    for _ in range(_STEPS):
        middle = float(np.sqrt(low * high))
        if slope(middle) < 0.0:
            low = middle
        else:
            high = middle
    return float(np.sqrt(low * high)), False
