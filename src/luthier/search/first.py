"""What searches that sample share: the first trial tries what the user believes, and nothing is tried twice."""

from __future__ import annotations

from itertools import islice

import numpy as np

from luthier.contracts import New
from luthier.history import History
from luthier.space import Config

_TRIES = 100


def believed(history: History, rng: np.random.Generator) -> list[New]:
    """Return the configuration of the priors, the rest drawn, if the study has not begun and there are priors."""
    if history.began or not history.space.has_prior:
        return []
    return [New(history.space.complete({}, rng), reason="the values you believe in", origin="prior")]


def unseen(history: History, taken: list[Config], rng: np.random.Generator, *, prior: bool = True) -> Config | None:
    """Draw a configuration that was not tried yet and is not in `taken`; None when a finite space is exhausted."""
    space = history.space
    for _ in range(_TRIES):
        config = space.sample(rng, believed=prior)
        if config not in taken and not history.seen(space.encode(config)):
            return config
    if not np.isfinite(space.size().total):
        return space.sample(rng)
    fresh = (c for c in space.enumerate() if c not in taken and not history.seen(space.encode(c)))
    left = list(islice(fresh, 1000))  # the first thousand suffice: it is the end of the space
    return left[rng.integers(len(left))] if left else None
