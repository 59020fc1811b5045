"""What is measured: the names that people use for metrics, their values, and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from luthier.errors import SettingError, did_you_mean
from luthier.objective import Metric
from luthier.training import metrics

_CLASSES = {
    "acc": ("acc", "accuracy"),
    "balanced_acc": ("balanced_acc", "balanced accuracy", "balanced_accuracy"),
    "f1": ("f1", "f1 macro", "f1_macro"),
    "auc": ("auc", "roc auc", "roc_auc"),
    "log_loss": ("log_loss", "log loss", "logloss", "cross entropy"),
}
_NUMBER = {"r2": ("r2", "r^2"), "mae": ("mae",), "rmse": ("rmse",)}
_TEXT = {"token_acc": ("token_acc", "token accuracy"), "exact_match": ("exact_match", "exact match", "exact")}
_DOWN = ("log_loss", "mae", "rmse")
WORDS = {
    "acc": "accuracy", "balanced_acc": "balanced accuracy", "f1": "F1", "auc": "AUC", "log_loss": "log loss",
    "calibration_error": "calibration error", "r2": "R²", "mae": "mean absolute error",
    "rmse": "root mean squared error", "exact_match": "exact match", "token_acc": "token accuracy",
    "word_acc": "word accuracy",
}  # fmt: skip
_RESAMPLES = 200
_Z = 1.959964  # of 95 %


def metric_of(name: str | None, goal: str | None) -> Metric:
    """Return the metric to tune by a name that people use.

    Parameters
    ----------
    name
        None takes the usual one: accuracy, R2, exact matches.
    goal
        ``"classes"``, ``"number"``, or None for texts to be written.

    Raises
    ------
    SettingError
        If there is none of this name for this goal.
    """
    known = {"classes": _CLASSES, "number": _NUMBER, None: _TEXT}[goal]
    if name is None:
        return Metric(next(iter(known)), maximize=True)
    wanted = " ".join(str(name).lower().replace("-", " ").split())
    for key, names in known.items():
        if wanted in names:
            return Metric(key, maximize=key not in _DOWN)
    every = [n for names in known.values() for n in names]
    what = {"classes": "classes are", "number": "a number is", None: "texts are"}[goal]
    raise SettingError(
        f"no metric {name!r} where {what} predicted{did_you_mean(wanted, every)}: "
        f"use {', '.join(names[0] for names in known.values())}"
    )


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


def final_metric(name: str) -> str:
    """Return the metric that tells what a model is worth which was tuned by another one.

    Token accuracy reads the right text so far, which nobody has when a text is to be written: words of the written
    texts stand for it.

    Examples
    --------
    >>> final_metric("token_acc"), final_metric("acc")
    ('word_acc', 'acc')
    """
    return "word_acc" if name == "token_acc" else name


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


def shown(name: str, value: float) -> str:
    """Write a value of a metric for people: shares in percent.

    Examples
    --------
    >>> shown("acc", 0.91234), shown("rmse", 23456.7)
    ('91.2 %', '23,457')
    """
    if name in ("acc", "balanced_acc", "exact_match", "token_acc", "word_acc"):
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
