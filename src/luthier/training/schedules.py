"""Learning-rate schedules: one function of the step, and the plateau rule, which has to remember.

A schedule is a factor on the base rate. With t = step / total (after the warm-up):

    constant     1
    step         gamma ** floor((drops + 1) t)
    exponential  final ** t
    linear       1 - (1 - final) t
    cosine       final + (1 - final) (1 + cos(pi t)) / 2                     (Loshchilov & Hutter 2017)
    one_cycle    cosine from 1/25 up to 1 at t = 0.3, cosine down to 4e-6     (Smith & Topin 2018)
"""

from __future__ import annotations

import math
from typing import Any

from luthier.errors import SettingError, did_you_mean

SCHEDULES = ("constant", "step", "exponential", "linear", "cosine", "one_cycle", "plateau")
_RISE, _START, _END = 0.3, 1 / 25, 1 / 25e4


def factor(
    name: str,
    step: int,
    total: int,
    *,
    warmup: int = 0,
    final: float = 0.01,
    gamma: float = 0.1,
    drops: int = 2,
) -> float:
    """Return what the base rate is multiplied by.

    Parameters
    ----------
    name
        One of `SCHEDULES`; ``"plateau"`` is 1 here, `Plateau` lowers it.
    step
        Steps done, from 0.
    total
        Steps of the whole training.
    warmup
        Steps of a linear rise from ``1 / warmup`` to 1 before it; the schedule takes what is left.
    final
        Factor at the end, of ``"exponential"``, ``"linear"`` and ``"cosine"``.
    gamma, drops
        Size and number of the drops of ``"step"``, evenly spaced.

    Raises
    ------
    SettingError
        If there is no such schedule.

    Examples
    --------
    >>> [round(factor("cosine", step, 100, final=0.0), 3) for step in (0, 50, 100)]
    [1.0, 0.5, 0.0]
    >>> [factor("constant", step, 100, warmup=4) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    if name not in SCHEDULES:
        raise SettingError(f"no schedule {name!r}{did_you_mean(name, SCHEDULES)}: use {', '.join(SCHEDULES)}")
    if step < warmup:
        return (step + 1) / warmup
    t = min((step - warmup) / max(total - warmup, 1), 1.0)
    if name == "step":
        return math.pow(gamma, min(math.floor((drops + 1) * t), drops))
    if name == "exponential":
        return math.pow(final, t)
    if name == "linear":
        return 1.0 - (1.0 - final) * t
    if name == "cosine":
        return _between(1.0, final, t)
    if name == "one_cycle":
        return _between(_START, 1.0, t / _RISE) if t < _RISE else _between(1.0, _END, (t - _RISE) / (1.0 - _RISE))
    return 1.0


def _between(start: float, end: float, t: float) -> float:
    """Go from `start` to `end` along half a cosine while t goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * t))


class Plateau:
    """Lower the rate when a value has not improved for a while.

    Parameters
    ----------
    gamma
        What the factor is multiplied by then.
    patience
        Values without improvement that are borne.
    min_delta
        How much better a value must be to count, as a share of the best.
    minimize
        Whether lower values are better.
    floor
        The factor never falls below.

    Examples
    --------
    >>> plateau = Plateau(gamma=0.5, patience=1)
    >>> [plateau.update(loss) for loss in (1.0, 0.8, 0.9, 0.9, 0.9, 0.9)]
    [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        *,
        gamma: float = 0.5,
        patience: int = 2,
        min_delta: float = 1e-4,
        minimize: bool = True,
        floor: float = 1e-3,
    ) -> None:
        self.gamma, self.patience, self.min_delta = gamma, patience, min_delta
        self.sign, self.floor = (1.0 if minimize else -1.0), floor
        self.factor, self._best, self._waited = 1.0, math.inf, 0

    def update(self, value: float) -> float:
        """Take the newest value and return the factor from now on."""
        value = self.sign * value
        if value < self._best - self.min_delta * abs(self._best) or not math.isfinite(self._best):
            self._best, self._waited = value, 0
        else:
            self._waited += 1
        if self._waited > self.patience:
            self.factor, self._waited = max(self.factor * self.gamma, self.floor), 0
        return self.factor

    def state_dict(self) -> dict[str, Any]:
        """Return what has to be remembered."""
        return {"factor": self.factor, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.factor, self._best, self._waited = state["factor"], state["best"], state["waited"]
