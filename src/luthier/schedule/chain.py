"""Several schedules at once: the first that objects decides."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.contracts import CONTINUE, Decision, Resume, Schedule, Verdict
from luthier.history import History
from luthier.trial import Trial


class Chain:
    """Ask several schedules in turn.

    Parameters
    ----------
    schedules
        In order of precedence.
    """

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self.schedules = tuple(schedules)

    def grant(self, history: History) -> int | None:
        """Return the shortest grant."""
        grants = [g for s in self.schedules if (g := s.grant(history)) is not None]
        return min(grants, default=None)

    def promote(self, history: History) -> Resume | None:
        """Return the first promotion."""
        return next((p for s in self.schedules if (p := s.promote(history)) is not None), None)

    def judge(self, history: History, trial: Trial) -> Decision:
        """Return the first verdict other than to go on."""
        decisions = (s.judge(history, trial) for s in self.schedules)
        return next((d for d in decisions if d.verdict is not Verdict.CONTINUE), CONTINUE)
