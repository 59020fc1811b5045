"""Reading a study: its trials, its best, its files; while it is driven or after."""

from __future__ import annotations

import os
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from luthier.budget import Budget, Spent
from luthier.errors import StoreError
from luthier.execute.checkpoint import files, whole
from luthier.history import History
from luthier.objective import Metric, results_of
from luthier.outlook import Outlook, outlook
from luthier.space import Space
from luthier.spacefile import space_from_dict
from luthier.store.base import Store, StudyRecord
from luthier.trial import State, Trial
from luthier.view.text import summary_text

if TYPE_CHECKING:
    from luthier.search.effects import Effects


class StudyReader:
    """A study to read, as it was when it was opened; `luthier.load` opens one.

    Attributes
    ----------
    history : History
        Its trials, as searches see them.
    budget : Budget
        The total it may spend.
    dir : Path or None
        Where it is kept; None is in memory.
    begun, steps : int
        How many trials were begun, and how many steps they have reported, all together; see `luthier.Budget`.
    repeated : int
        How many of these steps were done again after an interruption.
    """

    def __init__(self, store: Store, record: StudyRecord, space: Space, budget: Budget, dir: Path | None) -> None:
        self.budget = budget
        self.dir = dir
        self._store = store
        self._record = record
        self._root = dir
        self._rebuild(space, [self._standing(trial) for trial in store.trials()])

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @property
    def record(self) -> StudyRecord:
        """Its record in the store."""
        return self._record

    @property
    def space(self) -> Space:
        """Its present space."""
        return self.history.space

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics to tune."""
        return self.history.metrics

    @property
    def seed(self) -> int:
        """What all its randomness derives from."""
        return self._record.seed

    @property
    def trials(self) -> list[Trial]:
        """All trials, by number."""
        return self.history.trials

    @property
    def best(self) -> Trial | None:
        """The best trial by the first metric, None before there is one."""
        return self.history.best

    @property
    def best_trials(self) -> list[Trial]:
        """The trials that no other beats in every metric; with one metric, the best. Running ones do not count."""
        held = self.history.held
        trials = [*self.history.ended, *held]
        rest = np.array([self.history.losses_of(t) for t in held]).reshape(len(held), len(self.metrics))
        scores = np.concatenate([self.history.losses, rest])
        rows = np.flatnonzero(~np.isnan(scores).any(axis=1))
        losses = scores[rows]
        front = [
            int(r)
            for r, mine in zip(rows, losses, strict=True)
            if not ((losses <= mine).all(axis=1) & (losses < mine).any(axis=1)).any()
        ]
        return sorted((trials[r] for r in front), key=lambda t: t.number)

    @property
    def spent(self) -> Spent:
        """What it has spent so far, in all sessions."""
        return Spent(self.begun, self.steps, self._store.spent_seconds())

    def path(self, trial: Trial | int) -> Path:
        """Return the directory of a trial's log, checkpoints and artifacts.

        A study in memory has a temporary one, which goes with it.
        """
        number = trial if isinstance(trial, int) else trial.number
        if self._root is None:
            import shutil
            import tempfile

            self._root = Path(tempfile.mkdtemp(prefix="luthier-"))
            weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)
        return self._root / "trials" / f"{number:05d}"

    def checkpoint(self, trial: Trial | int | None = None) -> Path | None:
        """Return the file of a trial's best checkpoint, or of its latest; None if it kept nothing.

        Parameters
        ----------
        trial
            The trial or its number; by default the best one.
        """
        chosen = self.best if trial is None else self.history.trial(trial if isinstance(trial, int) else trial.number)
        if chosen is None:
            return None
        found = {step: file for step, file in files(self.path(chosen) / "checkpoints").items() if whole(file)}
        steps, losses = self.history.loss_curve(chosen)
        best = int(steps[np.argmin(losses)]) if len(losses) else 0
        return found.get(best) or (found[max(found)] if found else None)

    def effects(self, metric: int = 0) -> Effects:
        """Say which parameters matter, and which go together, by the surrogate of the Bayesian search.

        Parameters
        ----------
        metric
            Which of the metrics.

        Raises
        ------
        LuthierError
            If there are fewer than five results.
        """
        from luthier.search.effects import effects  # scipy.special is loaded only where it is needed

        return effects(self.history, metric=metric)

    def outlook(self, more: Any = None) -> Outlook | None:
        """Forecast what more budget would bring.

        Parameters
        ----------
        more
            How much more, such as ``"10m"``, ``"200 steps"`` or ``20`` (trials), see `luthier.Budget.of`. None is as
            much again as was spent, in the unit of the budget.

        Returns
        -------
        Outlook or None
            With the expected best value of the first metric, the chance of any improvement, and a sentence as `str`.
            None with fewer than five results, and while the best trial can itself go on.
        """
        return outlook(self.history, self.spent, self._as_much_again() if more is None else Budget.of(more))

    def summary(self) -> str:
        """Say in a few lines what was found, where the model is, what more would bring, and what to type next."""
        best = self.best
        ahead = self.outlook()
        return summary_text(
            self.history, self.dir, None if best is None else self.checkpoint(best), "" if ahead is None else str(ahead)
        )

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        states = [t.state for t in self.history.trials]
        counts = ", ".join(f"{states.count(s)} {s}" for s in State if s in states) or "no trials yet"
        where = "in memory" if self.dir is None else f"in {self.dir}"
        return f"Study {self.name!r} {where}: {counts}"

    def _as_much_again(self) -> Budget:
        spent = self.spent
        units = [u for u in Budget.__slots__ if np.isfinite(getattr(self.budget, u)) and getattr(spent, u) > 0]
        unit = max(units, key=lambda u: getattr(spent, u) / getattr(self.budget, u), default="trials")
        return Budget(**{unit: getattr(spent, unit) or 1})

    def _standing(self, trial: Trial) -> Trial:
        """Give a running trial its result so far: the store writes its reports down, and the result when it pauses."""
        if trial.state is not State.RUNNING:
            return trial
        wanted = tuple(Metric(name, direction == "maximize") for name, direction in self._record.metrics)
        return replace(trial, metrics=results_of(trial.curve, wanted))

    def _rebuild(self, space: Space, trials: list[Trial]) -> None:
        metrics = tuple(Metric(name, direction == "maximize") for name, direction in self._record.metrics)
        planned = int(self.budget.trials) if np.isfinite(self.budget.trials) else None
        self.history = History.of(space, metrics, trials, seed=self.seed, planned=planned)
        self.repeated = sum(t.resumes.repeated for t in self.history.trials)
        self.steps = self.repeated + sum(t.charged for t in self.history.trials)
        self.begun = sum(1 for t in self.history.trials if t.started is not None)


def load(dir: str | os.PathLike[str]) -> StudyReader:
    """Open a study for reading, whether or not it is being driven.

    Raises
    ------
    StoreError
        If there is none, or it cannot be read.
    """
    from luthier.store.sqlite import SqliteStore  # sqlite3 is loaded only where it is needed

    store = SqliteStore(dir, readonly=True)
    try:
        record = store.load()
        if record is None:
            raise StoreError(f"the study in {dir} is empty: it is being created, or was cut off")
        budget = Budget.of(record.settings.get("budget"))
        return StudyReader(store, record, space_from_dict(record.space), budget, Path(dir))
    except BaseException:
        store.close()
        raise
