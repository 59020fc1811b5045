"""What searches that breed share: points become proposals that are allowed and were not tried, and name their kin."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from luthier.contracts import New, Proposal
from luthier.history import History
from luthier.search.first import believed, unseen
from luthier.space import Config
from luthier.trial import State

Array = NDArray[np.float64]


class Results:
    """What is known of a history: the trials that ended, then those that a schedule has paused with a result.

    Parameters
    ----------
    history
        A paused trial may never go on, so its result so far counts as that of a stopped one does.

    Attributes
    ----------
    x : (n, d) float array
        Codes, NaN where inactive.
    losses : (n, m) float array
        NaN where there is none.
    running : (k, d) float array
        Codes of the other living trials.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self.x, self.losses, self.running = history.x, history.losses, history.pending
        live = history.live
        held = [t.state is State.PAUSED and not np.isnan(history.losses_of(t)).any() for t in live]
        self._held = [t.number for t, paused in zip(live, held, strict=True) if paused]
        if self._held:
            losses = [history.losses_of(t) for t, paused in zip(live, held, strict=True) if paused]
            self.x = np.vstack([self.x, self.running[held]])
            self.losses = np.vstack([self.losses, losses])
            self.running = self.running[~np.array(held)]

    def number(self, row: int) -> int:
        """Return the number of the trial in a row."""
        ended = len(self._history.x)
        return self._held[row - ended] if row >= ended else self._history.ended[row].number

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The numbers of all trials, (n,)."""
        return np.array([*(t.number for t in self._history.ended), *self._held], dtype=np.int64)


def configs(proposals: Iterable[Proposal]) -> list[Config]:
    """Return the configurations of new trials among the proposals."""
    return [p.config for p in proposals if isinstance(p, New)]


def first_fresh(history: History, x: Array, taken: list[Config]) -> tuple[int, Config] | None:
    """Find the first point that is allowed, was not tried and is not taken.

    Parameters
    ----------
    history
        Whose trials count as tried.
    x : (n, d) float array
        Points, the best first; codes of inactive parameters do not matter.
    taken
        Configurations that are proposed already.

    Returns
    -------
    (int, dict) or None
        The row and its configuration.
    """
    space = history.space
    for row in np.flatnonzero(space.allowed(x)):
        config = space.decode(x[row])
        if config not in taken and not history.seen(space.encode(config)):
            return int(row), config
    return None


def begun(history: History, taken: list[Config], rng: np.random.Generator, *, start: int) -> list[Proposal]:
    """Return one of the first trials: what the user believes or the middle of the space, then random draws.

    Ranges are drawn around what is plausible, so their middle is a better first guess than most.
    """
    number = history.began + len(taken)
    if number or history.space.has_prior:
        return drawn(history, taken, rng, f"a random draw, {number + 1} of {start} to begin with")
    named = [p.kind == "choice" for p in history.space.parameters.values()]
    hit = first_fresh(history, history.space.snap(np.where(named, rng.random((1, len(named))), 0.5)), taken)
    if hit is None:
        return drawn(history, taken, rng, f"a random draw, 1 of {start} to begin with")
    return [New(hit[1], reason="the middle of the space")]


def drawn(history: History, taken: list[Config], rng: np.random.Generator, reason: str) -> list[Proposal]:
    """Return one configuration that was not tried, from the priors if there are any; none if none is left."""
    start = believed(history, rng) if not taken else []
    if start:
        return list(start)
    config = unseen(history, taken, rng)
    return [] if config is None else [New(config, reason=reason)]


def nearest(history: History, x: Array) -> str:
    """Name the ended trial that is most like a point, (d,): ``nearest so far: trial 12``.

    Numbers count by distance, categories and activity by whether they are equal.
    """
    if not len(history.x):
        return ""
    named = np.array([p.kind == "choice" for p in history.space.parameters.values()])
    away = np.abs(history.x - x)
    inactive = np.isnan(away)
    away = np.where(named, away > 1e-9, away)
    if inactive.any():
        both = np.isnan(history.x) & np.isnan(x)
        away = np.where(inactive, np.where(both, 0.0, 1.0), away)
    return f"nearest so far: trial {history.ended[int(np.argmin(away.sum(axis=1)))].number}"
