"""What a user asks of a job, and that it was interrupted."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from luthier.budget import Budget
from luthier.errors import MissingExtra, SettingError, did_you_mean
from luthier.estimators.metric_names import check_metric, metric_of
from luthier.estimators.reviewing import Asked
from luthier.search import search_of
from luthier.tune import slots_of
from luthier.view.base import view_of


class Interrupted(KeyboardInterrupt):
    """The search was ended by a signal; everything is written down.

    Attributes
    ----------
    signal
        Its name.
    """

    def __init__(self, signal: str) -> None:
        super().__init__(signal)
        self.signal = signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user has asked for.

    Parameters
    ----------
    budget
        Of the whole job, see `luthier.Budget.of`.
    metric
        To tune; None takes the usual one.
    epochs
        Of a full training; None chooses by data and budget.
    seed
        Of the split, the search and the training.
    workers
        See `luthier.tune`.
    search
        See `luthier.tune`; ``"staged"`` tunes the architecture first, then the optimizer and so on.
    folds
        Of a cross-validation by which configurations are compared; None compares them on one part of the rows.
    mode
        ``"caviar"`` tries many configurations; ``"panda"`` trains one and watches over it.
    ensemble
        Mix the best networks instead of taking the best one.
    calibrate
        Fit a temperature, so that probabilities are right.
    review
        By what it is chosen which predictions a person looks at; None for no choice.
    test
        Hold rows out for one test at the end.
    onnx
        Also write the model as ``model.onnx``, where there is a directory.
    look
        Look at the data for what is wrong with it.
    view
        What to show while searching.
    name
        For people.

    Raises
    ------
    SettingError
        If a setting is out of range or unknown, or two do not go together: known before any data is read.
    """

    budget: Any = "20m"
    metric: str | None = None
    epochs: int | None = None
    seed: int = 0
    workers: Any = "auto"
    search: Any = "auto"
    folds: int | None = None
    mode: str = "caviar"
    ensemble: bool = False
    calibrate: bool = True
    review: Asked | None = None
    test: bool = True
    onnx: bool = False
    look: bool = True
    view: Any = "auto"
    name: str | None = None

    def __post_init__(self) -> None:
        if Budget.of(self.budget) == Budget():
            raise SettingError("say how much to spend in all, such as budget='20m' or budget=50 (trials)")
        if self.metric is not None:
            check_metric(self.metric)
        for name, least in (("epochs", 1), ("folds", 2)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise SettingError(f"{name}= is a whole number from {least} up, got {value!r}")
        slots_of(self.workers)
        if self.search != "staged":  # its stages are the recipe's
            search_of(self.search)
        if isinstance(self.view, str):
            view_of(self.view)  # type: ignore[arg-type] # it says which names there are
        if self.onnx:
            _can_export()
        self._check_mode()

    def _check_mode(self) -> None:
        if self.mode not in ("caviar", "panda"):
            raise SettingError(
                f"mode= is 'caviar' (many configurations) or 'panda' (one, watched over), got {self.mode!r}"
                f"{did_you_mean(self.mode, ('caviar', 'panda'))}"
            )
        if self.mode == "panda" and (self.folds or self.ensemble):
            raise SettingError("mode='panda' trains one network: leave folds and ensemble out, or use mode='caviar'")
        if self.ensemble and self.folds:
            raise SettingError(
                "an ensemble is selected by networks on one validation part: leave folds or ensemble out"
            )

    def check(self, goal: str | None) -> None:
        """Check what depends on what is predicted.

        Parameters
        ----------
        goal
            Of the data set: ``"classes"``, ``"number"`` or None.

        Raises
        ------
        SettingError
            If there is no such metric for it, or it cannot be mixed or exported.
        """
        metric_of(self.metric, goal)
        if self.review is not None and goal != "classes":
            raise SettingError(
                "only what a classifier says can be sorted by how sure it is: leave error_cost, look_cost and "
                "review_rate out"
            )
        if self.ensemble and goal is None:
            raise SettingError("texts that networks write cannot be mixed: leave ensemble out")
        if self.onnx and goal is None:
            raise SettingError("a model that writes texts runs in a loop and cannot be one ONNX graph: leave onnx out")


def _can_export() -> None:
    """What writes ONNX is wanted at the very end, and missed here."""
    if not all(find_spec(name) for name in ("onnx", "onnxscript")):
        raise MissingExtra("onnx and onnxscript", "onnx")
