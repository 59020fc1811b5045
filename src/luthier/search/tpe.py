"""Tree-structured Parzen estimators, multivariate (Bergstra et al. 2011; Falkner et al. 2018; Watanabe 2023).

One mixture density over the good trials, one over the others; of some draws from the first, the one with the highest
ratio of the two is proposed. Cheap enough for ten thousand trials and more.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal
from luthier.errors import SettingError
from luthier.history import History
from luthier.maths.pareto import best_first
from luthier.maths.parzen import Columns, Parzen, age_weights, scott_bandwidths
from luthier.search.fresh import Results, begun, configs, drawn, first_fresh, nearest
from luthier.space import Config, Space

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

_FACTOR = 1.5  # of the bandwidths; measured, docs/research
_SHARP = 0.5  # the same, where failures begin: their border may be a cliff
_CAUTION = 2.0  # power of the chance that a trial does not fail
_SHARPEST = 100  # no bandwidth below 1/100 of a range
_MOST_GOOD = (25, 100)  # with one metric, with several
_ROUNDS = 4  # of draws, before a random one


class TpeSearch:
    """Draw near the good trials, away from the others.

    Parameters
    ----------
    start
        Trials before the densities: the middle of the space, then random ones.
    share
        Share of the trials that count as good; at most 25 do, 100 with several metrics.
    candidates
        Draws from which the best ratio is taken; more exploit more.
    crowd
        At most so many of the other trials are used, the latest and an even selection of the rest, which keeps the
        cost of a proposal from growing.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Notes
    -----
    Failed and running trials count with the others, so that the search leaves places that fail or are being tried
    ("constant liar"). Once there are failures, the ratio is multiplied by the squared chance of success, from the
    densities of failed and of other trials.

    Where a parameter of a draw is inactive in a trial, that trial's kernel is uniform there, so a branch of a
    conditional space is modelled by its own trials, and its parents by all of them. With several metrics the good
    trials are the first nondominated fronts, the least crowded first.
    """

    def __init__(self, *, start: int = 5, share: float = 0.1, candidates: int = 24, crowd: int = 2000) -> None:
        if start < 1 or candidates < 1 or crowd < 1 or not 0.0 < share < 1.0:
            raise SettingError(
                "TpeSearch needs start, candidates and crowd of at least 1 and a share between 0 and 1, got "
                f"start={start}, candidates={candidates}, crowd={crowd}, share={share}"
            )
        self.start, self.share, self.candidates, self.crowd = start, share, candidates, crowd

    def describe(self, history: History) -> str:
        """Say what it is."""
        return f"tree-structured Parzen estimators after {self.start} trials"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `n` proposals, each as if those before it were running; fewer when a finite space is exhausted."""
        found: list[Proposal] = []
        seen = Results(history)
        ahead = seen.running
        while len(found) < n:
            new = self._next(history, seen, ahead, configs(found), rng)
            if not new:
                break
            found += new
            ahead = np.vstack([ahead, history.space.encode(configs(new)[0])])
        return found

    def _next(
        self, history: History, seen: Results, ahead: Array, taken: list[Config], rng: np.random.Generator
    ) -> list[Proposal]:
        if len(seen.x) < self.start:
            return begun(history, taken, rng, start=self.start)
        good, others = split(seen.losses, self.share)
        model = Model(history.space, seen, good, thinned(others, self.crowd), ahead)
        for _ in range(_ROUNDS):
            x, kernel, gain = model.draw(self.candidates, rng)
            hit = first_fresh(history, x, taken)
            if hit is not None:
                row, config = hit
                origin = seen.number(int(good[kernel[row]])) if kernel[row] < len(good) else None
                return [New(config, reason=_reason(history, x[row], origin, len(good), gain[row]))]
        return drawn(history, taken, rng, "a random draw: all draws near the good trials were tried")


def _reason(history: History, x: Array, origin: int | None, good: int, gain: float) -> str:
    source = "drawn from the prior" if origin is None else f"drawn around trial {origin}"
    return (
        f"{source}; {math.exp(min(gain, 50.0)):.2g} times as dense in the {good} good trials as in the others"
        f"{', failures counted in' if np.isnan(history.losses).any() else ''}; "
        f"{nearest(history, x)}"
    )


class Model:
    """The densities of good and of other trials, and the chance that a trial does not fail.

    Parameters
    ----------
    space
    seen
        What is known.
    good, others
        Their rows.
    ahead : (k, d) float array
        Codes of trials that run or are proposed already.
    """

    def __init__(self, space: Space, seen: Results, good: Rows, others: Rows, ahead: Array) -> None:
        self.space = space
        self.columns = columns = columns_of(space)
        self.near = _mixture(columns, seen.x[good])
        self.far = _mixture(columns, np.vstack([seen.x[others], ahead]))
        failed = np.isnan(seen.losses[others]).any(axis=1)
        self.odds = math.log((failed.sum() + 1.0) / (len(good) + len(others) - failed.sum() + 1.0))
        self.failing: tuple[Parzen, Parzen] | None = None
        if failed.any():
            passed = np.sort(np.concatenate([good, others[~failed]]))
            bad, well = (_mixture(columns, seen.x[rows], _SHARP) for rows in (others[failed], passed))
            self.failing = (bad, well)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Array, Rows, Array]:
        """Draw from the good density: points, (n, d), kernels and log ratios, (n,), the highest ratio first."""
        x, kernel = self.near.sample(n, rng)
        belief = None
        if self.space.has_prior:
            free = kernel == len(self.near.centers)
            x[free] = self.space.believe(x[free])
        x = self.space.snap(x)
        if self.space.has_prior:
            belief = self.space.log_prior(x)
        features = self.columns.features(x)
        gain = self.near.log_density_of(features, belief) - self.far.log_density_of(features, belief)
        if self.failing is not None:
            bad, well = (density.log_density_of(features) for density in self.failing)
            odds = self.odds + bad - well
            gain = gain - _CAUTION * np.logaddexp(0.0, odds)  # log chance of success
        order = np.argsort(-gain, kind="stable")
        return x[order], kernel[order], gain[order]


def _mixture(columns: Columns, centers: Array, factor: float = _FACTOR) -> Parzen:
    """One kernel for each trial, the prior weighing as much as the latest of them."""
    k = len(centers)
    bandwidths = scott_bandwidths(centers, factor=factor, floor=1.0 / min(_SHARPEST, k + 2.0))
    return Parzen(columns, centers, age_weights(k), bandwidths, prior=1.0, smoothing=1.0 / (k + 1))


def split(losses: Array, share: float) -> tuple[Rows, Rows]:
    """Split trials into good ones and the others.

    Parameters
    ----------
    losses : (n, m) float array
        NaN where there is no result.
    share : float
        Of those with a result, so many are good, rounded up.

    Returns
    -------
    (k,) int array, (n - k,) int array
        Rows of the good ones and of the others, oldest first.
    """
    known = int(np.sum(~np.isnan(losses).any(axis=1)))
    good = min(math.ceil(share * known), _MOST_GOOD[losses.shape[1] > 1])
    order = best_first(losses, enough=good)
    return np.sort(order[:good]), np.sort(order[good:])


def thinned(rows: Rows, most: int) -> Rows:
    """Keep at most `most` rows: the latest half of them, and an even selection of the older ones."""
    if len(rows) <= most:
        return rows
    latest = most // 2
    older = rows[: len(rows) - latest]
    chosen = np.linspace(0, len(older) - 1, most - latest).astype(int)
    return np.concatenate([older[chosen], rows[len(rows) - latest :]])


def columns_of(space: Space) -> Columns:
    """Describe the columns of a space for a Parzen estimator."""
    kinds = list(space.parameters.values())
    return Columns(
        np.array([int(p.size) if p.kind == "choice" else 0 for p in kinds], dtype=np.int64),
        np.array([0.0 if p.kind == "choice" or math.isinf(p.size) else 1.0 / p.size for p in kinds]),
    )


SEARCH = TpeSearch
