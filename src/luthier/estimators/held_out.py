"""The test: once, on rows that nothing was learned from or chosen by; written down so that it is not repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from luthier.data import Dataset
from luthier.estimators import measure
from luthier.estimators.files import read_json, write_json
from luthier.estimators.saved import SavedModel
from luthier.estimators.targets import ClassTargets, TextTargets

_WORST = 8


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row that the model was wrong about, and sure of it.

    Attributes
    ----------
    row : int
        In the data set.
    origin : str
        Where it came from.
    true, predicted : str
        As the user writes them.
    how : float
        Probability given to the wrong class; or how far off, in the units of the targets.
    """

    row: int
    origin: str
    true: str
    predicted: str
    how: float


@dataclass(frozen=True, slots=True)
class Result:
    """What a model is worth on some rows.

    Attributes
    ----------
    rows : int
        How many.
    metrics : dict
        All of them.
    interval : list of two floats
        Of the metric to tune, 95 %.
    classes : list of dict
        For each class: label, rows, precision, recall.
    table : list of lists
        The confusion matrix, row: true class.
    worst : list of dict
        The worst mistakes, see `Mistake`.
    """

    rows: int
    metrics: dict[str, float]
    interval: list[float]
    classes: list[dict[str, Any]] = field(default_factory=list)
    table: list[list[int]] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)


def assess(model: SavedModel, outputs: Any, data: Dataset, rows: Any, *, metric: str) -> Result:
    """Measure predictions.

    Parameters
    ----------
    model
        That made them.
    outputs
        From `SavedModel.outputs`.
    data
        The rows with their targets.
    rows : (n,) int array
        Their numbers in the whole data set.
    metric
        Of which to give an interval.
    """
    if isinstance(model.targets, ClassTargets):
        y = model.targets.encode(data).numpy()
        found = measure.of_classes(outputs, y)
        return Result(
            len(y), found, list(measure.interval(metric, measure.of_classes, outputs, y)),
            _by_class(outputs, y, model.targets), _confusion(outputs, y),
            _surest(outputs, y, data, rows, model.targets),
        )  # fmt: skip
    predicted = model.decoded(outputs)
    if isinstance(model.targets, TextTargets):
        true = [str(text) for text in data.targets or ()]
        wrong = [n for n, (a, b) in enumerate(zip(predicted, true, strict=True)) if a != b][:_WORST]
        worst = [_mistake(n, data, rows, true[n], predicted[n], 0.0) for n in wrong]
        found = measure.of_texts(predicted, true)
        return Result(
            len(true), found, list(measure.interval(metric, measure.of_texts, predicted, true)), worst=worst
        )  # fmt: skip
    y = np.asarray(data.targets, np.float64)
    order = np.argsort(-np.abs(predicted - y))[:_WORST]
    worst = [_mistake(n, data, rows, f"{y[n]:.6g}", f"{predicted[n]:.6g}", predicted[n] - y[n]) for n in order]
    return Result(
        len(y), measure.of_numbers(predicted, y), list(measure.interval(metric, measure.of_numbers, predicted, y)),
        worst=worst,
    )  # fmt: skip


def _mistake(n: int, data: Dataset, rows: Any, true: str, predicted: str, how: float) -> dict[str, Any]:
    return asdict(Mistake(int(rows[n]), str(data.origins[n]), true, predicted, float(how)))


def _surest(outputs: Any, y: Any, data: Dataset, rows: Any, targets: ClassTargets) -> list[dict[str, Any]]:
    """The wrong answers that were given with most confidence."""
    said, labels = outputs.argmax(1), [str(label) for label in targets.array()]
    wrong = np.flatnonzero(said != y)
    order = wrong[np.argsort(-outputs[wrong, said[wrong]], kind="stable")][:_WORST]
    return [_mistake(n, data, rows, labels[y[n]], labels[said[n]], outputs[n, said[n]]) for n in order]


def _confusion(outputs: Any, y: Any) -> list[list[int]]:
    count = outputs.shape[1]
    table = np.bincount(y * count + outputs.argmax(1), minlength=count * count).reshape(count, count)
    return [[int(n) for n in row] for row in table]


def _by_class(outputs: Any, y: Any, targets: ClassTargets) -> list[dict[str, Any]]:
    table = np.array(_confusion(outputs, y))
    right, true, said = table.diagonal(), table.sum(1), table.sum(0)
    return [
        {
            "label": str(label), "rows": int(true[n]),
            "precision": float(right[n] / said[n]) if said[n] else None,
            "recall": float(right[n] / true[n]) if true[n] else None,
        }
        for n, label in enumerate(targets.array())
    ]  # fmt: skip


# -- once --------------------------------------------------------------------------------------------------------------


def tested(directory: Path | None) -> dict[str, Any] | None:
    """Return what the one test of a job found, None if it has not been made."""
    if directory is None or not (directory / "test.json").exists():
        return None
    found: dict[str, Any] = read_json(directory / "test.json")
    return found


def is_of(test: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Tell whether a test was of the model with some facts, and not of an earlier one of the job."""
    return all(facts.get(name) == value for name, value in test["model"].items())


def write_down(directory: Path, result: Result, *, model: Mapping[str, Any]) -> dict[str, Any]:
    """Write a test down, with what was tested; from then on these rows are used up."""
    content = {"model": dict(model), "result": asdict(result)}
    write_json(directory / "test.json", content)
    return content
