"""What an executor is: it takes tickets and gives outcomes; reports go to a listener, which decides."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from luthier.contracts import Decision
from luthier.trial import Failure


@dataclass(frozen=True, slots=True)
class Ticket:
    """One run of one trial, as an executor needs it.

    Parameters
    ----------
    number, config, seed
        Of the trial.
    path
        Its directory.
    step
        Where its stored curve stands.
    parent
        The directory of the trial it is forked from, if it is.
    """

    number: int
    config: dict[str, Any]
    seed: int
    path: str
    step: int = 0
    parent: str | None = None


FULL = (errno.ENOSPC, errno.EDQUOT)  # what the system says when a disk is full

OutcomeKind = Literal["done", "failed", "paused", "interrupted", "stopped", "finished", "crowded"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    number
        Of the trial.
    kind
        ``done`` (the objective returned), ``failed``, ``paused`` (by the schedule), ``interrupted`` (by the budget or
        by hand), ``stopped`` or ``finished`` (by the schedule), ``crowded`` (it ran out of memory where paused runs had
        been held: they are dropped, and when it is submitted again, it runs alone).
    result
        What the objective returned; None if its reports count.
    failure
        Why it failed.
    reason
        Why it was stopped; of an interrupted run, why the study has to stop: the disk is full; of a crowded one, what
        it ran out of.
    seconds
        How long it ran since it was submitted.
    """

    number: int
    kind: OutcomeKind
    result: Any = None
    failure: Failure | None = None
    reason: str = ""
    seconds: float = 0.0


class Listener(Protocol):
    """Hears what runs report, and decides."""

    def restarted(self, number: int, step: int, reports: list[tuple[int, dict[str, float]]], *, seconds: float) -> None:
        """A run goes on from a checkpoint at `step`, or anew; it knows of `reports`, and took `seconds` to load."""
        ...

    def reported(
        self, number: int, step: int, metrics: Mapping[str, float], *, seconds: float, total_steps: int | None
    ) -> Decision:
        """A run reported a step, `seconds` after it was submitted; return what becomes of it."""
        ...

    def dispensable(self, numbers: Sequence[int]) -> int:
        """Return which of these paused runs, longest paused first, is dropped from memory when that is short."""
        ...


class Executor(Protocol):
    """Runs objectives."""

    slots: int
    in_process: bool
    inside: bool  # whether this process is inside an objective now, which a `RunEnded` from a signal breaks off

    @property
    def free(self) -> int:
        """How many tickets may be submitted now."""
        ...

    def submit(self, ticket: Ticket) -> bool:
        """Start a run, or go on with one that is held in memory: then True."""
        ...

    def poll(self, listener: Listener, timeout_s: float) -> list[Outcome]:
        """Let runs go on for up to `timeout_s` seconds, or until one ends; return those that ended."""
        ...

    def drop(self, numbers: Sequence[int]) -> None:
        """Let paused runs leave memory: their trials have ended."""
        ...

    def kill(self, number: int) -> None:
        """End a run at once; its outcome is ``interrupted``."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use.

    Parameters
    ----------
    timeout_s
        Seconds for one trial.
    memory_bytes
        Bytes for one trial.
    checkpoints
        Which checkpoints to keep: the latest and the best, only the latest, or all.
    """

    timeout_s: float | None = None
    memory_bytes: int | None = None
    checkpoints: Literal["best", "latest", "all"] = "best"


@dataclass(slots=True)
class Stopwatch:
    """Measures how long something ran, pauses left out; the clock is an argument."""

    begun: float
    before: float = field(default=0.0)

    def read(self, now: float) -> float:
        """Return the seconds so far."""
        return self.before + now - self.begun

    def stretch(self, now: float) -> float:
        """Return the seconds since the last pause."""
        return now - self.begun

    def go_on(self, paused: float, now: float) -> None:
        """Leave out the time from `paused` to `now`."""
        self.before, self.begun = self.read(paused), now
