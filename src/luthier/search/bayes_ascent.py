"""Where an acquisition is highest: many candidates, then ascent from a few diverse ones.

Ascent alternates quasi-Newton steps on what can be moved continuously, in units of the lengthscales, with the best
single step of what cannot (to another category, to the next value).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from luthier.maths.quasi_newton import minimize
from luthier.search.bayes_frame import Frame
from luthier.search.bayes_terms import Acquisition
from luthier.space import Array

_STARTS = 8
_AROUND = 100  # perturbations of each center
_ROUNDS = 3
_HOPS = 4  # single steps in a row
_FINAL = 4  # starts that go on after the first round
_GAIN = 1e-3  # in log acquisition, below which ascent rests

Fresh = Callable[[Array], NDArray[np.bool_]]


def uniform(frame: Frame, count: int, rng: np.random.Generator) -> Array:
    """Draw codes of configurations, (count, d), uniformly on each parameter's scale."""
    return frame.space.snap(rng.random((count, frame.d)))


def around(frame: Frame, centers: Array, rng: np.random.Generator) -> Array:
    """Perturb each of some codes, (k, d), a hundred times: few or all parameters, a little or much."""
    x = np.repeat(centers, _AROUND, axis=0)
    x = np.where(np.isnan(x), rng.random(x.shape), x)
    share = np.maximum(1.0 / max(frame.d, 1), rng.choice([0.15, 0.3, 1.0], (len(x), 1)))
    size = rng.choice([0.03, 0.1, 0.3], (len(x), 1))
    moved = np.clip(x + size * rng.standard_normal(x.shape), 0.0, 1.0)
    jumped = np.where(frame.ordered, moved, rng.random(x.shape))
    return frame.space.snap(np.where(rng.random(x.shape) < share, jumped, x))


def highest(
    acquisition: Acquisition,
    candidates: Array,
    centers: Array,
    *,
    lengthscales: Array,
    fresh: Fresh,
    rng: np.random.Generator,
) -> Array | None:
    """Return the code, (d,), of the highest acquisition found among configurations not tried yet.

    Parameters
    ----------
    acquisition : Acquisition
    candidates : (n, d) float array
        Codes of configurations.
    centers : (k, d) float array
        Further points to ascend from: the incumbent.
    lengthscales : (d,) float array
    fresh : callable
        Tells which of (n, d) codes were not tried.
    rng : numpy.random.Generator

    Returns
    -------
    (d,) float array or None
        None if no candidate is both allowed and fresh.
    """
    frame = acquisition.frame
    value = acquisition(candidates)
    if frame.finite:
        value[~fresh(candidates)] = -np.inf
    if not np.isfinite(value).any():
        return None
    first = int(np.argmax(value))
    weight = np.exp(value - value[first])
    weight[first] = 0.0
    count = min(_STARTS - 1, int((weight > 0.0).sum()))
    drawn = rng.choice(len(weight), count, replace=False, p=weight / weight.sum()).tolist() if count else []
    start = np.vstack([candidates[[first, *drawn]], centers])
    ends = frame.space.snap(ascend(acquisition, start, lengthscales=lengthscales, fresh=fresh))
    pool = np.vstack([candidates[first][None], ends])
    reached = acquisition(pool)
    reached[~fresh(pool)] = -np.inf
    best = int(np.argmax(reached))
    return np.asarray(pool[best]) if np.isfinite(reached[best]) else None


def ascend(acquisition: Acquisition, start: Array, *, lengthscales: Array, fresh: Fresh) -> Array:
    """Climb from each of some codes, (b, d); returns the best ends, (at most b, d), relaxed columns not snapped."""
    frame = acquisition.frame
    x, value = start, acquisition(start)
    columns = np.flatnonzero(frame.relaxed)
    stepped = not frame.relaxed.all()
    for _ in range(_ROUNDS):
        before = value.max()
        if len(columns):
            x, value = _slide(acquisition, x, columns, np.clip(lengthscales[columns], 0.02, 3.0))
        if not stepped:
            break
        x, value, moved = _hop(acquisition, x, value, fresh)
        if not len(columns) or not moved or not value.max() - before > _GAIN:
            break
        top = np.argsort(-value, kind="stable")[:_FINAL]
        x, value = x[top], value[top]
    return x


def _slide(acquisition: Acquisition, x: Array, columns: NDArray[np.intp], scale: Array) -> tuple[Array, Array]:
    """Quasi-Newton ascent along the relaxed columns, the others fixed."""
    inactive = np.isnan(x)

    def place(points: Array, starts: NDArray[np.intp]) -> Array:
        full = x[starts]
        full[:, columns] = points * scale
        return np.where(inactive[starts], np.nan, full)

    def negative(points: Array, starts: NDArray[np.intp]) -> tuple[Array, Array]:
        value, gradient = acquisition.gradient(place(points, starts))
        return -value, -gradient[:, columns] * scale

    start = np.nan_to_num(x[:, columns], nan=0.5) / scale
    ends, value = minimize(
        negative, start, low=np.zeros(len(columns)), high=1.0 / scale, steps=20, value_tolerance=_GAIN
    )
    return place(ends, np.arange(len(x))), -value


def _hop(acquisition: Acquisition, x: Array, value: Array, fresh: Fresh) -> tuple[Array, Array, bool]:
    """Best single steps of the columns that are not relaxed, until none gains."""
    frame = acquisition.frame
    x, value, moved = x.copy(), value.copy(), False
    tried = frame.finite
    if tried:
        value = np.where(fresh(x), value, -np.inf)
    for _ in range(_HOPS):
        near = frame.neighbors(x)  # (b, moves, d)
        flat = near.reshape(-1, frame.d)
        found = acquisition(flat)
        if tried:
            found[~fresh(flat)] = -np.inf
        found = found.reshape(len(x), -1)
        pick = np.argmax(found, axis=1)
        best = found[np.arange(len(x)), pick]
        better = best > value + 1e-6
        if not better.any():
            break
        x[better], value[better], moved = near[better, pick[better]], best[better], True
    return x, value, moved
