"""What a store is: an append-mostly log of one study, written by one process and readable by any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from luthier.trial import Trial


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """What a study is, besides its trials; plain JSON types.

    Parameters
    ----------
    name
        For people.
    space
        `luthier.spacefile.space_to_dict` of the present space.
    metrics
        Pairs of name and direction, ``"minimize"`` or ``"maximize"``.
    seed
        What all randomness derives from.
    created
        Seconds since the epoch.
    command
        How it was started, to say how to continue it.
    settings
        Budget, search, schedule and the like, as told; for people and for ``luthier resume``.
    """

    name: str
    space: dict[str, Any]
    metrics: tuple[tuple[str, str], ...]
    seed: int
    created: float
    command: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


class Store(Protocol):
    """A durable log of one study.

    `begin`, `update` and `end` are one transaction each and survive the death of the process when they return; `end`
    and `flush` also survive a power cut, `end` at most 0.2 s later. Reports are written in groups: with the next
    transaction, or after `flush`.
    """

    def load(self) -> StudyRecord | None:
        """Return the study's record, None before `save`."""
        ...

    def save(self, record: StudyRecord) -> None:
        """Create the study, or replace its record; earlier spaces are kept."""
        ...

    def drive(self) -> None:
        """Begin a session: from now on, time counts as spent."""
        ...

    def begin(self, trial: Trial) -> None:
        """Add a trial."""
        ...

    def report(self, number: int, step: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Add the metrics of one step; the same step again replaces it."""
        ...

    def update(self, trial: Trial) -> None:
        """Replace what a trial says besides its curve; steps after its curve's last are dropped."""
        ...

    def end(self, trial: Trial) -> None:
        """Like `update`, for a trial that has ended; it keeps its place in the order of ending."""
        ...

    def trials(self) -> list[Trial]:
        """Return all trials: the ended ones in their order of ending, then the others by number."""
        ...

    def spent_seconds(self) -> float:
        """Return how long the study was driven, in all sessions."""
        ...

    def flush(self) -> None:
        """Write what is buffered, and have the disk confirm it."""
        ...

    def close(self) -> None:
        """Write what is buffered and let go."""
        ...
