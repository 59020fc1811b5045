"""A policy is a search and a schedule: the only thing the loop knows about methods."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from luthier.contracts import Decision, New, Proposal, Schedule, Search
from luthier.history import History
from luthier.trial import Trial


@dataclass(frozen=True, slots=True)
class Policy:
    """What to run next, and how far."""

    search: Search
    schedule: Schedule

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return up to `n` proposals: first what the schedule promotes, then what the search wants."""
        promoted = self.schedule.promote(history)
        if promoted is not None:
            return [promoted]
        proposals = self.search.propose(history, n, rng)
        grant = self.schedule.grant(history)
        if grant is None:
            return proposals
        return [replace(p, grant=grant) if isinstance(p, New) and p.grant is None else p for p in proposals]

    def judge(self, history: History, trial: Trial) -> Decision:
        """Decide what becomes of a running trial that has just reported."""
        return self.schedule.judge(history, trial)
