"""What more budget would bring: the rate at which a study has got better, carried on.

Improvements come at a steady pace not in time but in its logarithm: of random draws, the n-th is a record with
probability 1/n (Rényi 1962), and a search that converges like a power of what it spends gains less from each doubling
than from the one before. So the improvements so far are counted by how long ago they were on that scale, recent ones
more, and carried on over the logarithm of what is to come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.budget import Budget, Spent
from luthier.errors import SettingError
from luthier.history import History
from luthier.trial import ENDED

Array = NDArray[np.float64]

FEWEST = 5  # results without which nothing is said
_POWER = 1.0  # a gain is expected to be smaller by this power of what was spent
_NOTHING = 5e-5  # share of the best value that is not worth a number
_TOLD = 1.0  # share of the best value from which on a percentage says nothing
_MEMORY = 0.5  # in e-fold of what was spent: how far back improvements count


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be expected of more budget.

    Attributes
    ----------
    more : Budget
        How much more.
    metric : str
        The first metric of the study.
    now : float
        Its best value.
    expected : float
        What it would probably be, in the mean.
    chance : float
        Probability that anything better is found at all.
    """

    more: Budget
    metric: str
    now: float
    expected: float
    chance: float

    @property
    def gain(self) -> float:
        """The expected improvement, in units of the metric, from 0 up."""
        return abs(self.expected - self.now)

    @property
    def relative(self) -> float:
        """The expected improvement as a share of the best value; infinite where that is zero."""
        if self.gain == 0.0:
            return 0.0
        return self.gain / abs(self.now) if self.now else math.inf

    def __str__(self) -> str:
        if self.relative < _NOTHING:
            return (
                f"{self.more} more would bring hardly anything: {self.metric} {self.now:.4g}, "
                f"{self.chance:.0%} to find anything better"
            )
        percent = f"{100 * self.relative:.0f}" if self.relative >= 0.1 else f"{100 * self.relative:.1g}"
        share = f" (about {percent} %)" if self.relative < _TOLD else ""
        return (
            f"{self.more} more would bring about {self.gain:.2g}{share}: {self.metric} from {self.now:.4g} to "
            f"{self.expected:.4g}; {self.chance:.0%} to find anything better"
        )


@dataclass(frozen=True, slots=True)
class Least:
    """An improvement below which it is not worth going on: in units of the metric, or as a share of the best value."""

    amount: float
    share: bool = False
    results: int = 20  # without so many, nothing is decided

    @classmethod
    def of(cls, given: Any) -> Least:
        """Read it from a number, or from text such as ``"0.1 %"``.

        Raises
        ------
        SettingError
            If it cannot be read or is not above zero.
        """
        share = isinstance(given, str) and given.strip().endswith("%")
        try:
            amount = float(given.strip().removesuffix("%")) / 100 if share else float(given)
        except (TypeError, ValueError):
            amount = math.nan
        if isinstance(given, bool) or not 0.0 < amount < math.inf:
            raise SettingError(f"stop_below= is a number above zero, or a share such as '0.1 %', got {given!r}")
        return cls(amount, share)

    def reached(self, ahead: Outlook) -> bool:
        """Tell whether no more than this is to be expected."""
        return (ahead.relative if self.share else ahead.gain) < self.amount


def outlook(history: History, spent: Spent, more: Budget) -> Outlook | None:
    """Forecast what more budget would bring.

    Parameters
    ----------
    history : History
    spent : Spent
        What the study has spent.
    more : Budget
        How much more; of several limits, the one that is reached first counts.

    Returns
    -------
    Outlook or None
        None with fewer than five results, where nothing is to come, or while the best trial is on its way: what it
        will reach itself, the other trials do not tell.

    Notes
    -----
    Trials count in the order in which they began, with what they have reached by now. Where the metric has a bound
    (losses that are never negative, accuracies between zero and one), what is left to the bound is what shrinks.
    """
    found = [
        (factor, unit)
        for unit in Budget.__slots__
        if math.isfinite(extra := getattr(more, unit)) and (before := getattr(spent, unit)) > 0
        for factor in [1.0 + max(0.0, extra) / before]
    ]
    best = history.best
    if not found or best is None or best.state not in ENDED:
        return None
    factor, unit = min(found)
    when, losses = course(history, unit)
    if len(losses) < FEWEST or not factor > 1.0:
        return None
    metric, now = history.metrics[0], float(losses.min())
    bound = _bound(losses, metric.maximize)
    if now == bound:
        expected, chance = now, 0.0
    elif math.isfinite(bound):  # what is left to the bound shrinks by factors
        gain, chance = carried_on(when, np.log(losses - bound), factor)
        expected = bound + (now - bound) * math.exp(-gain)
    else:
        gain, chance = carried_on(when, losses, factor)
        expected = now - gain
    return Outlook(more, metric.name, metric.sign * now, metric.sign * expected, chance)


def _bound(losses: Array, maximize: bool) -> float:
    """The value below which losses cannot go: zero where all lie above, or one for what looks like an accuracy."""
    if losses.min() >= 0.0 and not maximize:
        return 0.0
    if maximize and losses.min() >= -1.0 and losses.max() <= 0.0:
        return -1.0
    return -math.inf


def course(history: History, unit: str) -> tuple[Array, Array]:
    """Return what was spent up to each trial with a result, as a share of the whole in (0, 1], and its loss, (k,) each.

    Parameters
    ----------
    history : History
    unit : {"trials", "steps", "seconds"}
    """
    trials = history.trials
    cost = np.array([{"trials": 1.0, "steps": float(t.charged), "seconds": t.seconds}[unit] for t in trials])
    losses = np.array([history.losses_of(t)[0] for t in trials])
    whole = np.cumsum(cost)
    if not len(whole) or not whole[-1] > 0.0:
        return np.empty(0), np.empty(0)
    known = np.isfinite(losses) & (whole > 0.0)
    return whole[known] / whole[-1], losses[known]


def carried_on(when: Array, losses: Array, factor: float) -> tuple[float, float]:
    """Return the expected gain, and the probability of any, of spending `factor` times as much in all.

    Parameters
    ----------
    when : (k,) float array
        When each loss came, as a share of what was spent, rising, in (0, 1].
    losses : (k,) float array
    factor : float
        Above 1.
    """
    lowest = np.minimum.accumulate(losses)
    drop = lowest[:-1] - lowest[1:]
    ago = -np.log(np.minimum(when[1:], 1.0))  # (k - 1,), on the logarithmic scale
    span = -math.log(min(float(when[0]), 1.0))
    memory = np.exp(-ago / _MEMORY)
    looked_at = _MEMORY * -math.expm1(-span / _MEMORY)
    if not looked_at > 0.0:
        return 0.0, 0.0
    pace = float((drop * memory * np.exp(-_POWER * ago)).sum()) / looked_at
    records = float(((drop > 0.0) * memory).sum()) / looked_at
    ahead = math.log(factor)
    return pace * -math.expm1(-_POWER * ahead) / _POWER, -math.expm1(-records * ahead)
