"""The history of a study: immutable columns over its trials, the only thing that searches and schedules see.

Recording a trial returns a new history in amortized constant time: ended trials go into shared append-only columns, of
which each history sees its own length; the few that are alive are copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.errors import ConfigError
from luthier.objective import Metric
from luthier.space import Space
from luthier.trial import ENDED, Resumes, State, Trial

Array = NDArray[np.float64]


class _Columns:
    """Growing columns over ended trials, shared by all histories of a study."""

    __slots__ = ("codes", "losses", "n", "order", "row_of", "seconds", "seen", "trials", "x")

    def __init__(self, d: int, m: int) -> None:
        self.n = 0
        self.trials: list[Trial] = []
        self.order: list[int] = []  # numbers, in order of ending
        self.row_of: dict[int, int] = {}
        self.seen: dict[bytes, int] = {}  # code -> first row
        self.codes: dict[int, Array] = {}  # living trial -> its code, worked out once
        self.x = np.empty((16, d))
        self.losses = np.empty((16, m))
        self.seconds = np.empty(16)

    def append(self, trial: Trial, x: Array, losses: list[float]) -> None:
        if self.n == len(self.x):
            self.x = np.concatenate([self.x, np.empty_like(self.x)])
            self.losses = np.concatenate([self.losses, np.empty_like(self.losses)])
            self.seconds = np.concatenate([self.seconds, np.empty_like(self.seconds)])
        n = self.n
        self.x[n], self.losses[n], self.seconds[n] = x, losses, trial.seconds
        self.trials.append(trial)
        self.order.append(trial.number)
        self.row_of[trial.number] = n
        self.seen.setdefault(x.tobytes(), n)
        self.n = n + 1


class History:
    """Everything a search or a schedule may look at.

    Parameters
    ----------
    space
        The space; the columns of `x` are ``space.columns``.
    metrics
        The metrics to tune, the first one first.
    seed
        The study's seed, for searches that need one stream across proposals.
    planned
        How many trials the budget allows in all, if it says so.

    Attributes
    ----------
    share : float
        How much of the budget is spent, from 0 to 1; kept up for searches that have an attribute ``paced``.
    timed : bool
        Whether the budget is in seconds, so that what takes time costs something; kept up for the same searches.
    """

    __slots__ = (
        "_ended", "_live", "_n", "_outside", "_signs", "began", "metrics", "planned", "seed", "share", "space",
        "timed",
    )  # fmt: skip

    def __init__(self, space: Space, metrics: tuple[Metric, ...], seed: int = 0, planned: int | None = None) -> None:
        self.space = space
        self.metrics = metrics
        self.seed = seed
        self.planned = planned
        self.share = 0.0
        self.timed = False
        self.began = 0
        self._signs = tuple((m.name, m.sign) for m in metrics)
        self._ended = _Columns(len(space.columns), len(metrics))
        self._n = 0
        self._live: dict[int, Trial] = {}
        self._outside: tuple[Trial, ...] = ()

    @classmethod
    def of(
        cls,
        space: Space,
        metrics: tuple[Metric, ...],
        trials: Iterable[Trial],
        *,
        seed: int = 0,
        planned: int | None = None,
    ) -> History:
        """Build a history from trials in their order of ending; those that `space` does not hold are set aside."""
        history = cls(space, metrics, seed, planned)
        for trial in trials:
            try:
                config = space.validate(trial.config)
            except ConfigError:
                history = history._new(history._live, (*history._outside, trial), trial.number)
            else:
                history = history.record(replace(trial, config=config))
        return history

    def record(self, trial: Trial) -> History:
        """Return the history with this trial, new or changed.

        Raises
        ------
        ValueError
            If the trial had ended before.
        """
        if trial.state not in ENDED:
            return self._new({**self._live, trial.number: trial}, self._outside, trial.number)
        if self._n != self._ended.n:
            raise ValueError("only the latest history of a study can be added to")
        if self._ended.row_of.get(trial.number, self._n) < self._n:
            raise ValueError(f"trial {trial.number} has ended before")
        live = self._live
        if trial.number in live:
            live = {n: t for n, t in live.items() if n != trial.number} if len(live) > 1 else {}
        code = self._ended.codes.pop(trial.number, None)
        self._ended.append(trial, self.space.encode(trial.config) if code is None else code, self.losses_of(trial))
        return self._new(live, self._outside, trial.number)

    def _new(self, live: dict[int, Trial], outside: tuple[Trial, ...], number: int) -> History:
        new = History.__new__(History)
        new.space, new.metrics, new.seed, new.planned = self.space, self.metrics, self.seed, self.planned
        new._signs, new.share, new.timed = self._signs, self.share, self.timed
        new.began = max(self.began, number + 1)
        new._ended, new._n, new._live, new._outside = self._ended, self._ended.n, live, outside
        return new

    def planning(self, planned: int | None) -> History:
        """Return the same history under another plan."""
        new = self._new(self._live, self._outside, self.began - 1)
        new.planned = planned
        return new

    def spent(self, share: float, *, timed: bool = False) -> History:
        """Return the same history with another share of the budget spent; `timed` tells that it is in seconds."""
        new = self._new(self._live, self._outside, self.began - 1)
        new.share, new.timed = share, timed
        return new

    def _code(self, trial: Trial) -> Array:
        code = self._ended.codes.get(trial.number)
        if code is None:
            code = self._ended.codes[trial.number] = self.space.encode(trial.config)
        return code

    @property
    def lineage(self) -> object:
        """What all histories that grew from one another share: the key of a cache, together with `began` and `len`."""
        return self._ended

    # -- ended trials, in order of ending ----------------------------------------------------------------------------

    @property
    def x(self) -> Array:
        """Codes of the ended trials, (n, d), read-only; NaN where inactive."""
        return _readonly(self._ended.x[: self._n])

    @property
    def losses(self) -> Array:
        """Their losses, (n, m), lower is better; NaN where there is none: failed, or never reported."""
        return _readonly(self._ended.losses[: self._n])

    @property
    def seconds(self) -> Array:
        """How long each ran, (n,)."""
        return _readonly(self._ended.seconds[: self._n])

    @property
    def ended(self) -> list[Trial]:
        """The ended trials, in the same order as the columns."""
        return self._ended.trials[: self._n]

    # -- living trials -----------------------------------------------------------------------------------------------

    @property
    def live(self) -> tuple[Trial, ...]:
        """Waiting, running and paused trials, by number."""
        return tuple(self._live[n] for n in sorted(self._live))

    @property
    def held(self) -> list[Trial]:
        """Living trials that have a result so far and do not run now: paused ones, and interrupted ones that wait."""
        return [t for t in self._live.values() if t.state in (State.PAUSED, State.WAITING) and t.metrics]

    @property
    def pending(self) -> Array:
        """Codes of the living trials, (k, d)."""
        rows = [self._code(t) for t in self.live]
        return np.array(rows).reshape(len(rows), len(self.space.columns))

    # -- all trials --------------------------------------------------------------------------------------------------

    @property
    def trials(self) -> list[Trial]:
        """All trials of the study by number, those outside of the space included."""
        return sorted([*self.ended, *self._live.values(), *self._outside], key=lambda t: t.number)

    @property
    def recorded(self) -> list[Trial]:
        """All trials in the order in which `of` takes them: the ended ones first, in order of ending."""
        return [*self.ended, *self.live, *self._outside]

    @property
    def resumes(self) -> Resumes:
        """How often its trials were gone on with, all together, and what that cost."""
        return sum((t.resumes for t in self.recorded), Resumes())

    @property
    def outside(self) -> tuple[Trial, ...]:
        """Trials whose configuration the present space does not hold."""
        return self._outside

    def trial(self, number: int) -> Trial:
        """Return one trial; KeyError if there is none of this number."""
        if number in self._live:
            return self._live[number]
        row = self._ended.row_of.get(number, self._n)
        if row < self._n:
            return self._ended.trials[row]
        return next((t for t in self._outside if t.number == number), None) or _no_trial(number)

    def seen(self, x: Array) -> bool:
        """Tell whether a code, (d,), was tried or is being tried."""
        if self._ended.seen.get(x.tobytes(), self._n) < self._n:
            return True
        return any(np.array_equal(x, row, equal_nan=True) for row in self.pending) if self._live else False

    def losses_of(self, trial: Trial) -> list[float]:
        """Return the losses of one trial's result so far, NaN where there is none."""
        if trial.state is State.FAILED:
            return [math.nan] * len(self.metrics)
        return [sign * trial.metrics.get(name, math.nan) for name, sign in self._signs]

    def loss_curve(self, trial: Trial, metric: int = 0) -> tuple[NDArray[np.int64], Array]:
        """Return the steps and losses of one trial's curve, (k,) and (k,), where the metric was reported."""
        m = self.metrics[metric]
        values = trial.curve.values(m.name)
        known = ~np.isnan(values)
        return trial.curve.steps[known], m.sign * values[known]

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest first loss; failed ones and those now running do not count."""
        held = self.held
        losses = self.losses[:, 0]
        if len(losses) and not np.isnan(losses).all():
            held.append(self._ended.trials[int(np.nanargmin(losses))])
        scored = [(self.losses_of(t)[0], t.number, t) for t in held]
        scored = [entry for entry in scored if not math.isnan(entry[0])]
        return min(scored, key=lambda entry: entry[:2])[2] if scored else None

    def __len__(self) -> int:
        return self._n + len(self._live) + len(self._outside)

    def __repr__(self) -> str:
        return f"History({self._n} ended, {len(self._live)} alive, tuning {', '.join(m.name for m in self.metrics)})"


def _readonly(view: Any) -> Array:
    view.flags.writeable = False
    return np.asarray(view)


def _no_trial(number: int) -> Trial:
    raise KeyError(f"there is no trial {number}")
