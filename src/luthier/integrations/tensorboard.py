"""Trials in TensorBoard: the curves of each as a run, its configuration and result in the HParams tab.

Written with TensorBoard's own record format and protocol buffers; neither torch nor TensorFlow is needed.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from luthier.errors import MissingExtra
from luthier.trial import ENDED, State, Trial


class _Parts(NamedTuple):
    """What is needed of TensorBoard."""

    api: ModuleType
    event: ModuleType
    metadata: ModuleType
    plugin_data: ModuleType
    records: ModuleType
    summary: ModuleType


class TensorBoard:
    """An observer that writes every trial for TensorBoard.

    Trial 12 becomes the run ``trial-00012``: each metric is a curve by step, ``result/<metric>`` is its result (its
    best step), and its configuration, result and status are a row of the HParams tab. A trial that goes on from a
    checkpoint goes on in its run. Each change is on disk when the call returns, so nothing has to be closed and a
    killed study loses nothing.

    Parameters
    ----------
    logdir
        Where to write; ``tensorboard --logdir`` reads it.

    Raises
    ------
    MissingExtra
        If TensorBoard is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import luthier as lt
    >>> board = TensorBoard(tempfile.mkdtemp())
    >>> study = lt.Study(lt.Space(x=lt.Float(-1, 1)), minimize="loss", observers=[board])
    >>> _ = study.tell(study.ask(), {"loss": 0.5})
    """

    def __init__(self, logdir: str | os.PathLike[str]) -> None:
        self._parts = _load()
        self._logdir = Path(logdir)
        self._logdir.mkdir(parents=True, exist_ok=True)
        self._files: dict[int, Path] = {}
        self._told: dict[int, tuple[int, dict[str, float]]] = {}  # trial -> the last step written, and what of it

    def __call__(self, trial: Trial) -> None:
        """Write what is new about a trial."""
        if trial.started is None:
            return
        events = [] if trial.number in self._files else self._opening(trial)
        events += self._curve(trial)
        if trial.state in ENDED:
            events += self._ending(trial)
        if events:
            self._write(trial.number, events)
        if trial.state in ENDED:
            del self._files[trial.number]
            self._told.pop(trial.number, None)

    # -- what is told ------------------------------------------------------------------------------------------------

    def _opening(self, trial: Trial) -> list[Any]:
        """Begin a file: the version, what is written anew of an earlier file, and the configuration."""
        directory = self._logdir / f"trial-{trial.number:05d}"
        earlier = directory.is_dir() and any(directory.iterdir())
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{socket.gethostname()}.{os.getpid()}"
        self._files[trial.number] = directory / name
        opening = [self._parts.event.Event(wall_time=time.time(), file_version="brain.Event:2")]
        if earlier:
            opening.append(self._restart(1))
        start = self._parts.plugin_data.SessionStartInfo(
            group_name=f"trial {trial.number}", start_time_secs=trial.started or 0.0
        )
        for key, value in trial.config.items():
            field, told = _hparam(value)
            setattr(start.hparams[key], field, told)
        return [*opening, self._hparams("SESSION_START_INFO_TAG", session_start_info=start)]

    def _curve(self, trial: Trial) -> list[Any]:
        """Tell what was not told yet of the curve; one that was cut back starts again there."""
        curve, (told, metrics) = trial.curve, self._told.get(trial.number, (0, {}))
        events = []
        if curve.last_step < told:
            events.append(self._restart(curve.last_step + 1))
            told, metrics = curve.last_step, curve.at(curve.last_step) if len(curve) else {}
        if told and (more := {n: v for n, v in curve.at(told).items() if metrics.get(n) != v}):
            events.append(self._scalars(told, more))  # a second report of the same step
        new = curve.steps[int(np.searchsorted(curve.steps, told, side="right")) :].tolist()
        events += [self._scalars(step, curve.at(step)) for step in new]
        self._told[trial.number] = (curve.last_step, curve.at(curve.last_step) if len(curve) else {})
        return events

    def _ending(self, trial: Trial) -> list[Any]:
        """Tell the result and how the trial ended."""
        api = self._parts.api
        status = api.STATUS_FAILURE if trial.state is State.FAILED else api.STATUS_SUCCESS
        end = self._parts.plugin_data.SessionEndInfo(status=status, end_time_secs=trial.ended or 0.0)
        result = {f"result/{name}": value for name, value in trial.metrics.items()}
        events = [self._scalars(max(trial.steps, 1), result)] if result else []
        return [*events, self._hparams("SESSION_END_INFO_TAG", session_end_info=end)]

    # -- how it is written -------------------------------------------------------------------------------------------

    def _scalars(self, step: int, metrics: Mapping[str, float]) -> Any:
        summary = self._parts.summary.Summary()
        for name, value in metrics.items():
            if not math.isnan(value):
                summary.value.add(tag=name, simple_value=value)
        return self._parts.event.Event(wall_time=time.time(), step=step, summary=summary)

    def _hparams(self, tag: str, **content: Any) -> Any:
        metadata = self._parts.metadata
        data = self._parts.plugin_data.HParamsPluginData(**content)
        summary = self._parts.summary.Summary()
        value = summary.value.add(
            tag=getattr(metadata, tag), metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
        )
        assert value is not None
        return self._parts.event.Event(wall_time=time.time(), summary=summary)

    def _restart(self, step: int) -> Any:
        """Tell TensorBoard to forget what was written of this step and later ones."""
        log = self._parts.event.SessionLog(status=self._parts.event.SessionLog.START)
        return self._parts.event.Event(wall_time=time.time(), step=step, session_log=log)

    def _write(self, number: int, events: list[Any]) -> None:
        path = self._files[number]
        path.parent.mkdir(exist_ok=True)
        with open(path, "ab") as file:
            records = self._parts.records.RecordWriter(file)
            for event in events:
                records.write(event.SerializeToString())


def _hparam(value: Any) -> tuple[str, Any]:
    """Return the field of a protocol buffer ``Value`` that holds a parameter's value, and what to put there."""
    if isinstance(value, bool):
        return "bool_value", value
    if isinstance(value, (int, float)):
        return "number_value", float(value)
    return "string_value", value if isinstance(value, str) else repr(value)


def _load() -> _Parts:
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
        from tensorboard.summary.writer import record_writer
    except ImportError:
        raise MissingExtra("TensorBoard", "tensorboard") from None
    return _Parts(api_pb2, event_pb2, metadata, plugin_data_pb2, record_writer, summary_pb2)
