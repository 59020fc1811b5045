"""Hyperband: brackets of successive halving that start at different rungs, as a hedge against early steps that mislead.

Li et al. (2018), "Hyperband: a novel bandit-based approach", algorithm 1; with asynchronous promotion within a bracket.
"""

from __future__ import annotations

import math

from luthier.history import History
from luthier.schedule.halving import Halving, Ladder
from luthier.trial import Trial


class Hyperband(Halving):
    """Spread the trials over brackets of successive halving.

    Parameters
    ----------
    eta, min_steps, max_steps, guard
        As in `Halving`; the guard starts the brackets later.

    Notes
    -----
    Bracket s starts at rung s and takes ``ceil((K + 1) / (K - s + 1) * eta**(K - s))`` of each round of trials, K + 1
    being the number of rungs: all brackets cost about the same. Brackets follow each other in the order of trials; a
    trial competes with all that ever started in its bracket.
    """

    def __init__(
        self, eta: float = 3.0, *, min_steps: int | None = None, max_steps: int | None = None, guard: bool = True
    ) -> None:
        super().__init__(eta, min_steps=min_steps, max_steps=max_steps, guard=guard)

    def bracket(self, number: int, steps: Ladder) -> int:
        """Return the bracket of a trial, the rung that it starts at."""
        at = number % sum(sizes := self.sizes(steps))
        for s, size in enumerate(sizes):
            if at < size:
                return s
            at -= size
        return len(sizes) - 1

    def sizes(self, steps: Ladder) -> list[int]:
        """Return how many trials of each round go to each bracket."""
        top = len(steps.rungs) - 1
        return [math.ceil((top + 1) / (top - s + 1) * self.eta ** (top - s) - 1e-9) for s in range(top + 1)]

    def _first(self, history: History, steps: Ladder, number: int) -> int:
        return self._trusted(history, steps, self.bracket(number, steps))

    def _base(self, number: int, steps: Ladder) -> int:
        return self.bracket(number, steps)

    def _groups(self, history: History, trials: list[Trial]) -> list[list[int]]:
        steps = self.ladder(history)
        groups: dict[int, list[int]] = {}
        for i, trial in enumerate(trials):
            groups.setdefault(0 if steps is None else self.bracket(trial.number, steps), []).append(i)
        return list(groups.values())


SCHEDULE = Hyperband
