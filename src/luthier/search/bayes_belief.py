"""From data to an acquisition: surrogates of the loss, of failures, of limits and of cost, and their terms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from luthier.maths.gp import Posterior
from luthier.maths.transform import standardize
from luthier.search.bayes_data import Data
from luthier.search.bayes_model import Surrogates
from luthier.search.bayes_terms import Acquisition, Believed, Below, Cheap, Improvement, NewImprovement, Term, place
from luthier.space import Array

_CENTERS = 5  # best configurations that candidates are drawn around
_KEPT = 0.7  # the probability of keeping a limit that is wanted
_DOUBT = 5.0  # observations; predicted variances are widened by the share of this in their number
_POWER = 4.0  # the priors count to this power divided by the number of results


@dataclass(frozen=True, slots=True)
class Belief:
    """An acquisition and what explains it.

    Attributes
    ----------
    acquisition : Acquisition
    lengthscales : (d,) float array
        Of the surrogate of the loss; ones if there is none yet.
    centers : (c, d) float array
        Codes of the best results, best first, to look around.
    surrogate : Posterior or None
        Of the loss.
    best : float
        The value to improve on, in the surrogate's units.
    losses, values : (k,) float array
        What the surrogate was told, before and after the transform.
    """

    acquisition: Acquisition
    lengthscales: Array
    centers: Array
    surrogate: Posterior | None = None
    best: float = math.nan
    losses: Array = field(default_factory=lambda: np.empty(0))
    values: Array = field(default_factory=lambda: np.empty(0))


def believe(
    data: Data,
    surrogates: Surrogates,
    transform: Callable[[Array], Array],
    *,
    waiting: Array,
    cost_aware: bool,
    least: int,
    rng: np.random.Generator,
) -> Belief | None:
    """Fit all surrogates.

    Parameters
    ----------
    data : Data
    surrogates : Surrogates
    transform : callable
        What the loss goes through.
    waiting : (k, d) float array
        Codes chosen in this call, on top of ``data.pending``.
    cost_aware : bool
    least : int
        Results from which on the loss is modelled.
    rng : numpy.random.Generator
        Weighs several losses.

    Returns
    -------
    Belief or None
        None where there is nothing to go by.
    """
    frame = surrogates.frame
    terms = [*_chances(data, surrogates), *(_cheapness(data, surrogates) if cost_aware else [])]
    losses = data.y if data.losses.shape[1] == 1 else _scalarize(data.losses, rng)
    loss = None
    if len(losses) >= least:
        name = f"loss {transform.__name__}"
        loss = surrogates.fitted(name, data.x, losses, transform, shape=frame.bowled)
    if loss is None and not terms:
        return None
    if frame.space.has_prior:
        terms.append(Believed(frame.space, _POWER / max(len(losses), 1)))
    pending = np.vstack([data.pending, waiting])
    centers = data.best(losses, _CENTERS)
    if loss is None:
        return Belief(Acquisition(frame, terms), np.ones(frame.d), centers)
    surrogate, kept = loss.posterior, data.feasible[loss.rows]
    best = float(loss.values[kept].min()) if kept.any() else math.inf
    doubt = 1.0 + _DOUBT / len(losses)
    if len(pending) and kept.any():
        terms.append(NewImprovement(surrogate.awaiting(*frame.embed(pending)), best, doubt=doubt))
    elif kept.any():
        terms.append(Improvement(surrogate, best, doubt=doubt))
    lengthscales = np.exp(surrogate.theta[: frame.d])
    return Belief(Acquisition(frame, terms), lengthscales, centers, surrogate, best, losses[loss.rows], loss.values)


def _chances(data: Data, surrogates: Surrogates) -> list[Term]:
    """Probabilities of no failure of any kind, and of keeping each limit.

    Failures that strike anywhere should not keep the search from anything: what is wanted is no more than what the
    model says of half of the trials that did work.
    """
    frame = surrogates.frame
    terms: list[Term] = []
    wanted = (0.8 + 0.15 * data.failing) ** (1.0 / max(len(data.failures), 1))  # the more fail, the surer
    for kind, (x, failed) in data.failures.items():
        labels = surrogates.fitted(f"failure {kind}", x, np.where(failed, 1.0, -1.0), _same)
        if labels is not None:
            worked = np.exp(Below(labels.posterior, 0.0, 0.0).value(place(frame, x[~failed])))
            terms.append(Below(labels.posterior, 0.0, min(wanted, float(np.median(worked))) if len(worked) else wanted))
    for name, (x, told, limit) in data.limits.items():
        model = surrogates.fitted(f"limit {name}", x, told - limit, _shrink) if len(told) else None
        terms += [Below(model.posterior, 0.0, _KEPT)] if model is not None else []
    return terms


def _cheapness(data: Data, surrogates: Surrogates) -> list[Term]:
    """Minus the log of the predicted duration."""
    timed = data.seconds > 0.0
    if not timed.any():
        return []
    cost = np.log(data.seconds[timed])
    model = surrogates.fitted("cost", data.x[timed], cost, standardize)
    return [Cheap(model.posterior, float(cost[model.rows].std()))] if model is not None else []


def _shrink(y: Array) -> Array:
    """Scale without shifting, so that the limit stays at zero; the far side of both tails is drawn in."""
    spread = float(np.median(np.abs(y))) or float(np.abs(y).max()) or 1.0
    return np.asarray(np.arcsinh(y / spread))


def _same(y: Array) -> Array:
    return y


def _scalarize(losses: Array, rng: np.random.Generator) -> Array:
    """One loss of several by a random direction: augmented Chebyshev of ranges made equal (ParEGO, Knowles 2006)."""
    scaled = np.column_stack([standardize(column) for column in losses.T])
    low, high = scaled.min(axis=0), scaled.max(axis=0)
    scaled = (scaled - low) / np.where(high > low, high - low, 1.0)
    weights = rng.dirichlet(np.ones(losses.shape[1]))
    return np.asarray((weights * scaled).max(axis=1) + 0.05 * (scaled @ weights))
