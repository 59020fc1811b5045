"""Grid search: the exact product of all values, enumerated lazily, each once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np

from luthier.contracts import New, Proposal
from luthier.errors import SpaceError
from luthier.history import History
from luthier.search.first import believed
from luthier.space import Config


class GridSearch:
    """Try every configuration of a grid.

    Parameters
    ----------
    points
        How many values to take of each continuous parameter, evenly spaced on its scale, bounds included.
    """

    def __init__(self, points: int | None = None) -> None:
        if points is not None and points < 2:
            raise SpaceError(f"a grid takes at least 2 points of a continuous parameter, got {points}")
        self.points = points
        self._lineage: object = None
        self._began = 0
        self._ahead: list[Config] = []  # enumerated, but not seen in the history yet
        self._walk: Iterator[Config] = iter(())

    def describe(self, history: History) -> str:
        """Say the size of the grid."""
        size = history.space.size(self.points)
        about = "" if size.exact else "about "
        return f"grid search over {about}{size.total:,.0f} configurations"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return the next `n` of the grid that were not tried; none at its end.

        Raises
        ------
        SpaceError
            If a parameter is continuous and `points` is not given.
        """
        if self._lineage is not history.lineage or history.began < self._began:
            self._lineage, self._ahead, self._walk = history.lineage, [], history.space.enumerate(self.points)
        self._began = history.began
        fresh = (c for c in chain(self._ahead, self._walk) if not history.seen(history.space.encode(c)))
        self._ahead = list(islice(fresh, max(n, len(self._ahead))))
        first = believed(history, rng)[:n] if history.space.finite else []
        rest = [config for config in self._ahead if config not in [p.config for p in first]]
        return [*first, *(New(config, reason="the next of the grid") for config in rest[: n - len(first)])]


SEARCH = GridSearch
