"""What a Bayesian search reads out of a history, and what it remembers from call to call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.history import History
from luthier.search.bayes_frame import Frame
from luthier.search.bayes_model import Surrogates
from luthier.space import Array, Space
from luthier.trial import State, Trial

_LISTED = 2048  # a finite space of at most so many configurations is listed whole
_LATEST = 10  # trials that the share of failures is counted over
_OWN_LAW = ("memory", "timeout")  # kinds of failure that are modelled by themselves


@dataclass(frozen=True, slots=True)
class Data:
    """Observations of a history, in their order of arrival.

    Attributes
    ----------
    x, losses : (n, d) and (n, m) float array
        Codes and losses of what has a result: ended trials, then paused ones.
    trials : sequence of Trial
        All ended trials, then the paused ones with a result.
    rows : (n,) int array
        Where in `trials` each result stands.
    seconds : (n,) float array
        How long each took.
    pending : (k, d) float array
        Codes of what is under way without a result.
    failures : dict of str to ((f, d) float array, (f,) bool array)
        By kind of failure: codes of the trials that tell about it, and which of them failed so.
    limits : dict of str to ((l, d) float array, (l,) float array, float)
        By limited metric: codes, values and the limit.
    feasible : (n,) bool array
        Which results keep all limits.
    failing : float
        The share of the latest trials that failed.
    """

    x: Array
    losses: Array
    trials: Sequence[Trial]
    rows: NDArray[np.intp]
    seconds: Array
    pending: Array
    failures: dict[str, tuple[Array, NDArray[np.bool_]]]
    limits: dict[str, tuple[Array, Array, float]]
    feasible: NDArray[np.bool_]
    failing: float

    @property
    def y(self) -> Array:
        """First losses, (n,)."""
        return self.losses[:, 0]

    @classmethod
    def of(cls, history: History, *, limits: Mapping[str, float]) -> Data:
        """Read a history."""
        trials = history.ended
        known: NDArray[np.bool_] = np.asarray(np.isfinite(history.losses).all(axis=1))
        rows = np.flatnonzero(known)
        held = [t for t in history.live if t.state is State.PAUSED and _finite(history.losses_of(t))]
        free = [t for t in history.live if not (t.state is State.PAUSED and _finite(history.losses_of(t)))]
        d = len(history.space.columns)
        x, losses, seconds = history.x[rows], history.losses[rows], history.seconds[rows]
        if held:
            rows = np.append(rows, np.arange(len(trials), len(trials) + len(held)))
            trials = [*trials, *held]
            x = np.vstack([x, *(history.space.encode(t.config) for t in held)])
            losses = np.vstack([losses, *(history.losses_of(t) for t in held)])
            seconds = np.append(seconds, [t.seconds for t in held])
        told = {name: np.array([trials[i].metrics.get(name, math.nan) for i in rows]) for name in limits}
        feasible = np.ones(len(x), dtype=bool)
        for name, limit in limits.items():
            feasible &= told[name] <= limit
        by_limit = {n: (x[np.isfinite(v)], v[np.isfinite(v)], limits[n]) for n, v in told.items()}
        pending = np.array([history.space.encode(t.config) for t in free]).reshape(len(free), d)
        failures = _failures(history) if not known.all() else {}
        failing = float(np.mean(~known[-_LATEST:])) if failures else 0.0
        return cls(x, losses, trials, rows, seconds, pending, failures, by_limit, feasible, failing)

    def best(self, losses: Array, count: int) -> Array:
        """Codes of the best results by some loss of each, (n,), best first, those that break a limit last."""
        if self.feasible.all() and len(losses) > count:
            rows = np.argpartition(losses, count)[:count]
            return self.x[rows[np.lexsort((rows, losses[rows]))]]
        return self.x[np.lexsort((losses, ~self.feasible))[:count]]

    def number(self, row: int) -> int:
        """The number of the trial of a result."""
        return int(self.trials[int(self.rows[row])].number)


def _finite(losses: list[float]) -> bool:
    return all(math.isfinite(loss) for loss in losses)


def _failures(history: History) -> dict[str, tuple[Array, NDArray[np.bool_]]]:
    """Which trials failed how; a trial that failed otherwise tells nothing about a kind."""
    kinds = np.array([_kind(t.failure.kind) if t.failure and t.state is State.FAILED else "" for t in history.ended])
    told = {}
    for kind in sorted(set(kinds.tolist()) - {""}):
        rows = (kinds == kind) | (kinds == "")
        told[kind] = (history.x[rows], kinds[rows] == kind)
    return told


def _kind(kind: str) -> str:
    return kind if kind in _OWN_LAW else "error"


def keys(x: Array) -> list[bytes]:
    """Return what tells configurations apart, from their codes (n, d)."""
    return [row.tobytes() for row in np.round(x, 9) + 0.0]


class Memory:
    """What only depends on the space and on a prefix of the history: caches, to be dropped at will."""

    def __init__(self, history: History) -> None:
        self.space: Space = history.space
        self.lineage = history.lineage
        self.frame = Frame(history.space)
        self.surrogates = Surrogates(self.frame)
        self.listed = _list(history.space, self.frame)
        self.count = 0
        self.ended: dict[bytes, tuple[int, float]] = {}  # how often it ended, and its first loss
        self.noisy = False
        self.alive: set[bytes] = set()

    @classmethod
    def of(cls, history: History, last: Memory | None) -> Memory:
        """Bring a memory up to date, or start one if this is another study or an earlier state of it."""
        memory = last
        if memory is None or memory.lineage is not history.lineage or memory.count > len(history.x):
            memory = cls(history)
        memory._learn(history.x[memory.count :], history.losses[memory.count :, 0])
        memory.alive = set(keys(history.pending))
        return memory

    def _learn(self, x: Array, losses: Array) -> None:
        for key, loss in zip(keys(x), losses.tolist(), strict=True):
            times, first = self.ended.get(key, (0, math.nan))
            self.noisy |= times > 0 and abs(loss - first) > 0.0
            self.ended[key] = (times + 1, loss if math.isnan(first) else first)
        self.count += len(x)

    def tries(self, x: Array) -> int:
        """Tell how often a code, (d,), was tried, what is under way included."""
        (key,) = keys(x[None])
        return self.ended.get(key, (0, 0.0))[0] + (key in self.alive)

    def fresh(self, x: Array, also: set[bytes]) -> NDArray[np.bool_]:
        """Tell which codes, (n, d), were neither tried nor are being tried, nor are in `also`."""
        return np.array([not (k in self.ended or k in self.alive or k in also) for k in keys(x)], dtype=bool)


def _list(space: Space, frame: Frame) -> Array | None:
    """All codes of a small finite space."""
    if not frame.finite or space.size().total > _LISTED:
        return None
    rows = [space.encode(config) for config in space.enumerate()]
    return np.array(rows).reshape(len(rows), frame.d)
