"""What a user asks of a job, and that it was interrupted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from luthier.errors import SettingError, did_you_mean
from luthier.estimators.reviewing import Asked


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
    look
        Look at the data for what is wrong with it.
    view
        What to show while searching.
    name
        For people.
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
    look: bool = True
    view: Any = "auto"
    name: str | None = None

    def check(self, goal: str | None) -> None:
        """Check what does not need the data.

        Parameters
        ----------
        goal
            Of the data set: ``"classes"``, ``"number"`` or None.

        Raises
        ------
        SettingError
            If a setting is out of range, or two do not go together.
        """
        if self.epochs is not None and (not isinstance(self.epochs, int) or self.epochs < 1):
            raise SettingError(f"epochs= is a whole number from 1 up, got {self.epochs!r}")
        if self.mode not in ("caviar", "panda"):
            raise SettingError(
                f"mode= is 'caviar' (many configurations) or 'panda' (one, watched over), got {self.mode!r}"
                f"{did_you_mean(self.mode, ('caviar', 'panda'))}"
            )
        if self.mode == "panda" and (self.folds or self.ensemble):
            raise SettingError("mode='panda' trains one network: leave folds and ensemble out, or use mode='caviar'")
        if self.folds is not None and (not isinstance(self.folds, int) or self.folds < 2):
            raise SettingError(f"folds= is a whole number from 2 up, got {self.folds!r}")
        if self.ensemble and self.folds:
            raise SettingError(
                "an ensemble is selected by networks on one validation part: leave folds or ensemble out"
            )
        if self.review is not None and goal != "classes":
            raise SettingError(
                "only what a classifier says can be sorted by how sure it is: leave error_cost, look_cost and "
                "review_rate out"
            )
        if self.ensemble and goal is None:
            raise SettingError("texts that networks write cannot be mixed: leave ensemble out")
