"""The first trials of a Bayesian search: the middle of the space, then a Latin hypercube drawn in towards it.

Ranges are drawn around what is plausible, so their outer fifths are rarely good and teach little about what is; four
trials suffice, since the main effects of the surrogate are found from very few. Categories have no middle and are drawn
evenly. What begins in parallel before there are results goes on with larger hypercubes.
"""

from __future__ import annotations

import numpy as np

from luthier.search.bayes_frame import Frame
from luthier.space import Array

START = 4
_SHARE = 0.6  # of each range that the points after the first spread over
_MORE = 8  # points that follow together, for trials that begin before there are results
_CHOICE = 20  # hypercubes that the eight are chosen from
_DRAWS = 1000  # before the space counts as too tight for a design


def start_point(frame: Frame, seed: int, number: int) -> Array:
    """Return the code of one of the first trials.

    Parameters
    ----------
    frame : Frame
    seed : int
        The study's; the points of one seed belong together.
    number : int
        Which trial, from 0; from `START` on, for what begins before there are results, hypercubes of eight.

    Returns
    -------
    (d,) float array
        An allowed configuration, unless the space is all but forbidden.
    """
    point = np.empty((1, frame.d))
    for attempt in range(_DRAWS if frame.d else 0):
        if number < START:
            design = _design(frame, np.random.default_rng((seed, attempt, 0)))
            point = frame.space.snap(design[[number]])
        else:
            group, row = divmod(number - START, _MORE)
            design = _further(frame, np.random.default_rng((seed, attempt, 1, group)), seed)
            point = frame.space.snap(design[[row]])
        if frame.space.allowed(point)[0]:
            break
    return np.asarray(point[0])


def _design(frame: Frame, rng: np.random.Generator) -> Array:
    """All start points, (START, d): each parameter takes each quarter of its range once; the first is the middle."""
    points = _hypercube(frame, START, rng)
    points[0] = np.where(frame.ordered, 0.5, points[0])
    return frame.space.believe(points) if frame.space.has_prior else points


def _further(frame: Frame, rng: np.random.Generator, seed: int) -> Array:
    """Eight more points, (8, d): of several hypercubes, the one whose points are farthest apart and from the first."""
    first = _design(frame, np.random.default_rng((seed, 0, 0)))
    points = max((_hypercube(frame, _MORE, rng) for _ in range(_CHOICE)), key=lambda p: _apart(frame, first, p))
    return frame.space.believe(points) if frame.space.has_prior else points


def _hypercube(frame: Frame, count: int, rng: np.random.Generator) -> Array:
    """Points, (count, d), of which each parameter takes each part of its range once; numbers are drawn in."""
    strata = np.argsort(rng.random((count, frame.d)), axis=0)
    levels = (strata + rng.random(strata.shape)) / count
    return np.where(frame.ordered, 0.5 + _SHARE * (levels - 0.5), levels)


def _apart(frame: Frame, first: Array, points: Array) -> float:
    """The least squared distance among all points, by their ordered parameters."""
    every = np.vstack([first, points])[:, frame.ordered]
    squared = ((every[:, None] - every) ** 2).sum(axis=2)
    return float(squared[np.triu_indices(len(every), 1)].min())
