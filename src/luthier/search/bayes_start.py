"""The first trials of a Bayesian search: the middle of the space, then a Latin hypercube drawn in towards it.

Ranges are drawn around what is plausible, so their outer fifths are rarely good and teach little about what is; four
trials suffice, since the main effects of the surrogate are found from very few. Categories have no middle and are drawn
evenly.
"""

from __future__ import annotations

import numpy as np

from luthier.search.bayes_frame import Frame
from luthier.space import Array

START = 4
_SHARE = 0.6  # of each range that the points after the first spread over
_DRAWS = 1000  # before the space counts as too tight for a design


def start_point(frame: Frame, seed: int, number: int) -> Array:
    """Return the code of one of the first trials.

    Parameters
    ----------
    frame : Frame
    seed : int
        The study's; the points of one seed belong together.
    number : int
        Which trial, from 0; beyond `START`, the points are independent.

    Returns
    -------
    (d,) float array
        An allowed configuration, unless the space is all but forbidden.
    """
    point = np.empty((1, frame.d))
    for attempt in range(_DRAWS if frame.d else 0):
        design = _design(frame, np.random.default_rng((seed, attempt, 0 if number < START else number)))
        point = frame.space.snap(design[[number % START]])
        if frame.space.allowed(point)[0]:
            break
    return np.asarray(point[0])


def _design(frame: Frame, rng: np.random.Generator) -> Array:
    """All start points, (START, d): each parameter takes each quarter of its range once; the first is the middle."""
    strata = np.argsort(rng.random((START, frame.d)), axis=0)
    levels = (strata + rng.random(strata.shape)) / START
    numbers = 0.5 + _SHARE * (levels - 0.5)
    numbers[0] = 0.5
    points = np.where(frame.ordered, numbers, levels)
    return frame.space.believe(points) if frame.space.has_prior else points
