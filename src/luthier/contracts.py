"""What searches and schedules give back, and what the loop expects of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from luthier.trial import Trial

if TYPE_CHECKING:
    from luthier.history import History


@dataclass(frozen=True, slots=True)
class New:
    """Start a trial with this configuration; `grant` None leaves the step it may run to to the schedule."""

    config: dict[str, Any]
    reason: str = ""
    grant: int | None = None
    origin: str = "search"


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with a paused trial, up to step `grant` (None: to its end)."""

    number: int
    reason: str = ""
    grant: int | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """Start a trial from the last checkpoint of trial `number`, with this configuration."""

    number: int
    config: dict[str, Any]
    reason: str = ""
    grant: int | None = None


Proposal = New | Resume | Fork


class Verdict(StrEnum):
    """What becomes of a running trial at a report."""

    CONTINUE = "continue"
    PAUSE = "pause"  # hold it; it may be resumed
    STOP = "stop"  # give it up
    FINISH = "finish"  # it has reached what it can reach: done


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and why.

    `estimate` is what the first metric will probably be at the end, from a schedule whose steps cannot be compared
    with whole trials; it becomes the trial's result so far.
    """

    verdict: Verdict
    reason: str = ""
    estimate: float | None = None


CONTINUE = Decision(Verdict.CONTINUE)


@runtime_checkable
class Search(Protocol):
    """What to try next: a function of its arguments.

    It may cache, but without its cache it must give the same answer (`luthier.testing` checks that).
    """

    def describe(self, history: History) -> str:
        """Say in one line what it is and, where it chose something, why; told when a study starts."""
        ...

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return up to `n` proposals; none when nothing is left to try."""
        ...


@runtime_checkable
class Schedule(Protocol):
    """How far trials run: functions of their arguments."""

    def grant(self, history: History) -> int | None:
        """Return the step up to which a new trial may run; None for its end."""
        ...

    def promote(self, history: History) -> Resume | None:
        """Return a paused trial to go on with before anything new is started, if any."""
        ...

    def judge(self, history: History, trial: Trial) -> Decision:
        """Decide what becomes of a running trial that has just reported."""
        ...
