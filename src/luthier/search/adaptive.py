"""Freeze-thaw where trials report by step, the automatic search where they do not.

The first trial is granted one step. An objective that does not report ignores that and runs to its end; one that does
is paused, and has said how long a training is. One that says no length, or keeps nothing that it could go on from, is
not paused again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from luthier.contracts import New, Proposal, Resume, Search
from luthier.history import History
from luthier.search import search_of
from luthier.search.freeze import FreezeSearch
from luthier.trial import ENDED, State, Trial

_FEWEST = 3  # steps of a training that is worth pausing


class AdaptiveSearch:
    """Choose between freeze-thaw and another search by what the trials report.

    Parameters
    ----------
    search
        What proposes while no trial has said how many steps a training has, where there are fewer than three, and
        where several metrics are tuned: a name, or a search.
    thaw
        The freeze-thaw search.
    """

    paced = True  # as freeze-thaw is

    def __init__(self, search: str | Search = "auto", thaw: FreezeSearch | None = None) -> None:
        self.search = search_of(search)
        self.thaw = thaw or FreezeSearch()

    def describe(self, history: History) -> str:
        """Say what it is."""
        if self.thaws(history):
            return self.thaw.describe(history)
        return f"{self.search.describe(history)}; freeze-thaw as soon as a trial reports by step"

    def thaws(self, history: History) -> bool:
        """Tell whether trials report by step, so that freeze-thaw pays."""
        return len(history.metrics) == 1 and any(map(_by_step, _some(history)))

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return what the search that fits proposes; the first trials are granted one step."""
        if self.thaws(history):
            return self.thaw.propose(history, n, rng)
        held = self._held(history)
        if held is not None:
            return [held]
        found = self.search.propose(history, n, rng)
        if len(history.metrics) > 1 or any(t.state in ENDED and t.metrics for t in _some(history)):
            return found
        return [replace(p, grant=1) if isinstance(p, New) and p.grant is None else p for p in found]

    def resume(self, history: History) -> Resume | None:
        """Return a paused trial to finish without starting anything new, if there is one worth it."""
        return self.thaw.resume(history) if self.thaws(history) else self._held(history)

    def hopeless(self, history: History) -> dict[int, str]:
        """Return the paused trials that will hardly be worth another step, by number, and why."""
        return self.thaw.hopeless(history) if self.thaws(history) else {}

    def prospects(self, history: History) -> dict[int, float]:
        """Return how far the paused trials are behind by forecast, by number."""
        return self.thaw.prospects(history) if self.thaws(history) else {}

    def _held(self, history: History) -> Resume | None:
        """A trial that was granted one step, but is not worth pausing."""
        held = (t for t in history.live if t.state is State.PAUSED and t.grant == t.steps == 1)
        return next((Resume(t.number, reason="to its end: short, or cannot be paused") for t in held), None)


def _some(history: History) -> list[Trial]:
    return [*history.ended[:8], *history.live]


def _by_step(trial: Trial) -> bool:
    return len(trial.curve) > 0 and (trial.total_steps or 0) >= _FEWEST


SEARCH = AdaptiveSearch
