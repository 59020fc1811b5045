"""The new configuration that freeze-thaw would start: likeliest to beat a threshold at a horizon, and not to fail."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from luthier.maths.curves import Slice
from luthier.search.bayes_ascent import around, highest, uniform
from luthier.search.bayes_frame import Frame
from luthier.search.bayes_model import Surrogates
from luthier.search.bayes_terms import Acquisition, Believed, Below, Place, Term, place
from luthier.search.freeze_data import Reader, Reading
from luthier.search.freeze_model import Aim, Forecasts
from luthier.space import Array
from luthier.trial import State

_UNIFORM = 512  # candidates
_CENTERS = 2  # best trials that others are drawn around
_POWER = 4.0  # the priors count to this power divided by the number of trials
_LATEST = 20  # trials whose failures tell how sure to be
_ROOT_2PI_LOG = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class Beats:
    """Log probability that a new configuration's loss lies below a threshold, at one time."""

    slice: Slice
    threshold: float

    def value(self, at: Place) -> Array:
        mean, variance = self.slice.predict(at.coordinates, at.effects)
        return np.asarray(log_ndtr((self.threshold - mean) / np.sqrt(variance)))

    def gradient(self, at: Place, frame: Frame) -> tuple[Array, Array]:
        mean, variance, mean_slope, variance_slope = self.slice.gradient(at.coordinates, at.effects)
        spread = np.sqrt(variance)
        z = (self.threshold - mean) / spread
        value = np.asarray(log_ndtr(z))
        hazard = np.exp(-0.5 * z * z - _ROOT_2PI_LOG - value)
        slope = -(mean_slope + z[:, None] * variance_slope / (2.0 * spread[:, None])) / spread[:, None]
        return value, frame.pull(hazard[:, None] * slope, at.x)


@dataclass(slots=True)
class Scout:
    """Looks for new configurations in one reading of a history."""

    reader: Reader
    reading: Reading
    surrogates: Surrogates

    def best(
        self, forecasts: Forecasts, aim: Aim, bar: float, *, also: set[bytes], rng: np.random.Generator
    ) -> Array | None:
        """Return the code, (d,), of the new configuration likeliest to reach an aim.

        Parameters
        ----------
        forecasts : Forecasts
        aim : Aim
        bar : float
            Log probability that it has to have at least.
        also : set of bytes
            Keys of codes that are taken.
        rng : numpy.random.Generator

        Returns
        -------
        (d,) float array or None
            None if none among the candidates is likely enough, or the likeliest would probably fail.
        """
        frame, strands = self.reader.frame, self.reading.strands
        terms: list[Term] = [Beats(forecasts.model.slice(aim.horizon / self.reading.length), aim.threshold)]
        terms += (limits := self.feasible())
        if frame.space.has_prior:
            terms.append(Believed(frame.space, _POWER / len(strands)))
        acquisition = Acquisition(frame, terms)
        centers = sorted(forecasts.row, key=lambda i: (strands[i].best, i))[:_CENTERS]
        codes = np.array([strands[i].x for i in centers])
        pool = np.vstack([uniform(frame, _UNIFORM, rng), around(frame, codes, rng)])
        if not acquisition(pool).max() >= bar:
            return None
        scale = np.exp(forecasts.model.theta[: frame.d])

        def fresh(x: Array) -> np.ndarray:
            return self.reader.fresh(x, also)

        code = highest(acquisition, pool, codes[:1], lengthscales=scale, fresh=fresh, rng=rng)
        if code is None or not fresh(code[None])[0]:
            return None
        # where all chances are tiny, the least bad of them must not outweigh that trials fail there
        return code if all(limit.holds(place(frame, code[None]))[0] for limit in limits) else None

    def feasible(self) -> list[Below]:
        """Log probability of not failing; nothing where nothing has failed."""
        told = [s for s in self.reading.strands if s.trial.state is State.FAILED or len(s.steps)]
        failed = np.array([s.trial.state is State.FAILED for s in told])
        if not failed.any():
            return []
        x = np.array([s.x for s in told])
        model = self.surrogates.fitted("failure", x, np.where(failed, 1.0, -1.0), _same)
        if model is None:
            return []
        worked = np.exp(Below(model.posterior, 0.0, 0.0).value(place(self.reader.frame, x[~failed])))
        wanted = 0.8 + 0.15 * float(failed[-_LATEST:].mean())  # the more fail, the surer
        return [Below(model.posterior, 0.0, min(wanted, float(np.median(worked))) if len(worked) else wanted)]


def _same(y: Array) -> Array:
    return y
