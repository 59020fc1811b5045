"""Runs objectives in this process, one after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from luthier.contracts import Decision
from luthier.errors import SettingError
from luthier.execute.base import Limits, Listener, Outcome, OutcomeKind, Ticket
from luthier.execute.run import Run, perform
from luthier.objective import Metric, Objective, RunEnded


class InlineExecutor:
    """Run objectives in this process; a paused run ends, and resumes from its checkpoint.

    Parameters
    ----------
    objective
        What to call.
    metrics
        The metrics to tune.
    limits
        Only ``checkpoints`` can be kept to in this process.

    Raises
    ------
    SettingError
        If a limit needs a worker process.
    """

    slots = 1
    in_process = True

    def __init__(self, objective: Objective, metrics: tuple[Metric, ...], limits: Limits) -> None:
        if limits.timeout_s is not None or limits.memory_bytes is not None:
            raise SettingError("timeout= and memory= need a worker process that can be ended: use workers=1 or more")
        self._objective = objective
        self._metrics = metrics
        self._limits = limits
        self._ticket: Ticket | None = None
        self.free = 1
        self.inside = False

    def submit(self, ticket: Ticket) -> bool:
        """Take a ticket; `poll` runs it."""
        self._ticket, self.free = ticket, 0
        return False

    def poll(self, listener: Listener, timeout_s: float) -> list[Outcome]:
        """Run the ticket that waits, to its end."""
        if self._ticket is None:
            return []
        ticket, self._ticket, self.free = self._ticket, None, 1
        begun = time.monotonic()
        try:
            self.inside = True
            try:
                return [self._outcome(ticket, listener)]
            finally:
                self.inside = False
        except RunEnded:  # a signal, be it when the objective had just returned
            return [Outcome(ticket.number, "interrupted", seconds=time.monotonic() - begun)]

    def _outcome(self, ticket: Ticket, listener: Listener) -> Outcome:
        if self._objective.wants_run or self._objective.streams:
            run = Run(ticket, self._metrics, _Here(listener), checkpoints=self._limits.checkpoints)
            return perform(self._objective, run)
        begun = time.monotonic()
        result, failure = self._objective.attempt(ticket.config, ticket.seed)
        kind: OutcomeKind = "done" if failure is None else "failed"
        return Outcome(ticket.number, kind, result, failure, seconds=time.monotonic() - begun)

    def drop(self, numbers: Sequence[int]) -> None:
        """Nothing stays in memory here."""

    def kill(self, number: int) -> None:
        """Nothing can be killed in this process."""

    def close(self) -> None:
        """Nothing to end."""


class _Here:
    """The host of a run in this process."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def restarted(self, run: Run, step: int, reports: list[tuple[int, dict[str, float]]]) -> None:
        self._listener.restarted(run.number, step, reports, seconds=run.stretch_s)

    def reported(self, run: Run, step: int, metrics: Mapping[str, float]) -> Decision:
        return self._listener.reported(run.number, step, metrics, seconds=run.stretch_s, total_steps=run.total_steps)

    def hold(self, run: Run) -> bool:
        return False
