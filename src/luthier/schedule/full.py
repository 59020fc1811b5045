"""Every trial runs to its end."""

from __future__ import annotations

from luthier.contracts import CONTINUE, Decision, Resume
from luthier.history import History
from luthier.trial import Trial


class Full:
    """Run every trial to its end."""

    def grant(self, history: History) -> int | None:
        """No limit."""
        return None

    def promote(self, history: History) -> Resume | None:
        """Nothing is ever held."""
        return None

    def judge(self, history: History, trial: Trial) -> Decision:
        """Go on."""
        return CONTINUE


SCHEDULE = Full
