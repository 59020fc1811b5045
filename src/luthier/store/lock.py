"""The driver's lock: one process drives a study; the kernel frees the lock when that process dies, however it dies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from luthier.errors import StoreError, StoreFull, StudyBusy

_HELD: dict[str, dict[str, Any]] = {}  # directory -> owner; POSIX record locks do not exclude their own process,
# and closing any descriptor of the file drops them, so this process never opens the file again while it holds one
_QUERY = (  # a struct flock for fcntl: a write lock on the whole file
    struct.pack("qqihh", 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
    if sys.platform == "darwin"
    else struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
)
_TYPE_AT = 20 if sys.platform == "darwin" else 0  # where the kind of lock stands in it


class DriverLock:
    """Hold the right to drive the study in a directory.

    A record lock (``fcntl.lockf``) on ``study.lock``: it is not inherited by child processes, and the kernel drops it
    at the death of its owner, so a dead driver never blocks a study.

    Parameters
    ----------
    directory
        The study's directory; must exist.

    Raises
    ------
    StudyBusy
        If another process, or this one already, drives the study; it says who and since when.
    StoreFull
        If the lock file cannot be written.
    StoreError
        If the file system has no locks.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / "study.lock"
        self._key = str(directory.resolve())
        if self._key in _HELD:
            raise StudyBusy(f"this process already drives the study in {directory}: close() the other one first")
        try:
            self._file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - held until release()
        except OSError as error:
            raise StoreFull(
                f"cannot write {path}: {error.strerror}; choose a directory that you may write to"
            ) from None
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise StoreError(
                    f"cannot lock {path}: {error.strerror}; the file system has to support locks (fcntl): choose a "
                    "directory on another one"
                ) from None
            raise StudyBusy(busy_message(directory)) from None
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time(), "command": sys.argv}
        _HELD[self._key] = owner
        try:
            self._file.truncate(0)
            self._file.write(json.dumps(owner))
            self._file.flush()
        except OSError as error:
            self.release()
            raise StoreFull(f"cannot write {path}: {error.strerror}") from None

    def release(self) -> None:
        """Let another process drive the study."""
        if not self._file.closed:
            _HELD.pop(self._key, None)
            self._file.close()


def driver_of(directory: Path) -> dict[str, Any] | None:
    """Return who drives the study (pid, host, since, command), None if nobody does.

    The lock is asked for, not taken: taken for an instant, it would turn a driver away that starts at that instant.
    """
    path = directory / "study.lock"
    if (key := str(directory.resolve())) in _HELD:
        return dict(_HELD[key])
    try:
        with open(path, "rb") as file:
            found = fcntl.fcntl(file, fcntl.F_GETLK, _QUERY)
    except OSError:
        return None
    return None if struct.unpack_from("h", found, _TYPE_AT)[0] == fcntl.F_UNLCK else _owner(path)


def busy_message(directory: Path) -> str:
    """Say who drives a study, since when, and how to read it meanwhile."""
    owner = _owner(path=directory / "study.lock")
    who = f"process {owner['pid']} on {owner['host']}" if "pid" in owner else "another process"
    since = time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(owner["since"])) if "since" in owner else ""
    return (
        f"{who} drives the study in {directory}{since}: wait for it, or stop it with Ctrl-C there; "
        f"meanwhile 'luthier show {directory}' or luthier.load({str(directory)!r}) read it"
    )


def _owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # being written at this moment
        return {}
    return owner if isinstance(owner, dict) else {}
