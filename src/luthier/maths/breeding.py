"""Variation operators on points of the unit cube (Deb and Agrawal 1995; Deb and Goyal 1996; Storn and Price 1997).

Points may be inactive (NaN) in some columns. A child takes what either parent has; where neither has a value, it gets
a fresh one, for the child may be in another branch of the tree of conditions than both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def fill(x: Array, other: Array, rng: np.random.Generator) -> Array:
    """Fill inactive columns, (n, d), from another point of the same shape, or at random where that has none either."""
    filled = np.where(np.isnan(x), other, x)
    return np.where(np.isnan(filled), rng.random(x.shape), filled)


def tournament(candidates: int, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Pick by tournament, without drawing one candidate twice for the same tournament row if there are several.

    Parameters
    ----------
    candidates : int
        How many there are, numbered from the best.
    shape : (int, int)
        How many to pick, and how many meet for each.
    rng
        Where the draws come from.

    Returns
    -------
    (n,) int array
        The best of each tournament.
    """
    return np.asarray(rng.integers(candidates, size=shape).min(axis=1))


def crossover(first: Array, second: Array, named: Mask, *, spread: float, rng: np.random.Generator) -> Array:
    """Cross parents column by column: numbers by simulated binary crossover, categories by taking either.

    Parameters
    ----------
    first, second : (n, d) float array
        Parents without NaN.
    named : (d,) bool array
        Which columns are categories.
    spread : float
        Distribution index; children fall within about 1/spread of the parents' distance from one of them.
    rng
        Where the draws come from.

    Returns
    -------
    (n, d) float array
        In the unit cube.

    Notes
    -----
    Deb and Agrawal 1995, equations 9 and 10; the mean of the two possible children is the parents' mean. Half of the
    columns, drawn at random, come from the first parent unchanged.
    """
    u = rng.random(first.shape)
    power = 1.0 / (spread + 1.0)
    beta = np.where(u < 0.5, (2.0 * u) ** power, (0.5 / np.maximum(1.0 - u, 1e-12)) ** power)
    side = np.where(rng.random(first.shape) < 0.5, 1.0, -1.0)
    numbers = np.clip(0.5 * (first + second + side * beta * (first - second)), 0.0, 1.0)
    crossed = np.where(named, second, numbers)
    return np.where(rng.random(first.shape) < 0.5, crossed, first)


def mutate(x: Array, categories: Array, *, rate: float, spread: float, rng: np.random.Generator) -> tuple[Array, Mask]:
    """Mutate some columns: numbers by polynomial mutation, categories to any other one.

    Parameters
    ----------
    x : (n, d) float array
        In the unit cube.
    categories : (d,) float array
        How many categories a column has; 0 for a number.
    rate : float
        Probability that a column mutates.
    spread : float
        Distribution index; a mutation moves a number by about 1/spread.
    rng
        Where the draws come from.

    Returns
    -------
    (n, d) float array, (n, d) bool array
        The mutants, and which columns mutated.

    Notes
    -----
    Deb and Goyal 1996: the bounded form, which never leaves the cube.
    """
    chosen = rng.random(x.shape) < rate
    u, power = rng.random(x.shape), 1.0 / (spread + 1.0)
    down = (2.0 * u + (1.0 - 2.0 * u) * (1.0 - x) ** (spread + 1.0)) ** power - 1.0
    up = 1.0 - (2.0 * (1.0 - u) + (2.0 * u - 1.0) * x ** (spread + 1.0)) ** power
    numbers = np.clip(x + np.where(u < 0.5, down, up), 0.0, 1.0)
    k = np.maximum(categories, 1.0)
    step = 1.0 + np.floor(rng.random(x.shape) * np.maximum(k - 1.0, 1.0))
    others = (np.floor(x * k) + step) % k / k + 0.5 / k
    return np.where(chosen, np.where(categories > 0, others, numbers), x), chosen


def differential(
    x: Array,
    lead: Array,
    first: Array,
    second: Array,
    named: Mask,
    *,
    step: Array,
    share: Array,
    rng: np.random.Generator,
) -> Array:
    """Move points towards better ones and by the difference of two others, in some columns.

    Parameters
    ----------
    x, lead, first, second : (n, d) float array
        What is moved, where to, and the two others; without NaN.
    named : (d,) bool array
        Which columns are categories; these take the category of one of the three others.
    step : (n, 1) float array
        Factor of both differences.
    share : (n, 1) float array
        Probability that a column moves; one always does.
    rng
        Where the draws come from.

    Returns
    -------
    (n, d) float array
        In the unit cube; what would leave it goes half of the way to the border.

    Notes
    -----
    "DE/current-to-pbest/1/bin" (Zhang and Sanderson 2009, equations 6 and 8).
    """
    moved = x + step * (lead - x) + step * (first - second)
    moved = np.where(moved < 0.0, 0.5 * x, np.where(moved > 1.0, 0.5 * (1.0 + x), moved))
    pick = rng.random(x.shape)
    category = np.where(pick < 0.5, lead, np.where(pick < 0.75, first, second))
    chosen = rng.random(x.shape) < share
    chosen[np.arange(len(x)), rng.integers(x.shape[1], size=len(x))] = True
    return np.where(chosen, np.where(named, category, moved), x)
