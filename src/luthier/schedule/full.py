"""Every trial runs to its end: no schedule at all."""

from __future__ import annotations


def SCHEDULE() -> None:
    """Return what stands for no schedule."""
