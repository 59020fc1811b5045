"""Driving a study from the command line: the call of `luthier.tune`, what is recorded, and how it ended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from luthier.cli.app import NoResult
from luthier.cli.options import budget_of, config_of, record_in, space_of, workers_of
from luthier.space import Space
from luthier.spacefile import space_from_dict
from luthier.store.base import StudyRecord

RESUMED = "luthier.resumed"  # in a context's meta: the study goes on with the space that it has


def drive(
    context: click.Context, objective: Callable[[Space], Any], base: Space | None, given: dict[str, Any], *, name: str
) -> None:
    """Tune until the budget is used up, print what was found, and leave with the exit code of how it ended.

    Parameters
    ----------
    context
        Of the command.
    objective
        Makes the objective for a space.
    base
        The space to which ``--param`` adds.
    given
        The values of `luthier.cli.options.driving_options`.
    name
        Names the directory where ``--dir`` does not.

    Raises
    ------
    NoResult
        If no trial has a result.
    """
    from luthier.tune import tune

    directory = Path(given["dir"] or Path("runs") / name)
    record = record_in(directory)
    space = _space(context, base, given["param"], record)
    metrics = _metrics(context, given, record)
    budget = _budget(context, given, record, space)
    with _recorded(context):
        study = tune(
            objective(space), space, **metrics, dir=directory, name=given["name"], seed=given["seed"],
            budget=budget, search=given["search"], schedule=given["schedule"],
            workers=workers_of(given["workers"]), start=[config_of(text) for text in given["start"]],
            retries=given["retries"], timeout=given["timeout"], memory=given["memory"],
            checkpoints=given["checkpoints"], ordered=given["ordered"], view=given["view"],
            stop_below=given["stop_below"], observers=_observers(given["tensorboard"]),
        )  # fmt: skip
    if study.best is not None:
        click.echo(study.summary())
    if study.ended_by in ("SIGINT", "SIGTERM"):
        context.exit(128 + signal.Signals[study.ended_by])
    if study.best is None:
        raise NoResult(f"no trial has a result: luthier show {directory}")


def _space(context: click.Context, base: Space | None, params: Iterable[str], record: StudyRecord | None) -> Space:
    """Return the space that was given, or that the study has."""
    there = None if record is None else space_from_dict(record.space)
    if there is not None and context.meta.get(RESUMED):
        return there
    params = tuple(params)
    space = space_of(base or (there if params else None), params) or there
    if space is None:
        raise click.UsageError("say what may be tried: --space FILE, or --param lr=1e-5..1e-1:log", context)
    return space


def _metrics(context: click.Context, given: dict[str, Any], record: StudyRecord | None) -> dict[str, Any]:
    """Return the metrics that were given, or that the study has."""
    metrics = {way: list(given[way]) or None for way in ("minimize", "maximize")}
    if any(metrics.values()):
        return metrics
    if record is None:
        raise click.UsageError("say what to tune: --maximize acc or --minimize loss", context)
    return {way: [name for name, direction in record.metrics if direction == way] or None for way in metrics}


def _budget(context: click.Context, given: dict[str, Any], record: StudyRecord | None, space: Space) -> Any:
    """Return the budget that was given, or that the study has."""
    budget = budget_of(given["budget"])
    if budget is None and record is not None:
        budget = record.settings.get("budget")
    if budget is None and not space.finite and given["search"] != "grid":
        raise click.UsageError("say how much to spend: --budget 20m, or --budget 50 (trials)", context)
    return budget


@contextmanager
def _recorded(context: click.Context) -> Iterator[None]:
    """Let the study record the command as it can be typed anywhere: with the directory it was typed in."""
    before = sys.argv
    sys.argv = ["luthier", "-C", os.getcwd(), *(context.obj or [])]
    try:
        yield
    finally:
        sys.argv = before


def _observers(logdir: str | None) -> list[Any]:
    if logdir is None:
        return []
    from luthier.integrations.tensorboard import TensorBoard

    return [TensorBoard(logdir)]
