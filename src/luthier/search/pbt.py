"""Population-based training (Jaderberg et al. 2017): members train in turn; the worst go on from the best's checkpoint.

A member that is among the worst when its turn comes is left paused, and a fork of one of the best takes its place: the
same weights, with hyperparameters perturbed or drawn anew. So hyperparameters change during training, and the line of
configurations that led to the best trial is a schedule, see `replay`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from luthier.contracts import Fork, New, Proposal, Resume
from luthier.errors import SettingError
from luthier.history import History
from luthier.parameter import Float, Int, Parameter
from luthier.search.first import believed, unseen
from luthier.space import Config
from luthier.trial import State, Trial

_FACTORS = (0.8, 1.2)  # their appendix A
_STEP = 0.1  # of a parameter's range, where it is not a factor of a logarithm


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of a schedule: from step `begin` (exclusive) on, train with this configuration."""

    begin: int
    config: Config


class PopulationSearch:
    """Train a population; copy the best members over the worst.

    Parameters
    ----------
    size
        Members of the population.
    every
        Steps between two decisions about a member; by default a tenth of a training.
    truncation
        Share of the population, at both ends, that is copied and replaced.
    resample
        Probability that a parameter of a fork is drawn anew instead of perturbed.
    fixed
        Parameters that cannot change during a training, such as widths; a fork keeps its parent's.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Notes
    -----
    With several metrics, the first counts. It needs an objective that keeps what it trains (``run.keep``).
    """

    def __init__(
        self,
        size: int = 16,
        *,
        every: int | None = None,
        truncation: float = 0.25,
        resample: float = 0.25,
        fixed: tuple[str, ...] = (),
    ) -> None:
        if size < 2 or (every is not None and every < 1) or not 0 < truncation <= 0.5 or not 0 <= resample <= 1:
            raise SettingError(
                "needs at least 2 members, 1 step between decisions, a truncation above 0 and up to 0.5 and a "
                f"probability to resample, got {size=}, {every=}, {truncation=}, {resample=}"
            )
        self.size, self.every, self.truncation = size, every, truncation
        self.resample, self.fixed = resample, tuple(fixed)

    def describe(self, history: History) -> str:
        """Say what it is."""
        return f"population-based training: {self.size} members, the worst {self.truncation:.0%} replaced by forks"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return what the members do next; fewer than `n` while all of them run, none once they have ended."""
        found: list[Proposal] = list(believed(history, rng)[:n])
        first = sum(t.parent is None for t in _alive(history))
        while len(found) < n and first + len(found) < self.size:
            config = unseen(history, [p.config for p in found if isinstance(p, New)], rng)
            if config is None:
                break
            found.append(New(config, reason="a first member of the population"))
        chosen: set[int] = set()
        while len(found) < n and (turn := self._turn(history, chosen)) is not None:
            chosen.add(turn.number)
            found.append(self._decide(history, turn, rng))
        return [New(p.config, p.reason, self._every(history), p.origin) if isinstance(p, New) else p for p in found]

    # -- inside ------------------------------------------------------------------------------------------------------

    def _every(self, history: History) -> int:
        told = max((t.total_steps or 0 for t in history.trials), default=0)
        return self.every or max(1, round(told / 10))

    def members(self, history: History) -> list[Trial]:
        """Return the present members: all trials but those that forks have replaced, which are the furthest behind."""
        alive = _alive(history)
        order = sorted(alive, key=lambda t: (_reached(history, t), -_loss(history, t), t.number))
        return order[max(0, len(alive) - self.size) :]

    def _turn(self, history: History, chosen: set[int]) -> Trial | None:
        """The paused member that is furthest behind, of those at the same step the worst."""
        waiting = (t for t in self.members(history) if t.state is State.PAUSED and t.number not in chosen)
        return next(waiting, None)

    def _decide(self, history: History, trial: Trial, rng: np.random.Generator) -> Proposal:
        """Go on with a member, or put a fork of a better one in its place."""
        every = self._every(history)
        ranked = sorted((t for t in self.members(history) if t.steps), key=lambda t: (_loss(history, t), t.number))
        few = int(self.truncation * len(ranked))
        place = next(i for i, t in enumerate(ranked) if t.number == trial.number)
        barren = {t.parent for t in history.trials if t.state is State.FAILED}  # their forks fail
        better = [
            t for t in ranked[:few] if t.state is State.PAUSED and t.steps >= trial.steps and t.number not in barren
        ]
        if place < len(ranked) - few or not better:
            why = f"rank {place + 1} of {len(ranked)}: goes on"
            return Resume(trial.number, why, trial.steps + every)
        parent = better[int(rng.integers(len(better)))]
        config = self.perturbed(history, parent.config, rng)
        worse = f"trial {trial.number}, rank {place + 1} of {len(ranked)}"
        why = f"takes the place of {worse}; changes {_changes(parent, config)}"
        return Fork(parent.number, config, why, parent.steps + every)

    def perturbed(self, history: History, config: Config, rng: np.random.Generator) -> Config:
        """Return a neighbor of a configuration: numbers on a logarithmic scale by 0.8 or 1.2, others by a step."""
        space = history.space
        x = space.encode(config)
        for i, (name, parameter) in enumerate(space.parameters.items()):
            if name in self.fixed or np.isnan(x[i]):
                continue
            if rng.random() < self.resample:
                x[i] = rng.random()
            elif parameter.kind != "choice":
                x[i] += _nudge(parameter, up=bool(rng.integers(2)))
        gone = np.isnan(x)
        x[gone] = rng.random(gone.sum())  # what the change makes active; the rest is masked again
        near = space.snap(np.clip(x, 0.0, 1.0)[None])
        return space.decode(near[0]) if space.allowed(near)[0] else dict(config)


def _alive(history: History) -> list[Trial]:
    return [t for t in history.trials if t.state is not State.FAILED]


def _nudge(parameter: Parameter, *, up: bool) -> float:
    """How far a perturbation moves a code."""
    if isinstance(parameter, (Float, Int)) and parameter.log and parameter.high > parameter.low:
        return math.log(_FACTORS[up]) / math.log(parameter.high / parameter.low)
    return (2 * up - 1) * max(_STEP, 1.0 / parameter.size)  # out of its cell, where there are few


def _reached(history: History, trial: Trial) -> int:
    """Step that a trial has reached or is under way to; a fork that has not reported starts where its parent stood."""
    if trial.state is not State.PAUSED and trial.grant is not None:
        return max(trial.steps, trial.grant)
    return trial.steps


def _loss(history: History, trial: Trial) -> float:
    """Latest loss."""
    _, losses = history.loss_curve(trial)
    return float(losses[-1]) if len(losses) else -math.inf


def _changes(parent: Trial, config: Config) -> str:
    changed = [name for name, value in config.items() if parent.config.get(name) != value]
    return ", ".join(changed) or "nothing"


def replay(history: History, number: int) -> list[Leg]:
    """Return the schedule of configurations that led to a trial.

    Parameters
    ----------
    history : History
    number : int
        Of a trial, forked or not.

    Returns
    -------
    list of Leg
        In the order of steps; training from scratch with them repeats the trial.
    """
    legs: list[Leg] = []
    trial: Trial | None = history.trial(number)
    while trial is not None:
        begin = int(trial.curve.steps[0]) - 1 if trial.parent is not None and trial.steps else 0
        legs.append(Leg(begin, dict(trial.config)))
        trial = None if trial.parent is None else history.trial(trial.parent)
    return legs[::-1]


SEARCH = PopulationSearch
