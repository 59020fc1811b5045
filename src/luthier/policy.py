"""A policy is a search and a schedule: the only thing the loop knows about methods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from luthier.contracts import CONTINUE, Decision, New, Proposal, Resume, Schedule, Search
from luthier.history import History
from luthier.schedule import schedule_of
from luthier.search import search_of
from luthier.trial import Trial


@runtime_checkable
class Thaws(Protocol):
    """A search that pauses and resumes trials, and can say which to finish when nothing new may be started."""

    def resume(self, history: History) -> Resume | None:
        """Return a paused trial to go on with, if any is worth it."""
        ...


@runtime_checkable
class GivesUp(Protocol):
    """A search that can say which paused trials are not worth another step."""

    def hopeless(self, history: History) -> dict[int, str]:
        """Return their numbers, and why."""
        ...


@runtime_checkable
class Foresees(Protocol):
    """A search that can say which paused trials may still become the best."""

    def prospects(self, history: History) -> dict[int, float]:
        """Return how far they are behind, by number, in standard deviations of their forecasts."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What to run next, and how far; without a schedule every trial runs to its end."""

    search: Search
    schedule: Schedule | None = None

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return up to `n` proposals: first what the schedule promotes, then what the search wants."""
        if self.schedule is None:
            return self.search.propose(history, n, rng)
        promoted = self.schedule.promote(history)
        if promoted is not None:
            return [promoted]
        proposals = self.search.propose(history, n, rng)
        grant = self.schedule.grant(history)
        if grant is None:
            return proposals
        return [replace(p, grant=grant) if isinstance(p, New) and p.grant is None else p for p in proposals]

    def promote(self, history: History) -> Resume | None:
        """Return a paused trial to go on with, if any, without starting anything new."""
        promoted = None if self.schedule is None else self.schedule.promote(history)
        if promoted is None and isinstance(self.search, Thaws):
            return self.search.resume(history)
        return promoted

    def hopeless(self, history: History) -> dict[int, str]:
        """Return paused trials that need not be kept for later, by number, and why."""
        return self.search.hopeless(history) if isinstance(self.search, GivesUp) else {}

    def dispensable(self, history: History, numbers: Sequence[int]) -> int:
        """Return which of some paused trials is the least likely to be gone on with.

        By forecast where the search has one, otherwise the worst one so far; of equals the first one given.
        """
        ahead = self.search.prospects(history) if isinstance(self.search, Foresees) else {}

        def behind(number: int) -> tuple[float, float]:
            loss = history.losses_of(history.trial(number))[0]
            return ahead.get(number, math.inf), math.inf if math.isnan(loss) else loss

        return max(numbers, key=behind)

    def judge(self, history: History, trial: Trial) -> Decision:
        """Decide what becomes of a running trial that has just reported."""
        return CONTINUE if self.schedule is None else self.schedule.judge(history, trial)


def policy_of(search: str | Search, schedule: str | Schedule | Iterable[Any] | None) -> Policy:
    """Put a search and a schedule together, by name or as objects.

    With both ``"auto"``, the automatic search also decides how far trials run: by freeze-thaw where they report by
    step. A search that is named runs every trial to its end unless a schedule is named, and a schedule that is named
    has the automatic search underneath.

    Raises
    ------
    SettingError
        If there is none of a name.
    """
    if schedule != "auto":
        return Policy(search_of(search), schedule_of(schedule))
    return Policy(search_of("adaptive" if search == "auto" else search))
