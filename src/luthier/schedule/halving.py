"""Successive halving: many trials for few steps, the best part of them further, and so on; promotion is by resuming.

Asynchronous by default (ASHA, Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2): a
trial is promoted as soon as it is among the best 1/eta of those that have reached its rung. Synchronous is Jamieson and
Talwalkar (2016): a whole bracket waits for its last trial.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from luthier.contracts import CONTINUE, Decision, Resume
from luthier.errors import SettingError
from luthier.history import History
from luthier.schedule.ranking import Array, Rungs, trusted
from luthier.trial import State, Trial

_DEEPEST = 3  # rungs below the last, where `min_steps` is not given


@dataclass(frozen=True, slots=True)
class Ladder:
    """Steps of the rungs, rising; the last is a full training, to which a grant of None goes."""

    rungs: tuple[int, ...]

    def grant(self, rung: int) -> int | None:
        """Return what to grant to reach a rung."""
        return None if rung >= len(self.rungs) - 1 else self.rungs[rung]


def ladder(eta: float, low: int | None, high: int) -> Ladder:
    """Build the rungs from the last one down: ``high / eta**k``, none below `low`.

    Parameters
    ----------
    eta : float
        Above 1.
    low : int or None
        Lowest rung; None is three below the last one.
    high : int
        Steps of a full training.
    """
    count = _DEEPEST if low is None else math.floor(math.log(max(high / low, 1.0)) / math.log(eta) + 1e-9)
    steps = [round(high / eta**k) for k in range(count, -1, -1)]
    least = 1 if low is None else min(low, high)
    return Ladder(tuple(sorted({max(s, least) for s in steps})))


class Halving:
    """Grant each trial few steps; resume the best 1/eta of each rung.

    Parameters
    ----------
    eta
        One in so many is promoted, and gets so many times the steps.
    min_steps
        Steps of the first rung; by default ``max_steps / eta**3``.
    max_steps
        Steps of a full training; by default what the objective says with ``run.steps(n)``.
    asynchronous
        Promote at once (ASHA). Otherwise the trials of one bracket, ``eta**rungs`` of them, are compared when all have
        reached a rung.
    guard
        Start at the next rung while the trials that went on show that the first one ranks them badly.

    Raises
    ------
    SettingError
        If `eta` is not above 1, or the steps are not whole numbers in order.
    """

    def __init__(
        self,
        eta: float = 3.0,
        *,
        min_steps: int | None = None,
        max_steps: int | None = None,
        asynchronous: bool = True,
        guard: bool = True,
    ) -> None:
        if not eta > 1.0:
            raise SettingError(f"eta= is a number above 1, such as 3, got {eta!r}")
        if (min_steps is not None and min_steps < 1) or (max_steps is not None and max_steps < (min_steps or 1)):
            raise SettingError(f"needs 1 <= min_steps <= max_steps, got {min_steps!r} and {max_steps!r}")
        self.eta, self.min_steps, self.max_steps = eta, min_steps, max_steps
        self.asynchronous, self.guard = asynchronous, guard
        self._table = Rungs()

    def grant(self, history: History) -> int | None:
        """Return the steps of the first rung that ranks well enough."""
        steps = self.ladder(history)
        if steps is None:
            return self.min_steps or 1
        return steps.grant(self._first(history, steps, history.began))

    def promote(self, history: History) -> Resume | None:
        """Return the best trial that may go up a rung, the highest rung first."""
        steps = self.ladder(history)
        if steps is None:
            return None
        trials, losses = self._table.table(history, steps.rungs)
        for group in self._groups(history, trials):
            found = self._promoted(history, steps, group, [trials[i] for i in group], losses[group])
            if found is not None:
                return found
        return None

    def judge(self, history: History, trial: Trial) -> Decision:
        """Let it run to its grant."""
        return CONTINUE

    # -- what Hyperband changes --------------------------------------------------------------------------------------

    def _first(self, history: History, steps: Ladder, number: int) -> int:
        """First rung of a new trial."""
        return self._trusted(history, steps, 0)

    def _base(self, number: int, steps: Ladder) -> int:
        """Lowest rung at which a trial is compared."""
        return 0

    def _groups(self, history: History, trials: list[Trial]) -> list[list[int]]:
        """Trials that compete, by their place in the list."""
        if self.asynchronous:
            return [list(range(len(trials)))] if trials else []
        size = self._size(history)
        groups: dict[int, list[int]] = {}
        for i, trial in enumerate(trials):
            groups.setdefault(trial.number // size, []).append(i)
        return list(groups.values())

    # -- inside ------------------------------------------------------------------------------------------------------

    def ladder(self, history: History) -> Ladder | None:
        """Return the rungs; None while the steps of a full training are unknown."""
        high = self.max_steps or max(
            (t.total_steps for t in (*history.live, *history.ended[:32]) if t.total_steps), default=0
        )
        return ladder(self.eta, self.min_steps, high) if high else None

    def _trusted(self, history: History, steps: Ladder, rung: int) -> int:
        """First rung from `rung` up whose ranks hold at all later ones."""
        if not self.guard:
            return rung
        _, losses = self._table.table(history, steps.rungs)
        while rung < len(steps.rungs) - 1 and not all(trusted(losses[:, rung], at) for at in losses[:, rung + 1 :].T):
            rung += 1
        return rung

    def _size(self, history: History) -> int:
        steps = self.ladder(history)
        return max(1, round(self.eta ** (len(steps.rungs) - 1))) if steps else 1

    def _promoted(
        self, history: History, steps: Ladder, group: list[int], trials: list[Trial], losses: Array
    ) -> Resume | None:
        base = self._base(trials[0].number, steps)
        for rung in range(len(steps.rungs) - 2, base - 1, -1):
            reached = np.flatnonzero(~np.isnan(losses[:, rung]))
            if not self.asynchronous and not self._complete(history, trials, losses[:, base : rung + 1]):
                continue
            order = reached[np.lexsort((reached, losses[reached, rung]))]
            for i in order[: int(len(order) / self.eta + 1e-9)].tolist():
                trial = trials[i]
                if trial.state is State.PAUSED and np.isnan(losses[i, rung + 1]):
                    place = 1 + int(np.flatnonzero(order == i)[0])
                    why = f"rank {place} of {len(order)} after {steps.rungs[rung]} steps: on to {steps.rungs[rung + 1]}"
                    return Resume(trial.number, why, steps.grant(rung + 1))
        for i, trial in enumerate(trials):  # started before the rungs were known
            if trial.state is State.PAUSED and np.isnan(losses[i, base]):
                return Resume(trial.number, f"up to the first rung, {steps.rungs[base]} steps", steps.grant(base))
        return None

    def _complete(self, history: History, trials: list[Trial], losses: Array) -> bool:
        """Whether all of a synchronous bracket have reached a rung, the last column, that are to reach it."""
        size = self._size(history)
        bracket = trials[0].number // size
        alive = any(t.number // size == bracket and t.state is not State.PAUSED for t in history.live)
        if history.began < (bracket + 1) * size or alive:
            return False
        counts = (~np.isnan(losses)).sum(axis=0)
        if losses.shape[1] == 1:
            return not any(t.state is State.PAUSED and np.isnan(row[0]) for t, row in zip(trials, losses, strict=True))
        return bool(counts[-1] >= int(counts[-2] / self.eta + 1e-9))


SCHEDULE = Halving
