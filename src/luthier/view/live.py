"""The live view of a terminal: budget, best so far, what runs now with its curve, failures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from luthier.budget import Budget, Spent, clock
from luthier.history import History
from luthier.trial import State, Trial
from luthier.view.base import Snapshot
from luthier.view.text import config_text, metrics_text, resumes_text, sparkline

_ROWS = 12


class LiveView:
    """Redraw a few lines four times a second, on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr)
        self._live: Live | None = None

    def begin(self, snapshot: Callable[[], Snapshot]) -> None:
        """Start drawing."""
        self._live = Live(
            get_renderable=lambda: draw(snapshot()), console=self._console, refresh_per_second=4, transient=True
        )
        self._live.start(refresh=True)

    def say(self, text: str) -> None:
        """Print a line above."""
        self._console.print(Text(f"luthier: {text}"))

    def changed(self, trial: Trial) -> None:
        """Tell failures; the rest is drawn anyway."""
        if trial.state is State.FAILED and trial.failure is not None:
            self.say(f"trial {trial.number} failed ({trial.failure.kind}): {trial.failure.message}")

    def close(self) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def draw(shot: Snapshot) -> Group:
    """Draw a study at one moment."""
    history = shot.history
    parts: list[Any] = [_progress(shot.budget, shot.spent), _counts(shot)]
    best = history.best
    if best is not None:
        parts.append(
            Text.assemble(("best  ", "bold"), (metrics_text(history, best), "bold green"), f"  trial {best.number}")
        )
        parts.append(Text(f"      {config_text(best.config)}", style="green", overflow="ellipsis", no_wrap=True))
    running = [t for t in history.live if t.state is State.RUNNING]
    if running:
        parts.append(_running(history, running))
    return Group(*parts)


def _progress(budget: Budget, spent: Spent) -> Table:
    share = budget.share(spent)
    left = clock(budget.seconds - spent.seconds) if budget.seconds < float("inf") else _guess(share, spent.seconds)
    row = Table.grid(padding=(0, 1))
    row.add_row(
        ProgressBar(total=1.0, completed=share, width=40), f"{share:4.0%} of {budget}", Text(f"{left} left", "cyan")
    )
    return row


def _guess(share: float, seconds: float) -> str:
    return f"about {clock(seconds / share - seconds)}" if share > 0.02 else "?"


def _counts(shot: Snapshot) -> Text:
    history = shot.history
    failed = int(sum(t.state is State.FAILED for t in history.ended))
    paused = sum(t.state is State.PAUSED for t in history.live)
    text = Text(f"{len(history.ended)} trials ended, {shot.spent.steps:,} steps", style="dim")
    text.append(f", {paused} paused" if paused else "")
    resumes = resumes_text(history.resumes)
    text.append(f", {resumes}" if resumes else "")
    text.append(f", {failed} failed", style="red") if failed else None
    return text


def _running(history: History, running: list[Trial]) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False)
    for trial in running[:_ROWS]:
        _, losses = history.loss_curve(trial)
        curve = sparkline((history.metrics[0].sign * losses).tolist())
        step = f"step {trial.steps}" if trial.steps else "started"
        table.add_row(
            f"trial {trial.number}", step, Text(curve, "cyan"), metrics_text(history, trial) if trial.steps else "",
            Text(config_text(trial.config), style="dim", overflow="ellipsis", no_wrap=True),
        )  # fmt: skip
    if len(running) > _ROWS:
        table.add_row(f"and {len(running) - _ROWS} more")
    return table
