"""The median and percentile stopping rules (Golovin et al. 2017, section 3.2.2): give up what lags behind."""

from __future__ import annotations

from bisect import insort

import numpy as np

from luthier.contracts import CONTINUE, Decision, Resume, Verdict
from luthier.errors import SettingError
from luthier.history import History
from luthier.maths.pareto import nondominated_ranks
from luthier.schedule.ranking import Array, standings, trusted
from luthier.trial import Trial


class Median:
    """Stop a trial whose best loss so far is worse than a percentile of the others' best losses at the same step.

    With several metrics, a trial is compared by fronts: 0 is what no other trial beats in every metric, 1 what only
    front 0 beats, and so on. It is stopped where the percentile of the others are on better fronts at the same step, so
    never while it is the best in one metric.

    Parameters
    ----------
    percentile
        50 is the median rule; 25 keeps only trials in the best quarter.
    warmup
        Steps during which nothing is stopped.
    min_trials
        How many others must have reported the same step.
    pause
        Pause instead of stopping, so that the trial can be resumed later.
    guard
        Let trials go on past a step while those that went on before show that it ranks them badly.

    Raises
    ------
    SettingError
        If `percentile` is not between 0 and 100 or `min_trials` is below 1.
    """

    def __init__(
        self,
        percentile: float = 50.0,
        *,
        warmup: int = 1,
        min_trials: int = 4,
        pause: bool = False,
        guard: bool = True,
    ) -> None:
        if not 0 < percentile < 100 or min_trials < 1:
            raise SettingError(f"needs 0 < percentile < 100 and min_trials >= 1, got {percentile!r} and {min_trials!r}")
        self.percentile = percentile
        self.warmup = warmup
        self.min_trials = min_trials
        self.pause = pause
        self.guard = guard
        self._rows = 0
        self._lineage: object = None
        self._at: dict[int, list[float]] = {}  # step -> sorted best losses so far, of ended trials
        self._points: dict[int, list[Array]] = {}  # the same with several metrics: losses, (m,), in order of ending

    def grant(self, history: History) -> int | None:
        """No limit."""
        return None

    def promote(self, history: History) -> Resume | None:
        """Nothing is resumed by this rule."""
        return None

    def judge(self, history: History, trial: Trial) -> Decision:
        """Stop the trial if it lags behind the percentile of the others at this step."""
        step = trial.steps
        if step <= self.warmup:
            return CONTINUE
        if len(history.metrics) > 1:
            return self._judge_fronts(history, trial)
        losses = self._ended(history, step)
        for other in history.live:
            if other.number != trial.number and other.steps >= step:
                best = dict(_best_so_far(history, other)).get(step)
                losses = losses if best is None else sorted([*losses, best])
        mine = _best_so_far(history, trial)
        if len(losses) < self.min_trials or not mine:
            return CONTINUE
        bar = float(losses[min(int(len(losses) * self.percentile / 100), len(losses) - 1)])
        if mine[-1][1] <= bar or (self.guard and not self._trusted(history, step)):
            return CONTINUE
        name, sign = history.metrics[0].name, history.metrics[0].sign
        others = "half" if self.percentile == 50 else f"{self.percentile:g} %"
        at = f"best {name} {sign * mine[-1][1]:.4g} at step {step}"
        return self._against(f"{at}; {others} of the others had {sign * bar:.4g} or better")

    def _against(self, reason: str) -> Decision:
        return Decision(Verdict.PAUSE if self.pause else Verdict.STOP, reason)

    def _judge_fronts(self, history: History, trial: Trial) -> Decision:
        """Compare by fronts at this step."""
        step = trial.steps
        alive = (t for t in history.live if t.number != trial.number and t.steps >= step)
        others = [*self._ended_points(history, step), *(_at(history, t, step) for t in alive)]
        others = [point for point in others if not np.isnan(point).any()]
        mine = _at(history, trial, step)
        if len(others) < self.min_trials or np.isnan(mine).any():
            return CONTINUE
        ranks = nondominated_ranks(np.array([*others, mine]))
        better = int((ranks[:-1] < ranks[-1]).sum())
        if better <= int(len(others) * self.percentile / 100) or (
            self.guard and not self._trusted_fronts(history, step)
        ):
            return CONTINUE
        names = " and ".join(metric.name for metric in history.metrics)
        return self._against(
            f"at step {step} on front {ranks[-1]} of {names}; {better} of {len(others)} others are on better ones"
        )

    def _trusted_fronts(self, history: History, step: int) -> bool:
        went_on = [t for t in history.ended if t.steps > step and not np.isnan(history.losses_of(t)).any()]
        if not went_on:
            return True
        pairs = np.array([[_at(history, t, step), _at(history, t, t.steps)] for t in went_on])  # (n, 2, m)
        places = standings(pairs)
        return trusted(places[:, 0], places[:, 1])

    def _ended_points(self, history: History, step: int) -> list[Array]:
        ended = history.ended
        if self._lineage is not history.lineage or self._rows > len(ended):
            self._lineage, self._rows, self._points = history.lineage, 0, {}
        for other in ended[self._rows :]:
            for at in other.curve.steps.tolist():
                self._points.setdefault(at, []).append(_at(history, other, at))
        self._rows = len(ended)
        return self._points.get(step, [])

    def _trusted(self, history: History, step: int) -> bool:
        """Whether the trials that went on past a step, and ended, were ranked well enough by it."""
        went_on = [best for t in history.ended if t.steps > step and (best := _best_so_far(history, t))]
        early = np.array([max((p for p in best if p[0] <= step), default=(0, np.nan))[1] for best in went_on])
        return trusted(early, np.array([best[-1][1] for best in went_on]))

    def _ended(self, history: History, step: int) -> list[float]:
        ended = history.ended
        if self._lineage is not history.lineage or self._rows > len(ended):
            self._lineage, self._rows, self._at = history.lineage, 0, {}
        for other in ended[self._rows :]:
            for at, best in _best_so_far(history, other):
                insort(self._at.setdefault(at, []), best)
        self._rows = len(ended)
        return self._at.get(step, [])


def _at(history: History, trial: Trial, step: int) -> Array:
    """The losses, (m,), of a trial at the last report up to a step; NaN where there is none."""
    found = np.full(len(history.metrics), np.nan)
    for metric in range(len(found)):
        steps, losses = history.loss_curve(trial, metric)
        row = int(np.searchsorted(steps, step, side="right"))
        if row:
            found[metric] = losses[row - 1]
    return found


def _best_so_far(history: History, trial: Trial) -> list[tuple[int, float]]:
    steps, losses = history.loss_curve(trial)
    return list(zip(steps.tolist(), np.minimum.accumulate(losses).tolist(), strict=True)) if len(losses) else []


SCHEDULE = Median
