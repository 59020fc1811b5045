"""What a Bayesian search says about a proposal: its rule, what it predicts, what it hopes for, what is nearest."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from luthier.history import History
from luthier.search.bayes_belief import Belief
from luthier.search.bayes_data import Data
from luthier.search.bayes_frame import Frame
from luthier.space import Array

_SHOWN = 3  # parameters that are named


def reason(history: History, data: Data, belief: Belief, frame: Frame, code: Array) -> str:
    """Explain one proposal.

    Parameters
    ----------
    history : History
    data : Data
        What was read from it.
    belief : Belief
        What chose the code.
    frame : Frame
    code : (d,) float array

    Returns
    -------
    str
        One line, in the units of the first metric.
    """
    if belief.surrogate is None:
        return "the likeliest not to fail: too few trials have a result yet"
    mean, variance = belief.surrogate.predict(*frame.embed(code[None]))
    spread = math.sqrt(variance[0])
    near = _nearest(data, belief, frame, code)
    if len(history.metrics) > 1:
        names = " and ".join(m.name for m in history.metrics)
        return f"expected improvement of a random trade-off between {names}{near}"
    metric = history.metrics[0]
    shown = [metric.sign * _loss(mean[0] + k * spread, belief) for k in (0.0, -1.0, 1.0)]
    text = f"predicts {metric.name} {shown[0]:.4g} ({min(shown[1:]):.4g} to {max(shown[1:]):.4g})"
    if not math.isfinite(belief.best):
        return f"the likeliest to keep the limits: {text}{near}"
    best = metric.sign * float(data.y[data.feasible].min())
    chance = float(ndtr((belief.best - mean[0]) / spread))
    return f"expected improvement: {text}; {chance:.0%} to beat the best so far, {best:.4g}{near}"


def _loss(value: float, belief: Belief) -> float:
    """Undo the transform by interpolation; beyond what was seen, by the mean slope."""
    order = np.argsort(belief.values, kind="stable")
    at, loss = belief.values[order], belief.losses[order]
    width = float(at[-1] - at[0])
    slope = float(loss[-1] / width - loss[0] / width) if width > 0.0 else 0.0
    beyond = min(value - float(at[0]), 0.0) + max(value - float(at[-1]), 0.0)
    return float(np.interp(value, at, loss)) + slope * beyond


def _nearest(data: Data, belief: Belief, frame: Frame, code: Array) -> str:
    """Name the trial that is nearest in the surrogate's own distance, and where the code differs most from it."""
    assert belief.surrogate is not None
    here, _ = frame.embed(code[None])
    there, _ = frame.embed(data.x)
    apart = ((there - here) * belief.surrogate.scale) ** 2
    row = int(np.argmin(apart.sum(axis=1)))
    share = np.bincount(frame.shape.coordinate_groups, apart[row], frame.d)
    names = [frame.space.columns[i] for i in np.argsort(-share, kind="stable") if share[i] > 0.0]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"; nearest is trial {data.number(row)}" + (f", other in {', '.join(names[:_SHOWN])}{more}" if names else "")
