"""The recipe's default, trained to its end before anything else is paused or preferred: the least that a job gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from luthier.contracts import New, Proposal, Resume, Search
from luthier.history import History
from luthier.search import search_of
from luthier.search.adaptive import AdaptiveSearch
from luthier.search.freeze import FreezeSearch

_BEGINNING = 1 / 8  # of a training
_FINISHED = 8


class DefaultFirst:
    """Start with one configuration, let it run to its end, and leave everything else to another search.

    Searches that pause trials spread a short budget over many that are hardly trained; then the default, which is a
    respectable model once it is trained, would be lost with them.

    Parameters
    ----------
    config
        What to begin with.
    search
        What proposes afterwards: a name, or a search.
    """

    def __init__(self, config: dict[str, Any], search: str | Search = "adaptive") -> None:
        self._config, self._search = dict(config), search_of(search)
        self.paced = bool(getattr(self._search, "paced", False))

    def describe(self, history: History) -> str:
        """Say what proposes."""
        return self._search.describe(history)

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return the default first, then what the search wants."""
        if history.began:
            return self._search.propose(history, n, rng)
        first = New(dict(self._config), "the recipe's default, to its end", origin="start")
        return [first, *(self._search.propose(history, n - 1, rng) if n > 1 else [])]

    def resume(self, history: History) -> Resume | None:
        """Return what the search would finish, if it pauses trials."""
        resume = getattr(self._search, "resume", None)
        found: Resume | None = None if resume is None else resume(history)
        return found

    def hopeless(self, history: History) -> dict[int, str]:
        """Return what the search gives up."""
        hopeless = getattr(self._search, "hopeless", None)
        return {} if hopeless is None else dict(hopeless(history))

    def prospects(self, history: History) -> dict[int, float]:
        """Return what the search foresees of paused trials."""
        prospects = getattr(self._search, "prospects", None)
        return {} if prospects is None else dict(prospects(history))


def thorough() -> AdaptiveSearch:
    """Return freeze-thaw that trains several configurations to their ends, for a budget of about ten trainings.

    What a job hands over is a trained network. Half of its budget goes to beginnings, the other half to finishing the
    best by forecast: the first epochs at a rate that comes down only later tell little of how a training ends. On
    Fashion-MNIST, ten minutes, the usual way began 42 configurations besides the default and finished none of them.
    """
    return AdaptiveSearch(thaw=FreezeSearch(share=_BEGINNING, last=0.5, few=_FINISHED))
