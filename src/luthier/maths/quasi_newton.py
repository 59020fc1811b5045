"""BFGS with bounds over many start points at once: one array call evaluates all of them.

Two-metric projection (Bertsekas 1982): coordinates held at a bound by the gradient leave the quasi-Newton step, and
steps are projected on the box. The start points share nothing; running them together only saves calls.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Function = Callable[[Array, Indices], tuple[Array, Array]]

_SUFFICIENT = 1e-4  # Armijo's constant
_SHORTEST = 8  # halvings (at least) in a row after which a start point is given up


def minimize(
    function: Function,
    start: Array,
    *,
    low: Array,
    high: Array,
    steps: int = 30,
    gradient_tolerance: float = 1e-3,
    value_tolerance: float = 1e-4,
    scale: Array | None = None,
    longest: float = np.inf,
) -> tuple[Array, Array]:
    """Minimize a smooth function from several start points within a box.

    Parameters
    ----------
    function : callable
        Takes (k, d) points and (k,) indices of the start points they come from; returns (k,) values and (k, d)
        gradients. A value that is not finite is stepped back from. Called once per iteration, with the points still
        under way.
    start : (b, d) float array
        Start points; they are clipped to the box.
    low, high : (d,) float array
        The box.
    steps : int
        Evaluations after the first.
    gradient_tolerance, value_tolerance : float
        A point rests when no free coordinate's derivative is larger, or a step gained less.
    scale : (d,) float array, optional
        Diagonal of the first inverse Hessian; by default it is taken from the first step.
    longest : float
        Bound on each coordinate of a step.

    Returns
    -------
    (b, d) float array, (b,) float array
        Where each start point ended, and the values there, never above those at the start.
    """
    x = _within(start, low, high)
    value, gradient = function(x, np.arange(len(x)))
    value = np.where(np.isfinite(value), value, np.inf)
    count, d = x.shape
    unit = np.eye(d) if scale is None else np.diag(scale)
    inverse = np.repeat(unit[None], count, axis=0)  # (b, d, d)
    scaled = np.full(count, scale is not None)
    step, free = _direction(inverse, gradient, x, low=low, high=high, longest=longest)
    size, tries = np.ones(count), np.zeros(count, dtype=int)
    alive = np.isfinite(value)
    for _ in range(steps):
        alive &= np.abs(free).max(axis=1, initial=0.0) >= gradient_tolerance
        at = np.flatnonzero(alive)
        if not len(at):
            break
        here, there = x[at], value[at]
        trial = _within(here + size[at, None] * step[at], low, high)
        found, slope = function(trial, at)
        expected = ((trial - here) * free[at]).sum(axis=1)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(found) & (found <= there + _SUFFICIENT * np.minimum(expected, 0.0))
        if not good.all():
            bad = at[~good]
            size[bad] *= _shorter(found[~good] - there[~good], expected[~good])
            tries[bad] += 1
            alive[bad] &= tries[bad] <= _SHORTEST
            at, trial, here, there, found, slope = (of[good] for of in (at, trial, here, there, found, slope))
            if not len(at):
                continue
        inverse[at], scaled[at] = _update(inverse[at], trial - here, slope - gradient[at], scaled=scaled[at], unit=unit)
        x[at], value[at], gradient[at] = trial, found, slope
        size[at], tries[at] = 1.0, 0
        step[at], free[at] = _direction(inverse[at], slope, trial, low=low, high=high, longest=longest)
        alive[at] &= there - found >= value_tolerance
    return x, value


def _within(x: Array, low: Array, high: Array) -> Array:
    """Clip to the box: what `numpy.clip` does, in a third of its time on few numbers."""
    return np.minimum(np.maximum(x, low), high)


def _direction(
    inverse: Array, gradient: Array, x: Array, *, low: Array, high: Array, longest: float
) -> tuple[Array, Array]:
    """Quasi-Newton steps, and the gradients with the coordinates that are held at a bound set to zero."""
    held = ((x <= low) & (gradient > 0.0)) | ((x >= high) & (gradient < 0.0))
    free = np.where(held, 0.0, gradient)
    step = np.where(held, 0.0, -(inverse @ free[:, :, None])[:, :, 0])
    uphill = (step * free).sum(axis=1) >= 0.0
    if uphill.any():
        step[uphill] = -free[uphill]
    size = np.abs(step).max(axis=1, initial=0.0)
    return step * np.minimum(1.0, longest / np.maximum(size, 1e-300))[:, None], free


def _shorter(rise: Array, expected: Array) -> Array:
    """Factors of the step sizes: the minimum of the parabola through what is known, between 0.1 and 0.5."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        factor = -expected / (2.0 * (rise - expected))
    return np.clip(np.where(np.isfinite(factor), factor, 0.1), 0.1, 0.5)


def _update(
    inverse: Array, move: Array, turn: Array, *, scaled: NDArray[np.bool_], unit: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """BFGS update of the inverse Hessians (Nocedal and Wright 2006, equation 6.17); skipped where curvature is lost."""
    curvature, bend = (move * turn).sum(axis=1), (turn * turn).sum(axis=1)
    usable = curvature > 1e-10 * np.sqrt(bend * (move * move).sum(axis=1))
    first = usable & ~scaled
    if first.any():
        inverse = inverse.copy()
        inverse[first] = unit * (curvature[first] / bend[first])[:, None, None]  # their equation 6.20
    every = bool(usable.all())
    before = inverse if every else inverse[usable]
    s, y, sy = (move, turn, curvature[:, None]) if every else (move[usable], turn[usable], curvature[usable][:, None])
    turned = (before @ y[:, :, None])[:, :, 0]
    weight = (sy + (y * turned).sum(axis=1, keepdims=True)) / sy**2
    cross = turned[:, :, None] * s[:, None, :]
    growth = weight[:, :, None] * s[:, :, None] * s[:, None, :]
    growth -= (cross + cross.transpose(0, 2, 1)) / sy[:, :, None]
    if every:
        return before + growth, scaled | usable
    inverse = inverse.copy()
    inverse[usable] = before + growth
    return inverse, scaled | usable
