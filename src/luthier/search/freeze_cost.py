"""What starting a trial and going on with a paused one cost, in steps: measured in the study so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luthier.history import History
from luthier.trial import Trial

_MOST = 1000.0  # steps that one resume counts for at most, where steps take next to no time


@dataclass(frozen=True, slots=True)
class Cost:
    """What comes before the next step: of a new trial, and of one that is gone on with; in steps."""

    start: float = 0.0
    resume: float = 0.0


def measured(history: History) -> Cost:
    """Return mean costs in whole steps, rounded down; nothing while all runs stay alive in their workers.

    Only where the budget is in seconds: a budget in steps or trials pays nothing for loading, and such a study can be
    repeated exactly. Steps that were done again do not count here, for a paused run has always written a checkpoint:
    they are the price of interruptions, which no choice of the search avoids.
    """
    if not history.timed:
        return Cost()
    total = history.resumes
    trials = [t for t in (*history.ended, *history.live) if t.steps]
    if not total.checkpoint or not trials:
        return Cost()
    loading = total.seconds / total.checkpoint
    start, pace = _fit(trials, loading)
    pace = max(pace, loading / _MOST)
    if not pace:
        return Cost()
    return Cost(start // pace, total.seconds / (total.memory + total.checkpoint) // pace)


def _fit(trials: list[Trial], loading: float) -> tuple[float, float]:
    """Mean seconds of a start and of a step: the intercept and the slope of the trials' seconds over their steps.

    No start is thought to take longer than loading a checkpoint does, and none less than nothing.
    """
    steps = np.array([t.steps + t.resumes.repeated for t in trials], dtype=np.float64)
    seconds = np.array([t.seconds - t.resumes.seconds for t in trials])
    least, most = (max(0.0, (seconds - start).sum()) / steps.sum() for start in (loading, 0.0))
    apart = steps - steps.mean()
    slope = float(apart @ seconds / (apart @ apart)) if apart.any() else most
    pace = float(np.clip(slope, least, most))
    return float(np.clip(seconds.mean() - pace * steps.mean(), 0.0, loading)), pace
