"""Bayesian search: a Gaussian process over the space, and the configuration it expects to improve most.

The surrogate (`bayes_frame`, `bayes_model`) is a Matern process plus main effects, with effects shared by alike
parameters; the acquisition (`bayes_terms`, `bayes_ascent`) is log expected improvement, weighted by the probability of
neither failing nor breaking a limit, by the user's priors, and by cost. `docs/research.md` tells what each is worth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal
from luthier.errors import SettingError
from luthier.history import History
from luthier.maths.transform import winsorize, yeo_johnson
from luthier.search.bayes_ascent import around, highest, uniform
from luthier.search.bayes_belief import Belief, believe
from luthier.search.bayes_data import Data, Memory, keys
from luthier.search.bayes_frame import Frame
from luthier.search.bayes_reason import reason
from luthier.search.bayes_start import START, start_point
from luthier.search.first import believed, unseen
from luthier.space import Array, Config

_UNIFORM = 1024  # candidates
_MANY = 200  # results from which on a quarter of the candidates does
_LEAST = 2  # results that a surrogate needs
_REPEAT = 5  # every so many trials one is a repeat, if results are noisy; and so many are contenders
_TRANSFORMS = (yeo_johnson, winsorize)  # in turn: each is misled by other landscapes


class BayesSearch:
    """Propose what a Gaussian process expects to improve most.

    Parameters
    ----------
    limits
        Upper limits on reported metrics, such as ``{"latency_ms": 20.0}``: outcome constraints.
    cost_aware
        Look for improvement per second instead of per trial.
    noisy
        Whether to spend every fifth trial on repeating what looks best; by default, as soon as some configuration was
        seen with two different results. Otherwise no configuration is tried twice.

    Raises
    ------
    SettingError
        If a limit is not a finite number.
    """

    def __init__(
        self, *, limits: Mapping[str, float] | None = None, cost_aware: bool = False, noisy: bool | None = None
    ) -> None:
        for name, limit in (limits or {}).items():
            if not isinstance(limit, (int, float)) or not math.isfinite(limit):
                raise SettingError(f"limits are finite numbers by metric, got {name!r}: {limit!r}")
        self.limits = {name: float(limit) for name, limit in (limits or {}).items()}
        self.cost_aware = cost_aware
        self.noisy = noisy
        self._memory: Memory | None = None

    def describe(self, history: History) -> str:
        """Say what it is."""
        several = len(history.metrics) > 1
        return (
            f"Bayesian search: {START} starting points, then a Gaussian process"
            + (f" trading off {len(history.metrics)} metrics" if several else "")
            + (", per second" if self.cost_aware else "")
            + (", under limits on " + ", ".join(self.limits) if self.limits else "")
        )

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return the next `n`; fewer when a finite space is exhausted."""
        memory = self._memory = Memory.of(history, self._memory)
        data = Data.of(history, limits=self.limits)
        found = believed(history, rng)[:n]
        while len(found) < n:
            taken = [new.config for new in found]
            new = self._next(_Moment(history, data, memory, history.began + len(found), taken), rng)
            if new is None:
                break
            found.append(new)
        return list(found)

    def _next(self, now: _Moment, rng: np.random.Generator) -> New | None:
        """Choose one configuration; None at the end of a finite space."""
        belief = self._belief(now, rng)
        repeat = self._repeat(now, belief)
        if repeat is not None:
            return repeat
        if belief is None:
            code: Array | None = start_point(now.memory.frame, now.history.seed, now.number)
            why = "a starting point: " + ("the middle of the space" if now.number == 0 else "spread over the space")
        else:
            code = _highest(now, belief, rng)
            why = reason(now.history, now.data, belief, now.memory.frame, code) if code is not None else ""
        if code is not None and now.fresh(code[None])[0]:
            config = now.history.space.decode(code)
            if now.history.space.forbidden(config) is None:
                return New(config, reason=why)
        rest = unseen(now.history, now.taken, rng)
        return None if rest is None else New(rest, reason="a draw among what was not tried")

    def _belief(self, now: _Moment, rng: np.random.Generator) -> Belief | None:
        data = now.data
        if now.number < START or (len(data.y) < _LEAST and not data.failures):
            return None
        transform = _TRANSFORMS[now.number % len(_TRANSFORMS)]
        return believe(
            data,
            now.memory.surrogates,
            transform,
            waiting=now.waiting,
            cost_aware=self.cost_aware,
            least=_LEAST,
            rng=rng,
        )

    def _repeat(self, now: _Moment, belief: Belief | None) -> New | None:
        """Repeat what looks best but was tried the fewest times, if results are noisy and it is time to."""
        noisy = now.memory.noisy if self.noisy is None else self.noisy
        if (
            not noisy
            or now.number % _REPEAT
            or belief is None
            or belief.surrogate is None
            or len(now.history.metrics) > 1
        ):
            return None
        frame, data = now.memory.frame, now.data
        mean, _ = belief.surrogate.predict(*frame.embed(data.x))
        mean = np.where(data.feasible, mean, np.inf)
        contenders = np.argsort(mean, kind="stable")[:_REPEAT]
        tried = [now.memory.tries(data.x[row]) for row in contenders]
        row = contenders[int(np.argmin(tried))]
        config = now.history.space.decode(data.x[row])
        return New(config, reason=f"a repeat of trial {data.number(row)}, among the best: how much of it was luck")


@dataclass(frozen=True, slots=True)
class _Moment:
    """What one choice is made from: with the number it will have, and what this call has chosen before."""

    history: History
    data: Data
    memory: Memory
    number: int
    taken: list[Config]

    @property
    def waiting(self) -> Array:
        rows = [self.history.space.encode(config) for config in self.taken]
        return np.array(rows).reshape(len(rows), self.memory.frame.d)

    def fresh(self, x: Array) -> NDArray[np.bool_]:
        return self.memory.fresh(x, set(keys(self.waiting)))


def _highest(now: _Moment, belief: Belief, rng: np.random.Generator) -> Array | None:
    memory, centers = now.memory, belief.centers
    pool = memory.listed
    if pool is None:
        pool = _pool(memory.frame, centers, many=len(now.data.y) >= _MANY, rng=rng)
    return highest(belief.acquisition, pool, centers[:1], lengthscales=belief.lengthscales, fresh=now.fresh, rng=rng)


def _pool(frame: Frame, centers: Array, *, many: bool, rng: np.random.Generator) -> Array:
    """Candidates: uniform ones (half from the priors, if there are any), and perturbations of the best."""
    drawn = uniform(frame, _UNIFORM // 4 if many else _UNIFORM, rng)
    if frame.space.has_prior:
        believed_half = frame.space.believe(np.nan_to_num(drawn[::2], nan=0.5))
        drawn = np.vstack([drawn[1::2], frame.space.snap(believed_half)])
    return np.vstack([drawn, around(frame, centers, rng)]) if len(centers) else drawn


SEARCH = BayesSearch
