"""Estimators as scikit-learn knows them: fit, predict, predict_proba, score; clone, pipelines and grids work."""

# ruff: noqa: N803, N806 - X is what scikit-learn calls it

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from luthier.data import Dataset, from_arrays
from luthier.errors import MissingExtra, SettingError
from luthier.estimators.job import Fitted, Job
from luthier.estimators.metric_names import final_metric
from luthier.estimators.saved import SavedModel
from luthier.estimators.wishes import Wishes

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise MissingExtra("scikit-learn", "fit") from None


class _Net(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types here
    """What the estimators share: parameters, the job, and reading raw inputs."""

    _goal = "auto"

    def __init__(
        self,
        *,
        task: str = "auto",
        budget: Any = 10,
        metric: str | None = None,
        epochs: int | None = None,
        search: Any = "auto",
        folds: int | None = None,
        calibrate: bool = True,
        ensemble: bool = False,
        rate: int | None = None,
        workers: Any = 0,
        dir: Any = None,
        view: str = "none",
        random_state: Any = None,
    ) -> None:
        self.task = task
        self.budget = budget
        self.metric = metric
        self.epochs = epochs
        self.search = search
        self.folds = folds
        self.calibrate = calibrate
        self.ensemble = ensemble
        self.rate = rate
        self.workers = workers
        self.dir = dir
        self.view = view
        self.random_state = random_state

    # -- fitting -----------------------------------------------------------------------------------------------------

    def _fit(self, dataset: Dataset) -> None:
        """Do the job on a data set and take its results over; no rows are held out for a test."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if isinstance(self.random_state, (int, np.integer)):
            seed = int(self.random_state)
        wishes = Wishes(
            budget=self.budget, metric=self.metric, epochs=self.epochs, seed=seed, workers=self.workers,
            search=self.search, folds=self.folds, ensemble=self.ensemble, calibrate=self.calibrate, test=False,
            view=self.view, look=False,
        )  # fmt: skip
        directory = None if self.dir is None else Path(self.dir)
        self._take(Job(dataset, wishes, directory=directory).run())

    def _take(self, fitted: Fitted) -> Self:
        """Set what fitting leaves behind."""
        trial = fitted.study.history.trial(fitted.model.facts["trial"])
        self.model_: SavedModel = fitted.model
        self.study_ = fitted.study
        self.config_ = dict(trial.config)
        self.curve_ = [dict(found) for _, found in trial.curve]
        self.validation_score_ = fitted.valid.metrics[final_metric(fitted.prepared.metric.name)]
        self.n_iter_ = int(fitted.model.facts["epochs"])
        return self

    def _table(self, X: Any, y: Any = None, *, reset: bool = False, **checks: Any) -> tuple[Dataset, Any]:
        """Read rows of plain numbers, checked as scikit-learn does; NaN is a missing value."""
        finite = {"ensure_all_finite": "allow-nan", "dtype": "numeric"}
        if y is None and not reset:
            X = validate_data(self, X, reset=False, **finite)
        else:
            X, y = validate_data(self, X, y, **finite, **checks)
        names = list(getattr(self, "feature_names_in_", ()))
        if len(set(names)) < X.shape[1]:
            names = [f"x{place}" for place in range(X.shape[1])]
        columns = {name: np.asarray(X[:, place], np.float64) for place, name in enumerate(names)}
        form = {"task": "tabular", "columns": dict.fromkeys(columns, "number")}
        return Dataset("tabular", columns, form=form), y

    def _raw(self, X: Any, y: Any = None, *, reset: bool = False) -> Dataset:
        """Read texts, images, sounds, and tables with categories."""
        if not reset:
            return self.model_.dataset(X)
        if hasattr(X, "columns"):
            validate_data(self, X, skip_check_array=True)
        return from_arrays(X, y, task=self.task, goal=self._goal, rate=self.rate)

    def _outputs(self, X: Any) -> Any:
        check_is_fitted(self, "model_")
        dataset = self._table(X)[0] if self._plain else self._raw(X)
        return self.model_.outputs(self.model_.encoder.encode(dataset))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the study behind: it may be an open file; everything that predicts stays."""
        return {name: value for name, value in super().__getstate__().items() if name != "study_"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags


class NetClassifier(ClassifierMixin, _Net):  # type: ignore[misc]
    """A tuned neural network that tells classes apart.

    Parameters
    ----------
    task
        ``"tabular"``, ``"image"``, ``"text"`` or ``"audio"``; ``"auto"`` goes by what is given.
    budget
        Of tuning, retraining included: a number of trials, or text such as ``"5m"``.
    metric
        To tune: ``"acc"`` (if None), ``"balanced accuracy"``, ``"f1"``, ``"auc"`` or ``"log loss"``.
    epochs
        Of a full training; None chooses by the number of rows.
    search
        See `luthier.tune`; or ``"staged"``.
    folds
        Compare configurations by a cross-validation of so many parts; None by one part of the rows.
    calibrate
        Fit a temperature, so that probabilities are right.
    ensemble
        Mix the best networks.
    rate
        Samples a second, of audio.
    workers, dir, view
        See `luthier.tune`.
    random_state
        Seed; with it, and a budget in trials, fitting is repeatable.

    Attributes
    ----------
    classes_ : (C,) array
    model_ : SavedModel
        Can be saved, and exported to ONNX.
    study_ : StudyReader
        Of the search; not pickled.
    config_ : dict
        The best configuration.
    curve_ : list of dict
        Its metrics by epoch.
    validation_score_ : float
        The metric on the part of the rows that configurations were compared by.
    n_iter_ : int
        Epochs after which the chosen configuration was best; the final training has as many, or fewer if time is short.
    n_features_in_, feature_names_in_
        Of tables.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(budget=2, epochs=30, random_state=0).fit(X, y)
    >>> net.score(X, y) > 0.9
    True
    """

    _goal = "classes"

    def fit(self, X: Any, y: Any) -> Self:
        """Tune and train.

        Parameters
        ----------
        X
            A table of numbers, (n, d) (NaN is missing), or a DataFrame with categories; images (n, C, H, W) or
            (n, H, W); n strings; n waves.
        y : (n,) array-like
            Labels: strings, whole numbers, bools.
        """
        self._plain = _is_plain(X, self.task, self.rate)
        if not self._plain:
            dataset = self._raw(X, y, reset=True)
            self._fit(dataset)
            self.classes_ = self.model_.classes
            return self
        dataset, y = self._table(X, y, reset=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise SettingError(
                f"y has one class only, {self.classes_[0]!r}: nothing can be told apart; give examples of another class"
            )
        labels = np.array(self.classes_.tolist())  # of their own type, where y was of objects
        self._fit(with_targets(dataset, labels[codes.reshape(-1)], tuple(labels.tolist())))
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, (n, C), columns as in ``classes_``."""
        return self._outputs(X)  # type: ignore[no-any-return]

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable labels, (n,)."""
        places = self.predict_proba(X).argmax(1)
        labels: NDArray[Any] = np.asarray(self.classes_)[places]
        return labels


class NetRegressor(RegressorMixin, _Net):  # type: ignore[misc]
    """A tuned neural network that predicts numbers.

    Parameters and attributes as `NetClassifier`, without ``classes_``; the metric is ``"r2"`` (if None), ``"mae"`` or
    ``"rmse"``. Predictions stay within the range of the targets that were trained on, and a tenth of it beyond.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = NetRegressor(budget=2, epochs=20, random_state=0).fit(X, y)
    >>> net.predict(X[:3]).shape
    (3,)
    """

    _goal = "number"

    def fit(self, X: Any, y: Any) -> Self:
        """Tune and train; `X` as in `NetClassifier.fit`, y : (n,) array-like of numbers."""
        self._plain = _is_plain(X, self.task, self.rate)
        if not self._plain:
            self._fit(self._raw(X, y, reset=True))
            return self
        dataset, y = self._table(X, y, reset=True, y_numeric=True)
        self._fit(with_targets(dataset, np.asarray(y, np.float64), None))
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return predicted numbers, (n,)."""
        outputs = self._outputs(X)  # first, as it checks whether there is a model
        numbers: NDArray[np.float64] = self.model_.decoded(outputs)
        return numbers


class NetTranslator(_Net):
    """A tuned encoder and decoder that writes texts.

    Parameters and attributes as `NetClassifier`, without ``classes_``; the metric is ``"token_acc"`` (if None), of
    tokens after the right text so far, or ``"exact_match"``; ``validation_score_`` is that of the written texts, in
    words or exact matches. Strings without spaces are read and written letter by letter.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Tune and train; n strings, and n strings to be written."""
        self._plain = False
        self._fit(from_arrays(X, y, task="seq2seq"))
        return self

    def predict(self, X: Any) -> list[str]:
        """Return what it writes, n strings."""
        outputs = self._outputs(X)
        texts: list[str] = self.model_.decoded(outputs)
        return texts

    def score(self, X: Any, y: Any) -> float:
        """Return the share of texts that are written exactly."""
        return float(np.mean([a == b for a, b in zip(self.predict(X), y, strict=True)]))


def with_targets(dataset: Dataset, targets: NDArray[Any], classes: tuple[Any, ...] | None) -> Dataset:
    """Return a data set with targets."""
    from dataclasses import replace

    return replace(dataset, targets=targets, classes=classes)


def _is_plain(X: Any, task: str, rate: int | None) -> bool:
    """Whether it is a table of numbers, which scikit-learn's own checks understand."""
    if task not in ("auto", "tabular") or rate is not None:
        return False
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        kinds = [getattr(kind, "kind", "O") for kind in getattr(X.dtypes, "array", X.dtypes)]
        return all(kind in "iufb" for kind in kinds)
    if isinstance(X, (list, tuple)):
        first: Any = X[0] if X else 0.0
        return not isinstance(first, str) and np.ndim(first) <= 1 and len({np.size(row) for row in X}) <= 1
    if getattr(X, "ndim", 2) >= 3:
        return False
    kind = getattr(getattr(X, "dtype", None), "kind", "f")
    return not (getattr(X, "ndim", 2) == 1 and kind in "UTO" and len(X) and isinstance(X[0], str))
