"""What a view shows, and the choice of one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from luthier.budget import Budget, Spent
from luthier.errors import SettingError
from luthier.history import History
from luthier.trial import Trial


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A study at one moment."""

    name: str
    history: History
    budget: Budget
    spent: Spent
    slots: int


class View(Protocol):
    """Shows a study while it runs."""

    def begin(self, snapshot: Callable[[], Snapshot]) -> None:
        """Start showing; `snapshot` may be called at any time, from any thread."""
        ...

    def say(self, text: str) -> None:
        """Tell one thing."""
        ...

    def changed(self, trial: Trial) -> None:
        """A trial has changed; starting points and interrupted trials are told of before `begin`."""
        ...

    def close(self) -> None:
        """Stop showing."""
        ...


def view_of(given: Literal["auto", "live", "plain", "none"] | View) -> View | None:
    """Return a view by its name, None for none; ``"auto"`` is live in a terminal and plain lines elsewhere.

    Raises
    ------
    SettingError
        If there is none of this name.
    """
    if not isinstance(given, str):
        return given
    if given == "auto":
        given = "live" if sys.stderr.isatty() else "plain"
    if given == "live":
        from luthier.view.live import LiveView  # rich is loaded only where it is shown

        return LiveView()
    if given == "plain":
        from luthier.view.plain import PlainView

        return PlainView()
    if given == "none":
        return None
    raise SettingError(f"view= is 'auto', 'live', 'plain' or 'none', got {given!r}")
