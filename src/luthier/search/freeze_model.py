"""The model of freeze-thaw fitted to a history, and when its hyperparameters are fitted anew.

The log hyperparameters are a function of a coarser history: its first m trials, for a growing series of m, each cut at
the last of a few marks that it has passed. So they change seldom, and a cache may be dropped without changing anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from luthier.maths.curves import CurveModel, CurvePosterior, Curves, fit, hyperprior
from luthier.search.bayes_frame import Frame
from luthier.search.freeze_data import Reading, Rows, Scale
from luthier.space import Array

_MARKS = 2.0 ** np.arange(-4, 1)  # shares of a full training at which a curve is cut for the fit
_EACH = 12  # trials up to which each counts; then they grow by 15 %
_FITTED = 48  # trials that the hyperparameters are fitted to at most
_POINTS = 4  # points of each
_CROWD = 4  # trials under way from which on they are many: measured with 1, 2 and 8 workers
_BOLDEST = -1.0  # log10 of the largest improvement asked for, in units of the values' range
_RESCUE = (0.0, 2.0, 5.0, 9.0)  # added to the log noise until the covariance can be factorized


@dataclass(frozen=True, slots=True)
class Forecasts:
    """A fitted model and how to speak to it.

    Attributes
    ----------
    model : CurveModel
    scale : Scale
    row : dict of int to int
        From the place of a strand to its row in the model.
    best : float
        The best value so far, in the model's units.
    width : float
        The range of the values, in the model's units.
    crowded : bool
        Whether many trials are under way.
    """

    model: CurveModel
    scale: Scale
    row: dict[int, int]
    best: float
    width: float
    crowded: bool = False


@dataclass(frozen=True, slots=True)
class Aim:
    """A horizon in steps, and a threshold in the model's units to get below within it."""

    horizon: int
    threshold: float

    @classmethod
    def draw(cls, forecasts: Forecasts, length: int, rng: np.random.Generator) -> Aim:
        """Draw an aim: any number of steps of a training, and a better value than the best trial is expected to reach.

        Asking for better than the best value *seen* would favor going on with the best trial, whose loss falls anyway.
        """
        horizon = int(rng.integers(1, length + 1))
        rows = np.array(list(forecasts.row.values()), dtype=np.intp)
        ends, _ = forecasts.model.of_trials(rows, np.ones(len(rows)))
        below = 10.0 ** rng.uniform(-4.0, _BOLDEST) * forecasts.width
        return cls(horizon, min(forecasts.best, float(ends.min())) - below)


@dataclass(slots=True)
class Fitter:
    """Fits models and remembers the last hyperparameters, with a trend and without, and what they were fitted to.

    A trend is expected where many trials are under way. So early steps make forecasts less sure, and trials are trained
    further before others are begun: each of eight gets but an eighth of the steps, and without it hardly any got far.
    """

    frame: Frame
    known: dict[bool, tuple[bytes, Array]] = field(default_factory=dict)
    fits: int = 0

    def forecasts(self, reading: Reading, pending: list[tuple[Array, int, float]]) -> Forecasts | None:
        """Fit a model.

        Parameters
        ----------
        reading : Reading
        pending : list of (code, strand, time)
            What is under way: the code, the place of the strand (-1 if there is none yet) and where it will pause.

        Returns
        -------
        Forecasts or None
            None where there are no values, or no covariance could be factorized.
        """
        kept = reading.kept()
        if not kept:
            return None
        crowded = len(pending) >= _CROWD
        theta = self._theta(reading, trend=crowded)
        points = reading.points(kept)
        curves, losses = assemble(self.frame, reading, kept, points)
        scale = Scale.of(losses)
        y = scale(losses)
        row = {strand: i for i, strand in enumerate(kept)}
        told, values = _with_pending(self.frame, curves, y, pending, row)
        for extra in _RESCUE:
            tried = theta.copy()
            tried[-2] += extra
            try:
                model = CurveModel(self.frame.shape, tried, told, values)
            except FloatingPointError:
                continue
            return Forecasts(model, scale, row, float(y.min()), float(np.ptp(y)), crowded)
        return None

    def _theta(self, reading: Reading, *, trend: bool) -> Array:
        kept, points = _coarse(reading)
        curves, losses = assemble(self.frame, reading, kept, points)
        seen = (curves.coordinates, curves.effects, curves.trial, curves.time, losses)
        given = b"".join(array.tobytes() for array in seen)  # all that the fit sees
        key, theta = self.known.get(trend, (b"", np.empty(0)))
        if given != key or not len(theta):
            shape = self.frame.shape
            prior = hyperprior(shape, trend=trend)
            theta = fit(CurvePosterior(shape, prior, curves, Scale.of(losses)(losses)))
            self.known[trend] = given, theta
            self.fits += 1
        return theta


def assemble(frame: Frame, reading: Reading, kept: list[int], points: list[Rows]) -> tuple[Curves, Array]:
    """Put points of strands side by side; returns the curves, and the losses, (n,)."""
    strands = [reading.strands[i] for i in kept]
    coordinates, effects = frame.embed(np.array([s.x for s in strands]))
    trial = np.repeat(np.arange(len(kept)), [len(rows) for rows in points]).astype(np.intp)
    time = [s.steps[rows] / reading.total(s.trial) for s, rows in zip(strands, points, strict=True)]
    losses = np.concatenate([s.losses[rows] for s, rows in zip(strands, points, strict=True)])
    return Curves(coordinates, effects, trial, np.minimum(np.concatenate(time), 1.0)), losses


def milestone(n: int) -> int:
    """Return how many of `n` trials the hyperparameters are fitted to: each up to 12, then steps of 15 %."""
    if n <= _EACH:
        return n
    step = math.floor(math.log(n / _EACH) / math.log(1.15) + 1e-9)
    return min(n, math.ceil(_EACH * 1.15**step))


def _coarse(reading: Reading) -> tuple[list[int], list[Rows]]:
    """Choose strands and points that seldom change."""
    seen = [i for i, s in enumerate(reading.strands) if len(s.steps)]
    seen = seen[: milestone(len(seen))]
    points, best = {}, {}
    for i in seen:
        strand = reading.strands[i]
        marks = np.ceil(_MARKS * reading.total(strand.trial) - 1e-9)
        passed = marks[marks <= strand.steps[-1]]
        last = int(passed[-1]) if len(passed) else int(strand.steps[-1])
        points[i] = strand.thin(_POINTS, last)
        if not len(points[i]):
            points[i] = np.zeros(1, np.intp)
        best[i] = float(strand.losses[points[i]].min())
    if len(seen) > _FITTED:
        order = sorted(seen, key=lambda i: (best[i], i))
        top, rest = order[: _FITTED // 2], order[_FITTED // 2 :]
        seen = sorted([*top, *(rest[j] for j in np.linspace(0, len(rest) - 1, _FITTED - len(top)).astype(int))])
    return seen, [points[i] for i in seen]


def _with_pending(
    frame: Frame, curves: Curves, y: Array, pending: list[tuple[Array, int, float]], row: dict[int, int]
) -> tuple[Curves, Array]:
    """Add a point without a value for each trial under way."""
    if not pending:
        return curves, y
    u = len(curves.coordinates)
    new = [code for code, strand, _ in pending if strand not in row]
    coordinates, effects = frame.embed(np.array(new).reshape(len(new), frame.d))
    fresh = iter(range(u, u + len(new)))
    trial = np.array([row[strand] if strand in row else next(fresh) for _, strand, _ in pending], dtype=np.intp)
    trials = np.concatenate([curves.trial, trial])
    order = np.argsort(trials, kind="stable")
    joined = Curves(
        np.vstack([curves.coordinates, coordinates]),
        np.vstack([curves.effects, effects]),
        trials[order],
        np.concatenate([curves.time, [time for _, _, time in pending]])[order],
    )
    return joined, np.concatenate([y, np.full(len(pending), np.nan)])[order]
