"""Trials: frozen records of one configuration, and the one table of what may become what."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from luthier.errors import TrialStateError


class State(StrEnum):
    """Where a trial stands."""

    WAITING = "waiting"  # has a configuration and runs as soon as a worker is free
    RUNNING = "running"
    PAUSED = "paused"  # can be resumed from its last checkpoint
    DONE = "done"
    STOPPED = "stopped"  # given up by the schedule; its result so far counts
    FAILED = "failed"


NEXT: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.RUNNING, State.FAILED, State.STOPPED}),
    State.RUNNING: frozenset({State.WAITING, State.PAUSED, State.DONE, State.STOPPED, State.FAILED}),
    State.PAUSED: frozenset({State.WAITING, State.RUNNING, State.DONE, State.STOPPED, State.FAILED}),
    State.DONE: frozenset(),
    State.STOPPED: frozenset(),
    State.FAILED: frozenset(),
}

ENDED: frozenset[State] = frozenset(state for state in State if not NEXT[state])

FailureKind = Literal["exception", "nan", "type", "missing", "timeout", "memory", "signal", "exit"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial failed.

    Parameters
    ----------
    kind
        ``exception`` (the objective raised), ``nan`` (a metric was NaN or infinite), ``type`` (a metric was no
        number), ``missing`` (a metric was not reported), ``timeout``, ``memory``, ``signal`` (the worker was killed)
        or ``exit`` (it ended by itself).
    message
        One line.
    traceback
        The last lines of the traceback, or of what the worker printed.
    """

    kind: FailureKind
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Resumes:
    """How often a trial, or several, were gone on with, and what that cost.

    Parameters
    ----------
    memory
        From a run that was alive in its worker: free.
    checkpoint
        From a checkpoint, or from the beginning where there was none.
    seconds
        What these took from the start of the run until ``run.steps`` or ``run.should_stop`` was asked for the next
        step: loading data, building and restoring. A run that asks neither before its next report, as a generator
        without ``run.steps``, is timed up to there: with the training of that step.
    repeated
        Steps that were done again, because the checkpoint was older than the last report.
    """

    memory: int = 0
    checkpoint: int = 0
    seconds: float = 0.0
    repeated: int = 0

    def __add__(self, other: Resumes) -> Resumes:
        return Resumes(
            self.memory + other.memory,
            self.checkpoint + other.checkpoint,
            self.seconds + other.seconds,
            self.repeated + other.repeated,
        )


_NEVER = Resumes()


class Curve:
    """Metrics by step, append-only; appending returns a new curve that shares the storage.

    Steps rise; a metric that was not reported at a step is NaN there.

    Attributes
    ----------
    count : int
        How many steps were reported.
    """

    __slots__ = ("_columns", "_steps", "count")

    def __init__(self) -> None:
        self._steps = array("q")
        self._columns: dict[str, array[float]] = {}
        self.count = 0

    @property
    def last_step(self) -> int:
        """The highest step, 0 for an empty curve."""
        return self._steps[self.count - 1] if self.count else 0

    @property
    def first_step(self) -> int:
        """The lowest step, 0 for an empty curve."""
        return self._steps[0] if self.count else 0

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics seen."""
        return tuple(self._columns)

    def append(self, step: int, metrics: Mapping[str, float]) -> Curve:
        """Return the curve with one more step; a step that is already there is merged into.

        Raises
        ------
        ValueError
            If `step` is lower than the last one.
        """
        last = self.last_step
        if step == last and self.count:
            return self.upto(step - 1).append(step, {**self.at(step), **metrics})
        if step < last:
            raise ValueError(f"steps rise: {step} was reported after {last}")
        new = self if self.count and self.count == len(self._steps) else self.upto(last)
        columns = new._columns
        if not columns.keys() >= metrics.keys():
            columns = {**columns, **{m: array("d", [math.nan]) * new.count for m in metrics if m not in columns}}
        new._steps.append(step)
        for name, column in columns.items():
            column.append(metrics.get(name, math.nan))
        return _curve(new._steps, columns, new.count + 1)

    def upto(self, step: int) -> Curve:
        """Return a copy without the steps after `step`."""
        n = int(np.searchsorted(self.steps, step, side="right"))
        return _curve(self._steps[:n], {name: column[:n] for name, column in self._columns.items()}, n)

    def at(self, step: int) -> dict[str, float]:
        """Return the metrics at a step, without those missing there; KeyError if the step was not reported."""
        i = int(np.searchsorted(self.steps, step))
        if i == self.count or self._steps[i] != step:
            raise KeyError(step)
        return {name: column[i] for name, column in self._columns.items() if not math.isnan(column[i])}

    @property
    def steps(self) -> NDArray[np.int64]:
        """The steps, (n,)."""
        return np.frombuffer(self._steps[: self.count], dtype=np.int64) if self.count else np.empty(0, np.int64)

    def values(self, name: str) -> NDArray[np.float64]:
        """The values of one metric, (n,), NaN where missing."""
        if name not in self._columns:
            return np.full(self.count, math.nan)
        return np.frombuffer(self._columns[name][: self.count]) if self.count else np.empty(0)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, dict[str, float]]]:
        for i in range(self.count):
            row = {name: column[i] for name, column in self._columns.items() if not math.isnan(column[i])}
            yield self._steps[i], row

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Curve) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash((self.count, self.last_step))

    def __repr__(self) -> str:
        return f"Curve({self.count} steps of {', '.join(self.names) or 'nothing'})"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        n = self.count
        return _curve, (self._steps[:n], {name: column[:n] for name, column in self._columns.items()}, n)


def _curve(steps: array[int], columns: dict[str, array[float]], n: int) -> Curve:
    curve = Curve.__new__(Curve)
    curve._steps, curve._columns, curve.count = steps, columns, n
    return curve


_EMPTY = Curve()


@dataclass(frozen=True, slots=True, repr=False)
class Trial:
    """One configuration and all that is known about it.

    Parameters
    ----------
    number
        Its place in the study, from 0.
    config
        Parameter values; inactive parameters are left out.
    state
        See `State`.
    seed
        What its random numbers derive from, in [0, 2**31).
    curve
        Metrics by step.
    metrics
        Its result so far: the metrics of its best step (with several metrics to tune: of its last step), overridden
        by what the objective returned.
    seconds
        How long it ran, all attempts together.
    resumes
        How often it was gone on with, and what that cost.
    grant
        The step it may run to; None is to its end.
    total_steps
        The steps of its full training, once ``run.steps`` has said so; only of runs that keep something and so can be
        paused and resumed.
    parent
        The trial it was forked from.
    origin
        ``search``, ``prior`` (the believed configuration), ``start`` (a starting point) or ``queue`` (by hand).
    reason
        Why it was proposed, or why it was stopped.
    failure
        Why it failed, if it did; of a retried trial, why the attempt before failed.
    attempt
        0, and one more for each retry.
    started, ended
        Seconds since the epoch; None if it has not.
    tags, note
        Yours.
    """

    number: int
    config: dict[str, Any]
    state: State = State.WAITING
    seed: int = 0
    curve: Curve = _EMPTY
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    resumes: Resumes = _NEVER
    grant: int | None = None
    total_steps: int | None = None
    parent: int | None = None
    origin: str = "search"
    reason: str = ""
    failure: Failure | None = None
    attempt: int = 0
    started: float | None = None
    ended: float | None = None
    tags: tuple[str, ...] = ()
    note: str = ""

    @property
    def steps(self) -> int:
        """The last step it reported."""
        return self.curve.last_step

    @property
    def charged(self) -> int:
        """Steps that a budget counts: all up to the last, of a fork those since; one for an end without a report."""
        if not len(self.curve):
            return int(self.state in ENDED)
        return self.steps - (0 if self.parent is None else self.curve.first_step - 1)

    def __repr__(self) -> str:
        parts = [f"{name}={value:.6g}" for name, value in self.metrics.items()]
        parts += [f"steps={self.steps}"] if len(self.curve) else []
        parts += [f"failure={self.failure.message!r}"] if self.failure is not None else []
        return f"Trial({', '.join([str(self.number), self.state.value, *parts])}, config={self.config!r})"

    @property
    def unfinished(self) -> bool:
        """Whether it was interrupted before it reached its grant, so that the study goes on with it first."""
        waiting = self.state is State.WAITING
        return waiting or (self.state is State.PAUSED and (self.grant is None or self.steps < self.grant))


def move(trial: Trial, state: State, **changes: Any) -> Trial:
    """Return the trial in another state.

    Raises
    ------
    TrialStateError
        If `NEXT` does not allow the step.
    """
    if state not in NEXT[trial.state]:
        allowed = ", ".join(sorted(NEXT[trial.state])) or "nothing else"
        raise TrialStateError(f"trial {trial.number} is {trial.state}; it cannot become {state}, only {allowed}")
    return replace(trial, state=state, **changes)
