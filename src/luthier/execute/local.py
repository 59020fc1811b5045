"""Local worker processes: one per slot, forked warm, killed as a group; a dead worker takes down one run only."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from luthier.budget import clock
from luthier.execute import pickling
from luthier.execute.base import Limits, Listener, Outcome, Ticket
from luthier.execute.limits import kill_family, resident_bytes
from luthier.execute.machine import gpus, memory_bytes, thread_limits
from luthier.execute.zygote import Zygote
from luthier.objective import Metric, Objective
from luthier.trial import Failure

_ALWAYS = ["luthier.execute.worker", "cloudpickle", "numpy.random", "psutil"]  # what every worker needs
_PRELOAD = ("scipy", "torch", "sklearn")  # where the driver has them; safe to fork after import
_TAIL = 4000  # characters of a dead worker's log
_TICK_S = 0.25
_HELD_SHARE = 0.5  # of the machine's memory may be held by paused runs and their workers
_ROOM = 0.1  # of a GPU's memory that has to be free for paused runs to stay there


@dataclass(slots=True)
class _Slot:
    index: int
    pipe: Connection | None = None
    pid: int = 0
    active: Ticket | None = None
    serial: int = 0  # of the active run
    began: float = 0.0
    held: dict[int, int] = field(default_factory=dict)  # trial -> serial of the run that waits in memory
    shared: bool = False  # whether the process has held a paused run, and so may have less memory for others
    room: float = 1.0  # share of its GPU's memory that is free, until acted upon
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
    inside = False

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
        self._homes: dict[int, _Slot] = {}  # paused trial -> where it ran last, be it still in memory or not
        self._alone: set[int] = set()  # trials that ran out of memory beside others: each is to have a fresh worker
        self._zygote: Zygote | None = None
        self._gpus = gpus()
        self._next_watch = 0.0

    @property
    def free(self) -> int:
        """How many slots have nothing to do."""
        return sum(1 for slot in self._slots if slot.active is None)

    def submit(self, ticket: Ticket) -> bool:
        """Start a run in a free slot; one that a free slot holds in memory goes on there: then True.

        A trial goes back to the slot it had if that is free, in memory or not, so that the order of events does not
        depend on how much memory there was.
        """
        home = self._homes.pop(ticket.number, None)
        if home is not None and home.active is not None:
            self._evict(home, ticket.number)
            home = None
        slot = home or next(s for s in self._slots if s.active is None)
        if ticket.number in self._alone:
            self._clear(slot)
        serial = slot.held.pop(ticket.number, 0)
        alive = bool(serial) and not slot.killed and self._send(slot, "answer", serial, True)
        if not alive:
            serial = self._begin(slot, ticket)
        slot.active, slot.began, slot.serial = ticket, time.monotonic(), serial
        return alive

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
            self._watch(listener)
            if left <= 0:
                break
        return outcomes

    def drop(self, numbers: Sequence[int]) -> None:
        """Let paused runs leave memory: their trials have ended."""
        for number in numbers:
            home = self._homes.pop(number, None)
            if home is not None:
                self._evict(home, number)

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
            step, reports, seconds = args
            listener.restarted(number, step, reports, seconds=seconds)
            return None
        self._advance(slot)
        if kind == "reported":
            slot.room, step, metrics, seconds, total = args
            decision = listener.reported(number, step, metrics, seconds=seconds, total_steps=total)
            self._send(slot, "answer", serial, decision)
            return None
        slot.active = None
        if kind == "held":
            slot.room, seconds = args
            slot.held[number], slot.shared, self._homes[number] = serial, True, slot
            self._alone.discard(number)
            if any(s.active is not None and s.active.number in self._alone for s in self._beside(slot)):
                self._evict(slot, number)
            return Outcome(number, "paused", seconds=seconds)
        outcome: Outcome = args[0]
        starved = outcome.failure is not None and outcome.failure.kind == "memory"
        return self._judged(slot, outcome, starved=starved)

    def _judged(self, slot: _Slot, outcome: Outcome, *, starved: bool) -> Outcome:
        """Give a run that ran out of memory beside paused ones, in its worker or on its GPU, another try without them.

        Where it ran alone, the failure is its own.
        """
        failure, number = outcome.failure, outcome.number
        by_itself = number in self._alone or not (slot.shared or any(s.held for s in self._beside(slot)))
        self._alone.discard(number)
        if failure is None or not starved or by_itself:
            return outcome
        self._alone.add(number)
        self._homes[number] = slot
        return Outcome(number, "crowded", reason=failure.message, seconds=outcome.seconds)

    def _beside(self, slot: _Slot) -> list[_Slot]:
        """The other slots whose workers see the same GPU."""
        gpu = self._gpu(slot)
        return [s for s in self._slots if s is not slot and gpu and self._gpu(s) == gpu]

    def _clear(self, slot: _Slot) -> None:
        """Give the next run of an idle slot a new worker, and the GPU without the paused runs of others."""
        if slot.pipe is not None:
            self._dismiss(slot)
        for other in self._beside(slot):
            for held in list(other.held):
                self._evict(other, held)

    def _advance(self, slot: _Slot) -> None:
        self._turn = (slot.index + 1) % self.slots

    def _send(self, slot: _Slot, *message: Any) -> bool:
        """Send a message; False if the worker has died, whose end of file is heard at the next poll."""
        try:
            assert slot.pipe is not None
            slot.pipe.send(message)
        except OSError:
            return False
        return True

    def _evict(self, slot: _Slot, number: int) -> None:
        """Drop a paused run from memory, if it is there; it goes on from its checkpoint."""
        if number in slot.held:
            self._send(slot, "answer", slot.held.pop(number), False)

    # -- processes ---------------------------------------------------------------------------------------------------

    def _begin(self, slot: _Slot, ticket: Ticket) -> int:
        """Start a run in a slot, in a new worker if there is none or it is dead or dying; return its serial."""
        self._serial += 1
        if slot.pipe is not None and (slot.killed or not self._send(slot, "run", self._serial, ticket)):
            self._dismiss(slot)
        if slot.pipe is None:
            self._start(slot)
            self._send(slot, "run", self._serial, ticket)
        return self._serial

    def _start(self, slot: _Slot) -> None:
        if self._zygote is None:
            preload = [name for name in _PRELOAD if name in sys.modules]
            self._zygote = Zygote([*_ALWAYS, *preload], thread_limits(self.slots), self._directory)
        ours, theirs = Pipe()
        environment = {"LUTHIER_WORKER": str(slot.index)}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpu(slot)
        slot.pid = self._zygote.fork(theirs.fileno(), environment)
        theirs.close()
        slot.pipe, slot.shared = ours, False
        self._send(slot, "setup", *self._setup)

    def _gpu(self, slot: _Slot) -> str:
        """Which GPU a slot's worker sees, an empty string for none; several may see the same."""
        return self._gpus[slot.index % len(self._gpus)] if self._gpus else ""

    def _kill(self, slot: _Slot, why: Failure | str) -> None:
        slot.killed = why
        kill_family(slot.pid)  # its end of file is heard at the next poll

    def _died(self, slot: _Slot) -> Outcome | None:
        """Say what became of the run of a worker that has died."""
        ticket, why, seconds = slot.active, slot.killed, time.monotonic() - slot.began
        slot.active = None
        status = self._bury(slot)
        self._advance(slot)
        if ticket is None:
            return None
        if why == "interrupted":
            return Outcome(ticket.number, "interrupted", seconds=seconds)
        failure = why if isinstance(why, Failure) else _death(status, _log_tail(ticket))
        outcome = Outcome(ticket.number, "failed", failure=failure, seconds=seconds)
        shot = why == "" and status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return self._judged(slot, outcome, starved=shot or failure.kind == "memory")  # the kernel kills who has most

    def _bury(self, slot: _Slot) -> int | None:
        """Let go of a worker that is dead or dying, and return its wait status; its paused runs have checkpoints."""
        assert slot.pipe is not None
        slot.pipe.close()
        slot.pipe, slot.held, slot.room, slot.killed = None, {}, 1.0, ""
        status = self._zygote.status(slot.pid, 5.0) if self._zygote else None
        with suppress(ProcessLookupError):
            os.killpg(slot.pid, signal.SIGKILL)  # what its objective has started and left
        return status

    def _dismiss(self, slot: _Slot) -> None:
        """End an idle worker with all that it holds; the next run of its slot gets a new one."""
        kill_family(slot.pid)
        self._bury(slot)

    def _watch(self, listener: Listener) -> None:
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
            elif slot.held:
                self._relieve(slot, listener)
            elif slot.active is not None and cap is not None and (used := resident_bytes(slot.pid)) > cap:
                text = f"used {used / 2**20:,.0f} MB of memory, more than the {cap / 2**20:,.0f} MB allowed"
                self._kill(slot, Failure("memory", text, _log_tail(slot.active)))

    def _relieve(self, slot: _Slot, listener: Listener) -> None:
        """Drop one held run if memory is short, or all where the active run would be killed for what they take."""
        used, cap = resident_bytes(slot.pid), self._limits.memory_bytes
        if slot.active is not None and cap is not None and used > cap:
            for number in list(slot.held):
                self._evict(slot, number)
        elif slot.room < _ROOM or used > _HELD_SHARE * memory_bytes() / self.slots:
            held = list(slot.held)
            self._evict(slot, held[0] if len(held) == 1 else listener.dispensable(held))
            slot.room = 1.0


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
