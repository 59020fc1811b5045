"""Racing over folds: a trial that will surely end behind the best one is given up before its last fold.

The step of a trial is a fold of a cross-validation, its metric the mean over the folds so far (`luthier.folds`). All
trials see the same folds in the same order, so a trial is compared with the best one fold by fold (Maron & Moore 1994;
paired, as in F-race, Birattari et al. 2002): what is hard about a fold cancels out.

Let d_1 ... d_k be the differences of losses on the first k of K folds, and D the mean difference over all K in the
end. If differences are normal, the mean of those to come, given the past, is Student's t around their mean d, and so

    D ~ t_nu(d, s ** 2 (K - k) / (k K)),

which shrinks to nothing at k = K: it is asked who wins on these folds, not on data never seen. With few folds s is
hardly known; it is pooled with the spread of the differences of earlier trials, which count for up to four folds.
"""

from __future__ import annotations

import math

import numpy as np

from luthier.contracts import CONTINUE, Decision, Resume, Verdict
from luthier.errors import SettingError
from luthier.history import History
from luthier.schedule.ranking import Array
from luthier.trial import State, Trial

_POOLED = 4.0  # most degrees of freedom that earlier trials lend
_EARLIER = 32  # trials that are asked


class Race:
    """Stop a trial that will surely have a worse mean over all folds than the best one.

    Parameters
    ----------
    sure
        Probability of ending behind from which on a trial is stopped.
    least
        Folds that every trial gets.
    margin
        How much better than the best, in units of the metric, a trial would have to become to be worth its folds.

    Raises
    ------
    SettingError
        If `sure` is not between 0.5 and 1, `least` below 1, or `margin` negative.
    """

    def __init__(self, sure: float = 0.95, *, least: int = 1, margin: float = 0.0) -> None:
        if not 0.5 < sure < 1.0 or least < 1 or margin < 0.0:
            raise SettingError(
                f"needs 0.5 < sure < 1, least >= 1 and margin >= 0, got {sure!r}, {least!r} and {margin!r}"
            )
        self.sure, self.least, self.margin = sure, least, margin

    def grant(self, history: History) -> int | None:
        """No limit."""
        return None

    def promote(self, history: History) -> Resume | None:
        """Nothing is resumed: what has lost stays behind, as the best only gets better."""
        return None

    def judge(self, history: History, trial: Trial) -> Decision:
        """Stop the trial if it will surely end behind the best of those that are done."""
        mine = fold_losses(history, trial)
        best = _best(history)
        if best is None or not 0 < len(mine) < len(best):
            return CONTINUE
        behind = mine - best[: len(mine)]
        estimate = history.metrics[0].sign * float(best.mean() + behind.mean())
        chance = chance_behind(behind + self.margin, len(best), pooled=_spread(history, best))
        if len(mine) < self.least or chance < self.sure:
            return Decision(Verdict.CONTINUE, estimate=estimate)
        name = history.metrics[0].name
        reason = (
            f"{name} {estimate:.4g} foreseen after {len(mine)} of {len(best)} folds: "
            f"behind the best with probability {chance:.3g}"
        )
        return Decision(Verdict.STOP, reason, estimate)


def fold_losses(history: History, trial: Trial) -> Array:
    """Losses of single folds, (k,), from the running means that were reported; empty if there are gaps."""
    steps, means = history.loss_curve(trial)
    if not np.array_equal(steps, np.arange(1, len(steps) + 1)):
        return np.empty(0)
    return np.asarray(np.diff(steps * means, prepend=0.0))


def chance_behind(behind: Array, folds: int, *, pooled: tuple[float, float] = (0.0, 0.0)) -> float:
    """Probability that the mean difference over all folds will be positive.

    Parameters
    ----------
    behind : (k,) float array
        Differences of losses on the first folds, ``1 <= k < folds``.
    folds
        How many there will be.
    pooled
        Sum of squares and degrees of freedom of differences of other trials.

    Returns
    -------
    float
        0.5 where nothing is known about the spread.
    """
    from scipy.special import stdtr  # later: it takes as long to import as everything else here

    k, mean = len(behind), float(np.mean(behind))
    squares, free = pooled
    weight = min(1.0, _POOLED / free) if free else 0.0
    free = weight * free + k - 1
    if free <= 0.0:
        return 0.5
    spread = math.sqrt((weight * squares + float(np.sum((behind - mean) ** 2))) / free)
    scale = spread * math.sqrt((folds - k) / (k * folds))
    if scale <= 0.0:
        return 0.5 if mean == 0.0 else float(mean > 0.0)
    return float(stdtr(free, mean / scale))


def _best(history: History) -> Array | None:
    """Losses on each fold of the trial with the lowest mean of those that have all folds, (K,)."""
    found = [fold_losses(history, trial) for trial in history.ended if trial.state is State.DONE]
    longest = max(map(len, found), default=0)
    whole = [losses for losses in found if len(losses) == longest]
    return min(whole, key=lambda losses: float(losses.mean())) if longest else None


def _spread(history: History, best: Array) -> tuple[float, float]:
    """Sum of squares and degrees of freedom of the differences of the latest trials from the best."""
    squares, free = 0.0, 0.0
    for trial in history.ended[-_EARLIER:]:
        losses = fold_losses(history, trial)
        behind = losses - best[: len(losses)] if len(losses) <= len(best) else np.empty(0)
        if len(behind) > 1 and behind.any():  # not the best itself
            squares += float(np.sum((behind - behind.mean()) ** 2))
            free += len(behind) - 1
    return squares, free


SCHEDULE = Race
