"""Whether processes have ended."""

import psutil


def gone(pid):
    """Tell whether a process has ended, be it reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # maybe at this very moment
        return True
