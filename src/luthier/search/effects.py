"""What matters and what goes together: the surrogate of the Bayesian search, taken apart by its variance.

Functional analysis of variance as in Hutter et al. (2014), on a Gaussian process instead of a forest.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np

from luthier.errors import LuthierError
from luthier.history import History
from luthier.maths.sensitivity import closed_indices
from luthier.maths.transform import winsorize
from luthier.search.bayes_frame import Frame
from luthier.search.bayes_model import Surrogates
from luthier.space import Array

K = TypeVar("K")

_POINTS = 2048
_LEAST = 5  # results that a surrogate needs to say anything


@dataclass(frozen=True, slots=True)
class Effects:
    """How much of the loss's variation over the space the surrogate puts down to what.

    Attributes
    ----------
    alone : dict of str to float
        Share that a parameter explains by itself, largest first.
    together : dict of (str, str) to float
        Share that two parameters explain only together, largest first.
    trials : int
        Results it rests on.
    """

    alone: dict[str, float]
    together: dict[tuple[str, str], float]
    trials: int

    def __str__(self) -> str:
        lines = [f"What the loss depends on, by {self.trials} trials:"]
        lines += [f"  {name:<30} {share:4.0%}" for name, share in self.alone.items()]
        pairs = [(f"{a} x {b}", share) for (a, b), share in self.together.items() if share >= 0.005]
        lines += ["and only together:", *(f"  {name:<30} {share:4.0%}" for name, share in pairs[:10])] if pairs else []
        return "\n".join(lines)


def effects(history: History, *, metric: int = 0, seed: int = 0) -> Effects:
    """Take the surrogate of a metric apart.

    Parameters
    ----------
    history
        With at least five results.
    metric
        Which of its metrics.
    seed
        Of the sample of the space; another one shows how far the shares can be trusted.

    Returns
    -------
    Effects

    Raises
    ------
    LuthierError
        If there are too few results, or no surrogate can be fitted to them.
    """
    losses = history.losses[:, metric]
    known = np.isfinite(losses)
    if known.sum() < _LEAST:
        raise LuthierError(f"needs at least {_LEAST} results to tell effects apart, there are {known.sum()}")
    frame = Frame(history.space)
    fitted = Surrogates(frame).fitted("effects", history.x[known], losses[known], winsorize)
    if fitted is None:
        raise LuthierError("no surrogate can be fitted to these results")

    def mean(x: Array) -> Array:
        return fitted.posterior.predict(*frame.embed(history.space.snap(x)))[0]

    names = history.space.columns
    rng = np.random.default_rng(seed)
    a, b = rng.random((_POINTS, len(names))), rng.random((_POINTS, len(names)))
    pairs = list(combinations(range(len(names)), 2))
    shares, _ = closed_indices(mean, a, b, [*((i,) for i in range(len(names))), *pairs])
    alone = dict(zip(names, np.clip(shares[: len(names)], 0.0, 1.0).tolist(), strict=True))
    together = {
        (names[i], names[j]): float(np.clip(share - shares[i] - shares[j], 0.0, 1.0))
        for (i, j), share in zip(pairs, shares[len(names) :], strict=True)
    }
    return Effects(_falling(alone), _falling(together), int(known.sum()))


def _falling(shares: dict[K, float]) -> dict[K, float]:
    return dict(sorted(shares.items(), key=lambda entry: -entry[1]))
