"""Trials and studies as plain rows and JSON types, for tables, CSV and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from luthier import __version__
from luthier.reader import StudyReader
from luthier.trial import Trial

Row = dict[str, Any]

_PLAIN = ("origin", "reason", "parent", "attempt", "grant", "started", "ended", "note")


def trial_row(trial: Trial, *, parameters: Iterable[str], metrics: Iterable[str]) -> Row:
    """Return one flat row for a trial: number, state, metrics, parameters, seconds, steps, why it failed."""
    failure = trial.failure if trial.state == "failed" else None
    return {
        "trial": trial.number,
        "state": trial.state.value,
        **{name: trial.metrics.get(name) for name in metrics},
        **{name: trial.config.get(name) for name in parameters},
        "steps": trial.steps,
        "seconds": round(trial.seconds, 3),
        "failure": f"{failure.kind}: {failure.message}" if failure else None,
    }


def report_rows(study: StudyReader) -> Iterator[Row]:
    """Yield one row per report, and one without a step for each trial that reported nothing: the long form."""
    parameters, metrics = names_in(study)
    for trial in study.trials:
        head = {"trial": trial.number, "state": trial.state.value}
        config = {name: trial.config.get(name) for name in parameters}
        steps: list[tuple[int | None, dict[str, float]]] = [*trial.curve] or [(None, trial.metrics)]
        for step, values in steps:
            yield {**head, "step": step, **{name: values.get(name) for name in metrics}, **config}


def trial_dict(trial: Trial, *, curve: bool = True) -> Row:
    """Return everything about a trial as JSON types."""
    steps = [{"step": step, **_finite(metrics)} for step, metrics in trial.curve]
    return {
        "number": trial.number,
        "state": trial.state.value,
        "config": trial.config,
        "metrics": _finite(trial.metrics),
        "steps": trial.steps,
        "seconds": trial.seconds,
        "seed": trial.seed,
        "failure": asdict(trial.failure) if trial.failure else None,
        **{name: getattr(trial, name) for name in _PLAIN},
        "tags": list(trial.tags),
        **({"curve": steps} if curve else {}),
    }


def study_dict(study: StudyReader) -> Row:
    """Return everything about a study as JSON types."""
    best, spent = study.best, study.spent
    return {
        "luthier": __version__,
        "study": {**asdict(study.record), "spent": asdict(spent), "best": None if best is None else best.number},
        "trials": [trial_dict(trial) for trial in study.trials],
    }


def names_in(study: StudyReader) -> tuple[list[str], list[str]]:
    """Return the names of all parameters and of all metrics: those of the space and the study first."""
    trials = study.trials
    parameters = dict.fromkeys([*study.space.names, *(name for t in trials for name in t.config)])
    metrics = dict.fromkeys([*(m.name for m in study.metrics), *(name for t in trials for name in t.metrics)])
    metrics |= dict.fromkeys(name for t in trials for name in t.curve.names)
    return list(parameters), list(metrics)


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    """Write NaN and infinity, which JSON does not have, as null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
