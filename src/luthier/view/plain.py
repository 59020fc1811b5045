"""Plain lines, one per event, for logs and pipes."""

from __future__ import annotations

import sys
from collections.abc import Callable

from luthier.trial import ENDED, State, Trial
from luthier.view.base import Snapshot
from luthier.view.text import ending_text, metrics_text


class PlainView:
    """Print a line when a trial ends, to standard error."""

    _closed = True  # starting points and interrupted trials are heard of before `begin`

    def begin(self, snapshot: Callable[[], Snapshot]) -> None:
        """Remember where to look."""
        self._snapshot = snapshot
        self._best: int | None = None
        self._closed = False

    def say(self, text: str) -> None:
        """Print a line."""
        print(f"luthier: {text}", file=sys.stderr, flush=True)

    def changed(self, trial: Trial) -> None:
        """Print a line if the trial has ended or is paused, and another for a new best."""
        if self._closed or (trial.state not in ENDED and trial.state is not State.PAUSED):
            return
        history = self._snapshot().history
        self.say(ending_text(history, trial))
        best = history.best
        if best is not None and best.number != self._best:
            self._best = best.number
            self.say(f"best so far: trial {best.number} with {metrics_text(history, best)}")

    def close(self) -> None:
        """Tell no more of trials; `say` still prints."""
        self._closed = True
