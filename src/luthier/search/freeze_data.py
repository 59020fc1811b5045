"""What freeze-thaw reads out of a history: few points of each learning curve, and who is where."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from luthier.history import History
from luthier.search.bayes_data import keys
from luthier.search.bayes_frame import Frame
from luthier.space import Array
from luthier.trial import State, Trial

_MOST = 6  # points of one curve
_FULL = 24  # best trials that keep so many, the others what room is left
_POINTS = 400  # in all
_TRIALS = 200
_UNKNOWN = 16  # steps that a training is thought to have while nothing tells more

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Strand:
    """What is kept of one trial: its code, (d,), and its curve, (k,) and (k,), in losses; all metrics, (k, m)."""

    trial: Trial
    x: Array
    steps: NDArray[np.int64]
    losses: Array
    best: float
    points: Array
    _thinned: dict[tuple[int, int | None], Rows] = field(default_factory=dict, compare=False, repr=False)

    def thin(self, most: int, last: int | None = None) -> Rows:
        """Return which points to keep: the last one (up to a step), and those near its halves, quarters and so on."""
        known = self._thinned.get((most, last))
        if known is None:
            end = len(self.steps) if last is None else int(np.searchsorted(self.steps, last, side="right"))
            if end == 0:  # nothing was reported that early
                return np.empty(0, dtype=np.intp)
            wanted = self.steps[end - 1] / 2.0 ** np.arange(most - 1, -1, -1)
            rows = np.searchsorted(self.steps[:end], wanted + 0.5, side="right") - 1
            known = self._thinned[most, last] = np.unique(rows[rows >= 0]).astype(np.intp)
        return known


@dataclass(slots=True)
class Reader:
    """Reads histories of one study; remembers the strands of trials that have not changed."""

    frame: Frame
    lineage: object
    strands: dict[int, Strand] = field(default_factory=dict)
    codes: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, history: History, last: Reader | None) -> Reader:
        """Go on with a reader, or begin another if this is another study."""
        if last is not None and last.lineage is history.lineage:
            return last
        return cls(Frame(history.space), history.lineage)

    def read(self, history: History) -> Reading:
        """Read a history."""
        strands = [self._strand(history, trial) for trial in (*history.ended, *history.live)]
        strands.sort(key=lambda s: s.trial.number)
        self.codes = set(keys(np.array([s.x for s in strands]).reshape(len(strands), self.frame.d)))
        return Reading(strands, length_of([s.trial for s in strands]))

    def _strand(self, history: History, trial: Trial) -> Strand:
        known = self.strands.get(trial.number)
        if known is not None and known.trial is trial:
            return known
        x = history.space.encode(trial.config) if known is None else known.x
        steps, points = np.empty(0, np.int64), np.empty((0, len(history.metrics)))
        if trial.state is not State.FAILED:
            steps, points = _curves(history, trial)
            result = np.array(history.losses_of(trial))
            if not len(steps) and np.isfinite(result).all():  # an objective that does not report by step
                steps, points = np.array([trial.total_steps or 1]), result[None]
        losses = points[:, 0]
        strand = Strand(trial, x, steps, losses, float(losses.min(initial=math.inf)), points)
        self.strands[trial.number] = strand
        return strand

    def fresh(self, x: Array, also: set[bytes]) -> NDArray[np.bool_]:
        """Tell which codes, (n, d), are neither in the history last read nor in `also`."""
        return np.array([not (k in self.codes or k in also) for k in keys(x)], dtype=bool)


def _curves(history: History, trial: Trial) -> tuple[NDArray[np.int64], Array]:
    """Steps at which all metrics were reported, (k,), and the losses there, (k, m)."""
    steps, losses = history.loss_curve(trial)
    if len(history.metrics) == 1:
        return steps, losses[:, None]
    points = np.array([m.sign * trial.curve.values(m.name) for m in history.metrics]).T
    known = ~np.isnan(points).any(axis=1)
    return trial.curve.steps[known], points[known]


def length_of(trials: list[Trial]) -> int:
    """Return how many steps a full training has, as far as the trials tell.

    The longest that one of them said; otherwise the longest that one ended with, or twice what any has done.
    """
    told = max((t.total_steps for t in trials if t.total_steps), default=0)
    if told:
        return told
    ended = max((t.steps for t in trials if t.state is State.DONE), default=0)
    return ended or max(_UNKNOWN, 2 * max((t.steps for t in trials), default=0))


@dataclass(slots=True)
class Reading:
    """What was read: all trials by number, and the steps of a full training."""

    strands: list[Strand]
    length: int

    def total(self, trial: Trial) -> int:
        """Return the steps of this trial's full training."""
        return trial.total_steps or max(self.length, trial.steps)

    @property
    def paused(self) -> list[int]:
        """Which strands can be gone on with."""
        return [
            i
            for i, s in enumerate(self.strands)
            if s.trial.state is State.PAUSED and len(s.steps) and s.trial.steps < self.total(s.trial)
        ]

    @property
    def silent(self) -> list[int]:
        """Which paused strands have not come to the first report of the metric that is tuned."""
        return [
            i
            for i, s in enumerate(self.strands)
            if s.trial.state is State.PAUSED and not len(s.steps) and 0 < s.trial.steps < self.total(s.trial)
        ]

    def kept(self) -> list[int]:
        """Return which strands the model is told of: all that have values or run, or the best half of its places."""
        seen = [i for i, s in enumerate(self.strands) if len(s.steps)]
        if len(seen) <= _TRIALS:
            return seen
        order = sorted(seen, key=lambda i: (self.strands[i].best, i))
        best, rest = order[: _TRIALS // 2], order[_TRIALS // 2 :]
        spread = [rest[j] for j in np.linspace(0, len(rest) - 1, _TRIALS - len(best)).astype(int)]
        return sorted([*best, *spread])

    def points(self, kept: list[int]) -> list[Rows]:
        """Return which points of each kept strand the model is told of."""
        order = sorted(range(len(kept)), key=lambda j: (self.strands[kept[j]].best, j))
        most = np.full(len(kept), _MOST)
        sizes = np.array([len(self.strands[i].thin(_MOST)) for i in kept])
        for fewer in range(_MOST - 1, 0, -1):
            if np.minimum(sizes, most).sum() <= _POINTS:
                break
            most[order[_FULL:]] = fewer
        return [self.strands[i].thin(int(m)) for i, m in zip(kept, most, strict=True)]


@dataclass(frozen=True, slots=True)
class Scale:
    """An increasing transform of losses to what the model sees, and its inverse.

    ``log((y - low) / (middle - low) + 0.1)``, standardized: what is near the best is stretched, the tail drawn in.
    """

    low: float
    width: float
    shift: float
    spread: float

    @classmethod
    def of(cls, losses: Array) -> Scale:
        """Fit it to losses, (n,)."""
        low, middle = float(losses.min()), float(np.median(losses))
        width = middle - low
        if not 0.0 < width < math.inf:
            width = max(abs(low), 1.0)
        raw = np.log((losses - low) / width + 0.1)
        return cls(low, width, float(raw.mean()), float(raw.std()) or 1.0)

    def __call__(self, losses: Array) -> Array:
        """Transform losses, (n,)."""
        raw = np.log(np.maximum((losses - self.low) / self.width, 0.0) + 0.1)
        return np.asarray((raw - self.shift) / self.spread)

    def loss(self, value: float) -> float:
        """Undo the transform."""
        return self.low + self.width * (math.exp(min(value * self.spread + self.shift, 50.0)) - 0.1)
