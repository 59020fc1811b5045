"""Random search (Bergstra and Bengio 2012): independent draws, uniform on each parameter's scale or from its prior."""

from __future__ import annotations

import numpy as np

from luthier.contracts import New, Proposal
from luthier.history import History
from luthier.search.first import believed, unseen


class RandomSearch:
    """Draw configurations at random, none twice.

    Parameters
    ----------
    prior
        Draw parameters that have a prior from it (a share `sure` near the believed value, the rest uniform).
    """

    def __init__(self, *, prior: bool = True) -> None:
        self.prior = prior

    def describe(self, history: History) -> str:
        """Say what it is."""
        return "random search" + (", drawing from your priors" if self.prior and history.space.has_prior else "")

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `n` draws; fewer when a finite space is exhausted."""
        found: list[Proposal] = [*believed(history, rng)] if self.prior and not history.began else []
        if history.space.endless:
            rest = n - len(found)
            draws = [history.space.sample(rng, believed=self.prior) for _ in range(rest)]
            return [*found, *(New(config, reason="a random draw") for config in draws)]
        taken = [p.config for p in found if isinstance(p, New)]
        while len(found) < n:
            config = unseen(history, taken, rng, prior=self.prior)
            if config is None:
                break
            taken.append(config)
            found.append(New(config, reason="a random draw"))
        return found


SEARCH = RandomSearch
