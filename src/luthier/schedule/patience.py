"""Early stopping inside one run: it is done when it has stopped improving."""

from __future__ import annotations

import numpy as np

from luthier.contracts import CONTINUE, Decision, Resume, Verdict
from luthier.errors import SettingError
from luthier.history import History
from luthier.trial import Trial


class Patience:
    """Finish a trial that has not improved for a while; its best step is its result.

    With several metrics, it goes on as long as one of them improves, and its last step is its result.

    Parameters
    ----------
    patience
        How many reports without improvement to wait for.
    min_delta
        What counts as an improvement, in units of the metric.
    warmup
        Steps during which nothing is finished.

    Raises
    ------
    SettingError
        If `patience` is below 1 or `min_delta` below 0.
    """

    def __init__(self, patience: int = 10, *, min_delta: float = 0.0, warmup: int = 0) -> None:
        if patience < 1 or min_delta < 0:
            raise SettingError(f"needs patience >= 1 and min_delta >= 0, got {patience!r} and {min_delta!r}")
        self.patience = patience
        self.min_delta = min_delta
        self.warmup = warmup

    def grant(self, history: History) -> int | None:
        """No limit."""
        return None

    def promote(self, history: History) -> Resume | None:
        """Nothing is ever held."""
        return None

    def judge(self, history: History, trial: Trial) -> Decision:
        """Finish the trial if its last `patience` reports brought nothing."""
        if trial.steps < self.warmup:
            return CONTINUE
        for metric in range(len(history.metrics)):
            _, losses = history.loss_curve(trial, metric)
            if len(losses) <= self.patience:
                return CONTINUE
            before = float(np.min(losses[: -self.patience]))
            if float(np.min(losses[-self.patience :])) < before - self.min_delta:
                return CONTINUE
        anything = "" if len(history.metrics) == 1 else " in any metric"
        return Decision(Verdict.FINISH, f"no improvement{anything} in {self.patience} reports")


SCHEDULE = Patience
