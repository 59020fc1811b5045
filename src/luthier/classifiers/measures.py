"""What an ensemble is selected by: our own metrics, any scikit-learn scorer, or a function, all as one form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.classifiers.calibration import calibration_error, log_loss
from luthier.errors import MissingExtra, SettingError, did_you_mean
from luthier.maths.scores import Array

Loss = Callable[[Array], float]
_RISING = {"log_loss": False, "accuracy": True, "calibration_error": False}


def measure(
    metric: str | Any, places: NDArray[np.int64], *, maximize: bool | None = None, classes: Sequence[Any] | None = None
) -> tuple[Loss, float]:
    """Turn a metric into a function of probabilities where less is better.

    Parameters
    ----------
    metric
        ``"log_loss"``, ``"accuracy"``, ``"calibration_error"``, a scikit-learn scorer or its name, or a function of
        truth (n,) and probabilities (n, C). (Any: scorers have no common type.)
    places : (n,) int array
        Columns of the true classes.
    maximize
        Whether more is better; for functions only.
    classes
        What the metric gets as truth instead of columns.

    Returns
    -------
    function of (n, C) probabilities, and the sign that turns its values back into the metric's

    Raises
    ------
    SettingError
        If there is no such metric, or a function comes without `maximize`.
    MissingExtra
        If a scorer is named and scikit-learn is not installed.
    """
    truth: NDArray[Any] = places if classes is None else np.asarray(classes)[places]
    if isinstance(metric, str) and metric in _RISING:
        sign, function = (-1.0 if _RISING[metric] else 1.0), _own(metric, places)
    elif isinstance(metric, str) or hasattr(metric, "_score_func"):
        sign, function = -1.0, _scored(metric, truth, classes)  # scikit-learn: greater is better
    elif not callable(metric) or maximize is None:
        raise SettingError("a metric of your own is a function of truth and probabilities; say maximize=True or False")
    else:
        sign = -1.0 if maximize else 1.0

        def function(table: Array) -> float:
            return float(metric(truth, table))

    return lambda table: sign * _number(function(table), metric), sign


def _own(metric: str, places: NDArray[np.int64]) -> Loss:
    if metric == "accuracy":
        return lambda table: float((table.argmax(1) == places).mean())
    if metric == "log_loss":
        return lambda table: log_loss(table, places)
    return lambda table: calibration_error(table, places)


def _scored(metric: str | Any, truth: NDArray[Any], classes: Sequence[Any] | None) -> Loss:
    """A scorer wants a model and its inputs: a model that says what it is given, and probabilities as inputs."""
    try:
        from sklearn.base import BaseEstimator, ClassifierMixin
        from sklearn.metrics import get_scorer, get_scorer_names
    except ImportError:
        raise MissingExtra("scikit-learn", "sklearn") from None
    if isinstance(metric, str):
        known = [*_RISING, *get_scorer_names()]
        if metric not in known:
            raise SettingError(f"no metric {metric!r}{did_you_mean(metric, known)}: ours are {', '.join(_RISING)}")
        metric = get_scorer(metric)

    class Said(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types here
        def fit(self, _: Any) -> Any:
            return self

        def predict_proba(self, inputs: Array) -> Array:
            return inputs

        def predict(self, inputs: Array) -> NDArray[Any]:
            answers: NDArray[Any] = np.asarray(self.classes_)[inputs.argmax(1)]
            return answers

    said = Said()

    def score(table: Array) -> float:
        said.classes_ = np.arange(table.shape[1]) if classes is None else np.asarray(classes)
        return float(metric(said, table, truth))

    return score


def _number(value: float, metric: str | Any) -> float:
    if not np.isfinite(value):
        raise SettingError(f"the metric {metric!r} gave {value}: it may need every class in the rows, or more rows")
    return value
