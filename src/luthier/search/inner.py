"""A search inside another: it works in a part of the space and sees the trials that lie in that part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from luthier.contracts import Proposal, Search
from luthier.errors import ConfigError
from luthier.history import History
from luthier.space import Config, Space


class InnerSearch:
    """Let a search propose in a smaller space.

    The part of the history that lies in that space is kept from proposal to proposal and only added to, so that the
    search's own cache stays of use; it is the same history as one built afresh.

    Parameters
    ----------
    search
        What proposes.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self._lineage: object = None
        self._part: History | None = None
        self._read = 0  # ended trials of the whole history that were looked at

    def propose(self, history: History, space: Space, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return up to `n` proposals in `space`, whose configurations are configurations of the whole space."""
        part = self._ended(history, space)
        for trial in history.live:
            config = inside(space, trial.config)
            part = part if config is None else part.record(replace(trial, config=config))
        return self.search.propose(part, n, rng)

    def _ended(self, history: History, space: Space) -> History:
        ended = history.ended
        part = self._part
        if part is None or self._lineage is not history.lineage or self._read > len(ended) or part.space != space:
            part, self._read = History(space, history.metrics, history.seed), 0
        for trial in ended[self._read :]:
            config = inside(space, trial.config)
            part = part if config is None else part.record(replace(trial, config=config))
        self._lineage, self._part, self._read = history.lineage, part.planning(history.planned), len(ended)
        return self._part


def inside(space: Space, config: Config) -> Config | None:
    """Return the configuration as one of `space`, or None if it lies outside."""
    try:
        return space.validate(config)
    except ConfigError:
        return None
