"""Cross-validation as an objective: the step of a trial is a fold, so that schedules can end it before the last one.

    objective = CrossValidation(fit, labels, k=10)
    study = lt.tune(objective, space, maximize="acc", schedule="race")

`fit` trains on some rows and is judged on others. After each fold the mean over the folds so far is reported; what the
folds gave is kept in the trial's checkpoints, so a trial that was killed goes on with the next fold.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from luthier.errors import SettingError
from luthier.maths.folding import Rows, folds, strata_of

__all__ = ["CrossValidation", "folds", "strata_of"]


class CrossValidation:
    """An objective that trains once for each fold.

    Parameters
    ----------
    function
        Trains on some rows and returns metrics on others, a number or a dict. It takes ``train`` and ``valid``, int
        arrays of rows; the parameters of the space by name, or all together as ``config``; and if it likes ``seed``,
        an int of the trial and the fold.
    labels : int, or (n,) sequence
        Targets, by which folds are stratified, or the number of rows; see `luthier.maths.folding.folds`.
    k
        Folds.
    repeats
        How often all is cut anew; a trial has ``k * repeats`` steps.
    seed
        Of the cuts: the same for all trials, so that they can be compared fold by fold.
    groups : (n,) sequence, optional
        Rows that have to stay together.

    Attributes
    ----------
    pairs : list of pairs of int arrays
        Rows to train on and to judge on, in the order of the steps.

    Raises
    ------
    SettingError
        If the function does not take ``train`` and ``valid``, or there are too few rows for the folds.

    Examples
    --------
    >>> import luthier as lt, numpy as np
    >>> y = np.arange(20.0) % 7
    >>> def fit(shift, train, valid):
    ...     return {"mae": float(np.abs(y[train].mean() + shift - y[valid]).mean())}
    >>> objective = CrossValidation(fit, y, k=4)
    >>> space = lt.Space(shift=lt.Float(-2, 2))
    >>> study = lt.tune(objective, space, minimize="mae", budget=10, schedule="race", workers=0, view="none", seed=0)
    >>> sorted(study.best.metrics)
    ['mae', 'mae_deviation']
    """

    def __init__(
        self,
        function: Callable[..., Any],
        labels: int | Sequence[Any],
        k: int = 5,
        *,
        repeats: int = 1,
        seed: int = 0,
        groups: Sequence[Any] | None = None,
    ) -> None:
        taken = inspect.signature(function).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in taken.values())
        missing = [name for name in ("train", "valid") if name not in taken and not anything]
        if missing or repeats < 1:
            raise SettingError(
                "cross-validation needs a function that takes train= and valid=, the rows of a fold, and repeats >= 1; "
                f"got {', '.join(taken) or 'a function without parameters'} and repeats={repeats!r}"
            )
        self.function = function
        self.pairs: list[tuple[Rows, Rows]] = [
            pair for repeat in range(repeats) for pair in folds(labels, k, seed=seed + repeat, groups=groups)
        ]
        self._whole, self._seeded = "config" in taken, "seed" in taken
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, config: dict[str, Any], run: Any) -> dict[str, float]:
        """Train on the folds that are left; return the means over all folds and their deviations.

        Parameters
        ----------
        config
            Of the space.
        run : luthier Run
            Of the trial.
        """
        scores: list[dict[str, float]] = run.keep(scores=[])
        for fold in run.steps(len(self.pairs)):
            scores.append(self.fold(config, fold, seed=run.seed, metric=run.metrics[0].name))
            run.report(_means(scores))
        deviations = {f"{name}_deviation": _deviation([s[name] for s in scores]) for name in scores[0]}
        return {**_means(scores), **deviations}

    def fold(self, config: Mapping[str, Any], fold: int, *, seed: int = 0, metric: str = "value") -> dict[str, float]:
        """Return the metrics of one fold.

        Parameters
        ----------
        config
            Of the space.
        fold
            From 0.
        seed
            Of the trial.
        metric
            What a number is called that the function returns without a name.
        """
        train, valid = self.pairs[fold]
        given: dict[str, Any] = {"config": dict(config)} if self._whole else dict(config)
        if self._seeded and "seed" not in given:
            given["seed"] = int(np.random.SeedSequence((seed, fold)).generate_state(1)[0] >> 1)
        found = self.function(**given, train=train, valid=valid)
        metrics = found if isinstance(found, Mapping) else {metric: found}
        return {name: float(value) for name, value in metrics.items()}


def _means(scores: list[dict[str, float]]) -> dict[str, float]:
    return {name: math.fsum(s[name] for s in scores) / len(scores) for name in scores[0]}


def _deviation(values: list[float]) -> float:
    """Standard deviation over folds."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
