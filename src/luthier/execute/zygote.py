"""A small process that has loaded the heavy packages and forks workers from there, warm, in milliseconds.

It never runs user code and has no threads, so forking is safe. It talks to the driver over a socket: a JSON line and
a file descriptor ask for a worker; JSON lines tell pids and exit statuses. When the driver dies, the socket closes and
the zygote kills every worker with all that it has started.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from luthier.execute.limits import kill_family

_ORPHANS_S = 10.0  # how long to wait for the workers of a dead driver
_START = (
    "import json, sys; args = json.loads(sys.argv[1]); sys.path[:] = args['path']; "
    "from luthier.execute.zygote import serve; serve(args['fds'], args['preload'])"
)


class Zygote:
    """The driver's end: starts the zygote process and asks it for workers.

    Parameters
    ----------
    preload
        Modules to load before forking.
    environment
        Environment variables to set for the zygote and so for all workers.
    directory
        Where the trials are; it is held by the workers as long as one is alive, and waited for here, so that a dead
        driver's last worker has let go of its files before the next one touches them.
    """

    def __init__(self, preload: list[str], environment: dict[str, str], directory: Path) -> None:
        self._socket, theirs = socket.socketpair()
        held = _hold(directory)
        path = [entry for entry in sys.path if isinstance(entry, str)]  # the import system ignores others, too
        args = json.dumps({"fds": [theirs.fileno(), held], "path": path, "preload": preload})
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _START, args],
            pass_fds=[theirs.fileno(), held],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        os.close(held)
        self._lines = b""
        self._exits: dict[int, int] = {}

    def fork(self, fd: int, environment: dict[str, str]) -> int:
        """Fork a worker that has `fd` as its pipe; return its pid.

        Raises
        ------
        RuntimeError
            If the zygote has died.
        """
        try:
            socket.send_fds(self._socket, [json.dumps(environment).encode() + b"\n"], [fd])
            while True:
                message = self._next(None)
                if "started" in message:
                    return int(message["started"])
        except OSError:
            raise RuntimeError("the process that starts workers has died") from None

    def status(self, pid: int, timeout_s: float) -> int | None:
        """Return a dead worker's wait status, waiting for it for up to `timeout_s` seconds; None if it is not known."""
        with contextlib.suppress(OSError, TimeoutError):
            while pid not in self._exits:
                self._next(timeout_s)
        return self._exits.pop(pid, None)

    def close(self) -> None:
        """Kill all workers and the zygote."""
        self._socket.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _next(self, timeout_s: float | None) -> dict[str, Any]:
        self._socket.settimeout(timeout_s)
        while b"\n" not in self._lines:
            more = self._socket.recv(65536)
            if not more:
                raise OSError("closed")
            self._lines += more
        line, self._lines = self._lines.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        if "exited" in message:
            self._exits[message["exited"]] = message["status"]
        return message


def _hold(directory: Path) -> int:
    """Open the workers' lock shared, after the workers of an earlier driver have gone; return its descriptor."""
    directory.mkdir(parents=True, exist_ok=True)
    held = os.open(directory / "workers.lock", os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + _ORPHANS_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            time.sleep(0.02)
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def serve(fds: list[int], preload: list[str]) -> None:
    """Be the zygote: load modules, then fork on request until the driver goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in preload:
        with contextlib.suppress(ImportError):  # the objective will say so itself
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for fd in fds:
        os.set_inheritable(fd, False)  # forked workers keep them; programs that they start do not
    driver = socket.socket(fileno=fds[0])
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    workers: set[int] = set()
    while True:
        ready = select.select([driver.fileno(), wake], [], [])[0]
        if wake in ready:
            os.read(wake, 4096)
            _reap(driver, workers)
        if driver.fileno() in ready and not _serve_one(driver, workers, (wake, waker)):
            break
    for pid in workers:
        kill_family(pid)


def _serve_one(driver: socket.socket, workers: set[int], ours: tuple[int, int]) -> bool:
    """Fork one worker; False when the driver has gone."""
    try:
        line, fds, _, _ = socket.recv_fds(driver, 65536, 1)
    except OSError:
        return False
    if not line:
        return False
    pid = os.fork()
    if pid == 0:
        driver.close()
        for fd in ours:
            os.close(fd)
        _become_worker(fds[0], json.loads(line))
    os.close(fds[0])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)  # in case the driver kills the group before the child has made it
    workers.add(pid)
    _tell(driver, {"started": pid})
    return True


def _become_worker(fd: int, environment: dict[str, str]) -> None:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with contextlib.suppress(PermissionError):
            os.setsid()
        os.environ.update(environment)
        from luthier.execute.worker import work

        work(fd)
        status = 0
    except BaseException:  # noqa: BLE001 - printed, and the worker ends here whatever it was
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _reap(driver: socket.socket, workers: set[int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        workers.discard(pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # what it has forked still holds its pipe: the driver would wait for its end
        _tell(driver, {"exited": pid, "status": status})


def _tell(driver: socket.socket, message: dict[str, int]) -> None:
    with contextlib.suppress(OSError):
        driver.sendall(json.dumps(message).encode() + b"\n")
