"""A worker process: hosts the runs of one slot, one active at a time; paused ones stay alive in their threads."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from luthier.contracts import Decision
from luthier.errors import MetricError
from luthier.execute.base import FULL, Outcome, Ticket
from luthier.execute.limits import accelerator_room, give_memory_back, kill_family, limit_memory
from luthier.execute.rng import random_state, restore_random_state
from luthier.execute.run import Run, perform
from luthier.objective import Metric, read_metrics
from luthier.trial import Failure


def work(fd: int) -> None:
    """Serve the driver over a pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's affair
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pipe = Connection(fd)
    worker = _Worker(pipe)
    try:
        while True:
            kind, *args = pipe.recv()
            getattr(worker, f"on_{kind}")(*args)
    except (EOFError, OSError):
        _end()


def _end() -> None:
    """End this worker with all that its objective has started: the driver is gone, and nothing may outlive it."""
    kill_family(os.getpid())


class _Worker:
    """Receives the driver's messages; each run has a serial number, a thread and an inbox."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._inboxes: dict[int, queue.SimpleQueue[Any]] = {}

    def on_setup(self, objective: bytes, metrics: Any, limits: Any) -> None:
        """Remember what to run; it is loaded with the first run, so that its errors are the trial's."""
        self._objective_data, self._metrics, self._limits = objective, metrics, limits
        self._objective: Any = None

    def on_run(self, serial: int, ticket: Ticket) -> None:
        """Start a run."""
        self._inboxes[serial] = queue.SimpleQueue()
        thread = threading.Thread(
            target=self._perform, args=(serial, ticket), name=f"trial-{ticket.number}", daemon=True
        )
        thread.start()

    def on_answer(self, serial: int, message: Any) -> None:
        """Pass an answer to the run that waits for it."""
        if serial in self._inboxes:
            self._inboxes[serial].put(message)

    def send(self, *message: Any) -> None:
        """Send a message to the driver; without one this is the end, and not worth a traceback in a trial's log."""
        with self._lock:
            try:
                self._pipe.send(message)
            except OSError:
                _end()

    def ask(self, kind: str, serial: int, *message: Any) -> Any:
        """Send a message and wait for its answer."""
        self.send(kind, serial, *message)
        return self._inboxes[serial].get()

    def _perform(self, serial: int, ticket: Ticket) -> None:
        outcome = self._outcome(serial, ticket)
        del self._inboxes[serial]
        _flush()
        if outcome.kind == "paused":  # it had to leave memory, and another may be running
            give_memory_back()
        else:
            limit_memory(None)
        self.send("ended", serial, outcome)

    def _outcome(self, serial: int, ticket: Ticket) -> Outcome:
        try:
            capture_output(ticket)
            limit_memory(self._limits.memory_bytes)
            if self._objective is None:
                self._objective = pickle.loads(self._objective_data)  # noqa: S301 - from our own driver
            run = Run(ticket, self._metrics, _There(self, serial, ticket), checkpoints=self._limits.checkpoints)
            return _plain(perform(self._objective, run), self._metrics)
        except Exception as error:  # noqa: BLE001 - unpickling imports anything
            return _not_begun(ticket, error)


class _There:
    """The host of a run in a worker process."""

    def __init__(self, worker: _Worker, serial: int, ticket: Ticket) -> None:
        self._worker = worker
        self._serial = serial
        self._ticket = ticket

    def restarted(self, run: Run, step: int, reports: list[tuple[int, dict[str, float]]]) -> None:
        self._worker.send("restarted", self._serial, step, reports, run.stretch_s)

    def reported(self, run: Run, step: int, metrics: Mapping[str, float]) -> Decision:
        answer: Decision = self._worker.ask(
            "reported", self._serial, accelerator_room(), step, dict(metrics), run.stretch_s, run.total_steps
        )
        return answer

    def hold(self, run: Run) -> bool:
        """Wait, alive, until the driver resumes or evicts the run; its time and its random states stand still."""
        state, paused = random_state(), time.monotonic()
        _flush()
        going_on: bool = self._worker.ask("held", self._serial, accelerator_room(), run.watch.stretch(paused))
        if not going_on:
            return False
        capture_output(self._ticket)
        restore_random_state(state)
        run.watch.go_on(paused, time.monotonic())
        return True


def _not_begun(ticket: Ticket, error: Exception) -> Outcome:
    """Say why a run could not begin: its directory cannot be written, or its objective not be loaded."""
    if isinstance(error, OSError) and error.errno in FULL:
        return Outcome(ticket.number, "interrupted", reason=f"cannot write in {ticket.path}: {error.strerror}")
    failure = Failure("exception", f"the worker cannot load the objective: {type(error).__name__}: {error}")
    return Outcome(ticket.number, "failed", failure=failure)


def _plain(outcome: Outcome, metrics: tuple[Metric, ...]) -> Outcome:
    """Turn what the objective returned into plain floats: it may be a tensor on a GPU."""
    if outcome.result is None:
        return outcome
    try:
        return replace(outcome, result=read_metrics(outcome.result, metrics))
    except MetricError as error:
        return replace(outcome, kind="failed", result=None, failure=error.failure)


def _flush() -> None:
    """Write what the objective has printed and still buffers; it may have closed its output."""
    with suppress(ValueError, OSError, AttributeError):
        sys.stdout.flush()


def capture_output(ticket: Ticket) -> None:
    """Send what this process prints to the log of the trial that runs now."""
    directory = Path(ticket.path)
    directory.mkdir(parents=True, exist_ok=True)
    log = os.open(directory / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
