"""Several metrics in freeze-thaw: each decision looks along one direction to the front.

As in ParEGO (Knowles 2006, equation 2), the losses are scaled, weighted, and their maximum, plus a little of their sum,
is what is to be small; curves of it are forecast as those of a single loss. The directions are a few that are fixed, so
that each keeps its own model, and decisions go from one to the other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from luthier.history import History
from luthier.maths.pareto import is_nondominated
from luthier.objective import Metric
from luthier.search.freeze_data import Reading
from luthier.space import Array

_SUM = 0.05  # of the weighted sum, so that of two points with the same maximum the better one is preferred
_PLANAR = 7  # directions for two metrics
_FAR = 10.0  # scaled losses above are cut off


def directions(m: int) -> Array:
    """Return weights of `m` metrics, (k, m): rows sum to one, all metrics count in each."""
    if m == 2:
        first = np.linspace(0.1, 0.9, _PLANAR)
        return np.column_stack([first, 1.0 - first])
    even = np.full(m, 1.0 / m)
    rest = (1.0 - 0.7 * np.eye(m)) / (m - 0.7)  # one counts for less than the others
    return np.vstack([even, *(0.4 * even + 0.6 * row for row in np.eye(m)), rest])


def along(reading: Reading, weights: Array) -> Reading:
    """Replace the losses of a reading by how far they are along one direction, (m,)."""
    seen = [s.points for s in reading.strands if len(s.points)]
    if not seen:
        return reading
    low, width = _box(np.array([points[-1] for points in seen]))
    strands = []
    for strand in reading.strands:
        scaled = np.minimum((strand.points - low) / width, _FAR) * weights
        losses = scaled.max(axis=1, initial=-np.inf) + _SUM * scaled.sum(axis=1)
        strands.append(replace(strand, losses=losses, best=float(losses.min(initial=np.inf))))
    return Reading(strands, reading.length)


def _box(lasts: Array) -> tuple[Array, Array]:
    """Lower corner and widths, (m,) each, of the box around the front of last points, (n, m)."""
    front = lasts[is_nondominated(lasts)]
    low = lasts.min(axis=0)
    width = front.max(axis=0) - low
    width = np.where(width > 0.0, width, np.median(lasts, axis=0) - low)
    return low, np.where(width > 0.0, width, 1.0)


def spoken(history: History, weights: Array) -> Metric:
    """Name the direction, as a metric to minimize."""
    parts = " and ".join(f"{w:.0%} {m.name}" for w, m in zip(weights, history.metrics, strict=True))
    return Metric(f"the worst of {parts}, scaled,")
