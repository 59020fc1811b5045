"""What going on with a paused trial costs, in steps: measured in the study so far."""

from __future__ import annotations

import numpy as np

from luthier.history import History
from luthier.trial import Trial

_MOST = 1000.0  # steps that one resume counts for at most, where steps take next to no time


def measured(history: History) -> int:
    """Return the mean cost of a resume in whole steps, rounded down; 0 while all runs stay alive in their workers.

    Only where the budget is in seconds: a budget in steps or trials pays nothing for loading, and such a study can be
    repeated exactly. Steps that were done again do not count here, for a paused run has always written a checkpoint:
    they are the price of interruptions, which no choice of the search avoids.
    """
    total = history.resumes
    if not history.timed or not total.checkpoint:
        return 0
    loading = total.seconds / total.checkpoint
    pace = max(_pace([*history.ended, *history.live], loading), loading / _MOST)
    return int(total.seconds / (total.memory + total.checkpoint) / pace) if pace else 0


def _pace(trials: list[Trial], loading: float) -> float:
    """Mean seconds of a step, without what it takes to start: how much longer trials take that make more steps.

    No start is thought to take longer than loading a checkpoint does, and none less than nothing.
    """
    known = [t for t in trials if t.steps]
    steps = np.array([t.steps + t.resumes.repeated for t in known], dtype=np.float64)
    seconds = np.array([t.seconds - t.resumes.seconds for t in known])
    least, most = (max(0.0, (seconds - start).sum()) / steps.sum() for start in (loading, 0.0))
    apart = steps - steps.mean()
    slope = float(apart @ seconds / (apart @ apart)) if apart.any() else most
    return float(np.clip(slope, least, most))
