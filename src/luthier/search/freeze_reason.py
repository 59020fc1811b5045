"""What freeze-thaw says: what it expects a trial to reach, and what it passes over."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from luthier.objective import Metric
from luthier.search.bayes_frame import Frame
from luthier.search.freeze_data import Reading
from luthier.search.freeze_model import Forecasts
from luthier.space import Array

_NINETY = 1.6449  # standard deviations on both sides of the middle that hold 90 %


@dataclass(frozen=True, slots=True)
class Forecast:
    """How a curve is expected to go on: the median and a 90 % interval at some steps, each (k,)."""

    steps: Array
    middle: Array
    low: Array
    high: Array


def forecast_of(metric: Metric, forecasts: Forecasts, row: int, steps: Array, time: Array) -> Forecast:
    """Forecast the curve of one row of the model at times, (k,)."""
    mean, variance = forecasts.model.of_trials(np.full(len(time), row, dtype=np.intp), time)
    spread = np.sqrt(variance)
    ends = [
        np.array([metric.sign * forecasts.scale.loss(float(v)) for v in mean + k * spread]) for k in (-_NINETY, _NINETY)
    ]
    middle = np.array([metric.sign * forecasts.scale.loss(float(v)) for v in mean])
    return Forecast(steps, middle, np.minimum(*ends), np.maximum(*ends))


def reason_new(metric: Metric, forecasts: Forecasts, frame: Frame, code: Array) -> str:
    """Say what a new configuration, (d,), is expected to reach."""
    mean, variance = forecasts.model.slice(1.0).predict(*frame.embed(code[None]))
    return f"new: {_expected(metric, forecasts, float(mean[0]), float(variance[0]))}"


def reason_resume(metric: Metric, reading: Reading, forecasts: Forecasts, place: int) -> str:
    """Say what a paused trial is expected to reach."""
    trial = reading.strands[place].trial
    mean, variance = _end(forecasts, place)
    return f"go on from step {trial.steps} of {reading.total(trial)}: {_expected(metric, forecasts, mean, variance)}"


def reason_give_up(metric: Metric, reading: Reading, forecasts: Forecasts, place: int) -> str:
    """Say why a paused trial is not gone on with any more."""
    trial = reading.strands[place].trial
    mean, variance = _end(forecasts, place)
    expected = _expected(metric, forecasts, mean, variance)
    return f"given up at step {trial.steps} of {reading.total(trial)}: {expected}"


def passed_over(metric: Metric, reading: Reading, forecasts: Forecasts, places: list[int]) -> str:
    """Name the latest paused trial and why it is left for now."""
    if not places:
        return ""
    place = max(places, key=lambda i: reading.strands[i].trial.number)
    mean, variance = _end(forecasts, place)
    end, chance = metric.sign * forecasts.scale.loss(mean), ndtr((forecasts.best - mean) / math.sqrt(variance))
    return f"; trial {reading.strands[place].trial.number} waits: expected to end at {end:.4g}, {chance:.0%} to be best"


def _end(forecasts: Forecasts, place: int) -> tuple[float, float]:
    """Mean and variance of a trial at its end, in the model's units."""
    mean, variance = forecasts.model.of_trials(np.array([forecasts.row[place]], dtype=np.intp), np.ones(1))
    return float(mean[0]), float(variance[0])


def _expected(metric: Metric, forecasts: Forecasts, mean: float, variance: float) -> str:
    spread = math.sqrt(variance)
    middle, low, high = (metric.sign * forecasts.scale.loss(mean + k * spread) for k in (0.0, -_NINETY, _NINETY))
    best = metric.sign * forecasts.scale.loss(forecasts.best)
    chance = float(ndtr((forecasts.best - mean) / spread))
    return (
        f"expects {metric.name} {middle:.4g} ({min(low, high):.4g} to {max(low, high):.4g}) at the end; "
        f"{chance:.0%} to beat the best so far, {best:.4g}"
    )
