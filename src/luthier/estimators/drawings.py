"""The pictures of a summary: drawn by `luthier.pictures`, left out where matplotlib is not installed."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np

from luthier.estimators.job import Fitted
from luthier.estimators.review_summary import judged
from luthier.estimators.targets import ClassTargets, NumberTargets
from luthier.trial import Trial

_CURVES = ("loss", "valid_loss")
_MOST_ROWS = 2000  # of a scatter plot
_PICTURES, _REST, _ONNX = 25.0, 10.0, 50.0  # what they take, in times of one small picture
_USUAL_S = 0.1  # of that picture, where there is none to be drawn


def draw(fitted: Fitted, directory: Path) -> dict[str, str]:
    """Draw what there is to see, and return the names of the files by what they show.

    Parameters
    ----------
    fitted
        By the job.
    directory
        Of the pictures.
    """
    try:
        import matplotlib  # noqa: F401 - asked for here, so that nothing is begun without it
    except ImportError:
        return {}
    from luthier.pictures import save

    files: dict[str, str] = {}
    for name, figure in _figures(fitted):
        files[name] = save(figure, directory / f"{name}.png", dpi=100).name
    return files


def end_seconds(*, pictures: bool, onnx: bool) -> float:
    """Return what the end of a job will take, from the test on, by drawing a small picture now.

    That also loads what the pictures need, so that this is not left for the end.

    Parameters
    ----------
    pictures
        Whether there will be any.
    onnx
        Whether the model is written as ONNX, too.
    """
    one = (_drawn_s() if pictures else None) or _USUAL_S
    return one * (_REST + pictures * _PICTURES + onnx * _ONNX)


def _drawn_s() -> float | None:
    """Seconds for a small picture; None without matplotlib."""
    try:
        import matplotlib  # noqa: F401 - as above
    except ImportError:
        return None
    from luthier.pictures import learning_curves

    taken = []
    for _ in range(3):  # the first one loads what is needed
        begun = time.perf_counter()
        learning_curves([{"loss": 1.0}, {"loss": 0.5}]).savefig(io.BytesIO())
        taken.append(time.perf_counter() - begun)
    return min(taken)


def _figures(fitted: Fitted) -> Any:
    """Yield names and figures."""
    from luthier.pictures import confusion_matrix, learning_curves, reliability

    best = fitted.study.history.trial(fitted.model.facts["trial"])
    metric = fitted.prepared.metric.name
    yield "learning_curves", learning_curves(_curves(best, metric), title=f"Learning curves of trial {best.number}")
    name = "test" if "test" in fitted.outputs else "valid"
    outputs, data = fitted.outputs.get(name), fitted.prepared.part(name)
    if isinstance(fitted.model.targets, ClassTargets) and outputs is not None:
        y = fitted.model.targets.encode(data).numpy()
        labels = [str(label) for label in fitted.model.targets.array()]
        said = outputs.argmax(1)
        where = "held-out rows" if name == "test" else "validation rows"
        yield "confusion_matrix", confusion_matrix(y, said, classes=labels, title=f"Confusion, {where}")
        yield "reliability", reliability(outputs, y, title=f"Reliability, {where}")
        if fitted.asked is not None:
            yield "review_curve", _review(fitted)
        if (said != y).any() and fitted.model.task != "tabular":  # the summary lists those of tables
            yield "mistakes", _mistakes(fitted, data, outputs, y, labels)
    elif isinstance(fitted.model.targets, NumberTargets) and outputs is not None:
        yield "predictions", _scatter(fitted.model.decoded(outputs), np.asarray(data.targets, np.float64))


def _curves(trial: Trial, metric: str) -> list[dict[str, float]]:
    """Losses and the metric of each epoch."""
    wanted = (*_CURVES, metric)
    return [{name: found[name] for name in wanted if name in found} for _, found in trial.curve]


def _review(fitted: Fitted) -> Any:
    from luthier.pictures import review_curve

    found, asked, review = judged(fitted), fitted.asked, fitted.model.review
    assert found is not None
    assert asked is not None
    assert review is not None
    return review_curve(*found, error=asked.error_cost, look=asked.look_cost, threshold=review.threshold)


def _mistakes(fitted: Fitted, data: Any, outputs: Any, y: Any, labels: list[str]) -> Any:
    from luthier.pictures import worst_mistakes

    return worst_mistakes(data.inputs, y, outputs, classes=labels, origins=list(data.origins), most=8)


def _scatter(predicted: Any, true: Any) -> Any:
    """Predicted against true numbers."""
    from luthier.pictures.canvas import BLUE, GRAY, canvas, plain

    rows = np.random.default_rng(0).permutation(len(true))[:_MOST_ROWS]
    figure = canvas(4.4, 4.4)
    axes = figure.add_subplot()
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    axes.plot([low, high], [low, high], "--", color=GRAY, linewidth=1)
    axes.plot(true[rows], predicted[rows], ".", color=BLUE, markersize=4, alpha=0.5)
    axes.locator_params(nbins=5)
    plain(axes, title="Predictions against the truth", x="true", y="predicted")
    return figure
