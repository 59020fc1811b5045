"""Files that are either whole or not there: written beside, flushed to the disk, then renamed."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes | memoryview) -> Path:
    """Write a file durably and return its path.

    Parameters
    ----------
    path
        Its directory is made if it is not there; a file that is there is replaced.
    data
        What is to be in it.

    Raises
    ------
    OSError
        If it cannot be written; what was there stays as it was, and nothing is left behind.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        try:
            file = open(beside, "wb")  # noqa: SIM115 - closed below
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(beside, "wb")  # noqa: SIM115
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return path
