"""Is a noisy curve still falling, and is one better than another: tests that bear outliers, written out."""

from __future__ import annotations

import collections
import itertools
import math
import statistics
from collections.abc import Sequence


def falling(values: Sequence[float]) -> float:
    """Return how likely a curve that does not fall would seem to fall as much as this one does.

    The Mann-Kendall test (Mann 1945): the number of pairs that rise minus that of those that fall, against what chance
    gives, in the normal approximation with the correction for continuity. Only the order of the values counts, so a
    single spike does not matter.

    Parameters
    ----------
    values : (n,) floats
        In the order of time; those next to each other should be independent, such as means over some steps.

    Returns
    -------
    float
        In [0, 1]: near 0 it falls, 0.5 it stands, near 1 it rises. 0.5 with fewer than 4 values.

    Examples
    --------
    >>> round(falling([5, 4, 4.5, 3, 2, 2.5, 1, 0.5]), 3)
    0.002
    >>> falling([1.0] * 8)
    0.5
    """
    n = len(values)
    if n < 4:
        return 0.5
    pairs = itertools.combinations(values, 2)
    score = float(sum(int(later > earlier) - int(later < earlier) for earlier, later in pairs))
    ties = sum(t * (t - 1) * (2 * t + 5) for t in collections.Counter(values).values())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    if variance <= 0:
        return 0.5
    return _normal((score - math.copysign(min(abs(score), 1.0), score)) / math.sqrt(variance))


def lower(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return how likely losses that are no lower than others would seem as much lower as these, step by step.

    A paired t-test in the normal approximation, on losses of the same batches, whose common noise drops out.

    Parameters
    ----------
    ours, theirs : (n,) floats
        Of the same steps.

    Returns
    -------
    float
        In [0, 1]: near 0 ours are lower.

    Examples
    --------
    >>> round(lower([1.0, 2.1, 0.9], [1.2, 2.2, 1.1]), 4)
    0.0
    """
    gaps = [one - other for one, other in zip(ours, theirs, strict=False)]
    if len(gaps) < 2 or not all(map(math.isfinite, gaps)):
        return 0.5
    error = statistics.stdev(gaps) / math.sqrt(len(gaps))
    mean = sum(gaps) / len(gaps)
    if error == 0.0:
        return 0.5 if mean == 0.0 else float(mean > 0.0)
    return _normal(mean / error)


def _normal(z: float) -> float:
    """Distribution function of the standard normal."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
