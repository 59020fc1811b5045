"""Local worker processes: one per slot, forked warm, killed as a group; a dead worker takes down one run only."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from luthier.budget import clock
from luthier.execute import pickling
from luthier.execute.base import Limits, Listener, Outcome, Ticket
from luthier.execute.limits import resident_bytes
from luthier.execute.zygote import Zygote
from luthier.objective import Metric, Objective
from luthier.trial import Failure

_ALWAYS = ["luthier.execute.worker", "cloudpickle", "numpy.random"]  # what every worker needs
_PRELOAD = ("scipy", "torch", "sklearn")  # where the driver has them; safe to fork after import
_TAIL = 4000  # characters of a dead worker's log
_TICK_S = 0.25
_HELD_SHARE = 0.5  # of the machine's memory may be held by paused runs and their workers


@dataclass(slots=True)
class _Slot:
    index: int
    pipe: Connection | None = None
    pid: int = 0
    active: Ticket | None = None
    serial: int = 0  # of the active run
    began: float = 0.0
    held: dict[int, int] = field(default_factory=dict)  # trial -> serial of the run that waits in memory
    killed: Failure | str = ""


class LocalExecutor:
    """Run objectives in worker processes on this machine.

    Parameters
    ----------
    objective
        What to call; sent to the workers by value where it has to be.
    metrics
        The metrics to tune.
    limits
        Time and memory of one trial, and which checkpoints to keep.
    directory
        Where the trials are.
    slots
        How many workers.
    ordered
        Take the slots' events in turn, so that the same study gives the same results whatever the timing.

    Raises
    ------
    ObjectiveError
        If the objective cannot be sent.
    """

    in_process = False

    def __init__(
        self,
        objective: Objective,
        metrics: tuple[Metric, ...],
        limits: Limits,
        *,
        directory: Path,
        slots: int,
        ordered: bool = False,
    ) -> None:
        self.slots = slots
        self._directory = directory
        self._setup = (pickling.dumps(objective), metrics, limits)
        self._limits = limits
        self._ordered = ordered
        self._turn = 0
        self._serial = 0
        self._slots = [_Slot(i) for i in range(slots)]
        self._zygote: Zygote | None = None
        self._gpus = gpus()
        self._next_watch = 0.0

    @property
    def free(self) -> int:
        """How many slots have nothing to do."""
        return sum(1 for slot in self._slots if slot.active is None)

    def submit(self, ticket: Ticket) -> None:
        """Start a run in a free slot; one that a free slot holds in memory goes on there."""
        home = next((s for s in self._slots if ticket.number in s.held), None)
        if home is not None and home.active is None and home.pipe is not None:
            home.active, home.began, home.serial = ticket, time.monotonic(), home.held.pop(ticket.number)
            self._send(home, "answer", home.serial, True)
            return
        if home is not None:
            self._evict(home, ticket.number)
        slot = next(s for s in self._slots if s.active is None)
        if slot.pipe is None:
            self._start(slot)
        self._serial += 1
        slot.active, slot.began, slot.serial = ticket, time.monotonic(), self._serial
        self._send(slot, "run", slot.serial, ticket)

    def poll(self, listener: Listener, timeout_s: float) -> list[Outcome]:
        """Pass on what the workers say, for up to `timeout_s` seconds or until a run ends."""
        ends = time.monotonic() + timeout_s
        outcomes: list[Outcome] = []
        while not outcomes:
            left = ends - time.monotonic()
            busy = self._in_turn() if self._ordered else [s for s in self._slots if s.pipe is not None]
            pipes = {s.pipe: s for s in busy if s.pipe is not None}
            for pipe in wait(list(pipes), max(0.0, min(left, _TICK_S))):
                outcome = self._hear(pipes[pipe], listener)  # type: ignore[index]
                outcomes += [outcome] if outcome is not None else []
            self._watch()
            if left <= 0:
                break
        return outcomes

    def kill(self, number: int) -> None:
        """End a run at once; its outcome is ``interrupted``."""
        for slot in self._slots:
            if slot.active is not None and slot.active.number == number:
                self._kill(slot, "interrupted")

    def close(self) -> None:
        """Kill all workers."""
        for slot in self._slots:
            if slot.pipe is not None:
                slot.pipe.close()
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None

    # -- messages ----------------------------------------------------------------------------------------------------

    def _in_turn(self) -> list[_Slot]:
        """In ordered mode, the one slot whose event comes next."""
        for i in range(self.slots):
            slot = self._slots[(self._turn + i) % self.slots]
            if slot.active is not None:
                self._turn = slot.index
                return [slot]
        return []

    def _hear(self, slot: _Slot, listener: Listener) -> Outcome | None:
        """Take one message from a worker."""
        assert slot.pipe is not None
        try:
            kind, serial, *args = slot.pipe.recv()
        except (EOFError, OSError):
            return self._died(slot)
        if serial != slot.serial or slot.active is None:
            return None  # the last words of a run that had to leave memory
        number = slot.active.number
        if kind == "restarted":
            listener.restarted(number, *args)
            return None
        self._advance(slot)
        if kind == "reported":
            step, metrics, seconds, total = args
            decision = listener.reported(number, step, metrics, seconds=seconds, total_steps=total)
            self._send(slot, "answer", serial, decision)
            return None
        slot.active = None
        if kind == "held":
            slot.held[number] = serial
            return Outcome(number, "paused", seconds=args[0])
        outcome: Outcome = args[0]
        return outcome

    def _advance(self, slot: _Slot) -> None:
        self._turn = (slot.index + 1) % self.slots

    def _send(self, slot: _Slot, *message: Any) -> None:
        try:
            assert slot.pipe is not None
            slot.pipe.send(message)
        except OSError:
            pass  # it has died: its end of file is heard at the next poll

    def _evict(self, slot: _Slot, number: int) -> None:
        self._send(slot, "answer", slot.held.pop(number), False)

    # -- processes ---------------------------------------------------------------------------------------------------

    def _start(self, slot: _Slot) -> None:
        if self._zygote is None:
            preload = [name for name in _PRELOAD if name in sys.modules]
            self._zygote = Zygote([*_ALWAYS, *preload], thread_limits(self.slots), self._directory)
        ours, theirs = Pipe()
        environment = {"LUTHIER_WORKER": str(slot.index)}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[slot.index % len(self._gpus)]
        slot.pid = self._zygote.fork(theirs.fileno(), environment)
        theirs.close()
        slot.pipe = ours
        self._send(slot, "setup", *self._setup)

    def _kill(self, slot: _Slot, why: Failure | str) -> None:
        slot.killed = why
        try:
            os.killpg(slot.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has died by itself; its end of file is heard at the next poll

    def _died(self, slot: _Slot) -> Outcome | None:
        """Say what became of the run of a worker that has died; its paused runs resume from their checkpoints."""
        assert slot.pipe is not None
        slot.pipe.close()
        status = self._zygote.status(slot.pid, 5.0) if self._zygote else None
        try:
            os.killpg(slot.pid, signal.SIGKILL)  # what its objective has started
        except ProcessLookupError:
            pass
        ticket, why, seconds = slot.active, slot.killed, time.monotonic() - slot.began
        self._advance(slot)
        slot.pipe, slot.active, slot.killed, slot.held = None, None, "", {}
        if ticket is None:
            return None
        if why == "interrupted":
            return Outcome(ticket.number, "interrupted", seconds=seconds)
        failure = why if isinstance(why, Failure) else _death(status, _log_tail(ticket))
        return Outcome(ticket.number, "failed", failure=failure, seconds=seconds)

    def _watch(self) -> None:
        """End runs that take too long or too much, and drop held runs when memory is short."""
        now = time.monotonic()
        if now < self._next_watch:
            return
        self._next_watch = now + _TICK_S
        timeout, cap = self._limits.timeout_s, self._limits.memory_bytes
        for slot in self._slots:
            if slot.pipe is None or slot.killed:
                continue
            if slot.active is not None and timeout is not None and now - slot.began > timeout:
                text = f"took longer than {clock(timeout)}"
                self._kill(slot, Failure("timeout", text, _log_tail(slot.active)))
            elif slot.active is not None and cap is not None and (used := resident_bytes(slot.pid)) > cap:
                text = f"used {used / 2**20:,.0f} MB of memory, more than the {cap / 2**20:,.0f} MB allowed"
                self._kill(slot, Failure("memory", text, _log_tail(slot.active)))
            elif slot.held and resident_bytes(slot.pid) > _HELD_SHARE * _total_memory() / self.slots:
                self._evict(slot, next(iter(slot.held)))


def gpus() -> list[str]:
    """Return the ids of the GPUs that this process may use, for CUDA_VISIBLE_DEVICES."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [gpu.strip() for gpu in told.split(",") if gpu.strip() not in ("", "-1")]
    return sorted((p.name[6:] for p in Path("/dev").glob("nvidia[0-9]*")), key=int)


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_limits(slots: int) -> dict[str, str]:
    """Divide the processors among the workers: environment variables; what you have set lower stays."""
    share = max(1, cores() // slots)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    told = {name: int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()}
    return {name: str(min(share, told.get(name, share))) for name in names}


def _death(status: int | None, log: str) -> Failure:
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
        guess = ", probably because the machine ran out of memory" if name == "SIGKILL" else ""
        return Failure("signal", f"the worker was killed by {name}{guess}", log)
    if status is not None and os.WIFEXITED(status):
        return Failure("exit", f"the worker process ended with exit code {os.WEXITSTATUS(status)}", log)
    return Failure("signal", "the worker process died", log)


def _log_tail(ticket: Ticket) -> str:
    try:
        with open(Path(ticket.path) / "log.txt", "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _total_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)
