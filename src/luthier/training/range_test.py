"""Which learning rate to start from: raise it step by step until the loss blows up (Smith 2017, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from luthier.errors import SettingError
from luthier.training import snapshot
from luthier.training.hypergradient import set_rate

_MEMORY = 0.7  # of the running mean over the steps
_BLOWN = 2.0  # a loss this many times the first one ends the test
_BACK = 10.0  # start this far below the rate where the loss was lowest


@dataclass(frozen=True, slots=True)
class RangeTest:
    """What a range test saw.

    Attributes
    ----------
    rates, losses : list of float
        Of each step.
    rate : float or None
        Where to start; None if the loss never fell, or was not finite at once.
    """

    rates: list[float]
    losses: list[float]
    rate: float | None


def range_test(
    step: Callable[[int], Any],
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    low: float = 1e-5,
    high: float = 10.0,
    steps: int = 50,
) -> RangeTest:
    """Try rising learning rates for a few steps; the training is then as it was, to the bit.

    Parameters
    ----------
    step
        Takes the number of a step from 0, makes one update, returns its loss.
    model, optimizer
        What is trained; the rates of several groups keep their ratios, `low` and `high` are those of the largest.
    low, high
        Rates from and to.
    steps
        At most; the test ends when the loss blows up.

    Raises
    ------
    SettingError
        If the bounds are not ``0 < low < high``, or there are fewer than 8 steps.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Linear(1, 1, bias=False)
    >>> optimizer = torch.optim.SGD(w.parameters(), lr=0.1)
    >>> def step(k):
    ...     optimizer.zero_grad()
    ...     loss = (w.weight**2).sum()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> 0.01 < range_test(step, w, optimizer).rate < 1.0
    True
    """
    if not 0.0 < low < high or steps < 8:
        raise SettingError(f"a range test needs 0 < low < high and 8 steps, got low={low}, high={high}, steps={steps}")
    objects: Mapping[str, Any] = {"model": model, "optimizer": optimizer}
    before = snapshot.take(objects)
    base = [float(group["lr"]) for group in optimizer.param_groups]
    rates, losses = [], []
    for k, rate in enumerate(sweep(low, high, steps)):
        for group, own in zip(optimizer.param_groups, base, strict=True):
            set_rate(group, own / max(base) * rate)
        loss = step(k)
        losses.append(float(loss.detach() if isinstance(loss, torch.Tensor) else loss))
        rates.append(rate)
        if blown_up(losses):
            break
    snapshot.put_back(before, objects)
    return RangeTest(rates, losses, start_rate(rates, losses))


def sweep(low: float, high: float, steps: int) -> list[float]:
    """Return rates from `low` to `high`, in equal ratios."""
    return [low * (high / low) ** (k / (steps - 1)) for k in range(steps)]


def blown_up(losses: Sequence[float]) -> bool:
    """Whether the newest loss is far above the first, or not finite."""
    first = losses[0]
    return not math.isfinite(losses[-1]) or losses[-1] > first + (_BLOWN - 1.0) * max(abs(first), 1e-12)


def start_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Choose a rate: a tenth of the one where the smoothed loss was lowest.

    Parameters
    ----------
    rates, losses : (n,) floats
        Of each step.

    Returns
    -------
    float or None
        None if the loss did not fall.

    Examples
    --------
    >>> rates = sweep(1e-4, 1.0, 9)
    >>> round(start_rate(rates, [2.0, 2.0, 1.9, 1.7, 1.4, 1.0, 0.7, 3.0, 9.0]), 4)
    0.01
    """
    smooth: list[float] = []
    for loss in losses:
        if not math.isfinite(loss):
            break
        smooth.append(loss if not smooth else _MEMORY * smooth[-1] + (1.0 - _MEMORY) * loss)
    if len(smooth) < 2:
        return None
    lowest = min(range(len(smooth)), key=smooth.__getitem__)
    return rates[lowest] / _BACK if smooth[lowest] < smooth[0] else None
