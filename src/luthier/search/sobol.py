"""Low-discrepancy search: a scrambled Sobol sequence (Owen 1998; Joe and Kuo 2008), which fills the space evenly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal
from luthier.history import History
from luthier.search.first import believed, unseen
from luthier.space import Config, Space

_LONGEST = 8  # at most so many times twice the points that are needed


class SobolSearch:
    """Fill the space evenly: better than random search at the same cost, and as parallel.

    Parameters
    ----------
    prior
        Move the points so that they follow the priors.
    """

    def __init__(self, *, prior: bool = True) -> None:
        self.prior = prior

    def describe(self, history: History) -> str:
        """Say what it is."""
        return "scrambled Sobol sequence" + (
            ", following your priors" if self.prior and history.space.has_prior else ""
        )

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return the next `n` points of the sequence that were not tried; fewer when a finite space is exhausted."""
        space = history.space
        found: list[Proposal] = [*believed(history, rng)] if self.prior else []
        taken: list[Config] = [p.config for p in found if isinstance(p, New)]
        wanted = max(history.began + n, 8)
        bits = wanted.bit_length() + 1
        points = sobol_points(space, history.seed, bits, self.prior)
        while len(points) < wanted and bits < min(wanted.bit_length() + _LONGEST, 20):  # many are forbidden
            bits += 1
            points = sobol_points(space, history.seed, bits, self.prior)
        for x in points[history.began :]:
            if len(found) >= n:
                break
            config = space.decode(x)
            if config not in taken and not history.seen(space.encode(config)):
                taken.append(config)
                found.append(New(config, reason="the next point of a Sobol sequence"))
        while len(found) < n:  # a finite space, nearly exhausted
            rest = unseen(history, taken, rng, prior=self.prior)
            if rest is None:
                break
            taken.append(rest)
            found.append(New(rest, reason="one of the last that were not tried"))
        return found


@lru_cache(maxsize=8)
def sobol_points(space: Space, seed: int, bits: int, prior: bool = False) -> NDArray[np.float64]:
    """Return the allowed ones among the first ``2**bits`` points of the space's sequence.

    Parameters
    ----------
    space
        The space; needs at most 21,201 parameters.
    seed
        Seed of the scrambling; the same seed gives the same sequence, longer or shorter.
    bits
        Logarithm of how many points to take.
    prior
        Whether to move the points so that they follow the priors.

    Returns
    -------
    (k, d) float array
        ``k <= 2**bits``.
    """
    from scipy.stats import qmc  # two seconds of CPU

    engine = qmc.Sobol(max(len(space.columns), 1), scramble=True, rng=np.random.default_rng(seed))
    points = engine.random_base2(bits)[:, : len(space.columns)]
    points = space.believe(points) if prior else points
    kept = points[space.allowed(points)]
    kept.flags.writeable = False
    return np.asarray(kept)


SEARCH = SobolSearch
