"""Runs objectives in this process, one after the other."""

from __future__ import annotations

from collections.abc import Mapping

from luthier.contracts import Decision
from luthier.errors import SettingError
from luthier.execute.base import Limits, Listener, Outcome, Ticket
from luthier.execute.run import Run, perform
from luthier.objective import Metric, Objective


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
        self._waiting: list[Ticket] = []

    @property
    def free(self) -> int:
        """1, or 0 with a ticket waiting."""
        return 1 - len(self._waiting)

    def submit(self, ticket: Ticket) -> None:
        """Take a ticket; `poll` runs it."""
        self._waiting.append(ticket)

    def poll(self, listener: Listener, timeout_s: float) -> list[Outcome]:
        """Run the ticket that waits, to its end."""
        if not self._waiting:
            return []
        ticket = self._waiting.pop()
        run = Run(ticket, self._metrics, _Here(listener), checkpoints=self._limits.checkpoints)
        return [perform(self._objective, run)]

    def kill(self, number: int) -> None:
        """Nothing can be killed in this process."""
        self._waiting = [t for t in self._waiting if t.number != number]

    def close(self) -> None:
        """Nothing to end."""


class _Here:
    """The host of a run in this process."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def restarted(self, run: Run, step: int, reports: list[tuple[int, dict[str, float]]]) -> None:
        self._listener.restarted(run.number, step, reports)

    def reported(self, run: Run, step: int, metrics: Mapping[str, float]) -> Decision:
        return self._listener.reported(run.number, step, metrics, run.elapsed_s)

    def hold(self, run: Run) -> bool:
        return False
