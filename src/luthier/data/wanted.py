"""What the caller asked a reader for, checked once, at the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from luthier.data.dataset import GOALS, TASKS
from luthier.errors import DataError, SettingError, did_you_mean


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall be read, and as what.

    Attributes
    ----------
    task, goal : str
        As asked for, or else those of `like`.
    target : str or None
        The column to predict.
    columns : tuple of str or None
        The columns to use.
    like : mapping
        The form of other data; empty if there is none.
    search : bool
        Whether a table without a named target is searched for one.
    """

    task: str = "auto"
    goal: str = "auto"
    target: str | None = None
    columns: tuple[str, ...] | None = None
    like: Mapping[str, Any] = field(default_factory=dict)
    search: bool = True

    def __post_init__(self) -> None:
        if self.task not in ("auto", *TASKS):
            raise SettingError(f"no task {self.task!r}{did_you_mean(self.task, TASKS)}: use auto, {', '.join(TASKS)}")
        if self.goal not in ("auto", *GOALS):
            raise SettingError(f"no goal {self.goal!r}{did_you_mean(self.goal, GOALS)}: use auto, {', '.join(GOALS)}")
        known = self.like.get("task")
        if known is not None and self.task not in ("auto", known):
            raise DataError(f"like= is the form of data of task {known!r}, and task={self.task!r} was asked for")
        if known is not None:
            object.__setattr__(self, "task", known)
        if self.goal == "auto" and self.like.get("goal"):
            object.__setattr__(self, "goal", self.like["goal"])
        if self.target is None and self.like.get("target"):
            object.__setattr__(self, "target", self.like["target"])
