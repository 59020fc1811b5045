"""What is measured: the values of metrics, and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from luthier.training import metrics

_RESAMPLES = 200
_Z = 1.959964  # of 95 %


def of_classes(probabilities: NDArray[Any], y: NDArray[Any]) -> dict[str, float]:
    """Return all metrics of a classifier from probabilities (n, C) and true classes (n,)."""
    logits = torch.from_numpy(np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-300)))
    return metrics.classification(logits, torch.from_numpy(np.asarray(y, np.int64)))


def of_numbers(predicted: NDArray[Any], y: NDArray[Any]) -> dict[str, float]:
    """Return all metrics of a regression, (n,) and (n,)."""
    return metrics.regression(
        torch.from_numpy(np.asarray(predicted, np.float64)), torch.from_numpy(np.asarray(y, float))
    )


def of_texts(written: list[str], y: list[str]) -> dict[str, float]:
    """Return the share of texts that were written exactly, and of words at the right place."""
    pairs = [(a.split(), b.split()) for a, b in zip(written, y, strict=True)]
    right = sum(sum(v == w for v, w in zip(a, b, strict=False)) for a, b in pairs)
    places = sum(max(len(a), len(b)) for a, b in pairs)
    return {"exact_match": float(np.mean([a == b for a, b in pairs])), "word_acc": right / max(places, 1)}


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of n (Wilson 1927).

    Examples
    --------
    >>> [round(end, 4) for end in wilson(0.9, 100)]
    [0.8256, 0.9448]
    """
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def interval(
    name: str, measured: Callable[[Any, Any], dict[str, float]], predicted: Any, y: Any, *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a metric on other data of the same kind.

    Accuracy and exact matches by `wilson`, all others by 200 bootstrap samples of the rows.

    Parameters
    ----------
    name
        Of the metric.
    measured
        `of_classes`, `of_numbers` or `of_texts`.
    predicted, y : (n, ...) arrays or lists
        What it is measured on.
    seed
        Of the samples.
    """
    whole = measured(predicted, y)[name]
    if name in ("acc", "exact_match"):
        return wilson(whole, len(y))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(_RESAMPLES):
        rows = rng.integers(len(y), size=len(y))
        value = measured(_rows(predicted, rows), _rows(y, rows)).get(name, math.nan)
        found.append(value)
    finite = np.array(found)[np.isfinite(found)]
    if not len(finite):
        return whole, whole
    low, high = np.quantile(finite, [0.025, 0.975]).tolist()
    return float(low), float(high)


def _rows(part: Any, rows: NDArray[Any]) -> Any:
    return part[rows] if isinstance(part, np.ndarray) else [part[row] for row in rows]
