"""What this machine has: processors, GPUs, memory; and how workers share them."""

from __future__ import annotations

import os
from pathlib import Path


def gpus(devices: Path = Path("/dev")) -> list[str]:
    """Return the ids of the GPUs that this process may use, for CUDA_VISIBLE_DEVICES.

    CUDA counts those that are there from 0, whatever the numbers of their files: a container may have only the fourth.
    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [gpu.strip() for gpu in told.split(",") if gpu.strip() not in ("", "-1")]
    return [str(i) for i, _ in enumerate(devices.glob("nvidia[0-9]*"))]


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_limits(slots: int) -> dict[str, str]:
    """Divide the processors among the workers: environment variables; what you have set lower stays."""
    share = max(1, cores() // slots)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    told = {name: int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()}
    return {name: str(min(share, told.get(name, share))) for name in names}


def memory_bytes() -> int:
    """Return how much memory the machine has."""
    import psutil

    return int(psutil.virtual_memory().total)
