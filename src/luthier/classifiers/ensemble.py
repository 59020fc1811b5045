"""Ensembles of the tried models by greedy selection (Caruana et al. 2004, "Ensemble selection from libraries").

A study leaves many trained models behind. Starting with the best, the model is added (again, if need be) whose share in
the mean of the probabilities helps the metric most; the best mean on the way wins. Since the way begins at the best
single model, the ensemble is never worse than it on the rows that it was selected on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from luthier.classifiers.measures import Loss, measure
from luthier.errors import SettingError
from luthier.maths.scores import Array, places_of, probabilities_of

_START = 5  # best models that may begin together (sorted initialization)
_PATIENCE = 10  # additions without a gain
_SHARE = 0.5  # of the models in each bag
_WORTH = 1e-12  # a smaller gain is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """A weighted mean of models' probabilities.

    Attributes
    ----------
    weights : (m,) float array
        Share of each model; they sum to one, and most are 0.
    score, single_score
        The metric of the ensemble and of the best single model, on the rows it was selected on.
    single
        Which model that was.
    path : tuple of float
        The metric after each model that was added.
    """

    weights: Array
    score: float
    single_score: float
    single: int
    path: tuple[float, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """Models with a share, the largest first."""
        order = np.argsort(-self.weights, kind="stable")
        return tuple(int(model) for model in order if self.weights[model] > 0)

    def probabilities(self, predictions: ArrayLike | Sequence[ArrayLike]) -> Array:
        """Mix predictions of all models, or only of the `members`, in their order.

        Parameters
        ----------
        predictions : (m, n, C) array-like
            Probabilities by model.

        Returns
        -------
        (n, C) float array

        Raises
        ------
        SettingError
            If there are neither as many models as were selected from nor as members.
        """
        given = len(predictions)  # type: ignore[arg-type] # an array-like of three axes has a length
        members = self.members
        if given not in (len(self.weights), len(members)):
            raise SettingError(
                f"predictions are of all {len(self.weights)} models or of the {len(members)} members, got {given}"
            )
        chosen = members if given == len(self.weights) else range(len(members))
        table = np.asarray(predictions, dtype=np.float64)[list(chosen)]
        return np.asarray(np.tensordot(self.weights[list(members)], table, 1))


def select(
    predictions: ArrayLike | Sequence[ArrayLike],
    truth: ArrayLike,
    *,
    metric: str | Any = "log_loss",
    maximize: bool | None = None,
    rounds: int = 50,
    bags: int = 0,
    classes: Sequence[Any] | None = None,
    seed: int = 0,
) -> Ensemble:
    """Select an ensemble on validation data.

    Parameters
    ----------
    predictions : (m, n, C) array-like
        Probabilities by model on rows that none was trained on, such as from the trials of a study.
    truth : (n,) array-like
        Columns of the true classes, or names that are looked up in `classes`.
    metric
        ``"log_loss"``, ``"accuracy"`` or ``"calibration_error"``; the name of any scikit-learn scorer, such as
        ``"f1_macro"`` or ``"roc_auc_ovr"``, or a scorer from ``make_scorer``; or a function of truth and probabilities.
        (Any: scorers have no common type.)
    maximize
        Whether more is better; needed for a function, known for the rest.
    rounds
        Additions at most.
    bags
        Selections from random halves of the models, whose shares are averaged; 0 selects once from all.
    classes
        What the metric sees as truth: names of the columns; by default the columns.
    seed
        Of the bags.

    Returns
    -------
    Ensemble

    Raises
    ------
    SettingError
        If there is no model, no such metric, or a metric is not a number.
    MissingExtra
        If a scorer is asked for and scikit-learn is not installed.
    """
    if not len(predictions):  # type: ignore[arg-type] # an array-like of three axes has a length
        raise SettingError("an ensemble needs the predictions of one model at least")
    tables = _tables(predictions)
    places = places_of(truth, tables.shape[2] if classes is None else classes, rows=tables.shape[1])
    loss, sign = measure(metric, places, maximize=maximize, classes=classes)
    alone = np.array([loss(table) for table in tables])
    single = int(alone.argmin())
    if bags:
        weights, path = _bagged(tables, alone, loss, rounds=rounds, bags=bags, seed=seed)
    else:
        weights, path = _grown(tables, alone, loss, rounds)
    value, least = loss(_mixed(tables, weights)), float(alone[single])
    if value > least - _WORTH:  # of equals the single model
        weights, value = np.eye(len(tables))[single], least
    return Ensemble(weights, sign * value, sign * least, single, tuple(sign * step for step in path))


def _tables(predictions: ArrayLike | Sequence[ArrayLike]) -> Array:
    tables = [probabilities_of(model) for model in predictions]  # type: ignore[union-attr] # as above
    shapes = {table.shape for table in tables}
    if len(shapes) > 1:
        raise SettingError(f"all models need predictions of the same rows and classes, got {sorted(shapes)}")
    return np.stack(tables)


def _mixed(tables: Array, weights: Array) -> Array:
    used = weights > 0
    return np.asarray(np.tensordot(weights[used], tables[used], 1))


def _grown(tables: Array, alone: Array, loss: Loss, rounds: int) -> tuple[Array, list[float]]:
    """Shares (m,) and the loss after each addition: begin with the best few, add whichever helps most."""
    order = np.argsort(alone, kind="stable")
    begun = [loss(tables[order[: size + 1]].mean(0)) for size in range(min(_START, len(tables)))]
    size = int(np.argmin(begun)) + 1
    counts = np.bincount(order[:size], minlength=len(tables)).astype(np.float64)
    total, best, path = tables[order[:size]].sum(0), counts, [begun[size - 1]]
    since = 0
    for _ in range(rounds - size):
        tried = np.array([loss((total + table) / (counts.sum() + 1)) for table in tables])
        added = int(tried.argmin())
        counts = counts + np.eye(len(tables))[added]
        total = total + tables[added]
        if tried[added] < min(path) - _WORTH:
            best, since = counts, 0
        path.append(float(tried[added]))
        since += 1
        if since > _PATIENCE:
            break
    return best / best.sum(), path


def _bagged(tables: Array, alone: Array, loss: Loss, *, rounds: int, bags: int, seed: int) -> tuple[Array, list[float]]:
    """Mean shares of selections from random parts of the models: less fitted to the rows it is selected on."""
    rng = np.random.default_rng((seed, len(tables)))
    size = max(1, round(_SHARE * len(tables)))
    weights, path = np.zeros(len(tables)), []
    for _ in range(bags):
        part = rng.permutation(len(tables))[:size]
        weights[part] += _grown(tables[part], alone[part], loss, rounds)[0] / bags
        path.append(loss(_mixed(tables, weights / weights.sum())))
    return weights / weights.sum(), path
