"""How well early steps rank trials: the guard of all rules that compare trials before their end.

Curves cross: on some tasks the configurations that are ahead after a tenth of a training are those that end behind. A
rule that stops or pauses early loses there, unless it looks at the trials that went on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from luthier.history import History
from luthier.maths.pareto import best_first
from luthier.trial import State, Trial

Array = NDArray[np.float64]

PAIRS = 8  # trials that must have gone on before a rank correlation counts
TRUSTED = 0.3  # rank correlation from which on early steps are believed; those that go on are alike, so it is low


class Rungs:
    """How each trial stood at each of some steps; remembers trials that have not changed."""

    def __init__(self) -> None:
        self._lineage: object = None
        self._steps: tuple[int, ...] = ()
        self._known: dict[int, tuple[Trial, Array]] = {}

    def table(self, history: History, steps: Sequence[int]) -> tuple[list[Trial], Array]:
        """Return the trials of a history that have a curve, by number, and their losses.

        Parameters
        ----------
        history : History
        steps : sequence of int
            Rising.

        Returns
        -------
        list of Trial, (n, len(steps)) float array
            The lowest loss up to each step; with several metrics, the trial's place among those that came as far, by
            fronts. NaN where a trial has not come so far. A trial that is done keeps its lowest (or last) losses to the
            last column, since they will not change any more.
        """
        if self._lineage is not history.lineage or self._steps != tuple(steps):
            self._lineage, self._steps, self._known = history.lineage, tuple(steps), {}
        trials = sorted((t for t in (*history.ended, *history.live) if t.state is not State.FAILED), key=_number)
        trials = [t for t in trials if t.steps]
        rows = [self._row(history, t) for t in trials]
        if len(history.metrics) == 1:
            return trials, np.array(rows).reshape(len(trials), len(steps))
        return trials, standings(np.array(rows).reshape(len(trials), len(steps), len(history.metrics)))

    def _row(self, history: History, trial: Trial) -> Array:
        known = self._known.get(trial.number)
        if known is not None and known[0] is trial:
            return known[1]
        reached = (np.array(self._steps) <= trial.steps) | (trial.state is State.DONE)
        many = len(history.metrics) > 1
        columns = np.full((len(self._steps), len(history.metrics)), math.nan)
        for metric in range(len(history.metrics)):
            steps, losses = history.loss_curve(trial, metric)
            if len(steps):
                at = np.searchsorted(steps, self._steps, side="right") - 1
                good = reached & (at >= 0)
                columns[good, metric] = (losses if many else np.minimum.accumulate(losses))[at[good]]
        row = columns if many else columns[:, 0]
        self._known[trial.number] = (trial, row)
        return row


def _number(trial: Trial) -> int:
    return trial.number


def standings(losses: Array) -> Array:
    """Place trials by several metrics: by front, then the least crowded first.

    Parameters
    ----------
    losses : (n, k, m) float array
        Of n trials at k steps; NaN where a trial has not come so far.

    Returns
    -------
    (n, k) float array
        Places from 0, among those that have all metrics at a step; NaN for the others.
    """
    places = np.full(losses.shape[:2], math.nan)
    for step in range(losses.shape[1]):
        there = np.flatnonzero(~np.isnan(losses[:, step]).any(axis=1))
        places[there[best_first(losses[there, step])], step] = np.arange(len(there))
    return places


def rank_correlation(a: Array, b: Array) -> float:
    """Spearman's rank correlation of two samples, (n,), ties at their mean rank; 0 if either is constant."""
    ranks = [_ranks(values) for values in (a, b)]
    x, y = (r - r.mean() for r in ranks)
    norm = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / norm if norm > 0.0 else 0.0


def _ranks(values: Array) -> Array:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - 0.5 * (count - 1))[group])


def trusted(early: Array, later: Array) -> bool:
    """Tell whether early losses, (n,), rank well enough what became of the trials that went on.

    Parameters
    ----------
    early, later : (n,) float array
        Losses at an early and at a later step, NaN where a trial has not come so far.

    Returns
    -------
    bool
        True as long as fewer than eight trials have both.
    """
    both = ~(np.isnan(early) | np.isnan(later))
    return int(both.sum()) < PAIRS or rank_correlation(early[both], later[both]) >= TRUSTED
