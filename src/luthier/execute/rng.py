"""The global random states of Python, NumPy and torch, as they go into checkpoints."""

from __future__ import annotations

import pickle
import random
import sys
from typing import Any

import numpy as np


def random_state() -> dict[str, Any]:
    """Return the global random states; `restore_random_state` takes it back."""
    state: dict[str, Any] = {"python": pickle.dumps((random.getstate(), np.random.get_state()))}  # noqa: NPY002
    if torch := _torch():
        state["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Put the global random states back."""
    python, numpy = pickle.loads(state["python"])  # noqa: S301 - our own checkpoint
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    if "torch" in state and (torch := _torch()):
        torch.set_rng_state(state["torch"])
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda"])


def _torch() -> Any:
    """Return torch if the objective has loaded it; Luthier never does."""
    return sys.modules.get("torch")
