"""Limits of a trial: a soft cap of memory that it notices itself, the figures for a hard one, and the end by force."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Any


def limit_memory(cap_bytes: int | None) -> None:
    """Let this process allocate `cap_bytes` more than it has now, then raise MemoryError; None lifts the limit."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = hard if cap_bytes is None else _data_bytes() + cap_bytes
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    except (OSError, StopIteration):  # no Linux: count from zero, the watchdog does the rest
        return 0


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children; 0 if it has gone."""
    import psutil

    total = 0
    try:
        process = psutil.Process(pid)
        for part in (process, *process.children(recursive=True)):
            try:
                total += part.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return 0
    return total


def kill_family(pid: int) -> None:
    """Kill a process that leads a group, its group, and what it has started in groups and sessions of their own.

    Out of reach is only what lost its parent before, as a daemon does.
    """
    import psutil

    try:
        leader = psutil.Process(pid)
        if pid != os.getpid():
            leader.suspend()  # before it starts more, or tells how its children ended
        for process in leader.children(recursive=True):
            with suppress(psutil.Error):
                process.kill()
    except psutil.Error:
        pass  # it has died by itself
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def accelerator_room() -> float:
    """Return which share of its GPU's memory is free, whoever takes it; 1.0 where this process has not used a GPU."""
    cuda = _cuda()
    if cuda is None:
        return 1.0
    free, total = cuda.mem_get_info()
    return float(free / total)


def give_memory_back() -> None:
    """Free what a run has left in cycles, and hand what PyTorch caches of the GPU's memory back to the driver."""
    gc.collect()
    cuda = _cuda()
    if cuda is not None:
        cuda.empty_cache()


def _cuda() -> Any:
    """``torch.cuda``, if this process has used it: asking it otherwise would take hold of a GPU."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
