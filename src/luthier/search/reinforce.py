"""A policy over the space, trained by REINFORCE (Williams 1992), as in neural architecture search (Zoph and Le 2017).

For long sequences of categories, such as architectures. Every parameter is a choice, numbers in cells of their range;
the reward is a trial's rank among those before it, against a moving baseline, and an entropy bonus keeps it exploring.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal
from luthier.errors import SettingError
from luthier.history import History
from luthier.maths.pareto import best_first
from luthier.maths.policy import Policy
from luthier.search.fresh import begun, configs, drawn, first_fresh, nearest
from luthier.space import Space

Array = NDArray[np.float64]

_CELLS = 8  # of a number with more values than that
_DRAWS = 32
_ROUNDS = 4


class ReinforceSearch:
    """Sample from a policy, and reinforce what came out well.

    Parameters
    ----------
    rate
        Learning rate of the policy.
    entropy
        Weight of the entropy bonus; more explores longer.
    memory
        How many trials the moving baseline averages over, about.
    start
        Uniform trials before the policy learns from all of them.

    Raises
    ------
    SettingError
        If a setting is out of range.
    """

    def __init__(self, *, rate: float = 0.3, entropy: float = 0.1, memory: int = 20, start: int = 10) -> None:
        if not rate > 0 or entropy < 0 or memory < 1 or start < 1:
            raise SettingError(
                "ReinforceSearch needs a positive rate, an entropy from 0 up, memory and start from 1 up, got "
                f"rate={rate}, entropy={entropy}, memory={memory}, start={start}"
            )
        self.rate, self.entropy, self.memory, self.start = rate, entropy, memory, start
        self._state: Learner | None = None

    def describe(self, history: History) -> str:
        """Say what it is."""
        choices = int(np.prod(cells_of(history.space), dtype=float))
        return f"REINFORCE, a policy over {len(history.space.columns)} choices, {choices:,.0f} combinations"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `n` samples of the policy that were not tried; fewer when a finite space is exhausted."""
        state = self._learned(history)
        found: list[Proposal] = []
        while len(found) < n:
            new = self._sampled(history, state, found, rng)
            if not new:
                break
            found += new
        return found

    def _sampled(
        self, history: History, state: Learner, found: list[Proposal], rng: np.random.Generator
    ) -> list[Proposal]:
        taken = configs(found)
        if len(history.x) < self.start:
            return begun(history, taken, rng, start=self.start)
        for _ in range(_ROUNDS):
            choices = state.policy.sample(_DRAWS, rng)
            x = history.space.snap((choices + rng.random(choices.shape)) / state.policy.sizes)
            hit = first_fresh(history, x, taken)
            if hit is not None:
                row, config = hit
                used = np.where(np.isnan(x[row]), -1, choices[row])
                chance = float(np.exp(state.policy.gradient(used)[0]))
                uniform = 1.0 / float(np.prod(state.policy.sizes[used >= 0], dtype=float))
                source = f"a sample of the policy, {chance / max(uniform, 1e-300):.2g} times as likely as by chance"
                return [New(config, reason=f"{source}; {nearest(history, x[row])}")]
        return drawn(history, taken, rng, "a random draw: all samples of the policy were tried")

    def _learned(self, history: History) -> Learner:
        state = self._state
        if state is None or state.lineage is not history.lineage or state.read > len(history.x):
            state = self._state = Learner(history, rate=self.rate, entropy=self.entropy, memory=self.memory)
        state.catch_up(history)
        return state


class Learner:
    """A policy that has learned from the ended trials up to some row, one after the other.

    Parameters
    ----------
    history
        Whose space and lineage it takes.
    rate, entropy, memory
        See `ReinforceSearch`.
    """

    def __init__(self, history: History, *, rate: float, entropy: float, memory: int) -> None:
        self.lineage, self.read = history.lineage, 0
        self.policy = Policy.uniform(cells_of(history.space))
        self.rate, self.entropy, self.forget = rate, entropy, 1.0 / memory
        self.baseline = 0.0
        self.seen: list[float] = []  # losses so far, sorted

    def catch_up(self, history: History) -> None:
        """Learn from what ended since the last time."""
        for row in range(self.read, len(history.x)):
            self._learn(history.x[row], self._reward(history, row))
        self.read = len(history.x)

    def _reward(self, history: History, row: int) -> float:
        """Share of the trials so far that this one beats, from -1 to 1; a failure is as bad as the worst."""
        if np.isnan(history.losses[row]).any():
            return -1.0
        if len(history.metrics) > 1:
            order = best_first(history.losses[: row + 1])
            return 1.0 - 2.0 * int(np.flatnonzero(order == row)[0]) / max(row, 1)
        loss = float(history.losses[row, 0])
        below, upto = bisect_left(self.seen, loss), bisect_right(self.seen, loss)
        insort(self.seen, loss)
        return 1.0 - (below + upto) / (len(self.seen) - 1) if len(self.seen) > 1 else 0.0

    def _learn(self, x: Array, reward: float) -> None:
        sizes = self.policy.sizes
        choices = np.where(np.isnan(x), -1, np.minimum(np.floor(np.nan_to_num(x) * sizes), sizes - 1)).astype(np.int64)
        _, rows, pull, spread = self.policy.gradient(choices)
        step = self.rate * ((reward - self.baseline) * pull + self.entropy * spread)
        self.policy = self.policy.moved(rows, step)
        self.baseline += self.forget * (reward - self.baseline)


def cells_of(space: Space) -> NDArray[np.int64]:
    """Return how many choices each parameter offers, (d,); numbers with many values have eight cells."""
    return np.array(
        [int(p.size) if p.kind == "choice" or p.size <= _CELLS else _CELLS for p in space.parameters.values()],
        dtype=np.int64,
    )


SEARCH = ReinforceSearch
