"""The in-memory twin of the SQLite store: the same answers, nothing on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from luthier.store.base import StudyRecord
from luthier.trial import Trial


class MemoryStore:
    """Keeps a study in memory.

    Parameters
    ----------
    clock
        Seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()
        self._record: StudyRecord | None = None
        self._trials: dict[int, Trial] = {}
        self._order: dict[int, None] = {}
        self._reports: dict[int, list[tuple[int, dict[str, float], float]]] = {}  # since the last update
        self._closed: float | None = None

    def load(self) -> StudyRecord | None:
        """Return the study's record, None before `save`."""
        return self._record

    def save(self, record: StudyRecord) -> None:
        """Create the study, or replace its record."""
        self._record = record

    def drive(self) -> None:
        """Begin a session: from now on, time counts as spent."""
        self._begun = self._clock()

    def begin(self, trial: Trial) -> None:
        """Add a trial."""
        self._trials[trial.number] = trial

    def report(self, number: int, step: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Add the metrics of one step; the same step again replaces it."""
        self._reports.setdefault(number, []).append((step, dict(metrics), seconds))

    def update(self, trial: Trial) -> None:
        """Replace a trial, its curve included."""
        self._trials[trial.number] = trial
        self._reports.pop(trial.number, None)

    def end(self, trial: Trial) -> None:
        """Replace a trial that has ended."""
        self.update(trial)
        self._order.setdefault(trial.number)

    def trials(self) -> list[Trial]:
        """Return all trials: the ended ones in their order of ending, then the others by number."""
        for number, reports in self._reports.items():
            trial = self._trials[number]
            for step, metrics, seconds in reports:
                curve = (trial.curve.upto(step - 1) if trial.steps >= step else trial.curve).append(step, metrics)
                trial = replace(trial, curve=curve, seconds=max(trial.seconds, seconds))
            self._trials[number] = trial
        self._reports.clear()
        rest = sorted(n for n in self._trials if n not in self._order)
        return [self._trials[n] for n in (*self._order, *rest)]

    def spent_seconds(self) -> float:
        """Return how long the study was driven."""
        return (self._clock() if self._closed is None else self._closed) - self._begun

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Stop counting time."""
        self._closed = self._clock() if self._closed is None else self._closed
