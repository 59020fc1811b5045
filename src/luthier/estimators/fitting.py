"""``lt.fit``: the whole job in one call, for Python; and the same shell around it for the command line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from luthier.data import Dataset, from_arrays, read
from luthier.data.dataset import GOALS
from luthier.errors import SettingError
from luthier.estimators.answered import with_answers
from luthier.estimators.job import Fitted, Job
from luthier.estimators.reviewing import Asked
from luthier.estimators.summary import short, summary, write_summary
from luthier.estimators.wishes import Wishes


def fit(
    x: Any,
    y: Any = None,
    *,
    task: str = "auto",
    target: str | None = None,
    goal: str = "auto",
    budget: Any = "20m",
    metric: str | None = None,
    epochs: int | None = None,
    search: Any = "auto",
    folds: int | None = None,
    mode: str = "caviar",
    calibrate: bool = True,
    ensemble: bool = False,
    test: bool = True,
    error_cost: float | None = None,
    look_cost: float | None = None,
    review_rate: float | None = None,
    answers: Mapping[Any, Any] | None = None,
    rate: int | None = None,
    workers: Any = "auto",
    dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    view: Any = "auto",
) -> Any:
    """Tune a network for a data set, train it on all of it, and test it once.

    Parameters
    ----------
    x
        A path (a folder or a file, see `luthier.data.read`), a `luthier.data.Dataset`, or inputs in memory: a table,
        images, texts, waves (see `luthier.data.from_arrays`).
    y
        The targets of inputs in memory.
    task
        ``"image"``, ``"text"``, ``"audio"``, ``"tabular"`` or ``"seq2seq"``; ``"auto"`` goes by what is there.
    target
        The column of a table to predict.
    goal
        ``"classes"`` or ``"number"``; ``"auto"`` goes by the values of the targets.
    budget
        Of the whole job, such as ``"20m"`` or ``50`` (trials).
    metric
        To tune: for classes ``"acc"``, ``"balanced accuracy"``, ``"f1"``, ``"auc"`` or ``"log loss"``; for numbers
        ``"r2"``, ``"mae"`` or ``"rmse"``.
    epochs
        Of a full training; None chooses by data and budget.
    search
        See `luthier.tune`; ``"staged"`` tunes the architecture first, then the optimizer and so on.
    folds
        Compare configurations by a cross-validation of so many parts.
    mode
        ``"caviar"`` tries many configurations; ``"panda"`` trains one and watches over it.
    calibrate
        Fit a temperature, so that probabilities are right.
    ensemble
        Mix the best networks.
    test
        Hold rows out for one test at the end; those of a given test part, or 15 %.
    error_cost, look_cost
        Prices of an error and, in the same unit, of a person's look (1 if not given): chooses which predictions of the
        model a person looks at, ``net.model_.review`` (`luthier.classifiers.Review`).
    review_rate
        Chooses it by the share of the rows that a person can look at, instead.
    answers
        Filled queues (`SavedModel.queue`) to the data that each was written for, a path or inputs in memory: what was
        answered is trained on, and nothing is measured by it.
    rate
        Samples a second, of waves in memory.
    workers, view
        See `luthier.tune`.
    dir
        Where everything is kept: model, study, summary. The same call goes on with what is there.
    seed
        Of split, search and training.

    Returns
    -------
    NetClassifier, NetRegressor or NetTranslator
        Fitted; with ``test_`` (what the test found, None without one) and ``summary_`` (Markdown) besides what their
        own ``fit`` leaves behind.

    Raises
    ------
    DataError, SettingError
        If the data or an argument cannot be used.
    KeyboardInterrupt
        If it was interrupted; with `dir`, the same call goes on.

    Examples
    --------
    >>> import luthier as lt
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> net = lt.fit(X, y, budget=2, epochs=20, workers=0, view="none")
    >>> net.predict(X[:2]), net.test_["result"]["rows"]
    (array([0, 0]), 22)
    """
    begun = time.monotonic()
    from luthier.estimators.net import NetClassifier, NetRegressor, NetTranslator

    review = Asked.of(error_cost=error_cost, look_cost=look_cost, review_rate=review_rate)
    wishes = Wishes(
        budget=budget, metric=metric, epochs=epochs, seed=seed, workers=workers, search=search, folds=folds,
        mode=mode, ensemble=ensemble, calibrate=calibrate, review=review, test=test, view=view,
    )  # fmt: skip
    if goal in GOALS:
        wishes.check(goal)
    dataset = with_answers(dataset_of(x, y, task=task, target=target, goal=goal, rate=rate), answers or {})
    directory = None if dir is None else Path(dir)
    fitted = run_job(dataset, wishes, directory=directory, begun=begun)
    kind = {"classes": NetClassifier, "number": NetRegressor}.get(str(dataset.goal), NetTranslator)
    net = kind(
        task=dataset.task, budget=budget, metric=metric, epochs=epochs, search=search, folds=folds,
        calibrate=calibrate, ensemble=ensemble, rate=rate, workers=workers, random_state=seed,
    )  # fmt: skip
    net._plain = False
    net._take(fitted)
    if dataset.goal == "classes":
        net.classes_ = fitted.model.classes
    if isinstance(dataset.inputs, dict):
        names = list(dataset.form.get("columns", dataset.inputs))  # a date is one column, and several inputs
        net.n_features_in_ = len(names)
        if hasattr(x, "columns") or isinstance(x, (str, os.PathLike)):
            net.feature_names_in_ = np.array(names, object)
    net.test_, net.summary_ = fitted.test, summary(fitted, directory=directory)
    return net


def dataset_of(
    x: Any, y: Any = None, *, task: str, target: str | None = None, goal: str = "auto", rate: int | None = None
) -> Dataset:
    """Read what may be a path, a data set or arrays."""
    if isinstance(x, Dataset):
        if y is not None:
            raise SettingError("x is a Dataset, which has its targets: leave y out")
        return x
    if isinstance(x, (str, os.PathLike)):
        if y is not None:
            raise SettingError("x is a path, its targets are read with it: say target= instead of y")
        return read(x, task=task, target=target, goal=goal)
    if target is not None and y is None and hasattr(x, "columns"):
        if target not in x.columns:
            raise SettingError(f"there is no column {target!r}: the columns are {', '.join(map(str, x.columns))}")
        inputs = x[[name for name in x.columns if name != target]]
        return from_arrays(inputs, x[target], task=task, goal=goal, rate=rate)
    return from_arrays(x, y, task=task, goal=goal, rate=rate)


def run_job(
    dataset: Dataset, wishes: Wishes, *, directory: Path | None, again: str = "", begun: float | None = None
) -> Fitted:
    """Do a job, tell what happens on standard error, and write the summary where there is a directory."""
    job = Job(dataset, wishes, directory=directory, say=teller(wishes.view), begun=begun)
    fitted = job.run()
    if directory is not None:
        if wishes.onnx:
            fitted.model.export_onnx(directory / "model.onnx")
        write_summary(fitted, directory, again=again)
    elif wishes.view != "none":
        teller(wishes.view)(short(fitted))
    return fitted


def teller(view: Any) -> Callable[[str], None]:
    """Return what prints lines to standard error, as the views of `luthier.tune` do; nothing for view ``"none"``."""

    def tell(text: str) -> None:
        if view != "none":
            lines = text.splitlines() or [""]
            print("\n".join(f"luthier: {line}" for line in lines), file=sys.stderr, flush=True)

    return tell
