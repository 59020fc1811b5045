"""Objectives at the door: what is measured, how a function wants to be called, and what it gave back."""

from __future__ import annotations

import functools
import inspect
import math
import random
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.errors import MetricError, ObjectiveError, SettingError, did_you_mean
from luthier.trial import Curve, Failure

DEFAULT_METRIC = "value"
_PACKAGE = str(Path(__file__).parent)
_TAIL = 6000  # characters of a traceback that are kept


@dataclass(frozen=True, slots=True)
class Metric:
    """A named number to be tuned."""

    name: str
    maximize: bool = False

    @property
    def sign(self) -> float:
        """What turns the metric into a loss."""
        return -1.0 if self.maximize else 1.0


def metrics_of(
    minimize: str | Iterable[str] | bool | None, maximize: str | Iterable[str] | bool | None
) -> tuple[Metric, ...]:
    """Read which metrics to tune; ``True`` stands for the one number that an objective returns.

    Raises
    ------
    SettingError
        If none is named, or one is named twice.
    """
    found: list[Metric] = []
    for given, up in ((minimize, False), (maximize, True)):
        names = [DEFAULT_METRIC] if given is True else given or []
        found += [Metric(name, up) for name in ([names] if isinstance(names, str) else names)]
    names = [m.name for m in found]
    if not found:
        raise SettingError('say what to tune: minimize="loss" or maximize="acc" (minimize=True for a returned number)')
    if len(set(names)) != len(names) or not all(isinstance(n, str) and n for n in names):
        raise SettingError(f"each metric is named once, as a string; got {', '.join(map(repr, names))}")
    return tuple(found)


def read_metrics(given: Any, wanted: tuple[Metric, ...], *, final: bool = False) -> dict[str, float]:
    """Turn what an objective returned or reported into finite floats by name.

    Parameters
    ----------
    given
        A number (the only metric, or ``value``), or a mapping of name to number; NumPy, torch and TensorFlow scalars
        count.
    wanted
        The metrics of the study.
    final
        Whether all wanted metrics must be there.

    Raises
    ------
    MetricError
        If it is no number, one of the wanted metrics is NaN or infinite, or one is missing at the end; or if a scalar
        cannot be read, for want of memory as kind ``memory``.
    """
    if not isinstance(given, Mapping):
        if len(wanted) > 1:
            names = ", ".join(m.name for m in wanted)
            raise MetricError(Failure("type", f"the study tunes {names}: return a dict of them, got {_shown(given)}"))
        given = {wanted[0].name: given}
    metrics = {str(n): v if type(v) is float else _number(n, v) for n, v in given.items()}
    for metric in wanted:
        if metric.name in metrics:
            if not math.isfinite(metrics[metric.name]):
                raise MetricError(Failure("nan", f"{metric.name} is {metrics[metric.name]}"))
        elif final:
            raise MetricError(missing(metric.name, metrics))
    return metrics


def missing(name: str, metrics: Mapping[str, float]) -> Failure:
    """Say that a metric was never reported."""
    seen = f"reported were {', '.join(metrics)}" if metrics else "nothing was reported or returned"
    return Failure("missing", f"the metric {name!r} was not reported: {seen}{did_you_mean(name, metrics)}")


def _number(name: Any, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise MetricError(Failure("nan", f"{name} is too large for a float")) from None
    if getattr(value, "ndim", None) == 0 or getattr(value, "shape", None) == ():  # numpy and tensor scalars
        item = _item(name, value)
        if isinstance(item, (int, float, bool)):
            return float(item)
    raise MetricError(Failure("type", f"{name} must be a number, got {_shown(value)}"))


def _item(name: Any, value: Any) -> Any:
    """Take the number out of a scalar; what went wrong on a GPU before is often told only here."""
    try:
        return value.item() if hasattr(value, "item") else float(value)
    except Exception as error:  # noqa: BLE001 - it is another library's
        failure = failure_of(error)
        raise MetricError(replace(failure, message=f"{name} cannot be read: {failure.message}")) from None


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"


class RunEnded(BaseException):
    """Ends a run from inside; not an Exception, so that the objective's own handlers let it pass.

    Attributes
    ----------
    failure
        Why the run failed, or None: it was paused, stopped or interrupted.
    """

    def __init__(self, failure: Failure | None = None) -> None:
        super().__init__(failure.message if failure else "the run has ended")
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Objective:
    """A callable and how it wants its configuration.

    Parameters
    ----------
    function
        What to call.
    names
        Parameters to pass by name; None passes the configuration as one dict.
    wants_run
        Whether it takes ``run``.
    streams
        Whether it is a generator that yields metrics.
    """

    function: Callable[..., Any]
    names: tuple[str, ...] | None
    wants_run: bool = False
    streams: bool = False

    def attempt(self, config: Mapping[str, Any], seed: int, run: Any = None) -> tuple[Any, Failure | None]:
        """Call the objective with the global random generators seeded.

        Parameters
        ----------
        config
            The configuration; parameters that are inactive and have no default are passed as None.
        seed
            In [0, 2**31); seeds the generators of Python, NumPy and, where it is loaded, torch.
        run
            What it gets as ``run``, if it takes one; drains it, if it is a generator.

        Returns
        -------
        result
            What the objective returned, None if it failed.
        failure
            What it raised, as a failure.

        Raises
        ------
        RunEnded
            If the run was ended from inside without a failure.
        """
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the objective may use the global one
        if torch := sys.modules.get("torch"):
            torch.manual_seed(seed)
        extra = {"run": run} if self.wants_run else {}
        try:
            if self.names is None:
                result = self.function(dict(config), **extra)
            else:
                result = self.function(**{**dict.fromkeys(self.names), **config, **extra})
            return (run.drain(result) if self.streams else result), None
        except RunEnded as ended:
            if ended.failure is None:
                raise
            return None, ended.failure
        except BaseException as error:  # a failing trial is data, and a CancelledError is no Exception
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise  # Ctrl-C
            return None, failure_of(error)


def failure_of(error: BaseException) -> Failure:
    """Describe what an objective raised, with the traceback from its own frames on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        frames = frames.tb_next
    tail = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))[-_TAIL:]
    if isinstance(error, SystemExit):
        return Failure("exit", f"the objective called exit({error.code!r})", tail)
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - its own __str__ may fail, too
        said = "it cannot be printed"
    text = f"{type(error).__name__}: {said}"
    if isinstance(error, MemoryError) or "out of memory" in said.lower():  # torch raises a RuntimeError
        return Failure("memory", text, tail)
    return Failure("exception", text, tail)


def objective_of(function: Any, names: Iterable[str]) -> Objective:
    """Find out how to call an objective with the parameters of a space.

    A function whose parameters are those of the space gets them by name; one with a single other parameter gets the
    whole configuration as a dict. Either may also take ``run``.

    Raises
    ------
    ObjectiveError
        If it is not callable, is async, or its parameters do not fit the space.
    """
    names = tuple(names)
    if isinstance(function, Objective):
        return function
    if not callable(function):
        raise ObjectiveError(f"an objective is a function, got {_shown(function)}")
    title = getattr(function, "__name__", type(function).__name__)
    try:
        given = [p for p in inspect.signature(function).parameters.values() if p.name != "run"]
        wants_run = len(given) != len(inspect.signature(function).parameters)
    except ValueError:  # a builtin without a signature
        return Objective(function, None)
    call = _called(function)
    streams = inspect.isgeneratorfunction(inspect.unwrap(call))
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        raise ObjectiveError(f"{title}() is async: give a plain function, which may call asyncio.run() itself")
    needed = [p for p in given if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if _takes_dict(given, needed, names):
        return Objective(function, None, wants_run, streams)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in given)
    accepted = [p.name for p in given if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for p in needed:
        if p.name not in names:
            raise ObjectiveError(
                f"{title}() needs {p.name!r}, which is not in the space{did_you_mean(p.name, names)} "
                f"(it has {', '.join(names)}); to get the whole configuration, name the only parameter 'config'"
            )
    for name in names:
        if not takes_all and name not in accepted:
            raise ObjectiveError(
                f"the space has {name!r}, which {title}() does not take{did_you_mean(name, accepted)}: "
                "add the parameter, or take one dict"
            )
    return Objective(function, tuple(p.name for p in needed), wants_run, streams)


def _called(function: Any) -> Any:
    """Return the function that is called in the end: that of a partial, of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _takes_dict(given: list[inspect.Parameter], needed: list[inspect.Parameter], names: tuple[str, ...]) -> bool:
    """Whether a function has one positional parameter to fill and none that is named as in the space."""
    positional = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not positional or needed not in ([], positional[:1]) or any(p.name in names for p in given):
        return False
    return not did_you_mean(positional[0].name, names)  # a slip of the pen is told as one


def result_of(before: Mapping[str, float], new: Mapping[str, float], wanted: tuple[Metric, ...]) -> dict[str, float]:
    """Return a trial's result after a report: its best step so far; with several metrics, the latest."""
    first = wanted[0]
    if len(wanted) > 1 or first.name not in before:
        return {**before, **new}
    if first.name in new and first.sign * new[first.name] < first.sign * before[first.name]:
        return dict(new)
    return dict(before)


def results_of(curve: Curve, wanted: tuple[Metric, ...]) -> dict[str, float]:
    """Return a trial's result after all reports of its curve."""
    result: dict[str, float] = {}
    for _, metrics in curve:
        result = result_of(result, metrics, wanted)
    return result
