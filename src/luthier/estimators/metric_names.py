"""The names of metrics: those that people use, those in sentences, and which one stands for which."""

from __future__ import annotations

from luthier.errors import SettingError, did_you_mean
from luthier.objective import Metric

_CLASSES = {
    "acc": ("acc", "accuracy"),
    "balanced_acc": ("balanced_acc", "balanced accuracy", "balanced_accuracy"),
    "f1": ("f1", "f1 macro", "f1_macro"),
    "auc": ("auc", "roc auc", "roc_auc"),
    "log_loss": ("log_loss", "log loss", "logloss", "cross entropy"),
}
_NUMBER = {"r2": ("r2", "r^2"), "mae": ("mae",), "rmse": ("rmse",)}
_TEXT = {"token_acc": ("token_acc", "token accuracy"), "exact_match": ("exact_match", "exact match", "exact")}
_BY_GOAL = {"classes": _CLASSES, "number": _NUMBER, None: _TEXT}
_DOWN = ("log_loss", "mae", "rmse")
WORDS = {
    "acc": "accuracy", "balanced_acc": "balanced accuracy", "f1": "F1", "auc": "AUC", "log_loss": "log loss",
    "calibration_error": "calibration error", "r2": "R²", "mae": "mean absolute error",
    "rmse": "root mean squared error", "exact_match": "exact match", "token_acc": "token accuracy",
    "word_acc": "word accuracy",
}  # fmt: skip


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
    known = _BY_GOAL[goal]
    if name is None:
        return Metric(next(iter(known)), maximize=True)
    wanted = _plain(name)
    for key, names in known.items():
        if wanted in names:
            return Metric(key, maximize=key not in _DOWN)
    every = [n for names in known.values() for n in names]
    what = {"classes": "classes are", "number": "a number is", None: "texts are"}[goal]
    raise SettingError(
        f"no metric {name!r} where {what} predicted{did_you_mean(wanted, every)}: "
        f"use {', '.join(names[0] for names in known.values())}"
    )


def check_metric(name: str) -> None:
    """Check a name before it is known what is predicted.

    Raises
    ------
    SettingError
        If no goal has a metric of this name.
    """
    every = [n for known in _BY_GOAL.values() for names in known.values() for n in names]
    if _plain(name) not in every:
        uses = "; ".join(
            f"{', '.join(known)} for {what}"
            for known, what in ((_CLASSES, "classes"), (_NUMBER, "numbers"), (_TEXT, "texts to be written"))
        )
        raise SettingError(f"no metric {name!r}{did_you_mean(_plain(name), every)}: use {uses}")


def _plain(name: str) -> str:
    return " ".join(str(name).lower().replace("-", " ").split())


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
